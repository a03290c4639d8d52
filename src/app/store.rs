//! The store and the thread that follows it.

use std::{path::Path, sync::Arc, thread, time::Duration};

use tokio::runtime::{Builder, Runtime};

use super::{AppError, server::Targets, state::State};
use crate::{
    config::{Config, SecretSource, StoreKey, StoreLocation},
    domain::{Catalogue, Timestamp},
    store::{Actor, KeyEncryptionKey, KeyPlan, Revision, SqliteStore, Store, StoreError},
};

/// How often the store is asked whether somebody changed it, for example the command line in another process.
const POLL_EVERY: Duration = Duration::from_millis(250);

/// A gateway may sign with a key for a moment after another process retired it.
const ROTATION_SLACK: Duration = Duration::from_secs(60);

/// An open store and the runtime it lives on.
pub struct OpenStore {
    runtime: Runtime,
    store: Arc<dyn Store>,
}

impl OpenStore {
    /// Opens the store that `config` names; a SQLite file and its key file are made if they are missing.
    pub fn open(config: &Config) -> Result<Self, AppError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let store = runtime.block_on(open(config))?;
        Ok(Self { runtime, store: Arc::new(store) })
    }

    /// Runs one command on the store.
    pub fn block_on<T>(&self, command: impl AsyncFnOnce(&dyn Store) -> T) -> T {
        self.runtime.block_on(command(&*self.store))
    }

    /// The first state to serve; signing keys are made if there are none.
    pub(super) fn first_state(&self, config: &Config) -> Result<First, AppError> {
        let now = Timestamp::now();
        self.runtime.block_on(async {
            self.store.ensure_keys(key_plan(config), now, &Actor("gateway".to_owned())).await?;
            let snapshot = self.store.snapshot(now).await?;
            let revision = snapshot.revision;
            Ok(First { state: State::of(snapshot, &config.catalogue)?, revision })
        })
    }

    /// From now on hands every change to `targets`, on a thread of its own.
    pub(super) fn follow(self, targets: Targets) {
        let follow = move || self.runtime.block_on(follow(&*self.store, targets));
        let started = thread::Builder::new().name("store".to_owned()).spawn(follow);
        started.expect("the process may start a thread at its start");
    }
}

/// The state the gateway starts with.
pub(super) struct First {
    pub(super) state: State,
    pub(super) revision: Revision,
}

impl First {
    pub(super) fn is_without_clients(&self) -> bool {
        self.state.is_without_clients()
    }
}

/// How keys are made and how long they stay, by the configuration.
pub fn key_plan(config: &Config) -> KeyPlan {
    let retire_for = config.issuer.lifetime + config.issuer.clock_skew + ROTATION_SLACK;
    KeyPlan { algorithm: config.issuer.algorithm, retire_for: retire_for.as_secs() }
}

async fn open(config: &Config) -> Result<SqliteStore, StoreError> {
    let now = Timestamp::now();
    match &config.store {
        StoreLocation::Memory => SqliteStore::in_memory(now).await,
        StoreLocation::Sqlite(path) => SqliteStore::open(path, key_encryption_key(&config.store_key, path)?, now).await,
    }
}

fn key_encryption_key(source: &StoreKey, database: &Path) -> Result<KeyEncryptionKey, StoreError> {
    Ok(match source {
        // A store that is there was written with a key that was there: a fresh one would open nothing.
        StoreKey::Source(SecretSource::File(path)) if database.exists() => KeyEncryptionKey::from_file(path)?,
        StoreKey::Source(SecretSource::File(path)) => KeyEncryptionKey::from_file_or_create(path)?,
        StoreKey::Source(SecretSource::Environment(name)) => KeyEncryptionKey::from_environment(name)?,
        StoreKey::Ephemeral => KeyEncryptionKey::generate(),
    })
}

async fn follow(store: &dyn Store, targets: Targets) {
    let mut served = targets.revision;
    let mut reachable = true;
    loop {
        tokio::time::sleep(POLL_EVERY).await;
        match step(store, &targets, served).await {
            Ok(revision) => {
                served = revision;
                if !std::mem::replace(&mut reachable, true) {
                    tracing::info!("the store can be used again");
                }
            }
            // What was read last goes on being served.
            Err(error) => {
                if std::mem::replace(&mut reachable, false) {
                    tracing::error!(%error, "the store cannot be read; going on with what is known");
                }
            }
        }
    }
}

async fn step(store: &dyn Store, targets: &Targets, served: Revision) -> Result<Revision, AppError> {
    if store.revision().await? == served {
        return Ok(served);
    }
    let snapshot = store.snapshot(Timestamp::now()).await?;
    let revision = snapshot.revision;
    let catalogue: &Catalogue = &targets.catalogue;
    targets.serve(State::of(snapshot, catalogue)?);
    Ok(revision)
}
