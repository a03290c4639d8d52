use std::{
    cell::RefCell,
    io::Write,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use super::{Metrics, Outcome, line::LineWriter};

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
    static LINE: RefCell<LineWriter> = const { RefCell::new(LineWriter::new()) };
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
        LINE.with_borrow_mut(|line| self.shared.append(line.write(outcome, names).as_bytes()));
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

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::SystemTime};

    use super::*;
    use crate::{
        domain::Reason,
        telemetry::{Decision, Names, Subject},
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
            minted: None,
            upstream_duration: None,
            duration: Duration::from_micros(1234),
            bytes_in: 0,
            bytes_out: 5,
        }
    }

    #[test]
    fn lines_reach_the_sink_and_flush_waits_for_them() {
        let (sender, receiver) = mpsc::channel();
        let log = AccessLog::start(Sink(sender));
        let metrics = Metrics::new(&Names::default());
        log.record(&outcome("/a"), &metrics);
        log.record(&outcome("/b"), &metrics);
        log.flush(Duration::from_secs(10));
        let written: Vec<u8> = receiver.try_iter().flatten().collect();
        assert_eq!(String::from_utf8(written).unwrap().lines().count(), 2);
        assert_eq!(log.dropped(), 0);
    }
}
