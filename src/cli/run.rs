//! `scopegate run`

use std::path::Path;

use super::Failure;
use crate::{app, config, telemetry::log_to_stderr};

pub(super) fn run(path: &Path) -> Result<(), Failure> {
    // First of all: what is wrong with the configuration is said there too, and must not wait for a reader.
    log_to_stderr();
    let config = config::load(path)?;
    let listen = config.listen.iter().map(|listener| listener.address.to_string()).collect::<Vec<_>>().join(", ");
    let admin = config.admin.address;
    app::run(config, move || tracing::info!(%listen, %admin, "serving"))?;
    Ok(())
}
