use std::sync::Arc;

use http::HeaderName;

use super::{cors::Cors, json::JsonPointer, letters::LetterCase, mint::Mint, path::Delimiters, stream::Stream};
use crate::{domain::ScopeSet, limit::Rate};

/// A route's place in the configuration file, counted from 0: the index of its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(usize);

impl RouteId {
    /// The route at `place`.
    pub const fn new(place: usize) -> Self {
        Self(place)
    }

    /// The place, counted from 0.
    pub const fn place(self) -> usize {
        self.0
    }
}

/// An upstream's place in the configuration, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamId(usize);

impl UpstreamId {
    /// The upstream at `place`.
    pub const fn new(place: usize) -> Self {
        Self(place)
    }

    /// The place, counted from 0.
    pub const fn place(self) -> usize {
        self.0
    }
}

/// What a route asks of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: no token is looked at.
    Public,
    /// A token with one of these scopes.
    AnyOf(ScopeSet),
}

/// What becomes of a request that would be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// It is refused.
    Enforce,
    /// It passes as an anonymous one; the refusal is counted and logged.
    Report,
}

/// Whether the upstream sees the bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenForwarding {
    /// `Authorization` is removed.
    Remove,
    /// `Authorization` is forwarded.
    Forward,
}

/// Whether a request may be sent once more after its connection broke, not knowing how far the server came with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repetition {
    /// If its method says so (RFC 9110 section 9.2.2).
    ByMethod,
    /// Always: the operator knows that twice does what once does.
    Harmless,
}

/// What becomes of a request whose path holds `%25`, `%3F` or `%23`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodedDelimiters {
    /// It is refused.
    Refused,
    /// It passes: the operator knows that the servers decode once, and only after they have found the query.
    Allowed,
}

/// Where a request names its application. Every place that is present must agree with the token.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ApplicationPlaces {
    /// The path segment at this place, counted from 0.
    pub path: Option<usize>,
    /// This query parameter.
    pub query: Option<Box<str>>,
    /// This header.
    pub header: Option<HeaderName>,
    /// This member of the JSON body.
    pub body: Option<JsonPointer>,
}

/// One entry of `routes`.
#[derive(Debug)]
pub struct Route {
    /// Its place in the file.
    pub id: RouteId,
    /// Its name in metrics and logs.
    pub name: Arc<str>,
    /// What it asks of a caller.
    pub access: Access,
    /// Whether refusals are carried out.
    pub enforcement: Enforcement,
    /// Where requests name their application.
    pub application: ApplicationPlaces,
    /// Whether the token goes upstream.
    pub token: TokenForwarding,
    /// The session token that goes into replies, if any does.
    pub mint: Option<Mint>,
    /// How long its exchanges may last, and what they may become.
    pub stream: Stream,
    /// Which pages of other origins may use it; `None`: of that nothing is said.
    pub cors: Option<Arc<Cors>>,
    /// How often one caller may use it; `None`: as often as they like.
    pub rate: Option<Rate>,
    /// Who answers.
    pub upstream: UpstreamId,
    /// Whether requests may reach the upstream twice.
    pub repetition: Repetition,
    /// Whether paths may hold encoded delimiters.
    pub encoded: EncodedDelimiters,
    /// Whether the servers of the upstream tell letters from their other case.
    pub letter_case: LetterCase,
}

impl Route {
    /// Whether its callers are known by their tokens.
    pub fn asks_for_a_token(&self) -> bool {
        self.access != Access::Public
    }

    /// Whether a path with these delimiters may be meant.
    pub fn takes(&self, delimiters: Delimiters) -> bool {
        delimiters == Delimiters::Plain || self.encoded == EncodedDelimiters::Allowed
    }

    /// Whether every request that this route lets in may pass by `other` too, and the other way round.
    pub(super) fn asks_the_same_as(&self, other: &Self) -> bool {
        self.access == other.access && self.enforcement == other.enforcement && self.application == other.application
    }
}

/// What a server may take a path for whose spelling is another one's.
#[derive(Clone, Copy, Debug)]
pub enum Twin<'a> {
    /// A path of this route, which is more specific than the one whose pattern means the path as it is spelled.
    Route(&'a Arc<Route>),
    /// One of the gateway's own endpoints.
    Endpoint,
}
