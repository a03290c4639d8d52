//! Where another issuer's keys come from, and when they are fetched: on a schedule, and once for a token that names a key
//! nobody knows, however many requests bring such tokens.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{
    fetch::{Fetch, FetchError},
    key_ring::KeyRing,
};
use crate::{
    domain::{Timestamp, random_bytes},
    token::{JwsAlgorithm, KeySet, KeySetError, PassedOver, Unusable, VerifyingKey, WhyUnusable, parse_key_set},
};

/// How often keys are fetched, and for how long they count without.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// From one fetch to the next; a tenth more or less, so that nodes do not ask all at once.
    pub refresh: Duration,
    /// How long what was fetched last is relied on while nothing new can be had.
    pub stale: Duration,
}

/// Keys that somebody else publishes.
#[derive(Debug)]
pub(super) struct KeySource {
    pub(super) ring: KeyRing,
    fetch: Fetch,
    algorithms: Vec<JwsAlgorithm>,
    schedule: Schedule,
    fetches: watch::Sender<Fetches>,
    wanted: Notify,
    waiting: AtomicUsize,
    counts: Counts,
    /// What the last sound set held that cannot be used.
    unusable: Mutex<Vec<Unusable>>,
}

/// How fetching went since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceReport {
    /// Fetches that brought a sound set.
    pub succeeded: u64,
    /// Fetches that did not.
    pub failed: u64,
    /// When the last one succeeded.
    pub last_success: Option<Timestamp>,
    /// Entries of the last sound set that cannot be used, by the places in [`WhyUnusable::ALL`].
    pub unusable: [u64; WhyUnusable::ALL.len()],
}

#[derive(Debug, Default)]
struct Counts {
    succeeded: AtomicU64,
    failed: AtomicU64,
    /// In seconds; 0 is never.
    last_success: AtomicU64,
}

/// What those who wait for keys see.
#[derive(Clone, Copy, Debug, Default)]
struct Fetches {
    ended: u64,
    running: bool,
    last_started: Option<Instant>,
}

/// Why no keys were had.
#[derive(Debug, thiserror::Error)]
enum RefreshError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("what came is refused: {0}")]
    Refused(#[from] KeySetError),
}

impl KeySource {
    pub(super) fn new(fetch: Fetch, algorithms: Vec<JwsAlgorithm>, schedule: Schedule) -> Self {
        Self {
            ring: KeyRing::default(),
            fetch,
            algorithms,
            schedule,
            fetches: watch::Sender::default(),
            wanted: Notify::new(),
            waiting: AtomicUsize::new(0),
            counts: Counts::default(),
            unusable: Mutex::default(),
        }
    }

    /// Waits for a fetch that begins now, or has begun, for a token whose key is not known. There is none to wait for where
    /// the last one was a moment ago, or where too many wait already.
    pub(super) async fn await_fetch(&self) {
        let mut fetches = self.fetches.subscribe();
        let seen = *fetches.borrow_and_update();
        if !seen.running {
            if seen.is_recent() {
                return;
            }
            self.wanted.notify_one();
        }
        let Some(_place) = Waiting::enter(&self.waiting) else { return };
        // However it ended, what is known now is all there is.
        let _ = timeout(PATIENCE, fetches.wait_for(|now| now.ended > seen.ended)).await;
    }

    /// Fetches on schedule and when somebody wants it, for ever. `changed` is called after each change of keys.
    pub(super) async fn follow(&self, issuer: &str, changed: &(dyn Fn() + Sync)) {
        let mut outcome = if self.ring.is_empty() { Outcome::Failed } else { Outcome::Succeeded };
        let mut due = Instant::now() + self.pause(outcome);
        loop {
            tokio::select! {
                () = sleep_until(due) => {}
                () = self.wanted.notified() => {
                    // Whoever asks too soon is told what is known.
                    if self.fetches.borrow().is_recent() {
                        continue;
                    }
                }
            }
            outcome = self.refresh(issuer, outcome, changed).await;
            due = Instant::now() + self.pause(outcome);
        }
    }

    /// Fetches once, and tells the log when that begins to fail and when it works again.
    pub(super) async fn refresh(&self, issuer: &str, before: Outcome, changed: &(dyn Fn() + Sync)) -> Outcome {
        self.fetches.send_modify(|fetches| {
            fetches.running = true;
            fetches.last_started = Some(Instant::now());
        });
        let fetched = self.fetched().await;
        let now = Timestamp::now();
        let outcome = match fetched {
            Ok(KeySet { keys, unusable }) => {
                self.counts.succeed(now);
                if before == Outcome::Failed {
                    tracing::info!(issuer, keys = keys.len(), "its keys were fetched");
                }
                self.pass_over(issuer, unusable);
                self.take(Some(keys), changed);
                Outcome::Succeeded
            }
            Err(error) => {
                self.counts.fail();
                if before == Outcome::Succeeded || self.counts.last_success().is_none() {
                    tracing::warn!(issuer, %error, "its keys cannot be fetched; those that are known go on counting");
                }
                self.drop_stale(issuer, now, changed);
                Outcome::Failed
            }
        };
        self.fetches.send_modify(|fetches| {
            fetches.running = false;
            fetches.ended += 1;
        });
        outcome
    }

    pub(super) fn report(&self) -> SourceReport {
        SourceReport {
            succeeded: self.counts.succeeded.load(Ordering::Relaxed),
            failed: self.counts.failed.load(Ordering::Relaxed),
            last_success: self.counts.last_success(),
            unusable: self.count_unusable(),
        }
    }

    /// Names entries that cannot be used, once for as long as they stay the same.
    fn pass_over(&self, issuer: &str, unusable: Vec<Unusable>) {
        let mut known = self.unusable.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != unusable {
            if !unusable.is_empty() {
                tracing::warn!(
                    issuer,
                    "entries of its key set cannot be used and are passed over{}",
                    PassedOver(&unusable)
                );
            }
            *known = unusable;
        }
    }

    fn count_unusable(&self) -> [u64; WhyUnusable::ALL.len()] {
        let unusable = self.unusable.lock().unwrap_or_else(PoisonError::into_inner);
        WhyUnusable::ALL.map(|why| unusable.iter().filter(|entry| entry.why == why).count() as u64)
    }

    async fn fetched(&self) -> Result<KeySet, RefreshError> {
        let set = self.fetch.key_set().await?;
        Ok(parse_key_set(&set, &self.algorithms)?)
    }

    fn take(&self, keys: Option<Vec<VerifyingKey>>, changed: &(dyn Fn() + Sync)) {
        if self.ring.differs(keys.as_deref().unwrap_or_default()) {
            self.ring.replace(keys);
            changed();
        }
    }

    fn drop_stale(&self, issuer: &str, now: Timestamp, changed: &(dyn Fn() + Sync)) {
        let last = self.counts.last_success();
        let stale = last.is_some_and(|last| now.since(last) > self.schedule.stale.as_secs());
        if stale && !self.ring.is_empty() {
            tracing::error!(
                issuer,
                "its keys are too old to go on with; its tokens are refused until new ones are had"
            );
            self.take(None, changed);
        }
    }

    /// After a failure one comes back soon.
    fn pause(&self, outcome: Outcome) -> Duration {
        let pause = match outcome {
            Outcome::Succeeded => self.schedule.refresh,
            Outcome::Failed => self.schedule.refresh.min(RETRY_EVERY),
        };
        let [draw] = random_bytes::<1>();
        pause * (900 + u32::from(draw) * 200 / 255) / 1000
    }
}

/// How a fetch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Succeeded,
    Failed,
}

impl Fetches {
    fn is_recent(&self) -> bool {
        self.last_started.is_some_and(|started| started.elapsed() < AT_MOST_EVERY)
    }
}

impl Counts {
    fn succeed(&self, now: Timestamp) {
        self.succeeded.fetch_add(1, Ordering::Relaxed);
        self.last_success.store(now.seconds(), Ordering::Relaxed);
    }

    fn fail(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    fn last_success(&self) -> Option<Timestamp> {
        Some(self.last_success.load(Ordering::Relaxed)).filter(|seconds| *seconds > 0).map(Timestamp::from_seconds)
    }
}

/// A place among those who wait for a fetch.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Option<Self> {
        let place = Self(count);
        (count.fetch_add(1, Ordering::Relaxed) < MOST_WAITING).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A token with an unknown `kid` causes a fetch at most so often.
const AT_MOST_EVERY: Duration = Duration::from_secs(10);
/// How soon a fetch that failed is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(10);
/// How long a request waits for a fetch: as long as one may take.
const PATIENCE: Duration = Duration::from_secs(6);
/// So many requests may wait at once; anybody can send tokens with made-up names of keys.
const MOST_WAITING: usize = 2_000;
