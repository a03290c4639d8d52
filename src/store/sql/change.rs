use super::engine::{Connection, Engine};
use crate::{
    domain::Timestamp,
    store::{Act, Actor, StoreError, audit::Area},
};

/// A change under way: a transaction that also writes the audit log, raises the revision and wakes whoever waits for
/// changes. Dropped, it never happened.
pub(super) struct Change<'a> {
    pub(super) tx: Connection,
    pub(super) at: Timestamp,
    actor: &'a Actor,
    touched: Vec<Area>,
}

impl<'a> Change<'a> {
    /// Waits for its turn: what the change reads first stays true until it commits.
    pub(super) async fn begin(engine: &Engine, at: Timestamp, actor: &'a Actor) -> Result<Self, StoreError> {
        let mut tx = engine.write().await?;
        if let Connection::Postgres(_) = &tx {
            tx.rows("SELECT number FROM revision FOR UPDATE", &[]).await?;
        }
        Ok(Self::within(tx, at, actor))
    }

    /// A change in a transaction that has its turn already.
    pub(super) fn within(tx: Connection, at: Timestamp, actor: &'a Actor) -> Self {
        Self { tx, at, actor, touched: Vec::new() }
    }

    /// Writes the audit log.
    pub(super) async fn record(&mut self, act: Act, subject: &str) -> Result<(), StoreError> {
        self.touched.push(act.area());
        let Actor { name, origin } = self.actor;
        let values = [self.at.into(), name.as_str().into(), origin.as_str().into(), act.name().into(), subject.into()];
        let sql = "INSERT INTO audit (at, actor, origin, act, subject) VALUES ($1, $2, $3, $4, $5)";
        self.tx.execute(sql, &values).await?;
        Ok(())
    }

    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        let raised = |area| i64::from(self.touched.contains(&area)).into();
        let values = [raised(Area::Clients), raised(Area::Keys), raised(Area::Tokens)];
        let sql =
            "UPDATE revision SET number = number + 1, clients = clients + $1, keys = keys + $2, tokens = tokens + $3";
        self.tx.execute(sql, &values).await?;
        if let Connection::Postgres(_) = &self.tx {
            self.tx.rows("SELECT pg_notify('scopegate', '')", &[]).await?;
        }
        self.tx.commit().await
    }
}
