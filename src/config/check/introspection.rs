use std::time::Duration;

use super::{Surroundings, bounds::within, keys, outbound, rates, store};
use crate::config::{AskedIssuer, OutboundWay, SecretSource, problem::Problems, raw};

/// Whom to ask about tokens that say nothing themselves, and with which credentials.
pub(super) fn check(
    raw: raw::Introspection,
    way: OutboundWay,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Option<AskedIssuer> {
    let raw::Introspection { url, client_id, client_secret, cache, failures_per_address, rate } = raw;
    let rates = rates::questions(failures_per_address, rate, problems);
    let range = Duration::from_secs(1)..=Duration::from_secs(3600);
    let cap = within(cache, Duration::from_secs(60), range, "`cache` must be 1s to 1h", problems);
    let url = url.and_then(|at| outbound::server_url("url", &at, way.transport, problems));
    let client_secret = client_secret.and_then(|written| {
        let source = store::secret("client secret", &written, surroundings, problems)?;
        if let SecretSource::File(_) = &source {
            keys::read(&source, written.place, problems)?;
        }
        Some(source)
    });
    let client_id = client_id?.value;
    Some(AskedIssuer { url: url?, client_id, client_secret: client_secret?, cap, rates, way })
}
