//! Section 8: killed at random moments, a hundred times, under load: what was acknowledged is kept, and every start is
//! a whole one.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::harness::{CUSTOMER, Client, Gateway, Output, Request, Sender, command, each_row, meanwhile, random_below};

const KILLS: usize = 100;
/// How soon a gateway that was killed serves again, in a build without optimisation on a busy machine.
const READY: Duration = Duration::from_secs(5);
/// Clients that are looked at after each start; at the end it is all of them.
const SAMPLE: usize = 6;

/// Whether the gateway runs: even while it does, odd from just before a kill until it is ready again.
struct Life(AtomicUsize);

impl Life {
    fn now(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn turn(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What the command line has promised.
#[derive(Default)]
struct Promises {
    clients: Vec<(Client, Standing)>,
    /// The keys that were shown or published: none of them ends during the test.
    kids: HashSet<String>,
    commands: usize,
    killed: usize,
    rotations: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Enabled,
    Disabled,
    /// A command that would change it is under way, or was killed.
    Open,
}

/// How a command ended.
enum End {
    Done(Output),
    Killed,
}

/// Runs a command, or kills it on its way.
fn run_or_kill(folder: &Path, arguments: &[&str]) -> End {
    let mut child = command(folder, arguments).spawn().unwrap();
    let kill = random_below(5) == 0;
    if kill {
        thread::sleep(Duration::from_millis(u64::try_from(random_below(80)).unwrap()));
        child.kill().unwrap();
    }
    let output = Output::of(&child.wait_with_output().unwrap());
    match output.code {
        // It may have ended before it was to be killed.
        0 => End::Done(output),
        -1 if kill => End::Killed,
        code => panic!("{arguments:?} ended with {code}: {}", output.stderr),
    }
}

/// Adds clients, disables some and rotates keys, without a pause.
fn administer(folder: &Path, promises: &Mutex<Promises>, ended: &AtomicBool) {
    while !ended.load(Ordering::SeqCst) {
        let killed = match random_below(8) {
            0 => rotate(folder, promises),
            1 | 2 => disable_one(folder, promises),
            _ => add(folder, promises),
        };
        let mut promises = promises.lock().unwrap();
        promises.commands += 1;
        promises.killed += usize::from(matches!(killed, End::Killed));
    }
}

fn add(folder: &Path, promises: &Mutex<Promises>) -> End {
    let end = run_or_kill(folder, &["client", "add", "--customer", CUSTOMER, "--json"]);
    if let End::Done(output) = &end {
        promises.lock().unwrap().clients.push((Client::of(&output.json()), Standing::Enabled));
    }
    end
}

fn disable_one(folder: &Path, promises: &Mutex<Promises>) -> End {
    let (place, id) = {
        let clients = &mut promises.lock().unwrap().clients;
        let place = random_below(clients.len());
        clients[place].1 = Standing::Open;
        (place, clients[place].0.id.clone())
    };
    let end = run_or_kill(folder, &["client", "disable", &id]);
    if let End::Done(_) = &end {
        promises.lock().unwrap().clients[place].1 = Standing::Disabled;
    }
    end
}

fn rotate(folder: &Path, promises: &Mutex<Promises>) -> End {
    let end = run_or_kill(folder, &["key", "rotate", "--json"]);
    if let End::Done(output) = &end {
        let mut promises = promises.lock().unwrap();
        promises.rotations += 1;
        promises.kids.extend(kids(&output.json()));
    }
    end
}

fn kids(keys: &Value) -> Vec<String> {
    keys.as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// Asks for tokens and uses new and old ones. A request may fail only if the gateway was killed meanwhile.
fn load(mut sender: Sender, life: &Life, first: &str, ended: &AtomicBool) -> (usize, usize, Vec<String>) {
    let (mut old, mut excused, mut failed) = (first.to_owned(), 0, Vec::new());
    let mut last = life.now();
    while !ended.load(Ordering::SeqCst) {
        let before = life.now();
        if before % 2 == 1 {
            thread::sleep(Duration::from_millis(2));
            continue;
        }
        if std::mem::replace(&mut last, before) != before {
            // The connection ended with the process that held its other end.
            sender.hang_up();
        }
        let new = sender.spend(&old).and_then(|()| sender.issue());
        match new.and_then(|new| sender.spend(&new).map(|()| new)) {
            // The token that is old next time outlives the kill between.
            Ok(new) => old = new,
            Err(_) if life.now() != before => excused += 1,
            Err(why) => failed.push(why),
        }
        thread::sleep(Duration::from_millis(1));
    }
    (sender.good, excused, failed)
}

fn integrity(database: &Path) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(database).busy_timeout(READY);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        let verdict = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        verdict
    })
}

/// Every one of `clients` gets a token or does not, as was promised for it, unless the promise has changed since.
#[track_caller]
fn assert_promised(gateway: &Gateway, clients: &[(Client, Standing)], promises: &Mutex<Promises>) {
    let unchanged = |client: &Client, standing| {
        let now = &promises.lock().unwrap().clients;
        now.iter().any(|(own, own_standing)| own.id == client.id && *own_standing == standing)
    };
    let check = |(client, standing): &(Client, Standing)| {
        let expected = match standing {
            Standing::Enabled => 200,
            Standing::Disabled => 401,
            Standing::Open => return,
        };
        let status = gateway.probe(&client.basic());
        assert!(status == expected || !unchanged(client, *standing), "{standing:?}, but {status}");
    };
    each_row(clients, |(client, standing)| format!("{} {standing:?}", client.id), check);
}

fn sample(promises: &Mutex<Promises>) -> Vec<(Client, Standing)> {
    let clients = &promises.lock().unwrap().clients;
    // The newest ones are those that a lost write would take with it.
    let newest = clients.iter().rev().take(SAMPLE / 2).cloned();
    newest.chain((0..SAMPLE / 2).map(|_| clients[random_below(clients.len())].clone())).collect()
}

/// One key signs, one is published ahead, and every key that anybody saw is still there.
fn assert_keys(gateway: &Gateway, seen: &HashSet<String>) -> Vec<String> {
    let keys = gateway.cli(&["key", "list", "--json"]).assert_code(0).json();
    let in_state = |state: &str| keys.as_array().unwrap().iter().filter(|key| key["state"] == state).count();
    assert_eq!((in_state("current"), in_state("next")), (1, 1), "{keys}");
    let published = gateway.send(&Request::get("/.well-known/jwks.json")).json()["keys"].clone();
    let published = kids(&published);
    let lost: Vec<_> = seen.iter().filter(|kid| !published.contains(kid)).collect();
    assert!(lost.is_empty(), "{lost:?} are gone from {published:?}");
    published
}

/// One life of the gateway: some load, the kill, the next start and all that must hold after it.
fn kill_once(gateway: &mut Gateway, round: usize, life: &Life, promises: &Mutex<Promises>) -> Duration {
    thread::sleep(Duration::from_millis(u64::try_from(50 + random_below(250)).unwrap()));
    life.turn();
    gateway.kill();
    if round % 10 == 9 {
        // Killed while it starts, too; these do not count.
        gateway.launch();
        thread::sleep(Duration::from_millis(u64::try_from(random_below(60)).unwrap()));
        gateway.kill();
    }
    let (clients, seen) = (sample(promises), promises.lock().unwrap().kids.clone());
    let took = gateway.restart();
    life.turn();
    assert!(took < READY, "ready after {took:?}");
    assert_eq!(integrity(&gateway.folder().join("gateway.db")), "ok");
    assert_promised(gateway, &clients, promises);
    let published = assert_keys(gateway, &seen);
    promises.lock().unwrap().kids.extend(published);
    gateway.upstream().forget();
    took
}

#[test]
fn a_gateway_killed_a_hundred_times_under_load_keeps_what_was_acknowledged() {
    let begin = Instant::now();
    let mut gateway = Gateway::start(|_| {});
    let first = gateway.token("application");
    let (life, promises) = (Life(AtomicUsize::new(0)), Mutex::new(Promises::default()));
    promises.lock().unwrap().clients.push((gateway.client("application"), Standing::Enabled));
    let (address, owner, folder) = (gateway.public, gateway.owner().clone(), PathBuf::from(gateway.folder()));
    let loading = |ended: &AtomicBool| load(Sender::new(address, &owner), &life, &first, ended);
    let administering = |ended: &AtomicBool| {
        administer(&folder, &promises, ended);
        (0, 0, Vec::new())
    };
    let (starts, loads) = meanwhile(&[&loading, &loading, &loading, &administering], || -> Vec<Duration> {
        (0..KILLS).map(|round| kill_once(&mut gateway, round, &life, &promises)).collect()
    });
    let failed: Vec<_> = loads.iter().flat_map(|(_, _, failed)| failed).collect();
    assert!(failed.is_empty(), "{} failed with the gateway running: {failed:#?}", failed.len());

    // The last kill, with nobody else there: what is on the disk is all there is.
    gateway.kill();
    assert_eq!(integrity(&gateway.folder().join("gateway.db")), "ok");
    gateway.restart();
    let (good, excused) = loads.iter().fold((0, 0), |sum, load| (sum.0 + load.0, sum.1 + load.1));
    let all = promises.lock().unwrap().clients.clone();
    assert_promised(&gateway, &all, &promises);
    let seen = promises.lock().unwrap().kids.clone();
    assert_keys(&gateway, &seen);
    gateway.send(&Request::get("/v1/applications").bearer(&first)).assert_status(200);
    assert!(!gateway.log().contains("panicked at"));

    let Promises { commands, killed, rotations, .. } = *promises.lock().unwrap();
    eprintln!(
        "{KILLS} kills in {:?}, slowest start {:?}; {good} good requests, {excused} cut off; {commands} commands, \
         {killed} of them killed; {} clients, {rotations} rotations",
        begin.elapsed(),
        starts.iter().max().unwrap(),
        all.len(),
    );
    assert!(good > 20 * KILLS && all.len() > KILLS && rotations > KILLS / 10, "that was no load");
}
