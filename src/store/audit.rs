use std::fmt;

use crate::domain::Timestamp;

/// Who does an administrative act, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `cli:` and a user's name, `client:` and a client ID, or `gateway`.
    pub name: String,
    /// Where it was done: a machine's name, or the address of a request.
    pub origin: String,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name, self.origin)
    }
}

/// One administrative act, as kept for ever. It holds IDs, never a secret, hash or key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its place in the log.
    pub number: i64,
    /// When it was done.
    pub at: Timestamp,
    /// Who did it, and where.
    pub actor: Actor,
    /// What was done.
    pub act: Act,
    /// The client, customer, `jti` or `kid` it was done to; empty where there is none.
    pub subject: String,
}

/// Which acts are asked for; `None` asks for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// By this actor.
    pub actor: Option<String>,
    /// Of this kind.
    pub act: Option<Act>,
    /// Done to this client, customer, token or key.
    pub subject: Option<String>,
    /// At this moment or later.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
}

/// What a change concerns, so that readers need not read everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Area {
    /// Clients, their secrets, and whose tokens were revoked.
    Clients,
    /// Signing keys, and what is sealed.
    Keys,
    /// Single tokens that were revoked.
    Tokens,
}

/// What the audit log records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The store was made.
    StoreMade,
    /// What the store keeps sealed was sealed again under another key-encryption key.
    StoreResealed,
    /// A client was added.
    ClientAdded,
    /// A client was added with a secret from elsewhere.
    ClientImported,
    /// A client got a new secret in place of its others.
    SecretReplaced,
    /// A client got a new secret beside the one it had.
    SecretAdded,
    /// A client may authenticate again.
    ClientEnabled,
    /// A client may no longer authenticate.
    ClientDisabled,
    /// A client was removed.
    ClientRemoved,
    /// A token was revoked.
    TokenRevoked,
    /// A client's tokens were revoked.
    ClientTokensRevoked,
    /// A customer's tokens were revoked.
    CustomerTokensRevoked,
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
    pub const ALL: [Self; 16] = [
        Self::StoreMade,
        Self::StoreResealed,
        Self::ClientAdded,
        Self::ClientImported,
        Self::SecretReplaced,
        Self::SecretAdded,
        Self::ClientEnabled,
        Self::ClientDisabled,
        Self::ClientRemoved,
        Self::TokenRevoked,
        Self::ClientTokensRevoked,
        Self::CustomerTokensRevoked,
        Self::KeyMade,
        Self::KeyPromoted,
        Self::KeyRetired,
        Self::KeyRemoved,
    ];

    /// Its name in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StoreMade => "store.made",
            Self::StoreResealed => "store.resealed",
            Self::ClientAdded => "client.added",
            Self::ClientImported => "client.imported",
            Self::SecretReplaced => "client.secret_replaced",
            Self::SecretAdded => "client.secret_added",
            Self::ClientEnabled => "client.enabled",
            Self::ClientDisabled => "client.disabled",
            Self::ClientRemoved => "client.removed",
            Self::TokenRevoked => "token.revoked",
            Self::ClientTokensRevoked => "client.tokens_revoked",
            Self::CustomerTokensRevoked => "customer.tokens_revoked",
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

    pub(super) const fn area(self) -> Area {
        match self {
            Self::ClientAdded
            | Self::ClientImported
            | Self::SecretReplaced
            | Self::SecretAdded
            | Self::ClientEnabled
            | Self::ClientDisabled
            | Self::ClientRemoved
            | Self::ClientTokensRevoked
            | Self::CustomerTokensRevoked => Area::Clients,
            Self::TokenRevoked => Area::Tokens,
            Self::StoreMade
            | Self::StoreResealed
            | Self::KeyMade
            | Self::KeyPromoted
            | Self::KeyRetired
            | Self::KeyRemoved => Area::Keys,
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
