//! The store's thread: learns of changes and hands them on, carries out the gateway's own, and tidies up.

use std::{cell::Cell, time::Duration};

use tokio::time::{sleep, timeout};

use super::{AppError, server::Targets, state::State, store::gateway};
use crate::{
    admin::{Access, StoreHealth, Turn},
    domain::Timestamp,
    store::{KeyPlan, Revision, Store, StoreError},
};

/// What of the store is being served.
pub(super) struct Served {
    pub(super) revision: Revision,
    /// When another key should sign, without any change of the store.
    pub(super) settles_at: Option<Timestamp>,
    /// When the current key has signed for as long as the plan says.
    pub(super) rotation_due_at: Option<Timestamp>,
}

impl Served {
    pub(super) fn of(revision: Revision, state: &State, plan: KeyPlan) -> Self {
        let due = state.current_since.zip(plan.rotate_every).map(|(since, every)| since.plus(every));
        Self { revision, settles_at: state.settles_at, rotation_due_at: due }
    }
}

/// Follows the store until the process ends.
pub(super) async fn follow(store: &Store, targets: Targets, served: Served) {
    let rotation_due_at = Cell::new(served.rotation_due_at);
    let attended = Attended { store, targets, rotation_due_at };
    tokio::join!(attended.hand_on_changes(served), attended.keep_house());
}

struct Attended<'s> {
    store: &'s Store,
    targets: Targets,
    rotation_due_at: Cell<Option<Timestamp>>,
}

impl Attended<'_> {
    async fn hand_on_changes(&self, mut served: Served) {
        let mut changes = self.store.changes();
        loop {
            changes.next().await;
            // If this fails, what was read last goes on being served.
            let _ = self.tried(Access::Read, self.catch_up(&mut served)).await;
        }
    }

    async fn catch_up(&self, served: &mut Served) -> Result<(), AppError> {
        let (revision, now) = (self.store.revision().await?, Timestamp::now());
        let seen = served.revision;
        let settled = served.settles_at.is_some_and(|moment| moment <= now);
        if settled || (revision.clients, revision.keys) != (seen.clients, seen.keys) {
            let snapshot = self.store.snapshot(now).await?;
            let revision = snapshot.revision;
            let state = State::of(snapshot, &self.targets.catalogue, now)?;
            *served = Served::of(revision, &state, self.targets.plan);
            self.rotation_due_at.set(served.rotation_due_at);
            self.targets.serve(state);
        }
        Ok(())
    }

    async fn keep_house(&self) {
        loop {
            sleep(if self.targets.health.is_up() { HOUSEKEEPING_EVERY } else { RETRY_EVERY }).await;
            let _ = self.tried(Access::Write, self.tidy(Timestamp::now())).await;
        }
    }

    async fn tidy(&self, now: Timestamp) -> Result<(), AppError> {
        if self.rotation_due_at.get().is_some_and(|due| due <= now) {
            self.store.rotate_keys_if_due(self.targets.plan, now, &gateway()).await?;
        }
        while self.store.purge(now).await? {}
        Ok(())
    }

    /// Awaits `action`, not for ever, and notes whether the store could be used.
    async fn tried<T>(&self, access: Access, action: impl Future<Output = Result<T, AppError>>) -> Result<T, AppError> {
        let late = || StoreError::Unavailable("it did not answer in time".to_owned()).into();
        let outcome = timeout(PATIENCE, action).await.unwrap_or_else(|_| Err(late()));
        note(&self.targets.health, access, outcome.as_ref().err());
        outcome
    }
}

fn note(health: &StoreHealth, access: Access, error: Option<&AppError>) {
    match error {
        None => {
            if health.works(access) == Turn::New {
                tracing::info!(?access, "the store can be used again");
            }
        }
        Some(error) => {
            if health.fails(access) == Turn::New {
                tracing::error!(%error, ?access, "the store cannot be used; going on with what is known");
            }
        }
    }
}

/// How long the store is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often the gateway tidies up, and how soon it tries again what did not work.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(10);
const RETRY_EVERY: Duration = Duration::from_secs(1);
