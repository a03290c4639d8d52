//! Bodies that nobody wants, read on after the reply to their request.
//!
//! A connection that is closed while its client sends is reset, and the reset overtakes the reply: the client learns
//! nothing of its 401. So what still comes is taken and thrown away. Attackers would like that as well, so all connections
//! share what may be thrown away, and one more is closed at once.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use pingora::{protocols::Stream, proxy::Session, time::timeout};
use tokio::io::AsyncReadExt;

use super::now;

/// Reads what is left of a request's body, if there is anything left.
pub(super) async fn linger(session: &mut Session) {
    if session.is_body_done() || session.was_upgraded() {
        return;
    }
    let Some(linger) = Linger::begin(&SHARED) else { return };
    let plain = session.digest().is_some_and(|digest| digest.ssl_digest.is_none());
    if session.stream().is_some() && plain {
        // Who waits for the end of the connection sees it now. With TLS the end would be one of both directions.
        session.downstream_session.shutdown().await;
    }
    while let Some(patience) = linger.patience() {
        match timeout(patience, session.read_request_body()).await {
            Ok(Ok(Some(part))) if linger.takes(part.len()) => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Reads whatever comes on a connection whose request has no end that could be found.
pub(super) async fn linger_raw(stream: &mut Stream) {
    let Some(linger) = Linger::begin(&SHARED) else { return };
    let mut part = vec![0; ONE_READ];
    while let Some(patience) = linger.patience() {
        match timeout(patience, stream.read(&mut part)).await {
            Ok(Ok(length @ 1..)) if linger.takes(length) => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// What all connections share.
struct Budget {
    connections: AtomicUsize,
    bytes: Mutex<Bytes>,
}

struct Bytes {
    left: u64,
    /// When some were last added; never before the first were taken.
    filled: Option<Instant>,
}

static SHARED: Budget = Budget::new();

impl Budget {
    const fn new() -> Self {
        Self { connections: AtomicUsize::new(0), bytes: Mutex::new(Bytes { left: BURST, filled: None }) }
    }

    fn take(&self, length: usize, now: Instant) -> bool {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let since = bytes.filled.replace(now).map_or(Duration::ZERO, |filled| now.saturating_duration_since(filled));
        let added = u64::try_from(since.as_micros()).unwrap_or(u64::MAX).saturating_mul(PER_MICROSECOND);
        let left = bytes.left.saturating_add(added).min(BURST);
        bytes.left = left.saturating_sub(length as u64);
        left >= length as u64
    }
}

/// One connection that takes its share, until it is dropped.
struct Linger<'b> {
    budget: &'b Budget,
    end: Instant,
}

impl<'b> Linger<'b> {
    fn begin(budget: &'b Budget) -> Option<Self> {
        let linger = Self { budget, end: now() + IN_ALL };
        (budget.connections.fetch_add(1, Relaxed) < MOST_CONNECTIONS).then_some(linger)
    }

    /// For how long the next bytes are waited for.
    fn patience(&self) -> Option<Duration> {
        let left = self.end.saturating_duration_since(now());
        (!left.is_zero()).then_some(left.min(SILENCE))
    }

    fn takes(&self, length: usize) -> bool {
        self.budget.take(length, now())
    }
}

impl Drop for Linger<'_> {
    fn drop(&mut self) {
        self.budget.connections.fetch_sub(1, Relaxed);
    }
}

/// How long one connection may take for the rest of its body.
const IN_ALL: Duration = Duration::from_secs(30);
/// How long it may be silent meanwhile.
const SILENCE: Duration = Duration::from_secs(5);
/// Connections that are read from at one moment.
const MOST_CONNECTIONS: usize = 256;
/// What they may send in a short time, in bytes, and what is added to that in time.
const BURST: u64 = 1 << 30;
const PER_MICROSECOND: u64 = 32;
const ONE_READ: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_what_time_allows() {
        let (budget, start) = (Budget::new(), now());
        assert!(budget.take(1 << 29, start) && budget.take(1 << 29, start));
        assert!(!budget.take(1, start));
        let later = start + Duration::from_secs(1);
        assert!(budget.take(32_000_000, later) && !budget.take(1, later));
        let much_later = later + Duration::from_secs(1_000_000);
        assert!(budget.take(1 << 30, much_later) && !budget.take(1, much_later));
    }

    #[test]
    fn so_many_connections_take_part_and_no_more() {
        let budget = Budget::new();
        let mut taking: Vec<_> = (0..MOST_CONNECTIONS).map(|_| Linger::begin(&budget)).collect();
        assert!(taking.iter().all(Option::is_some) && Linger::begin(&budget).is_none());
        taking.pop();
        assert!(Linger::begin(&budget).is_some() && Linger::begin(&budget).is_some());
    }
}
