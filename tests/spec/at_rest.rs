//! Sections 8, 11 and 16: what is kept on a disk is whole, and nobody else's to read.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
    sync::atomic::Ordering,
    time::Duration,
};

use crate::harness::{Client, Gateway, Request, await_that, each_row, meanwhile, run};

/// How soon a gateway without requests ends.
const END: Duration = Duration::from_secs(5);

fn stop(gateway: &mut Gateway, signal: &str) {
    gateway.signal(signal);
    assert!(gateway.ends_within(END).is_some(), "{}", gateway.log());
}

/// Copies the database alone, as a backup of a file does, over the one that is there.
fn restore(copy: &[u8], database: &Path) {
    for side in ["gateway.db-wal", "gateway.db-shm"] {
        let _ = fs::remove_file(database.with_file_name(side));
    }
    fs::write(database, copy).unwrap();
}

fn knows(gateway: &Gateway, clients: &[&Client]) -> bool {
    clients.iter().all(|client| gateway.probe(&client.basic()) == 200)
}

#[test]
fn a_copy_of_the_file_of_a_stopped_gateway_is_a_backup() {
    for signal in ["TERM", "INT"] {
        let mut gateway = Gateway::start(|_| {});
        let client = gateway.client("application");
        let token = gateway.token("application");
        let revoked = gateway.issue(&client, "scope=application");
        gateway.cli(&["key", "rotate"]).assert_code(0);
        let revoke = Request::post("/v1/oauth2/revoke").header("Authorization", &client.basic());
        gateway.send(&revoke.form(&format!("token={revoked}"))).assert_status(200);
        stop(&mut gateway, signal);
        let database = gateway.folder().join("gateway.db");
        assert!(!database.with_file_name("gateway.db-wal").exists(), "{signal}: the log is still there");
        let copy = fs::read(&database).unwrap();
        restore(&copy, &database);
        gateway.restart();
        assert!(knows(&gateway, &[&client, gateway.owner()]), "{signal}");
        gateway.send(&Request::get("/v1/applications").bearer(&token)).assert_status(200);
        gateway.send(&Request::get("/v1/applications").bearer(&revoked)).assert_status(401);
    }
}

#[test]
fn a_command_that_is_the_last_to_leave_folds_the_log_too() {
    let mut gateway = Gateway::start(|_| {});
    let first = gateway.client("application");
    // A gateway that was killed leaves its log, which the next process that opens the store plays back.
    gateway.kill();
    assert!(gateway.folder().join("gateway.db-wal").exists());
    let second = gateway.add_client("application");
    assert!(!gateway.folder().join("gateway.db-wal").exists());
    gateway.restart();
    assert!(knows(&gateway, &[&first, &second]));
}

#[test]
fn a_file_without_its_log_is_told_apart_from_a_new_store() {
    let mut gateway = Gateway::start(|_| {});
    gateway.kill();
    let database = gateway.folder().join("gateway.db");
    // As earlier versions made it: the first page, and all else in the log.
    let mut page = vec![0; 4096];
    page[..16].copy_from_slice(b"SQLite format 3\0");
    page[16..32].copy_from_slice(&[0x10, 0, 2, 2, 0, 64, 32, 32, 0, 0, 0, 1, 0, 0, 0, 1]);
    (page[47], page[59], page[95]) = (4, 1, 1);
    // A leaf of the table of tables (sqlite.org/fileformat2.html, 1.6) without a cell.
    (page[100], page[105]) = (0x0d, 0x10);
    restore(&page, &database);
    let log = gateway.restart_refused();
    assert!(log.contains("gateway.db: it holds no tables") && log.contains("-wal"), "{log}");
    let output = run(gateway.folder(), &["client", "list"]);
    output.assert_code(1);
    assert!(output.stderr.contains("it holds no tables"), "{output:?}");
    assert_eq!(fs::read(&database).unwrap(), page, "nothing was written");
}

#[test]
fn a_log_without_its_file_is_played_into_no_new_store() {
    let mut gateway = Gateway::start(|_| {});
    let client = gateway.client("application");
    gateway.kill();
    let database = gateway.folder().join("gateway.db");
    let aside = gateway.folder().join("aside.db");
    fs::rename(&database, &aside).unwrap();
    let log = gateway.restart_refused();
    assert!(log.contains("it is missing, but its log") && log.contains("gateway.db-wal"), "{log}");
    assert!(!database.exists());
    fs::rename(&aside, &database).unwrap();
    gateway.restart();
    assert!(knows(&gateway, &[&client]));
}

#[test]
fn a_new_store_is_whole_in_its_file_from_the_first_moment() {
    let mut gateway = Gateway::start(|_| {});
    gateway.kill();
    for name in ["gateway.db", "gateway.db-wal", "gateway.db-shm"] {
        fs::remove_file(gateway.folder().join(name)).unwrap();
    }
    gateway.restart();
    // Copied while it runs, without the log: the store as it was made, and no new one.
    let database = gateway.folder().join("gateway.db");
    let copy = fs::read(&database).unwrap();
    gateway.kill();
    restore(&copy, &database);
    let output = run(gateway.folder(), &["audit", "--json"]);
    output.assert_code(0);
    assert!(output.stdout.contains("store.made"), "{output:?}");
    let left: Vec<_> = fs::read_dir(gateway.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_str().unwrap().starts_with("gateway.db.")), "a draft is left: {left:?}");
}

#[test]
fn no_process_with_secrets_can_be_dumped_or_traced() {
    let gateway = Gateway::start(|_| {});
    let process = gateway.process();
    assert_eq!(process.limit("Max core file size"), ["0", "0"]);
    assert_eq!(process.status("Umask"), "0077");
    // The system gives the files of a process that cannot be dumped to root.
    let owner = |name: &str| fs::metadata(format!("/proc/{}/{name}", gateway.pid())).unwrap().uid();
    assert_eq!(owner("mem"), 0);
    let metrics = gateway.metrics();
    assert!(metrics.value("process_open_fds", &[]) > 0.0 && metrics.value("process_resident_memory_bytes", &[]) > 0.0);
}

#[test]
fn a_process_that_cannot_be_traced_still_reads_its_own_figures() {
    let mut as_nobody = Command::new("setpriv");
    as_nobody.args(["--reuid=65534", "--clear-groups", env!("CARGO_BIN_EXE_scopegate"), "--version"]);
    if !as_nobody.output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: the gateway cannot be run as nobody here");
        return;
    }
    let mut gateway = Gateway::start(|_| {});
    gateway.kill();
    for entry in fs::read_dir(gateway.folder()).unwrap() {
        std::os::unix::fs::chown(entry.unwrap().path(), Some(65534), Some(65534)).unwrap();
    }
    std::os::unix::fs::chown(gateway.folder(), Some(65534), Some(65534)).unwrap();
    gateway.restart_as(65534);
    assert_eq!(gateway.process().status("Uid").split_whitespace().next(), Some("65534"));
    let mem = fs::metadata(format!("/proc/{}/mem", gateway.pid())).unwrap();
    assert_eq!(mem.uid(), 0, "its memory is not its user's to read");
    assert!(gateway.metrics().value("process_open_fds", &[]) > 0.0);
}

#[test]
fn a_socket_in_the_file_system_is_never_open_to_all() {
    let mut gateway = Gateway::start(|config| {
        config.listener("{address: \"unix:gateway.sock\"}");
    });
    let path = gateway.folder().join("gateway.sock");
    let watch = |ended: &std::sync::atomic::AtomicBool| {
        let (mut seen, mut odd) = (0, Vec::new());
        while !ended.load(Ordering::Relaxed) {
            if let Ok(found) = fs::symlink_metadata(&path) {
                seen += 1;
                if found.mode() & 0o007 != 0 {
                    odd.push(format!("{:o}", found.mode()));
                }
            }
        }
        (seen, odd)
    };
    let ((), watched) = meanwhile(&[&watch], || {
        for _ in 0..5 {
            gateway.kill();
            fs::remove_file(&path).unwrap();
            gateway.restart();
        }
    });
    let (seen, odd) = &watched[0];
    assert!(*seen > 0 && odd.is_empty(), "{seen} times seen, open to all: {odd:?}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
}

#[test]
fn files_that_others_may_read_are_warned_of() {
    let rows = [("gateway.db", 0o644), ("gateway.db", 0o640), ("gateway.db-wal", 0o604), ("gateway.db", 0o666)];
    each_row(
        &rows,
        |row| format!("{row:?}"),
        |(name, mode)| {
            let mut gateway = Gateway::start(|_| {});
            gateway.kill();
            let path = gateway.folder().join(name);
            fs::set_permissions(&path, Permissions::from_mode(*mode)).unwrap();
            let checked = gateway.cli(&["check"]);
            checked.assert_code(0);
            let warning = format!("(mode {mode:04o}): `chmod 600` it");
            assert!(checked.stderr.contains(&warning) && checked.stderr.contains(name), "{checked:?}");
            gateway.restart();
            await_that("it is warned of", || gateway.log().contains(&warning));
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            assert_eq!(gateway.cli(&["check"]).stderr, "");
        },
    );
}
