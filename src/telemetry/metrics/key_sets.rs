//! What is told of other issuers' keys.

use prometheus::{GaugeVec, IntCounterVec, Opts, Registry};

use super::families::register;
use crate::{token::WhyUnusable, trust::SourceReport};

/// The families of series, each with the issuer as its first label.
pub(super) struct KeySetFamilies {
    fetches: IntCounterVec,
    last_success: GaugeVec,
    unusable: GaugeVec,
}

impl KeySetFamilies {
    pub(super) fn register(registry: &Registry) -> Self {
        let gauges = |name, help, labels: &[&str]| register(registry, GaugeVec::new(Opts::new(name, help), labels));
        let fetches = Opts::new("scopegate_jwks_fetches_total", "Fetches of another issuer's keys, by result.");
        Self {
            fetches: register(registry, IntCounterVec::new(fetches, &["issuer", "result"])),
            last_success: gauges(
                "scopegate_jwks_last_success_timestamp_seconds",
                "When another issuer's keys were fetched last; 0 is never.",
                &["issuer"],
            ),
            unusable: gauges(
                "scopegate_key_set_entries_unusable",
                "Entries of another issuer's key set that are passed over, by why.",
                &["issuer", "why"],
            ),
        }
    }

    /// States how it went for one issuer so far.
    pub(super) fn state(&self, issuer: &str, report: SourceReport) {
        for (result, count) in [("succeeded", report.succeeded), ("failed", report.failed)] {
            let series = self.fetches.with_label_values(&[issuer, result]);
            series.inc_by(count.saturating_sub(series.get()));
        }
        #[expect(clippy::cast_precision_loss, reason = "seconds of this era fit a float")]
        let last = report.last_success.map_or(0.0, |moment| moment.seconds() as f64);
        self.last_success.with_label_values(&[issuer]).set(last);
        for (why, count) in WhyUnusable::ALL.into_iter().zip(report.unusable) {
            #[expect(clippy::cast_precision_loss, reason = "a set has at most a hundred entries")]
            self.unusable.with_label_values(&[issuer, why.name()]).set(count as f64);
        }
    }
}
