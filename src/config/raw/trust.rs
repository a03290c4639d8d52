use std::time::Duration;

use crate::{
    config::{
        cursor::{At, Written, section, some_texts, text, truth},
        problem::Problems,
        units::{duration, rate},
        yaml::Node,
    },
    limit::Rate,
};

/// One entry of `trust`.
#[derive(Debug)]
pub struct Trust {
    pub issuer: Option<At<String>>,
    pub tenants: Written<Vec<At<String>>>,
    pub key_set: Written<String>,
    pub discovery: Written<bool>,
    pub pem: Written<Vec<At<String>>>,
    pub secret: Written<String>,
    pub introspection: Written<Introspection>,
    pub algorithms: Written<Vec<At<String>>>,
    pub audience: Written<Vec<At<String>>>,
    pub scopes: Written<Vec<At<String>>>,
    pub claims: Written<Claims>,
    pub clock_skew: Written<Duration>,
    pub max_lifetime: Written<Duration>,
    pub ca: Written<String>,
    pub proxy: Written<String>,
    pub insecure_http: Written<bool>,
    pub refresh: Written<Duration>,
    pub stale: Written<Duration>,
}

/// `introspection` of an entry.
#[derive(Debug)]
pub struct Introspection {
    pub url: Option<At<String>>,
    pub client_id: Option<At<String>>,
    pub client_secret: Option<At<String>>,
    pub cache: Written<Duration>,
    pub failures_per_address: Written<Rate>,
    pub rate: Written<Rate>,
}

/// `claims` of an entry.
#[derive(Debug, Default)]
pub struct Claims {
    pub audience: Written<String>,
    pub customer: Written<String>,
    pub client: Written<String>,
    pub scope: Written<String>,
    pub application_id: Written<String>,
}

impl Trust {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            issuer: fields.required("issuer", text),
            tenants: fields.optional("tenants", some_texts),
            key_set: fields.optional("key_set", text),
            discovery: fields.optional("discovery", truth),
            pem: fields.optional("pem", some_texts),
            secret: fields.optional("secret", text),
            introspection: fields.optional("introspection", Introspection::read),
            algorithms: fields.optional("algorithms", some_texts),
            audience: fields.optional("audience", some_texts),
            scopes: fields.optional("scopes", some_texts),
            claims: fields.optional("claims", Claims::read),
            clock_skew: fields.optional("clock_skew", duration),
            max_lifetime: fields.optional("max_lifetime", duration),
            ca: fields.optional("ca", text),
            proxy: fields.optional("proxy", text),
            insecure_http: fields.optional("insecure_http", truth),
            refresh: fields.optional("refresh", duration),
            stale: fields.optional("stale", duration),
        })
    }
}

impl Introspection {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            url: fields.required("url", text),
            client_id: fields.required("client_id", text),
            client_secret: fields.required("client_secret", text),
            cache: fields.optional("cache", duration),
            failures_per_address: fields.optional("failures_per_address", rate),
            rate: fields.optional("rate", rate),
        })
    }
}

impl Claims {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            audience: fields.optional("audience", text),
            customer: fields.optional("customer", text),
            client: fields.optional("client", text),
            scope: fields.optional("scope", text),
            application_id: fields.optional("application_id", text),
        })
    }
}
