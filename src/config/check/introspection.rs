use std::time::Duration;

use super::{Surroundings, bounds::within, keys, store};
use crate::config::{AskedIssuer, SecretSource, problem::Problems, raw};

/// Whom to ask about tokens that say nothing themselves, and with which credentials.
pub(super) fn check(
    raw: raw::Introspection,
    authorities: Option<Vec<u8>>,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Option<AskedIssuer> {
    let raw::Introspection { url, client_id, client_secret, cache } = raw;
    let range = Duration::from_secs(1)..=Duration::from_secs(3600);
    let cap = within(cache, Duration::from_secs(60), range, "`cache` must be 1s to 1h", problems);
    let url = url.and_then(|at| keys::server_url("url", &at.value, at.place, problems));
    let client_secret = client_secret.and_then(|written| {
        let source = store::secret("client secret", &written, surroundings, problems)?;
        if let SecretSource::File(_) = &source {
            keys::read(&source, written.place, problems)?;
        }
        Some(source)
    });
    let client_id = client_id?.value;
    Some(AskedIssuer { url: url?, client_id, client_secret: client_secret?, cap, authorities })
}
