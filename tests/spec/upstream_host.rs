//! Section 5, `host`: what the servers behind the gateway are called.

use std::sync::Arc;

use crate::harness::{
    Answer, Authority, Config, Connection, Gateway, H2Server, Request, Upstream, await_that, server_config,
};

const CLIENTS: &str = "gateway.example";

fn gateway(host: &str, change: impl Fn(&mut Config)) -> Gateway {
    Gateway::start(|config| {
        config.group("health: {path: /health, every: 100ms}");
        if !host.is_empty() {
            config.group(&format!("host: {host}"));
        }
        change(config);
    })
}

/// What the server was called in a request and in a check, and whom the client asked by its account.
fn called(gateway: &Gateway, upstream: &Upstream) -> [String; 3] {
    let of = |path: &str, name: &str| {
        let requests = upstream.requests();
        let found = requests.iter().find(|request| request.target == path)?;
        assert_eq!(found.all("host").len(), 1);
        found.header(name).map(str::to_owned)
    };
    gateway.send(&Request::get("/healthz").host(CLIENTS)).assert_status(200);
    await_that("a check", || of("/health", "host").is_some());
    [of("/healthz", "host"), of("/health", "host"), of("/healthz", "x-forwarded-host")].map(Option::unwrap)
}

#[test]
fn a_server_is_called_what_its_group_says() {
    for (host, named) in [
        ("", None),
        ("client", None),
        ("api.internal", Some("api.internal")),
        ("\"api.internal:8443\"", Some("api.internal:8443")),
    ] {
        let gateway = gateway(host, |_| {});
        let own = gateway.upstream().address.to_string();
        let expected = [named.unwrap_or(CLIENTS), named.unwrap_or(&own), CLIENTS];
        assert_eq!(called(&gateway, gateway.upstream()), expected, "{host}");
    }
    let gateway = gateway("server", |config| config.upstreams = 2);
    for upstream in &gateway.upstreams {
        gateway.send(&Request::get("/healthz").host(CLIENTS)).assert_status(200);
        let own = upstream.address.to_string();
        assert_eq!(called(&gateway, upstream), [&own, &own, CLIENTS]);
    }
}

#[test]
fn the_server_of_a_websocket_is_called_the_same() {
    let gateway = gateway("api.internal", |config| {
        config.route("{match: GET /v1/events, public: true, upgrade: websocket}");
    });
    gateway.upstream().once(Answer::with(200, "", b""));
    let mut connection = Connection::open(gateway.public);
    let handshake =
        Request::get("/v1/events").host(CLIENTS).header("Connection", "Upgrade").header("Upgrade", "websocket");
    let handshake =
        handshake.header("Sec-WebSocket-Version", "13").header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    connection.exchange(&handshake).assert_status(200);
    let requests = gateway.upstream().requests();
    let opened = requests.iter().find(|request| request.target == "/v1/events").unwrap();
    assert_eq!((opened.header("host"), opened.header("x-forwarded-host")), (Some("api.internal"), Some(CLIENTS)));
}

#[test]
fn over_http2_the_authority_says_it_and_with_tls_the_name_of_the_handshake() {
    let authority = Authority::new("CA");
    let issued = authority.issue(&["api.internal"], 1);
    for (host, expected) in [("client", CLIENTS), ("server", "api.internal:PORT"), ("other.internal", "other.internal")]
    {
        for tls in [false, true] {
            let server = H2Server::start(tls.then(|| server_config(&issued, None, &["h2"])));
            let port = server.address.port().to_string();
            let gateway = gateway(host, |config| {
                config.instead = Some(server.address);
                config.file("ca.pem", &authority.pem);
                let secured = ["protocol: h2", "tls: {ca: file:ca.pem, sni: api.internal}"];
                let lines = if tls { &secured[..] } else { &["protocol: h2c"] };
                config.group.extend(lines.iter().map(ToString::to_string));
            });
            gateway.send(&Request::get("/healthz").host(CLIENTS)).assert_status(200);
            let seen = Arc::clone(&server.seen);
            let of = |path: &str| {
                let requests = seen.requests.lock().unwrap();
                let found = requests.iter().find(|(head, _)| head.uri.path() == path);
                found.map(|(head, _)| (head.uri.authority().unwrap().to_string(), head.headers.contains_key("host")))
            };
            await_that("a check", || of("/health").is_some());
            let own = if tls { format!("api.internal:{port}") } else { server.address.to_string() };
            let named = match host {
                "server" => own.clone(),
                _ => expected.to_owned(),
            };
            let checked = if host == "client" { own } else { named.clone() };
            assert_eq!([of("/healthz"), of("/health")], [Some((named, false)), Some((checked, false))], "{host} {tls}");
        }
    }
}
