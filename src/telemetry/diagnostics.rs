use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io,
    panic::{self, PanicHookInfo},
    sync::Arc,
    thread,
};

use log::{Level, LevelFilter, Metadata, Record};

use super::{sink::Sink, standard::standard};
use crate::domain::printable_json;

/// What the gateway says of itself goes to standard error, one JSON line each, panics among them; standard output is the
/// access log's. Whoever says it never waits.
pub fn log_to_stderr() {
    let sink = &standard().diagnostics;
    let lines = || Lines(Arc::clone(sink));
    let subscriber = tracing_subscriber::fmt().json().with_writer(lines).with_max_level(tracing::Level::INFO);
    // A second call finds the first one's subscriber in place.
    let _ = subscriber.log_internal_errors(false).try_init();
    let _ = log::set_logger(&Framework);
    log::set_max_level(LevelFilter::Warn);
    panic::set_hook(Box::new(report_panic));
}

/// Takes one line with each write, as the subscriber makes them.
struct Lines(Arc<Sink>);

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches('\n');
        self.0.append(format!("{}\n", printable_json(text)).as_bytes());
        self.0.wake();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The standard library's hook writes to standard error itself, and would wait there.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = text.unwrap_or("something that is no text");
    let current = thread::current();
    let thread = current.name().unwrap_or("without a name");
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(thread, backtrace, "panicked at {place}: {message}");
}

/// Hands on what the framework warns of. Its chattier levels quote requests, which may hold secrets.
struct Framework;

impl log::Log for Framework {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        let (message, module) = (record.args(), record.target());
        match record.level() {
            Level::Error => tracing::error!(target: "framework", module, "{message}"),
            Level::Warn => tracing::warn!(target: "framework", module, "{message}"),
            Level::Info | Level::Debug | Level::Trace => {}
        }
    }

    fn flush(&self) {}
}
