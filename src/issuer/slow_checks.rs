use std::{
    hint::black_box,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use tokio::sync::oneshot;

use super::secret::Proven;
use crate::domain::{Argon2idHash, ClientSecret, SecretHash};

/// Requests that may wait for a check. With the longest checks allowed they wait for seconds: more would only time out.
pub(super) const MAX_WAITING: usize = 64;

/// A secret that somebody showed, and everything it must be checked against.
pub(super) struct Guess {
    pub(super) shown: ClientSecret,
    pub(super) keyed: SecretHash,
    /// The hashes of the client's own imported secrets.
    pub(super) hashes: Vec<(Argon2idHash, Arc<Proven>)>,
    /// Hashes of others that are checked for the time it takes; what comes of it is not looked at.
    pub(super) stand_ins: Vec<Argon2idHash>,
}

/// Too many checks wait already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Busy;

/// Threads that check imported secrets, away from those that serve requests and behind them in priority: a flood of
/// guesses delays guesses.
pub(super) struct SlowChecks {
    queue: SyncSender<Job>,
}

struct Job {
    guesses: Vec<Guess>,
    answer: oneshot::Sender<Vec<Option<Argon2idHash>>>,
}

impl SlowChecks {
    /// Starts as many threads as half the machine has cores, at least one. They end with this value.
    pub(super) fn start() -> Self {
        let (queue, jobs) = sync_channel(MAX_WAITING);
        let jobs = Arc::new(Mutex::new(jobs));
        let cores = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..(cores / 2).max(1) {
            let jobs = Arc::clone(&jobs);
            let started = thread::Builder::new().name(THREAD.to_owned()).spawn(move || work(&jobs));
            started.expect("the process may start a thread at its start");
        }
        Self { queue }
    }

    /// For each guess the hash that it is the secret of, if it is of one.
    pub(super) async fn judge(&self, guesses: Vec<Guess>) -> Result<Vec<Option<Argon2idHash>>, Busy> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Job { guesses, answer }).map_err(|_| Busy)?;
        answered.await.map_err(|_| Busy)
    }
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    yield_to_requests();
    while let Some(Job { guesses, answer }) = next(jobs) {
        // Nobody waits any more: the client went away before its turn came.
        if answer.is_closed() {
            continue;
        }
        // A check that panics answers nothing, which reads as busy, and the thread goes on with the next.
        let judged = catch_unwind(AssertUnwindSafe(|| guesses.iter().map(Guess::judge).collect()));
        let _ = judged.map(|found| answer.send(found));
    }
}

/// The lock is held while waiting, and given back before the work.
fn next(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// On Linux a priority belongs to a thread; elsewhere it is the whole process's and stays as it is. To fail is to go on at
/// the usual priority.
fn yield_to_requests() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(LOWEST_PRIORITY);
}

impl Guess {
    fn judge(&self) -> Option<Argon2idHash> {
        // While this one waited, another request of the same client may have proven the secret.
        let proven = self.hashes.iter().find(|(_, proven)| proven.is(&self.keyed));
        if let Some((hash, _)) = proven {
            return Some(hash.clone());
        }
        let mut found = None;
        for (hash, proven) in &self.hashes {
            if hash.matches(&self.shown) {
                proven.remember(self.keyed.clone());
                found = Some(hash.clone());
            }
        }
        for hash in &self.stand_ins {
            black_box(hash.matches(&self.shown));
        }
        found
    }
}

/// How the threads are called; the kernel keeps 15 bytes.
pub(super) const THREAD: &str = "secret-check";
#[cfg(target_os = "linux")]
const LOWEST_PRIORITY: i32 = 19;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuer::tests::{argon2id, keyed_hash};

    fn guess(secret: &str, hash: Argon2idHash, proven: &Arc<Proven>) -> Guess {
        Guess {
            shown: ClientSecret::presented(secret.to_owned()),
            keyed: keyed_hash(secret),
            hashes: vec![(hash, Arc::clone(proven))],
            stand_ins: vec![argon2id("somebody's", 64)],
        }
    }

    #[tokio::test]
    async fn each_guess_is_told_the_hash_it_is_of() {
        let checks = SlowChecks::start();
        let (a, proven) = (argon2id("a", 64), Arc::default());
        let guesses = ["x", "a", "somebody's"].map(|secret| guess(secret, a.clone(), &proven));
        assert_eq!(checks.judge(guesses.into()).await, Ok(vec![None, Some(a), None]));
        assert!(proven.is(&keyed_hash("a")) && !proven.is(&keyed_hash("x")));
    }

    #[test]
    fn what_was_proven_while_a_guess_waited_is_not_checked_again() {
        let other = argon2id("b", 64);
        let proven = Arc::default();
        let waiting = guess("a", other.clone(), &proven);
        assert_eq!(waiting.judge(), None);
        proven.remember(keyed_hash("a"));
        assert_eq!(waiting.judge(), Some(other));
    }

    #[tokio::test]
    async fn a_guess_that_nobody_waits_for_is_not_checked() {
        let checks = SlowChecks::start();
        let (abandoned, awaited) = (Arc::default(), Arc::default());
        let (answer, answered) = oneshot::channel();
        drop(answered);
        let guesses = vec![guess("a", argon2id("a", 64), &abandoned)];
        assert!(checks.queue.try_send(Job { guesses, answer }).is_ok());
        checks.judge(vec![guess("a", argon2id("a", 64), &awaited)]).await.unwrap();
        assert!(awaited.is(&keyed_hash("a")) && !abandoned.is(&keyed_hash("a")));
    }
}
