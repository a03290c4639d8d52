//! Sections 7 and 8: what is done on one node counts on every node that shares its database, within a second.

use std::{
    collections::BTreeSet,
    fs,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::harness::{
    CUSTOMER, Client, Cluster, Config, Gateway, Nodes, Request, await_that, each_row, meanwhile, within,
};

/// What the contract promises.
const PROMISED: Duration = Duration::from_secs(1);
/// For how long a change that comes too late is still watched, to tell how late.
const WATCHED: Duration = Duration::from_secs(4);

/// The acts of an operator or client that every node must hear of. Each tells how long the slowest node took.
const CHANGES: [(&str, fn(&Nodes) -> Option<Duration>); 10] = [
    ("a client added", added),
    ("a client disabled", |nodes| ended(nodes, "disable")),
    ("a client removed", |nodes| ended(nodes, "remove")),
    ("a client enabled", enabled),
    ("a secret rotated", secret_rotated),
    ("a token revoked by its ID", |nodes| revoked(nodes, |_, token| ["--jti".to_owned(), jti(token)])),
    ("the tokens of a client revoked", |nodes| revoked(nodes, |client, _| ["--client".to_owned(), client.id.clone()])),
    ("the tokens of a customer revoked", |nodes| revoked(nodes, |_, _| ["--customer".to_owned(), CUSTOMER.to_owned()])),
    ("a token revoked by its client", revoked_by_its_client),
    ("keys rotated", keys_rotated),
];

fn added(nodes: &Nodes) -> Option<Duration> {
    let client = nodes[0].add_client("application");
    nodes.everywhere(WATCHED, |node| knows(node, &client))
}

fn ended(nodes: &Nodes, how: &str) -> Option<Duration> {
    let client = nodes.client();
    let token = nodes.token(&client);
    nodes[0].cli(&["client", how, &client.id]).assert_code(0);
    nodes.everywhere(WATCHED, |node| node.probe(&client.basic()) == 401 && refuses(node, &token))
}

fn enabled(nodes: &Nodes) -> Option<Duration> {
    let client = nodes.client();
    nodes[0].cli(&["client", "disable", &client.id]).assert_code(0);
    nodes.everywhere(WATCHED, |node| node.probe(&client.basic()) == 401)?;
    nodes[0].cli(&["client", "enable", &client.id]).assert_code(0);
    nodes.everywhere(WATCHED, |node| knows(node, &client))
}

fn secret_rotated(nodes: &Nodes) -> Option<Duration> {
    let old = nodes.client();
    let output = nodes[0].cli(&["client", "rotate-secret", &old.id, "--json"]);
    let took = nodes.everywhere(WATCHED, |node| {
        let new = Client { secret: output.json()["client_secret"].as_str().unwrap().to_owned(), ..old.clone() };
        knows(node, &new) && node.probe(&old.basic()) == 401
    });
    output.assert_code(0);
    took
}

/// Runs `token revoke` with what `which` says of a client and its token.
fn revoked(nodes: &Nodes, which: impl Fn(&Client, &str) -> [String; 2]) -> Option<Duration> {
    let client = nodes.client();
    let token = nodes.token(&client);
    let [flag, value] = which(&client, &token);
    nodes[0].cli(&["token", "revoke", &flag, &value]).assert_code(0);
    nodes.everywhere(WATCHED, |node| refuses(node, &token))
}

fn revoked_by_its_client(nodes: &Nodes) -> Option<Duration> {
    let client = nodes.client();
    let token = nodes.token(&client);
    revoke(&nodes[0], &client, &token).assert_status(200);
    assert!(refuses(&nodes[0], &token), "the node that was asked knows at once");
    nodes.everywhere(WATCHED, |node| refuses(node, &token))
}

fn keys_rotated(nodes: &Nodes) -> Option<Duration> {
    let output = nodes[0].cli(&["key", "rotate", "--json"]);
    let made: Vec<String> = output.json().as_array().unwrap().iter().map(|key| key["kid"].to_string()).collect();
    let took = nodes.everywhere(WATCHED, |node| {
        let published = kids(node);
        made.iter().all(|kid| published.contains(kid))
    });
    output.assert_code(0);
    took
}

fn revoke(node: &Gateway, client: &Client, token: &str) -> crate::harness::Reply {
    let request = Request::post("/v1/oauth2/revoke").header("Authorization", &client.basic());
    node.send(&request.form(&format!("token={token}")))
}

fn knows(node: &Gateway, client: &Client) -> bool {
    node.probe(&client.basic()) == 200
}

fn status(node: &Gateway, token: &str) -> u16 {
    node.send(&Request::get("/v1/applications").bearer(token)).status
}

fn refuses(node: &Gateway, token: &str) -> bool {
    status(node, token) == 401
}

/// The `kid`s that a node publishes, as JSON strings.
fn kids(node: &Gateway) -> BTreeSet<String> {
    let key_set = node.send(&Request::get("/.well-known/jwks.json")).json();
    key_set["keys"].as_array().unwrap().iter().map(|key| key["kid"].to_string()).collect()
}

fn jti(token: &str) -> String {
    text(token, 1, "jti")
}

/// What the header of a token, its part 0, or its claims, its part 1, say under this name.
fn text(token: &str, part: usize, name: &str) -> String {
    let part = URL_SAFE_NO_PAD.decode(token.split('.').nth(part).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&part).unwrap()[name].as_str().unwrap().to_owned()
}

/// A client that is not known yet is asked for again and again, which is no attack here.
fn patient(config: &mut Config) {
    config.limit("token_failures: {per_client: 100000/1m, per_address: 100000/1m}");
}

/// Makes every change once and tells how long each took.
fn each_change_is_in_effect_in_time(nodes: &Nodes, how: &str) {
    each_row(
        &CHANGES,
        |(what, _)| (*what).to_owned(),
        |(what, change)| {
            let took = change(nodes);
            eprintln!("{how}: {what}: on all {} nodes after {took:?}", nodes.len());
            assert!(took.is_some_and(|took| took < PROMISED), "{what}: {took:?}");
        },
    );
}

#[test]
fn a_token_of_one_node_is_accepted_by_all_others() {
    let Some(cluster) = Cluster::start() else { return };
    let nodes = Nodes::start(3, &cluster, patient);
    for (issuer, from) in nodes.iter().enumerate() {
        let token = from.token("application");
        for (verifier, at) in nodes.iter().enumerate() {
            assert_eq!(status(at, &token), 200, "a token of node {issuer} at node {verifier}");
        }
    }
    assert!(nodes.iter().all(|node| kids(node) == kids(&nodes[0])), "one key set");
}

#[test]
fn a_change_on_one_node_is_in_effect_on_all_within_a_second() {
    let Some(cluster) = Cluster::start() else { return };
    let nodes = Nodes::start(3, &cluster, patient);
    each_change_is_in_effect_in_time(&nodes, "notified");
}

#[test]
fn a_change_is_in_effect_within_a_second_though_listening_connections_break_all_the_time() {
    let Some(cluster) = Cluster::start() else { return };
    let nodes = Nodes::start(2, &cluster, patient);
    let breaking = |ended: &AtomicBool| {
        let mut broken = 0;
        // Time enough for one to be made again.
        while !within(Duration::from_millis(20), || ended.load(Ordering::SeqCst)) {
            let count = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE application_name LIKE 'scopegate listen%'";
            broken += cluster.sql("postgres", count).parse::<usize>().unwrap();
        }
        broken
    };
    let ((), broken) = meanwhile(&[&breaking], || each_change_is_in_effect_in_time(&nodes, "polled"));
    eprintln!("{} connections broken", broken[0]);
    assert!(broken[0] > 10, "{} connections broken", broken[0]);
}

#[test]
fn a_change_that_nobody_was_notified_of_is_in_effect_within_a_second() {
    let Some(cluster) = Cluster::start() else { return };
    let nodes = Nodes::start(3, &cluster, patient);
    for _ in 0..3 {
        let client = nodes.client();
        let token = nodes.token(&client);
        let sql = "BEGIN; UPDATE clients SET state = 'disabled' WHERE id = '$';
            UPDATE revision SET number = number + 1, clients = clients + 1; COMMIT";
        cluster.sql(&nodes.database, &sql.replace('$', &client.id));
        let took = nodes.everywhere(WATCHED, |node| !knows(node, &client) && refuses(node, &token));
        eprintln!("unnotified: a client disabled: on all nodes after {took:?}");
        assert!(took.is_some_and(|took| took < PROMISED), "{took:?}");
    }
}

#[test]
fn nodes_that_are_notified_need_not_wait_until_they_look() {
    let Some(cluster) = Cluster::start() else { return };
    let nodes = Nodes::start(3, &cluster, patient);
    let took: Vec<Duration> = (0..10).map(|_| added(&nodes).expect("the client is seen")).collect();
    eprintln!("notified: ten clients added: {took:?}");
    // Nodes look every 500 ms: ten changes that were waited for to be looked at would not all be this early.
    assert!(took.iter().all(|took| *took < Duration::from_millis(250)), "{took:?}");
}

#[test]
fn nodes_that_start_at_once_on_an_empty_database_make_one_set_of_keys_and_rotate_it_once() {
    let Some(cluster) = Cluster::start() else { return };
    let nodes = Nodes::start(3, &cluster, |config| {
        config.issuer("rotate_every: 1h");
    });
    let count = |act: &str| cluster.sql(&nodes.database, &format!("SELECT count(*) FROM audit WHERE act = '{act}'"));
    assert_eq!(["store.made", "key.made", "key.promoted"].map(count), ["1", "2", "0"]);
    for node in nodes.iter() {
        assert!(!node.log().contains("\"ERROR\""), "{}", node.log());
    }

    let before = kids(&nodes[0]);
    // While nobody can change anything, all nodes come to find that the current key has signed for long enough.
    let old = "BEGIN; UPDATE signing_keys SET current_since = current_since - 7200 WHERE state = 'current';
        UPDATE revision SET number = number + 1, keys = keys + 1; NOTIFY scopegate; COMMIT";
    cluster.sql(&nodes.database, old);
    let turn = cluster.hold(&nodes.database, "BEGIN; SELECT number FROM revision FOR UPDATE").unwrap();
    let nodes_that = |state: &str| {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'scopegate' AND $";
        cluster.sql(&nodes.database, &sql.replace('$', state))
    };
    let waiting = within(Duration::from_secs(20), || nodes_that("wait_event_type = 'Lock'") == "3");
    assert!(waiting, "not all nodes want to rotate the keys");
    drop(turn);
    await_that("every node done", || nodes_that("state <> 'idle'") == "0" && kids(&nodes[0]) != before);
    await_that("the same keys everywhere", || nodes.iter().all(|node| kids(node) == kids(&nodes[0])));
    assert_eq!(["key.made", "key.promoted", "key.retired"].map(count), ["3", "1", "1"], "one rotation for all nodes");
}

#[test]
fn a_node_with_another_key_or_an_older_binary_than_the_database_does_not_start() {
    let Some(cluster) = Cluster::start() else { return };
    let mut nodes = Nodes::start(2, &cluster, |_| {});
    let file = nodes[1].file();
    let (own, other) = (fs::read_to_string(&file).unwrap(), nodes.other_key());
    let key = own.lines().find(|line| line.starts_with("store_key:")).expect("the file names the key");
    fs::write(&file, own.replace(key, &format!("store_key: file:{}", other.display()))).unwrap();
    let log = nodes[1].restart_refused();
    assert!(log.contains("not the one the store was written with"), "{log}");

    fs::write(&file, own).unwrap();
    nodes[1].restart();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'later', TRUE, '', 0)";
    cluster.sql(&nodes.database, newer);
    let log = nodes[1].restart_refused();
    assert!(log.contains("a newer scopegate wrote it"), "{log}");
    assert_eq!(status(&nodes[0], &nodes[0].token("application")), 200, "the other node goes on");
}

#[test]
fn keys_rotated_under_load_on_two_nodes_fail_no_request() {
    let Some(cluster) = Cluster::start() else { return };
    let nodes = Nodes::start(2, &cluster, patient);
    nodes.under_load(|| {
        for rotation in 0..30 {
            nodes[rotation % 2].cli(&["key", "rotate"]).assert_code(0);
        }
        let last = cluster.sql(&nodes.database, "SELECT id FROM signing_keys WHERE state = 'current'");
        let signs = |node: &Gateway| text(&node.token("application"), 0, "kid") == last;
        await_that("the last key signs on both nodes", || nodes.iter().all(signs));
    });
    assert!(kids(&nodes[0]).len() > 30, "{:?}", kids(&nodes[0]));
}
