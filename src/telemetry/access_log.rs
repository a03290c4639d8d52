use std::{
    cell::RefCell,
    fmt::Write as _,
    io::Write,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use super::{Decision, Metrics, Outcome, time::rfc3339};
use crate::cache::Lookup;

/// Most bytes that wait to be written; what comes beyond is dropped and counted, so that a blocked sink blocks no request.
const MAX_WAITING: usize = 8 * 1024 * 1024;
/// How long a line may wait for company.
const FLUSH_EVERY: Duration = Duration::from_millis(100);

/// One JSON line a request. A request appends to a buffer; a thread of its own writes the buffer out.
pub struct AccessLog {
    shared: Arc<Shared>,
}

struct Shared {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Bytes that were handed to the writer and may not be out yet.
    in_writing: usize,
}

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

impl AccessLog {
    /// Starts the thread that writes to `sink`.
    pub fn start(sink: impl Write + Send + 'static) -> Self {
        let shared = Arc::new(Shared { waiting: Mutex::default(), wake: Condvar::new(), dropped: AtomicU64::new(0) });
        let writer = Arc::clone(&shared);
        let started = thread::Builder::new().name("access-log".to_owned()).spawn(move || writer.write_to(sink));
        started.expect("the process may start a thread at its start");
        Self { shared }
    }

    /// Appends the line of one request.
    pub fn record(&self, outcome: &Outcome<'_>, names: &Metrics) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            write_line(line, outcome, names);
            self.shared.append(line.as_bytes());
        });
    }

    /// Lines that were dropped because the sink did not take them.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Waits until every line is out, or until `patience` is over.
    pub fn flush(&self, patience: Duration) {
        let waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.wake.notify_all();
        let pending = |waiting: &mut Waiting| !waiting.lines.is_empty() || waiting.in_writing > 0;
        drop(self.shared.wake.wait_timeout_while(waiting, patience, pending));
    }
}

impl Shared {
    fn append(&self, line: &[u8]) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.lines.len() + waiting.in_writing + line.len() > MAX_WAITING {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.lines.extend_from_slice(line);
    }

    fn write_to(&self, mut sink: impl Write) {
        let mut batch = Vec::new();
        loop {
            let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let woken = self.wake.wait_timeout(waiting, FLUSH_EVERY).unwrap_or_else(PoisonError::into_inner);
            let mut waiting = woken.0;
            batch.clear();
            std::mem::swap(&mut batch, &mut waiting.lines);
            waiting.in_writing = batch.len();
            drop(waiting);
            if batch.is_empty() {
                continue;
            }
            // A sink that is gone loses lines, never requests.
            if sink.write_all(&batch).and_then(|()| sink.flush()).is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).in_writing = 0;
            self.wake.notify_all();
        }
    }
}

fn write_line(line: &mut String, outcome: &Outcome<'_>, names: &Metrics) {
    line.push_str("{\"time\":\"");
    rfc3339(outcome.arrived, line);
    let _ = write!(line, "\",\"request_id\":\"{}\",\"route\":", outcome.request_id);
    push_json(line, names.subject(outcome.subject));
    line.push_str(",\"method\":");
    push_json(line, outcome.method);
    line.push_str(",\"path\":");
    push_json(line, outcome.path);
    let _ = write!(line, ",\"status\":{}", outcome.status);
    let (decision, reason) = match outcome.decision {
        Decision::Admitted => ("admitted", None),
        Decision::Refused(reason) => ("refused", Some(reason)),
        Decision::Reported(reason) => ("reported", Some(reason)),
    };
    let _ = write!(line, ",\"decision\":\"{decision}\"");
    if let Some(reason) = reason {
        let _ = write!(line, ",\"reason\":\"{}\"", reason.code());
    }
    let _ = write!(line, ",\"address\":\"{}\"", outcome.address);
    if let Some(principal) = outcome.principal {
        push_member(line, "client_id", principal.client.as_str());
        push_member(line, "customer_id", principal.customer.as_str());
        if let Some(application) = &principal.application {
            push_member(line, "application_id", application.as_str());
        }
    }
    if let Some(lookup) = outcome.cache {
        let _ = write!(line, ",\"cache_hit\":{}", lookup == Lookup::Hit);
    }
    if let Some(upstream) = outcome.upstream {
        push_member(line, "upstream", names.upstream(upstream));
    }
    if let Some(duration) = outcome.upstream_duration {
        let _ = write!(line, ",\"upstream_ms\":{}", Milliseconds(duration));
    }
    let (bytes_in, bytes_out) = (outcome.bytes_in, outcome.bytes_out);
    let duration = Milliseconds(outcome.duration);
    let _ = writeln!(line, ",\"duration_ms\":{duration},\"bytes_in\":{bytes_in},\"bytes_out\":{bytes_out}}}");
}

/// Milliseconds with three decimals.
struct Milliseconds(Duration);

impl std::fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let microseconds = self.0.as_micros();
        write!(f, "{}.{:03}", microseconds / 1000, microseconds % 1000)
    }
}

fn push_member(line: &mut String, name: &str, value: &str) {
    let _ = write!(line, ",\"{name}\":");
    push_json(line, value);
}

/// Appends `text` as a JSON string. Nearly all texts here need no escape, which one look tells.
fn push_json(line: &mut String, text: &str) {
    if text.bytes().any(|byte| byte < b' ' || matches!(byte, b'"' | b'\\' | 0x7f..)) {
        line.push_str(&serde_json::Value::from(text).to_string());
        return;
    }
    line.push('"');
    line.push_str(text);
    line.push('"');
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::SystemTime};

    use super::*;
    use crate::{
        domain::Reason,
        telemetry::{Names, Subject},
    };

    struct Sink(mpsc::Sender<Vec<u8>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(|_| std::io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn outcome(path: &str) -> Outcome<'_> {
        Outcome {
            arrived: SystemTime::UNIX_EPOCH,
            request_id: "id",
            subject: Subject::None,
            method: "GET",
            path,
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            status: 404,
            decision: Decision::Refused(Reason::NoRoute),
            principal: None,
            cache: None,
            upstream: None,
            upstream_duration: None,
            duration: Duration::from_micros(1234),
            bytes_in: 0,
            bytes_out: 5,
        }
    }

    #[test]
    fn a_request_is_one_json_line_whatever_its_path() {
        let metrics = Metrics::new(&Names { routes: Vec::new(), upstreams: Vec::new(), scopes: Vec::new() });
        for path in ["/a", "/\"}\n{\"x\":\"", "/\u{e9}\u{7f}"] {
            let mut line = String::new();
            write_line(&mut line, &outcome(path), &metrics);
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(value["path"], path);
            assert_eq!(value["reason"], "no_route");
            assert_eq!(value["duration_ms"], 1.234);
        }
    }

    #[test]
    fn lines_reach_the_sink_and_flush_waits_for_them() {
        let (sender, receiver) = mpsc::channel();
        let log = AccessLog::start(Sink(sender));
        let metrics = Metrics::new(&Names { routes: Vec::new(), upstreams: Vec::new(), scopes: Vec::new() });
        log.record(&outcome("/a"), &metrics);
        log.record(&outcome("/b"), &metrics);
        log.flush(Duration::from_secs(10));
        let written: Vec<u8> = receiver.try_iter().flatten().collect();
        assert_eq!(String::from_utf8(written).unwrap().lines().count(), 2);
        assert_eq!(log.dropped(), 0);
    }
}
