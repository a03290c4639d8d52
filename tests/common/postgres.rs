//! A PostgreSQL of one test's own: private, on a port nobody else has, and gone with the test.

#![allow(dead_code, reason = "two suites share this, and neither needs all of it")]
#![allow(missing_docs, clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_methods, reason = "tests may read clocks")]

use std::{
    env, fs,
    fs::{File, OpenOptions},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _, ValueRef as _, postgres::PgRow};
use tempfile::TempDir;

/// A running PostgreSQL with a data directory of its own. Everybody on this machine may log in as `scopegate`, its
/// superuser.
pub struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    settings: Vec<String>,
    port: u16,
    server: Option<Child>,
}

impl Cluster {
    /// Starts one that does not wait for the disk. `None`, said on standard error, where PostgreSQL is not installed; CI
    /// must have it.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// Starts one with these settings, `fsync=on` for example.
    pub fn start_with(settings: &[&str]) -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(env::var_os("CI").is_none(), "CI has PostgreSQL: make test-deps");
            eprintln!("skipped: no PostgreSQL here");
            return None;
        };
        let folder = folder();
        let data = folder.path().join("data");
        let mut initdb = unprivileged(&programs.join("initdb"));
        initdb.args(["-N", "-A", "trust", "-U", USER, "-E", "UTF8", "--locale=C.UTF-8", "-D"]).arg(&data);
        let output = initdb.current_dir(folder.path()).output().expect("initdb runs");
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        let settings = settings.iter().map(ToString::to_string).collect();
        let mut cluster = Self { folder, programs, settings, port: 0, server: None };
        for _ in 0..3 {
            cluster.port = free_port();
            if cluster.launch() {
                return Some(cluster);
            }
        }
        panic!("PostgreSQL did not start:\n{}", cluster.log());
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@{}/{database}", self.address())
    }

    /// Makes an empty database and tells its name.
    pub fn create_database(&self) -> String {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", MADE.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Runs statements and returns their rows as `psql -At` prints them: a line for each, columns between `|`.
    #[track_caller]
    pub fn sql(&self, database: &str, text: &str) -> String {
        self.try_sql(database, text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    pub fn try_sql(&self, database: &str, text: &str) -> Result<String, sqlx::Error> {
        let url = self.url(database);
        // On a thread of its own, so that tests that are asynchronous themselves may call this too.
        let run = || {
            runtime().block_on(async {
                let mut connection = PgConnection::connect(&url).await?;
                let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(text))).await?;
                connection.close().await?;
                Ok(rows.iter().map(line).collect::<Vec<_>>().join("\n"))
            })
        };
        thread::scope(|scope| scope.spawn(run).join().expect("the thread ran"))
    }

    /// A connection that has run these statements and stays open until it is dropped.
    pub fn hold(&self, database: &str, text: &str) -> Result<Held, sqlx::Error> {
        let (url, text) = (self.url(database), text.to_owned());
        let (release, released) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            runtime().block_on(async {
                let opened = async {
                    let mut connection = PgConnection::connect(&url).await?;
                    connection.execute(sqlx::raw_sql(AssertSqlSafe(text))).await?;
                    Ok(connection)
                };
                let (outcome, connection) = match opened.await {
                    Ok(connection) => (Ok(()), Some(connection)),
                    Err(error) => (Err(error), None),
                };
                let _ = tell.send(outcome);
                let _ = released.recv();
                if let Some(connection) = connection {
                    let _ = connection.close().await;
                }
            });
        });
        let held = Held { release: Some(release), thread: Some(thread) };
        told.recv().expect("the thread tells").map(|()| held)
    }

    /// Ends PostgreSQL at once, as a crash does: `pg_ctl stop -m immediate`.
    pub fn stop_immediate(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        // Its guard takes the end of its input for the end of this process.
        drop(server.stdin.take());
        let _ = server.wait();
    }

    /// Starts it again on the same port and data, and returns when it accepts connections.
    pub fn restart(&mut self) {
        self.stop_immediate();
        let end = Instant::now() + PATIENCE;
        while !self.launch() {
            assert!(Instant::now() < end, "PostgreSQL did not start again:\n{}", self.log());
        }
    }

    /// What PostgreSQL has written to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Whether it runs and accepts connections now; if not, nothing of it is left running.
    fn launch(&mut self) -> bool {
        self.server = Some(self.spawn());
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if self.try_sql("postgres", "SELECT 1").is_ok() {
                return true;
            }
            if self.server.as_mut().is_some_and(|server| server.try_wait().unwrap().is_some()) {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.stop_immediate();
        false
    }

    fn spawn(&self) -> Child {
        let folder = self.folder.path();
        let mut guard = unprivileged(Path::new("/bin/sh"));
        guard.args(["-c", GUARD, "guard"]).arg(self.programs.join("postgres")).arg("-D").arg(folder.join("data"));
        let own = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", self.port),
            format!("unix_socket_directories={}", folder.display()),
            "fsync=off".to_owned(),
        ];
        // The last one of a name counts.
        own.iter().chain(&self.settings).for_each(|setting| {
            guard.args(["-c", setting]);
        });
        let log =
            |name: &str| -> File { OpenOptions::new().create(true).append(true).open(folder.join(name)).unwrap() };
        guard.current_dir(folder).stdin(Stdio::piped()).stdout(log("log")).stderr(log("log"));
        guard.spawn().expect("a shell runs")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop_immediate();
        if thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(10).collect();
            eprintln!("last lines of PostgreSQL's log, newest first:\n{}", tail.join("\n"));
        }
    }
}

/// A connection in the hands of a test, with the locks it has taken.
pub struct Held {
    release: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.release.take());
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The values of a row, which the simple protocol sends as text.
fn line(row: &PgRow) -> String {
    let text = |column| {
        row.try_get_raw(column).ok().filter(|value| !value.is_null()).map(|value| value.as_str().unwrap().to_owned())
    };
    (0..row.len()).map(|column| text(column).unwrap_or_default()).collect::<Vec<_>>().join("|")
}

/// Where PostgreSQL's programs are: on `PATH`, else where Debian puts its newest version.
fn programs() -> Option<PathBuf> {
    let whole = |folder: &Path| ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file());
    let path = env::var_os("PATH").unwrap_or_default();
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut versions: Vec<PathBuf> = installed.filter(|path| version(path).is_some()).collect();
    versions.sort_by_key(|path| std::cmp::Reverse(version(path)));
    env::split_paths(&path).chain(versions.into_iter().map(|path| path.join("bin"))).find(|folder| whole(folder))
}

/// PostgreSQL refuses to run as root: then it runs as nobody.
fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"]).arg(program);
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// A folder that belongs to who PostgreSQL runs as, and that it can reach.
fn folder() -> TempDir {
    if !is_root() {
        return TempDir::new().unwrap();
    }
    let open = |folder: &Path| fs::metadata(folder).is_ok_and(|folder| folder.permissions().mode() & 0o001 != 0);
    let reachable = |folder: &PathBuf| folder.ancestors().all(open);
    let parent = [env::temp_dir(), "/tmp".into(), "/var/tmp".into()].into_iter().find(reachable);
    let folder = TempDir::new_in(parent.expect("a folder for temporary files that everybody can reach")).unwrap();
    chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    folder
}

/// A port that nobody listens on, from below those that the kernel gives away: nobody gets it while PostgreSQL is down.
fn free_port() -> u16 {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    loop {
        let step = TRIED.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + (process::id().wrapping_mul(7_919) + step) % (PORTS.end - PORTS.start);
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Runs its arguments until they end or its input does, which is when this process ends, however it does.
const GUARD: &str =
    r#"exec 3<&0; "$@" </dev/null 3<&- & server=$!; { cat <&3 >/dev/null; kill -QUIT $server; } & wait $server"#;

const USER: &str = "scopegate";
const NOBODY: u32 = 65_534;
const PORTS: std::ops::Range<u32> = 20_000..32_000;
const PATIENCE: Duration = Duration::from_secs(30);
