//! Section 11: `tls` on a listener. Certificates by name, their files exchanged while requests run, clients that show one.

use std::{
    fs,
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use rcgen::DnType;
use rustls::ProtocolVersion;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::harness::{
    Authority, Config, Connection, Gateway, Issued, PATIENCE, Request, TlsClient, await_that, each_row, free_address,
    run, within,
};

const FILES: &str = "tls: {certificate: \"file:cert.pem\", key: \"file:key.pem\"}";

/// Adds a listener with TLS at `address` that shows `issued`.
fn secure(config: &mut Config, address: SocketAddr, issued: &Issued) {
    config.listener(&format!("{{address: \"{address}\", {FILES}}}"));
    config.file("cert.pem", &issued.certificate).file("key.pem", &issued.key);
}

fn serial(connection: &Connection) -> String {
    let chain = connection.tls().peer_certificates().expect("a server shows its certificate");
    X509Certificate::from_der(&chain[0]).unwrap().1.raw_serial_as_string()
}

#[track_caller]
fn open(address: SocketAddr, client: &TlsClient, name: &str) -> Connection {
    Connection::open_tls(address, client, name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn requests_over_tls_are_judged_and_passed_on_like_all_others() {
    let (authority, address) = (Authority::new("CA"), free_address());
    let issued = authority.issue(&["gateway.example"], 1);
    let gateway = Gateway::start(|config| secure(config, address, &issued));
    let token = gateway.token("application.read");
    for client in [authority.trusting_client().only_tls12(), authority.trusting_client().only_tls13()] {
        let mut connection = open(address, &client.speaking(&["http/1.1"]), "gateway.example");
        assert_eq!(connection.tls().alpn_protocol(), Some(&b"http/1.1"[..]));
        for _ in 0..2 {
            gateway.upstream().forget();
            connection.exchange(&Request::get("/v1/applications").bearer(&token)).assert_status(200);
            assert_eq!(gateway.upstream().request().header("x-forwarded-proto"), Some("https"));
        }
        gateway.upstream().forget();
        connection.exchange(&Request::get("/v1/applications")).assert_refused(401, "missing_token");
        connection.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
        connection.reply().assert_problem(400, "invalid_request");
        connection.assert_closed();
        gateway.upstream().assert_untouched();
    }
    gateway.send(&Request::get("/healthz")).assert_status(200);
    assert_eq!(gateway.upstream().request().header("x-forwarded-proto"), Some("http"));
    assert!(gateway.metrics().value("scopegate_tls_handshakes_total", &[("result", "completed")]) >= 2.0);
}

#[test]
fn each_name_gets_its_certificate_and_every_other_the_first() {
    let (authority, address) = (Authority::new("CA"), free_address());
    let pairs = [
        authority.issue(&["first.example"], 1),
        authority.issue(&["second.example", "third.example"], 2),
        authority.issue(&["*.wild.example"], 3),
    ];
    let gateway = Gateway::start(|config| {
        let mut list = String::new();
        for (place, issued) in pairs.iter().enumerate() {
            config.file(&format!("c{place}.pem"), &issued.certificate).file(&format!("k{place}.pem"), &issued.key);
            list += &format!("{{certificate: \"file:c{place}.pem\", key: \"file:k{place}.pem\"}}, ");
        }
        config.listener(&format!("{{address: \"{address}\", tls: {{certificates: [{list}]}}}}"));
    });
    for (name, expected) in
        [("first.example", "01"), ("second.example", "02"), ("THIRD.example", "02"), ("a.wild.example", "03")]
    {
        assert_eq!(serial(&open(address, &authority.trusting_client(), name)), expected, "{name}");
    }
    // The first is for another name, which the client tells, having seen it.
    for name in ["other.example", "a.b.wild.example", "wild.example", "127.0.0.1"] {
        let refused = Connection::open_tls(address, &authority.trusting_client(), name).err().expect(name);
        assert!(refused.to_string().contains("only valid for DnsName(\"first.example\")"), "{name}: {refused}");
    }
    let metrics = gateway.metrics();
    for name in ["first.example", "second.example", "*.wild.example"] {
        assert!(metrics.value("scopegate_certificate_expiry_timestamp_seconds", &[("name", name)]) > 1e9, "{name}");
    }
}

#[test]
fn the_oldest_version_can_be_raised() {
    let (authority, address) = (Authority::new("CA"), free_address());
    let issued = authority.issue(&["a.example"], 1);
    let gateway = Gateway::start(|config| {
        secure(config, address, &issued);
        let listener = config.listeners.pop().unwrap().replace("tls: {", "tls: {min_version: 1.3, ");
        config.listener(&listener);
    });
    let connection = open(address, &authority.trusting_client(), "a.example");
    assert_eq!(connection.tls().protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert!(Connection::open_tls(address, &authority.trusting_client().only_tls12(), "a.example").is_err());
    await_that("a failed handshake is counted", || {
        gateway.metrics().value("scopegate_tls_handshakes_total", &[("result", "failed")]) >= 1.0
    });
}

#[test]
fn a_certificate_is_exchanged_under_load_without_a_failed_request() {
    let (authority, address) = (Authority::new("CA"), free_address());
    let [before, after] = [1, 2].map(|serial| authority.issue(&["a.example"], serial));
    let gateway = Gateway::start(|config| secure(config, address, &before));
    // T1: with tickets of the old one in hand as well.
    let clients = [
        authority.trusting_client().only_tls12().resuming(),
        authority.trusting_client().only_tls13().resuming(),
        authority.trusting_client(),
    ];
    let mut kept = open(address, &clients[2], "a.example");
    kept.exchange(&Request::get("/healthz")).assert_status(200);
    let request = |client: &TlsClient| {
        let mut connection = open(address, client, "a.example");
        connection.exchange(&Request::get("/healthz")).assert_status(200);
        serial(&connection)
    };
    let load = |during: &mut dyn FnMut() -> bool| {
        let end = Instant::now() + PATIENCE;
        while !during() && Instant::now() < end {
            for client in &clients {
                request(client);
            }
        }
    };
    load(&mut || true);
    fs::write(gateway.folder().join("cert.pem"), &after.certificate).unwrap();
    // In between the pair does not match: the old one stays.
    let mut rounds = 0;
    load(&mut || {
        rounds += 1;
        rounds > 30
    });
    fs::write(gateway.folder().join("key.pem"), &after.key).unwrap();
    let written = Instant::now();
    load(&mut || request(&clients[2]) == "02");
    assert!(written.elapsed() < Duration::from_secs(5), "{:?}", written.elapsed());
    for client in &clients {
        assert_eq!(request(client), "02");
    }
    kept.exchange(&Request::get("/healthz")).assert_status(200);
    assert!(gateway.metrics().value("scopegate_tls_handshakes_total", &[("result", "failed")]) < 1.0);
}

#[test]
fn sessions_are_resumed() {
    let (authority, address) = (Authority::new("CA"), free_address());
    let issued = authority.issue(&["a.example"], 1);
    let _gateway = Gateway::start(|config| secure(config, address, &issued));
    for client in [authority.trusting_client().only_tls12(), authority.trusting_client().only_tls13()] {
        let client = client.resuming();
        let mut first = open(address, &client, "a.example");
        first.exchange(&Request::get("/healthz")).assert_status(200);
        let second = open(address, &client, "a.example");
        assert_eq!(second.tls().handshake_kind(), Some(rustls::HandshakeKind::Resumed));
    }
}

#[test]
fn files_that_cannot_be_used_leave_the_old_certificate_in_place() {
    let (authority, address) = (Authority::new("CA"), free_address());
    let good = authority.issue(&["a.example"], 1);
    let other = authority.issue(&["a.example"], 2);
    let expired = authority.issue_with(&["a.example"], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let early = authority.issue_with(&["a.example"], |params| params.not_before = rcgen::date_time_ymd(4000, 1, 1));
    let gateway = Gateway::start(|config| secure(config, address, &good));
    let until = gateway.metrics().value("scopegate_certificate_expiry_timestamp_seconds", &[("name", "a.example")]);
    // T2
    let cases: [(&str, Option<&str>, &str, &str); 7] = [
        ("another one's key", Some(&good.certificate), &other.key, "is not the key of"),
        ("no certificate in the file", Some("junk"), &good.key, "holds no usable certificate"),
        (
            "a broken certificate",
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            &good.key,
            "holds no usable certificate",
        ),
        ("no key in the file", Some(&good.certificate), "junk", "holds no usable private key"),
        ("an expired one", Some(&expired.certificate), &expired.key, "has expired"),
        ("one of the future", Some(&early.certificate), &early.key, "is not valid yet"),
        ("no file", None, &good.key, "cannot be read"),
    ];
    let errors = || gateway.log().lines().filter(|line| line.contains("the certificates in use stay")).count();
    for (name, certificate, key, told) in cases {
        let before = (errors(), gateway.log().len());
        fs::write(gateway.folder().join("key.pem"), key).unwrap();
        match certificate {
            Some(certificate) => fs::write(gateway.folder().join("cert.pem"), certificate).unwrap(),
            None => fs::remove_file(gateway.folder().join("cert.pem")).unwrap(),
        }
        await_that(name, || gateway.log()[before.1..].contains(told));
        assert!(errors() - before.0 <= 2, "{name} was told more than once for each file");
        assert_eq!(serial(&open(address, &authority.trusting_client(), "a.example")), "01", "{name}");
    }
    assert!(!gateway.log().contains("PRIVATE KEY"), "a key was written");
    let value = gateway.metrics().value("scopegate_certificate_expiry_timestamp_seconds", &[("name", "a.example")]);
    assert_eq!(value.to_bits(), until.to_bits());
    // The same files as before, and a signal.
    fs::write(gateway.folder().join("cert.pem"), &other.certificate).unwrap();
    fs::write(gateway.folder().join("key.pem"), &other.key).unwrap();
    gateway.signal("HUP");
    assert!(within(Duration::from_secs(5), || {
        serial(&open(address, &authority.trusting_client(), "a.example")) == "02"
    }));
    gateway.send(&Request::get("/healthz")).assert_status(200);
}

/// A gateway with a listener that wants certificates of `clients`, as `keys` say; its address, and who vouches for it.
fn asking_for(keys: &str, clients: &Authority) -> (Authority, SocketAddr, Gateway) {
    let (authority, address) = (Authority::new("CA"), free_address());
    let issued = authority.issue(&["a.example"], 1);
    let gateway = Gateway::start(|config| {
        config
            .listener(&format!("{{address: \"{address}\", {}}}", FILES.replace("tls: {", &format!("tls: {{{keys}, "))));
        config.file("cert.pem", &issued.certificate).file("key.pem", &issued.key).file("ca.pem", &clients.pem);
    });
    (authority, address, gateway)
}

#[test]
fn a_client_with_a_certificate_is_named_to_the_upstream() {
    let clients = Authority::new("Clients");
    let (authority, address, gateway) =
        asking_for("client_ca: \"file:ca.pem\", client_certificates: optional", &clients);
    let subject = [
        (DnType::CountryName, "DE"),
        (DnType::OrganizationName, "Ada, Charles + Co"),
        (DnType::CommonName, "B\u{fc}ro\r\nX-Scope: all"),
    ];
    let named = clients.client(&subject);
    for client in [authority.trusting_client().only_tls12(), authority.trusting_client().only_tls13()] {
        gateway.upstream().forget();
        let mut connection = open(address, &client.clone().showing(&named), "a.example");
        let request = Request::get("/healthz").header("X-Client-Cert-Subject", "CN=evil");
        connection.exchange(&request).assert_status(200);
        let seen = gateway.upstream().request();
        let expected = r"CN=B\C3\BCro\0D\0AX-Scope: all,O=Ada\, Charles \+ Co,C=DE";
        assert_eq!(seen.header("x-client-cert-subject"), Some(expected));
        assert_eq!(seen.header("x-scope"), None);
        // Without one there is nothing to state.
        gateway.upstream().forget();
        open(address, &client, "a.example").exchange(&request).assert_status(200);
        assert_eq!(gateway.upstream().request().header("x-client-cert-subject"), None);
    }
    // One of somebody else's authority is worse than none.
    let foreign = Authority::new("Others").client(&[(DnType::CommonName, "evil")]);
    gateway.upstream().forget();
    assert_not_served(address, &authority.trusting_client().showing(&foreign));
    gateway.upstream().assert_untouched();
}

#[test]
fn a_client_without_the_required_certificate_is_not_served() {
    let clients = Authority::new("Clients");
    let (authority, address, gateway) = asking_for("client_ca: \"file:ca.pem\"", &clients);
    assert_not_served(address, &authority.trusting_client());
    assert_not_served(address, &authority.trusting_client().only_tls12());
    gateway.upstream().assert_untouched();
    let named = clients.client(&[(DnType::CommonName, "Ada")]);
    let mut connection = open(address, &authority.trusting_client().showing(&named), "a.example");
    connection.exchange(&Request::get("/healthz")).assert_status(200);
}

/// With TLS 1.3 a client learns only after its handshake that it is not wanted.
#[track_caller]
fn assert_not_served(address: SocketAddr, client: &TlsClient) {
    let Ok(mut connection) = Connection::open_tls(address, client, "a.example") else { return };
    let reply = connection.try_exchange(&Request::get("/healthz"));
    assert!(reply.is_err(), "{:?}", reply.map(|reply| reply.summary()));
}

#[test]
fn what_is_no_tls_is_closed_and_harms_nobody() {
    let (authority, address) = (Authority::new("CA"), free_address());
    let issued = authority.issue(&["a.example"], 1);
    let gateway = Gateway::start(|config| secure(config, address, &issued));
    let long = vec![0x16; 70_000];
    let cases: [(&str, &[u8]); 4] = [
        ("a plain request", b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("HTTP/2 without TLS", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("junk", &long),
        ("an alert", b"\x15\x03\x01\x00\x02\x02\x28"),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, bytes)| {
            let mut connection = Connection::open(address);
            connection.send(bytes);
            connection.assert_closed();
        },
    );
    gateway.upstream().assert_untouched();
    open(address, &authority.trusting_client(), "a.example").exchange(&Request::get("/healthz")).assert_status(200);
    // Nothing of it is worth a line.
    assert!(!gateway.log().contains("framework"), "{}", gateway.log());
}

#[test]
fn a_handshake_that_takes_too_long_is_given_up() {
    let (authority, address) = (Authority::new("CA"), free_address());
    let issued = authority.issue(&["a.example"], 1);
    let gateway = Gateway::start(|config| secure(config, address, &issued));
    let mut connection = Connection::open(address);
    let begin = Instant::now();
    connection.send(b"\x16\x03\x01\x02\x00\x01");
    assert!(connection.closes_within(Duration::from_secs(13)), "still open");
    assert!(begin.elapsed() > Duration::from_secs(8), "{:?}", begin.elapsed());
    let timed_out = [("result", "timed_out")];
    await_that("it is counted", || gateway.metrics().value("scopegate_tls_handshakes_total", &timed_out) >= 1.0);
}

#[test]
fn the_admin_listener_can_have_tls_too() {
    let authority = Authority::new("CA");
    let issued = authority.issue(&["admin.example"], 1);
    let address = free_address();
    let folder = tempfile::TempDir::new().unwrap();
    fs::write(folder.path().join("cert.pem"), &issued.certificate).unwrap();
    fs::write(folder.path().join("key.pem"), &issued.key).unwrap();
    let text = format!(
        "listen: [{{address: \"{}\"}}]\nadmin: {{address: \"{address}\", {FILES}}}\nstore: memory\n\
         upstreams: {{a: {{servers: [\"127.0.0.1:1\"]}}}}\nroutes: [{{match: GET /x, public: true}}]\n",
        free_address()
    );
    fs::write(folder.path().join("gateway.yaml"), text).unwrap();
    let mut command = crate::harness::command(folder.path(), &["run", "-c", "gateway.yaml"]);
    let mut child = command.spawn().unwrap();
    let ready = within(PATIENCE, || {
        let connection = Connection::open_tls(address, &authority.trusting_client(), "admin.example");
        connection.is_ok_and(|mut connection| {
            connection.try_exchange(&Request::get("/readyz")).is_ok_and(|reply| reply.status == 200)
        })
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(ready);
}

#[test]
fn files_that_cannot_be_used_are_told_with_their_place_before_the_start() {
    let folder = tempfile::TempDir::new().unwrap();
    let authority = Authority::new("CA");
    let (good, other) = (authority.issue(&["a.example"], 1), authority.issue(&["a.example"], 2));
    for (name, content) in [
        ("cert.pem", good.certificate.as_str()),
        ("key.pem", &good.key),
        ("other.pem", &other.key),
        ("junk.pem", "junk"),
        ("ca.pem", &authority.pem),
    ] {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let check = |tls: &str| {
        let text = format!(
            "upstreams: {{a: {{servers: [\"127.0.0.1:1\"]}}}}\nroutes: [{{match: GET /x, public: true}}]\n\
             listen:\n  - address: 127.0.0.1:8443\n    tls: {{{tls}}}\n"
        );
        fs::write(folder.path().join("gateway.yaml"), text).unwrap();
        run(folder.path(), &["check", "-c", "gateway.yaml"])
    };
    check("certificate: file:cert.pem, key: file:key.pem, client_ca: file:ca.pem, min_version: 1.2").assert_code(0);
    for (tls, expected) in [
        ("certificate: file:cert.pem, key: file:other.pem", "5:44: ./other.pem is not the key of ./cert.pem"),
        ("certificate: file:nope.pem, key: file:key.pem", "5:24: ./nope.pem cannot be read: entity not found"),
        ("certificate: file:cert.pem, key: file:nope.pem", "5:44: ./nope.pem cannot be read: entity not found"),
        ("certificate: file:junk.pem, key: file:key.pem", "5:24: ./junk.pem holds no usable certificate (PEM)"),
        ("certificate: file:cert.pem, key: file:junk.pem", "5:44: ./junk.pem holds no usable private key (PEM)"),
        (
            "certificate: file:cert.pem, key: file:key.pem, client_ca: file:junk.pem",
            "5:69: ./junk.pem holds no usable certificate (PEM)",
        ),
    ] {
        let output = check(tls);
        output.assert_code(1);
        let told = [output.stdout.as_str(), &output.stderr].concat();
        let expected = expected.replace("./", "");
        assert!(told.replace("./", "").contains(&format!("gateway.yaml:{expected}")), "{tls}: {told}");
    }
    let status = Command::new(env!("CARGO_BIN_EXE_scopegate")).current_dir(folder.path()).arg("run").output().unwrap();
    assert_eq!(status.status.code(), Some(1));
    assert!(!String::from_utf8_lossy(&status.stderr).contains("panicked"));
}
