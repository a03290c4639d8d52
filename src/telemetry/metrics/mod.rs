mod families;
mod key_sets;
mod tls;
mod upstream;

use std::sync::OnceLock;

use prometheus::{Encoder, Histogram, IntCounter, IntCounterVec, Opts, Registry, TextEncoder};

use self::{
    families::{Families, register},
    key_sets::KeySetFamilies,
    tls::TlsFamilies,
    upstream::UpstreamSeries,
};
pub use self::{tls::Handshake, upstream::UpstreamNames};
use super::{Decision, Limit, Outcome, Subject};
use crate::{
    cache::Lookup,
    domain::{ALL_REASONS, APPLICATION_SESSION, IssuerId, Reason, Timestamp},
    issuer::{Endpoint, TokenResult},
    policy::{Unminted, UpstreamId},
    trust::SourceReport,
    upstream::GroupReading,
};

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];
const ENDPOINTS: [Endpoint; 7] = [
    Endpoint::Token,
    Endpoint::Revoke,
    Endpoint::Introspect,
    Endpoint::UserInfo,
    Endpoint::KeySet,
    Endpoint::ServerMetadata,
    Endpoint::ResourceMetadata,
];

/// The closed sets that label values come from.
#[derive(Debug, Default)]
pub struct Names {
    /// Route names, in the order of the configuration.
    pub routes: Vec<String>,
    /// Upstreams, in the order of the configuration.
    pub upstreams: Vec<UpstreamNames>,
    /// Scope names.
    pub scopes: Vec<String>,
    /// The names of other issuers, in the order of the configuration.
    pub issuers: Vec<String>,
}

/// Figures that are read when somebody asks.
#[derive(Clone, Copy, Debug)]
pub struct Readings<'r> {
    /// Verified tokens in the cache.
    pub cache_entries: u64,
    /// Verified tokens pushed out of it since the start.
    pub cache_evictions: u64,
    /// Requests being served.
    pub in_flight: usize,
    /// Connections that clients have open.
    pub connections: usize,
    /// Bytes of replies that wait for clients.
    pub reply_buffer: usize,
    /// Lines of the access log lost since the start.
    pub access_log_lost: u64,
    /// Lines of the diagnostic log lost since the start.
    pub diagnostics_lost: u64,
    /// Whether the store can be read and written.
    pub store_is_up: bool,
    /// Every upstream, in the order of the configuration.
    pub upstreams: &'r [GroupReading],
}

/// A limit, and how much it allows.
pub type Bound = (Limit, usize);

/// Every metric of the gateway. A series is looked up once, at its first use, and kept.
pub struct Metrics {
    registry: Registry,
    families: Families,
    key_sets: KeySetFamilies,
    tls: TlsFamilies,
    subjects: Vec<SubjectSeries>,
    upstreams: Vec<UpstreamSeries>,
    cache_hits: IntCounter,
    cache_misses: IntCounter,
    issuers: Vec<IssuerSeries>,
    token_requests: Vec<IntCounter>,
}

/// The series of one `route` label.
struct SubjectSeries {
    name: String,
    duration: OnceLock<Histogram>,
    admitted: OnceLock<IntCounter>,
    /// With status 200, which nearly every request on a hot path has; other codes are looked up.
    ok: [OnceLock<IntCounter>; METHODS.len()],
}

/// The series of one `issuer` label, by reason, and last those of tokens that were verified.
struct IssuerSeries {
    name: String,
    verifications: [OnceLock<IntCounter>; ALL_REASONS.len() + 1],
}

impl Metrics {
    /// All metrics, in a registry of their own.
    ///
    /// # Panics
    /// Never: names and label sets are fixed and differ.
    pub fn new(names: &Names) -> Self {
        let registry = Registry::new();
        let families = Families::register(&registry);
        let subjects = std::iter::once("none".to_owned())
            .chain(ENDPOINTS.iter().map(|endpoint| endpoint.name().to_owned()))
            .chain(names.routes.iter().cloned());
        let counter = |name, help| register(&registry, IntCounter::new(name, help));
        let token_requests = register(
            &registry,
            IntCounterVec::new(
                Opts::new("scopegate_token_requests_total", "Token requests by what they came to."),
                &["result"],
            ),
        );
        // Our own first, then the others by their place; last those that nobody believes.
        let issuers = std::iter::once("own").chain(names.issuers.iter().map(String::as_str)).chain(["unknown"]);
        for limit in Limit::ALL {
            families.rate_limited.with_label_values(&[limit.name()]);
        }
        for scope in &names.scopes {
            families.issued.with_label_values(&[scope]);
        }
        Self {
            subjects: subjects.map(SubjectSeries::new).collect(),
            upstreams: UpstreamSeries::of_all(&registry, &names.upstreams),
            cache_hits: counter("scopegate_token_cache_hits_total", "Tokens whose verification was remembered."),
            cache_misses: counter("scopegate_token_cache_misses_total", "Tokens that had to be verified."),
            issuers: issuers.map(IssuerSeries::new).collect(),
            token_requests: TokenResult::ALL
                .iter()
                .map(|result| token_requests.with_label_values(&[result.name()]))
                .collect(),
            families,
            key_sets: KeySetFamilies::register(&registry),
            tls: TlsFamilies::register(&registry),
            registry,
        }
    }

    /// Counts one request.
    pub fn record(&self, outcome: &Outcome<'_>) {
        let series = &self.subjects[subject_index(outcome.subject)];
        series.count_request(&self.families, outcome.method, outcome.status);
        series.duration(&self.families).observe(outcome.duration.as_secs_f64());
        self.count_decision(series, outcome.decision);
        match outcome.cache {
            Some(Lookup::Hit) => self.cache_hits.inc(),
            Some(Lookup::Miss) => self.cache_misses.inc(),
            None => {}
        }
        if let Some(minted) = outcome.minted {
            self.count_minted(series, minted);
        }
        if let (Some(upstream), Some(duration)) = (outcome.upstream, outcome.upstream_duration) {
            let series = &self.upstreams[upstream.place()];
            series.requests.inc();
            series.duration.observe(duration.as_secs_f64());
        }
    }

    fn count_decision(&self, series: &SubjectSeries, decision: Decision) {
        let count = |decision, reason: &str, enforced| {
            let labels = [series.name.as_str(), decision, reason, enforced];
            self.families.decisions.with_label_values(&labels)
        };
        match decision {
            Decision::Admitted => series.admitted.get_or_init(|| count("admitted", "none", "true")).inc(),
            Decision::Refused(reason) => count("refused", reason.code(), "true").inc(),
            Decision::Reported(reason) => count("refused", reason.code(), "false").inc(),
        }
    }

    fn count_minted(&self, series: &SubjectSeries, minted: Result<(), Unminted>) {
        if minted.is_ok() {
            self.count_issued(APPLICATION_SESSION);
        }
        let result = minted.map_or_else(Unminted::code, |()| "minted");
        self.families.minted.with_label_values(&[series.name.as_str(), result]).inc();
    }

    /// Counts one verification of a token seen for the first time; `None` is an issuer that nobody believes.
    pub fn count_verification(&self, issuer: Option<IssuerId>, result: Result<(), Reason>) {
        let series = &self.issuers[issuer.map_or(self.issuers.len() - 1, IssuerId::place)];
        let (place, name) = match result {
            Ok(()) => (ALL_REASONS.len(), "verified"),
            Err(reason) => (reason.index(), reason.code()),
        };
        let look_up = || self.families.verifications.with_label_values(&[series.name.as_str(), name]);
        series.verifications[place].get_or_init(look_up).inc();
    }

    /// Counts one token request.
    pub fn count_token_request(&self, result: TokenResult) {
        let place = TokenResult::ALL.iter().position(|other| *other == result);
        self.token_requests[place.expect("ALL holds every result")].inc();
    }

    /// Counts one request or connection refused because a limit is used up.
    pub fn count_limited(&self, limit: Limit) {
        self.families.rate_limited.with_label_values(&[limit.name()]).inc();
    }

    /// Counts one token issued with these scopes, names of the catalogue separated by spaces.
    pub fn count_issued(&self, scope: &str) {
        scope.split(' ').for_each(|name| self.families.issued.with_label_values(&[name]).inc());
    }

    /// Counts one request that is tried once more, on another server or another connection.
    pub fn count_upstream_retry(&self, upstream: UpstreamId) {
        self.upstreams[upstream.place()].retries.inc();
    }

    /// Counts one connection that an upstream did not take.
    pub fn count_connect_failure(&self, upstream: UpstreamId) {
        self.upstreams[upstream.place()].connect_failures.inc();
    }

    /// States what figures may come to.
    pub fn state_bounds(&self, bounds: &[Bound]) {
        for (limit, most) in bounds {
            let most = i64::try_from(*most).unwrap_or(i64::MAX);
            self.families.limits.with_label_values(&[limit.name()]).set(most);
        }
    }

    /// States when retired keys end; keys in use have no end.
    pub fn state_key_ends<'k>(&self, ends: impl Iterator<Item = (&'k str, Timestamp)>) {
        self.families.key_expiry.reset();
        for (kid, end) in ends {
            #[expect(clippy::cast_precision_loss, reason = "seconds of this era fit a float")]
            self.families.key_expiry.with_label_values(&[kid]).set(end.seconds() as f64);
        }
    }

    /// Everything in the Prometheus text format 0.0.4. `sources` tells how fetching keys went.
    pub fn render(&self, readings: Readings<'_>, sources: impl Iterator<Item = (IssuerId, SourceReport)>) -> Vec<u8> {
        sources.for_each(|(issuer, report)| self.key_sets.state(&self.issuers[issuer.place()].name, report));
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.families.cache_entries.set(signed(readings.cache_entries));
        self.families.in_flight.set(signed(readings.in_flight as u64));
        self.families.connections.set(signed(readings.connections as u64));
        self.families.reply_buffer.set(signed(readings.reply_buffer as u64));
        let evictions = &self.families.cache_evictions;
        evictions.inc_by(readings.cache_evictions.saturating_sub(evictions.get()));
        let lost = |series: &IntCounter, lines: u64| series.inc_by(lines.saturating_sub(series.get()));
        lost(&self.families.access_log_dropped, readings.access_log_lost);
        for (sink, lines) in [("access_log", readings.access_log_lost), ("diagnostics", readings.diagnostics_lost)] {
            lost(&self.families.log_lines_lost.with_label_values(&[sink]), lines);
        }
        self.families.store_up.set(i64::from(readings.store_is_up));
        self.upstreams.iter().zip(readings.upstreams).for_each(|(series, reading)| series.state(reading));
        let mut text = Vec::with_capacity(32 * 1024);
        // Writing to memory fails on a family without a name only, and every family has one.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        text
    }

    /// The name of a subject.
    pub fn subject(&self, subject: Subject) -> &str {
        &self.subjects[subject_index(subject)].name
    }

    /// The name of an upstream.
    pub fn upstream(&self, upstream: UpstreamId) -> &str {
        &self.upstreams[upstream.place()].name
    }
}

impl IssuerSeries {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), verifications: [const { OnceLock::new() }; ALL_REASONS.len() + 1] }
    }
}

impl SubjectSeries {
    fn new(name: String) -> Self {
        let ok = [const { OnceLock::new() }; METHODS.len()];
        Self { name, duration: OnceLock::new(), admitted: OnceLock::new(), ok }
    }

    fn duration(&self, families: &Families) -> &Histogram {
        self.duration.get_or_init(|| families.durations.with_label_values(&[&self.name]))
    }

    fn count_request(&self, families: &Families, method: &str, status: u16) {
        let place = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1);
        let look_up = |code: &str| families.requests.with_label_values(&[&self.name, METHODS[place], code]);
        if status == 200 {
            return self.ok[place].get_or_init(|| look_up("200")).inc();
        }
        look_up(&status.to_string()).inc();
    }
}

fn subject_index(subject: Subject) -> usize {
    match subject {
        Subject::None => 0,
        Subject::Endpoint(endpoint) => {
            1 + ENDPOINTS.iter().position(|other| *other == endpoint).expect("ENDPOINTS holds every endpoint")
        }
        Subject::Route(route) => 1 + ENDPOINTS.len() + route.place(),
    }
}
