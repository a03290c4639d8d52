//! `gateway.yaml`: as written (`raw`, which cannot leave this folder), then checked ([`Config`]).
//!
//! [`load`] reports every problem of a file in one run, each with its line and column. What it returns
//! needs no further validation.

mod check;
mod cursor;
mod listener;
mod problem;
mod raw;
mod secret;
mod suggest;
mod units;
mod upstream;
mod yaml;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use url::Url;

pub use check::Resolve;
pub use listener::{Admin, Http2, ListenAddress, Listener, ProxyHeader};
pub use problem::{Place, Problem, Problems};
pub use secret::{SecretSource, UnreadableSecret};
pub use units::duration_of;
pub use upstream::{
    Balance, Eject, Health, HealthCheck, HostHeader, Protocol, ServerAddress, ServerProof, Timeouts, Upstream,
    UpstreamServer, UpstreamTls, usable_addresses,
};

use crate::{
    domain::{Catalogue, Timestamp, TrustedPeers},
    limit::Rate,
    policy::{RouteTable, UpstreamId},
    store::PostgresAddress,
    token::{Algorithm, Expectations, IssuerNames, JwsAlgorithm, VerifyingKey},
    trust::QuestionRates,
};

/// A whole checked configuration.
#[derive(Debug)]
pub struct Config {
    /// The public listeners, at least one: own endpoints and the proxy.
    pub listen: Vec<Listener>,
    /// The admin listener.
    pub admin: Admin,
    /// Our own issuer.
    pub issuer: Issuer,
    /// Other issuers whose tokens are accepted.
    pub trust: Vec<TrustedIssuer>,
    /// Where clients and keys are kept.
    pub store: StoreLocation,
    /// Where the key-encryption key comes from.
    pub store_key: StoreKey,
    /// Every upstream group; a route names one by its place here.
    pub upstreams: Vec<Upstream>,
    /// Worker threads of the public listener, at least 1.
    pub threads: usize,
    /// The routes, compiled for look-up.
    pub routes: RouteTable,
    /// Every scope known.
    pub catalogue: Arc<Catalogue>,
    /// Bounds of the token cache.
    pub cache: Cache,
    /// Bounds on what one caller may send.
    pub limits: Limits,
    /// Who may say where a request came from.
    pub trusted_proxies: TrustedPeers,
}

/// Our own issuer (RFC 8414 section 2).
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Its identifier, the `iss` of our tokens: an absolute http or https URL without query, fragment or final slash.
    pub url: String,
    /// The `aud` of our tokens.
    pub audience: String,
    /// What new tokens are signed with.
    pub algorithm: Algorithm,
    /// How long a token is valid.
    pub lifetime: Duration,
    /// How long a key signs before the next one takes its place; `None`: until somebody says so.
    pub rotate_every: Option<Duration>,
    /// How far clocks may differ, 0 to 300 s.
    pub clock_skew: Duration,
    /// Whether credentials may also stand in the form (RFC 6749 section 2.3.1).
    pub client_secret_post: SecretPost,
}

/// Whether `client_secret_post` is accepted beside HTTP Basic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretPost {
    /// Credentials in the form are accepted.
    Allowed,
    /// Only HTTP Basic is.
    Refused,
}

/// An issuer whose tokens are accepted beside our own.
#[derive(Debug)]
pub struct TrustedIssuer {
    /// Its `iss`, byte for byte, or those of its tenants.
    pub names: IssuerNames,
    /// What its tokens must say.
    pub rules: Expectations,
    /// What they are verified with.
    pub keys: TrustedKeys,
}

/// What another issuer's tokens are verified with.
#[derive(Debug)]
pub enum TrustedKeys {
    /// Keys that stood in files.
    Fixed(Vec<VerifyingKey>),
    /// A secret that is read when the gateway starts, for these algorithms.
    Shared(SecretSource, Vec<JwsAlgorithm>),
    /// A key set that somebody else publishes.
    Followed(RemoteKeys),
    /// The issuer's word.
    Asked(AskedIssuer),
}

/// A key set, where it is and how often it is read.
#[derive(Debug)]
pub struct RemoteKeys {
    /// Where it is.
    pub place: KeySetPlace,
    /// The algorithms that its keys may be used with.
    pub algorithms: Vec<JwsAlgorithm>,
    /// From one reading to the next.
    pub refresh: Duration,
    /// How long the last one counts while no other can be had.
    pub stale: Duration,
    /// How its server is reached.
    pub way: OutboundWay,
}

/// Where a key set is.
#[derive(Debug)]
pub enum KeySetPlace {
    /// At this address.
    Url(Url),
    /// Where the metadata of the issuer at this address says.
    Discovered(Url),
    /// In this file.
    File(PathBuf),
}

/// A server that is asked about tokens (RFC 7662).
#[derive(Debug)]
pub struct AskedIssuer {
    /// Its introspection endpoint.
    pub url: Url,
    /// Who we are there.
    pub client_id: String,
    /// Our secret there, read when the gateway starts.
    pub client_secret: SecretSource,
    /// How long an answer counts at most.
    pub cap: Duration,
    /// How often it is asked.
    pub rates: QuestionRates,
    /// How it is reached.
    pub way: OutboundWay,
}

/// How an entry of `trust` reaches the servers that it asks.
#[derive(Debug, Clone)]
pub struct OutboundWay {
    /// The only roots that a certificate may lead to (PEM); `None`: the system's.
    pub authorities: Option<Vec<u8>>,
    /// Who passes questions on (`CONNECT` for https); `None`: nobody, whatever the environment says.
    pub proxy: Option<Url>,
    /// What is spoken with servers on other machines.
    pub transport: Transport,
}

/// Whether a server on another machine may be asked without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// It may not.
    Tls,
    /// It may (`insecure_http: true`): whoever is on the way there decides whose tokens count.
    InsecureHttp,
}

/// Where clients, keys and revocations are kept.
#[derive(Debug, Clone)]
pub enum StoreLocation {
    /// A SQLite file; relative paths were resolved against the configuration file.
    Sqlite(PathBuf),
    /// A PostgreSQL database, whose address holds no password.
    Postgres(PostgresAddress),
    /// A PostgreSQL database whose address, with a password perhaps, is read from here when the store is opened.
    PostgresAt(SecretSource),
    /// Nothing survives the process.
    Memory,
}

/// Where the key-encryption key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreKey {
    /// Read from here, at least one: the first seals, the others open what was sealed before. A single `file:` that is
    /// missing beside a new SQLite store is made with mode 0600.
    Sources(Vec<SecretSource>),
    /// Fresh and forgotten at exit: for a store in memory.
    Ephemeral,
}

/// Bounds of the cache of verified tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cache {
    /// Most tokens kept.
    pub entries: u64,
    /// Most memory used for them, in bytes.
    pub memory: u64,
    /// Most refused tokens remembered.
    pub negative_entries: u64,
    /// How long a refused token is remembered.
    pub negative_ttl: Duration,
}

/// Bounds on what one caller may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Request line and header lines together, in bytes.
    pub headers: usize,
    /// Header lines.
    pub header_count: usize,
    /// A token, in bytes.
    pub token: usize,
    /// A request body that is streamed upstream, in bytes.
    pub body: u64,
    /// From the first byte of a request to the end of its header.
    pub header_timeout: Duration,
    /// Between two parts of a request body.
    pub body_timeout: Duration,
    /// For a client to take one part of a reply.
    pub send_timeout: Duration,
    /// Connections open at one moment.
    pub connections: usize,
    /// Those of one address, or one IPv6 network of 64 bits, that is no trusted peer; `None`: three quarters of all.
    pub connections_per_address: Option<usize>,
    /// Requests being served at one moment.
    pub in_flight: usize,
    /// Those of one such address; `None`: three quarters of all.
    pub in_flight_per_address: Option<usize>,
    /// Bytes of replies that wait for clients which do not take them.
    pub reply_buffer: usize,
    /// Requests of one client over all routes; `None`: as many as it likes.
    pub rate: Option<Rate>,
    /// Failed client authentications at the token endpoint.
    pub token_failures: TokenFailures,
    /// Token requests, whether they fail or not.
    pub token_requests: TokenRequests,
}

/// How often client authentication may fail before it answers 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenFailures {
    /// For one client ID from one address.
    pub per_client: Rate,
    /// From one address (IPv6: one /64) over all client IDs.
    pub per_address: Rate,
}

/// How often tokens may be asked for before it answers 429; `None`: as often as one likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenRequests {
    /// By one client that has authenticated.
    pub per_client: Option<Rate>,
    /// From one address (IPv6: one /64), whatever it comes to.
    pub per_address: Option<Rate>,
}

/// Reads and checks the file at `path`. Relative paths in it are resolved against its folder.
pub fn load(path: &Path) -> Result<Config, Problems> {
    let text = std::fs::read_to_string(path).map_err(|error| Problems::unreadable(path, &error))?;
    parse(&text, path)
}

/// Checks `text` as if it were the file at `path`. Host names of upstream servers are looked up, certificates read.
pub fn parse(text: &str, path: &Path) -> Result<Config, Problems> {
    parse_with(text, path, check::resolve)
}

/// The same with a resolver of the caller's own.
pub fn parse_with(text: &str, path: &Path, resolve: Resolve) -> Result<Config, Problems> {
    let mut problems = Problems::new(path);
    let folder = path.parent().unwrap_or(Path::new(""));
    let surroundings = check::Surroundings { folder, resolve, now: Timestamp::now() };
    let config = yaml::read(text, &mut problems)
        .and_then(|document| raw::Config::read(&document, &mut problems))
        .map(|raw| check::check(raw, &surroundings, &mut problems));
    problems.result(config)
}

impl Config {
    /// Every secret that must be there when the gateway starts, each with the key that names it. The store's key is not
    /// among them: it may be made.
    pub fn secrets(&self) -> impl Iterator<Item = (String, &SecretSource)> {
        let admin = self.admin.token.iter().map(|source| ("`admin.token`".to_owned(), source));
        let store = match &self.store {
            StoreLocation::PostgresAt(source) => Some(("`store`".to_owned(), source)),
            StoreLocation::Sqlite(_) | StoreLocation::Postgres(_) | StoreLocation::Memory => None,
        };
        let trust = self.trust.iter().filter_map(|issuer| match &issuer.keys {
            TrustedKeys::Shared(source, _) => Some((format!("the secret of {}", issuer.names.as_str()), source)),
            TrustedKeys::Asked(asked) => {
                Some((format!("our secret at {}", issuer.names.as_str()), &asked.client_secret))
            }
            TrustedKeys::Fixed(_) | TrustedKeys::Followed(_) => None,
        });
        admin.chain(store).chain(trust)
    }

    /// The upstream group that a route names.
    pub fn upstream(&self, id: UpstreamId) -> &Upstream {
        &self.upstreams[id.place()]
    }
}

#[cfg(test)]
mod tests;
