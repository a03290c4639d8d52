//! From the rows of the store to what issuing and verifying read.

use std::collections::HashMap;

use super::AppError;
use crate::{
    domain::{Catalogue, ClientId, ScopeName, ScopeSet, SecretVerifier},
    issuer::{self, Directory, Introspects, Secret},
    store::{self, ClientState, KeyState, Snapshot, StoredKey},
    token::SigningKey,
    trust::{Standing, TrustedKey},
};

/// One revision of the store, ready to be served.
pub(super) struct State {
    pub(super) directory: Directory,
    pub(super) standing: Standing,
    /// The ends of retired keys.
    pub(super) key_ends: Vec<(String, crate::domain::Timestamp)>,
}

impl State {
    pub(super) fn of(snapshot: Snapshot, catalogue: &Catalogue) -> Result<Self, AppError> {
        let Snapshot { revision: _, clients, keys, hashing_key } = snapshot;
        let mut signing_key = None;
        let mut trusted = Vec::with_capacity(keys.len());
        for StoredKey { id: _, state, created_at: _, private } in keys {
            let key = SigningKey::new(&private)?;
            let until = match state {
                KeyState::Retired { until } => Some(until),
                KeyState::Next | KeyState::Current => None,
            };
            trusted.push(TrustedKey { key: key.public().clone(), until });
            if state == KeyState::Current {
                signing_key = Some(key);
            }
        }
        let clients: HashMap<ClientId, issuer::Client> = clients
            .into_iter()
            .filter(|client| client.state == ClientState::Enabled)
            .map(|client| (client.id.clone(), issuer_client(client, catalogue)))
            .collect();
        let end = |trusted: &TrustedKey| trusted.until.map(|until| (trusted.key.id().to_string(), until));
        let enabled = clients.keys().cloned().collect();
        let directory = Directory {
            clients,
            hashing_key,
            signing_key: signing_key.ok_or(AppError::NoSigningKey)?,
            published: trusted.iter().map(|trusted| trusted.key.clone()).collect(),
        };
        let key_ends = trusted.iter().filter_map(end).collect();
        Ok(Self { directory, standing: Standing { keys: trusted, clients: enabled }, key_ends })
    }

    pub(super) fn is_without_clients(&self) -> bool {
        self.directory.clients.is_empty()
    }
}

fn issuer_client(client: store::Client, catalogue: &Catalogue) -> issuer::Client {
    let names = || client.scopes.iter().map(ScopeName::as_str);
    let listed = names().filter_map(|name| catalogue.find(name)).fold(ScopeSet::EMPTY, ScopeSet::union);
    issuer::Client {
        customer: client.customer,
        scopes: catalogue.granted(names()),
        default_scopes: default_scopes(listed, catalogue),
        redirect_urls: client.redirect_urls,
        secrets: client.secrets.into_iter().map(|hash| Secret::new(SecretVerifier::Keyed(hash), None, None)).collect(),
        introspects: Introspects::OwnCustomer,
        tokens_end: None,
    }
}

/// What a client gets that asks for nothing: `application` if it has it, else all it has that needs no claims.
fn default_scopes(listed: ScopeSet, catalogue: &Catalogue) -> ScopeSet {
    let application = catalogue.find("application").unwrap_or_default();
    if listed.intersects(application) { application } else { listed.without(catalogue.bound()) }
}
