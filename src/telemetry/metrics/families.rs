//! Every family of series that the gateway exposes, by name.

use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    process_collector::ProcessCollector,
};

/// Upper bounds of the duration buckets, in seconds.
pub(super) const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

pub(super) struct Families {
    pub(super) requests: IntCounterVec,
    pub(super) durations: HistogramVec,
    pub(super) decisions: IntCounterVec,
    pub(super) verifications: IntCounterVec,
    pub(super) issued: IntCounterVec,
    pub(super) minted: IntCounterVec,
    pub(super) rate_limited: IntCounterVec,
    pub(super) key_expiry: GaugeVec,
    pub(super) cache_entries: IntGauge,
    pub(super) cache_evictions: IntCounter,
    pub(super) in_flight: IntGauge,
    pub(super) connections: IntGauge,
    pub(super) reply_buffer: IntGauge,
    pub(super) limits: IntGaugeVec,
    pub(super) access_log_dropped: IntCounter,
    pub(super) log_lines_lost: IntCounterVec,
    pub(super) store_up: IntGauge,
}

impl Families {
    pub(super) fn register(registry: &Registry) -> Self {
        let counters =
            |name, help, labels: &[&str]| register(registry, IntCounterVec::new(Opts::new(name, help), labels));
        let counter = |name, help| register(registry, IntCounter::new(name, help));
        let gauges = |name, help, labels: &[&str]| register(registry, GaugeVec::new(Opts::new(name, help), labels));
        let gauge = |name, help| register(registry, IntGauge::new(name, help));
        process_figures(registry);
        build_info(registry);
        reload_state(registry);
        Self {
            requests: counters(
                "scopegate_requests_total",
                "Requests by route, method and status sent.",
                &["route", "method", "code"],
            ),
            durations: request_durations(registry),
            decisions: counters(
                "scopegate_decisions_total",
                "Decisions by route and reason; enforced=\"false\" where a route only reports.",
                &["route", "decision", "reason", "enforced"],
            ),
            verifications: counters(
                "scopegate_token_verifications_total",
                "Tokens verified for the first time, by result.",
                &["issuer", "result"],
            ),
            issued: counters("scopegate_tokens_issued_total", "Tokens issued, by each of their scopes.", &["scope"]),
            minted: counters(
                "scopegate_session_tokens_minted_total",
                "Replies on routes with `session_token`, by whether a token was put in, or why not.",
                &["route", "result"],
            ),
            rate_limited: counters("scopegate_rate_limited_total", "What a limit refused or cut off.", &["limit"]),
            key_expiry: gauges("scopegate_key_expiry_timestamp_seconds", "When a retired key ends.", &["kid"]),
            cache_entries: gauge("scopegate_token_cache_entries", "Verified tokens kept."),
            cache_evictions: counter("scopegate_token_cache_evictions_total", "Verified tokens pushed out by others."),
            in_flight: gauge("scopegate_in_flight_requests", "Requests being served."),
            connections: gauge("scopegate_open_connections", "Connections that clients have open."),
            reply_buffer: gauge("scopegate_reply_buffer_bytes", "Bytes of replies that may wait for slow clients."),
            limits: limits(registry),
            store_up: gauge("scopegate_store_up", "Whether the store could be read and written when last tried."),
            access_log_dropped: counter(
                "scopegate_access_log_dropped_total",
                "Lines of the access log that were lost, as in scopegate_log_lines_lost_total.",
            ),
            log_lines_lost: log_lines_lost(registry),
        }
    }
}

fn limits(registry: &Registry) -> IntGaugeVec {
    register(registry, IntGaugeVec::new(Opts::new("scopegate_limit", "What a figure may come to."), &["name"]))
}

fn log_lines_lost(registry: &Registry) -> IntCounterVec {
    let (name, help) = ("scopegate_log_lines_lost_total", "Lines that an output did not take, or not in time.");
    register(registry, IntCounterVec::new(Opts::new(name, help), &["sink"]))
}

fn process_figures(registry: &Registry) {
    registry.register(Box::new(ProcessCollector::for_self())).expect("nothing else is called process_*");
}

fn request_durations(registry: &Registry) -> HistogramVec {
    let (name, help) =
        ("scopegate_request_duration_seconds", "From the end of a request's head to the end of its reply.");
    let options = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
    register(registry, HistogramVec::new(options, &["route"]))
}

fn build_info(registry: &Registry) {
    let options = Opts::new("scopegate_build_info", "Always 1; the version is in the labels.");
    let commit = option_env!("SCOPEGATE_COMMIT").unwrap_or("unknown");
    register(registry, GaugeVec::new(options, &["version", "commit"]))
        .with_label_values(&[env!("CARGO_PKG_VERSION"), commit])
        .set(1.0);
}

fn reload_state(registry: &Registry) {
    let gauge = |name, help| register(registry, Gauge::new(name, help));
    gauge("scopegate_config_last_reload_success", "Whether the configuration read last was taken.").set(1.0);
    #[expect(clippy::cast_precision_loss, reason = "seconds of this era fit a float")]
    let now = crate::domain::Timestamp::now().seconds() as f64;
    gauge("scopegate_config_last_reload_timestamp_seconds", "When a configuration was taken last.").set(now);
}

pub(super) fn register<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    collector: prometheus::Result<C>,
) -> C {
    let collector = collector.expect("names and labels are well-formed");
    registry.register(Box::new(collector.clone())).expect("each name is registered once");
    collector
}
