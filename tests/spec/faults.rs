//! Section 8: what is known is served from memory, whatever happens to the store, and nobody is told a change was made
//! that was not.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::harness::{
    CUSTOMER, Client, Gateway, Mounted, Output, Reply, Request, await_that, each_row, under_load, within,
};

/// How soon all is well again once the fault is gone.
const RECOVERY: Duration = Duration::from_secs(2);
/// How long a change may wait for the store before it says that it was not made.
const MOST_WAIT: Duration = Duration::from_secs(8);

/// What the log says when the store stops working.
const GOING_ON: &str = "going on with what is known";

/// A connection to the store past the gateway, as someone with the `sqlite3` tool has it.
struct Outside {
    runtime: tokio::runtime::Runtime,
    connection: SqliteConnection,
}

impl Outside {
    fn of(database: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let options = SqliteConnectOptions::new().filename(database);
        let connection = runtime.block_on(SqliteConnection::connect_with(&options)).unwrap();
        Self { runtime, connection }
    }

    fn execute(&mut self, sql: &'static str) {
        self.runtime.block_on(sqlx::raw_sql(sql).execute(&mut self.connection)).unwrap();
    }
}

fn database(gateway: &Gateway) -> PathBuf {
    gateway.folder().join("gateway.db")
}

/// A gateway whose store and key, and nothing else, are on `disk`.
fn with_store_on(disk: &Mounted) -> Gateway {
    let place = |name: &str| disk.path().join(name).to_str().unwrap().to_owned();
    Gateway::start(|config| {
        config.store = format!("sqlite:{}", place("gateway.db"));
        config.store_key = format!("file:{}", place("gateway.key"));
    })
}

fn try_to_add_a_client(gateway: &Gateway) -> Output {
    gateway.cli(&["client", "add", "--customer", CUSTOMER, "--json"])
}

/// `client add` says within its bound that nothing was made, and why.
#[track_caller]
fn assert_adding_fails(gateway: &Gateway, why: &str) {
    let begin = Instant::now();
    let output = try_to_add_a_client(gateway);
    assert!(begin.elapsed() < MOST_WAIT, "it took {:?}", begin.elapsed());
    output.assert_code(1);
    assert!(output.stderr.contains(why) && !output.stderr.contains("panicked at"), "{output:#?}");
    assert_eq!(output.stderr.trim().lines().count(), 1, "one clear line: {output:#?}");
    assert_eq!(output.stdout, "", "no credentials that do not work");
}

/// `client add` works again, and the running gateway knows the client, soon after the fault has gone.
#[track_caller]
fn assert_adding_works_soon(gateway: &Gateway) -> Client {
    let begin = Instant::now();
    let client = gateway.add_client("application");
    let known = within(RECOVERY, || gateway.probe(&client.basic()) == 200);
    assert!(known && begin.elapsed() < RECOVERY, "after {:?}: {}", begin.elapsed(), gateway.log());
    client
}

/// Nothing that was acknowledged is lost, neither for who serves nor for who starts next.
#[track_caller]
fn revoke(gateway: &Gateway, client: &Client, token: &str) -> Reply {
    let request = Request::post("/v1/oauth2/revoke").header("Authorization", &client.basic());
    gateway.send(&request.form(&format!("token={token}")))
}

/// A revocation that cannot be kept is not promised, and its client does not wait for long (RFC 7009 section 2.2.1).
#[track_caller]
fn assert_revoking_fails(gateway: &Gateway, client: &Client) {
    let token = gateway.issue(client, "scope=application");
    let begin = Instant::now();
    let reply = revoke(gateway, client, &token);
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    reply.assert_status(503);
    assert!(reply.header("retry-after").is_some(), "{}", reply.summary());
    gateway.send(&Request::get("/v1/applications").bearer(&token)).assert_status(200);
}

#[track_caller]
fn assert_revoking_works_soon(gateway: &Gateway, client: &Client) {
    let token = gateway.issue(client, "scope=application");
    let revoked = within(Duration::from_secs(2), || revoke(gateway, client, &token).status == 200);
    assert!(revoked, "{}", gateway.log());
    gateway.send(&Request::get("/v1/applications").bearer(&token)).assert_status(401);
}

fn assert_kept(gateway: &mut Gateway, clients: &[&Client]) {
    let all_known = |gateway: &Gateway| clients.iter().all(|client| gateway.probe(&client.basic()) == 200);
    assert!(all_known(gateway));
    gateway.restart();
    assert!(all_known(gateway), "after a restart");
    assert_calm(gateway);
}

#[track_caller]
fn assert_calm(gateway: &Gateway) {
    assert!(!gateway.log().contains("panicked at"), "{}", gateway.log());
}

fn store_up(gateway: &Gateway) -> Option<f64> {
    let metrics = gateway.metrics();
    metrics.has("scopegate_store_up").then(|| metrics.value("scopegate_store_up", &[]))
}

/// Metric and readiness say that the store is down; the gateway stays ready, for it serves.
fn says_store_down(gateway: &Gateway) {
    await_that("scopegate_store_up 0", || store_up(gateway) == Some(0.0));
    let ready = gateway.admin("/readyz");
    ready.assert_status(200);
    assert!(ready.text().lines().any(|line| line.starts_with("store: unavailable")), "{}", ready.text());
}

/// Metric and readiness say, soon, that the store is well.
fn says_store_up(gateway: &Gateway) {
    assert!(within(RECOVERY, || store_up(gateway) == Some(1.0)), "{:?}", store_up(gateway));
    let ready = gateway.admin("/readyz");
    ready.assert_status(200);
    assert_eq!(ready.text().trim(), "ok");
}

// D1

#[test]
fn a_locked_store_stops_changes_and_nothing_else() {
    let mut gateway = Gateway::start(|_| {});
    let before = gateway.client("application");
    let mut other = Outside::of(&database(&gateway));
    under_load(&gateway, || {
        other.execute("BEGIN EXCLUSIVE");
        assert_revoking_fails(&gateway, &before);
        assert_adding_fails(&gateway, "locked");
        assert_eq!(gateway.probe(&before.basic()), 200);
        says_store_down(&gateway);
        other.execute("ROLLBACK");
        says_store_up(&gateway);
        assert_revoking_works_soon(&gateway, &before);
        let after = assert_adding_works_soon(&gateway);
        assert_eq!(gateway.probe(&after.basic()), 200);
    });
    let after = gateway.client("application");
    assert_kept(&mut gateway, &[&before, &after]);
}

#[test]
fn a_change_waits_for_a_short_lock() {
    let gateway = Gateway::start(|_| {});
    let mut other = Outside::of(&database(&gateway));
    other.execute("BEGIN EXCLUSIVE");
    thread::scope(|scope| {
        let adding = scope.spawn(|| try_to_add_a_client(&gateway));
        thread::sleep(Duration::from_millis(500));
        assert!(!adding.is_finished(), "the lock holds");
        other.execute("ROLLBACK");
        adding.join().unwrap().assert_code(0);
    });
}

// D2

#[test]
fn a_full_disk_stops_changes_and_nothing_else() {
    let Some(disk) = Mounted::of_size("2m") else { return };
    let mut gateway = with_store_on(&disk);
    let before = gateway.client("application");
    let after = under_load(&gateway, || {
        let ballast = disk.fill();
        assert_revoking_fails(&gateway, &before);
        assert_adding_fails(&gateway, "disk is full");
        gateway.cli(&["key", "rotate"]).assert_code(1);
        gateway.cli(&["client", "disable", &before.id]).assert_code(1);
        says_store_down(&gateway);
        thread::sleep(Duration::from_secs(1));
        says_store_down(&gateway);
        assert_eq!(gateway.probe(&before.basic()), 200);
        fs::remove_file(ballast).unwrap();
        says_store_up(&gateway);
        assert_revoking_works_soon(&gateway, &before);
        assert_adding_works_soon(&gateway)
    });
    assert_kept(&mut gateway, &[&before, &after]);
}

/// SQLite takes a transaction back by itself when the disk is full; every connection on which it did is as good as new.
#[test]
fn each_time_the_disk_is_full_passes_without_a_trace() {
    let Some(disk) = Mounted::of_size("2m") else { return };
    let gateway = with_store_on(&disk);
    let client = gateway.client("application");
    for _ in 0..4 {
        let ballast = disk.fill();
        for _ in 0..3 {
            assert_revoking_fails(&gateway, &client);
        }
        says_store_down(&gateway);
        fs::remove_file(ballast).unwrap();
        says_store_up(&gateway);
        for _ in 0..10 {
            let token = gateway.issue(&client, "scope=application");
            revoke(&gateway, &client, &token).assert_status(200);
        }
        says_store_up(&gateway);
    }
    assert_calm(&gateway);
}

#[test]
fn a_gateway_starts_again_on_a_full_disk() {
    let Some(disk) = Mounted::of_size("2m") else { return };
    let mut gateway = with_store_on(&disk);
    let client = gateway.client("application");
    disk.fill();
    assert_kept(&mut gateway, &[&client]);
}

// D3

#[test]
fn a_read_only_store_stops_changes_and_nothing_else() {
    let Some(disk) = Mounted::of_size("2m") else { return };
    let mut gateway = with_store_on(&disk);
    let before = gateway.client("application");
    let token = gateway.token("application");
    let under_way = |gateway: &Gateway| {
        under_load(gateway, || {
            assert_adding_fails(gateway, "readonly");
            thread::sleep(Duration::from_secs(1));
            assert_eq!(gateway.probe(&before.basic()), 200);
        });
        gateway.cli(&["client", "list"]).assert_code(0);
    };
    disk.make_read_only();
    under_way(&gateway);
    // Started like this, it reads what it needs and writes nothing.
    gateway.restart();
    under_way(&gateway);
    disk.make_writable();
    let after = assert_adding_works_soon(&gateway);
    gateway.send(&Request::get("/v1/applications").bearer(&token)).assert_status(200);
    assert_kept(&mut gateway, &[&before, &after]);
}

// D4

/// Puts `bytes` at the start of a file, leaving its length and whoever has it open alone.
fn overwrite(path: &Path, bytes: &[u8]) {
    OpenOptions::new().write(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// Bytes that are no database, and no text either.
fn garbage(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 7 + at / 251) % 256).unwrap()).collect()
}

fn cut(path: &Path, length: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

/// The damage done to a database that a gateway has open.
struct Damage(&'static str, fn(&Path));

const DAMAGES: [Damage; 5] = [
    Damage("cut within a page", |database| cut(database, 30_000)),
    Damage("cut after the first page", |database| cut(database, 4096)),
    Damage("a header of garbage", |database| overwrite(database, &garbage(4096))),
    Damage("garbage throughout", |database| overwrite(database, &garbage(65_536))),
    Damage("another file under its name", |database| {
        fs::remove_file(database).unwrap();
        fs::write(database, b"this is a page of text and no database\n".repeat(500)).unwrap();
    }),
];

#[test]
fn a_damaged_database_is_served_from_memory_and_refused_at_the_next_start() {
    each_row(
        &DAMAGES,
        |damage| damage.0.to_owned(),
        |Damage(_, damage)| {
            let mut gateway = Gateway::start(|_| {});
            let database = database(&gateway);
            // Everything in the one file: what is damaged is not healed by the log beside it.
            Outside::of(&database).execute("PRAGMA wal_checkpoint(TRUNCATE)");
            under_load(&gateway, || {
                damage(&database);
                thread::sleep(Duration::from_secs(1));
            });
            let log = gateway.restart_refused();
            assert!(log.contains("the store cannot be used"), "{log}");
            assert_calm(&gateway);
            let output = try_to_add_a_client(&gateway);
            output.assert_code(1);
            assert!(output.stderr.contains("the store cannot be used"), "{output:#?}");
        },
    );
}

#[test]
fn an_emptied_database_is_not_taken_for_a_new_one() {
    let mut gateway = Gateway::start(|_| {});
    under_load(&gateway, || {
        cut(&database(&gateway), 0);
        thread::sleep(Duration::from_secs(1));
    });
    let log = gateway.restart_refused();
    assert!(log.contains("gateway.db"), "{log}");
    assert_calm(&gateway);
}

#[test]
fn a_deleted_database_is_served_from_memory_and_a_new_one_is_announced() {
    let mut gateway = Gateway::start(|_| {});
    let (owner, token) = (gateway.owner().clone(), gateway.token("application"));
    under_load(&gateway, || {
        for name in ["gateway.db", "gateway.db-wal", "gateway.db-shm"] {
            fs::remove_file(gateway.folder().join(name)).unwrap();
        }
        thread::sleep(Duration::from_secs(1));
    });
    // The key file may have been there before the first start, so a missing database is a new one. It is said.
    assert!(!gateway.log().contains("client add"));
    gateway.restart();
    assert!(gateway.log().contains("client add"), "{}", gateway.log());
    assert!(gateway.log().contains("gateway.db is missing though its key is there"), "{}", gateway.log());
    assert_eq!(gateway.probe(&owner.basic()), 401);
    gateway.send(&Request::get("/v1/applications").bearer(&token)).assert_status(401);
    assert_calm(&gateway);
}

/// The three files of the store as they are.
fn files(gateway: &Gateway) -> Vec<(PathBuf, Vec<u8>)> {
    let path = |name| gateway.folder().join(name);
    let names = ["gateway.db", "gateway.db-wal", "gateway.db-shm"];
    names.map(path).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// A gateway whose store cannot be read any more, and what its files were.
fn unreadable(gateway: &Gateway) -> Vec<(PathBuf, Vec<u8>)> {
    let whole = files(gateway);
    for (path, bytes) in &whole {
        overwrite(path, &garbage(bytes.len()));
    }
    await_that("the log says it", || gateway.log().contains(GOING_ON));
    whole
}

#[test]
fn a_store_that_cannot_be_read_is_not_needed() {
    let mut gateway = Gateway::start(|_| {});
    let client = gateway.client("application");
    let whole = under_load(&gateway, || {
        let whole = unreadable(&gateway);
        thread::sleep(Duration::from_secs(1));
        whole
    });
    gateway.admin("/readyz").assert_status(200);
    let lines = gateway.log().matches(GOING_ON).count();
    assert!(lines <= 2, "{lines} lines: one may tell of reading and one of writing, not one of every try");
    gateway.kill();
    for (path, bytes) in whole {
        fs::write(path, bytes).unwrap();
    }
    gateway.restart();
    assert_kept(&mut gateway, &[&client]);
}

#[test]
fn a_store_that_cannot_be_read_is_reported_until_it_can() {
    let gateway = Gateway::start(|_| {});
    says_store_up(&gateway);
    let whole = unreadable(&gateway);
    says_store_down(&gateway);
    for (path, bytes) in &whole {
        overwrite(path, bytes);
    }
    says_store_up(&gateway);
    assert_adding_works_soon(&gateway);
    assert_calm(&gateway);
}
