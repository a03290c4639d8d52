use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    Connection, SqliteConnection, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::store::{StoreError, private_file};

/// Whether there is no file at `path`, so that one is to be made.
pub(super) fn is_missing(path: &Path) -> Result<bool, StoreError> {
    if path.exists() {
        return Ok(false);
    }
    // What its log holds would be played into a new file.
    match side_files(path).iter().find(|side| side.metadata().is_ok_and(|found| found.len() > 0)) {
        None => Ok(true),
        Some(log) => {
            let what = format!("it is missing, but its log {} is there: restore both, or remove that", log.display());
            Err(unavailable(path, &what))
        }
    }
}

/// An empty file beside `path`, in which to make the store that [`publish`] then gives that name.
pub(super) fn draft(path: &Path) -> Result<PathBuf, StoreError> {
    private_file::draft(path).map_err(|error| unavailable(path, &error))
}

/// Gives a store that was made and closed its name, unless another process was faster.
pub(super) fn publish(draft: &Path, path: &Path) -> Result<(), StoreError> {
    private_file::publish(draft, path).map_err(|error| unavailable(path, &error))
}

/// Removes what could not be made.
pub(super) fn discard(draft: &Path) {
    for file in side_files(draft).iter().map(PathBuf::as_path).chain([draft]) {
        let _ = fs::remove_file(file);
    }
}

/// Connections to the store in the file at `path`.
pub(super) async fn file(path: &Path) -> Result<SqlitePool, StoreError> {
    match path.metadata() {
        // Ours are never empty: this one was emptied, and to begin anew in it would bury what is in a backup.
        Ok(file) if file.len() == 0 => return Err(unavailable(path, &"it is empty: restore it, or remove it")),
        Ok(_) => {}
        Err(error) => return Err(unavailable(path, &error)),
    }
    let pool = pool(path).await?;
    // Ours appear with their tables in them. While one is in use, what is new stands in the log beside it alone.
    let sql = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = sqlx::query_scalar(sql).fetch_one(&pool).await.map_err(|error| unavailable(path, &error))?;
    if tables == 0 {
        pool.close().await;
        return Err(unavailable(path, &NO_TABLES));
    }
    Ok(pool)
}

/// Connections to the file at `path`, whatever is in it.
pub(super) async fn pool(path: &Path) -> Result<SqlitePool, StoreError> {
    let pool = SqlitePoolOptions::new()
        .max_connections(MOST_CONNECTIONS)
        .acquire_timeout(BUSY_TIMEOUT * 2)
        // Where SQLite itself took a transaction back, for want of space for example, the driver goes on counting it, and
        // could begin no other one on that connection.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }));
    pool.connect_with(file_options(path)).await.map_err(|error| unavailable(path, &error))
}

/// Moves what stands in the log into the file, so that a copy of the file is a backup. Where others keep it busy, or there
/// is no space, the log stays beside it.
pub(super) async fn fold(pool: &SqlitePool) {
    let folded = async {
        let mut connection = pool.acquire().await?;
        sqlx::raw_sql("PRAGMA busy_timeout = 500").execute(&mut *connection).await?;
        sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *connection).await
    };
    let _: Result<_, sqlx::Error> = folded.await;
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

/// Where SQLite keeps what belongs to the database at `path`, with the mode of that one.
pub(in crate::store) fn side_files(path: &Path) -> [PathBuf; 3] {
    ["-wal", "-journal", "-shm"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    })
}

fn file_options(path: &Path) -> SqliteConnectOptions {
    let options = options().filename(path).create_if_missing(false);
    options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full)
}

fn unavailable(path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("{}: {error}", path.display()))
}

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations/sqlite");

/// A file with pages and without tables.
const NO_TABLES: &str = "it holds no tables: it was copied without the log beside it (`-wal`), or is no store; restore it, \
                         or remove it to begin a new store";

/// Connections of one process. One that waits for a lock can be given up, and waits on: there are some to spare.
const MOST_CONNECTIONS: u32 = 8;

/// How long a change waits for another process's.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
