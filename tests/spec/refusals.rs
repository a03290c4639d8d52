//! Section 12: a refusal arrives, however much its client has still to send, and costs no more than its share.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::harness::{Authority, Connection, Gateway, PATIENCE, Request, await_that, each_row, free_address};

/// What is refused for its head alone, and how.
fn refused(token: &str) -> [(&'static str, Request, u16); 6] {
    let post = |path: &str| Request::post(path);
    [
        ("without a token", post("/v1/any/x"), 401),
        ("with a bad token", post("/v1/any/x").bearer("a.b.c"), 401),
        ("with too small a scope", post("/v1/applications.create").bearer(token), 403),
        ("to nowhere", post("/nowhere"), 404),
        ("with a path of two readings", post("/v1/any/../x"), 400),
        ("to an endpoint of ours", Request::token("Basic eDp5", ""), 413),
    ]
}

#[test]
fn a_client_that_sends_everything_before_it_reads_gets_its_refusal() {
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application.read");
    for length in [1, 1024, 64 * 1024 + 1, 990_000, 12_000_000, 60_000_000] {
        let body = vec![b'x'; length];
        each_row(
            &refused(&token),
            |(name, ..)| format!("{name}, {length} bytes"),
            |(_, request, status)| {
                if *status == 413 && length < 100_000 {
                    return;
                }
                let begin = Instant::now();
                let mut connection = gateway.connect();
                let reply = connection.exchange(&request.clone().body(&body));
                assert_eq!(reply.status, *status, "{}", reply.summary());
                assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
            },
        );
    }
    gateway.upstream().assert_untouched();
}

#[test]
fn a_body_over_the_limit_is_413_however_long_it_is_and_whether_it_says_so() {
    let gateway = Gateway::start(|config| {
        config.limit("body: 1MiB");
    });
    let token = gateway.token("application");
    let chunk = vec![b'x'; 64 * 1024];
    for request in [
        Request::post("/v1/any/x").bearer(&token).body(vec![b'x'; 12_000_000]),
        Request::post("/v1/any/x").bearer(&token).chunked(&vec![&chunk[..]; 200]),
    ] {
        gateway.send(&request).assert_problem(413, "body_too_large");
    }
}

#[test]
fn the_refusal_is_sent_before_the_body_has_come() {
    let gateway = Gateway::start(|_| {});
    let begin = Instant::now();
    for length in [10, 1_000_000] {
        let mut connection = gateway.connect();
        connection.send_head(&Request::post("/v1/any/x").body(vec![b'x'; length]));
        connection.reply().assert_refused(401, "missing_token");
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
        connection.assert_closed();
    }
    // What follows is never taken for a request.
    let mut connection = gateway.connect();
    connection.send_head(&Request::post("/v1/any/x").body(vec![b'x'; 1_000_000]));
    connection.reply().assert_refused(401, "missing_token");
    connection.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    connection.assert_closed();
    gateway.upstream().assert_untouched();
}

#[test]
fn a_client_that_waits_to_be_told_to_go_on_is_told_the_end() {
    let gateway = Gateway::start(|_| {});
    let request = Request::post("/v1/any/x").header("Expect", "100-continue").body(vec![b'x'; 1_000_000]);
    let mut connection = gateway.connect();
    let reply = connection.send_head(&request).reply();
    reply.assert_refused(401, "missing_token");
    assert!(reply.interim.is_empty());
    connection.assert_closed();
}

#[test]
fn a_head_that_is_refused_is_told_so_though_its_body_comes() {
    let gateway = Gateway::start(|_| {});
    let large = "x".repeat(40_000);
    for (lines, status) in [
        ("Host: a\r\nX : y\r\n", 400),
        ("Host: a\r\nHost: b\r\n", 400),
        ("Host: a\r\nExpect: x\r\n", 417),
        (&format!("Host: a\r\nX: {large}\r\n"), 431),
    ] {
        let mut connection = gateway.connect();
        connection.send(format!("POST /v1/any/x HTTP/1.1\r\n{lines}Content-Length: 12000000\r\n\r\n"));
        connection.send(vec![b'x'; 12_000_000]);
        connection.reply().assert_status(status);
    }
}

#[test]
fn waiting_takes_no_place_among_requests_in_flight() {
    let gateway = Gateway::start(|config| {
        config.limit("in_flight: 2");
    });
    let waiting: Vec<Connection> = (0..5)
        .map(|_| {
            let mut connection = gateway.connect();
            connection.send_head(&Request::post("/v1/any/x").body(vec![b'x'; 1_000_000]));
            connection.reply().assert_refused(401, "missing_token");
            connection
        })
        .collect();
    gateway.send(&Request::get("/healthz")).assert_status(200);
    await_that("nothing is in flight", || gateway.metrics().value("scopegate_in_flight_requests", &[]) <= 0.0);
    drop(waiting);
}

/// Connections that are read from after their refusal, at one moment.
const SHARED: usize = 256;

#[test]
fn so_many_connections_are_waited_for_and_the_rest_are_closed_at_once() {
    let gateway = Gateway::start(|_| {});
    let mut open: Vec<TcpStream> = (0..SHARED + 44).map(|_| refuse(gateway.public)).collect();
    // A connection that is waited for takes what comes; one that was closed is reset by it.
    let begin = Instant::now();
    let mut taken = 0;
    while begin.elapsed() < Duration::from_secs(2) {
        taken = open.iter_mut().map(|stream| usize::from(stream.write_all(b"x").is_ok())).sum();
        thread::sleep(Duration::from_millis(200));
    }
    assert!((SHARED - 10..=SHARED).contains(&taken), "{taken} are waited for");
    // Others are served meanwhile, and once these have been silent the places are free again.
    gateway.send(&Request::get("/healthz")).assert_status(200);
    thread::sleep(Duration::from_secs(6));
    let mut late = refuse(gateway.public);
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(100));
        late.write_all(b"x").expect("it is waited for");
    }
}

/// Sends the head of an upload that is refused, and reads why.
fn refuse(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"POST /v1/any/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n").unwrap();
    let mut reply = [0; 12];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"HTTP/1.1 401");
    stream
}

/// A gateway with a TLS listener, and the file of its authority.
struct Served {
    gateway: Gateway,
    tls: SocketAddr,
    authority: PathBuf,
}

fn served() -> Served {
    let (authority, tls) = (Authority::new("CA"), free_address());
    let issued = authority.issue(&["localhost", "127.0.0.1"], 1);
    let gateway = Gateway::start(|config| {
        let files = "tls: {certificate: \"file:cert.pem\", key: \"file:key.pem\"}";
        config.listener(&format!("{{address: \"{tls}\", {files}}}")).file("ca.pem", &authority.pem);
        config.file("cert.pem", &issued.certificate).file("key.pem", &issued.key).limit("body: 1MiB");
    });
    let authority = gateway.folder().join("ca.pem");
    Served { gateway, tls, authority }
}

/// A body of so many bytes as a file.
fn upload(served: &Served, length: usize) -> String {
    let path = served.gateway.folder().join(format!("upload-{length}"));
    fs::write(&path, vec![b'x'; length]).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn curl_reads_its_refusal_at_any_speed() {
    if !is_here("curl") {
        return;
    }
    let served = served();
    let (slow, fast) = (upload(&served, 990_000), upload(&served, 60_000_000));
    let (plain, tls) = (served.gateway.url(), format!("https://localhost:{}", served.tls.port()));
    let token = served.gateway.token("application");
    let bearer = format!("Authorization: Bearer {token}");
    let cases: Vec<(String, Vec<&str>, &str)> =
        [(&plain, "--http1.1"), (&plain, "--http1.0"), (&tls, "--http1.1"), (&tls, "--http2")]
            .into_iter()
            .flat_map(|(url, version)| {
                let url = format!("{url}/v1/any/x");
                let file = |path: &str| format!("@{path}");
                [
                    (url.clone(), vec![version, "--limit-rate", "300k"], file(&slow), "401"),
                    (url.clone(), vec![version], file(&fast), "401"),
                    (url, vec![version, "-H", &bearer], file(&fast), "413"),
                ]
                .map(|(url, mut arguments, file, status)| {
                    // Without `Expect` curl sends at once.
                    arguments.extend(["-H", "Expect:"]);
                    (format!("{url} {file}"), arguments, status)
                })
            })
            .collect();
    thread::scope(|scope| {
        for (target, arguments, status) in &cases {
            let authority = &served.authority;
            scope.spawn(move || {
                let (url, file) = target.split_once(' ').unwrap();
                let output = Command::new("curl")
                    .args(["-s", "-S", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "40", "--cacert"])
                    .arg(authority)
                    .args(arguments)
                    .args(["--data-binary", file, url])
                    .output()
                    .unwrap();
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                let error = String::from_utf8_lossy(&output.stderr).into_owned();
                assert_eq!((said.as_str(), error.as_str()), (*status, ""), "{arguments:?} {target}");
            });
        }
    });
}

#[test]
fn the_client_of_python_reads_its_refusal_at_any_speed() {
    if !is_here("python3") {
        return;
    }
    let served = served();
    run_client(&served, Command::new("python3").arg("tests/spec/refused/client.py"));
}

#[test]
fn the_client_of_java_reads_its_refusal_at_any_speed() {
    if !is_here("java") {
        return;
    }
    let served = served();
    run_client(&served, Command::new("java").arg("-Xshare:auto").arg("tests/spec/refused/Client.java"));
}

fn run_client(served: &Served, command: &mut Command) {
    let token = served.gateway.token("application");
    let output = command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg(served.gateway.public.port().to_string())
        .arg(served.tls.port().to_string())
        .arg(&served.authority)
        .arg(token)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && text.lines().count() >= 6, "{text}\n{error}");
    assert!(text.lines().all(|line| line.starts_with("ok ")), "{text}\n{error}");
}

/// Whether a program is installed; in CI it must be.
pub fn is_here(program: &str) -> bool {
    let here = Command::new(program).arg("--version").output().is_ok();
    assert!(here || std::env::var_os("CI").is_none(), "{program} is not installed");
    if !here {
        println!("skipped: {program} is not installed");
    }
    here
}
