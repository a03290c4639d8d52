use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

/// A page in a browser of its own, served from an origin of its own. Its script ends with `report(…)`.
pub struct Page {
    browser: Child,
    address: SocketAddr,
    reports: Receiver<Value>,
    _profile: TempDir,
}

/// A web server with nothing but a page.
pub struct PageServer {
    listener: TcpListener,
    pub address: SocketAddr,
}

/// Chromium without anything that would talk to somebody else.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // Keeps it running after the page has loaded.
    "--remote-debugging-port=0",
];

/// What every page's script can call: `read` tells what a request came to, `report` tells the test.
const SCRIPT: &str = r"
const read = async (target, init = {}) => {
  try {
    const reply = await fetch(API + target, init);
    const header = name => reply.headers.get(name);
    return {status: reply.status, body: await reply.text(), headers: {
      'www-authenticate': header('www-authenticate'), 'retry-after': header('retry-after'),
      'ratelimit': header('ratelimit'), 'x-secret': header('x-secret')}};
  } catch (error) { return {error: error.name}; }
};
const report = value => fetch('/report', {method: 'POST', body: JSON.stringify(value)});
";

/// Whether Chromium is here. In CI it must be.
pub fn chromium_is_here() -> bool {
    let found = Command::new("chromium").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    assert!(found || env::var_os("CI").is_none(), "CI has chromium, see `make test-deps`");
    if !found {
        eprintln!("skipped: chromium is not installed");
    }
    found
}

impl PageServer {
    pub fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    /// The page's origin.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Opens a page whose script talks to `api`.
    pub fn open(self, api: &str, script: &str) -> Page {
        let Self { listener, address } = self;
        let html = format!("<!doctype html><script>const API = '{api}';{SCRIPT}(async () => {{{script}}})()</script>");
        let (sender, reports) = channel();
        thread::spawn(move || {
            listener.incoming().flatten().all(|stream| serve(stream, &html, &sender) != Some(Asked::End))
        });
        let profile = TempDir::new().unwrap();
        let browser = Command::new("chromium")
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("http://{address}/"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Page { browser, address, reports, _profile: profile }
    }
}

impl Page {
    /// What its script reported.
    pub fn report(&self) -> Value {
        self.reports.recv_timeout(Duration::from_secs(30)).expect("a report from the page")
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.browser.kill();
        let _ = self.browser.wait();
        let _ = TcpStream::connect(self.address).map(|mut stream| stream.write_all(b"END / HTTP/1.1\r\n\r\n"));
    }
}

/// What somebody wanted of a page's server.
#[derive(PartialEq, Eq)]
enum Asked {
    Page,
    End,
}

/// Answers one request on a connection of its own; `None` if there was none.
fn serve(stream: TcpStream, html: &str, reports: &Sender<Value>) -> Option<Asked> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    if method == "END" {
        return Some(Asked::End);
    }
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? <= 2 {
            break;
        }
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    if path == "/report" {
        let _ = reports.send(serde_json::from_slice(&body).unwrap());
    }
    let body = if path == "/" { html } else { "" };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    reader.get_mut().write_all((head + body).as_bytes()).ok()?;
    Some(Asked::Page)
}
