//! The thread behind one output.

use std::{
    io::{Error, ErrorKind, Write},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use memchr::{memchr, memrchr};

use super::sink::{Sink, count_lines};

/// How much one write may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Portion {
    /// Any number of lines: for a file, where one write is one write however long it is.
    Any,
    /// Whole lines of at most [`ATOMIC`] bytes together: so much goes into a pipe in one piece, whoever else writes to it.
    Atomic,
}

/// Writes the lines of one or more sinks to one output, each line whole and none within another.
pub(super) struct Writer<W> {
    output: W,
    portion: Portion,
    sinks: Vec<Reported>,
    /// The rest of a line of which the output took the beginning only. It goes before anything else.
    rest: Vec<u8>,
}

/// A sink, and what was said of its losses.
struct Reported {
    sink: Arc<Sink>,
    lost: u64,
    failing: bool,
}

/// The output took no more.
struct Failed {
    error: Error,
    /// Bytes that it took before.
    taken: usize,
}

impl<W: Write + Send + 'static> Writer<W> {
    /// Starts the thread.
    pub(super) fn start(output: W, portion: Portion, sinks: &[Arc<Sink>]) {
        let reported = |sink: &Arc<Sink>| Reported { sink: Arc::clone(sink), lost: 0, failing: false };
        let writer = Self { output, portion, sinks: sinks.iter().map(reported).collect(), rest: Vec::new() };
        let started = thread::Builder::new().name("log".to_owned()).spawn(move || writer.run());
        let started = started.expect("the process may start a thread at its start");
        for sink in sinks {
            sink.written_by(started.thread().clone());
        }
    }

    fn run(mut self) {
        let mut batch = Vec::new();
        let mut reported_at = now();
        loop {
            for place in 0..self.sinks.len() {
                self.write_out(place, &mut batch);
            }
            if reported_at.elapsed() >= REPORT_EVERY {
                reported_at = now();
                self.sinks.iter_mut().for_each(Reported::report_losses);
            }
            thread::park_timeout(FLUSH_EVERY);
        }
    }

    /// Writes all that waits in one of the sinks. An output that fails loses lines, never requests.
    fn write_out(&mut self, place: usize, batch: &mut Vec<u8>) {
        let sink = Arc::clone(&self.sinks[place].sink);
        sink.take(batch);
        if !batch.is_empty() {
            let outcome = self.write(batch);
            let lost = outcome.as_ref().map_or_else(|(_, lost)| *lost, |()| 0);
            sink.lose(lost);
            self.sinks[place].note(outcome.err().map(|(error, _)| error).as_ref());
        }
        sink.done();
    }

    /// Writes `lines`, or tells why it could not and how many lines are lost by that.
    fn write(&mut self, lines: &[u8]) -> Result<(), (Error, u64)> {
        let rest = std::mem::take(&mut self.rest);
        if let Err(Failed { error, taken }) = self.put(&rest) {
            return Err(self.keep(&rest[taken..], lines, error));
        }
        let Err(Failed { error, taken }) = self.put(lines) else { return Ok(()) };
        let (before, left) = lines.split_at(taken);
        let begun = !before.is_empty() && !before.ends_with(b"\n");
        let end = if begun { memchr(b'\n', left).map_or(left.len(), |end| end + 1) } else { 0 };
        let (rest, lost) = left.split_at(end);
        Err(self.keep(rest, lost, error))
    }

    /// Keeps the `rest` of a line that was begun, so that the next one does not join it, and counts those that are lost.
    fn keep(&mut self, rest: &[u8], lost: &[u8], error: Error) -> (Error, u64) {
        self.rest = rest.to_vec();
        // Whoever had read the beginning of that line is gone: to the next reader it is no line.
        let cut = if error.kind() == ErrorKind::BrokenPipe { count_lines(rest) } else { 0 };
        (error, cut + count_lines(lost))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        let mut taken = 0;
        while taken < bytes.len() {
            match self.output.write(self.portion.of(&bytes[taken..])) {
                Ok(0) => return Err(Failed { error: ErrorKind::WriteZero.into(), taken }),
                Ok(length) => taken += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Whoever shares the output has made it so; this thread may wait.
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(TRY_AGAIN_AFTER),
                Err(error) => return Err(Failed { error, taken }),
            }
        }
        Ok(())
    }
}

impl Portion {
    /// The first lines of `bytes` that go into one write; a line that is longer goes alone.
    fn of(self, bytes: &[u8]) -> &[u8] {
        if self == Self::Any || bytes.len() <= ATOMIC {
            return bytes;
        }
        let fitting = memrchr(b'\n', &bytes[..ATOMIC]).or_else(|| memchr(b'\n', bytes));
        &bytes[..fitting.map_or(bytes.len(), |end| end + 1)]
    }
}

impl Reported {
    /// Says so when an output that worked does no longer.
    fn note(&mut self, error: Option<&Error>) {
        if let (Some(error), false) = (error, self.failing) {
            tracing::error!(sink = self.sink.name, %error, "lines of the log cannot be written: they are lost, and counted");
        }
        self.failing = error.is_some();
    }

    /// Says, once lines flow again, how many were lost meanwhile.
    fn report_losses(&mut self) {
        let lost = self.sink.lost();
        if lost > self.lost && !self.failing {
            let lines = lost - self.lost;
            tracing::warn!(sink = self.sink.name, lines, "lines of the log were lost: the output did not take them");
            self.lost = lost;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how often losses are told, which no decision rests on")]
fn now() -> Instant {
    Instant::now()
}

/// How long a line may wait for company.
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// How often losses are told at most.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// When an output that would block is tried again.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(10);
/// `PIPE_BUF` of Linux (pipe(7)): writes of at most so many bytes are never split.
const ATOMIC: usize = 4096;

#[cfg(test)]
mod tests;
