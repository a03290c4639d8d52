use std::{path::Path, time::Duration};

use sqlx::{
    Connection, SqliteConnection, SqlitePool,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{change::Change, setting};
use crate::{
    domain::{HashingKey, Timestamp},
    store::{Act, Actor, KeyEncryptionKey, StoreError, private_file, seal::Place},
};

/// Connections to the file at `path`, which is made if missing.
pub(super) async fn file(path: &Path) -> Result<SqlitePool, StoreError> {
    if !path.exists() {
        create(path).await?;
    }
    let pool = SqlitePoolOptions::new().max_connections(4).acquire_timeout(BUSY_TIMEOUT * 2);
    pool.connect_with(file_options(path)).await.map_err(|error| unavailable(path, &error))
}

/// The one connection to a new store in memory; the store ends when it closes, so it never does.
pub(super) async fn memory() -> Result<SqlitePool, StoreError> {
    let pool = SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false);
    Ok(pool.connect_with(options().in_memory(true)).await?)
}

/// Schema, right key, first values: in one transaction, so that two processes that open a new file take turns,
/// and a store that is refused is left as it was.
pub(super) async fn prepare(pool: &SqlitePool, sealing: &KeyEncryptionKey, now: Timestamp) -> Result<(), StoreError> {
    let actor = Actor("scopegate".to_owned());
    let mut change = Change::begin(pool, now, &actor).await?;
    refuse_other_programs(&mut change.tx).await?;
    MIGRATIONS.run_direct(None, &mut *change.tx, false).await?;
    if let Some(sealed) = setting(&mut change.tx, "marker").await? {
        sealing.open(Place::Marker, &sealed)?;
        // Commits what a migration may have done; readers have nothing to see, so the revision stays.
        return Ok(change.tx.commit().await?);
    }
    keep(&mut change.tx, "marker", &sealing.seal(Place::Marker, b"scopegate")).await?;
    let hashing_key = sealing.seal(Place::HashingKey, HashingKey::generate().as_bytes());
    keep(&mut change.tx, "hashing_key", &hashing_key).await?;
    change.record(Act::StoreMade, "").await?;
    change.commit().await
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        if let MigrateError::VersionMissing(version) = error {
            return Self::Schema(format!("a newer scopegate wrote it (migration {version})"));
        }
        Self::Schema(error.to_string())
    }
}

async fn refuse_other_programs(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let sql = "SELECT count(*), count(*) FILTER (WHERE name = '_sqlx_migrations') FROM sqlite_schema";
    let (tables, ours): (i64, i64) = sqlx::query_as(sql).fetch_one(connection).await?;
    if tables > 0 && ours == 0 {
        return Err(StoreError::Schema("another program's tables are in it".to_owned()));
    }
    Ok(())
}

async fn keep(connection: &mut SqliteConnection, name: &str, sealed: &[u8]) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO settings (name, sealed) VALUES (?, ?)")
        .bind(name)
        .bind(sealed)
        .execute(connection)
        .await?;
    Ok(())
}

fn options() -> SqliteConnectOptions {
    SqliteConnectOptions::new().busy_timeout(BUSY_TIMEOUT).foreign_keys(true)
}

/// The file appears with its journal mode set: processes that each switch it would lock each other out.
/// SQLite gives its side files the mode of this one, 0600.
async fn create(path: &Path) -> Result<(), StoreError> {
    let draft = private_file::draft(path).map_err(|error| unavailable(path, &error))?;
    SqliteConnection::connect_with(&file_options(&draft)).await?.close().await?;
    private_file::publish(&draft, path).map_err(|error| unavailable(path, &error))
}

fn file_options(path: &Path) -> SqliteConnectOptions {
    let options = options().filename(path).create_if_missing(false);
    options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full)
}

fn unavailable(path: &Path, error: &dyn std::error::Error) -> StoreError {
    StoreError::Unavailable(format!("{}: {error}", path.display()))
}

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations/sqlite");

/// How long a change waits for another process's.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
