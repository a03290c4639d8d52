//! Standard output, which is the access log's, and standard error, where the gateway speaks of itself.

use std::{
    fs::File,
    io::{self, stderr, stdout},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::MetadataExt,
    },
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use super::{
    sink::Sink,
    writer::{Portion, Writer},
};

/// What waits for the two outputs of this process.
pub(super) struct Standard {
    pub(super) access_log: Arc<Sink>,
    pub(super) diagnostics: Arc<Sink>,
}

/// The two outputs; the first call starts the threads that write to them.
pub(super) fn standard() -> &'static Standard {
    STANDARD.get_or_init(Standard::start)
}

/// Waits until all lines are out, or until `patience` is over. Nothing happens where nothing was ever logged.
pub fn flush_logs(patience: Duration) {
    let Some(Standard { access_log, diagnostics }) = STANDARD.get() else { return };
    let begin = now();
    access_log.flush(patience);
    diagnostics.flush(patience.saturating_sub(begin.elapsed()));
}

/// Says `text` on standard error as the last thing this process says, behind what was logged before it. If nobody reads
/// there, the process ends all the same.
pub fn say_last(text: &str) {
    let Some(Standard { diagnostics, .. }) = STANDARD.get() else {
        eprintln!("{text}");
        return;
    };
    diagnostics.append(format!("{text}\n").as_bytes());
    flush_logs(LAST_WORDS);
}

/// Lines of the diagnostic log lost so far.
pub fn diagnostics_lost() -> u64 {
    STANDARD.get().map_or(0, |standard| standard.diagnostics.lost())
}

impl Standard {
    fn start() -> Self {
        let access_log = Sink::new("access_log", MOST_OF_ACCESS_LOG);
        let diagnostics = Sink::new("diagnostics", MOST_OF_DIAGNOSTICS);
        let (out, err) = (Output::of(stdout().as_fd()), Output::of(stderr().as_fd()));
        // Two threads that write to one pipe would write into each other's lines.
        if out.place == err.place {
            out.serve(&[Arc::clone(&diagnostics), Arc::clone(&access_log)]);
        } else {
            out.serve(&[Arc::clone(&access_log)]);
            err.serve(&[Arc::clone(&diagnostics)]);
        }
        Self { access_log, diagnostics }
    }
}

/// One of this process's outputs. It is written to past the standard library's lock, which a write that blocks would hold.
struct Output {
    file: File,
    /// Which file it is: device and number.
    place: (u64, u64),
    portion: Portion,
}

impl Output {
    fn of(output: BorrowedFd<'_>) -> Self {
        let open = || -> io::Result<Self> {
            let file = File::from(output.try_clone_to_owned()?);
            let found = file.metadata()?;
            let portion = if found.is_file() { Portion::Any } else { Portion::Atomic };
            Ok(Self { file, place: (found.dev(), found.ino()), portion })
        };
        open().expect("the process has its standard outputs, and a descriptor more, at its start")
    }

    fn serve(self, sinks: &[Arc<Sink>]) {
        Writer::start(self.file, self.portion, sinks);
    }
}

#[expect(clippy::disallowed_methods, reason = "how long the end of the process waits for its outputs")]
fn now() -> Instant {
    Instant::now()
}

static STANDARD: OnceLock<Standard> = OnceLock::new();

/// Most bytes that wait: seconds of a busy access log, and thousands of lines of diagnostics.
const MOST_OF_ACCESS_LOG: usize = 8 << 20;
const MOST_OF_DIAGNOSTICS: usize = 1 << 20;
/// How long the last words of the process may take.
const LAST_WORDS: Duration = Duration::from_secs(1);
