use std::{
    hint::black_box,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::sync::oneshot;

use super::{
    fair_queue::{Asker, FairQueue, NoPlace},
    secret::Proven,
};
use crate::domain::{Argon2idHash, ClientSecret, SecretHash};

/// Requests that may wait for a check. With the longest checks allowed they wait for seconds: more would only time out.
pub(super) const MAX_WAITING: usize = 64;
/// How many of them may come from one address, or name one client.
pub(super) const MAX_OF_ONE: usize = MAX_WAITING / 4;

/// A secret that somebody showed, and everything it must be checked against.
pub(super) struct Guess {
    pub(super) shown: ClientSecret,
    pub(super) keyed: SecretHash,
    /// The hashes of the client's own imported secrets.
    pub(super) hashes: Vec<(Argon2idHash, Arc<Proven>)>,
    /// Hashes of others that are checked for the time it takes; what comes of it is not looked at.
    pub(super) stand_ins: Vec<Argon2idHash>,
}

/// Why a guess was not judged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotJudged {
    /// Too many of its address, or of its client, wait already.
    OwnShare,
    /// Too many wait already.
    Busy,
}

/// Threads that check imported secrets, away from those that serve requests and behind them in priority: a flood of
/// guesses delays guesses, and those of the one who sends it most.
pub(super) struct SlowChecks {
    queue: Arc<Queue>,
}

/// What the threads take their work from.
struct Queue {
    jobs: Mutex<Jobs>,
    changed: Condvar,
}

struct Jobs {
    waiting: FairQueue<Job>,
    stop: Stop,
}

/// Whether the threads end once nothing is left to do.
#[derive(PartialEq, Eq)]
enum Stop {
    No,
    Yes,
}

struct Job {
    guesses: Vec<Guess>,
    answer: oneshot::Sender<Vec<Option<Argon2idHash>>>,
}

impl SlowChecks {
    /// Starts as many threads as half the machine has cores, at least one. They end with this value.
    pub(super) fn start() -> Self {
        let jobs = Jobs { waiting: FairQueue::new(MAX_WAITING, MAX_OF_ONE), stop: Stop::No };
        let queue = Arc::new(Queue { jobs: Mutex::new(jobs), changed: Condvar::new() });
        let cores = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..(cores / 2).max(1) {
            let queue = Arc::clone(&queue);
            let started = thread::Builder::new().name(THREAD.to_owned()).spawn(move || work(&queue));
            started.expect("the process may start a thread at its start");
        }
        Self { queue }
    }

    /// For each guess the hash that it is the secret of, if it is of one.
    pub(super) async fn judge(
        &self,
        asker: Asker,
        guesses: Vec<Guess>,
    ) -> Result<Vec<Option<Argon2idHash>>, NotJudged> {
        let (answer, answered) = oneshot::channel();
        self.queue.place(asker, Job { guesses, answer })?;
        self.queue.changed.notify_one();
        // Nobody answers where another one was given the place, or a check panicked.
        answered.await.map_err(|_| NotJudged::Busy)
    }
}

impl Drop for SlowChecks {
    fn drop(&mut self) {
        self.queue.jobs().stop = Stop::Yes;
        self.queue.changed.notify_all();
    }
}

impl Queue {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, asker: Asker, job: Job) -> Result<(), NotJudged> {
        let waiting = &mut self.jobs().waiting;
        // Whose clients went away meanwhile.
        waiting.retain(|job| !job.answer.is_closed());
        waiting.push(asker, job).map_err(|no_place| match no_place {
            NoPlace::OwnShare => NotJudged::OwnShare,
            NoPlace::Full => NotJudged::Busy,
        })
    }

    /// Waits for the next job. The lock is given back while waiting, and before the work.
    fn next(&self) -> Option<Job> {
        let mut jobs = self.jobs();
        loop {
            let next = jobs.waiting.pop();
            if next.is_some() || jobs.stop == Stop::Yes {
                return next;
            }
            jobs = self.changed.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn work(queue: &Queue) {
    yield_to_requests();
    while let Some(Job { guesses, answer }) = queue.next() {
        // Nobody waits any more: the client went away before its turn came.
        if answer.is_closed() {
            continue;
        }
        // A check that panics answers nothing, which reads as busy, and the thread goes on with the next.
        let judged = catch_unwind(AssertUnwindSafe(|| guesses.iter().map(Guess::judge).collect()));
        let _ = judged.map(|found| answer.send(found));
    }
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

    fn asker() -> Asker {
        Asker { network: [192, 0, 2, 1].into(), ids: vec!["c".to_owned()] }
    }

    #[tokio::test]
    async fn each_guess_is_told_the_hash_it_is_of() {
        let checks = SlowChecks::start();
        let (a, proven) = (argon2id("a", 64), Arc::default());
        let guesses = ["x", "a", "somebody's"].map(|secret| guess(secret, a.clone(), &proven));
        assert_eq!(checks.judge(asker(), guesses.into()).await, Ok(vec![None, Some(a), None]));
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
        assert!(checks.queue.jobs().waiting.push(asker(), Job { guesses, answer }).is_ok());
        checks.judge(asker(), vec![guess("a", argon2id("a", 64), &awaited)]).await.unwrap();
        assert!(awaited.is(&keyed_hash("a")) && !abandoned.is(&keyed_hash("a")));
    }
}
