//! From the rows of the store to what issuing and verifying read.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::{AppError, secrets::Secrets};
use crate::{
    domain::{Catalogue, ClientId, CustomerId, ScopeName, ScopeSet, Timestamp},
    issuer::{self, Directory},
    store::{self, ClientState, Holder, KeyState, Snapshot, StoredKey},
    token::SigningKey,
    trust::{Standing, TrustedKey},
};

/// One revision of the store, ready to be served.
pub(super) struct State {
    pub(super) directory: Directory,
    pub(super) standing: Standing,
    /// The ends of retired keys.
    pub(super) key_ends: Vec<(String, Timestamp)>,
    /// When the current key begins to sign, if it does not yet.
    pub(super) settles_at: Option<Timestamp>,
    /// Since when the current key is the current one.
    pub(super) current_since: Option<Timestamp>,
}

impl State {
    /// `secrets` is what is known of secrets from the state before; it is brought up to date.
    pub(super) fn of(
        snapshot: Snapshot,
        catalogue: &Catalogue,
        secrets: &mut Secrets,
        now: Timestamp,
    ) -> Result<Self, AppError> {
        let Snapshot { revision: _, clients, revoked, keys, hashing_key } = snapshot;
        let current = keys.iter().find(|key| key.state == KeyState::Current).ok_or(AppError::NoSigningKey)?;
        let current_since = current.current_since;
        let settles_at = Some(settled(current)).filter(|settled| now < *settled);
        let signer = signer(&keys, now).unwrap_or(current).id.clone();
        let mut signing_key = None;
        let mut trusted = Vec::with_capacity(keys.len());
        let mut published = Vec::with_capacity(keys.len());
        for StoredKey { id, state, created_at: _, current_since: _, private } in &keys {
            let key = SigningKey::new(private)?;
            trusted.push(TrustedKey { key: key.public().clone(), until: state.end() });
            published.push(key.jwk().clone());
            if *id == signer {
                signing_key = Some(key);
            }
        }
        secrets.keep(&clients);
        let ends: HashMap<Holder, Timestamp, RandomState> =
            revoked.into_iter().map(|one| (one.holder, one.up_to)).collect();
        let clients: HashMap<ClientId, issuer::Client> = clients
            .into_iter()
            .filter(|client| client.state == ClientState::Enabled)
            .map(|client| {
                let end = tokens_end(&client.id, &client.customer, &ends);
                (client.id.clone(), issuer_client(client, end, catalogue, secrets))
            })
            .collect();
        let end = |key: &StoredKey| key.state.end().map(|until| (key.id.to_string(), until));
        let enabled = clients.iter().map(|(id, client)| (id.clone(), client.tokens_end)).collect();
        let directory =
            Directory { clients, hashing_key, signing_key: signing_key.ok_or(AppError::NoSigningKey)?, published };
        let key_ends = keys.iter().filter_map(end).collect();
        let standing = Standing { keys: trusted, clients: enabled, revoked: ends };
        Ok(Self { directory, standing, key_ends, settles_at, current_since })
    }

    pub(super) fn is_without_clients(&self) -> bool {
        self.directory.clients.is_empty()
    }
}

/// The second up to which the client's tokens were revoked: its own, or all of its customer.
fn tokens_end(
    client: &ClientId,
    customer: &CustomerId,
    ends: &HashMap<Holder, Timestamp, RandomState>,
) -> Option<Timestamp> {
    let holders = [Holder::Client(client.clone()), Holder::Customer(customer.clone())];
    holders.iter().filter_map(|holder| ends.get(holder)).max().copied()
}

/// The key to sign with: the current one, once every node has had time to learn of it; until then the one before it,
/// which still verifies everywhere. Rotations may follow each other faster than nodes hear of them.
fn signer(keys: &[StoredKey], now: Timestamp) -> Option<&StoredKey> {
    let may_sign = |key: &&StoredKey| key.current_since.is_some() && settled(key) <= now && !key.state.has_ended(now);
    keys.iter().filter(may_sign).max_by_key(|key| (key.state == KeyState::Current, key.current_since, key.created_at))
}

/// When every node knows the key.
fn settled(key: &StoredKey) -> Timestamp {
    key.created_at.plus(SETTLING)
}

/// Nodes learn of a change within a second; timestamps cut off most of another one.
const SETTLING: u64 = 2;

fn issuer_client(
    client: store::Client,
    tokens_end: Option<Timestamp>,
    catalogue: &Catalogue,
    secrets: &Secrets,
) -> issuer::Client {
    let names = || client.scopes.iter().map(ScopeName::as_str);
    let listed = names().filter_map(|name| catalogue.find(name)).fold(ScopeSet::EMPTY, ScopeSet::union);
    issuer::Client {
        customer: client.customer,
        scopes: catalogue.granted(names()),
        default_scopes: default_scopes(listed, catalogue),
        redirect_urls: client.redirect_urls,
        secrets: client.secrets.iter().filter_map(|secret| secrets.of(secret)).collect(),
        introspects: match client.introspects {
            store::Introspects::Own => issuer::Introspects::OwnCustomer,
            store::Introspects::All => issuer::Introspects::All,
        },
        tokens_end,
    }
}

/// What a client gets that asks for nothing: `application` if it has it, else all it has that needs no claims.
fn default_scopes(listed: ScopeSet, catalogue: &Catalogue) -> ScopeSet {
    let application = catalogue.find("application").unwrap_or_default();
    if listed.intersects(application) { application } else { listed.without(catalogue.bound()) }
}
