//! From what is written to what is meant. A broken value is told and replaced by something harmless, so that the
//! rest is checked too; the result is thrown away then.

mod application;
mod bounds;
mod cors;
mod introspection;
mod issuer;
mod issuers;
mod keys;
mod listen;
mod methods;
mod mint;
mod outbound;
mod proxies;
mod rates;
mod routes;
mod scopes;
mod servers;
mod store;
mod stream;
mod tls;
mod trust;
mod upstream_tls;
mod upstreams;

use std::path::Path;

use rustls::pki_types::{CertificateDer, pem::PemObject};

pub use servers::Resolve;
pub(super) use servers::resolve;

use super::{
    Config,
    cursor::Written,
    problem::{Place, Problems},
    raw,
};
use crate::domain::Timestamp;

/// What the meaning of a file depends on besides its text.
pub(super) struct Surroundings<'a> {
    /// The folder of the file.
    pub(super) folder: &'a Path,
    /// How host names become addresses.
    pub(super) resolve: Resolve,
    /// When certificates must be valid.
    pub(super) now: Timestamp,
}

/// Checks every value and every reference.
pub(super) fn check(raw: raw::Config, surroundings: &Surroundings, problems: &mut Problems) -> Config {
    let raw::Config {
        listen,
        admin,
        issuer,
        store,
        store_key,
        trust,
        upstreams,
        threads,
        routes,
        methods,
        cors,
        cache,
        limits,
        scopes,
        reload,
        trusted_proxies,
    } = raw;
    unsupported("reload", reload, problems);
    let trusted_proxies = proxies::check(trusted_proxies, problems);
    let listeners = listen::check(listen, admin, &trusted_proxies, surroundings, problems);
    let scopes = scopes::check(scopes, problems);
    let (names, upstreams) = upstreams::check(upstreams, surroundings, problems);
    let cors = cors::check(cors, problems);
    let methods = methods::check(methods, problems);
    let names =
        routes::Names { upstreams: &names, checked: &upstreams, scopes: &scopes, cors: &cors, methods: &methods };
    let routes = routes::check(routes, &names, problems);
    let store_place = match &store {
        Written::Is(at) => Some(at.place),
        Written::Absent | Written::Broken => None,
    };
    let store = store::check(&store, surroundings, problems);
    let issuer = issuer::check(issuer.or_empty(), &listeners.origin(), problems);
    let context = trust::Context { own: &issuer, scopes: &scopes, surroundings };
    Config {
        trust: trust::check(trust, &context, problems),
        issuer,
        store_key: store::check_key(store_key, &store, store_place, surroundings, problems),
        store,
        upstreams,
        threads: bounds::threads(threads, problems),
        routes,
        catalogue: scopes.catalogue,
        cache: bounds::cache(cache.or_empty(), problems),
        limits: bounds::limits(limits.or_empty(), problems),
        listen: listeners.public,
        admin: listeners.admin,
        trusted_proxies,
    }
}

/// Whether there is a certificate in `pem` (RFC 7468 section 5), and nothing that is none.
fn is_certificates(pem: &[u8]) -> bool {
    let sections: Result<Vec<CertificateDer<'_>>, _> = CertificateDer::pem_slice_iter(pem).collect();
    sections.is_ok_and(|certificates| !certificates.is_empty())
}

/// Refuses a key that a later release brings, so that nobody relies on it unheard.
fn unsupported(key: &str, place: Option<Place>, problems: &mut Problems) {
    if let Some(place) = place {
        problems.push(place, format!("`{key}` is not supported yet"));
    }
}
