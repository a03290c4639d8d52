use sqlx::{Sqlite, SqlitePool, Transaction};

use super::seconds;
use crate::{
    domain::Timestamp,
    store::{Act, Actor, StoreError},
};

/// A change under way: a transaction that also writes the audit log and raises the revision. Dropped, it never
/// happened.
pub(super) struct Change<'a> {
    pub(super) tx: Transaction<'static, Sqlite>,
    pub(super) at: Timestamp,
    actor: &'a Actor,
}

impl<'a> Change<'a> {
    /// Takes the write lock at once: what the change reads first stays true until it commits.
    pub(super) async fn begin(pool: &SqlitePool, at: Timestamp, actor: &'a Actor) -> Result<Self, StoreError> {
        let tx = pool.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Self { tx, at, actor })
    }

    pub(super) async fn record(&mut self, act: Act, subject: &str) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO audit (at, actor, act, subject) VALUES (?, ?, ?, ?)")
            .bind(seconds(self.at))
            .bind(&self.actor.0)
            .bind(act.name())
            .bind(subject)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        sqlx::query("UPDATE revision SET number = number + 1").execute(&mut *self.tx).await?;
        Ok(self.tx.commit().await?)
    }
}
