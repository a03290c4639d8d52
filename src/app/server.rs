//! The listeners and everything behind them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize},
    },
    time::Instant,
};

use pingora::{
    server::{RunArgs, configuration::ServerConf},
    services::{background::background_service, listening::Service},
};

use super::{
    AppError,
    certificates::Certificates,
    descriptors::Shares,
    listeners::{Opened, announce_when_served, listen},
    revoker::StoreRevoker,
    shutdown::{GRACE_SECONDS, Signals, leave},
    state::State,
    store::{Followed, key_plan},
    trust::{follow_keys, trusted_issuers},
};
use crate::{
    admin::{Admin, AdminHosts, StoreHealth},
    cache::{Bounds, TokenCache},
    config::{self, Config},
    domain::{Catalogue, TrustedPeers},
    issuer::{Authentication, Issuer, Rates, Settings},
    policy::{HeadLimits, RouteTable},
    proxy::{
        ConnectionLimits, Connections, Gate, GateLimits, Gateway, Listeners, ReplyBuffer, RequestLimits, Shared,
        Throttle, front,
    },
    store::KeyPlan,
    telemetry::{AccessLog, Bound, Limit, Metrics, Names, UpstreamNames},
    token::Expectations,
    trust::Trust,
    upstream::{Keeper, Upstreams},
};

/// Idle connections to the servers of an upstream that each worker thread keeps, unless the upstream says how many.
const POOL_SIZE: usize = 512;
/// Connections to the admin listener at one moment.
const ADMIN_CONNECTIONS: usize = 256;
/// What may wait for those who ask there and do not read, in bytes.
const ADMIN_REPLIES: usize = 16 << 20;
/// Tries that pingora makes for one request; the gateway decides about each.
const MAX_TRIES: usize = 4;

/// The gateway, ready to listen.
pub(super) struct Server {
    listeners: Opened,
    admin_hosts: Arc<AdminHosts>,
    threads: usize,
    shares: Shares,
    gate: GateLimits,
    counts: Counts,
    gateway: Gateway,
    ready: Arc<AtomicBool>,
    plan: KeyPlan,
    health: Arc<StoreHealth>,
}

/// What is counted of clients.
struct Counts {
    connections: Arc<Connections>,
    open: Arc<AtomicUsize>,
    reply_buffer: Arc<AtomicUsize>,
}

/// What a change of the store is handed to.
pub(super) struct Targets {
    pub(super) plan: KeyPlan,
    pub(super) health: Arc<StoreHealth>,
    pub(super) catalogue: Arc<Catalogue>,
    issuer: Arc<Issuer>,
    pub(super) trust: Arc<Trust>,
    cache: Arc<TokenCache>,
    metrics: Arc<Metrics>,
}

impl Targets {
    pub(super) fn serve(&self, state: State) {
        let State { directory, standing, key_ends, settles_at: _, current_since: _ } = state;
        // Keys are trusted before anything is signed with them.
        self.trust.replace(standing);
        self.issuer.replace(directory);
        self.cache.forget_refusals();
        self.metrics.state_key_ends(key_ends.iter().map(|(kid, end)| (kid.as_str(), *end)));
    }
}

impl Server {
    pub(super) fn new(
        config: Config,
        listeners: Opened,
        state: State,
        revoker: StoreRevoker,
    ) -> Result<Self, AppError> {
        let plan = key_plan(&config);
        let Config {
            listen: _,
            admin,
            issuer,
            trust,
            store: _,
            store_key: _,
            upstreams,
            threads,
            routes,
            catalogue,
            cache,
            limits,
            trusted_proxies,
        } = config;
        let State { directory, standing, key_ends, settles_at: _, current_since: _ } = state;
        let pool = pool_size(&upstreams, threads);
        let metrics = Arc::new(Metrics::new(&names(&routes, &upstreams, &trust, &catalogue)));
        metrics.state_key_ends(key_ends.iter().map(|(kid, end)| (kid.as_str(), *end)));
        let rules = Expectations::own(issuer.audience.clone(), issuer.clock_skew.as_secs(), Arc::clone(&catalogue));
        let trust = Trust::new(issuer.url.clone(), rules, trusted_issuers(trust)?).with_longest_token(limits.token);
        trust.replace(standing);
        let start = began();
        let shares = shares(&limits, pool, threads);
        metrics.state_bounds(&stated(&limits, shares));
        let (open, reply_buffer) = (Arc::default(), Arc::default());
        let most = connection_limits(&limits, shares);
        let connections = Connections::new(most, trusted_proxies.clone(), Arc::clone(&open), Arc::clone(&metrics));
        let gateway = Gateway {
            throttle: Throttle::new(limits.rate, &routes, start),
            routes,
            trust: Arc::new(trust),
            cache: Arc::new(TokenCache::new(bounds(cache))),
            issuer: Arc::new(Issuer::new(settings(issuer), Arc::clone(&catalogue), rates(limits), directory, start)),
            revoker: Arc::new(revoker),
            catalogue,
            upstreams: Arc::new(Upstreams::new(upstreams, start)),
            limits: request_limits(&limits, shares),
            replies: Arc::new(ReplyBuffer::new(limits.reply_buffer, Arc::clone(&reply_buffer), Arc::clone(&metrics))),
            metrics,
            access_log: Arc::new(AccessLog::standard()),
            in_flight: Arc::new(AtomicUsize::new(0)),
            trusted_proxies,
        };
        let head = HeadLimits { bytes: limits.headers, lines: limits.header_count };
        let gate = GateLimits { head, head_timeout: limits.header_timeout };
        let (ready, health) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let admin_hosts = Arc::new(AdminHosts::new(admin.address.ip(), admin.hosts));
        let counts = Counts { connections, open, reply_buffer };
        Ok(Self { listeners, admin_hosts, threads, shares, gate, counts, gateway, ready, plan, health })
    }

    /// Other issuers' keys are had before the first listener opens, if they can be.
    pub(super) fn follow_keys(&self) -> Result<(), AppError> {
        follow_keys(Arc::clone(&self.gateway.trust), Arc::clone(&self.gateway.cache))
    }

    pub(super) fn targets(&self) -> Targets {
        Targets {
            plan: self.plan,
            health: Arc::clone(&self.health),
            catalogue: Arc::clone(&self.gateway.catalogue),
            issuer: Arc::clone(&self.gateway.issuer),
            trust: Arc::clone(&self.gateway.trust),
            cache: Arc::clone(&self.gateway.cache),
            metrics: Arc::clone(&self.gateway.metrics),
        }
    }

    /// Listens until a signal. `announce` is called once every listener takes connections.
    pub(super) fn run(self, store: &Arc<Followed>, announce: impl FnOnce() + Send + 'static) -> Result<(), AppError> {
        let mut server =
            pingora::server::Server::new_with_opt_and_conf(None, server_conf(self.threads, self.shares.pooled));
        server.bootstrap();
        let metrics = Arc::clone(&self.gateway.metrics);
        let (signals, admin) = (self.signals(store), self.admin());
        let (public_share, admin_share) = (self.public_share(), self.admin_share());
        let addresses = self.listeners.addresses();
        let ready = Arc::clone(&self.ready);
        let (gate, send_timeout) = (self.gate, self.gateway.limits.send_timeout);
        let keeper = Keeper::of(&self.gateway.upstreams);
        let certificates = self.listeners.certificates().chain(self.gateway.upstreams.tls());
        Certificates::new(certificates).keep_fresh(metrics)?;
        let Opened { public: listeners, admin: admin_listener } = self.listeners;
        let listeners = Listeners(listeners);
        let public = front(&server.configuration, self.gateway, move |proxy| {
            Gate::new(proxy, listeners.clone(), gate, public_share.clone())
        });
        let admin = Gate::new(Arc::new(admin), Listeners(vec![admin_listener]), gate, admin_share);
        let (admin_addresses, addresses_of_public) = addresses.split_last().expect("the admin listener comes last");
        let admin = Service::new("admin".to_owned(), admin);
        let mut admin = listen(admin, std::slice::from_ref(admin_addresses), send_timeout);
        admin.threads = Some(1);
        server.add_service(listen(public, addresses_of_public, send_timeout));
        server.add_service(admin);
        if let Some(keeper) = keeper {
            server.add_service(background_service("upstreams", keeper));
        }
        announce_when_served(addresses, ready, announce)?;
        server.run(RunArgs { shutdown_signal: Box::new(signals) });
        leave(store);
        Ok(())
    }

    fn signals(&self, store: &Arc<Followed>) -> Signals {
        Signals {
            ready: Arc::clone(&self.ready),
            in_flight: Arc::clone(&self.gateway.in_flight),
            store: Arc::clone(store),
        }
    }

    /// What connections of the public listeners share.
    fn public_share(&self) -> Shared {
        Shared {
            connections: Arc::clone(&self.counts.connections),
            replies: Arc::clone(&self.gateway.replies),
            in_flight: Arc::clone(&self.gateway.in_flight),
            metrics: Arc::clone(&self.gateway.metrics),
            access_log: Arc::clone(&self.gateway.access_log),
        }
    }

    /// What those of the admin listener share: no client may take what operators need.
    fn admin_share(&self) -> Shared {
        let all = self.shares.admin;
        let limits = ConnectionLimits { all, of_address: all, requests: all, requests_of_address: all };
        let metrics = &self.gateway.metrics;
        Shared {
            connections: Connections::new(limits, TrustedPeers::default(), Arc::default(), Arc::clone(metrics)),
            replies: Arc::new(ReplyBuffer::new(ADMIN_REPLIES, Arc::default(), Arc::clone(metrics))),
            in_flight: Arc::default(),
            ..self.public_share()
        }
    }

    /// What operators ask.
    fn admin(&self) -> Admin {
        Admin {
            hosts: Arc::clone(&self.admin_hosts),
            metrics: Arc::clone(&self.gateway.metrics),
            ready: Arc::clone(&self.ready),
            store: Arc::clone(&self.health),
            trust: Arc::clone(&self.gateway.trust),
            cache: Arc::clone(&self.gateway.cache),
            in_flight: Arc::clone(&self.gateway.in_flight),
            connections: Arc::clone(&self.counts.open),
            reply_buffer: Arc::clone(&self.counts.reply_buffer),
            access_log: Arc::clone(&self.gateway.access_log),
            upstreams: Arc::clone(&self.gateway.upstreams),
        }
    }
}

fn request_limits(limits: &config::Limits, shares: Shares) -> RequestLimits {
    let config::Limits { body, body_timeout, send_timeout, .. } = *limits;
    RequestLimits { body, body_timeout, send_timeout, in_flight: shares.in_flight }
}

/// What one address may have: as much of the share as the limits say.
fn connection_limits(limits: &config::Limits, shares: Shares) -> ConnectionLimits {
    ConnectionLimits {
        all: shares.connections,
        of_address: share_of_address(limits.connections_per_address, shares.connections),
        requests: shares.in_flight,
        requests_of_address: share_of_address(limits.in_flight_per_address, shares.in_flight),
    }
}

fn share_of_address(given: Option<usize>, all: usize) -> usize {
    given.unwrap_or(all - all / 4).min(all)
}

/// The limits that stand beside figures.
fn stated(limits: &config::Limits, shares: Shares) -> [Bound; 5] {
    let connections = connection_limits(limits, shares);
    [
        (Limit::Connections, connections.all),
        (Limit::ConnectionsPerAddress, connections.of_address),
        (Limit::InFlight, shares.in_flight),
        (Limit::InFlightPerAddress, connections.requests_of_address),
        (Limit::ReplyBuffer, limits.reply_buffer),
    ]
}

/// What the limits ask for, as far as there are file descriptors.
fn shares(limits: &config::Limits, pooled: usize, threads: usize) -> Shares {
    let (connections, in_flight) = (limits.connections, limits.in_flight);
    Shares { connections, admin: ADMIN_CONNECTIONS, in_flight, pooled }.fit(threads)
}

/// The framework has one pool for all upstreams, which counts by worker threads.
fn pool_size(upstreams: &[config::Upstream], threads: usize) -> usize {
    let connections = upstreams.iter().map(|upstream| upstream.idle_connections.unwrap_or(POOL_SIZE * threads));
    connections.sum::<usize>().div_ceil(threads)
}

fn server_conf(threads: usize, pooled: usize) -> ServerConf {
    ServerConf {
        threads,
        upstream_keepalive_pool_size: pooled,
        max_retries: MAX_TRIES,
        grace_period_seconds: Some(GRACE_SECONDS),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    }
}

fn settings(issuer: config::Issuer) -> Settings {
    let config::Issuer { url, audience, algorithm: _, lifetime, rotate_every: _, clock_skew, client_secret_post } =
        issuer;
    let authentication = match client_secret_post {
        config::SecretPost::Allowed => Authentication::BasicOrPost,
        config::SecretPost::Refused => Authentication::Basic,
    };
    Settings { url, audience, lifetime: lifetime.as_secs(), clock_skew: clock_skew.as_secs(), authentication }
}

fn bounds(cache: config::Cache) -> Bounds {
    let config::Cache { entries, memory, negative_entries, negative_ttl } = cache;
    Bounds { entries, memory, negative_entries, negative_ttl }
}

fn rates(limits: config::Limits) -> Rates {
    let config::Limits { token_failures, token_requests, .. } = limits;
    Rates {
        failures_per_client: token_failures.per_client,
        failures_per_address: token_failures.per_address,
        requests_per_client: token_requests.per_client,
        requests_per_address: token_requests.per_address,
    }
}

fn names(
    routes: &RouteTable,
    upstreams: &[config::Upstream],
    trust: &[config::TrustedIssuer],
    catalogue: &Catalogue,
) -> Names {
    Names {
        routes: routes.routes().iter().map(|route| route.name.to_string()).collect(),
        upstreams: upstreams.iter().map(upstream_names).collect(),
        issuers: trust.iter().map(|issuer| issuer.names.as_str().to_owned()).collect(),
        scopes: catalogue.scopes().iter().map(|scope| scope.name.to_string()).collect(),
    }
}

fn upstream_names(upstream: &config::Upstream) -> UpstreamNames {
    let servers = upstream.servers.iter().map(|server| server.text.to_string()).collect();
    UpstreamNames { name: upstream.name.to_string(), servers }
}

#[expect(clippy::disallowed_methods, reason = "callers and servers are looked after from the start of the process")]
fn began() -> Instant {
    Instant::now()
}
