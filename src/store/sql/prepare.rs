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
/// and a store that is refused is left as it was.
pub(super) async fn prepare(engine: &Engine, sealing: &Sealing, now: Timestamp) -> Result<(), StoreError> {
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

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        if let MigrateError::VersionMissing(version) = error {
            return Self::Schema(format!("a newer scopegate wrote it (migration {version})"));
        }
        Self::Schema(error.to_string())
    }
}
