//! The configuration as written: every key, its value and its place, no meaning yet. One file per group of sections;
//! nothing here is seen outside `config`.

mod cors;
mod limits;
mod listen;
mod route;
mod trust;
mod upstream;

use std::time::Duration;

pub(super) use cors::{Cors, RouteCors};
pub(super) use limits::{Cache, Limits, Negative, TokenRates};
pub(super) use listen::{Admin, Listen, ListenTls, Pair};
pub(super) use route::{ApplicationId, Route, RouteTimeouts, Scope, SessionToken};
pub(super) use trust::{Claims, Introspection, Trust};
pub(super) use upstream::{Eject, Health, Pool, Server, Timeouts, Tls, Upstream};

use super::{
    cursor::{At, Named, Written, list, named, number, section, some, some_texts, text, texts, truth},
    problem::{Place, Problems},
    units::{Schedule, duration, schedule},
    yaml::Node,
};

/// The whole file.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) listen: Written<Vec<At<Listen>>>,
    pub(super) admin: Written<Admin>,
    pub(super) issuer: Written<Issuer>,
    pub(super) store: Written<String>,
    pub(super) store_key: Written<Vec<At<String>>>,
    pub(super) trust: Written<Vec<At<Trust>>>,
    pub(super) upstreams: Option<At<Vec<Named<Upstream>>>>,
    pub(super) threads: Written<u64>,
    pub(super) routes: Option<At<Vec<At<Route>>>>,
    pub(super) methods: Written<Vec<At<String>>>,
    pub(super) cors: Written<Vec<Named<Cors>>>,
    pub(super) cache: Written<Cache>,
    pub(super) limits: Written<Limits>,
    pub(super) scopes: Written<Vec<At<Scope>>>,
    pub(super) reload: Option<Place>,
    pub(super) trusted_proxies: Written<Vec<At<String>>>,
}

/// `issuer`
#[derive(Debug, Default)]
pub(super) struct Issuer {
    pub(super) url: Written<String>,
    pub(super) audience: Written<String>,
    pub(super) algorithm: Written<String>,
    pub(super) lifetime: Written<Duration>,
    pub(super) rotate_every: Written<Schedule>,
    pub(super) clock_skew: Written<Duration>,
    pub(super) client_secret_post: Written<bool>,
}

impl Config {
    /// Reads a document. `None` only if it is no mapping: a problem below leaves the rest to be checked.
    pub(super) fn read(document: &Node, problems: &mut Problems) -> Option<Self> {
        section(document, problems, |fields| Self {
            listen: fields.optional("listen", some(Listen::read)),
            admin: fields.optional("admin", Admin::read),
            issuer: fields.optional("issuer", Issuer::read),
            store: fields.optional("store", text),
            store_key: fields.optional("store_key", some_texts),
            trust: fields.optional("trust", list(Trust::read)),
            upstreams: fields.required("upstreams", named(Upstream::read)),
            threads: fields.optional("threads", number),
            routes: fields.required("routes", some(Route::read)),
            methods: fields.optional("methods", texts),
            cors: fields.optional("cors", named(Cors::read)),
            cache: fields.optional("cache", Cache::read),
            limits: fields.optional("limits", Limits::read),
            scopes: fields.optional("scopes", list(Scope::read)),
            reload: fields.unsupported("reload", text),
            trusted_proxies: fields.optional("trusted_proxies", texts),
        })
    }
}

impl Issuer {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            url: fields.optional("url", text),
            audience: fields.optional("audience", text),
            algorithm: fields.optional("algorithm", text),
            lifetime: fields.optional("lifetime", duration),
            rotate_every: fields.optional("rotate_every", schedule),
            clock_skew: fields.optional("clock_skew", duration),
            client_secret_post: fields.optional("client_secret_post", truth),
        })
    }
}
