//! How the gateway ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{SignalKind, signal};

use super::store::Followed;
use crate::telemetry::flush_logs;

/// Longest time that requests in flight get after SIGTERM, in seconds.
pub(super) const GRACE_SECONDS: u64 = 30;
/// How long the logs may take to be written out.
const FLUSH: Duration = Duration::from_secs(1);

/// Waits for SIGTERM (requests in flight are finished) or SIGINT (they are not).
pub(super) struct Signals {
    pub(super) ready: Arc<AtomicBool>,
    pub(super) in_flight: Arc<AtomicUsize>,
    pub(super) store: Arc<Followed>,
}

/// The last thing that the gateway does.
pub(super) fn leave(store: &Followed) {
    store.leave();
    flush_logs(FLUSH);
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            tracing::error!("signals cannot be received; only SIGKILL ends this process");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => ShutdownSignal::FastShutdown,
            _ = terminate.recv() => {
                tracing::info!("stopping: requests in flight are finished first");
                self.ready.store(false, Ordering::Release);
                self.exit_when_idle();
                ShutdownSignal::GracefulTerminate
            }
        }
    }
}

impl Signals {
    /// pingora sleeps through its whole grace period; this ends it as soon as nothing is left to do.
    fn exit_when_idle(&self) {
        let (in_flight, store) = (Arc::clone(&self.in_flight), Arc::clone(&self.store));
        let wait = move || {
            let mut idle_for = 0;
            // A request may be between its last byte and its place in the count, so idleness must last.
            while idle_for < 3 {
                thread::sleep(Duration::from_millis(50));
                idle_for = if in_flight.load(Ordering::Relaxed) == 0 { idle_for + 1 } else { 0 };
            }
            leave(&store);
            std::process::exit(0);
        };
        // Without the thread the grace period is waited out, which is as safe.
        let _ = thread::Builder::new().name("shutdown".to_owned()).spawn(wait);
    }
}
