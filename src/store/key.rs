use crate::{
    domain::{KeyId, Timestamp},
    token::{Algorithm, PrivateKey},
};

/// Where a signing key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Published ahead; signs nothing yet.
    Next,
    /// Signs new tokens. One key at a time.
    Current,
    /// Signs no more; verifies until this moment, when the last token it signed has expired.
    Retired {
        /// The end of its life.
        until: Timestamp,
    },
}

impl KeyState {
    /// Whether no token that the key signed can still be valid.
    pub fn has_ended(self, now: Timestamp) -> bool {
        matches!(self, Self::Retired { until } if until <= now)
    }

    /// The end of its life, if that is known.
    pub const fn end(self) -> Option<Timestamp> {
        match self {
            Self::Retired { until } => Some(until),
            Self::Next | Self::Current => None,
        }
    }

    /// The state's name, as stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Current => "current",
            Self::Retired { .. } => "retired",
        }
    }
}

/// One signing key as kept.
#[derive(Debug)]
pub struct StoredKey {
    /// Its `kid`: the RFC 7638 thumbprint.
    pub id: KeyId,
    /// Where it is in its life.
    pub state: KeyState,
    /// When it was made, and so published.
    pub created_at: Timestamp,
    /// When it became the current key, if it ever did.
    pub current_since: Option<Timestamp>,
    /// The key itself, decrypted.
    pub private: PrivateKey,
}

/// How keys are made and how long they stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPlan {
    /// What new keys are for.
    pub algorithm: Algorithm,
    /// How long a retired key still verifies, in seconds: a token's lifetime and the clock skew.
    pub retire_for: u64,
    /// How long a key signs before the next one takes its place, in seconds; `None`: until somebody says so.
    pub rotate_every: Option<u64>,
}

/// Whether a rotation by schedule was needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The current key is young enough.
    NotDue,
    /// The next key signs from now on.
    Done,
}
