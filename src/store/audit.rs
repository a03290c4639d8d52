use std::fmt;

use super::Actor;
use crate::domain::Timestamp;

/// One administrative act, as kept for ever. It holds IDs, never a secret, hash or key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// When it was done.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// What was done.
    pub act: Act,
    /// The client ID or `kid` it was done to; empty where there is none.
    pub subject: String,
}

/// What the audit log records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The store was made.
    StoreMade,
    /// A client was added.
    ClientAdded,
    /// A client's secrets were replaced.
    SecretReplaced,
    /// A client may authenticate again.
    ClientEnabled,
    /// A client may no longer authenticate.
    ClientDisabled,
    /// A client was removed.
    ClientRemoved,
    /// A signing key was made.
    KeyMade,
    /// A signing key began to sign.
    KeyPromoted,
    /// A signing key signs no more.
    KeyRetired,
    /// A signing key was removed.
    KeyRemoved,
}

impl Act {
    /// Every act.
    pub const ALL: [Self; 10] = [
        Self::StoreMade,
        Self::ClientAdded,
        Self::SecretReplaced,
        Self::ClientEnabled,
        Self::ClientDisabled,
        Self::ClientRemoved,
        Self::KeyMade,
        Self::KeyPromoted,
        Self::KeyRetired,
        Self::KeyRemoved,
    ];

    /// Its name in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StoreMade => "store.made",
            Self::ClientAdded => "client.added",
            Self::SecretReplaced => "client.secret_replaced",
            Self::ClientEnabled => "client.enabled",
            Self::ClientDisabled => "client.disabled",
            Self::ClientRemoved => "client.removed",
            Self::KeyMade => "key.made",
            Self::KeyPromoted => "key.promoted",
            Self::KeyRetired => "key.retired",
            Self::KeyRemoved => "key.removed",
        }
    }

    /// The act of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.name() == name)
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
