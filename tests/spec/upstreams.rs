//! Sections 6, 10 and 11: which server gets a request, and how servers are looked after.

use std::{collections::BTreeSet, fs, io::Write, time::Duration};

use tempfile::TempDir;

use crate::harness::{
    Answer, Gateway, HOSTS_FILE, Request, Scripted, Upstream, await_that, each_row, may_have_hosts, within,
};

/// Two recording servers, and these keys beside them.
fn two(keys: &[&str]) -> Gateway {
    Gateway::start(|config| {
        config.upstreams = 2;
        for key in keys {
            config.group(key);
        }
    })
}

/// Requests that each server has seen, without those of health checks.
fn seen(gateway: &Gateway) -> Vec<usize> {
    let asked = |upstream: &Upstream| upstream.requests().iter().filter(|seen| seen.target != "/health").count();
    gateway.upstreams.iter().map(asked).collect()
}

fn up(gateway: &Gateway, server: &str) -> f64 {
    gateway.metrics().value("scopegate_upstream_up", &[("upstream", "applications"), ("server", server)])
}

fn get(gateway: &Gateway, times: usize) {
    for _ in 0..times {
        gateway.send(&Request::get("/healthz")).assert_status(200);
    }
}

#[test]
fn a_weight_is_a_share_of_the_requests() {
    let gateway = Gateway::start(|config| {
        config.upstreams = 2;
        config.servers(&["{address: $1, weight: 3}", "$2"]);
    });
    get(&gateway, 40);
    assert_eq!(seen(&gateway), [30, 10]);
}

#[test]
fn a_busy_server_gets_fewer_requests() {
    let gateway = two(&["balance: least_connections"]);
    let (answer, steps) = Answer::stepwise();
    gateway.upstreams[0].always(answer);
    let mut waiting = gateway.connect();
    // Of equals the first one is asked first; it does not answer.
    waiting.send(Request::get("/healthz").bytes("h"));
    await_that("the first request", || seen(&gateway) == [1, 0]);
    // On one connection each request has ended before the next begins.
    let mut others = gateway.connect();
    for _ in 0..10 {
        others.exchange(&Request::get("/healthz")).assert_status(200);
    }
    assert_eq!(seen(&gateway), [1, 10]);
    steps.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    drop(steps);
}

#[test]
fn a_client_keeps_its_server() {
    let gateway = Gateway::start(|config| {
        config.upstreams = 3;
        config.group("balance: client_hash");
    });
    let used = |send: &dyn Fn()| {
        gateway.upstreams.iter().for_each(Upstream::forget);
        (0..5).for_each(|_| send());
        let seen = seen(&gateway);
        assert_eq!(seen.iter().filter(|count| **count > 0).count(), 1, "{seen:?}");
        seen.iter().position(|count| *count == 5).expect("all of them at one server")
    };
    let servers: BTreeSet<usize> = (0..12)
        .map(|_| {
            let client = gateway.client("application");
            let token = gateway.issue(&client, "scope=application");
            used(&|| drop(gateway.send(&Request::get("/v1/any/x").bearer(&token)).assert_status(200).clone()))
        })
        .collect();
    assert!(servers.len() > 1, "twelve clients share one server");
    used(&|| get(&gateway, 1)); // nobody but an address
}

#[test]
fn a_server_may_be_a_unix_socket() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("api.sock");
    let server = Scripted::at_socket(&path);
    let gateway = Gateway::start(|config| {
        config.servers(&[&format!("\"unix:{}\"", path.display())]);
        config.group("health: {path: /health, every: 100ms}");
    });
    for _ in 0..3 {
        assert_eq!(gateway.send(&Request::get("/healthz")).assert_status(200).text(), "ok");
    }
    await_that("its health is checked too", || server.requests() > 3);
    assert!(up(&gateway, &format!("unix:{}", path.display())) > 0.0);
}

#[test]
fn a_dead_server_costs_no_request_and_is_left_alone_soon() {
    let mut gateway = two(&["eject: {failures: 3, for: 1s}"]);
    let dead = gateway.upstreams.remove(0).address;
    let token = gateway.token("application");
    for _ in 0..30 {
        let reply = gateway.send(&Request::post("/v1/any/x").bearer(&token).body("x"));
        reply.assert_status(200);
    }
    assert_eq!(gateway.upstreams[0].requests().len(), 30);
    let metrics = gateway.metrics();
    let of = |name: &str| metrics.value(name, &[("upstream", "applications")]);
    assert!((3.0..=5.0).contains(&of("scopegate_upstream_connect_failures_total")), "{}", metrics.0);
    assert!(of("scopegate_upstream_ejections_total") > 0.0);
    assert!(of("scopegate_upstream_retries_total") >= 3.0);
    assert!(up(&gateway, &dead.to_string()) < 1.0 && up(&gateway, &gateway.upstreams[0].address.to_string()) > 0.0);
    // It comes back, is tried by one request when its time is over, and takes its share again.
    let again = Upstream::start_at(dead);
    await_that("the server is used again", || {
        get(&gateway, 1);
        !again.requests().is_empty()
    });
    await_that("it is up again", || up(&gateway, &dead.to_string()) > 0.0);
    again.forget();
    get(&gateway, 10);
    assert_eq!(again.requests().len(), 5);
}

#[test]
fn the_last_server_is_asked_however_often_it_failed() {
    let mut gateway = two(&["eject: {failures: 1, for: 1h}"]);
    let addresses: Vec<_> = gateway.upstreams.iter().map(|upstream| upstream.address).collect();
    gateway.upstreams.clear();
    for _ in 0..5 {
        gateway.send(&Request::get("/healthz")).assert_problem(502, "upstream_unreachable");
    }
    gateway.upstreams = vec![Upstream::start_at(addresses[1])];
    for _ in 0..5 {
        gateway.send(&Request::get("/healthz")).assert_status(200);
    }
}

#[test]
fn a_server_that_fails_its_checks_gets_no_requests() {
    let gateway = two(&["health: {path: /health, every: 100ms, unhealthy_after: 2, healthy_after: 2}"]);
    await_that("a check of each", || gateway.upstreams.iter().all(|upstream| !upstream.requests().is_empty()));
    let check = gateway.upstreams[0].requests().remove(0);
    assert_eq!((check.method.as_str(), check.target.as_str()), ("GET", "/health"));
    assert_eq!(check.header("host"), Some(gateway.upstreams[0].address.to_string().as_str()));
    get(&gateway, 10);
    assert_eq!(seen(&gateway), [5, 5]);
    let first = gateway.upstreams[0].address.to_string();
    gateway.upstreams[0].always(Answer::with(500, "", b""));
    await_that("the first is down", || up(&gateway, &first) < 1.0);
    gateway.upstreams.iter().for_each(Upstream::forget);
    get(&gateway, 10);
    assert_eq!(seen(&gateway), [0, 10]);
    gateway.upstreams[1].always(Answer::with(204, "", b""));
    await_that("nobody is up", || up(&gateway, &gateway.upstreams[1].address.to_string()) < 1.0);
    let reply = gateway.send(&Request::get("/healthz"));
    reply.assert_refused(503, "upstream_unavailable");
    assert_eq!(reply.header("retry-after"), Some("1"));
    let line = gateway.access_line(reply.json()["request_id"].as_str().unwrap());
    assert_eq!((&line["status"], &line["decision"]), (&503.into(), &"admitted".into()), "{line}");
    assert!(line.get("upstream").is_none_or(|upstream| upstream.is_null()), "nobody was asked: {line}");
    gateway.upstreams[0].always(Answer::with(200, "", b""));
    await_that("the first is back", || gateway.send(&Request::get("/healthz")).status == 200);
}

#[test]
fn what_counts_as_healthy_is_what_the_file_says() {
    let cases: [(&str, &str, Answer); 6] = [
        (
            "another status that is expected",
            "health: {path: /health, every: 100ms, expect: 204}",
            Answer::with(204, "", b""),
        ),
        (
            "an interim reply before it",
            "health: {path: /health, every: 100ms}",
            Answer::Bytes(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()),
        ),
        ("connecting, whatever it answers", "health: {tcp: true, every: 100ms}", Answer::Hang),
        ("no redirect", "health: {path: /health, every: 100ms}", Answer::with(302, "Location: /\r\n", b"")),
        ("no silence", "health: {path: /health, every: 100ms, timeout: 50ms}", Answer::Hang),
        ("no garbage", "health: {path: /health, every: 100ms}", Answer::ThenClose(b"SSH-2.0\r\n\r\n".to_vec())),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(name, health, answer)| {
            let gateway = Gateway::start(|config| {
                config.group(health);
            });
            gateway.upstream().always(answer.clone());
            let address = gateway.upstream().address.to_string();
            if name.starts_with("no ") {
                await_that("it is down", || up(&gateway, &address) < 1.0);
                return;
            }
            // Each check has a connection of its own; with the fifth, four have been judged.
            let before = gateway.upstream().connections();
            await_that("three more checks", || gateway.upstream().connections() >= before + 5);
            assert!(up(&gateway, &address) > 0.0);
        },
    );
}

#[test]
fn a_server_that_takes_no_connections_fails_its_check() {
    let mut gateway = two(&["health: {tcp: true, every: 100ms}", "eject: never"]);
    let dead = gateway.upstreams.remove(0).address;
    await_that("it is down", || up(&gateway, &dead.to_string()) < 1.0);
    let before = gateway.metrics().value("scopegate_upstream_connect_failures_total", &[]);
    get(&gateway, 10);
    let after = gateway.metrics().value("scopegate_upstream_connect_failures_total", &[]);
    assert!((after - before).abs() < f64::EPSILON, "it was asked: {before} {after}");
    let _again = Upstream::start_at(dead);
    await_that("it is back", || up(&gateway, &dead.to_string()) > 0.0);
}

#[test]
fn a_server_has_no_more_requests_at_one_moment_than_it_may() {
    let gateway = two(&["max_requests: 1"]);
    let answers: Vec<_> = gateway
        .upstreams
        .iter()
        .map(|upstream| {
            let (answer, steps) = Answer::stepwise();
            upstream.once(answer);
            steps
        })
        .collect();
    let mut held: Vec<_> = (0..2).map(|_| gateway.connect()).collect();
    for (place, connection) in held.iter_mut().enumerate() {
        connection.send(Request::get("/healthz").bytes("h"));
        await_that("it is on its way", || seen(&gateway).iter().sum::<usize>() == place + 1);
    }
    assert_eq!(seen(&gateway), [1, 1], "each has one");
    gateway.send(&Request::get("/healthz")).assert_refused(503, "upstream_unavailable");
    for steps in answers {
        steps.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
    for connection in &mut held {
        connection.reply().assert_status(200);
    }
    get(&gateway, 2);
}

#[test]
fn a_place_is_given_back_by_whoever_leaves() {
    let gateway = Gateway::start(|config| {
        config.group("max_requests: 1");
        config.timeout("read: 300ms");
    });
    // By a client that goes away, a server that does not answer, and a transfer that breaks off.
    gateway.upstream().once(Answer::Hang);
    let mut connection = gateway.connect();
    connection.send(Request::get("/healthz").bytes("h"));
    await_that("it is on its way", || seen(&gateway) == [1]);
    drop(connection);
    await_that("the place is free", || gateway.send(&Request::get("/healthz")).status == 200);
    gateway.upstream().once(Answer::Hang);
    gateway.send(&Request::get("/healthz")).assert_problem(504, "upstream_timeout");
    get(&gateway, 1);
    gateway.upstream().once(Answer::ThenClose(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok".to_vec()));
    gateway.connect().try_exchange(&Request::get("/healthz")).unwrap_err();
    await_that("the place is free", || gateway.send(&Request::get("/healthz")).status == 200);
}

#[test]
fn names_are_looked_up_again_and_their_old_servers_finish() {
    if !may_have_hosts() {
        return;
    }
    let first = Upstream::start_at("127.0.0.2:0".parse().unwrap());
    let port = first.address.port();
    let second = Upstream::start_at(format!("127.0.0.3:{port}").parse().unwrap());
    let folder = TempDir::new().unwrap();
    let hosts = folder.path().join("hosts");
    // Over what was there, in one go: nobody ever reads an empty file.
    let write = |lines: &str| {
        let mut file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&hosts).unwrap();
        file.write_all(format!("{lines:\n<100}").as_bytes()).unwrap();
    };
    write("127.0.0.2 api.test\n");
    let gateway = Gateway::start(|config| {
        config.client = None; // the command that adds one would ask for the name too
        config.servers(&[&format!("\"api.test:{port}\"")]).group("resolve_every: 1s");
        config.environment.push((HOSTS_FILE.to_owned(), hosts.to_str().unwrap().to_owned()));
    });
    let (answer, steps) = Answer::stepwise();
    first.once(answer);
    let mut held = gateway.connect();
    held.send(Request::get("/healthz").bytes("h"));
    await_that("it is on its way", || !first.requests().is_empty());
    write("127.0.0.3 api.test\n");
    await_that("the new server is used", || {
        get(&gateway, 1);
        !second.requests().is_empty()
    });
    first.forget();
    get(&gateway, 4);
    assert!(first.requests().is_empty());
    steps.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    drop(steps);
    held.reply().assert_status(200);
    write("127.0.0.3 api.test\n127.0.0.2 api.test\n");
    await_that("both are used", || {
        get(&gateway, 1);
        !first.requests().is_empty()
    });
    write("127.0.0.1 localhost\n");
    let failures = || gateway.metrics().value("scopegate_upstream_lookup_failures_total", &[]);
    assert!(within(Duration::from_secs(40), || failures() >= 2.0), "{}", gateway.log());
    first.forget();
    get(&gateway, 4);
    assert_eq!(first.requests().len(), 2, "the last addresses are used on");
    assert_eq!(gateway.log().matches("the name is not found").count(), 1, "{}", gateway.log());
    write("127.0.0.2 api.test\n");
    let found = || gateway.log().contains("the name is found again");
    assert!(within(Duration::from_secs(30), found), "{}", gateway.log());
}

#[test]
fn every_server_has_its_series_from_the_start() {
    let gateway = two(&[]);
    let metrics = gateway.metrics();
    for name in ["scopegate_upstream_up", "scopegate_upstream_ejections_total"] {
        assert!(metrics.has(name), "{name}");
        for upstream in &gateway.upstreams {
            let server = format!("server=\"{}\"", upstream.address);
            let of_server = |line: &&str| line.starts_with(name) && line.contains(&server);
            assert_eq!(metrics.0.lines().filter(of_server).count(), 1, "{name} {server}");
        }
    }
    for name in ["scopegate_upstream_retries_total", "scopegate_upstream_lookup_failures_total"] {
        assert!(metrics.has(name), "{name}");
    }
}

#[test]
fn mistakes_are_told_before_anything_is_served() {
    let text = "upstreams: {a: {servers: ['127.0.0.1:1'], balance: fair, protocol: h2}}\nroutes: [{match: GET /x, public: true}]\n";
    let gateway = Gateway::start(|_| {});
    fs::write(gateway.folder().join("bad.yaml"), text).unwrap();
    let output = gateway.cli(&["check", "-c", "bad.yaml"]);
    output.assert_code(1);
    assert!(output.stderr.contains("bad.yaml:1:52: unknown balance `fair`"), "{output:?}");
    assert!(output.stderr.contains("bad.yaml:1:68: `h2` is agreed on in a TLS handshake"), "{output:?}");
}
