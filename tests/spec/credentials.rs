//! Section 8: secrets that overlap, end, are imported, and when they were last used.

use std::{fs, time::Duration};

use super::harness::{CUSTOMER, Client, Gateway, Request, await_that, basic, within};

/// `correct horse` at a small cost, as argon2-cffi writes it.
const HASH: &str = "$argon2id$v=19$m=1024,t=1,p=1$c29tZS1zYWx0LTE2Ynl0ZQ$SYdcvmHo/4KSkvpBaaZE6AvN1rxOu/OguJ7iQVzpZAo";

fn rotated(gateway: &Gateway, client: &Client, more: &[&str]) -> Client {
    let output = gateway.cli(&[&["client", "rotate-secret", &client.id, "--json"], more].concat());
    output.assert_code(0);
    let secret = output.json()["client_secret"].as_str().unwrap().to_owned();
    Client { id: client.id.clone(), secret }
}

fn works(gateway: &Gateway, client: &Client) -> bool {
    gateway.probe(&client.basic()) == 200
}

#[test]
fn a_secret_rotated_with_overlap_changes_without_an_outage() {
    let gateway = Gateway::start(|_| {});
    let first = gateway.client("application");
    let second = rotated(&gateway, &first, &["--overlap", "24h"]);
    await_that("the new secret counts", || works(&gateway, &second));
    assert!(works(&gateway, &first), "and the old one still does");
    let third = rotated(&gateway, &first, &["--overlap", "24h"]);
    await_that("a third secret ends the first", || !works(&gateway, &first));
    assert!(works(&gateway, &second) && works(&gateway, &third));
    let last = rotated(&gateway, &first, &[]);
    await_that("without overlap all others end at once", || !works(&gateway, &third));
    assert!(works(&gateway, &last) && !works(&gateway, &second));
}

#[test]
fn an_overlap_and_a_secret_end_by_themselves() {
    let gateway = Gateway::start(|_| {});
    let first = gateway.client("application");
    let second = rotated(&gateway, &first, &["--overlap", "2s", "--expires-in", "4s"]);
    await_that("the new secret counts", || works(&gateway, &second));
    assert!(within(Duration::from_secs(3), || !works(&gateway, &first)), "the overlap has ended");
    assert!(works(&gateway, &second));
    assert!(within(Duration::from_secs(4), || !works(&gateway, &second)), "the secret has ended");
}

#[test]
fn the_last_use_of_a_secret_is_told() {
    let gateway = Gateway::start(|_| {});
    let client = gateway.client("application");
    gateway.issue(&client, "scope=application");
    let used = || {
        let shown = gateway.cli(&["client", "show", &client.id, "--json"]).json();
        shown["secrets"][0]["last_used_at"].is_string()
    };
    assert!(within(Duration::from_secs(20), used));
}

#[test]
fn an_imported_secret_is_slow_once_and_then_known() {
    let gateway = Gateway::start(|_| {});
    fs::write(gateway.folder().join("hash"), HASH).unwrap();
    let import = ["client", "import", "--id", "acme-1", "--customer", CUSTOMER, "--secret-hash", "hash"];
    gateway.cli(&import).assert_code(0);
    await_that("the imported client counts", || gateway.probe(&basic("acme-1", "correct horse")) == 200);
    for secret in ["wrong horse", "", "correct horse "] {
        assert_eq!(gateway.probe(&basic("acme-1", secret)), 401, "{secret}");
    }
    let client = Client { id: "acme-1".to_owned(), secret: "correct horse".to_owned() };
    let token = gateway.issue(&client, "scope=application");
    gateway.send(&Request::get("/oauth2/userinfo").bearer(&token)).assert_status(200);
}
