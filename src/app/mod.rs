//! The composition root: a checked configuration becomes stores, keys, caches and listeners, and runs until a signal.

mod certificates;
mod descriptors;
mod exposure;
mod follow;
mod listeners;
mod process;
mod revoker;
mod secrets;
mod server;
mod shutdown;
mod state;
mod store;
mod trust;

use std::{io, sync::Arc};

pub use exposure::exposed_files;
pub use process::keep_private;
pub use store::{OpenStore, key_plan, machine};

use listeners::Opened;

use crate::{
    config::{Config, SecretSource},
    store::StoreError,
    tls::TlsError,
    token::KeyError,
    trust::FetchError,
};

/// Why the gateway does not start, or a command cannot reach the store.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The store cannot be opened or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A signing key in the store cannot be used.
    #[error("a signing key in the store cannot be used: {0}")]
    Key(#[from] KeyError),
    /// There is no current signing key, though one was just made.
    #[error("the store has no current signing key")]
    NoSigningKey,
    /// Somebody else listens there, or we may not.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        error: io::Error,
    },
    /// What an issuer shares with us cannot be had. The text names no secret.
    #[error("the secret of {issuer}: {problem}")]
    Secret {
        /// Whose.
        issuer: String,
        /// Why.
        problem: String,
    },
    /// What the configuration says is kept elsewhere is not there. The text names no secret.
    #[error("{}", .0.join("\n"))]
    Secrets(Vec<String>),
    /// A server that is to be asked cannot be: its authorities are none.
    #[error("cannot ask other servers: {0}")]
    Outbound(#[from] FetchError),
    /// A certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No runtime, no threads.
    #[error("cannot start: {0}")]
    Runtime(#[from] io::Error),
}

/// Serves until SIGTERM or SIGINT. `announce` is called once requests are served.
pub fn run(config: Config, announce: impl FnOnce() + Send + 'static) -> Result<(), AppError> {
    check_secrets(&config)?;
    let store = OpenStore::open(&config)?;
    run_on(config, store, announce)
}

/// The same on a store that is open already.
pub fn run_on(config: Config, store: OpenStore, announce: impl FnOnce() + Send + 'static) -> Result<(), AppError> {
    // The first provider installed is pingora's and reqwest's too: one crypto library everywhere. A second run finds it
    // there.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let listeners = Opened::new(&config)?;
    for exposed in exposed_files(&config) {
        tracing::warn!("{exposed}");
    }
    let (mut from, secrets, state) = store.first_state(&config)?;
    if state.is_without_clients() {
        tracing::warn!(
            "no client can ask for tokens yet; create the first one with: scopegate client add --customer bits:customer::<uuid>"
        );
    }
    let (revoker, orders) = revoker::channel();
    let server = server::Server::new(config, listeners, state, revoker)?;
    let targets = server.targets();
    store.catch_up_on_tokens(&targets, &mut from)?;
    let followed = Arc::new(store.follow(targets, from, secrets, orders));
    server.follow_keys()?;
    server.run(&followed, announce)
}

/// A secret that is missing is told before anything is made, opened or served, and all of them at once. A gateway that
/// was to be guarded by it would go without.
fn check_secrets(config: &Config) -> Result<(), AppError> {
    let missing = |(name, source): (String, &SecretSource)| source.read().err().map(|error| format!("{name}: {error}"));
    let missing: Vec<String> = config.secrets().filter_map(missing).collect();
    if missing.is_empty() { Ok(()) } else { Err(AppError::Secrets(missing)) }
}
