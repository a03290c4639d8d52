//! Clients, secret hashes, signing keys and the audit log, kept across restarts.
//!
//! The hot path never comes here: [`crate::app`] reads a [`Snapshot`] at start and after every change of
//! [`Store::revision`], also one made by another process.

mod audit;
mod key_file;
mod private_file;
mod rotation;
mod seal;
mod sqlite;

use std::fmt;

pub use audit::{Act, AuditRow};
pub use seal::{KeyEncryptionKey, SealError};
pub use sqlite::SqliteStore;

use crate::{
    domain::{ClientId, CustomerId, HashingKey, KeyId, ScopeName, SecretHash, Timestamp},
    token::{Algorithm, PrivateKey},
};

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, read or written. The text names no secret.
    #[error("the store cannot be used: {0}")]
    Unavailable(String),
    /// The database was written by a newer version, or a migration failed.
    #[error("the store's schema does not fit this version: {0}")]
    Schema(String),
    /// The key-encryption key is not the one the store was written with, or a sealed value was changed.
    #[error("the store's secrets cannot be opened: {0}")]
    Sealed(#[from] SealError),
    /// A row holds something that no version writes.
    #[error("the store holds a value that cannot be read: {0}")]
    Corrupt(String),
    /// No client has this ID.
    #[error("no client has the ID {0}")]
    NoSuchClient(ClientId),
    /// A client with this ID is there already.
    #[error("a client with the ID {0} is there already")]
    ClientExists(ClientId),
}

/// Grows with every change of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub i64);

/// Whether a client may authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// It may.
    Enabled,
    /// It may not, and tokens issued to it are no longer accepted.
    Disabled,
}

impl ClientState {
    /// The state's name, as stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

/// One set of API credentials as kept.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its public half.
    pub id: ClientId,
    /// Who owns it.
    pub customer: CustomerId,
    /// What its owner calls it, possibly nothing.
    pub name: String,
    /// The scopes it may ask for.
    pub scopes: Vec<ScopeName>,
    /// Where its session tokens may lead; empty: anywhere.
    pub redirect_urls: Vec<String>,
    /// Whether it may authenticate.
    pub state: ClientState,
    /// The hashes of its secrets; in a [`Snapshot`] only of those that have not expired.
    pub secrets: Vec<SecretHash>,
    /// When it was made.
    pub created_at: Timestamp,
}

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
    /// When it was made.
    pub created_at: Timestamp,
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
}

/// All that the running gateway needs, read in one transaction.
#[derive(Debug)]
pub struct Snapshot {
    /// The state of the store this was read at.
    pub revision: Revision,
    /// Every client.
    pub clients: Vec<Client>,
    /// Every key whose life has not ended.
    pub keys: Vec<StoredKey>,
    /// The key that secrets are hashed under.
    pub hashing_key: HashingKey,
}

/// Who does an administrative act, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor(pub String);

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Clients, keys and the audit log. Every change is one transaction that also raises the revision and writes
/// one audit row.
#[async_trait::async_trait]
pub trait Store: Send + Sync {
    /// The current revision: cheap enough to ask for several times a second.
    async fn revision(&self) -> Result<Revision, StoreError>;

    /// Everything, in one consistent read. Keys whose life ended before `now` are left out.
    async fn snapshot(&self, now: Timestamp) -> Result<Snapshot, StoreError>;

    /// The key that secrets are hashed under; made at first use.
    async fn hashing_key(&self) -> Result<HashingKey, StoreError>;

    /// Adds a client. Its ID is new.
    async fn add_client(&self, client: &Client, actor: &Actor) -> Result<(), StoreError>;

    /// One client.
    async fn client(&self, id: &ClientId) -> Result<Client, StoreError>;

    /// Every client, oldest first.
    async fn clients(&self) -> Result<Vec<Client>, StoreError>;

    /// Replaces all secrets of a client by this one.
    async fn replace_secret(
        &self,
        id: &ClientId,
        secret: &SecretHash,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<(), StoreError>;

    /// Lets a client authenticate, or no longer.
    async fn set_client_state(
        &self,
        id: &ClientId,
        state: ClientState,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<(), StoreError>;

    /// Removes a client and its secrets. The audit log keeps its ID.
    async fn remove_client(&self, id: &ClientId, now: Timestamp, actor: &Actor) -> Result<(), StoreError>;

    /// Every key, the one made last first.
    async fn keys(&self) -> Result<Vec<StoredKey>, StoreError>;

    /// Makes sure that there is a current key of the plan's algorithm and a next one; does nothing if there is.
    /// A current key of another algorithm is retired.
    async fn ensure_keys(&self, plan: KeyPlan, now: Timestamp, actor: &Actor) -> Result<(), StoreError>;

    /// Retires the current key, makes the next one current and makes a new next one. Keys whose life ended are removed.
    async fn rotate_keys(&self, plan: KeyPlan, now: Timestamp, actor: &Actor) -> Result<(), StoreError>;

    /// The newest acts, newest first, at most `limit`.
    async fn audit(&self, limit: u32) -> Result<Vec<AuditRow>, StoreError>;
}
