//! The store in a SQLite file, which the gateway and the command line share through SQLite's own locks, or in a
//! PostgreSQL database, which any number of gateways share.

mod audit;
mod change;
mod clients;
mod engine;
mod keys;
mod postgres;
mod prepare;
mod revocations;
mod secrets;
mod settings;
mod sqlite;

use std::{fmt, path::Path};

pub use postgres::{Changes, PostgresAddress, PostgresAddressError};
pub(super) use sqlite::side_files;

use super::{
    Act, Actor, AuditFilter, AuditRow, Client, ClientState, Holder, KeyPlan, NewSecret, Predecessor, Revision,
    RevocationNumber, RevokedToken, Rotation, Sealing, SecretNumber, Snapshot, StoreError, StoredKey,
    rotation::{self, Step},
};
use crate::domain::{ClientId, HashingKey, KeyId, SecretVerifier, Timestamp, TokenId};
use change::Change;
use engine::Engine;

/// Clients, keys, revocations and the audit log. Every change is one transaction that also raises the revision and
/// writes the audit log; changes happen one after the other, whichever process makes them.
pub struct Store {
    engine: Engine,
    sealing: Sealing,
    changes: postgres::Source,
}

impl Store {
    /// A new store that ends with this value.
    pub async fn in_memory(now: Timestamp) -> Result<Self, StoreError> {
        let engine = Engine::Sqlite(sqlite::memory().await?);
        Self::prepared(engine, Sealing::ephemeral(), postgres::Source::Poll, now).await
    }

    /// Opens the file at `path`, made with mode 0600 if missing, and brings its schema up to date.
    ///
    /// Nothing is changed if `sealing` cannot open what the store was written with, or if the file was written by a
    /// newer version or another program, or holds nothing.
    pub async fn sqlite(path: &Path, sealing: Sealing, now: Timestamp) -> Result<Self, StoreError> {
        if sqlite::is_missing(path)? {
            let draft = sqlite::draft(path)?;
            let made = Self::in_draft(&draft, &sealing, now).await;
            made.and_then(|()| sqlite::publish(&draft, path)).inspect_err(|_| sqlite::discard(&draft))?;
        }
        let engine = Engine::Sqlite(sqlite::file(path).await?);
        Self::prepared(engine, sealing, postgres::Source::Poll, now).await
    }

    /// Makes a whole store in the file at `path`. Closed, all of it is in that one file.
    async fn in_draft(path: &Path, sealing: &Sealing, now: Timestamp) -> Result<(), StoreError> {
        let pool = sqlite::pool(path).await?;
        let made = prepare::prepare(&Engine::Sqlite(pool.clone()), sealing, now).await;
        pool.close().await;
        made
    }

    /// Connects to the database at `address` and brings its schema up to date; nodes that start at once take turns.
    ///
    /// Nothing is changed if `sealing` cannot open what the store was written with, or if the schema is newer.
    pub async fn postgres(address: &PostgresAddress, sealing: Sealing, now: Timestamp) -> Result<Self, StoreError> {
        let engine = Engine::Postgres(address.connect().await?);
        Self::prepared(engine, sealing, address.notifications(), now).await
    }

    async fn prepared(
        engine: Engine,
        sealing: Sealing,
        changes: postgres::Source,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        prepare::prepare(&engine, &sealing, now).await?;
        Ok(Self { engine, sealing, changes })
    }

    /// Takes leave of the database: one that is shared complains of those who just go. The last one to leave a SQLite
    /// file leaves all of the store in it.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite(pool) => pool.close().await,
            Engine::Postgres(pool) => pool.close().await,
        }
    }

    /// Puts all of the store into its SQLite file, whoever else has it open.
    pub async fn fold(&self) {
        if let Engine::Sqlite(pool) = &self.engine {
            sqlite::fold(pool).await;
        }
    }

    /// Writes, and leaves all as it was: an error where no change could be made.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let mut write = self.engine.write().await?;
        // There and back: SQLite writes no page in which nothing was changed.
        for _ in 0..2 {
            write.execute("UPDATE revision SET number = -1 - number", &[]).await?;
        }
        write.commit().await
    }

    /// Tells when it may be worth asking for the [`Store::revision`] again.
    pub fn changes(&self) -> Changes {
        Changes::new(self.changes.clone())
    }

    /// The current revision: cheap enough to ask for several times a second.
    pub async fn revision(&self) -> Result<Revision, StoreError> {
        settings::revision(&mut self.engine.read().await?).await
    }

    /// Everything but single revoked tokens, in one consistent read. Secrets and keys whose life ended before `now`
    /// are left out.
    pub async fn snapshot(&self, now: Timestamp) -> Result<Snapshot, StoreError> {
        let mut read = self.engine.read().await?;
        let revision = settings::revision(&mut read).await?;
        let mut clients = clients::all(&mut read).await?;
        for client in &mut clients {
            client.secrets.retain(|secret| secret.is_live(now));
        }
        let revoked = revocations::holders(&mut read, now).await?;
        let mut keys = keys::all(&mut read, &self.sealing).await?;
        keys.retain(|key| !key.state.has_ended(now));
        let hashing_key = settings::hashing_key(&mut read, &self.sealing).await?;
        Ok(Snapshot { revision, clients, revoked, keys, hashing_key })
    }

    /// The first single tokens, at most `most`, that were revoked after the one with number `after` and have not
    /// expired.
    pub async fn revoked_tokens(
        &self,
        after: RevocationNumber,
        now: Timestamp,
        most: u32,
    ) -> Result<Vec<RevokedToken>, StoreError> {
        revocations::tokens(&mut self.engine.read().await?, after, now, most).await
    }

    /// The key that secrets are hashed under.
    pub async fn hashing_key(&self) -> Result<HashingKey, StoreError> {
        settings::hashing_key(&mut self.engine.read().await?, &self.sealing).await
    }

    /// Adds a client with its first secret. Its ID is new; `client.secrets` is not looked at.
    pub async fn add_client(&self, client: &Client, secret: &NewSecret, actor: &Actor) -> Result<(), StoreError> {
        let act = match secret.verifier {
            SecretVerifier::Keyed(_) => Act::ClientAdded,
            SecretVerifier::Argon2id(_) => Act::ClientImported,
        };
        let mut change = Change::begin(&self.engine, client.created_at, actor).await?;
        clients::add(&mut change.tx, client).await?;
        secrets::add(&mut change.tx, &client.id, secret, client.created_at).await?;
        change.record(act, client.id.as_str()).await?;
        change.commit().await
    }

    /// One client, with its expired secrets.
    pub async fn client(&self, id: &ClientId) -> Result<Client, StoreError> {
        clients::one(&mut self.engine.read().await?, id).await
    }

    /// Every client, oldest first, with its expired secrets.
    pub async fn clients(&self) -> Result<Vec<Client>, StoreError> {
        clients::all(&mut self.engine.read().await?).await
    }

    /// Gives a client a new secret.
    pub async fn rotate_secret(
        &self,
        id: &ClientId,
        secret: &NewSecret,
        predecessor: Predecessor,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<(), StoreError> {
        let act = match predecessor {
            Predecessor::Ends => Act::SecretReplaced,
            Predecessor::CountsUntil(_) => Act::SecretAdded,
        };
        let mut change = Change::begin(&self.engine, now, actor).await?;
        clients::require(&mut change.tx, id).await?;
        secrets::end(&mut change.tx, id, predecessor, now).await?;
        secrets::add(&mut change.tx, id, secret, now).await?;
        change.record(act, id.as_str()).await?;
        change.commit().await
    }

    /// Notes when secrets were last used. This is no administrative act: nobody is woken.
    pub async fn note_use(&self, uses: &[(SecretNumber, Timestamp)]) -> Result<(), StoreError> {
        let mut write = self.engine.write().await?;
        for (number, at) in uses {
            secrets::note_use(&mut write, *number, *at).await?;
        }
        write.commit().await
    }

    /// Lets a client authenticate, or no longer. Tokens of a client that was disabled stay revoked when it is enabled
    /// again.
    pub async fn set_client_state(
        &self,
        id: &ClientId,
        state: ClientState,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<(), StoreError> {
        let mut change = Change::begin(&self.engine, now, actor).await?;
        clients::set_state(&mut change.tx, id, state).await?;
        match state {
            ClientState::Enabled => change.record(Act::ClientEnabled, id.as_str()).await?,
            ClientState::Disabled => {
                revocations::add_holder(&mut change.tx, &Holder::Client(id.clone()), now).await?;
                change.record(Act::ClientDisabled, id.as_str()).await?;
            }
        }
        change.commit().await
    }

    /// Removes a client and its secrets. The audit log keeps its ID.
    pub async fn remove_client(&self, id: &ClientId, now: Timestamp, actor: &Actor) -> Result<(), StoreError> {
        let mut change = Change::begin(&self.engine, now, actor).await?;
        clients::remove(&mut change.tx, id).await?;
        change.record(Act::ClientRemoved, id.as_str()).await?;
        change.commit().await
    }

    /// Revokes one token by its `jti`, to be forgotten at `until`, when it has expired by itself.
    pub async fn revoke_token(
        &self,
        id: &TokenId,
        until: Timestamp,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<(), StoreError> {
        let mut change = Change::begin(&self.engine, now, actor).await?;
        revocations::add_token(&mut change.tx, id, until).await?;
        change.record(Act::TokenRevoked, id.as_str()).await?;
        change.commit().await
    }

    /// Revokes all tokens that a client or customer was issued so far.
    pub async fn revoke_holder(&self, holder: &Holder, now: Timestamp, actor: &Actor) -> Result<(), StoreError> {
        let mut change = Change::begin(&self.engine, now, actor).await?;
        let act = match holder {
            Holder::Client(id) => {
                clients::require(&mut change.tx, id).await?;
                Act::ClientTokensRevoked
            }
            Holder::Customer(_) => Act::CustomerTokensRevoked,
        };
        revocations::add_holder(&mut change.tx, holder, now).await?;
        change.record(act, holder.id()).await?;
        change.commit().await
    }

    /// Deletes, a batch at a time, revocations of tokens that have expired by themselves and secrets that no longer
    /// count. True if there may be more. Every node forgets by its own clock, so nobody is woken.
    pub async fn purge(&self, now: Timestamp) -> Result<bool, StoreError> {
        let mut write = self.engine.write().await?;
        secrets::purge(&mut write, now).await?;
        let more = revocations::purge(&mut write, now).await?;
        write.commit().await?;
        Ok(more)
    }

    /// Every key, the one made last first.
    pub async fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        keys::all(&mut self.engine.read().await?, &self.sealing).await
    }

    /// Makes sure that there is a current key of the plan's algorithm and a next one; does nothing if there is.
    /// A current key of another algorithm is retired.
    pub async fn ensure_keys(&self, plan: KeyPlan, now: Timestamp, actor: &Actor) -> Result<(), StoreError> {
        // Usually there is nothing to do, which a look tells without waiting for a turn.
        if rotation::ensure(&keys::facts(&mut self.engine.read().await?).await?, plan, now).is_empty() {
            return Ok(());
        }
        let mut change = Change::begin(&self.engine, now, actor).await?;
        let steps = rotation::ensure(&keys::facts(&mut change.tx).await?, plan, now);
        if steps.is_empty() {
            return Ok(());
        }
        self.change_keys(change, steps, plan).await
    }

    /// Retires the current key, makes the next one current and makes a new next one. Keys whose life ended are removed.
    pub async fn rotate_keys(&self, plan: KeyPlan, now: Timestamp, actor: &Actor) -> Result<(), StoreError> {
        let mut change = Change::begin(&self.engine, now, actor).await?;
        let steps = rotation::rotate(&keys::facts(&mut change.tx).await?, plan, now);
        self.change_keys(change, steps, plan).await
    }

    /// The same if the current key has signed for as long as the plan says. Of several nodes that ask, one rotates.
    pub async fn rotate_keys_if_due(
        &self,
        plan: KeyPlan,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<Rotation, StoreError> {
        let mut change = Change::begin(&self.engine, now, actor).await?;
        let facts = keys::facts(&mut change.tx).await?;
        if !rotation::is_due(&facts, plan, now) {
            return Ok(Rotation::NotDue);
        }
        self.change_keys(change, rotation::rotate(&facts, plan, now), plan).await?;
        Ok(Rotation::Done)
    }

    /// Ends a key's life at once, with all tokens it signed: for a key that has leaked. If it was the current or next
    /// one, its place is filled.
    pub async fn retire_key(&self, id: &KeyId, plan: KeyPlan, now: Timestamp, actor: &Actor) -> Result<(), StoreError> {
        let mut change = Change::begin(&self.engine, now, actor).await?;
        let facts = keys::facts(&mut change.tx).await?;
        let steps = rotation::retire(&facts, id, plan, now).ok_or_else(|| StoreError::NoSuchKey(id.clone()))?;
        self.change_keys(change, steps, plan).await
    }

    /// Seals everything again under the first of this store's key-encryption keys.
    pub async fn reseal(&self, now: Timestamp, actor: &Actor) -> Result<(), StoreError> {
        let mut change = Change::begin(&self.engine, now, actor).await?;
        settings::reseal(&mut change.tx, &self.sealing).await?;
        keys::reseal(&mut change.tx, &self.sealing).await?;
        change.record(Act::StoreResealed, "").await?;
        change.commit().await
    }

    /// The newest acts that `filter` asks for, newest first, at most `limit`.
    pub async fn audit(&self, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        audit::rows(&mut self.engine.read().await?, filter, limit).await
    }

    async fn change_keys(&self, mut change: Change<'_>, steps: Vec<Step>, plan: KeyPlan) -> Result<(), StoreError> {
        for step in steps {
            keys::carry_out(&mut change, step, plan, &self.sealing).await?;
        }
        change.commit().await
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.engine {
            Engine::Sqlite(_) => "Store(SQLite)",
            Engine::Postgres(_) => "Store(PostgreSQL)",
        };
        f.write_str(name)
    }
}
