//! One connection among others: whether it is idle, and since when.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::sync::Notify;

use super::now;

/// Whom a connection is counted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    V4(Ipv4Addr),
    /// The first 64 bits: a network that one subscriber has (RFC 6177).
    V6(u64),
    /// A trusted peer, with many clients behind it, or a socket in the file system.
    Many,
}

impl Source {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// What all connections of one source do together.
#[derive(Debug, Default)]
pub(super) struct Load {
    requests: AtomicUsize,
}

/// A connection, as others see it.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    source: Source,
    load: Arc<Load>,
    /// [`CLOSING`], or twice the requests in it, plus 1 once it has carried any.
    state: AtomicUsize,
    /// When it was opened, or its last request ended, in milliseconds.
    since: AtomicU64,
    closed: Notify,
}

/// Since when a connection is idle; the smaller, the sooner it may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Idle {
    carried: bool,
    since: u64,
    number: u64,
}

/// A request, for as long as it is served.
#[derive(Debug)]
pub(super) struct Serving(Arc<Place>);

impl Place {
    pub(super) fn new(number: u64, source: Source, load: Arc<Load>) -> Self {
        let (state, since) = (AtomicUsize::new(0), AtomicU64::new(milliseconds()));
        Self { number, source, load, state, since, closed: Notify::new() }
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) const fn source(&self) -> Source {
        self.source
    }

    /// `None` while it carries a request, or is closing.
    pub(super) fn idle(&self) -> Option<Idle> {
        let state = self.state.load(Ordering::Relaxed);
        let since = self.since.load(Ordering::Relaxed);
        (state <= CARRIED).then_some(Idle { carried: state == CARRIED, since, number: self.number })
    }

    /// Has it closed if it is still idle.
    pub(super) fn close(&self) -> bool {
        let close = |state| (state <= CARRIED).then_some(CLOSING);
        let closes = self.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, close).is_ok();
        if closes {
            self.closed.notify_one();
        }
        closes
    }

    /// The connection is gone, or counted at another place: from here on nobody has this one closed. Whether somebody had.
    pub(super) fn leave(&self) -> bool {
        self.state.swap(CLOSING, Ordering::AcqRel) == CLOSING
    }

    /// Waits until it has to close.
    pub(super) async fn closed(&self) {
        self.closed.notified().await;
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state.load(Ordering::Relaxed) == CLOSING
    }

    /// Begins a request; `None` if the connection has to make room for another one.
    pub(super) fn begin(self: &Arc<Self>) -> Option<Serving> {
        let begin = |state| (state != CLOSING).then(|| (state | CARRIED) + ONE_REQUEST);
        self.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, begin).ok()?;
        self.load.requests.fetch_add(1, Ordering::Relaxed);
        Some(Serving(Arc::clone(self)))
    }

    /// Requests in it and in all others of its source.
    pub(super) fn requests_of_address(&self) -> usize {
        self.load.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.load.requests.fetch_sub(1, Ordering::Relaxed);
        self.0.since.store(milliseconds(), Ordering::Relaxed);
        self.0.state.fetch_sub(ONE_REQUEST, Ordering::Release);
    }
}

/// Since the first time that somebody asked.
fn milliseconds() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(now);
    u64::try_from(now().saturating_duration_since(*START).as_millis()).unwrap_or(u64::MAX)
}

const CARRIED: usize = 1;
const ONE_REQUEST: usize = 2;
const CLOSING: usize = usize::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_counted_as_their_owners_have_them() {
        let of = |address: &str| Source::of(address.parse().unwrap());
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:0:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }

    #[test]
    fn a_connection_that_is_closing_begins_nothing_and_one_that_is_busy_does_not_close() {
        let place = Arc::new(Place::new(1, Source::Many, Arc::default()));
        let (first, second) = (place.begin().unwrap(), place.begin().unwrap());
        assert!(!place.close() && place.idle().is_none());
        drop(first);
        assert!(!place.close());
        drop(second);
        assert!(place.idle().unwrap().carried && place.close());
        assert!(place.begin().is_none() && place.idle().is_none() && !place.close());
        assert!(place.leave());
        let gone = Place::new(2, Source::Many, Arc::default());
        assert!(!gone.leave() && !gone.close());
    }
}
