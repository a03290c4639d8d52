//! Another issuer's keys: which of them a token may be signed with, and whether one is still there.

use arc_swap::ArcSwapOption;

use crate::{
    domain::{KeyFingerprint, Principal, Reason, Timestamp},
    token::{Expectations, Unverified, VerifyingKey},
};

/// The keys of one moment; none while they have not been had, or not for too long.
#[derive(Debug, Default)]
pub(super) struct KeyRing(ArcSwapOption<Vec<VerifyingKey>>);

impl KeyRing {
    pub(super) fn of(keys: Vec<VerifyingKey>) -> Self {
        Self(ArcSwapOption::from_pointee(keys))
    }

    /// From now on counts these keys and no others.
    pub(super) fn replace(&self, keys: Option<Vec<VerifyingKey>>) {
        self.0.store(keys.map(Into::into));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.load().is_none()
    }

    /// Whether other keys than `keys` are in it.
    pub(super) fn differs(&self, keys: &[VerifyingKey]) -> bool {
        let current = self.0.load();
        let current = current.as_ref().map_or(&[][..], |current| current.as_slice());
        let named = |key: &VerifyingKey| (key.id().cloned(), key.fingerprint());
        current.iter().map(named).ne(keys.iter().map(named))
    }

    /// Whether the key that verified a token is still there.
    pub(super) fn recheck(&self, key: KeyFingerprint) -> Result<(), Reason> {
        let keys = self.0.load();
        let keys = keys.as_ref().ok_or(Reason::KeysUnavailable)?;
        if keys.iter().any(|own| own.fingerprint() == key) { Ok(()) } else { Err(Reason::UnknownKey) }
    }

    /// Tries the keys that the token names, or may mean.
    pub(super) fn verify(
        &self,
        token: &Unverified<'_>,
        rules: &Expectations,
        now: Timestamp,
    ) -> Result<Principal, Reason> {
        let keys = self.0.load();
        let keys = keys.as_ref().ok_or(Reason::KeysUnavailable)?;
        let mut outcome = Err(Reason::UnknownKey);
        for key in meant(keys, token)? {
            outcome = token.verify(key, rules, now);
            if outcome != Err(Reason::Signature) {
                break;
            }
        }
        outcome
    }
}

/// The keys that a token may be signed with: those it names and those without a name; any, if it names none. A few at most:
/// each costs a signature check, and a token is nobody's yet.
fn meant<'k>(keys: &'k [VerifyingKey], token: &Unverified<'_>) -> Result<Vec<&'k VerifyingKey>, Reason> {
    let named = |key: &&VerifyingKey| match (token.key(), key.id()) {
        (Some(wanted), Some(id)) => wanted == id,
        (Some(_) | None, None) | (None, Some(_)) => true,
    };
    let mut found = keys.iter().filter(named).peekable();
    found.peek().ok_or(Reason::UnknownKey)?;
    let fitting: Vec<_> = found.filter(|key| key.algorithm() == token.algorithm()).take(MOST_TRIED + 1).collect();
    match fitting.len() {
        0 => Err(Reason::Algorithm),
        1..=MOST_TRIED => Ok(fitting),
        _ => Err(Reason::UnknownKey),
    }
}

/// A token that may be signed with any of more keys than this must say with which.
const MOST_TRIED: usize = 4;
