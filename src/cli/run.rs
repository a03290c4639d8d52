//! `scopegate run`

use std::path::Path;

use super::Failure;
use crate::{app, config};

pub(super) fn run(path: &Path) -> Result<(), Failure> {
    let config = config::load(path)?;
    log_to_stderr();
    let listen = config.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let admin = config.admin.address;
    app::run(config, move || tracing::info!(%listen, %admin, "serving"))?;
    Ok(())
}

/// What the gateway says of itself goes to standard error, one JSON line each; standard output is the access log's.
pub(super) fn log_to_stderr() {
    let lines = tracing_subscriber::fmt().json().with_writer(std::io::stderr).with_max_level(tracing::Level::INFO);
    // A second call finds the first one's subscriber in place.
    let _ = lines.try_init();
}
