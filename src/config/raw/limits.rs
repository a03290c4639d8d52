use std::time::Duration;

use crate::{
    config::{
        cursor::{Written, number, section},
        problem::Problems,
        units::{duration, rate, size},
        yaml::Node,
    },
    limit::Rate,
};

/// `cache`
#[derive(Debug, Default)]
pub struct Cache {
    pub entries: Written<u64>,
    pub memory: Written<u64>,
    pub negative: Written<Negative>,
}

/// `negative` of the cache.
#[derive(Debug, Default)]
pub struct Negative {
    pub entries: Written<u64>,
    pub ttl: Written<Duration>,
}

/// `limits`
#[derive(Debug, Default)]
pub struct Limits {
    pub headers: Written<u64>,
    pub header_count: Written<u64>,
    pub token: Written<u64>,
    pub body: Written<u64>,
    pub header_timeout: Written<Duration>,
    pub body_timeout: Written<Duration>,
    pub send_timeout: Written<Duration>,
    pub connections: Written<u64>,
    pub connections_per_address: Written<u64>,
    pub in_flight: Written<u64>,
    pub in_flight_per_address: Written<u64>,
    pub reply_buffer: Written<u64>,
    pub rate: Written<Rate>,
    pub burst: Written<u64>,
    pub token_failures: Written<TokenRates>,
    pub token_requests: Written<TokenRates>,
}

/// `token_failures` and `token_requests` of the limits.
#[derive(Debug, Default)]
pub struct TokenRates {
    pub per_client: Written<Rate>,
    pub per_address: Written<Rate>,
}

impl Cache {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            entries: fields.optional("entries", number),
            memory: fields.optional("memory", size),
            negative: fields.optional("negative", Negative::read),
        })
    }
}

impl Negative {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            entries: fields.optional("entries", number),
            ttl: fields.optional("ttl", duration),
        })
    }
}

impl Limits {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            headers: fields.optional("headers", size),
            header_count: fields.optional("header_count", number),
            token: fields.optional("token", size),
            body: fields.optional("body", size),
            header_timeout: fields.optional("header_timeout", duration),
            body_timeout: fields.optional("body_timeout", duration),
            send_timeout: fields.optional("send_timeout", duration),
            connections: fields.optional("connections", number),
            connections_per_address: fields.optional("connections_per_address", number),
            in_flight: fields.optional("in_flight", number),
            in_flight_per_address: fields.optional("in_flight_per_address", number),
            reply_buffer: fields.optional("reply_buffer", size),
            rate: fields.optional("rate", rate),
            burst: fields.optional("burst", number),
            token_failures: fields.optional("token_failures", TokenRates::read),
            token_requests: fields.optional("token_requests", TokenRates::read),
        })
    }
}

impl TokenRates {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            per_client: fields.optional("per_client", rate),
            per_address: fields.optional("per_address", rate),
        })
    }
}
