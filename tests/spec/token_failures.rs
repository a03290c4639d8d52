//! Section 11, `limits.token_failures`: brute force is slowed down, and its victim is not locked out.

use std::net::{IpAddr, Ipv4Addr};

use crate::harness::{Connection, Gateway, Reply, Request, basic, within};

const GRANT: &str = "grant_type=client_credentials";

fn wrong(gateway: &Gateway, id: &str) -> Reply {
    gateway.send(&Request::token(&basic(id, "wrong"), GRANT))
}

#[test]
fn repeated_failures_of_one_client_from_one_address_are_429_there_and_only_there() {
    let gateway = Gateway::start(|_| {});
    let owner = gateway.owner().clone();
    // TOK-20
    let statuses: Vec<u16> = (0..30).map(|_| wrong(&gateway, &owner.id).status).collect();
    let first = statuses.iter().position(|status| *status == 429).expect("429 within 30 failures");
    assert!((8..=12).contains(&first), "{statuses:?}");
    assert!(statuses[..first].iter().all(|status| *status == 401), "{statuses:?}");
    let refused = wrong(&gateway, &owner.id);
    refused.assert_status(429);
    let seconds: u32 = refused.header("retry-after").expect("Retry-After").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");

    let elsewhere = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let mut connection = Connection::open_from(elsewhere, gateway.public);
    connection.exchange(&Request::token(&owner.basic(), GRANT)).assert_status(200);
    let other = gateway.client("application");
    gateway.send(&Request::token(&other.basic(), GRANT)).assert_status(200);
    assert!(within(crate::harness::PATIENCE, || gateway.metrics().value("scopegate_rate_limited_total", &[]) >= 1.0));
}

#[test]
fn failures_over_many_clients_from_one_address_are_429_too() {
    let gateway = Gateway::start(|config| {
        config.limit("token_failures: {per_client: 10/1m, per_address: 20/1m}");
    });
    let statuses: Vec<u16> = (0..40).map(|number| wrong(&gateway, &format!("client{number}")).status).collect();
    let first = statuses.iter().position(|status| *status == 429).expect("429 within 40 failures");
    assert!((18..=22).contains(&first), "{statuses:?}");
    let mut connection = Connection::open_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3)), gateway.public);
    connection.exchange(&Request::token(&gateway.owner().basic(), GRANT)).assert_status(200);
}

#[test]
fn both_readings_of_credentials_count_as_failures() {
    let gateway = Gateway::start(|config| {
        config.limit("token_failures: {per_client: 10/1m, per_address: 1000/1m}");
    });
    let id = gateway.owner().id.clone();
    let statuses: Vec<u16> =
        (0..12).map(|_| gateway.send(&Request::token(&basic(&id, "wr%6fng"), GRANT)).status).collect();
    let first = statuses.iter().position(|status| *status == 429).expect("429 within 12 failures");
    assert!(first <= 6, "each try holds two guesses: {statuses:?}");
}

#[test]
fn good_requests_are_never_limited() {
    let gateway = Gateway::start(|_| {});
    let mut connection = gateway.connect();
    for _ in 0..100 {
        connection.exchange(&Request::token(&gateway.owner().basic(), GRANT)).assert_status(200);
    }
}
