//! Section 7: a flood of bad tokens neither pushes good ones out of the cache nor outgrows its bound.

use std::{fs, thread};

use crate::harness::{Forge, Gateway, Request, await_that, b64, stolen_key};

const JUNK: usize = 200_000;
const GOOD: usize = 1_000;
const SENDERS: usize = 4;
const MEBIBYTE: u64 = 1 << 20;

fn read(token: &str) -> Request {
    Request::get("/v1/applications").bearer(token)
}

/// A token of each kind that is remembered as bad, each another one: no JWT, of an unknown key, and badly signed.
fn junk(forge: &Forge, issuer: &str, number: usize) -> String {
    let payload = b64(format!(r#"{{"iss":"{issuer}","n":{number}}}"#));
    let unknown = format!(r#"{{"alg":"ES256","kid":"{number}"}}"#);
    match number % 3 {
        0 => format!("{}.{payload}.{}", b64(forge.header()), b64([7; 64])),
        1 => format!("{}.{payload}.{}", b64(unknown), b64([7; 64])),
        _ => format!("{}.{}.{}", b64(forge.header()), b64(format!("no claims {number}")), b64([7; 64])),
    }
}

/// What the process holds in memory.
fn resident(gateway: &Gateway) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}

/// Sends every good token, each of which passes.
fn use_all(gateway: &Gateway, good: &[String]) {
    let mut connection = gateway.connect();
    for token in good {
        connection.exchange(&read(token)).assert_status(200);
    }
}

/// How many look-ups found nothing so far.
fn misses(gateway: &Gateway) -> f64 {
    gateway.metrics().value("scopegate_token_cache_misses_total", &[])
}

#[test]
fn two_hundred_thousand_junk_tokens_leave_good_ones_in_the_cache_and_memory_in_its_bound() {
    let gateway = Gateway::start(|config| {
        // The negative cache remembers for as long as it may.
        config.section("cache: {entries: 10000, memory: 16MiB, negative: {entries: 20000, ttl: 60s}}");
    });
    let (forge, issuer) = (stolen_key(&gateway), gateway.url());
    let good: Vec<String> = (0..GOOD).map(|_| gateway.token("application")).collect();
    use_all(&gateway, &good);
    use_all(&gateway, &good);
    let before = resident(&gateway);
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (gateway, forge, issuer) = (&gateway, &forge, &issuer);
            scope.spawn(move || {
                let mut connection = gateway.connect();
                for number in (sender..JUNK).step_by(SENDERS) {
                    assert_eq!(connection.exchange(&read(&junk(forge, issuer, number))).status, 401);
                }
            });
        }
    });
    let flooded = misses(&gateway);
    assert!(flooded >= 200_000.0, "{flooded} look-ups were misses");
    use_all(&gateway, &good);
    await_that("the last request counted", || gateway.metrics().value("scopegate_in_flight_requests", &[]) == 0.0);
    let missed = misses(&gateway) - flooded;
    let grown = resident(&gateway).saturating_sub(before);
    eprintln!("{missed} of {GOOD} good tokens missed after {JUNK} junk ones; {} KiB grown", grown / 1024);
    assert!(missed <= 10.0, "{missed} of {GOOD} good tokens were pushed out");
    assert!(grown < 32 * MEBIBYTE, "{} MiB grown", grown / MEBIBYTE);
}
