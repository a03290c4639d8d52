//! Section 7: the servers that entries of `trust` ask, behind a forward proxy and without TLS where an entry says so.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use scopegate::token::Algorithm;
use serde_json::json;

use crate::harness::{
    Answer, Authority, CUSTOMER, Gateway, Request, Scripted, Upstream, claims_of, key, key_set, server_config,
};

/// A forward proxy as companies have them. It knows where each `host:port` is, which nobody else here does.
struct Proxy {
    address: SocketAddr,
    /// The request lines it was sent.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(hosts: &[(&str, SocketAddr)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let hosts: HashMap<String, SocketAddr> = hosts.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect();
        let seen = Arc::clone(&proxy.seen);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (hosts, seen) = (hosts.clone(), Arc::clone(&seen));
                thread::spawn(move || serve(stream, &hosts, &seen));
            }
        });
        proxy
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// Passes one connection on: bytes for `CONNECT`, else a request whose target it takes the host from.
fn serve(mut client: TcpStream, hosts: &HashMap<String, SocketAddr>, seen: &Mutex<Vec<String>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let text = String::from_utf8(head).ok()?;
    let line = text.lines().next()?.to_owned();
    seen.lock().unwrap().push(line.clone());
    let target = line.split(' ').nth(1)?;
    let mut server = if line.starts_with("CONNECT ") {
        let server = TcpStream::connect(hosts.get(target)?).ok()?;
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok()?;
        server
    } else {
        let (host, path) = target.strip_prefix("http://")?.split_once('/')?;
        let mut server = TcpStream::connect(hosts.get(host)?).ok()?;
        server.write_all(text.replacen(target, &format!("/{path}"), 1).as_bytes()).ok()?;
        server
    };
    let (mut from_client, mut to_server) = (client.try_clone().ok()?, server.try_clone().ok()?);
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut server, &mut client);
    client.shutdown(Shutdown::Write).ok()
}

fn read(token: &str) -> Request {
    Request::get("/v1/applications").bearer(token)
}

#[test]
fn keys_and_answers_are_had_through_the_proxy_of_an_entry() {
    // R102
    let (authority, signer) = (Authority::new("corp"), key(Algorithm::Es256, "k"));
    let certificate = authority.issue(&["login.corp.example"], 1);
    let keys = Scripted::with_tls_saying(server_config(&certificate, None, &[]), &key_set(&[&signer]));
    let told = json!({"active": true, "client_id": "c", "customer_id": CUSTOMER, "scope": "application"});
    let answers = Scripted::with_tls_saying(server_config(&certificate, None, &[]), &told.to_string());
    let plain = Upstream::start();
    plain.always(Answer::json(&key_set(&[&signer])));
    let proxy = Proxy::start(&[
        ("login.corp.example:443", keys.address),
        ("login.corp.example:8443", answers.address),
        ("keys.corp.example:8080", plain.address),
    ]);
    let at = format!("ca: file:ca.pem, proxy: \"http://{}\"", proxy.address);
    let mut gateway = Gateway::start(|config| {
        config.file("ca.pem", &authority.pem).section(&format!(
            "trust:
  - {{issuer: https://one.example, key_set: https://login.corp.example/keys, algorithms: [ES256], {at}}}
  - {{issuer: https://two.example, introspection: {{url: https://login.corp.example:8443/ask, client_id: a, client_secret: env:THEIR_SECRET}}, {at}}}
  - {{issuer: https://three.example, key_set: http://keys.corp.example:8080/keys, algorithms: [ES256], insecure_http: true, proxy: \"http://{}\"}}",
            proxy.address
        ));
        config.environment = vec![("THEIR_SECRET".to_owned(), "secret".to_owned())];
    });
    let token = |issuer: &str| signer.token(&signer.header(), claims_of(issuer, json!({})).to_string());
    for good in [token("https://one.example"), "opaque".to_owned(), token("https://three.example")] {
        let reply = gateway.send(&read(&good));
        assert_eq!(reply.status, 200, "{} {}", reply.summary(), gateway.log());
    }
    let mut seen = proxy.seen();
    seen.sort();
    // What goes by TLS is seen by nobody on the way; certificates were those of the servers.
    let expected = [
        "CONNECT login.corp.example:443 HTTP/1.1",
        "CONNECT login.corp.example:8443 HTTP/1.1",
        "GET http://keys.corp.example:8080/keys HTTP/1.1",
    ];
    assert_eq!(seen, expected);
    let warnings = |log: &str| log.matches("may be asked without TLS").count();
    assert_eq!(warnings(&gateway.log()), 1, "{}", gateway.log());
    gateway.restart();
    assert!(warnings(&gateway.log()) >= 1, "each start: {}", gateway.log());
}

#[test]
fn a_proxy_that_is_gone_is_no_way_around_it() {
    let signer = key(Algorithm::Es256, "k");
    let server = Upstream::start();
    server.always(Answer::json(&key_set(&[&signer])));
    let closed = crate::harness::free_address();
    let gateway = Gateway::start(|config| {
        config.section(&format!(
            "trust:\n  - {{issuer: https://one.example, key_set: \"http://{}/keys\", algorithms: [ES256], proxy: \"http://{closed}\"}}",
            server.address
        ));
    });
    let token = signer.token(&signer.header(), claims_of("https://one.example", json!({})).to_string());
    gateway.send(&read(&token)).assert_refused(503, "keys_unavailable");
    assert_eq!(server.connections(), 0);
}
