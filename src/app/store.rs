//! Opening the store that a configuration names.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    sync::{mpsc, oneshot},
};

use super::{
    AppError,
    follow::{Served, catch_up_on_tokens, follow},
    revoker::Order,
    secrets::Secrets,
    server::Targets,
    state::State,
};
use crate::{
    config::{Config, SecretSource, StoreKey, StoreLocation},
    domain::Timestamp,
    store::{Actor, KeyEncryptionKey, KeyPlan, PostgresAddress, Sealing, Store, StoreError},
};

/// A gateway may sign with a key for a moment after another process retired it.
const ROTATION_SLACK: Duration = Duration::from_secs(60);

/// How long the end of the gateway waits for its store.
const LEAVING: Duration = Duration::from_secs(2);

/// An open store and the runtime it lives on.
pub struct OpenStore {
    runtime: Runtime,
    store: Arc<Store>,
}

impl OpenStore {
    /// Opens the store that `config` names; a SQLite file and its key file are made if they are missing.
    pub fn open(config: &Config) -> Result<Self, AppError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let store = runtime.block_on(open(config))?;
        Ok(Self { runtime, store: Arc::new(store) })
    }

    /// Runs one command on the store.
    pub fn block_on<T>(&self, command: impl AsyncFnOnce(&Store) -> T) -> T {
        self.runtime.block_on(command(&self.store))
    }

    /// The first state to serve; signing keys are made if there are none.
    pub(super) fn first_state(&self, config: &Config) -> Result<(Served, Secrets, State), AppError> {
        let now = Timestamp::now();
        self.runtime.block_on(async {
            self.store.ensure_keys(key_plan(config), now, &gateway()).await?;
            let snapshot = self.store.snapshot(now).await?;
            let revision = snapshot.revision;
            let mut secrets = Secrets::default();
            let state = State::of(snapshot, &config.catalogue, &mut secrets, now)?;
            Ok((Served::of(revision, &state, key_plan(config)), secrets, state))
        })
    }

    /// Hands the single tokens that were revoked so far to `targets`.
    pub(super) fn catch_up_on_tokens(&self, targets: &Targets, served: &mut Served) -> Result<(), AppError> {
        let now = Timestamp::now();
        let caught_up = catch_up_on_tokens(&self.store, &targets.trust, &mut served.revoked, now);
        Ok(self.runtime.block_on(caught_up)?)
    }

    /// From now on hands every change to `targets`, on a thread of its own.
    pub(super) fn follow(
        self,
        targets: Targets,
        served: Served,
        secrets: Secrets,
        orders: mpsc::Receiver<Order>,
    ) -> Followed {
        let (stop, stopped) = oneshot::channel();
        let (left, has_left) = std::sync::mpsc::channel();
        let Self { runtime, store } = self;
        let run = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = follow(&store, targets, served, secrets, orders) => {}
                    _ = stopped => {}
                }
                store.fold().await;
                store.close().await;
            });
            let _ = left.send(());
        };
        let started = thread::Builder::new().name("store".to_owned()).spawn(run);
        started.expect("the process may start a thread at its start");
        Followed(Mutex::new(Some((stop, has_left))))
    }
}

/// The store that a thread follows.
pub(super) struct Followed(Mutex<Option<(oneshot::Sender<()>, std::sync::mpsc::Receiver<()>)>>);

impl Followed {
    /// Takes leave of the store, so that a file holds all of it. One that cannot be reached is waited for a moment only.
    pub(super) fn leave(&self) {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((stop, has_left)) = ends.take() {
            let _ = stop.send(());
            let _ = has_left.recv_timeout(LEAVING);
        }
    }
}

/// How keys are made and how long they stay, by the configuration.
pub fn key_plan(config: &Config) -> KeyPlan {
    let retire_for = config.issuer.lifetime + config.issuer.clock_skew + ROTATION_SLACK;
    KeyPlan {
        algorithm: config.issuer.algorithm,
        retire_for: retire_for.as_secs(),
        rotate_every: config.issuer.rotate_every.map(|every| every.as_secs()),
    }
}

/// The gateway itself as an actor.
pub(super) fn gateway() -> Actor {
    Actor { name: "gateway".to_owned(), origin: machine() }
}

/// The name of this machine, where acts of the gateway and the command line come from.
pub fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

async fn open(config: &Config) -> Result<Store, StoreError> {
    let now = Timestamp::now();
    match &config.store {
        StoreLocation::Memory => Store::in_memory(now).await,
        StoreLocation::Sqlite(path) => Store::sqlite(path, sealing(&config.store_key, Some(path))?, now).await,
        StoreLocation::Postgres(address) => Store::postgres(address, sealing(&config.store_key, None)?, now).await,
        StoreLocation::PostgresAt(source) => {
            Store::postgres(&address(source)?, sealing(&config.store_key, None)?, now).await
        }
    }
}

/// Reads an address with its password. Neither is told if it cannot be used.
fn address(source: &SecretSource) -> Result<PostgresAddress, StoreError> {
    let unusable = |why: String| StoreError::Unavailable(format!("its address: {why}"));
    let secret = source.read().map_err(|error| unusable(error.to_string()))?;
    let text = String::from_utf8(secret).map_err(|_| unusable("it is not UTF-8".to_owned()))?;
    PostgresAddress::parse(text.trim_end()).map_err(|error| unusable(error.to_string()))
}

fn sealing(key: &StoreKey, database: Option<&Path>) -> Result<Sealing, StoreError> {
    let sources = match key {
        StoreKey::Ephemeral => return Ok(Sealing::ephemeral()),
        StoreKey::Sources(sources) => sources.as_slice(),
    };
    let missing = database.filter(|database| !database.exists());
    if let (Some(database), true) = (missing, sources.iter().any(is_there)) {
        // A key may be given before the first start, so this is no error.
        tracing::warn!("{} is missing though its key is there: a new store begins", database.display());
    }
    let may_be_made = sources.len() == 1 && missing.is_some();
    let mut keys =
        sources.iter().map(|source| key_encryption_key(source, may_be_made)).collect::<Result<Vec<_>, _>>()?;
    let first = keys.remove(0);
    Ok(Sealing::new(first, keys))
}

fn is_there(source: &SecretSource) -> bool {
    match source {
        SecretSource::File(path) => path.exists(),
        SecretSource::Environment(_) => false,
    }
}

/// A store that is there was written with a key that was there: a fresh one would open nothing. Neither is one made for
/// a store that nodes share: each would make its own.
fn key_encryption_key(source: &SecretSource, may_be_made: bool) -> Result<KeyEncryptionKey, StoreError> {
    Ok(match source {
        SecretSource::File(path) if may_be_made => KeyEncryptionKey::from_file_or_create(path)?,
        SecretSource::File(path) => KeyEncryptionKey::from_file(path)?,
        SecretSource::Environment(name) => KeyEncryptionKey::from_environment(name)?,
    })
}
