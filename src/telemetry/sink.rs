//! Lines on their way out. Whoever has something to say appends it to a queue of bounded size, and a thread of its own
//! writes it: no request, and no signal, ever waits for a pipe that nobody reads.

use std::{
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::Thread,
    time::Duration,
};

use memchr::memchr_iter;

/// Lines that wait for one output. What does not fit, or what the output does not take, is dropped and counted.
pub(super) struct Sink {
    /// The `sink` label.
    pub(super) name: &'static str,
    /// Most bytes that wait, those that are being written among them.
    most: usize,
    waiting: Mutex<Waiting>,
    written: Condvar,
    lost: AtomicU64,
    writer: OnceLock<Thread>,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Bytes that were handed to the writer and may not be out yet.
    in_writing: usize,
}

impl Sink {
    pub(super) fn new(name: &'static str, most: usize) -> Arc<Self> {
        let (waiting, written, writer) = (Mutex::default(), Condvar::new(), OnceLock::new());
        Arc::new(Self { name, most, waiting, written, lost: AtomicU64::new(0), writer })
    }

    /// Names the thread that writes these lines out.
    pub(super) fn written_by(&self, writer: Thread) {
        let _ = self.writer.set(writer);
    }

    /// Appends one whole line, which may wait a moment for company.
    pub(super) fn append(&self, line: &[u8]) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.lines.len() + waiting.in_writing + line.len() > self.most {
            self.lose(1);
            return;
        }
        waiting.lines.extend_from_slice(line);
    }

    /// Has what waits written now.
    pub(super) fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    /// Lines that were dropped so far.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(super) fn lose(&self, lines: u64) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }

    /// Waits until every line is out or dropped, or until `patience` is over.
    pub(super) fn flush(&self, patience: Duration) {
        self.wake();
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = |waiting: &mut Waiting| !waiting.lines.is_empty() || waiting.in_writing > 0;
        drop(self.written.wait_timeout_while(waiting, patience, pending));
    }

    /// Takes all lines that wait, in exchange for an empty `batch`.
    pub(super) fn take(&self, batch: &mut Vec<u8>) {
        batch.clear();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(batch, &mut waiting.lines);
        waiting.in_writing = batch.len();
    }

    /// What was taken is out, or dropped.
    pub(super) fn done(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).in_writing = 0;
        self.written.notify_all();
    }
}

/// How many lines end in `bytes`.
pub(super) fn count_lines(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}
