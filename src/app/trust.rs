//! From the issuers of the configuration to what verifies their tokens, and the thread that keeps their keys fresh.

use std::{sync::Arc, thread, time::Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use tokio::runtime::Builder;

use super::AppError;
use crate::{
    cache::TokenCache,
    config::{self, KeySetPlace, OutboundWay, RemoteKeys, SecretSource, Transport, TrustedKeys},
    token::VerifyingKey,
    trust::{Fetch, FetchError, Introspection, Keys, Outbound, Schedule, Trust, TrustedIssuer},
};

pub(super) fn trusted_issuers(issuers: Vec<config::TrustedIssuer>) -> Result<Vec<TrustedIssuer>, AppError> {
    issuers.into_iter().map(trusted_issuer).collect()
}

fn trusted_issuer(issuer: config::TrustedIssuer) -> Result<TrustedIssuer, AppError> {
    let config::TrustedIssuer { names, rules, keys } = issuer;
    let name = names.as_str().to_owned();
    let unusable = |problem: String| AppError::Secret { issuer: name.clone(), problem };
    let read = |source: &SecretSource| source.read().map_err(|error| unusable(error.to_string()));
    let keys = match keys {
        TrustedKeys::Fixed(keys) => Keys::Fixed(keys),
        TrustedKeys::Shared(source, algorithms) => {
            let secret = read(&source)?;
            let keys = algorithms.into_iter().map(|algorithm| VerifyingKey::shared(algorithm, &secret));
            Keys::Fixed(keys.collect::<Result<_, _>>().map_err(|error| unusable(error.to_string()))?)
        }
        TrustedKeys::Followed(RemoteKeys { place, algorithms, refresh, stale, way }) => {
            let outbound = || outbound(&name, &way);
            let fetch = match place {
                KeySetPlace::Url(url) => Fetch::At(outbound()?, url),
                KeySetPlace::Discovered(url) => Fetch::Discovered { outbound: outbound()?, name: name.clone(), url },
                KeySetPlace::File(path) => Fetch::File(path),
            };
            Keys::Followed(fetch, algorithms, Schedule { refresh, stale })
        }
        TrustedKeys::Asked(config::AskedIssuer { url, client_id, client_secret, cap, rates, way }) => {
            let outbound = outbound(&name, &way)?;
            let authorization = basic(&client_id, &read(&client_secret)?);
            Keys::Asked(Introspection { outbound, url, authorization, cap: cap.as_secs(), rates, start: now() })
        }
    };
    Ok(TrustedIssuer { names, rules, keys })
}

/// What questions to the servers of this issuer go through.
fn outbound(issuer: &str, way: &OutboundWay) -> Result<Outbound, FetchError> {
    if way.transport == Transport::InsecureHttp {
        tracing::warn!(
            issuer,
            "`insecure_http: true`: its servers may be asked without TLS, and whoever is on the way decides whose tokens count"
        );
    }
    Outbound::new(way.authorities.as_deref(), way.proxy.as_ref())
}

#[expect(clippy::disallowed_methods, reason = "questions are counted from the start of the process")]
fn now() -> Instant {
    Instant::now()
}

/// RFC 6749 section 2.3.1: both halves are form-encoded first.
fn basic(id: &str, secret: &[u8]) -> HeaderValue {
    let encode = |text: &[u8]| url::form_urlencoded::byte_serialize(text).collect::<String>();
    let credentials = STANDARD.encode(format!("{}:{}", encode(id.as_bytes()), encode(secret)));
    let mut value = HeaderValue::try_from(format!("Basic {credentials}")).expect("base64 can stand in a header");
    value.set_sensitive(true);
    value
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
