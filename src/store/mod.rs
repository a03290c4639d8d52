//! Clients, secrets, signing keys, revocations and the audit log, kept across restarts and shared by all nodes.
//!
//! The hot path never comes here: [`crate::app`] reads what it needs at start and after every change of
//! [`Store::revision`], also one made by another process. One set of statements (`sql`) runs on SQLite and PostgreSQL.

mod audit;
mod client;
mod key;
mod key_file;
mod private_file;
mod revocation;
mod rotation;
mod seal;
mod sql;

pub use audit::{Act, Actor, AuditFilter, AuditRow};
pub use client::{Client, ClientState, Introspects, MOST_SECRETS, NewSecret, Predecessor, Secret, SecretNumber};
pub use key::{KeyPlan, KeyState, Rotation, StoredKey};
pub use revocation::{Holder, LONGEST_LIFE, RevocationNumber, RevokedHolder, RevokedToken};
pub use seal::{KeyEncryptionKey, SealError, Sealing};
pub use sql::{Changes, PostgresAddress, PostgresAddressError, Store};

use std::path::{Path, PathBuf};

use crate::domain::{ClientId, HashingKey, KeyId};

/// The files that may stand beside the SQLite database at `database` and hold a part of it.
pub fn files_beside(database: &Path) -> [PathBuf; 3] {
    sql::side_files(database)
}

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
    /// No key has this ID.
    #[error("no signing key has the ID {0}")]
    NoSuchKey(KeyId),
}

/// Grows with every change of the store, and for each part of it with every change of that part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Any change.
    pub number: i64,
    /// Clients, their secrets, and whose tokens were revoked.
    pub clients: i64,
    /// Signing keys, and what is sealed.
    pub keys: i64,
    /// Single tokens that were revoked.
    pub tokens: i64,
}

/// All that the running gateway needs but for single revoked tokens, read in one transaction.
#[derive(Debug)]
pub struct Snapshot {
    /// The state of the store this was read at.
    pub revision: Revision,
    /// Every client.
    pub clients: Vec<Client>,
    /// Whose tokens were revoked.
    pub revoked: Vec<RevokedHolder>,
    /// Every key whose life has not ended.
    pub keys: Vec<StoredKey>,
    /// The key that secrets are hashed under.
    pub hashing_key: HashingKey,
}
