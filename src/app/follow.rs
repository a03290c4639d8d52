//! The store's thread: learns of changes and hands them on, carries out the gateway's own, and tidies up.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};

use super::{AppError, revoker::Order, secrets::Secrets, server::Targets, state::State, store::gateway};
use crate::{
    admin::{Access, StoreHealth, Turn},
    domain::Timestamp,
    store::{KeyPlan, Revision, RevocationNumber, Store, StoreError},
    trust::Trust,
};

/// What of the store is being served.
pub(super) struct Served {
    pub(super) revision: Revision,
    /// The single token that was revoked last.
    pub(super) revoked: RevocationNumber,
    /// When another key should sign, without any change of the store.
    pub(super) settles_at: Option<Timestamp>,
    /// When the current key has signed for as long as the plan says.
    pub(super) rotation_due_at: Option<Timestamp>,
}

impl Served {
    pub(super) fn of(revision: Revision, state: &State, plan: KeyPlan) -> Self {
        let revoked = RevocationNumber::default();
        let mut served = Self { revision, revoked, settles_at: None, rotation_due_at: None };
        served.follow(state, plan);
        served
    }

    fn follow(&mut self, state: &State, plan: KeyPlan) {
        self.settles_at = state.settles_at;
        self.rotation_due_at = state.current_since.zip(plan.rotate_every).map(|(since, every)| since.plus(every));
    }
}

/// Hands on the single tokens that were revoked after `seen`, part by part, and moves `seen` on.
pub(super) async fn catch_up_on_tokens(
    store: &Store,
    trust: &Trust,
    seen: &mut RevocationNumber,
    now: Timestamp,
) -> Result<(), StoreError> {
    loop {
        let tokens = store.revoked_tokens(*seen, now, PART).await?;
        let Some(last) = tokens.last() else { return Ok(()) };
        *seen = last.number;
        trust.revoke_tokens(tokens.into_iter().map(|token| (token.id, token.until)), now);
    }
}

/// Follows the store for ever.
pub(super) async fn follow(
    store: &Store,
    targets: Targets,
    served: Served,
    secrets: Secrets,
    orders: mpsc::Receiver<Order>,
) {
    let rotation_due_at = Cell::new(served.rotation_due_at);
    let (secrets, trouble) = (RefCell::new(secrets), Notify::new());
    let attended = Attended { store, targets, secrets, rotation_due_at, trouble };
    tokio::join!(attended.hand_on_changes(served), attended.keep_house(), attended.carry_out(orders));
}

struct Attended<'s> {
    store: &'s Store,
    targets: Targets,
    /// Never borrowed across an await.
    secrets: RefCell<Secrets>,
    rotation_due_at: Cell<Option<Timestamp>>,
    /// The store cannot be used any more.
    trouble: Notify,
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
        // A store that has gone back was replaced by an older one: nothing that was seen of it counts.
        let replaced = revision.number < seen.number;
        if replaced {
            served.revoked = RevocationNumber::default();
        }
        if replaced || revision.tokens != seen.tokens {
            catch_up_on_tokens(self.store, &self.targets.trust, &mut served.revoked, now).await?;
        }
        let settled = served.settles_at.is_some_and(|moment| moment <= now);
        if replaced || settled || (revision.clients, revision.keys) != (seen.clients, seen.keys) {
            let snapshot = self.store.snapshot(now).await?;
            let state = State::of(snapshot, &self.targets.catalogue, &mut self.secrets.borrow_mut(), now)?;
            served.follow(&state, self.targets.plan);
            self.rotation_due_at.set(served.rotation_due_at);
            self.targets.serve(state);
        }
        // What changed after the revision was read is read again next time.
        served.revision = revision;
        Ok(())
    }

    async fn keep_house(&self) {
        loop {
            if self.targets.health.is_up() {
                tokio::select! {
                    () = sleep(HOUSEKEEPING_EVERY) => {}
                    () = self.trouble.notified() => continue,
                }
                let _ = self.tried(Access::Write, self.tidy(Timestamp::now())).await;
            } else {
                sleep(RETRY_EVERY).await;
                // Tidying may find nothing to write, which a disk that is full allows.
                let probed = async { Ok(self.store.probe().await?) };
                let _ = self.tried(Access::Write, probed).await;
            }
        }
    }

    /// Revokes tokens as clients ask for it. One that is revoked here is refused here before its client hears of it.
    async fn carry_out(&self, mut orders: mpsc::Receiver<Order>) {
        while let Some(Order { token, until, actor, done }) = orders.recv().await {
            if done.is_closed() {
                // Its client was told that it cannot be done.
                continue;
            }
            let now = Timestamp::now();
            let revoked = async { Ok(self.store.revoke_token(&token, until, now, &actor).await?) };
            if self.tried(Access::Write, revoked).await.is_ok() {
                self.targets.trust.revoke_tokens([(token, until)], now);
                let _ = done.send(());
            }
        }
    }

    async fn tidy(&self, now: Timestamp) -> Result<(), AppError> {
        if self.rotation_due_at.get().is_some_and(|due| due <= now) {
            self.store.rotate_keys_if_due(self.targets.plan, now, &gateway()).await?;
        }
        let uses = self.secrets.borrow().uses();
        if !uses.is_empty() {
            self.store.note_use(&uses).await?;
            self.secrets.borrow_mut().noted(&uses);
        }
        while self.store.purge(now).await? {}
        self.targets.trust.forget_ended(now);
        Ok(())
    }

    /// Awaits `action`, not for ever, and notes whether the store could be used.
    async fn tried<T>(&self, access: Access, action: impl Future<Output = Result<T, AppError>>) -> Result<T, AppError> {
        let late = || StoreError::Unavailable("it did not answer in time".to_owned()).into();
        let patience = match access {
            Access::Read => PATIENCE_TO_READ,
            Access::Write => PATIENCE_TO_WRITE,
        };
        let outcome = timeout(patience, action).await.unwrap_or_else(|_| Err(late()));
        if note(&self.targets.health, access, outcome.as_ref().err()) == Turn::New && outcome.is_err() {
            self.trouble.notify_one();
        }
        outcome
    }
}

fn note(health: &StoreHealth, access: Access, error: Option<&AppError>) -> Turn {
    let turn = error.map_or_else(|| health.works(access), |_| health.fails(access));
    match (turn, error) {
        (Turn::Same, _) => {}
        (Turn::New, None) => tracing::info!(?access, "the store can be used again"),
        (Turn::New, Some(error)) => {
            tracing::error!(%error, ?access, "the store cannot be used; going on with what is known");
        }
    }
    turn
}

/// So many revoked tokens are read at once.
const PART: u32 = 10_000;

/// How long the store is waited for: all of many clients take longer to read than anything takes to write.
const PATIENCE_TO_READ: Duration = Duration::from_secs(15);
const PATIENCE_TO_WRITE: Duration = Duration::from_secs(3);

/// How often the gateway tidies up, and how often it asks a store that could not be used whether it can again.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(10);
const RETRY_EVERY: Duration = Duration::from_millis(500);
