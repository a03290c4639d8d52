use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::families::{BUCKETS, register};
use crate::upstream::GroupReading;

/// The names of one upstream and of its servers, as configured.
#[derive(Debug)]
pub struct UpstreamNames {
    /// The group.
    pub name: String,
    /// Its servers, each once.
    pub servers: Vec<String>,
}

/// The series of one `upstream` label.
pub(super) struct UpstreamSeries {
    pub(super) name: String,
    pub(super) requests: IntCounter,
    pub(super) retries: IntCounter,
    pub(super) connect_failures: IntCounter,
    pub(super) duration: Histogram,
    failed_lookups: IntCounter,
    servers: Vec<ServerSeries>,
}

/// The series of one server of an upstream.
struct ServerSeries {
    up: IntGauge,
    ejections: IntCounter,
}

impl UpstreamSeries {
    pub(super) fn of_all(registry: &Registry, names: &[UpstreamNames]) -> Vec<Self> {
        let counters = |name, help| register(registry, IntCounterVec::new(Opts::new(name, help), &["upstream"]));
        let requests = counters("scopegate_upstream_requests_total", "Requests sent upstream.");
        let retries = counters("scopegate_upstream_retries_total", "Tries beyond the first one of a request.");
        let failures = counters("scopegate_upstream_connect_failures_total", "Connections an upstream did not take.");
        let lookups =
            counters("scopegate_upstream_lookup_failures_total", "Look-ups of host names that found nothing.");
        let options = HistogramOpts::new(
            "scopegate_upstream_duration_seconds",
            "From a request's sending upstream to the end of its reply.",
        );
        let durations = register(registry, HistogramVec::new(options.buckets(BUCKETS.to_vec()), &["upstream"]));
        let series = |UpstreamNames { name, servers }: &UpstreamNames| Self {
            requests: requests.with_label_values(&[name]),
            retries: retries.with_label_values(&[name]),
            connect_failures: failures.with_label_values(&[name]),
            duration: durations.with_label_values(&[name]),
            failed_lookups: lookups.with_label_values(&[name]),
            servers: servers.iter().map(|server| ServerSeries::new(registry, name, server)).collect(),
            name: name.clone(),
        };
        names.iter().map(series).collect()
    }

    /// States what was read of the group.
    pub(super) fn state(&self, reading: &GroupReading) {
        catch_up(&self.failed_lookups, reading.failed_lookups);
        for (series, reading) in self.servers.iter().zip(&reading.servers) {
            series.up.set(i64::from(reading.up));
            catch_up(&series.ejections, reading.ejections);
        }
    }
}

impl ServerSeries {
    /// Each is registered by itself: a vector would take two servers for one whose labels, put together, are the same.
    fn new(registry: &Registry, upstream: &str, server: &str) -> Self {
        let options =
            |name, help| Opts::new(name, help).const_label("upstream", upstream).const_label("server", server);
        let up = options("scopegate_upstream_up", "Whether a server passes its checks and is not ejected.");
        let ejections =
            options("scopegate_upstream_ejections_total", "How often a server failed too many requests in a row.");
        Self {
            up: register(registry, IntGauge::with_opts(up)),
            ejections: register(registry, IntCounter::with_opts(ejections)),
        }
    }
}

fn catch_up(counter: &IntCounter, value: u64) {
    counter.inc_by(value.saturating_sub(counter.get()));
}
