//! Keeps everything that is made of certificate files as fresh as they are.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

use super::AppError;
use crate::{
    domain::Timestamp,
    telemetry::Metrics,
    tls::{Ends, Renewable},
};

/// All that is made of certificate files.
pub(super) struct Certificates(Vec<Arc<dyn Renewable>>);

/// What tells one state of a file from another. A file that is not there has one as well.
type Marks = HashMap<PathBuf, Option<(u64, u64, u64, i64, i64)>>;

impl Certificates {
    pub(super) fn new(made: impl IntoIterator<Item = Arc<dyn Renewable>>) -> Self {
        Self(made.into_iter().collect())
    }

    /// From now on reads files again when they change or a SIGHUP comes, on a thread of its own.
    pub(super) fn keep_fresh(self, metrics: Arc<Metrics>) -> Result<(), AppError> {
        metrics.state_certificate_ends(&self.ends());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let hangups = runtime.block_on(async { signal(SignalKind::hangup()) })?;
        let run = move || runtime.block_on(self.follow(hangups, &metrics));
        thread::Builder::new().name("certificates".to_owned()).spawn(run)?;
        Ok(())
    }

    async fn follow(self, mut hangups: Signal, metrics: &Metrics) {
        let mut seen = self.marks();
        loop {
            let asked = tokio::select! {
                _ = hangups.recv() => true,
                () = sleep(LOOK_EVERY) => false,
            };
            let marks = self.marks();
            if asked || marks != seen {
                self.reload(Timestamp::now());
                metrics.state_certificate_ends(&self.ends());
            }
            seen = marks;
        }
    }

    fn marks(&self) -> Marks {
        let mark = |path: &Path| {
            let found = fs::metadata(path).ok();
            found.map(|found| (found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
        };
        self.0.iter().flat_map(|made| made.paths()).map(|path| (path.to_owned(), mark(path))).collect()
    }

    fn reload(&self, now: Timestamp) {
        for made in &self.0 {
            let before = made.ends();
            match made.reload(now) {
                Ok(()) if made.ends() == before => {}
                Ok(()) => tracing::info!(certificates = ?made.ends(), "new certificates are in use"),
                Err(error) => tracing::error!(%error, "the certificates in use stay"),
            }
        }
    }

    fn ends(&self) -> Ends {
        self.0.iter().flat_map(|made| made.ends()).collect()
    }
}

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
