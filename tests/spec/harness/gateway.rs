use std::{
    fs::{self, OpenOptions},
    io,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    APP, Client, Config, Connection, Output, Process, REDIRECT, Reply, Request, Upstream, WORKFLOW,
    command::add_client, form_urlencode, metrics::Metrics, reserve, run, within,
};

/// The real binary, running on ports and in a folder of its own.
pub struct Gateway {
    child: Child,
    folder: TempDir,
    pub public: SocketAddr,
    pub admin: SocketAddr,
    pub upstreams: Vec<Upstream>,
    pub(super) owner: Option<Client>,
    pub environment: Vec<(String, String)>,
    descriptors: Option<u32>,
    /// Keeps its ports from everybody else on this machine, also before it listens and after it was killed.
    _reserved: [socket2::Socket; 2],
}

impl Gateway {
    /// Starts a gateway with the default configuration, changed by `change`, and waits until it is ready.
    pub fn start(change: impl Fn(&mut Config)) -> Self {
        for _ in 0..3 {
            match Self::try_start(&change) {
                Ok(gateway) => return gateway,
                // Another process may have taken a port between its choice and its use.
                Err(log) if log.to_lowercase().contains("in use") => {}
                Err(log) => panic!("the gateway did not start:\n{log}"),
            }
        }
        panic!("no free ports");
    }

    fn try_start(change: &impl Fn(&mut Config)) -> Result<Self, String> {
        let mut config = Config::default();
        change(&mut config);
        // Whoever was given one of them by chance would answer in its place.
        let reserved = [(); 2].map(|()| reserve(([127, 0, 0, 1], 0).into()));
        let [public, admin] = reserved.each_ref().map(|socket| socket.local_addr().unwrap().as_socket().unwrap());
        let upstreams: Vec<Upstream> = (0..config.upstreams).map(|_| Upstream::start()).collect();
        let servers = match config.instead {
            Some(server) => vec![server],
            None => upstreams.iter().map(|upstream| upstream.address).collect(),
        };
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("gateway.yaml"), config.yaml(public, admin, &servers)).unwrap();
        for (name, content) in &config.files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let owner = config.client.map(|scope| add_client(folder.path(), scope, &[]));
        let child = spawn(folder.path(), &config.environment, config.descriptors);
        let Config { environment, descriptors, .. } = config;
        let mut gateway =
            Self { child, folder, public, admin, upstreams, owner, environment, descriptors, _reserved: reserved };
        gateway.wait_until_ready()?;
        Ok(gateway)
    }

    /// Ends the process at once, as `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Sends the process a signal, by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Starts the process again on the same file, folder and ports, without waiting for it. Its log goes on.
    pub fn launch(&mut self) {
        self.kill();
        self.child = spawn(self.folder(), &self.environment, self.descriptors);
    }

    /// Starts the process again with other outputs, without waiting for it.
    pub fn launch_into(&mut self, stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) {
        self.kill();
        let mut command = command(self.folder(), &self.environment, self.descriptors);
        self.child = command.stdout(stdout).stderr(stderr).spawn().expect("the binary runs");
    }

    /// Starts the process again with other outputs, and waits until it is ready.
    pub fn restart_into(&mut self, stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) {
        self.launch_into(stdout, stderr);
        self.wait_until_ready().unwrap_or_else(|log| panic!("the gateway did not start again:\n{log}"));
    }

    /// Starts the process again as another user, and waits until it is ready. Its folder must be that user's.
    pub fn restart_as(&mut self, user: u32) {
        self.kill();
        let binary = command(self.folder(), &self.environment, None);
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={user}"), "--clear-groups"]).arg(binary.get_program()).args(binary.get_args());
        self.child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        self.wait_until_ready().unwrap_or_else(|log| panic!("the gateway did not start again:\n{log}"));
    }

    /// How the process ends, if it does so in time.
    pub fn ends_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        within(limit, || self.child.try_wait().unwrap().is_some());
        self.child.try_wait().unwrap()
    }

    /// Starts the process again and returns how long it took to become ready.
    pub fn restart(&mut self) -> Duration {
        let begin = Instant::now();
        self.launch();
        self.wait_until_ready().unwrap_or_else(|log| panic!("the gateway did not start again:\n{log}"));
        begin.elapsed()
    }

    /// Starts the process again and expects that it does not serve; the log of this start alone.
    pub fn restart_refused(&mut self) -> String {
        self.kill();
        let before = self.log_parts().map(|part| part.len());
        self.launch();
        let ended =
            within(Duration::from_secs(20), || self.child.try_wait().unwrap().is_some() || is_ready(self.admin));
        let status = self.child.try_wait().unwrap();
        let [out, err] = self.log_parts();
        let log = format!("{}{}", &out[before[0]..], &err[before[1]..]);
        assert!(ended && status.is_some_and(|status| status.code() == Some(1)), "not refused: {status:?}\n{log}");
        log
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let mut ended: Option<ExitStatus> = None;
        let admin = self.admin;
        let child = &mut self.child;
        let ready = within(Duration::from_secs(20), || {
            ended = child.try_wait().unwrap();
            ended.is_some() || is_ready(admin)
        });
        match ended {
            Some(status) => Err(format!("ended with {status}:\n{}", self.log())),
            None if !ready => Err(format!("not ready in time:\n{}", self.log())),
            None => Ok(()),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn process(&self) -> Process {
        Process(self.child.id())
    }

    pub fn upstream(&self) -> &Upstream {
        &self.upstreams[0]
    }

    /// The client that existed before the gateway started.
    pub fn owner(&self) -> &Client {
        self.owner.as_ref().expect("the configuration asked for a client")
    }

    /// A new client of the running gateway, which knows it already.
    pub fn client(&self, scope: &str) -> Client {
        self.client_with(scope, &[])
    }

    pub fn client_with(&self, scope: &str, more: &[&str]) -> Client {
        let client = add_client(self.folder(), scope, more);
        // Without scope a client that was not granted the default scope is refused, but no longer as unknown.
        let known = || self.probe(&client.basic()) != 401;
        assert!(within(Duration::from_secs(5), known), "the new client is not seen\n{}", self.log());
        client
    }

    /// The status of a token request that comes from an address of its own, so that its failure counts against nobody.
    pub fn probe(&self, authorization: &str) -> u16 {
        static PROBES: AtomicU32 = AtomicU32::new(0);
        let number = PROBES.fetch_add(1, Ordering::Relaxed);
        let source = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + number);
        let request = Request::token(authorization, "grant_type=client_credentials");
        Connection::open_from(source.into(), self.public).exchange(&request).status
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self) -> PathBuf {
        self.folder().join("gateway.yaml")
    }

    /// `http://…` of the public listener, which is also the issuer's name.
    pub fn url(&self) -> String {
        format!("http://{}", self.public)
    }

    pub fn connect(&self) -> Connection {
        Connection::open(self.public)
    }

    /// Sends a request on a connection of its own.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Reply {
        self.connect().exchange(request)
    }

    #[track_caller]
    pub fn admin(&self, path: &str) -> Reply {
        Connection::open(self.admin).exchange(&Request::get(path))
    }

    /// A token of the owner with this scope.
    #[track_caller]
    pub fn token(&self, scope: &str) -> String {
        self.issue(self.owner(), &format!("scope={}", form_urlencode(scope)))
    }

    /// A session token of the owner for this application.
    #[track_caller]
    pub fn session_token(&self, application: &str) -> String {
        self.issue(self.owner(), &session_form(application))
    }

    /// The usual session token.
    #[track_caller]
    pub fn session(&self) -> String {
        self.session_token(APP)
    }

    #[track_caller]
    pub fn issue(&self, client: &Client, form: &str) -> String {
        let reply = self.send(&Request::token(&client.basic(), &format!("grant_type=client_credentials&{form}")));
        reply.assert_status(200);
        reply.json()["access_token"].as_str().expect("a token").to_owned()
    }

    /// Runs `scopegate` with these arguments in the gateway's folder.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        run(self.folder(), arguments)
    }

    /// Makes a client and does not wait until the gateway knows it.
    pub fn add_client(&self, scope: &str) -> Client {
        add_client(self.folder(), scope, &[])
    }

    /// What the process has written to its standard output and error.
    pub fn log(&self) -> String {
        self.log_parts().concat()
    }

    fn log_parts(&self) -> [String; 2] {
        ["stdout", "stderr"].map(|name| fs::read_to_string(self.folder().join(name)).unwrap_or_default())
    }

    /// The access log line of the request with this ID.
    pub fn access_line(&self, request_id: &str) -> Value {
        let find = || {
            self.log().lines().filter(|line| line.contains(request_id)).find_map(|line| serde_json::from_str(line).ok())
        };
        let mut line = None;
        within(Duration::from_secs(5), || {
            line = find();
            line.is_some()
        });
        line.unwrap_or_else(|| panic!("no access log line for {request_id}:\n{}", self.log()))
    }

    pub fn metrics(&self) -> Metrics {
        let reply = self.admin("/metrics");
        reply.assert_status(200);
        Metrics(reply.text())
    }

    /// How many file descriptors it has open, that of this question among them. It counts them itself: nobody else but
    /// root may look at a process that cannot be traced.
    pub fn descriptors(&self) -> usize {
        let open = self.metrics().value("process_open_fds", &[]);
        open.to_string().parse().expect("a whole number")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(15).collect();
            eprintln!("last lines of the gateway's log, newest first:\n{}", tail.join("\n"));
        }
    }
}

/// The form of a token request for a session token, without the grant.
pub fn session_form(application: &str) -> String {
    let (application, workflow, redirect) =
        (form_urlencode(application), form_urlencode(WORKFLOW), form_urlencode(REDIRECT));
    format!("scope=application.session&application_id={application}&workflow_id={workflow}&redirect_url={redirect}")
}

fn spawn(folder: &Path, environment: &[(String, String)], descriptors: Option<u32>) -> Child {
    let file = |name: &str| OpenOptions::new().create(true).append(true).open(folder.join(name)).unwrap();
    let mut command = command(folder, environment, descriptors);
    command.stdout(file("stdout")).stderr(file("stderr")).spawn().expect("the binary runs")
}

/// The gateway's process, its outputs not named yet.
fn command(folder: &Path, environment: &[(String, String)], descriptors: Option<u32>) -> Command {
    let hosts = environment.iter().find(|(name, _)| name == HOSTS_FILE).map(|(_, path)| path.as_str());
    let mut command = match descriptors {
        Some(most) => {
            let mut command = Command::new("prlimit");
            command.args([&format!("--nofile={most}:{most}"), env!("CARGO_BIN_EXE_scopegate")]);
            command
        }
        None => under_hosts(hosts),
    };
    command.args(["run", "-c"]).arg(folder.join("gateway.yaml")).envs(environment.iter().cloned()).stdin(Stdio::null());
    command
}

/// The gateway's command, with a hosts file of its own if there is one.
fn under_hosts(hosts: Option<&str>) -> Command {
    let binary = env!("CARGO_BIN_EXE_scopegate");
    let Some(hosts) = hosts else { return Command::new(binary) };
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\"", hosts, binary]);
    command
}

/// Whether a process here may have a hosts file of its own; where not, that is said on standard error.
pub fn may_have_hosts() -> bool {
    let may = Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success());
    if !may {
        eprintln!("skipped: mount namespaces are not permitted here");
    }
    may
}

/// Names the hosts file of a gateway in its environment.
pub const HOSTS_FILE: &str = "TEST_HOSTS_FILE";

fn is_ready(admin: SocketAddr) -> bool {
    let open = |address| -> io::Result<()> { TcpStream::connect_timeout(&address, Duration::from_secs(1)).map(|_| ()) };
    if open(admin).is_err() {
        return false;
    }
    let reply = Connection::open(admin).patient_for(Duration::from_secs(2)).try_exchange(&Request::get("/readyz"));
    reply.is_ok_and(|reply| reply.status == 200)
}
