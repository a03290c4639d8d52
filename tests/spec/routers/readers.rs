//! Routers that other people wrote: programs that are asked for all requests at once, and servers.

use std::{
    collections::BTreeMap,
    env, fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::Closed;
use crate::harness::{Connection, Request, await_that, free_address, have, npm_folder};

/// The names of the routes that a request is taken to; `None`: the router refuses it.
pub type Taken = Option<Vec<String>>;
/// What each router said of each request.
pub type Answers = BTreeMap<String, Vec<Taken>>;

const PROGRAMS: [(&str, &str); 4] =
    [("node", "router.mjs"), ("python3", "router.py"), ("ruby", "router.rb"), ("php", "router.php")];

pub struct Readers {
    /// Where Node finds Express.
    folder: PathBuf,
    /// Python with Werkzeug.
    python: PathBuf,
}

impl Readers {
    /// `None` where a language is missing, and not under CI.
    pub fn here() -> Option<Self> {
        if !have(&PROGRAMS.map(|(program, _)| program)) {
            return None;
        }
        npm_folder("parsers").map(|folder| Self { folder, python: python() })
    }

    pub fn ask(&self, closed: &[Closed], requests: &[(String, String)]) -> Answers {
        let scratch = TempDir::new().unwrap();
        let file = scratch.path().join("requests");
        let routes: Vec<Value> = closed
            .iter()
            .map(|route| json!({"name": route.name, "method": route.method, "path": route.path}))
            .collect();
        let lines = requests.iter().map(|(method, target)| format!("{}\n", json!([method, target])));
        fs::write(&file, format!("{}\n{}", json!(routes), lines.collect::<String>())).unwrap();
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spec/routers");
        let mut answers = Answers::new();
        for (program, script) in PROGRAMS {
            let program = if program == "python3" { self.python.as_path() } else { Path::new(program) };
            let output = Command::new(program)
                .arg(scripts.join(script))
                .current_dir(&self.folder)
                .stdin(fs::File::open(&file).unwrap())
                .output()
                .expect("it was there before");
            assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).unwrap();
            let mut lines = text.lines();
            let names: Vec<String> = serde_json::from_str(lines.next().unwrap()).unwrap();
            let rows: Vec<Vec<Taken>> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(rows.len(), requests.len(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
            for (place, name) in names.into_iter().enumerate() {
                answers.insert(name, rows.iter().map(|row| row[place].clone()).collect());
            }
        }
        answers
    }
}

/// A Python that has Werkzeug, made once below the target folder.
fn python() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("werkzeug-3.1.3");
    if !folder.is_dir() {
        let unfinished = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let run = |program: &Path, arguments: &[&str]| {
            let output =
                Command::new(program).args(arguments).current_dir(unfinished.path()).output().expect("it runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        run(Path::new("python3"), &["-m", "venv", "."]);
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "werkzeug==3.1.3"];
        run(&unfinished.path().join("bin/python"), &install);
        let moved = fs::rename(unfinished.path(), &folder);
        assert!(folder.is_dir(), "{moved:?}");
    }
    folder.join("bin/python")
}

/// A server of its own process.
pub struct Server {
    process: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Server {
    /// nginx whose locations are the closed routes, in any case and with a final slash or without.
    pub fn nginx(closed: &[Closed]) -> Option<Self> {
        let path = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
        let runs = Command::new("nginx").arg("-v").env("PATH", &path).output().is_ok();
        if !runs {
            assert!(env::var_os("CI").is_none(), "no nginx");
            println!("skipped: no nginx");
            return None;
        }
        let folder = TempDir::new().unwrap();
        let address = free_address();
        let locations: String = closed.iter().map(location).collect();
        let text = format!(
            "daemon off; master_process off; pid {0}/pid; error_log {0}/log;\nevents {{}}\nhttp {{\n\
             client_body_temp_path {0}; proxy_temp_path {0}; fastcgi_temp_path {0}; uwsgi_temp_path {0}; scgi_temp_path {0};\n\
             access_log off; keepalive_requests 1000000; default_type text/plain;\n\
             server {{ listen {address}; location / {{ return 200 ''; }}\n{locations}}} }}\n",
            folder.path().display()
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, text).unwrap();
        let mut command = Command::new("nginx");
        command.env("PATH", &path).arg("-p").arg(folder.path()).arg("-c").arg(&file);
        Some(Self::started(&mut command, address, folder))
    }

    /// PHP's own server, with one script for each closed route that is one path.
    pub fn php(closed: &[Closed]) -> Self {
        let folder = TempDir::new().unwrap();
        let address = free_address();
        fs::write(folder.path().join("index.php"), "").unwrap();
        for route in closed.iter().filter(|route| !route.path.contains(['{', '*'])) {
            let place = folder.path().join(&route.path[1..]);
            fs::create_dir_all(&place).unwrap();
            // What follows the script's own path would be its business.
            let script = format!("<?php if (trim($_SERVER['PATH_INFO'] ?? '', '/') === '') echo '{}';", route.name);
            fs::write(place.join("index.php"), script).unwrap();
        }
        let mut command = Command::new("php");
        command.args(["-S", &address.to_string(), "-t"]).arg(folder.path());
        Self::started(&mut command, address, folder)
    }

    fn started(command: &mut Command, address: SocketAddr, folder: TempDir) -> Self {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self { process: quiet.spawn().expect("it was there before"), address, _folder: folder };
        await_that("the server", || TcpStream::connect(address).is_ok());
        server
    }

    /// Which closed route's answer each request gets; every one on a connection that lasts as long as the server likes.
    pub fn ask(&self, requests: &[(String, String)]) -> Vec<Taken> {
        let mut connection = Connection::open(self.address);
        let ask = |(method, target): &(String, String)| {
            let request = Request::new(method, target);
            let reply = connection.try_exchange(&request).or_else(|_| {
                connection = Connection::open(self.address);
                connection.try_exchange(&request)
            });
            let reply = reply.ok().filter(|reply| reply.status == 200)?;
            if reply.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
                connection = Connection::open(self.address);
            }
            Some(reply.text()).map(|name| Vec::from_iter((!name.is_empty()).then_some(name)))
        };
        requests.iter().map(ask).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn location(route: &Closed) -> String {
    let part = |part: &str| match part {
        "**" => ".*".to_owned(),
        name if name.starts_with('{') => "[^/]+".to_owned(),
        text => text.replace('.', "[.]").replace('+', "[+]"),
    };
    let expression = route.path.split('/').map(part).collect::<Vec<_>>().join("/");
    format!("location ~* \"^{expression}/?$\" {{ return 200 '{}'; }}\n", route.name)
}
