use prometheus::{GaugeVec, IntCounterVec, Opts, Registry};

use super::{Metrics, families::register};
use crate::domain::Timestamp;

/// What is counted of TLS.
pub(super) struct TlsFamilies {
    handshakes: IntCounterVec,
    certificate_expiry: GaugeVec,
}

/// How agreeing on TLS with a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// With a connection.
    Completed,
    /// Without one: no common version or suite, or no good certificate of the client.
    Failed,
    /// Not in time.
    TimedOut,
}

impl Handshake {
    /// The `result` label.
    const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
        }
    }
}

impl TlsFamilies {
    pub(super) fn register(registry: &Registry) -> Self {
        let handshakes = Opts::new("scopegate_tls_handshakes_total", "TLS handshakes with clients, by how they ended.");
        let expiry = Opts::new(
            "scopegate_certificate_expiry_timestamp_seconds",
            "When the certificate that a listener shows ends, by its first name.",
        );
        Self {
            handshakes: register(registry, IntCounterVec::new(handshakes, &["result"])),
            certificate_expiry: register(registry, GaugeVec::new(expiry, &["name"])),
        }
    }
}

impl Metrics {
    /// Counts one TLS handshake.
    pub fn count_handshake(&self, handshake: Handshake) {
        self.tls.handshakes.with_label_values(&[handshake.name()]).inc();
    }

    /// States when the certificates in use end, of several with one name the one that ends first.
    pub fn state_certificate_ends(&self, ends: &[(String, Timestamp)]) {
        let family = &self.tls.certificate_expiry;
        family.reset();
        let mut ends: Vec<_> = ends.iter().collect();
        ends.sort_by_key(|(_, end)| std::cmp::Reverse(*end));
        for (name, end) in ends {
            #[expect(clippy::cast_precision_loss, reason = "seconds of this era fit a float")]
            family.with_label_values(&[name]).set(end.seconds() as f64);
        }
    }
}
