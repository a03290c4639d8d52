//! Sections 6 and 11: servers that must prove who they are, and servers that speak HTTP/2.

use std::{fs, sync::atomic::Ordering, thread};

use rcgen::DnType;
use tempfile::TempDir;

use crate::harness::{
    Authority, Config, Gateway, H2Server, Issued, Request, Scripted, await_that, each_row, server_config,
};

/// A gateway before this server, with these keys of its group and files beside its own.
fn before(server: &Scripted, keys: &[&str], files: &[(&str, &str)]) -> Gateway {
    Gateway::start(|config| set_up(config, server.address, keys, files))
}

fn set_up(config: &mut Config, server: std::net::SocketAddr, keys: &[&str], files: &[(&str, &str)]) {
    config.instead = Some(server);
    for key in keys {
        config.group(key);
    }
    for (name, content) in files {
        config.file(name, content);
    }
}

fn expired(params: &mut rcgen::CertificateParams) {
    params.not_before = rcgen::date_time_ymd(2019, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
}

#[test]
fn a_server_is_believed_only_with_a_certificate_for_its_name_from_the_right_authority() {
    let (own, other) = (Authority::new("own"), Authority::new("other"));
    let plain = |_: &mut rcgen::CertificateParams| {};
    let good = own.issue_with(&["127.0.0.1", "localhost"], plain);
    let named = own.issue_with(&["api.internal"], plain);
    let cases: [(&str, &Issued, &str, bool); 8] = [
        ("for its address", &good, "tls: {ca: file:ca.pem}", true),
        ("for the name that is asked for", &named, "tls: {ca: file:ca.pem, sni: api.internal}", true),
        ("for another name than its address", &named, "tls: {ca: file:ca.pem}", false),
        ("for another name than is asked for", &good, "tls: {ca: file:ca.pem, sni: api.internal}", false),
        ("from another authority", &other.issue_with(&["127.0.0.1"], plain), "tls: {ca: file:ca.pem}", false),
        ("that has expired", &own.issue_with(&["127.0.0.1"], expired), "tls: {ca: file:ca.pem}", false),
        ("from nobody the system knows", &good, "tls: {}", false),
        ("that nobody looks at", &other.issue_with(&["nobody"], expired), "tls: {verify: false}", true),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, shown, keys, believed)| {
            let server = Scripted::with_tls(server_config(shown, None, &[]));
            let gateway = before(&server, &[keys, "health: {path: /healthz, every: 100ms}"], &[("ca.pem", &own.pem)]);
            let up = || gateway.metrics().value("scopegate_upstream_up", &[]) > 0.0;
            if *believed {
                let reply = gateway.send(&Request::get("/healthz"));
                assert_eq!(reply.assert_status(200).text(), "ok");
                await_that("a check", || server.requests() > 3);
                assert!(up());
                return;
            }
            await_that("its checks fail too", || !up());
            assert_eq!(server.requests(), 0, "it was told nothing");
        },
    );
}

#[test]
fn a_server_that_is_not_believed_is_502_and_hears_nothing() {
    let (own, other) = (Authority::new("own"), Authority::new("other"));
    let server = Scripted::with_tls(server_config(&other.issue_with(&["127.0.0.1"], |_| {}), None, &[]));
    let gateway = before(&server, &["tls: {ca: file:ca.pem}"], &[("ca.pem", &own.pem)]);
    let token = gateway.token("application");
    gateway.send(&Request::post("/v1/any/x").bearer(&token).body("x")).assert_problem(502, "upstream_unreachable");
    assert_eq!(server.requests(), 0);
    // One without TLS waits for more, and is given up with the connection.
    let gateway = Gateway::start(|config| {
        config.group("tls: {ca: file:ca.pem}").file("ca.pem", &own.pem).timeout("connect: 300ms");
    });
    gateway.send(&Request::get("/healthz")).assert_problem(504, "upstream_timeout");
    assert!(gateway.upstream().requests().is_empty());
}

#[test]
fn names_are_asked_for_and_addresses_are_not() {
    let own = Authority::new("own");
    let config = server_config(&own.issue_with(&["127.0.0.1", "localhost", "api.internal"], |_| {}), None, &[]);
    for (keys, asked) in [("tls: {ca: file:ca.pem}", ""), ("tls: {ca: file:ca.pem, sni: api.internal}", "api.internal")]
    {
        let server = Scripted::with_tls(config.clone());
        let gateway = before(&server, &[keys], &[("ca.pem", &own.pem)]);
        gateway.send(&Request::get("/healthz")).assert_status(200);
        assert_eq!(server.names(), [asked], "{keys}");
    }
    let server = Scripted::with_tls(config);
    let gateway = Gateway::start(|config| {
        config.servers(&[&format!("\"localhost:{}\"", server.address.port())]);
        config.group("tls: {ca: file:ca.pem}").file("ca.pem", &own.pem);
    });
    gateway.send(&Request::get("/healthz")).assert_status(200);
    assert_eq!(server.names(), ["localhost"]);
}

#[test]
fn without_an_authority_the_systems_own_count() {
    let own = Authority::new("own");
    let folder = TempDir::new().unwrap();
    let bundle = folder.path().join("system.pem");
    fs::write(&bundle, &own.pem).unwrap();
    let server = Scripted::with_tls(server_config(&own.issue_with(&["127.0.0.1"], |_| {}), None, &[]));
    let gateway = Gateway::start(|config| {
        set_up(config, server.address, &["tls: {}"], &[]);
        config.environment.push(("SSL_CERT_FILE".to_owned(), bundle.to_str().unwrap().to_owned()));
    });
    gateway.send(&Request::get("/healthz")).assert_status(200);
}

#[test]
fn a_server_that_wants_to_know_who_we_are_is_shown_our_certificate() {
    let own = Authority::new("own");
    let config = server_config(&own.issue_with(&["127.0.0.1"], |_| {}), Some(&own), &[]);
    let us = own.issue_with(&[], |_| {});
    let files = [("ca.pem", own.pem.as_str()), ("us.pem", &us.certificate), ("us.key", &us.key)];
    let server = Scripted::with_tls(config);
    let known = before(&server, &["tls: {ca: file:ca.pem, certificate: file:us.pem, key: file:us.key}"], &files);
    known.send(&Request::get("/healthz")).assert_status(200);
    let unknown = before(&server, &["tls: {ca: file:ca.pem}"], &files);
    unknown.send(&Request::get("/healthz")).assert_problem(502, "upstream_unreachable");
}

#[test]
fn a_key_that_belongs_to_another_certificate_is_told_by_the_check() {
    let own = Authority::new("own");
    let (us, them) = (own.issue_with(&[], |_| {}), own.issue_with(&[], |_| {}));
    let gateway = Gateway::start(|config| {
        config.file("us.pem", &us.certificate).file("them.key", &them.key).file("us.key", &us.key);
    });
    for (key, told) in [("us.key", None), ("them.key", Some("them.key is not the key of"))] {
        let text = format!(
            "upstreams: {{a: {{servers: ['127.0.0.1:1'], tls: {{certificate: 'file:us.pem', key: 'file:{key}'}}}}}}\nroutes: [{{match: GET /x, public: true}}]\n"
        );
        fs::write(gateway.folder().join("bad.yaml"), text).unwrap();
        let output = gateway.cli(&["check", "-c", "bad.yaml"]);
        output.assert_code(i32::from(told.is_some()));
        assert!(told.is_none_or(|told| output.stderr.contains(told)), "{output:?}");
    }
}

#[test]
fn http2_without_tls_shares_connections() {
    let server = H2Server::start(None);
    let gateway = Gateway::start(|config| {
        set_up(config, server.address, &["protocol: h2c", "health: {path: /health, every: 100ms}"], &[]);
    });
    exchange(&gateway, &server);
    let checks =
        || server.seen.requests.lock().unwrap().iter().filter(|(head, _)| head.uri.path() == "/health").count();
    await_that("its health is checked in HTTP/2 too", || checks() > 2);
    assert!(gateway.metrics().value("scopegate_upstream_up", &[]) > 0.0);
}

#[test]
fn http2_with_tls_is_agreed_on() {
    let own = Authority::new("own");
    let issued = own.issue_with(&["127.0.0.1"], |_| {});
    let server = H2Server::start(Some(server_config(&issued, None, &["h2"])));
    let gateway = Gateway::start(|config| {
        set_up(config, server.address, &["protocol: h2", "tls: {ca: file:ca.pem}"], &[("ca.pem", &own.pem)]);
    });
    exchange(&gateway, &server);
}

/// Requests with bodies, many at a time, over few connections.
fn exchange(gateway: &Gateway, server: &H2Server) {
    let token = gateway.token("application");
    let request = Request::post("/v1/any/x?y=1").bearer(&token).body(vec![b'x'; 100_000]);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut connection = gateway.connect();
                for _ in 0..5 {
                    assert_eq!(connection.exchange(&request).assert_status(200).text(), "ok");
                }
            });
        }
    });
    let requests = server.seen.requests.lock().unwrap();
    let requests: Vec<_> = requests.iter().filter(|(head, _)| head.uri.path() != "/health").collect();
    assert_eq!(requests.len(), 40);
    for (head, body) in &requests {
        assert_eq!((head.method.as_str(), head.uri.path_and_query().unwrap().as_str()), ("POST", "/v1/any/x?y=1"));
        assert_eq!(head.uri.authority().unwrap().as_str(), gateway.public.to_string());
        assert!(head.headers.contains_key("x-customer-id") && !head.headers.contains_key("authorization"));
        assert_eq!(body.len(), 100_000);
    }
}

#[test]
fn a_request_that_an_http2_server_did_not_begin_with_is_sent_again_whatever_it_is() {
    let server = H2Server::start(None);
    let gateway = Gateway::start(|config| set_up(config, server.address, &["protocol: h2c"], &[]));
    let token = gateway.token("application");
    let request = Request::post("/v1/any/x").bearer(&token).body("x");
    gateway.send(&request).assert_status(200);
    server.seen.refusing.store(1, Ordering::SeqCst);
    gateway.send(&request).assert_status(200);
    server.seen.refusing.store(2, Ordering::SeqCst);
    gateway.send(&request).assert_problem(502, "upstream_unreachable");
    gateway.send(&request).assert_status(200);
    let seen = server.seen.requests.lock().unwrap();
    assert!(seen.len() == 3 && seen.iter().all(|(_, body)| body == b"x"));
}

#[test]
fn files_that_change_count_for_the_next_connection() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let serve = |authority: &Authority| {
        let own = authority.issue(&["127.0.0.1"], 1);
        Scripted::with_tls(server_config(&own, Some(authority), &[]))
    };
    let servers = [serve(&old), serve(&new)];
    let addresses = servers.each_ref().map(|server| server.address.to_string());
    let (first, second) = (old.client(&[(DnType::CommonName, "us")]), new.client(&[(DnType::CommonName, "us")]));
    let gateway = Gateway::start(|config| {
        config.servers(&addresses.each_ref().map(|address| address.as_str()));
        config.group("tls: {ca: file:ca.pem, certificate: file:us.pem, key: file:us.key}");
        config.group("health: {path: /healthz, every: 100ms, healthy_after: 1}");
        config.file("ca.pem", &old.pem).file("us.pem", &first.certificate).file("us.key", &first.key);
    });
    let up = |address: &str| gateway.metrics().value("scopegate_upstream_up", &[("server", address)]) > 0.5;
    let believed = || [up(&addresses[0]), up(&addresses[1])];
    await_that("only the old authority counts", || believed() == [true, false]);
    // A half that does not belong to the other changes nothing.
    let write = |name: &str, content: &str| fs::write(gateway.folder().join(name), content).unwrap();
    write("us.pem", &second.certificate);
    await_that("the refusal is logged", || gateway.log().contains("the certificates in use stay"));
    assert_eq!(believed(), [true, false]);
    write("us.key", &second.key);
    write("ca.pem", &new.pem);
    await_that("only the new authority counts", || believed() == [false, true]);
    gateway.send(&Request::get("/healthz")).assert_status(200);
    assert!(gateway.metrics().has("scopegate_certificate_expiry_timestamp_seconds"));
}
