use std::{path::Path, time::Duration};

use sqlx::{
    Connection, SqliteConnection, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::store::{StoreError, private_file};

/// Connections to the file at `path`, which is made if missing.
pub(super) async fn file(path: &Path) -> Result<SqlitePool, StoreError> {
    match path.metadata() {
        // Ours are never empty: this one was emptied, and to begin anew in it would bury what is in a backup.
        Ok(file) if file.len() == 0 => return Err(unavailable(path, &"it is empty: restore it, or remove it")),
        Ok(_) => {}
        Err(_) => create(path).await?,
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

/// Brings the schema up to date.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    refuse_other_programs(connection).await?;
    Ok(MIGRATIONS.run_direct(None, connection, false).await?)
}

/// Yields a row if a migration was ever made.
pub(super) const FIND_MIGRATIONS: &str = "SELECT name FROM sqlite_schema WHERE name = '_sqlx_migrations'";

pub(super) fn newest_migration() -> Option<i64> {
    MIGRATIONS.iter().map(|migration| migration.version).max()
}

async fn refuse_other_programs(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let sql = "SELECT count(*), count(*) FILTER (WHERE name = '_sqlx_migrations') FROM sqlite_schema";
    let (tables, ours): (i64, i64) = sqlx::query_as(sql).fetch_one(connection).await?;
    if tables > 0 && ours == 0 {
        return Err(StoreError::Schema("another program's tables are in it".to_owned()));
    }
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

fn unavailable(path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("{}: {error}", path.display()))
}

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations/sqlite");

/// How long a change waits for another process's.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
