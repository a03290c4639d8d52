use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwapOption;

use crate::domain::{Argon2idHash, SecretHash, SecretVerifier, Timestamp};

/// One secret of a client. Clones share what is learnt of it.
#[derive(Clone, Debug)]
pub struct Secret {
    /// What a shown secret is checked against.
    pub verifier: SecretVerifier,
    /// It does not count from this moment on; `None`: it counts until it is taken away.
    pub expires_at: Option<Timestamp>,
    /// When it was last shown, in seconds since 1970; 0: never. Written without a lock; whoever builds the directory
    /// brings it to the store now and then.
    pub last_used: Arc<AtomicU64>,
    /// What was learnt about an imported secret since the start.
    pub proven: Arc<Proven>,
}

impl Secret {
    /// A secret that the directory did not hold before.
    pub fn new(verifier: SecretVerifier, expires_at: Option<Timestamp>, last_used: Option<Timestamp>) -> Self {
        let last_used = Arc::new(AtomicU64::new(last_used.map_or(0, Timestamp::seconds)));
        Self { verifier, expires_at, last_used, proven: Arc::default() }
    }

    /// The same secret, known already from the directory that is about to be replaced: when it was last used, and that it
    /// was proven, is not forgotten. What was proven of another hash is.
    #[must_use]
    pub fn continuing(self, earlier: &Self) -> Self {
        let same = self.argon2id().is_some_and(|hash| earlier.argon2id() == Some(hash));
        let proven = if same { Arc::clone(&earlier.proven) } else { self.proven };
        earlier.last_used.fetch_max(self.last_used.load(Ordering::Relaxed), Ordering::Relaxed);
        Self { last_used: Arc::clone(&earlier.last_used), proven, ..self }
    }

    /// When it was last shown, if ever.
    pub fn last_used(&self) -> Option<Timestamp> {
        let seconds = self.last_used.load(Ordering::Relaxed);
        (seconds > 0).then_some(Timestamp::from_seconds(seconds))
    }

    /// Its hash, if it was imported.
    pub(super) const fn argon2id(&self) -> Option<&Argon2idHash> {
        match &self.verifier {
            SecretVerifier::Argon2id(hash) => Some(hash),
            SecretVerifier::Keyed(_) => None,
        }
    }

    /// Whether somebody chose it, and not we: then another one may come upon it.
    pub(super) const fn can_be_guessed(&self) -> bool {
        self.argon2id().is_some()
    }

    /// Whether it counts at `now`.
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    /// Whether `shown` is known to be this secret without any slow check.
    pub(super) fn matches(&self, shown: &SecretHash) -> bool {
        match &self.verifier {
            SecretVerifier::Keyed(own) => own.matches(shown),
            SecretVerifier::Argon2id(_) => self.proven.is(shown),
        }
    }

    /// Keeps the moment of a use.
    pub(super) fn note_use(&self, now: Timestamp) {
        // Most requests come within a second of the one before: then nothing is written.
        if self.last_used.load(Ordering::Relaxed) < now.seconds() {
            self.last_used.store(now.seconds(), Ordering::Relaxed);
        }
    }
}

/// The keyed hash of an imported secret that was verified once, so that its owner's next requests cost microseconds. It
/// lives in memory alone, and as long as its secret is in the directory.
#[derive(Default)]
pub struct Proven(ArcSwapOption<SecretHash>);

impl Proven {
    pub(super) fn is(&self, shown: &SecretHash) -> bool {
        self.0.load().as_ref().is_some_and(|own| own.matches(shown))
    }

    pub(super) fn remember(&self, shown: SecretHash) {
        self.0.store(Some(Arc::new(shown)));
    }
}

impl fmt::Debug for Proven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proven(…)")
    }
}
