//! Section 12: every kind of reply, read to its end by software that other people wrote, with the gateway behind it, before
//! it, or between the two. After each reply the connection must be good for the next.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::{
    harness::{Authority, Connection, Gateway, PATIENCE, Request, free_address, within},
    refusals::is_here,
};

/// A kind of reply: its name, its bytes, what a client must make of it.
const KINDS: [(&str, &str, u16, &str); 14] = [
    ("length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"),
    ("empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, ""),
    (
        "chunked",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
        200,
        "hello",
    ),
    (
        "trailer",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
        200,
        "hello",
    ),
    ("chunked-empty", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, ""),
    ("close", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", 200, "hello"),
    ("http10", "HTTP/1.0 200 OK\r\n\r\nhello", 200, "hello"),
    ("http10-length", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"),
    ("identity", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"),
    ("no-content", "HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
    ("no-content-chunked", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", 204, ""),
    ("not-modified", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\n", 304, ""),
    (
        "hints",
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        200,
        "hello",
    ),
    ("processing", "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"),
];

/// A server that answers `/kind/NAME` with a reply of that kind. `HEAD` gets its heads alone.
fn serve_kinds() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

fn serve(mut stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut first = String::new();
        reader.read_line(&mut first).ok().filter(|count| *count > 0)?;
        let mut line = first.clone();
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        }
        let mut words = first.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let name = target.rsplit('/').next()?;
        let (_, bytes, ..) = KINDS.iter().find(|kind| kind.0 == name)?;
        // Interim heads stand before the last one, chunks behind it.
        let head = if bytes.contains("chunked") { bytes.find("\r\n\r\n")? } else { bytes.rfind("\r\n\r\n")? };
        let end = if method == "HEAD" { head + 4 } else { bytes.len() };
        stream.write_all(&bytes.as_bytes()[..end]).ok()?;
        if ["close", "http10", "http10-length"].contains(&name) {
            return None;
        }
    }
}

/// A gateway before such a server, with a listener for TLS.
struct Between {
    gateway: Gateway,
    tls: SocketAddr,
    authority: PathBuf,
}

fn between() -> Between {
    let (authority, tls, kinds) = (Authority::new("CA"), free_address(), serve_kinds());
    let issued = authority.issue(&["localhost", "127.0.0.1"], 1);
    let gateway = Gateway::start(|config| {
        config.instead = Some(kinds);
        config.route("{match: \"* /kind/**\", public: true}");
        let files = "tls: {certificate: \"file:cert.pem\", key: \"file:key.pem\"}";
        config.listener(&format!("{{address: \"{tls}\", {files}}}")).file("ca.pem", &authority.pem);
        config.file("cert.pem", &issued.certificate).file("key.pem", &issued.key);
    });
    let authority = gateway.folder().join("ca.pem");
    Between { gateway, tls, authority }
}

/// What a program must print: way, method, kind, status and body, then how the request behind it on the connection went.
fn expected(ways: &[&str], left_out: impl Fn(&str, &str) -> bool) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for way in ways {
        for (kind, _, status, body) in KINDS {
            if left_out(way, kind) {
                continue;
            }
            lines.insert(format!("{way} GET {kind} {status} [{body}] 200 [hello]"));
            lines.insert(format!("{way} HEAD {kind} {status} [] 200 [hello]"));
        }
    }
    lines
}

#[track_caller]
fn assert_prints(command: &mut Command, between: &Between, expected: &BTreeSet<String>) {
    let kinds: Vec<&str> = KINDS.iter().map(|kind| kind.0).collect();
    let output = command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg(between.gateway.public.port().to_string())
        .arg(between.tls.port().to_string())
        .arg(&between.authority)
        .arg(kinds.join(","))
        .output()
        .unwrap();
    let printed: BTreeSet<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    let missing: Vec<_> = expected.difference(&printed).collect();
    let unexpected: Vec<_> = printed.difference(expected).collect();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(missing.is_empty() && unexpected.is_empty(), "missing {missing:#?}\nunexpected {unexpected:#?}\n{error}");
}

#[test]
fn the_client_of_python() {
    if is_here("python3") {
        // Its client takes any interim reply but 100 for the reply.
        let ways = expected(&["http/1.1", "http/1.0", "https/1.1"], |way, kind| {
            way != "http/1.0" && ["hints", "processing"].contains(&kind)
        });
        assert_prints(Command::new("python3").arg("tests/spec/counterparts/client.py"), &between(), &ways);
    }
}

#[test]
fn the_client_of_java() {
    if is_here("java") {
        // Before Java 20 it takes any interim reply but 100 for the reply (JDK-8292044).
        let ways = expected(&["http/1.1", "https/1.1", "https/2", "http/2"], |way, kind| {
            way != "https/2" && ["hints", "processing"].contains(&kind)
        });
        assert_prints(Command::new("java").arg("tests/spec/counterparts/Client.java"), &between(), &ways);
    }
}

#[test]
fn the_client_of_node() {
    if is_here("node") {
        let ways = expected(&["http/1.1", "https/1.1", "https/2"], |_, _| false);
        assert_prints(Command::new("node").arg("tests/spec/counterparts/client.js"), &between(), &ways);
    }
}

#[test]
fn curl() {
    if is_here("curl") {
        let ways = expected(&["http/1.0", "http/1.1", "https/1.1", "https/2"], |_, _| false);
        assert_prints(Command::new("bash").arg("tests/spec/counterparts/curl.sh"), &between(), &ways);
    }
}

/// A server program that ends with the test.
struct Daemon(Child);

impl Daemon {
    /// Started with this file as its configuration, and awaited.
    fn start(program: &str, arguments: &[&str], folder: &Path, config: &str, address: SocketAddr) -> Self {
        let file = folder.join(format!("{}.conf", program.rsplit('/').next().unwrap()));
        fs::write(&file, config).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).arg(&file).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
        let daemon = Self(command.spawn().unwrap());
        assert!(within(PATIENCE, || TcpStream::connect(address).is_ok()), "{program} does not listen:\n{config}");
        daemon
    }

    fn haproxy(folder: &Path, config: &str, address: SocketAddr) -> Self {
        let all = format!(
            "global\n  maxconn 100\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n{config}"
        );
        Self::start(HAPROXY, &["-db", "-f"], folder, &all, address)
    }

    fn nginx(folder: &Path, http: &str, address: SocketAddr) -> Self {
        let here = folder.display();
        let temporary: Vec<String> = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|name| format!("{name}_temp_path {here}/nginx-{name};"))
            .collect();
        let all = format!(
            "daemon off; master_process off; pid {here}/nginx.pid; error_log {here}/nginx.log;\nevents {{ worker_connections 64; }}\nhttp {{ access_log off; {}\n{http} }}\n",
            temporary.join(" ")
        );
        Self::start(NGINX, &["-e", "nginx-start.log", "-p", &here.to_string(), "-c"], folder, &all, address)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const HAPROXY: &str = "/usr/sbin/haproxy";
const NGINX: &str = "/usr/sbin/nginx";

fn daemon_is_here(program: &str) -> bool {
    let here = Path::new(program).is_file();
    assert!(here || std::env::var_os("CI").is_none(), "{program} is not installed");
    if !here {
        println!("skipped: {program} is not installed");
    }
    here
}

/// Asks for every kind that a proxy passes on, each twice on one connection if the proxy keeps it.
#[track_caller]
fn assert_kinds_through(proxy: SocketAddr, passes: impl Fn(&str) -> bool) {
    let mut failed = Vec::new();
    for (kind, _, status, body) in KINDS.into_iter().filter(|kind| passes(kind.0)) {
        for method in ["GET", "HEAD"] {
            let request = Request::new(method, &format!("/kind/{kind}"));
            let mut connection = Connection::open(proxy).patient_for(Duration::from_secs(5));
            let body = if method == "HEAD" { "" } else { body };
            for place in 0..2 {
                let reply = connection.try_exchange(&request);
                let is_right = reply.as_ref().is_ok_and(|reply| reply.status == status && reply.text() == body);
                if !is_right {
                    failed.push(format!("{method} {kind} {place}: {:?}", reply.map(|reply| reply.summary())));
                }
                if connection.closes_within(Duration::from_millis(1)) {
                    connection = Connection::open(proxy).patient_for(Duration::from_secs(5));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn haproxy_checks_its_health_and_passes_everything_on() {
    if !daemon_is_here(HAPROXY) {
        return;
    }
    let between = between();
    let (front, folder) = (free_address(), between.gateway.folder().to_owned());
    let checks = [
        ("livez", "option httpchk GET /livez", between.gateway.admin),
        ("readyz", "option httpchk GET /readyz HTTP/1.0", between.gateway.admin),
        (
            "hosted",
            "option httpchk\n  http-check send meth GET uri /livez ver HTTP/1.1 hdr Host localhost",
            between.gateway.admin,
        ),
        ("public", "option httpchk HEAD /kind/length", between.gateway.public),
    ];
    let mut config = format!("frontend f\n  bind {front}\n");
    for (name, ..) in checks {
        config += &format!("  http-request return status 503 if {{ path /{name} }} {{ nbsrv({name}) eq 0 }}\n");
        config += &format!("  http-request return status 200 if {{ path /{name} }}\n");
    }
    config += &format!("  default_backend all\nbackend all\n  server s {}\n", between.gateway.public);
    for (name, check, address) in checks {
        config += &format!("backend {name}\n  {check}\n  server s {address} check inter 100ms fall 1 rise 1\n");
    }
    let _haproxy = Daemon::haproxy(&folder, &config, front);
    // A server is up until its first check has failed.
    thread::sleep(Duration::from_secs(1));
    for (name, ..) in checks {
        let status = Connection::open(front).exchange(&Request::get(&format!("/{name}"))).status;
        assert_eq!(status, 200, "the check {name} fails");
    }
    assert_kinds_through(front, |_| true);
}

#[test]
fn nginx_in_front_speaks_http_1_0_by_default_and_1_1_if_told() {
    if !daemon_is_here(NGINX) {
        return;
    }
    let between = between();
    let (old, new) = (free_address(), free_address());
    let to = between.gateway.public;
    let http = format!(
        "upstream g {{ server {to}; keepalive 4; }}\n\
         server {{ listen {old}; location / {{ proxy_pass http://{to}; }} }}\n\
         server {{ listen {new}; location / {{ proxy_pass http://g; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }}"
    );
    let _nginx = Daemon::nginx(between.gateway.folder(), &http, old);
    assert_kinds_through(old, |_| true);
    // Before 1.29 it takes any interim reply but 100 for the reply.
    assert_kinds_through(new, |kind| !["hints", "processing"].contains(&kind));
}

#[test]
fn nginx_behind_serves_files() {
    if !daemon_is_here(NGINX) {
        return;
    }
    let address = free_address();
    let gateway = Gateway::start(|config| {
        config.instead = Some(address);
        config.route("{match: \"* /files/**\", public: true}");
    });
    let files = gateway.folder().join("files");
    fs::create_dir(&files).unwrap();
    let text = "line\n".repeat(40_000);
    fs::write(files.join("a.txt"), &text).unwrap();
    let root = gateway.folder().display();
    let http = format!("server {{ listen {address}; gzip off; root {root}; location /files/ {{ }} }}");
    let _nginx = Daemon::nginx(gateway.folder(), &http, address);
    let mut connection = gateway.connect();
    let get = Request::get("/files/a.txt");
    let reply = connection.exchange(&get);
    assert!(reply.assert_status(200).text() == text, "{}", reply.summary());
    let (tag, length) = (reply.header("etag").unwrap().to_owned(), text.len().to_string());
    for _ in 0..3 {
        let fresh = connection.exchange(&get.clone().header("If-None-Match", &tag));
        assert_eq!((fresh.status, fresh.header("etag"), fresh.body.len()), (304, Some(&*tag), 0));
        let head = connection.exchange(&Request::new("HEAD", "/files/a.txt"));
        assert_eq!((head.status, head.header("content-length")), (200, Some(&*length)));
        let part = connection.exchange(&get.clone().header("Range", "bytes=5-8"));
        assert_eq!((part.status, part.text().as_str()), (206, "line"));
        connection.exchange(&Request::get("/files/none")).assert_status(404);
    }
    connection.send("GET /files/a.txt HTTP/1.0\r\n\r\n");
    assert!(connection.reply().text() == text);
}
