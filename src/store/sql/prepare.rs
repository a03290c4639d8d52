use sqlx::migrate::MigrateError;

use super::{
    change::Change,
    engine::{Connection, Engine},
    postgres, settings, sqlite,
};
use crate::{
    domain::Timestamp,
    store::{Act, Actor, Sealing, StoreError},
};

/// Schema, right key, first values: in one transaction, so that processes that open a new store at once take turns,
/// and a store that is refused is left as it was. One that needs nothing is only read, which also works while somebody
/// else writes, or where nobody can.
pub(super) async fn prepare(engine: &Engine, sealing: &Sealing, now: Timestamp) -> Result<(), StoreError> {
    if is_current(&mut engine.read().await?, sealing).await? {
        return Ok(());
    }
    let mut tx = engine.write().await?;
    match &mut tx {
        Connection::Sqlite(tx) => sqlite::migrate(tx).await?,
        Connection::Postgres(tx) => postgres::migrate(tx).await?,
    }
    if settings::is_made(&mut tx, sealing).await? {
        // Commits what a migration may have done; readers have nothing to see, so the revision stays.
        return tx.commit().await;
    }
    settings::make(&mut tx, sealing).await?;
    let actor = Actor { name: "gateway".to_owned(), origin: String::new() };
    let mut change = Change::within(tx, now, &actor);
    change.record(Act::StoreMade, "").await?;
    change.commit().await
}

/// Whether the newest migration that we know was the last one, and the first values are there.
async fn is_current(connection: &mut Connection, sealing: &Sealing) -> Result<bool, StoreError> {
    let (find, newest) = match connection {
        Connection::Sqlite(_) => (sqlite::FIND_MIGRATIONS, sqlite::newest_migration()),
        Connection::Postgres(_) => (postgres::FIND_MIGRATIONS, postgres::newest_migration()),
    };
    if connection.row(find, &[]).await?.is_none() {
        return Ok(false);
    }
    let sql = "SELECT version FROM _sqlx_migrations ORDER BY version DESC LIMIT 1";
    let last = connection.row(sql, &[]).await?.map(|row| row.integer("version")).transpose()?;
    Ok(last == newest && settings::is_made(connection, sealing).await?)
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        if let MigrateError::VersionMissing(version) = error {
            return Self::Schema(format!("a newer scopegate wrote it (migration {version})"));
        }
        Self::Schema(error.to_string())
    }
}
