//! Section 11, `limits.token_failures`: brute force is slowed down, and its victim is not locked out.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};

use crate::harness::{CUSTOMER, Connection, Gateway, Reply, Request, await_that, basic, within};

const GRANT: &str = "grant_type=client_credentials";

/// `chosen` as other systems hash it: 64 MiB, so that a check takes its tenth of a second.
fn slow_hash() -> String {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64 * 1024, 3, 1, None).unwrap());
    argon2.hash_password_with_salt(CHOSEN.as_bytes(), b"some-salt-16byte").unwrap().to_string()
}

const CHOSEN: &str = "chosen";

/// Imports clients whose secret is [`CHOSEN`]; that of none of them has been shown when this returns.
fn import(gateway: &Gateway, ids: &[&str]) {
    fs::write(gateway.folder().join("hash"), slow_hash()).unwrap();
    for id in ids {
        let import = ["client", "import", "--id", id, "--customer", CUSTOMER, "--secret-hash", "hash"];
        gateway.cli(&import).assert_code(0);
    }
    // A client that comes last is known when all of them are.
    gateway.client("application");
}

fn from(host: u8, gateway: &Gateway) -> Connection {
    Connection::open_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)), gateway.public)
        .patient_for(Duration::from_secs(60))
}

/// Sends all of these wrong secrets before anybody reads a reply.
fn burst(gateway: &Gateway, ids: impl Iterator<Item = String>) -> Vec<Connection> {
    let host = gateway.public.to_string();
    let send = |(number, id): (usize, String)| {
        let mut connection = from(1, gateway);
        connection.send(Request::token(&basic(&id, &format!("wrong{number}")), GRANT).bytes(&host));
        connection
    };
    ids.enumerate().map(send).collect()
}

/// The replies to 150 wrong secrets at once, while a good client elsewhere had its own checked, which nobody had shown
/// before: it had to wait for no more of them than were being judged already. At least so many of them are told 429.
fn beside_a_burst(gateway: &Gateway, ids: impl Fn(usize) -> String, told_at_once: f64) -> Vec<Reply> {
    let counted = |name, labels: &[(&str, &str)]| gateway.metrics().value(name, labels);
    let wrong = || counted("scopegate_token_requests_total", &[("result", "invalid_client")]);
    let mut waiting = burst(gateway, (0..150).map(ids));
    // Those that do not wait are told at once: then the others do.
    await_that("the burst has come in", || counted("scopegate_rate_limited_total", &[]) >= told_at_once);
    let (begin, before) = (Instant::now(), wrong());
    from(9, gateway).exchange(&Request::token(&basic("other", CHOSEN), GRANT)).assert_status(200);
    let (took, ahead) = (begin.elapsed(), wrong() - before);
    let replies: Vec<Reply> = waiting.iter_mut().map(|connection| connection.try_reply().expect("a reply")).collect();
    let told = replies.iter().filter(|reply| reply.status == 429).count();
    eprintln!(
        "of {} guesses {} were judged in {:?} and {told} told 429; the good client waited for {ahead} of them, {took:?}",
        replies.len(),
        judged(&replies),
        begin.elapsed(),
    );
    assert!(ahead < 3.5, "{ahead} guesses were ahead of a good client elsewhere");
    assert_eq!(judged(&replies) + told, replies.len());
    for reply in replies.iter().filter(|reply| reply.status == 429) {
        reply.assert_oauth_error(429, "temporarily_unavailable");
        let seconds: u32 = reply.header("retry-after").expect("Retry-After").parse().unwrap();
        assert!((1..=360).contains(&seconds), "{seconds}");
    }
    replies
}

fn judged(replies: &[Reply]) -> usize {
    replies.iter().filter(|reply| reply.status == 401).count()
}

#[test]
fn of_a_burst_of_guesses_at_one_client_ten_are_judged_and_a_good_client_elsewhere_does_not_wait_for_them() {
    // As by default, but that nothing is forgiven while the test lasts.
    let gateway = Gateway::start(|config| {
        config.limit("token_failures: {per_client: 10/1h, per_address: 60/1m}");
    });
    import(&gateway, &["victim", "other"]);
    let replies = beside_a_burst(&gateway, |_| "victim".to_owned(), 140.0);
    assert_eq!(judged(&replies), 10, "token_failures.per_client");
    // Its owner, from elsewhere, is not locked out.
    from(8, &gateway).exchange(&Request::token(&basic("victim", CHOSEN), GRANT)).assert_status(200);
    let limited = gateway.metrics().value("scopegate_rate_limited_total", &[("limit", "token_failures")]);
    assert!((limited - 140.0).abs() < 0.5, "{limited}");
}

#[test]
fn one_address_has_a_share_of_the_checks_however_many_clients_it_names() {
    let gateway = Gateway::start(|config| {
        config.limit("token_failures: {per_client: 1000/1m, per_address: 1000/1m}");
    });
    import(&gateway, &["other"]);
    let replies = beside_a_burst(&gateway, |number| format!("client{number}"), 120.0);
    // A quarter of the places, and what was judged while the burst came in.
    assert!((16..=24).contains(&judged(&replies)), "{}", judged(&replies));
    let limited = gateway.metrics().value("scopegate_rate_limited_total", &[("limit", "token_checks")]);
    assert!(limited > 100.0, "{limited}");
    let told = replies.iter().filter(|reply| reply.status == 429);
    assert!(told.into_iter().all(|reply| reply.header("retry-after") == Some("1")));
}

#[test]
fn a_right_secret_of_our_making_passes_where_failures_are_used_up_and_a_wrong_one_does_not() {
    let gateway = Gateway::start(|config| {
        config.limit("token_failures: {per_client: 3/1h, per_address: 6/1h}");
    });
    let (owner, neighbour) = (gateway.owner().clone(), gateway.client("application"));
    // A job somewhere that nobody told of the new secret.
    let stale = basic(&owner.id, &owner.secret.replace("sgs", "sgS"));
    let send = |authorization: &str| gateway.send(&Request::token(authorization, GRANT)).status;
    let statuses: Vec<u16> = (0..6).map(|_| send(&stale)).collect();
    assert_eq!(statuses, [401, 401, 401, 429, 429, 429]);
    for number in 0..3 {
        assert_eq!(wrong(&gateway, &format!("nobody{number}")).status, 401);
    }
    // Now the address has none left either.
    assert_eq!(wrong(&gateway, "nobody").status, 429);
    for _ in 0..20 {
        assert_eq!([send(&owner.basic()), send(&neighbour.basic())], [200, 200]);
        assert_eq!([send(&stale), send(&basic(&neighbour.id, &owner.secret))], [429, 429]);
    }
    let token = gateway.issue(&owner, "scope=application");
    for path in ["/v1/oauth2/introspect", "/v1/oauth2/revoke"] {
        let ask = |authorization: &str| {
            let form = format!("token={token}");
            gateway.send(&Request::post(path).header("Authorization", authorization).form(&form)).status
        };
        assert_eq!([ask(&stale), ask(&owner.basic())], [429, 200], "{path}");
    }
}

#[test]
fn the_limit_of_an_imported_secret_holds_for_right_and_wrong_alike() {
    let gateway = Gateway::start(|config| {
        config.limit("token_failures: {per_client: 2/1h, per_address: 1000/1h}");
    });
    import(&gateway, &["imported"]);
    let send = |host, secret| from(host, &gateway).exchange(&Request::token(&basic("imported", secret), GRANT)).status;
    // Known from the first time on, and each good one gives back what it took.
    let statuses: Vec<u16> = (0..5).map(|_| send(1, CHOSEN)).collect();
    assert_eq!(statuses, [200; 5]);
    assert_eq!([send(1, "a"), send(1, "b")], [401, 401]);
    assert_eq!([send(1, "c"), send(1, CHOSEN), send(1, CHOSEN)], [429, 429, 429]);
    assert_eq!(send(2, CHOSEN), 200, "elsewhere it has not failed");
}

#[test]
fn who_guesses_is_told_the_same_bytes_of_every_client_once_failures_are_used_up() {
    let gateway = Gateway::start(|config| {
        config.limit("token_failures: {per_client: 1/1h, per_address: 1000/1h}");
    });
    let disabled = gateway.client("application");
    gateway.cli(&["client", "disable", &disabled.id]).assert_code(0);
    await_that("the client is disabled", || gateway.probe(&disabled.basic()) == 401);
    let told: Vec<_> = [basic(&gateway.owner().id, "wrong"), basic("nobody", "wrong"), disabled.basic()]
        .iter()
        .map(|authorization| {
            let request = Request::token(authorization, GRANT);
            gateway.send(&request).assert_oauth_error(401, "invalid_client");
            let reply = gateway.send(&request);
            reply.assert_oauth_error(429, "temporarily_unavailable");
            let varies = |name: &str| ["x-request-id", "date"].contains(&name.to_lowercase().as_str());
            (reply.body, reply.headers.into_iter().filter(|(name, _)| !varies(name)).collect::<Vec<_>>())
        })
        .collect();
    assert!(told.iter().all(|reply| *reply == told[0]), "{told:#?}");
}

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
