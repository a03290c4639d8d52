//! The configuration as written: every key, its value and its place, no meaning yet.

use std::time::Duration;

use super::{
    Rate,
    cursor::{At, Named, Reader, Written, list, named, number, section, some, some_texts, text, texts, truth},
    problem::{Place, Problems},
    units::{Schedule, duration, rate, schedule, size},
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
    pub(super) trust: Option<Place>,
    pub(super) upstreams: Option<At<Vec<Named<Upstream>>>>,
    pub(super) threads: Written<u64>,
    pub(super) routes: Option<At<Vec<At<Route>>>>,
    pub(super) cache: Written<Cache>,
    pub(super) limits: Written<Limits>,
    pub(super) scopes: Written<Vec<At<Scope>>>,
    pub(super) reload: Option<Place>,
    pub(super) trusted_proxies: Option<Place>,
}

/// One entry of `listen`.
#[derive(Debug)]
pub(super) struct Listen {
    pub(super) address: Option<At<String>>,
    pub(super) tls: Option<Place>,
}

/// `admin`
#[derive(Debug, Default)]
pub(super) struct Admin {
    pub(super) address: Written<String>,
    pub(super) token: Written<String>,
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

/// One entry of `upstreams`.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) servers: Option<At<Vec<At<String>>>>,
    pub(super) timeouts: Written<Timeouts>,
    pub(super) health: Option<Place>,
}

/// `timeouts` of an upstream.
#[derive(Debug, Default)]
pub(super) struct Timeouts {
    pub(super) connect: Written<Duration>,
    pub(super) read: Written<Duration>,
    pub(super) idle: Written<Duration>,
}

/// One entry of `routes`.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) pattern: Option<At<String>>,
    pub(super) id: Written<String>,
    pub(super) scope: Written<Vec<At<String>>>,
    pub(super) public: Written<bool>,
    pub(super) enforce: Written<String>,
    pub(super) application_id: Written<ApplicationId>,
    pub(super) upstream: Written<String>,
    pub(super) forward_token: Written<bool>,
    pub(super) cors: Option<Place>,
    pub(super) session_token: Written<SessionToken>,
}

/// `application_id` of a route.
#[derive(Debug, Default)]
pub(super) struct ApplicationId {
    pub(super) path: Written<String>,
    pub(super) query: Written<String>,
    pub(super) header: Written<String>,
    pub(super) body: Written<String>,
}

/// `session_token` of a route.
#[derive(Debug)]
pub(super) struct SessionToken {
    pub(super) application_id: Option<At<String>>,
    pub(super) workflow_id: Option<At<String>>,
    pub(super) redirect_url: Option<At<String>>,
    pub(super) into: Option<At<String>>,
}

/// One entry of `scopes`.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) name: Option<At<String>>,
    pub(super) implies: Written<Vec<At<String>>>,
    pub(super) required_claims: Written<Vec<At<String>>>,
    pub(super) bound_to: Written<String>,
}

/// `cache`
#[derive(Debug, Default)]
pub(super) struct Cache {
    pub(super) entries: Written<u64>,
    pub(super) memory: Written<u64>,
    pub(super) negative: Written<Negative>,
}

/// `negative` of the cache.
#[derive(Debug, Default)]
pub(super) struct Negative {
    pub(super) entries: Written<u64>,
    pub(super) ttl: Written<Duration>,
}

/// `limits`
#[derive(Debug, Default)]
pub(super) struct Limits {
    pub(super) headers: Written<u64>,
    pub(super) header_count: Written<u64>,
    pub(super) body: Written<u64>,
    pub(super) header_timeout: Written<Duration>,
    pub(super) body_timeout: Written<Duration>,
    pub(super) in_flight: Written<u64>,
    pub(super) token_failures: Written<TokenFailures>,
}

/// `token_failures` of the limits.
#[derive(Debug, Default)]
pub(super) struct TokenFailures {
    pub(super) per_client: Written<Rate>,
    pub(super) per_address: Written<Rate>,
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
            trust: fields.unsupported("trust", list(anything())),
            upstreams: fields.required("upstreams", named(Upstream::read)),
            threads: fields.optional("threads", number),
            routes: fields.required("routes", some(Route::read)),
            cache: fields.optional("cache", Cache::read),
            limits: fields.optional("limits", Limits::read),
            scopes: fields.optional("scopes", list(Scope::read)),
            reload: fields.unsupported("reload", text),
            trusted_proxies: fields.unsupported("trusted_proxies", texts),
        })
    }
}

impl Listen {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            address: fields.required("address", text),
            tls: fields.unsupported("tls", tls),
        })
    }
}

impl Admin {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            address: fields.optional("address", text),
            token: fields.optional("token", text),
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

impl Upstream {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            servers: fields.required("servers", some(text)),
            timeouts: fields.optional("timeouts", Timeouts::read),
            health: fields.unsupported("health", health),
        })
    }
}

impl Timeouts {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            connect: fields.optional("connect", duration),
            read: fields.optional("read", duration),
            idle: fields.optional("idle", duration),
        })
    }
}

impl Route {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            pattern: fields.required("match", text),
            id: fields.optional("id", text),
            scope: fields.optional("scope", some_texts),
            public: fields.optional("public", truth),
            enforce: fields.optional("enforce", text),
            application_id: fields.optional("application_id", ApplicationId::read),
            upstream: fields.optional("upstream", text),
            forward_token: fields.optional("forward_token", truth),
            cors: fields.unsupported("cors", anything()),
            session_token: fields.optional("session_token", SessionToken::read),
        })
    }
}

impl ApplicationId {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            path: fields.optional("path", text),
            query: fields.optional("query", text),
            header: fields.optional("header", text),
            body: fields.optional("body", text),
        })
    }
}

impl SessionToken {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            application_id: fields.required("application_id", text),
            workflow_id: fields.required("workflow_id", text),
            redirect_url: fields.required("redirect_url", text),
            into: fields.required("into", text),
        })
    }
}

impl Scope {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            name: fields.required("name", text),
            implies: fields.optional("implies", texts),
            required_claims: fields.optional("required_claims", texts),
            bound_to: fields.optional("bound_to", text),
        })
    }
}

impl Cache {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            entries: fields.optional("entries", number),
            memory: fields.optional("memory", size),
            negative: fields.optional("negative", Negative::read),
        })
    }
}

impl Negative {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            entries: fields.optional("entries", number),
            ttl: fields.optional("ttl", duration),
        })
    }
}

impl Limits {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            headers: fields.optional("headers", size),
            header_count: fields.optional("header_count", number),
            body: fields.optional("body", size),
            header_timeout: fields.optional("header_timeout", duration),
            body_timeout: fields.optional("body_timeout", duration),
            in_flight: fields.optional("in_flight", number),
            token_failures: fields.optional("token_failures", TokenFailures::read),
        })
    }
}

impl TokenFailures {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            per_client: fields.optional("per_client", rate),
            per_address: fields.optional("per_address", rate),
        })
    }
}

// What later releases bring is read here for misspelt keys and wrong types, and refused by the check.

fn tls(node: &Node, problems: &mut Problems) -> Option<()> {
    section(node, problems, |fields| {
        fields.required("certificate", text);
        fields.required("key", text);
    })
}

fn health(node: &Node, problems: &mut Problems) -> Option<()> {
    section(node, problems, |fields| {
        fields.required("path", text);
        fields.optional("every", duration);
    })
}

/// What may stand there is for that release to say.
fn anything() -> impl Reader<()> {
    |_: &Node, _: &mut Problems| Some(())
}
