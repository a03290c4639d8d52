//! The store in one SQLite file, shared by the gateway and the command line through SQLite's own locks.

mod change;
mod clients;
mod keys;
mod open;

use std::{fmt, path::Path};

use sqlx::{Row, SqliteConnection, SqlitePool, sqlite::SqliteRow};

use super::{
    Act, Actor, AuditRow, Client, ClientState, KeyEncryptionKey, KeyPlan, Revision, Snapshot, Store, StoreError,
    StoredKey,
    rotation::{self, Step},
    seal::Place,
};
use crate::domain::{ClientId, HashingKey, SecretHash, Timestamp};
use change::Change;

/// A [`Store`] in SQLite.
pub struct SqliteStore {
    pool: SqlitePool,
    sealing: KeyEncryptionKey,
}

impl SqliteStore {
    /// Opens the file at `path`, made with mode 0600 if missing, and brings its schema up to date.
    ///
    /// Nothing is changed if `sealing` is not the key that the store was written with, or if the file was written by
    /// a newer version or another program.
    pub async fn open(path: &Path, sealing: KeyEncryptionKey, now: Timestamp) -> Result<Self, StoreError> {
        let pool = open::file(path).await?;
        open::prepare(&pool, &sealing, now).await?;
        Ok(Self { pool, sealing })
    }

    /// A new store that ends with this value.
    pub async fn in_memory(now: Timestamp) -> Result<Self, StoreError> {
        let sealing = KeyEncryptionKey::generate();
        let pool = open::memory().await?;
        open::prepare(&pool, &sealing, now).await?;
        Ok(Self { pool, sealing })
    }

    async fn change_keys(&self, mut change: Change<'_>, steps: Vec<Step>, plan: KeyPlan) -> Result<(), StoreError> {
        for step in steps {
            keys::carry_out(&mut change, step, plan, &self.sealing).await?;
        }
        change.commit().await
    }
}

#[async_trait::async_trait]
impl Store for SqliteStore {
    async fn revision(&self) -> Result<Revision, StoreError> {
        revision(&mut *self.pool.acquire().await?).await
    }

    async fn snapshot(&self, now: Timestamp) -> Result<Snapshot, StoreError> {
        let mut read = self.pool.begin().await?;
        let revision = revision(&mut read).await?;
        let clients = clients::all(&mut read, now).await?;
        let mut keys = keys::all(&mut read, &self.sealing).await?;
        keys.retain(|key| !key.state.has_ended(now));
        let hashing_key = hashing_key(&mut read, &self.sealing).await?;
        Ok(Snapshot { revision, clients, keys, hashing_key })
    }

    async fn hashing_key(&self) -> Result<HashingKey, StoreError> {
        hashing_key(&mut *self.pool.acquire().await?, &self.sealing).await
    }

    async fn add_client(&self, client: &Client, actor: &Actor) -> Result<(), StoreError> {
        let mut change = Change::begin(&self.pool, client.created_at, actor).await?;
        clients::add(&mut change.tx, client).await?;
        change.record(Act::ClientAdded, client.id.as_str()).await?;
        change.commit().await
    }

    async fn client(&self, id: &ClientId) -> Result<Client, StoreError> {
        let all = self.clients().await?;
        all.into_iter().find(|client| client.id == *id).ok_or_else(|| StoreError::NoSuchClient(id.clone()))
    }

    async fn clients(&self) -> Result<Vec<Client>, StoreError> {
        let mut read = self.pool.begin().await?;
        clients::all(&mut read, Timestamp::from_seconds(0)).await
    }

    async fn replace_secret(
        &self,
        id: &ClientId,
        secret: &SecretHash,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<(), StoreError> {
        let mut change = Change::begin(&self.pool, now, actor).await?;
        clients::require(&mut change.tx, id).await?;
        clients::replace_secret(&mut change.tx, id, secret, now).await?;
        change.record(Act::SecretReplaced, id.as_str()).await?;
        change.commit().await
    }

    async fn set_client_state(
        &self,
        id: &ClientId,
        state: ClientState,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<(), StoreError> {
        let act = match state {
            ClientState::Enabled => Act::ClientEnabled,
            ClientState::Disabled => Act::ClientDisabled,
        };
        let mut change = Change::begin(&self.pool, now, actor).await?;
        clients::set_state(&mut change.tx, id, state).await?;
        change.record(act, id.as_str()).await?;
        change.commit().await
    }

    async fn remove_client(&self, id: &ClientId, now: Timestamp, actor: &Actor) -> Result<(), StoreError> {
        let mut change = Change::begin(&self.pool, now, actor).await?;
        clients::remove(&mut change.tx, id).await?;
        change.record(Act::ClientRemoved, id.as_str()).await?;
        change.commit().await
    }

    async fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        keys::all(&mut *self.pool.acquire().await?, &self.sealing).await
    }

    async fn ensure_keys(&self, plan: KeyPlan, now: Timestamp, actor: &Actor) -> Result<(), StoreError> {
        let mut change = Change::begin(&self.pool, now, actor).await?;
        let steps = rotation::ensure(&keys::facts(&mut change.tx).await?, plan, now);
        if steps.is_empty() {
            return Ok(());
        }
        self.change_keys(change, steps, plan).await
    }

    async fn rotate_keys(&self, plan: KeyPlan, now: Timestamp, actor: &Actor) -> Result<(), StoreError> {
        let mut change = Change::begin(&self.pool, now, actor).await?;
        let steps = rotation::rotate(&keys::facts(&mut change.tx).await?, plan, now);
        self.change_keys(change, steps, plan).await
    }

    async fn audit(&self, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let sql = "SELECT at, actor, act, subject FROM audit ORDER BY number DESC LIMIT ?";
        let rows = sqlx::query(sql).bind(limit).fetch_all(&self.pool).await?;
        rows.iter().map(audit_row).collect()
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqliteStore(…)")
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

async fn revision(connection: &mut SqliteConnection) -> Result<Revision, StoreError> {
    let number = sqlx::query_scalar("SELECT number FROM revision").fetch_one(connection).await?;
    Ok(Revision(number))
}

async fn hashing_key(connection: &mut SqliteConnection, sealing: &KeyEncryptionKey) -> Result<HashingKey, StoreError> {
    let sealed = setting(connection, "hashing_key").await?;
    let sealed = sealed.ok_or_else(|| StoreError::Corrupt("the hashing key is missing".to_owned()))?;
    let bytes = sealing.open(Place::HashingKey, &sealed)?;
    let bytes = bytes.try_into().map_err(|_| StoreError::Corrupt("the hashing key has another length".to_owned()))?;
    Ok(HashingKey::from_bytes(bytes))
}

async fn setting(connection: &mut SqliteConnection, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let sql = "SELECT sealed FROM settings WHERE name = ?";
    Ok(sqlx::query_scalar(sql).bind(name).fetch_optional(connection).await?)
}

fn audit_row(row: &SqliteRow) -> Result<AuditRow, StoreError> {
    let act: &str = row.try_get("act")?;
    Ok(AuditRow {
        at: timestamp(row.try_get("at")?)?,
        actor: Actor(row.try_get("actor")?),
        act: Act::from_name(act).ok_or_else(|| StoreError::Corrupt(format!("the act {act:?}")))?,
        subject: row.try_get("subject")?,
    })
}

fn timestamp(seconds: i64) -> Result<Timestamp, StoreError> {
    let seconds = u64::try_from(seconds).map_err(|_| StoreError::Corrupt(format!("the time {seconds}")))?;
    Ok(Timestamp::from_seconds(seconds))
}

/// SQLite's integers are signed; a time beyond them is as good as the last one.
fn seconds(moment: Timestamp) -> i64 {
    i64::try_from(moment.seconds()).unwrap_or(i64::MAX)
}
