//! Metrics and the access log. Both read one value per request, the [`Outcome`]; nobody below knows them.

mod access_log;
mod diagnostics;
mod line;
mod metrics;
mod seldom;
mod sink;
mod standard;
mod writer;

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

pub use access_log::AccessLog;
pub use diagnostics::log_to_stderr;
pub use metrics::{Bound, Handshake, Metrics, Names, Readings, UpstreamNames};
pub use seldom::Seldom;
pub use standard::{diagnostics_lost, flush_logs, say_last};

use crate::{
    cache::Lookup,
    domain::{Principal, Reason},
    issuer::{Endpoint, TokenLimit},
    policy::{RouteId, Unminted, UpstreamId},
};

/// What a request was about: the `route` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Nothing the gateway knows.
    None,
    /// One of its own endpoints.
    Endpoint(Endpoint),
    /// One of the configured routes.
    Route(RouteId),
}

/// What was decided about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may pass.
    Admitted,
    /// It may not.
    Refused(Reason),
    /// It might not have, but its route only reports.
    Reported(Reason),
}

/// A limit that is used up: the `limit` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Requests of one client over all routes.
    Client,
    /// Requests of one caller on one route.
    Route,
    /// Requests being served at one moment.
    InFlight,
    /// Requests of one address being served at one moment.
    InFlightPerAddress,
    /// Connections open at one moment.
    Connections,
    /// Connections of one address open at one moment.
    ConnectionsPerAddress,
    /// What waits for clients that do not take their replies.
    ReplyBuffer,
    /// What comes to the token endpoint.
    Token(TokenLimit),
}

impl Limit {
    /// Every limit, for metrics that start at zero.
    pub const ALL: [Self; 11] = [
        Self::Client,
        Self::Route,
        Self::InFlight,
        Self::InFlightPerAddress,
        Self::Connections,
        Self::ConnectionsPerAddress,
        Self::ReplyBuffer,
        Self::Token(TokenLimit::Failures),
        Self::Token(TokenLimit::Client),
        Self::Token(TokenLimit::Address),
        Self::Token(TokenLimit::Checks),
    ];

    /// Its name in metrics and replies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Route => "route",
            Self::InFlight => "in_flight",
            Self::InFlightPerAddress => "in_flight_per_address",
            Self::Connections => "connections",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::ReplyBuffer => "reply_buffer",
            Self::Token(limit) => limit.name(),
        }
    }
}

/// How one request went, from its last byte.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// When it arrived.
    pub arrived: SystemTime,
    /// The name it goes by in logs.
    pub request_id: &'a str,
    /// What it was about.
    pub subject: Subject,
    /// Its method, or something that is none.
    pub method: &'a str,
    /// Its path without the query.
    pub path: &'a str,
    /// Who sent it.
    pub address: IpAddr,
    /// The status sent; 0 if the client was gone before.
    pub status: u16,
    /// What was decided.
    pub decision: Decision,
    /// Who it was, if that is known.
    pub principal: Option<&'a Principal>,
    /// Whether its token was known; `None` if none was looked up.
    pub cache: Option<Lookup>,
    /// The upstream that was asked.
    pub upstream: Option<UpstreamId>,
    /// What became of the session token for its reply; `None` if its route mints none.
    pub minted: Option<Result<(), Unminted>>,
    /// From the last try upstream to the end of the reply.
    pub upstream_duration: Option<Duration>,
    /// From the end of the head to the end of the reply.
    pub duration: Duration,
    /// Bytes of the request body that were read.
    pub bytes_in: usize,
    /// Bytes of the reply body that were sent.
    pub bytes_out: usize,
}
