//! Section 8: nodes whose PostgreSQL is down, full or locked go on with what they know, say so, and lose nothing.

use std::time::{Duration, Instant};

use crate::harness::{Client, Cluster, Config, Gateway, Nodes, Request, await_that, within};

fn patient(config: &mut Config) {
    config.limit("token_failures: {per_client: 100000/1m, per_address: 100000/1m}");
}

/// What the metric and `/readyz` say; a gateway is ready either way.
fn store_is_up(node: &Gateway) -> bool {
    let ready = node.admin("/readyz");
    ready.assert_status(200);
    let told = !ready.text().lines().any(|line| line.starts_with("store: unavailable"));
    let metric = node.metrics();
    assert!(metric.has("scopegate_store_up"));
    let value = metric.value("scopegate_store_up", &[]);
    (value > 0.5) && told
}

fn store_is_down(node: &Gateway) -> bool {
    let told = node.admin("/readyz").text().contains("store: unavailable");
    told && node.metrics().value("scopegate_store_up", &[]) < 0.5
}

/// Waits for the nodes to notice, and tells how long that took.
fn everywhere(nodes: &Nodes, what: &str, limit: Duration, holds: impl Fn(&Gateway) -> bool + Sync) {
    let took = nodes.everywhere(limit + Duration::from_secs(4), holds);
    eprintln!("{what}: on all nodes after {took:?}");
    assert!(took.is_some_and(|took| took <= limit), "{what}: {took:?}");
}

/// Waits until every node has served many more requests.
fn serve_on(nodes: &Nodes) {
    let served = |node: &Gateway| node.metrics().value("scopegate_requests_total", &[]);
    let before: Vec<f64> = nodes.iter().map(served).collect();
    let more = |(node, before): (&Gateway, &f64)| served(node) >= before + 300.0;
    await_that("every node serves on", || nodes.iter().zip(&before).all(more));
}

fn assert_a_new_client_is_seen_in_time(nodes: &Nodes) -> Client {
    let client = nodes[1].add_client("application");
    everywhere(nodes, "a client added afterwards", Duration::from_secs(1), |node| node.probe(&client.basic()) == 200);
    client
}

#[test]
fn a_crash_of_the_database_under_load_fails_no_request_and_loses_nothing() {
    let Some(mut cluster) = Cluster::start_with(&["fsync=on"]) else { return };
    let nodes = Nodes::start(2, &cluster, patient);
    let mut acknowledged = vec![nodes[0].owner().clone(), nodes.client()];
    nodes.under_load(|| {
        let last = nodes[0].add_client("application");
        cluster.stop_immediate();
        everywhere(&nodes, "a crashed database noticed", Duration::from_secs(5), store_is_down);
        assert_ne!(nodes[0].cli(&["client", "disable", &last.id]).code, 0, "nothing can be changed");
        serve_on(&nodes);
        for node in nodes.iter() {
            assert!(store_is_down(node));
            assert_eq!(node.probe(&acknowledged[1].basic()), 200, "known clients get tokens");
        }
        cluster.restart();
        everywhere(&nodes, "the database back", Duration::from_secs(2), store_is_up);
        acknowledged.extend([last, assert_a_new_client_is_seen_in_time(&nodes)]);
    });
    let kept = nodes[0].cli(&["client", "list", "--json"]);
    for client in &acknowledged {
        assert!(kept.stdout.contains(&client.id), "a client is lost: {}", kept.stdout);
        assert!(nodes.iter().all(|node| node.probe(&client.basic()) == 200));
    }
}

#[test]
fn a_revocation_that_cannot_be_kept_is_refused_soon_and_can_be_asked_for_again() {
    let Some(mut cluster) = Cluster::start() else { return };
    let nodes = Nodes::start(2, &cluster, patient);
    let client = nodes.client();
    let token = nodes.token(&client);
    let revoke = Request::post("/v1/oauth2/revoke").header("Authorization", &client.basic());
    let revoke = revoke.form(&format!("token={token}"));
    cluster.stop_immediate();
    for node in nodes.iter() {
        let begin = Instant::now();
        let reply = node.send(&revoke);
        let took = begin.elapsed();
        eprintln!("a revocation refused after {took:?}");
        reply.assert_status(503);
        assert!(reply.header("retry-after").is_some(), "{}", reply.summary());
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
    cluster.restart();
    let done = within(Duration::from_secs(3), || nodes[1].send(&revoke).status == 200);
    assert!(done, "{}", nodes[1].send(&revoke).summary());
    let use_it = Request::get("/v1/applications").bearer(&token);
    everywhere(&nodes, "the revocation", Duration::from_secs(1), |node| node.send(&use_it).status == 401);
}

#[test]
fn a_database_without_free_connections_disturbs_no_request() {
    let Some(cluster) = Cluster::start_with(&["max_connections=20"]) else { return };
    let nodes = Nodes::start(2, &cluster, patient);
    nodes.under_load(|| {
        let mut others = Vec::new();
        let lost = within(Duration::from_secs(10), || {
            // Whoever lets go of a connection does not get it back.
            while let Ok(held) = cluster.hold("postgres", TERMINATE) {
                others.push(held);
            }
            nodes.iter().all(store_is_down)
        });
        assert!(lost && others.len() > 10, "the nodes still have connections beside {} others", others.len());
        serve_on(&nodes);
        assert!(nodes.iter().all(store_is_down));
        drop(others);
        everywhere(&nodes, "connections free again", Duration::from_secs(2), store_is_up);
        assert_a_new_client_is_seen_in_time(&nodes);
    });
}

#[test]
fn a_database_that_is_only_read_for_a_while_is_written_again_soon() {
    let Some(cluster) = Cluster::start() else { return };
    let nodes = Nodes::start(2, &cluster, patient);
    let client = nodes.client();
    let revoke = |node: &Gateway| {
        let token = nodes.token(&client);
        let revoke = Request::post("/v1/oauth2/revoke").header("Authorization", &client.basic());
        node.send(&revoke.form(&format!("token={token}"))).status
    };
    // What a server does that has become a standby, or whose disk its keeper found full.
    let read_only = |on: &str| {
        cluster.sql("postgres", &format!("ALTER SYSTEM SET default_transaction_read_only = {on}"));
        cluster.sql("postgres", "SELECT pg_reload_conf()");
    };
    read_only("on");
    await_that("changes are refused", || nodes.iter().all(|node| revoke(node) == 503));
    everywhere(&nodes, "no changes noticed", Duration::from_secs(2), store_is_down);
    read_only("off");
    everywhere(&nodes, "changes possible again", Duration::from_secs(2), store_is_up);
    assert!(nodes.iter().all(|node| revoke(node) == 200));
}

#[test]
fn a_locked_table_disturbs_no_request() {
    let Some(cluster) = Cluster::start() else { return };
    let nodes = Nodes::start(2, &cluster, patient);
    nodes.under_load(|| {
        // Something to read, which is now locked.
        let raise = "UPDATE revision SET number = number + 1, clients = clients + 1";
        let lock = "BEGIN; LOCK TABLE clients IN ACCESS EXCLUSIVE MODE";
        let lock = cluster.hold(&nodes.database, lock).unwrap();
        cluster.sql(&nodes.database, raise);
        everywhere(&nodes, "a lock noticed", Duration::from_secs(5), store_is_down);
        drop(lock);
        everywhere(&nodes, "the lock gone", Duration::from_secs(3), store_is_up);
        assert_a_new_client_is_seen_in_time(&nodes);
    });
}

const TERMINATE: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'scopegate%'";
