use log::{Level, LevelFilter, Metadata, Record};

/// What the gateway says of itself goes to standard error, one JSON line each; standard output is the access log's.
pub fn log_to_stderr() {
    let lines = tracing_subscriber::fmt().json().with_writer(std::io::stderr).with_max_level(tracing::Level::INFO);
    // A second call finds the first one's subscriber in place.
    let _ = lines.try_init();
    let _ = log::set_logger(&Framework);
    log::set_max_level(LevelFilter::Warn);
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
