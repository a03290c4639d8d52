//! What is learnt of secrets while they are served, across changes of the store.

use std::collections::HashMap;

use crate::{
    domain::Timestamp,
    issuer,
    store::{self, SecretNumber},
};

/// Every secret of the state that is served.
#[derive(Default)]
pub(super) struct Secrets(HashMap<SecretNumber, Known>);

struct Known {
    secret: issuer::Secret,
    /// The last use that the store knows of.
    noted: Option<Timestamp>,
}

impl Secrets {
    /// Forgets secrets that `clients` do not have, and takes in those they have.
    pub(super) fn keep(&mut self, clients: &[store::Client]) {
        let mut before = std::mem::take(&mut self.0);
        for secret in clients.iter().flat_map(|client| &client.secrets) {
            let fresh = issuer::Secret::new(secret.verifier.clone(), secret.expires_at, secret.last_used_at);
            let secret_now = match before.remove(&secret.number) {
                Some(known) => fresh.continuing(&known.secret),
                None => fresh,
            };
            self.0.insert(secret.number, Known { secret: secret_now, noted: secret.last_used_at });
        }
    }

    /// The secret as it is served.
    pub(super) fn of(&self, secret: &store::Secret) -> Option<issuer::Secret> {
        self.0.get(&secret.number).map(|known| known.secret.clone())
    }

    /// The uses that the store does not know of yet.
    pub(super) fn uses(&self) -> Vec<(SecretNumber, Timestamp)> {
        let news = |(number, known): (&SecretNumber, &Known)| {
            let used = known.secret.last_used();
            used.filter(|used| known.noted.is_none_or(|noted| noted < *used)).map(|used| (*number, used))
        };
        self.0.iter().filter_map(news).collect()
    }

    /// The store knows of these now.
    pub(super) fn noted(&mut self, uses: &[(SecretNumber, Timestamp)]) {
        for (number, used) in uses {
            if let Some(known) = self.0.get_mut(number) {
                known.noted = Some(*used);
            }
        }
    }
}
