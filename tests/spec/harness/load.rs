//! Good requests all the time while something else happens.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{Client, Connection, Gateway, Request};

/// Runs every one of `others` in a thread of its own until `during` is done; each is told when to end.
pub fn meanwhile<S: Send, T>(others: &[&(dyn Fn(&AtomicBool) -> S + Sync)], during: impl FnOnce() -> T) -> (T, Vec<S>) {
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let others: Vec<_> = others.iter().map(|other| scope.spawn(|| other(&ended))).collect();
        // Also told when `during` fails: the scope waits for all threads.
        let end = End(&ended);
        let outcome = during();
        drop(end);
        (outcome, others.into_iter().map(|other| other.join().expect("the thread beside the test held")).collect())
    })
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// One that asks for tokens and uses them, on one connection as long as it lasts.
pub struct Sender {
    address: SocketAddr,
    authorization: String,
    connection: Option<Connection>,
    /// Requests that got what they should.
    pub good: usize,
    /// The longest that one took.
    pub slowest: Duration,
}

impl Sender {
    pub fn new(address: SocketAddr, client: &Client) -> Self {
        let (authorization, slowest) = (client.basic(), Duration::ZERO);
        Self { address, authorization, connection: None, good: 0, slowest }
    }

    /// Leaves the connection: the next request opens one.
    pub fn hang_up(&mut self) {
        self.connection = None;
    }

    /// A new token.
    pub fn issue(&mut self) -> Result<String, String> {
        let body =
            self.send(&Request::token(&self.authorization, "grant_type=client_credentials&scope=application"))?;
        let reply: serde_json::Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        Ok(reply["access_token"].as_str().ok_or("no token in the reply")?.to_owned())
    }

    /// A request to the upstream with this token.
    pub fn spend(&mut self, token: &str) -> Result<(), String> {
        self.send(&Request::get("/v1/applications").bearer(token)).map(drop)
    }

    /// The body of a 200; everything else is told as what went wrong.
    pub fn send(&mut self, request: &Request) -> Result<Vec<u8>, String> {
        let begin = Instant::now();
        let what = format!("{} {}", request.method, request.target);
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::try_open(self.address).map_err(|error| format!("{what}: {error}"))?,
        };
        let reply = connection.try_exchange(request).map_err(|broken| format!("{what}: {broken:?}"))?;
        if reply.status != 200 {
            return Err(format!("{what}: {}", reply.summary()));
        }
        self.connection = Some(connection);
        self.good += 1;
        self.slowest = self.slowest.max(begin.elapsed());
        Ok(reply.body)
    }
}

/// Does `during` while two threads get tokens and use a new and an old one. Fails unless every request got its 200, all
/// of them in reasonable time.
#[track_caller]
pub fn under_load<T>(gateway: &Gateway, during: impl FnOnce() -> T) -> T {
    let old = gateway.token("application");
    let light = |ended: &AtomicBool| {
        let mut sender = Sender::new(gateway.public, gateway.owner());
        let mut failed = Vec::new();
        while !ended.load(Ordering::SeqCst) {
            let new = sender.issue();
            let spent = sender.spend(&old).and(new).and_then(|new| sender.spend(&new));
            failed.extend(spent.err());
            thread::sleep(Duration::from_millis(5));
        }
        (sender.good, sender.slowest, failed)
    };
    let (outcome, loads) = meanwhile(&[&light, &light], during);
    for (good, slowest, failed) in loads {
        assert!(failed.is_empty(), "{} failed beside {good} good ones: {failed:#?}", failed.len());
        assert!(good >= 30, "{good} requests are no load");
        assert!(slowest < SLOW, "a request took {slowest:?}");
    }
    outcome
}

/// Longer than any request waits on a busy machine, and shorter than anything that waits for the store.
const SLOW: Duration = Duration::from_secs(2);
