use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use http::HeaderValue;

use crate::{
    policy::LetterCase,
    tls::{ClientCredentials, ClientFiles},
};

/// A named group of servers.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its name, as routes and metrics say it.
    pub name: Arc<str>,
    /// Its servers, at least one.
    pub servers: Vec<UpstreamServer>,
    /// Which of them gets the next request.
    pub balance: Balance,
    /// How long to wait for them.
    pub timeouts: Timeouts,
    /// How they are looked after; `None`: not at all.
    pub health: Option<Health>,
    /// When one that fails requests is left out; `None`: never.
    pub eject: Option<Eject>,
    /// How long a server that returns takes to get its whole share; zero: none.
    pub slow_start: Duration,
    /// Requests that one server is given at one moment; `None`: any number.
    pub max_requests: Option<usize>,
    /// How often host names are looked up again.
    pub resolve_every: Duration,
    /// Idle connections kept; `None`: as many as each worker thread keeps by itself.
    pub idle_connections: Option<usize>,
    /// What is spoken with the servers.
    pub protocol: Protocol,
    /// What the servers are called in `Host` and `:authority`.
    pub host: HostHeader,
    /// Whether they tell letters in a path from their other case.
    pub letter_case: LetterCase,
    /// How the servers prove who they are, and we who we are; `None`: plain text.
    pub tls: Option<UpstreamTls>,
}

/// One entry of `servers`.
#[derive(Debug, Clone)]
pub struct UpstreamServer {
    /// As written: its name in metrics and logs.
    pub text: Arc<str>,
    /// Where it is.
    pub address: ServerAddress,
    /// Its share of the requests beside the others, 1 to 100.
    pub weight: u16,
    /// The name that its certificate must be for; empty without TLS.
    pub tls_name: String,
    /// What it is called in `Host`: that name, or where it is; with the port if it is not the usual one. `None` for a Unix
    /// socket that has no name.
    pub host: Option<HeaderValue>,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerAddress {
    /// At one address.
    Fixed(SocketAddr),
    /// Wherever its name leads to; never nowhere.
    Named {
        /// `host:port`.
        name: Arc<str>,
        /// What the name led to when the file was read.
        found: Vec<SocketAddr>,
    },
    /// At a Unix socket.
    Unix(PathBuf),
}

/// Which server gets the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// Each in turn, as often as its weight says.
    RoundRobin,
    /// The one with the fewest requests in flight for its weight.
    LeastConnections,
    /// Always the same one for one client, as long as it is there.
    ClientHash,
}

/// How long to wait for an upstream server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, with its TLS handshake.
    pub connect: Duration,
    /// For the next bytes of a reply.
    pub read: Duration,
    /// How long a pooled connection may stay unused.
    pub idle: Duration,
    /// For the whole exchange; `None`: for ever.
    pub total: Option<Duration>,
}

/// How servers are looked after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What is asked of a server.
    pub check: HealthCheck,
    /// How often.
    pub every: Duration,
    /// How long it may take.
    pub timeout: Duration,
    /// Checks in a row that a server must pass to return.
    pub healthy_after: u32,
    /// Checks in a row that a server must fail to be left out.
    pub unhealthy_after: u32,
}

/// What is asked of a server to see whether it is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthCheck {
    /// To take a connection.
    Connect,
    /// To answer `GET path` with this status.
    Get {
        /// The path.
        path: String,
        /// The status.
        expect: u16,
    },
}

/// When a server that fails requests is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eject {
    /// After so many failures in a row.
    pub failures: u32,
    /// For so long; then one request tries it.
    pub lasting: Duration,
}

/// What is spoken with the servers of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 over TLS.
    H2,
    /// HTTP/2 in plain text, without negotiation.
    H2c,
}

/// What servers are called in `Host` and `:authority`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostHeader {
    /// What the client called us.
    Client,
    /// Each by its own name.
    Server,
    /// All of them this.
    Named(HeaderValue),
}

/// TLS towards the servers of a group.
#[derive(Debug, Clone)]
pub struct UpstreamTls {
    /// Who may vouch for a server, and who we are.
    pub files: ClientFiles,
    /// What stands there.
    pub credentials: ClientCredentials,
    /// Whether servers must prove who they are.
    pub verify: ServerProof,
}

/// Whether a server must prove who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerProof {
    /// By a certificate for its name that an authority vouches for.
    Required,
    /// Anybody may answer.
    Waived,
}

/// The addresses of a name that are connected to: the IPv4 ones if there are any. A name such as `localhost` often has
/// an IPv6 address that nobody listens on.
pub fn usable_addresses(mut found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if found.iter().any(SocketAddr::is_ipv4) {
        found.retain(SocketAddr::is_ipv4);
    }
    found.sort_unstable();
    found.dedup();
    found
}
