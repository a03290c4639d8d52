//! Section 7: keys that leak, keys that rotate by schedule, and the key that encrypts them.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::harness::{Gateway, Request, await_that, within};

fn read(token: &str) -> Request {
    Request::post("/v1/applications.get").bearer(token).json("{}")
}

fn keys(gateway: &Gateway) -> Vec<(String, String)> {
    let keys = gateway.cli(&["key", "list", "--json"]).json();
    let text = |key: &serde_json::Value, name: &str| key[name].as_str().unwrap().to_owned();
    keys.as_array().unwrap().iter().map(|key| (text(key, "kid"), text(key, "state"))).collect()
}

fn current(gateway: &Gateway) -> String {
    keys(gateway).into_iter().find(|(_, state)| state == "current").unwrap().0
}

fn published(gateway: &Gateway) -> String {
    gateway.send(&Request::get("/.well-known/jwks.json")).text()
}

/// Changes the store as someone with the `sqlite3` tool can.
fn execute(gateway: &Gateway, sql: &'static str) {
    let options = SqliteConnectOptions::new().filename(gateway.folder().join("gateway.db"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut raw = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut raw).await.unwrap();
        raw.close().await.unwrap();
    });
}

#[test]
fn a_leaked_key_takes_its_tokens_with_it() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    gateway.send(&read(&token)).assert_status(200);
    let leaked = current(&gateway);
    gateway.cli(&["key", "retire", &leaked]).assert_code(0);
    assert!(within(Duration::from_secs(1), || gateway.send(&read(&token)).status == 401), "a cached token too");
    gateway.send(&read(&token)).assert_refused(401, "invalid_token");
    assert!(!published(&gateway).contains(&leaked));
    gateway.send(&read(&gateway.token("application"))).assert_status(200);
    gateway.cli(&["key", "retire", "nobody"]).assert_code(1);
}

#[test]
fn keys_rotate_when_the_schedule_says_so() {
    let gateway = Gateway::start(|config| {
        config.issuer("rotate_every: 1h");
    });
    let (first, token) = (current(&gateway), gateway.token("application"));
    execute(
        &gateway,
        "UPDATE signing_keys SET current_since = current_since - 3601 WHERE state = 'current';
         UPDATE revision SET number = number + 1, keys = keys + 1",
    );
    assert!(within(Duration::from_secs(15), || current(&gateway) != first), "{}", gateway.log());
    gateway.send(&read(&token)).assert_status(200);
    await_that("the new key signs", || published(&gateway).contains(&current(&gateway)));
    let acts = gateway.cli(&["audit", "--act", "key.promoted", "--json"]).json();
    assert_eq!((acts.as_array().unwrap().len(), &acts[0]["actor"]), (1, &"gateway".into()));
}

#[test]
fn every_algorithm_signs_rotates_and_verifies() {
    for algorithm in ["ES256", "EdDSA", "RS256", "PS256"] {
        let gateway = Gateway::start(|config| config.algorithm = algorithm);
        let before = gateway.token("application");
        let rotated = gateway.cli(&["key", "rotate", "--json"]).json();
        let next = rotated.as_array().unwrap().iter().find(|key| key["state"] == "current").unwrap()["kid"].clone();
        await_that("the new key is published", || published(&gateway).contains(next.as_str().unwrap()));
        for token in [&before, &gateway.token("application")] {
            gateway.send(&read(token)).assert_status(200);
        }
    }
}

#[test]
fn the_key_encryption_key_is_exchanged_without_losing_anything() {
    let mut gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    let new = gateway.folder().join("new.key");
    fs::write(&new, "ab".repeat(32) + "\n").unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    let step = |gateway: &mut Gateway, from: &str, to: &str| {
        let text = fs::read_to_string(gateway.file()).unwrap();
        assert!(text.contains(from), "{text}");
        gateway.kill();
        fs::write(gateway.file(), text.replace(from, to)).unwrap();
        gateway.restart();
    };
    step(&mut gateway, "store_key: file:gateway.key", "store_key: [file:new.key, file:gateway.key]");
    gateway.cli(&["key", "rewrap"]).assert_code(0);
    gateway.cli(&["key", "rotate"]).assert_code(0);
    gateway.send(&read(&gateway.token("application"))).assert_status(200);
    step(&mut gateway, "store_key: [file:new.key, file:gateway.key]", "store_key: file:new.key");
    gateway.send(&read(&token)).assert_status(200);
    gateway.send(&read(&gateway.token("application"))).assert_status(200);
    let text = fs::read_to_string(gateway.file()).unwrap();
    fs::write(gateway.file(), text.replace("file:new.key", "file:gateway.key")).unwrap();
    let refused = gateway.cli(&["client", "list"]);
    refused.assert_code(1);
    assert!(refused.stderr.contains("not the one the store was written with"), "{refused:?}");
}
