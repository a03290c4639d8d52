//! Mistakes in everything but `routes` and `scopes`.

use super::assert_told;

#[test]
fn keys_are_known_and_of_the_right_type() {
    assert_told(&[
        (
            r"
$U
$R
routs: []
zzz: 1",
            &[
                "3:1: unknown key `routs`; did you mean `routes`?",
                "4:1: unknown key `zzz`; known here: `listen`, `admin`, `issuer`, `store`, `store_key`, `trust`, `upstreams`, `threads`, `routes`, `methods`, `cors`, `cache`, `limits`, `scopes`, `reload`, `trusted_proxies`",
            ],
        ),
        ("just text", &["1:1: expected a mapping, found text"]),
        ("a: b: c", &["1:5: mapping values are not allowed in this context"]),
        ("$U", &["1:1: missing key `routes`"]),
    ]);
}

#[test]
fn listeners_have_addresses_of_their_own() {
    assert_told(&[
        ("$U\n$R\nlisten: 127.0.0.1:80", &["3:9: expected a list, found text"]),
        ("$U\n$R\nlisten: []", &["3:9: expected at least one entry"]),
        (
            "$U\n$R\nlisten: [{address: localhost:80}, {address: 127.0.0.1:0}, {adress: 1.2.3.4:5}, 7]",
            &[
                "3:20: `localhost:80` is not an IP address with a port such as `127.0.0.1:8080`",
                "3:45: port 0 is no fixed address; pick a port",
                "3:59: missing key `address`",
                "3:60: unknown key `adress`; did you mean `address`?",
                "3:80: expected a mapping, found text",
            ],
        ),
        (
            r"
$U
$R
listen:
  - {address: 127.0.0.1:8080}
  - address: 0.0.0.0:8080
    tls: {certificate: file:a, kee: file:b}
  - address: 127.0.0.1:9090",
            &[
                "5:14: `0.0.0.0:8080` is taken by the address in line 4",
                "6:10: missing key `key`",
                "6:32: unknown key `kee`; did you mean `key`?",
                "7:14: `listen` and `admin` both take `127.0.0.1:9090`",
            ],
        ),
        (
            "$U\n$R\nadmin: {address: 0.0.0.0:9090}",
            &["3:18: an admin address that is not loopback needs `admin.token`"],
        ),
        (
            "$U\n$R\nadmin: {address: 0.0.0.0:9090, token: hunter2}",
            &["3:39: the admin token is a secret: write `file:PATH` or `env:NAME`, never the secret itself"],
        ),
        (
            "$U\n$R\nadmin: {hosts: [a.example, 'http://b.example/', '*.example', 'c.example:9090', '127.1', '::1', A.Example.]}",
            &[
                "3:28: `http://b.example/` is neither a host name nor an IP address; write it alone, as `metrics.example.com`, without scheme, port and `*`",
                "3:49: `*.example` is neither a host name nor an IP address; write it alone, as `metrics.example.com`, without scheme, port and `*`",
                "3:62: `c.example:9090` is neither a host name nor an IP address; write it alone, as `metrics.example.com`, without scheme, port and `*`",
                "3:80: `127.1` is neither a host name nor an IP address; write it alone, as `metrics.example.com`, without scheme, port and `*`",
                "3:96: `A.Example.` is listed twice",
            ],
        ),
        ("$U\n$R\nadmin: {hosts: []}", &["3:16: expected at least one entry"]),
        (
            "$U\n$R\nadmin: {address: 127.0.0.1:8080, token: [hunter2]}",
            &["3:18: `listen` and `admin` both take `127.0.0.1:8080`", "3:41: expected text, found a list"],
        ),
    ]);
}

#[test]
fn listeners_say_what_is_spoken_there() {
    assert_told(&[
        (
            r"
$U
$R
listen:
  - {address: 127.0.0.1:1, proxy_protocol: required}
  - {address: 127.0.0.1:2, proxy_protocol: optional, h2c: 1}
  - {address: 'unix:'}
  - {address: 'unix:run/a.sock'}
  - {address: 'unix:run/a.sock'}",
            &[
                "4:44: `proxy_protocol` needs `trusted_proxies`: whose headers would count?",
                "5:44: `optional` is not `required`, the only way to have it",
                "5:59: expected `true` or `false`, found `1`",
                "6:15: `unix:` needs a path of at most 107 bytes",
                "8:15: `unix:etc/run/a.sock` is taken by the address in line 7",
            ],
        ),
        (
            r"
$U
$R
trusted_proxies: [10.0.0.0/8, 10.0.0.1/8, '::1', 300.0.0.0/8, unix]
listen:
  - address: 127.0.0.1:1
    proxy_protocol: required
  - address: 127.0.0.1:2
    h2c: true
    tls: {certificate: file:a, key: b, certificates: [{key: file:c}], min_version: 1.1, client_certificates: some}
  - address: 127.0.0.1:3
    tls: {certificates: [], client_certificates: optional}
  - address: 127.0.0.1:4
    tls: {certificate: file:nowhere.pem, key: file:nowhere.key, client_ca: file:nowhere.ca}",
            &[
                "3:31: `10.0.0.1/8` has bits set behind its prefix",
                "3:50: `300.0.0.0/8` is not a network such as `10.0.0.0/8`, an address, or `unix`",
                "8:10: `h2c` is HTTP/2 without TLS; with `tls` HTTP/2 is spoken anyway",
                "9:10: `certificates` stands for several pairs: put `certificate` and `key` into it",
                "9:55: missing key `certificate`",
                "9:84: `1.1` is not a version of TLS spoken here: `1.2` or `1.3`",
                "9:110: `client_certificates` needs `client_ca`: who signs them?",
                "9:110: unknown need `some`; known here: `required`, `optional`",
                "11:25: expected at least one entry",
                "11:50: `client_certificates` needs `client_ca`: who signs them?",
                "13:24: etc/nowhere.pem cannot be read: entity not found",
                "13:76: etc/nowhere.ca cannot be read: entity not found",
            ],
        ),
        (
            "$U\n$R\nadmin: {tls: {certificate: 'hunter2', key: hunter2}}",
            &["3:28: write `file:PATH` of a PEM file", "3:44: write `file:PATH` of a PEM file"],
        ),
    ]);
}

#[test]
fn an_issuer_is_written_in_one_way() {
    assert_told(&[
        (
            "$U\n$R\nissuer: {url: http://a/, audience: \"\", algorithm: ES265, lifetime: 25h, clock_skew: 301s, client_secret_post: yes}",
            &[
                "3:15: `url` must not end with a slash; write `http://a`",
                "3:36: `audience` must be 1 to 256 visible ASCII characters without spaces",
                "3:51: unknown algorithm `ES265`; did you mean `ES256`?",
                "3:68: `lifetime` must be 1s to 24h",
                "3:85: `clock_skew` must be 0s to 300s",
                "3:111: expected `true` or `false`, found `yes`",
            ],
        ),
        (
            "$U\n$R\nissuer: {url: login.example.com, audience: a b, algorithm: HS256, lifetime: 3600, clock_skew: 1.5s, client_secret_post: \"true\"}",
            &[
                "3:15: `url` must be an absolute http or https URL",
                "3:44: `audience` must be 1 to 256 visible ASCII characters without spaces",
                "3:60: unknown algorithm `HS256`; did you mean `ES256`?",
                "3:77: `3600` needs a unit: `ms`, `s`, `m`, `h` or `d`",
                "3:95: `1.5s` is not a duration such as `10s`",
                "3:121: expected `true` or `false` without quotes",
            ],
        ),
        ("$U\n$R\nissuer: {url: \"https://me:pw@a\"}", &["3:15: `url` must not hold a user name or password"]),
        ("$U\n$R\nissuer: {url: \"https://a?x\"}", &["3:15: `url` must not have a query or fragment"]),
        (
            "$U\n$R\nissuer: {url: \"https://A.example:443\"}",
            &["3:15: `url` has another normal form; write `https://a.example`"],
        ),
        ("$U\n$R\nissuer: {url: ftp://a}", &["3:15: `url` must be an absolute http or https URL"]),
        ("$U\n$R\nissuer:", &["3:7: expected a mapping, found nothing"]),
    ]);
}

#[test]
fn a_store_is_known_and_its_secrets_stand_elsewhere() {
    assert_told(&[
        ("$U\n$R\nstore: var/db", &["3:8: a store is `sqlite:PATH`, `postgres://USER@HOST:PORT/DATABASE` or `memory`"]),
        (
            "$U\n$R\nstore: postgres://me:secret@db/x\nstore_key: file:k",
            &[
                "3:8: a password does not stand in this file: leave it to `PGPASSWORD`, or write `store: env:NAME` or `store: file:PATH` for the whole address",
            ],
        ),
        (
            "$U\n$R\nstore: postgres://me@db/x?password=secret\nstore_key: file:k",
            &[
                "3:8: a password does not stand in this file: leave it to `PGPASSWORD`, or write `store: env:NAME` or `store: file:PATH` for the whole address",
            ],
        ),
        (
            "$U\n$R\nstore: postgres://me@db/x",
            &[
                "3:8: with PostgreSQL `store_key` is required: all nodes use the same one, for example `file:scopegate.key` made by `openssl rand -base64 32`",
            ],
        ),
        (
            "$U\n$R\nstore: postgres:db\nstore_key: file:k",
            &["3:8: a PostgreSQL store is `postgres://USER@HOST:PORT/DATABASE`"],
        ),
        (
            "$U\n$R\nstore: env:1X\nstore_key: file:k",
            &["3:8: a store whose address is kept elsewhere is `file:PATH` or `env:NAME`"],
        ),
        (
            "$U\n$R\nstore_key: [file:k, hunter2]",
            &["3:21: the store key is a secret: write `file:PATH` or `env:NAME`, never the secret itself"],
        ),
        ("$U\n$R\nissuer: {rotate_every: 59s}", &["3:24: `rotate_every` must be 1m to 366d, or `never`"]),
        ("$U\n$R\nissuer: {rotate_every: 367d}", &["3:24: `rotate_every` must be 1m to 366d, or `never`"]),
        ("$U\n$R\nstore: \"sqlite::memory:\"", &["3:8: a store in memory is written `memory`"]),
        ("$U\n$R\nstore: sqlite:///var/db", &["3:8: after `sqlite:` comes a plain path, without `//` and `?`"]),
        (
            "$U\n$R\nstore_key: 0123456789abcdef",
            &["3:12: the store key is a secret: write `file:PATH` or `env:NAME`, never the secret itself"],
        ),
        (
            "$U\n$R\nstore_key: env:1X",
            &["3:12: the store key is a secret: write `file:PATH` or `env:NAME`, never the secret itself"],
        ),
    ]);
}

#[test]
fn what_a_later_release_brings_is_refused_and_not_ignored() {
    assert_told(&[
        (
            r"
$U
$R
reload: watch",
            &["3:1: `reload` is not supported yet"],
        ),
        (
            r"
$U
routes:
  - {match: GET /a, public: true, enforce: reprot, upstream: b, forward_token: 1, cors: {}}",
            &[
                "3:44: unknown enforcement `reprot`; did you mean `report`?",
                "3:62: unknown upstream `b`; known here: `a`",
                "3:80: expected `true` or `false`, found `1`",
                "3:89: missing key `origins`",
            ],
        ),
    ]);
}

#[test]
fn numbers_have_bounds_and_units() {
    assert_told(&[
        ("$U\n$R\nthreads: 0", &["3:10: `threads` must be 1 to 1024"]),
        ("$U\n$R\nthreads: two", &["3:10: expected a whole number, found `two`"]),
        ("$U\n$R\nthreads: \"2\"", &["3:10: expected a whole number without quotes"]),
        (
            "$U\n$R\ncache: {entries: 0, memory: 64, negative: {entries: 100000001, ttl: 61s}, size: 3}",
            &[
                "3:18: `entries` must be 1 to 100000000",
                "3:29: `64` needs a unit: `B`, `KiB`, `MiB` or `GiB`",
                "3:53: `entries` must be 0 to 100000000",
                "3:69: `ttl` must be 0s to 60s",
                "3:75: unknown key `size`; known here: `entries`, `memory`, `negative`",
            ],
        ),
        (
            "$U\n$R\ncache: {entries: -1, memory: 1023KiB}",
            &["3:18: expected a whole number, found `-1`", "3:30: `memory` must be 1MiB or more"],
        ),
        (
            "$U\n$R\nlimits: {headers: 512B, header_count: 257, body: 9007199254740993B, header_timeout: 999ms, body_timeout: 2h, in_flight: 0, send_timeout: 0s, connections: 0}",
            &[
                "3:19: `headers` must be 1KiB to 256KiB",
                "3:39: `header_count` must be 1 to 256",
                "3:50: `body` must be 8388608GiB or less",
                "3:85: `header_timeout` must be 1s to 5m",
                "3:106: `body_timeout` must be 1s to 1h",
                "3:121: `in_flight` must be 1 to 1000000000",
                "3:138: `send_timeout` must be 1s to 1h",
                "3:155: `connections` must be 1 to 1000000000",
            ],
        ),
        (
            "$U\n$R\nlimits: {headers: 32KB, header_timeout: 10, token_failures: {per_client: 0/1m, per_address: 60/25h, per_ip: 1/1s}}",
            &[
                "3:19: `32KB` is not a size such as `64KiB`",
                "3:41: `10` needs a unit: `ms`, `s`, `m`, `h` or `d`",
                "3:74: a rate must allow 1 to 1000000 events",
                "3:93: a rate's period must be 1s to 24h",
                "3:101: unknown key `per_ip`; known here: `per_client`, `per_address`",
            ],
        ),
        (
            "$U\n$R\nlimits: {rate: 1000001/1s, burst: 0, token_requests: {per_client: 1/999ms, per_address: 10}}",
            &[
                "3:16: a rate must allow 1 to 1000000 events",
                "3:35: `burst` must be 1 to 1000000",
                "3:67: a rate's period must be 1s to 24h",
                "3:89: `10` is not a rate such as `10/1m`",
            ],
        ),
        (
            "$U\n$R\nlimits: {connections_per_address: 0, in_flight_per_address: 0, reply_buffer: 1023KiB}",
            &[
                "3:35: `connections_per_address` must be 1 to 1000000000",
                "3:61: `in_flight_per_address` must be 1 to 1000000000",
                "3:78: `reply_buffer` must be 1MiB to 1024GiB",
            ],
        ),
        ("$U\n$R\nlimits: {burst: 7}", &["3:17: `burst` belongs to a `rate`, and there is none"]),
        ("$U\n$R\nlimits: {rate: 1000000/1s, burst: 1000000, token_requests: {per_address: 1/24h}}", &["ok"]),
    ]);
}
