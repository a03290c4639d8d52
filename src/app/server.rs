//! The listeners and everything behind them.

use std::{
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use pingora::{
    listeners::{ListenerConfig, TcpSocketOptions},
    protocols::l4::{ext::TcpKeepalive, stream::L4BufferSettings},
    proxy::http_proxy,
    server::{RunArgs, configuration::ServerConf},
    services::{background::background_service, listening::Service},
};

use super::{
    AppError,
    descriptors::Shares,
    revoker::StoreRevoker,
    shutdown::{FLUSH, GRACE_SECONDS, Signals},
    state::State,
    store::key_plan,
    trust::{follow_keys, trusted_issuers},
};
use crate::{
    admin::{Admin, StoreHealth},
    cache::{Bounds, TokenCache},
    config::{self, Config},
    domain::Catalogue,
    issuer::{Authentication, Issuer, Rates, Settings},
    policy::HeadLimits,
    proxy::{Door, Gate, GateLimits, Gateway, RequestLimits, Throttle},
    store::KeyPlan,
    telemetry::{AccessLog, Metrics, Names, UpstreamNames},
    token::Expectations,
    trust::Trust,
    upstream::{Keeper, Upstreams},
};

/// Idle connections to the servers of an upstream that each worker thread keeps, unless the upstream says how many.
const POOL_SIZE: usize = 512;
/// Connections to the admin listener at one moment.
const ADMIN_CONNECTIONS: usize = 256;
/// Tries that pingora makes for one request; the gateway decides about each.
const MAX_TRIES: usize = 4;
/// One write of a reply: header and body of most API replies leave together.
const WRITE_BUFFER: usize = 16 * 1024;
/// None: the gate and pingora read into buffers of their own, and one of a connection's is there while it is idle as well.
const READ_BUFFER: usize = 0;

/// The gateway, ready to listen.
pub(super) struct Server {
    listen: Vec<SocketAddr>,
    admin_address: SocketAddr,
    threads: usize,
    shares: Shares,
    gate: GateLimits,
    gateway: Gateway,
    ready: Arc<AtomicBool>,
    plan: KeyPlan,
    health: Arc<StoreHealth>,
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
    pub(super) fn new(config: Config, state: State, revoker: StoreRevoker) -> Result<Self, AppError> {
        let plan = key_plan(&config);
        let Config {
            listen,
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
        } = config;
        let State { directory, standing, key_ends, settles_at: _, current_since: _ } = state;
        let pool = pool_size(&upstreams, threads);
        let metrics = Arc::new(Metrics::new(&Names {
            routes: routes.routes().iter().map(|route| route.name.to_string()).collect(),
            upstreams: upstreams.iter().map(upstream_names).collect(),
            issuers: trust.iter().map(|issuer| issuer.name.clone()).collect(),
            scopes: catalogue.scopes().iter().map(|scope| scope.name.to_string()).collect(),
        }));
        metrics.state_key_ends(key_ends.iter().map(|(kid, end)| (kid.as_str(), *end)));
        let rules = Expectations::own(issuer.audience.clone(), issuer.clock_skew.as_secs(), Arc::clone(&catalogue));
        let trust = Trust::new(issuer.url.clone(), rules, trusted_issuers(trust)?);
        trust.replace(standing);
        let start = began();
        let shares = Shares {
            connections: limits.connections,
            admin: ADMIN_CONNECTIONS,
            in_flight: limits.in_flight,
            pooled: pool,
        };
        let shares = shares.fit(threads);
        let gateway = Gateway {
            throttle: Throttle::new(limits.rate, &routes, start),
            routes,
            trust: Arc::new(trust),
            cache: Arc::new(TokenCache::new(bounds(cache))),
            issuer: Arc::new(Issuer::new(settings(issuer), Arc::clone(&catalogue), rates(limits), directory, start)),
            revoker: Arc::new(revoker),
            catalogue,
            upstreams: Arc::new(Upstreams::new(upstreams, start)),
            limits: RequestLimits {
                body: limits.body,
                body_timeout: limits.body_timeout,
                send_timeout: limits.send_timeout,
                in_flight: shares.in_flight,
            },
            metrics,
            access_log: Arc::new(AccessLog::start(std::io::stdout())),
            in_flight: Arc::new(AtomicUsize::new(0)),
        };
        let head = HeadLimits { bytes: limits.headers, lines: limits.header_count };
        let gate = GateLimits { head, head_timeout: limits.header_timeout };
        let ready = Arc::new(AtomicBool::new(false));
        let health = Arc::default();
        Ok(Self { listen, admin_address: admin.address, threads, shares, gate, gateway, ready, plan, health })
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
    pub(super) fn run(self, announce: impl FnOnce() + Send + 'static) -> Result<(), AppError> {
        let mut server =
            pingora::server::Server::new_with_opt_and_conf(None, server_conf(self.threads, self.shares.pooled));
        server.bootstrap();
        let access_log = Arc::clone(&self.gateway.access_log);
        let signals = Signals {
            ready: Arc::clone(&self.ready),
            in_flight: Arc::clone(&self.gateway.in_flight),
            access_log: Arc::clone(&access_log),
        };
        let connections = Arc::new(AtomicUsize::new(0));
        let admin = Admin {
            metrics: Arc::clone(&self.gateway.metrics),
            ready: Arc::clone(&self.ready),
            store: Arc::clone(&self.health),
            trust: Arc::clone(&self.gateway.trust),
            cache: Arc::clone(&self.gateway.cache),
            in_flight: Arc::clone(&self.gateway.in_flight),
            connections: Arc::clone(&connections),
            access_log: Arc::clone(&access_log),
            upstreams: Arc::clone(&self.gateway.upstreams),
        };
        let addresses: Vec<_> = self.listen.iter().copied().chain([self.admin_address]).collect();
        let ready = Arc::clone(&self.ready);
        let (gate, shares, send_timeout) = (self.gate, self.shares, self.gateway.limits.send_timeout);
        let keeper = Keeper::of(&self.gateway.upstreams);
        let metrics = Arc::clone(&self.gateway.metrics);
        let proxy = http_proxy(&server.configuration, self.gateway);
        let public = Gate::new(Arc::new(proxy), gate, Arc::clone(&metrics), Arc::clone(&access_log));
        let public = Door::new(public, shares.connections, connections, Arc::clone(&metrics));
        let admin = Gate::new(Arc::new(admin), gate, Arc::clone(&metrics), Arc::clone(&access_log));
        let admin = Door::new(admin, shares.admin, Arc::default(), metrics);
        let mut admin = service("admin", admin, &[self.admin_address], send_timeout);
        admin.threads = Some(1);
        server.add_service(service("gateway", public, &self.listen, send_timeout));
        server.add_service(admin);
        if let Some(keeper) = keeper {
            server.add_service(background_service("upstreams", keeper));
        }
        announce_when_served(addresses, ready, announce)?;
        server.run(RunArgs { shutdown_signal: Box::new(signals) });
        access_log.flush(FLUSH);
        Ok(())
    }
}

fn service<A>(name: &str, app: A, addresses: &[SocketAddr], send_timeout: Duration) -> Service<A> {
    let mut service = Service::new(name.to_owned(), app);
    for address in addresses {
        let buffers = L4BufferSettings::new(READ_BUFFER, WRITE_BUFFER);
        let listener = ListenerConfig::tcp(address.to_string()).l4_buffer(buffers);
        service.add_listener(listener.tcp_socket_options(socket_options(send_timeout)));
    }
    service
}

/// The framework has one pool for all upstreams, which counts by worker threads.
fn pool_size(upstreams: &[config::Upstream], threads: usize) -> usize {
    let connections = upstreams.iter().map(|upstream| upstream.idle_connections.unwrap_or(POOL_SIZE * threads));
    connections.sum::<usize>().div_ceil(threads)
}

/// pingora's timeout covers the parts of a reply's body, not what ends it; the system's covers whatever a client does not
/// take, and notices one that is gone without a word.
fn socket_options(send_timeout: Duration) -> TcpSocketOptions {
    let mut options = TcpSocketOptions::default();
    options.tcp_keepalive = Some(TcpKeepalive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(10),
        count: 3,
        #[cfg(target_os = "linux")]
        user_timeout: send_timeout,
    });
    options
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

/// Knocks at every listener until it answers, then says that the gateway is ready.
fn announce_when_served(
    addresses: Vec<SocketAddr>,
    ready: Arc<AtomicBool>,
    announce: impl FnOnce() + Send + 'static,
) -> Result<(), AppError> {
    let knock = move || {
        for address in &addresses {
            while TcpStream::connect_timeout(address, Duration::from_secs(1)).is_err() {
                thread::sleep(Duration::from_millis(5));
            }
        }
        ready.store(true, Ordering::Release);
        announce();
    };
    thread::Builder::new().name("ready".to_owned()).spawn(knock)?;
    Ok(())
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

fn upstream_names(upstream: &config::Upstream) -> UpstreamNames {
    let servers = upstream.servers.iter().map(|server| server.text.to_string()).collect();
    UpstreamNames { name: upstream.name.to_string(), servers }
}

#[expect(clippy::disallowed_methods, reason = "callers and servers are looked after from the start of the process")]
fn began() -> Instant {
    Instant::now()
}
