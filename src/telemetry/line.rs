//! One line of the access log.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Decision, Metrics, Outcome};
use crate::{
    cache::Lookup,
    domain::{DateTime, Timestamp, printable_json, push_address, push_number, push_thousandths},
    policy::Unminted,
};

/// Writes lines into one buffer; the text of a second is kept for the others in it.
pub(super) struct LineWriter {
    line: String,
    second: u64,
    second_text: String,
}

impl LineWriter {
    pub(super) const fn new() -> Self {
        Self { line: String::new(), second: u64::MAX, second_text: String::new() }
    }

    /// The line of one request: a JSON object and a line feed.
    pub(super) fn write(&mut self, outcome: &Outcome<'_>, names: &Metrics) -> &str {
        self.line.clear();
        self.line.push_str("{\"time\":\"");
        self.push_time(outcome.arrived);
        self.push_text("request_id", outcome.request_id);
        self.push_text("route", names.subject(outcome.subject));
        self.push_text("method", outcome.method);
        self.push_text("path", outcome.path);
        self.push_count("status", outcome.status.into());
        self.push_decision(outcome.decision);
        self.line.push_str(",\"address\":\"");
        push_address(&mut self.line, outcome.address);
        self.line.push('"');
        self.push_principal(outcome);
        if let Some(upstream) = outcome.upstream {
            self.push_plain("upstream", names.upstream(upstream));
        }
        if let Some(minted) = outcome.minted {
            self.push_plain("minted", minted.map_or_else(Unminted::code, |()| "minted"));
        }
        if let Some(duration) = outcome.upstream_duration {
            self.push_milliseconds("upstream_ms", duration);
        }
        self.push_milliseconds("duration_ms", outcome.duration);
        self.push_count("bytes_in", outcome.bytes_in as u64);
        self.push_count("bytes_out", outcome.bytes_out as u64);
        self.line.push_str("}\n");
        &self.line
    }

    /// RFC 3339 with milliseconds, UTC, and the closing quote.
    fn push_time(&mut self, moment: SystemTime) {
        let since_epoch = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        if since_epoch.as_secs() != self.second {
            self.second = since_epoch.as_secs();
            self.second_text = DateTime::of(Timestamp::from_seconds(self.second)).to_string();
        }
        self.line.push_str(&self.second_text);
        self.line.push('.');
        push_thousandths(&mut self.line, since_epoch.subsec_millis().into());
        self.line.push_str("Z\"");
    }

    fn push_decision(&mut self, decision: Decision) {
        let (decision, reason) = match decision {
            Decision::Admitted => ("admitted", None),
            Decision::Refused(reason) => ("refused", Some(reason)),
            Decision::Reported(reason) => ("reported", Some(reason)),
        };
        self.push_plain("decision", decision);
        if let Some(reason) = reason {
            self.push_plain("reason", reason.code());
        }
    }

    fn push_principal(&mut self, outcome: &Outcome<'_>) {
        if let Some(principal) = outcome.principal {
            self.push_text("token_issuer", principal.issuer_name.shown());
            self.push_text("client_id", principal.client.shown());
            self.push_text("customer_id", principal.customer.shown());
            if let Some(application) = &principal.application {
                self.push_text("application_id", application.as_str());
            }
        }
        if let Some(lookup) = outcome.cache {
            self.line.push_str(if lookup == Lookup::Hit { ",\"cache_hit\":true" } else { ",\"cache_hit\":false" });
        }
    }

    fn push_name(&mut self, name: &str) {
        self.line.push_str(",\"");
        self.line.push_str(name);
        self.line.push_str("\":");
    }

    /// A text of ours, which needs no escape.
    fn push_plain(&mut self, name: &str, text: &str) {
        self.push_name(name);
        self.line.push('"');
        self.line.push_str(text);
        self.line.push('"');
    }

    /// A text of somebody else's. Nearly all need no escape, which one look at all bytes tells.
    fn push_text(&mut self, name: &str, text: &str) {
        if !needs_escape(text) {
            return self.push_plain(name, text);
        }
        self.push_name(name);
        self.line.push_str(&printable_json(&serde_json::Value::from(text).to_string()));
    }

    fn push_count(&mut self, name: &str, count: u64) {
        self.push_name(name);
        push_number(&mut self.line, count);
    }

    fn push_milliseconds(&mut self, name: &str, duration: Duration) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.push_count(name, microseconds / 1000);
        self.line.push('.');
        push_thousandths(&mut self.line, microseconds % 1000);
    }
}

#[expect(clippy::needless_bitwise_bool, reason = "a branch at each byte would keep them apart")]
fn needs_escape(text: &str) -> bool {
    let escapes = |found, byte: u8| found | (byte < b' ') | (byte == b'"') | (byte == b'\\') | (byte >= 0x7f);
    text.bytes().fold(false, escapes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Reason, is_unprintable},
        telemetry::{Names, Subject},
    };

    fn outcome(path: &str) -> Outcome<'_> {
        Outcome {
            arrived: UNIX_EPOCH + Duration::from_millis(951_782_400_007),
            request_id: "id",
            subject: Subject::None,
            method: "GET",
            path,
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            status: 404,
            decision: Decision::Refused(Reason::NoRoute),
            principal: None,
            cache: Some(Lookup::Hit),
            upstream: None,
            minted: None,
            upstream_duration: Some(Duration::from_micros(42)),
            duration: Duration::from_micros(1_234_567),
            bytes_in: 0,
            bytes_out: 5,
        }
    }

    #[test]
    fn a_request_is_one_json_line_whatever_its_path() {
        let metrics = Metrics::new(&Names::default());
        let mut writer = LineWriter::new();
        for path in [
            "/a",
            "/\"}\n{\"x\":\"",
            "/\u{e9}\u{7f}",
            "/\\",
            "/\u{9b}31m",
            "/\u{85}/\u{2028}/\u{2029}",
            "/\u{202e}gpj.exe",
            "/\u{e0041}",
        ] {
            let line = writer.write(&outcome(path), &metrics);
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert!(!line.trim_end_matches('\n').contains(is_unprintable), "{line:?}");
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["path"], path);
        }
    }

    #[test]
    fn every_member_reads_as_documented() {
        let metrics = Metrics::new(&Names::default());
        let expected = "{\"time\":\"2000-02-29T00:00:00.007Z\",\"request_id\":\"id\",\"route\":\"none\",\"method\":\"GET\",\
            \"path\":\"/a\",\"status\":404,\"decision\":\"refused\",\"reason\":\"no_route\",\"address\":\"127.0.0.1\",\
            \"cache_hit\":true,\"upstream_ms\":0.042,\"duration_ms\":1234.567,\"bytes_in\":0,\"bytes_out\":5}\n";
        assert_eq!(LineWriter::new().write(&outcome("/a"), &metrics), expected);
    }
}
