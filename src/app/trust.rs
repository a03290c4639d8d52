//! From the issuers of the configuration to what verifies their tokens, and the thread that keeps their keys fresh.

use std::{sync::Arc, thread};

use tokio::runtime::Builder;

use super::AppError;
use crate::{
    cache::TokenCache,
    config::{self, KeySetPlace, RemoteKeys, TrustedKeys},
    trust::{Fetch, Introspection, Issuer, Keys, Outbound, Schedule, Trust, TrustedIssuer},
};

pub(super) fn trusted_issuers(issuers: Vec<config::TrustedIssuer>) -> Result<Vec<TrustedIssuer>, AppError> {
    issuers.into_iter().map(trusted_issuer).collect()
}

fn trusted_issuer(issuer: config::TrustedIssuer) -> Result<TrustedIssuer, AppError> {
    let config::TrustedIssuer { name, rules, keys } = issuer;
    let keys = match keys {
        TrustedKeys::Fixed(keys) => Keys::Fixed(keys),
        TrustedKeys::Followed(RemoteKeys { place, algorithms, refresh, stale, authorities }) => {
            let outbound = || Outbound::new(authorities.as_deref());
            let fetch = match place {
                KeySetPlace::Url(url) => Fetch::At(outbound()?, url),
                KeySetPlace::Discovered(url) => Fetch::Discovered(outbound()?, Issuer { name: name.clone(), url }),
                KeySetPlace::File(path) => Fetch::File(path),
            };
            Keys::Followed(fetch, algorithms, Schedule { refresh, stale })
        }
        TrustedKeys::Asked(config::AskedIssuer { url, authorization, cap, authorities }) => {
            let outbound = Outbound::new(authorities.as_deref())?;
            Keys::Asked(Introspection { outbound, url, authorization, cap: cap.as_secs() })
        }
    };
    Ok(TrustedIssuer { name, rules, keys })
}

/// Fetches every key set once, and from then on keeps them fresh on a thread of its own. What cannot be had now is told to
/// the log and tried again.
pub(super) fn follow_keys(trust: Arc<Trust>, cache: Arc<TokenCache>) -> Result<(), AppError> {
    if trust.sources().next().is_none() {
        return Ok(());
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(trust.fetch_keys());
    // A token that no known key had signed may be good by the new ones.
    let follow = move || runtime.block_on(trust.follow_keys(&|| cache.forget_refusals()));
    thread::Builder::new().name("keys".to_owned()).spawn(follow)?;
    Ok(())
}
