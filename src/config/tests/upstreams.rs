use std::{fs, path::PathBuf};

use http::HeaderValue;

use super::*;

/// The one group of a file with these keys beside `servers`.
fn group(servers: &str, keys: &str) -> Upstream {
    let text = format!("upstreams: {{a: {{servers: [{servers}]{keys}}}}}\n{ROUTE}");
    parsed(&text).unwrap_or_else(|problems| panic!("{text}: {problems}")).upstreams.remove(0)
}

#[test]
fn the_defaults_are_those_of_the_manual() {
    let group = group("'127.0.0.1:9000'", "");
    assert_eq!((group.balance, group.protocol), (Balance::RoundRobin, Protocol::Http1));
    assert_eq!(group.eject, Some(Eject { failures: 5, lasting: Duration::from_secs(10) }));
    assert_eq!(group.timeouts.total, None);
    assert_eq!((group.slow_start, group.resolve_every), (Duration::ZERO, Duration::from_secs(10)));
    assert_eq!((group.max_requests, group.idle_connections), (None, None));
    assert!(group.health.is_none() && group.tls.is_none());
}

#[test]
fn every_key_reaches_its_group() {
    let keys = ", balance: client_hash, eject: {failures: 3, for: 1m}, slow_start: 30s, max_requests: 7, resolve_every: 1m, \
                pool: {idle: 64}, timeouts: {connect: 1s, read: 2s, idle: 3s, total: 4s}, protocol: h2c, \
                health: {path: '/healthz?deep=1', every: 3s, timeout: 2s, healthy_after: 4, unhealthy_after: 5, expect: 204}";
    let group = group("'127.0.0.1:9000', {address: '127.0.0.1:9001', weight: 3}", keys);
    assert_eq!((group.balance, group.protocol), (Balance::ClientHash, Protocol::H2c));
    assert_eq!(group.eject, Some(Eject { failures: 3, lasting: Duration::from_secs(60) }));
    assert_eq!((group.slow_start, group.resolve_every), (Duration::from_secs(30), Duration::from_secs(60)));
    assert_eq!((group.max_requests, group.idle_connections), (Some(7), Some(64)));
    let [connect, read, idle, total] = [1, 2, 3, 4].map(Duration::from_secs);
    assert_eq!(group.timeouts, Timeouts { connect, read, idle, total: Some(total) });
    let health = Health {
        check: HealthCheck::Get { path: "/healthz?deep=1".to_owned(), expect: 204 },
        every: Duration::from_secs(3),
        timeout: Duration::from_secs(2),
        healthy_after: 4,
        unhealthy_after: 5,
    };
    assert_eq!(group.health, Some(health));
    let weights: Vec<u16> = group.servers.iter().map(|server| server.weight).collect();
    assert_eq!(weights, [1, 3]);
}

#[test]
fn some_keys_have_a_short_form() {
    assert_eq!(group("'127.0.0.1:1'", ", eject: never").eject, None);
    let health = |keys| group("'127.0.0.1:1'", keys).health.unwrap();
    assert_eq!(health(", health: {tcp: true}").check, HealthCheck::Connect);
    assert_eq!(health(", health: {path: /}").check, HealthCheck::Get { path: "/".to_owned(), expect: 200 });
    assert_eq!(health(", health: {path: /, every: 500ms}").timeout, Duration::from_millis(500));
    assert_eq!(group("'127.0.0.1:1'", ", balance: least_connections").balance, Balance::LeastConnections);
}

#[test]
fn servers_are_addresses_names_or_sockets() {
    let group = group("'both.test:80', 'six.test:80', '[::1]:81', 'unix:/run/a.sock'", "");
    let places: Vec<ServerAddress> = group.servers.iter().map(|server| server.address.clone()).collect();
    let named = |name: &str, found: &[&str]| ServerAddress::Named {
        name: name.into(),
        found: found.iter().map(|text| address(text)).collect(),
    };
    let expected = [
        named("both.test:80", &["192.0.2.1:80", "192.0.2.2:80"]),
        named("six.test:80", &["[::1]:80"]),
        ServerAddress::Fixed(address("[::1]:81")),
        ServerAddress::Unix(PathBuf::from("/run/a.sock")),
    ];
    assert_eq!(places, expected);
    assert!(group.servers.iter().all(|server| server.tls_name.is_empty()), "no name is needed without TLS");
}

#[test]
fn groups_name_servers_that_exist() {
    assert_told(&[
        ("$R\nupstreams: {}", &["2:12: expected at least one entry"]),
        (
            r#"
$R
upstreams:
  a b: {servers: ["127.0.0.1:9000"]}
  c: {servers: []}
  d: {timeouts: {connect: 0s, reed: 1s}}
  e: {servers: [127.0.0.1, "nowhere.test:1", "127.0.0.1:0", "http://a:1", 9000], health: {path: /healthz, evry: 2s}}
  f: 127.0.0.1:9000"#,
            &[
                "1:10: a route must name its `upstream`, since there are 5",
                "3:3: upstream name `a b` must be 1 to 64 of `A-Z a-z 0-9 _ -`",
                "4:16: expected at least one entry",
                "5:6: missing key `servers`",
                "5:27: `connect` must be 1ms to 24h",
                "5:31: unknown key `reed`; did you mean `read`?",
                "6:17: `127.0.0.1` is not `host:port`",
                "6:28: `nowhere.test:1` does not resolve: no such name",
                "6:46: port 0 is no fixed address; pick a port",
                "6:61: `http://a:1` is not `host:port`",
                "6:75: `9000` is not `host:port`",
                "6:107: unknown key `evry`; did you mean `every`?",
                "7:6: expected a mapping, found text",
            ],
        ),
        (
            r#"
$R
upstreams:
  a:
    servers:
      - "none.test:80"
      - "::1:80"
      - "127.0.0.1:1"
      - {address: "127.0.0.1:1", weight: 0}
      - {address: "127.0.0.1:2", weight: 101}
      - {adress: "127.0.0.1:3"}
      - "unix:run/a.sock"
      - "unix:"
      - "127.0.0.1:65536""#,
            &[
                "5:9: `none.test:80` does not resolve to an address",
                "6:9: `::1:80` is not `host:port`",
                "8:19: `127.0.0.1:1` stands in line 7 already; give it a `weight` instead",
                "8:42: `weight` must be 1 to 100",
                "9:42: `weight` must be 1 to 100",
                "10:9: missing key `address`",
                "10:10: unknown key `adress`; did you mean `address`?",
                "11:9: `unix:run/a.sock` is not `unix:` and an absolute path of at most 107 bytes",
                "12:9: `unix:` is not `unix:` and an absolute path of at most 107 bytes",
                "13:9: `127.0.0.1:65536` is not `host:port`",
            ],
        ),
    ]);
}

#[test]
fn numbers_and_words_of_a_group_are_checked() {
    assert_told(&[
        (
            r#"
$R
upstreams:
  a:
    servers: ["127.0.0.1:1"]
    balance: round_robbin
    protocol: h3
    slow_start: 61m
    max_requests: 0
    resolve_every: 999ms
    pool: {idle: 0, size: 1}
    timeouts: {total: 25h}
    eject: {failures: 0, for: 99ms}
    health: {every: 99ms, timeout: 5ms, healthy_after: 0, unhealthy_after: 101, path: healthz, expect: 199}"#,
            &[
                "5:14: unknown balance `round_robbin`; did you mean `round_robin`?",
                "6:15: unknown protocol `h3`; did you mean `h2`?",
                "7:17: `slow_start` must be 0s to 1h",
                "8:19: `max_requests` must be 1 to 1000000",
                "9:20: `resolve_every` must be 1s to 24h",
                "10:18: `idle` must be 1 to 1000000",
                "10:21: unknown key `size`; known here: `idle`",
                "11:23: `total` must be 1ms to 24h",
                "12:23: `failures` must be 1 to 1000",
                "12:31: `for` must be 100ms to 1h",
                "13:21: `every` must be 100ms to 1h",
                "13:36: `timeout` must be 10ms or more, and no longer than `every`",
                "13:56: `healthy_after` must be 1 to 100",
                "13:76: `unhealthy_after` must be 1 to 100",
                "13:87: `healthz` is not a path such as `/healthz`",
                "13:104: `expect` must be a status of 200 to 599",
            ],
        ),
        (
            r#"
$R
upstreams:
  a: {servers: ["127.0.0.1:1"], health: {every: 1s}, eject: always}
  b: {servers: ["127.0.0.1:1"], health: {tcp: false}}
  c: {servers: ["127.0.0.1:1"], health: {tcp: true, path: /}}
  d: {servers: ["127.0.0.1:1"], health: {tcp: true, expect: 200, timeout: 3s}}
  e: {servers: ["127.0.0.1:1"], health: {path: "/a b"}}
  f: {servers: ["127.0.0.1:1"], health: {tcp: yes}}"#,
            &[
                "1:10: a route must name its `upstream`, since there are 6",
                "3:41: `health` is either `path`, which is asked for, or `tcp: true`, which only connects",
                "3:61: expected a mapping, found text",
                "4:41: `health` is either `path`, which is asked for, or `tcp: true`, which only connects",
                "5:41: `health` is either `path`, which is asked for, or `tcp: true`, which only connects",
                "6:61: `expect` is the status that `path` is answered with; there is no `path`",
                "6:75: `timeout` must be 10ms or more, and no longer than `every`",
                "7:48: `/a b` is not a path such as `/healthz`",
                "8:47: expected `true` or `false`, found `yes`",
            ],
        ),
    ]);
}

#[test]
fn tls_and_protocol_go_together() {
    assert_told(&[(
        r#"
$R
upstreams:
  a: {servers: ["127.0.0.1:1"], protocol: h2}
  b: {servers: ["127.0.0.1:1"], protocol: h2c, tls: {}}
  c: {servers: ["127.0.0.1:1", "unix:/run/a.sock"], tls: {}}
  d: {servers: ["127.0.0.1:1", "unix:/run/a.sock"], tls: {sni: "no name"}}
  e: {servers: ["127.0.0.1:1"], tls: {verify: false, ca: "file:absent.pem", certificate: "file:c.pem"}}
  f: {servers: ["127.0.0.1:1"], tls: {ca: ca.pem, key: "file:k.pem", certificate: "file:"}}"#,
        &[
            "1:10: a route must name its `upstream`, since there are 6",
            "3:43: `h2` is agreed on in a TLS handshake: set `tls`, or write `h2c`",
            "4:43: `h2c` is HTTP/2 in plain text: write `h2`, or leave `tls` out",
            "5:58: a Unix socket has no name that a certificate could be for: set `sni`",
            "6:64: `no name` is no name that a certificate could be for",
            "7:38: `certificate` and `key` belong together",
            "7:58: `ca` says nothing beside `verify: false` in line 7",
            "7:58: etc/absent.pem cannot be read: entity not found",
            "8:43: write `file:PATH` of a PEM file",
            "8:83: write `file:PATH` of a PEM file",
        ],
    )]);
}

#[test]
fn each_server_has_the_name_that_its_certificate_must_be_for() {
    let servers = "'both.test:80', '127.0.0.1:81', '[::1]:82'";
    let names = |keys| group(servers, keys).servers.into_iter().map(|server| server.tls_name).collect::<Vec<_>>();
    assert_eq!(names(", tls: {}"), ["both.test", "127.0.0.1", "::1"]);
    assert_eq!(names(", tls: {sni: api.internal}"), ["api.internal"; 3]);
    assert_eq!(group("'unix:/a'", ", tls: {sni: api.internal}").servers[0].tls_name, "api.internal");
}

#[test]
fn servers_are_called_what_their_certificate_is_for_or_where_they_are() {
    let servers = "'both.test:80', '127.0.0.1:443', '[::1]:82'";
    let hosts = |servers: &str, keys: &str| {
        let servers = group(servers, keys).servers.into_iter();
        servers.map(|server| server.host.map(|host| host.to_str().unwrap().to_owned())).collect::<Vec<_>>()
    };
    let named = |names: [&str; 3]| names.map(|name| Some(name.to_owned()));
    assert_eq!(hosts(servers, ", host: server"), named(["both.test", "127.0.0.1:443", "[::1]:82"]));
    assert_eq!(hosts(servers, ", tls: {}"), named(["both.test:80", "127.0.0.1", "[::1]:82"]));
    let sni = ", host: server, tls: {sni: api.internal}";
    assert_eq!(hosts(servers, sni), named(["api.internal:80", "api.internal", "api.internal:82"]));
    assert_eq!(hosts("'unix:/a:1'", sni), [Some("api.internal".to_owned())]);
    assert_eq!(hosts("'unix:/a:1'", ""), [None]);
    for (keys, expected) in [
        ("", HostHeader::Client),
        (", host: client", HostHeader::Client),
        (", host: server", HostHeader::Server),
        (", host: api.internal", HostHeader::Named(HeaderValue::from_static("api.internal"))),
        (", host: '[::1]:8443'", HostHeader::Named(HeaderValue::from_static("[::1]:8443"))),
    ] {
        assert_eq!(group(servers, keys).host, expected, "{keys}");
    }
}

#[test]
fn a_host_that_none_can_be_is_told() {
    for (servers, host, message) in [
        ("127.0.0.1:1", "'https://api.internal'", "`https://api.internal` is neither"),
        ("127.0.0.1:1", "'api.internal/v1'", "`api.internal/v1` is neither"),
        ("127.0.0.1:1", "'user@api.internal'", "`user@api.internal` is neither"),
        ("127.0.0.1:1", "'a, b'", "`a, b` is neither"),
        ("127.0.0.1:1", "'api.internal:http'", "`api.internal:http` is neither"),
        ("127.0.0.1:1", "'::1'", "`::1` is neither"),
        ("127.0.0.1:1", "''", "is neither"),
        ("unix:/run/a.sock", "server", "`unix:/run/a.sock` has no name for `host: server`"),
    ] {
        let told = problems(&format!("upstreams: {{a: {{servers: ['{servers}'], host: {host}}}}}\n{ROUTE}"));
        assert!(told.contains(message), "{host}: {told}");
    }
}

#[test]
fn files_that_hold_something_else_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        format!("file:{}", folder.path().join(name).display())
    };
    let empty = file("empty.pem", "");
    let broken = file("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let told =
        |keys: &str| problems(&format!("upstreams: {{a: {{servers: ['127.0.0.1:1'], tls: {{{keys}}}}}}}\n{ROUTE}"));
    assert!(told(&format!("ca: '{empty}'")).ends_with("holds no usable certificate (PEM)"));
    assert!(told(&format!("ca: '{broken}'")).ends_with("holds no usable certificate (PEM)"));
    let both = told(&format!("certificate: '{broken}', key: '{empty}'"));
    assert!(both.ends_with("empty.pem holds no usable private key (PEM)"), "{both}");
}
