//! What the requests of a connection share with the connection itself, and what ends an exchange in which nothing happens.

use std::{
    any::Any,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use http::HeaderValue;
use pingora::{
    http::ResponseHeader,
    protocols::{Digest, raw_connect::ProxyDigest},
};
use tokio::time::{Instant, Sleep, sleep};

use super::reply_buffer::READ_AHEAD;

/// Between a connection, or a stream of one, and its requests. The framework hands on one thing that others made: the
/// place where a connection could tell of proxies on its way.
#[derive(Default)]
pub(super) struct Link {
    client: Option<HeaderValue>,
    sender: Sender,
    watch: Mutex<Option<Watch>>,
    /// Bytes of the reply that may be read from the upstream before the client takes any.
    expected: AtomicUsize,
    pace: Pace,
}

/// How a client takes its replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pace {
    #[default]
    Any,
    /// In small pieces, or not at all.
    Little,
}

/// Whether a connection's address is that of who writes on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sender {
    /// It is, or a balancer said whose it is.
    #[default]
    Known,
    /// A balancer made the connection and did not say for whom.
    Unsaid,
}

/// Ends an exchange in time, whether anything passes or not.
pub(super) struct Watch {
    until: Option<Instant>,
    stands: Option<Stands>,
    alarm: Pin<Box<Sleep>>,
    over: bool,
}

/// Whether an exchange may go on.
pub(super) type Stands = Box<dyn Fn() -> bool + Send>;

impl Link {
    /// Of a client whose certificate gives it this name (RFC 4514), or of one without.
    pub(super) fn new(client: Option<HeaderValue>, sender: Sender) -> Self {
        Self { client, sender, ..Self::default() }
    }

    /// For a stream of this connection.
    pub(super) fn of_a_stream(&self) -> Self {
        Self::new(self.client.clone(), self.sender)
    }

    /// To be carried in a connection's digest.
    pub(super) fn carried(self) -> Option<Arc<ProxyDigest>> {
        let nothing = ResponseHeader::build_no_case(200, None).ok()?;
        let link: Box<dyn Any + Send + Sync> = Box::new(self);
        Some(Arc::new(ProxyDigest::new(Box::new(nothing), Some(link))))
    }

    /// The one that is carried.
    pub(super) fn in_proxy_digest(digest: Option<&ProxyDigest>) -> Option<&Self> {
        digest?.user_data.as_ref()?.downcast_ref()
    }

    /// The one that is carried.
    pub(super) fn of(digest: Option<&Digest>) -> Option<&Self> {
        Self::in_proxy_digest(digest?.proxy_digest.as_deref())
    }

    /// The name that the certificate of the client gives it (RFC 4514).
    pub(super) const fn client(&self) -> Option<&HeaderValue> {
        self.client.as_ref()
    }

    /// Whether the connection's address is its sender's.
    pub(super) const fn sender(&self) -> Sender {
        self.sender
    }

    /// The same to a client that takes its replies like this.
    pub(super) fn at(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }

    /// How its client takes replies.
    pub(super) const fn pace(&self) -> Pace {
        self.pace
    }

    /// What may have been read of a reply while its client takes nothing, in bytes.
    pub(super) fn expected(&self) -> usize {
        self.expected.load(Ordering::Relaxed)
    }

    /// States how long a reply is; `None`: nobody knows.
    pub(super) fn expect(&self, length: Option<u64>) {
        let length = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(READ_AHEAD);
        self.expected.store(length.min(READ_AHEAD), Ordering::Relaxed);
    }

    /// From now on waiting for the client ends when `watch` says so; with `None` it does not.
    pub(super) fn set_watch(&self, watch: Option<Watch>) {
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = watch;
    }

    /// Whether the watch ended the exchange.
    pub(super) fn is_over(&self) -> bool {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|watch| watch.over)
    }

    /// Ready once the exchange is over.
    pub(super) fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        watch.as_mut().map_or(Poll::Pending, |watch| watch.poll_over(cx))
    }

    /// Waits until the exchange is over.
    pub(super) async fn over(&self) {
        poll_fn(|cx| self.poll_over(cx)).await;
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Link").finish_non_exhaustive()
    }
}

impl Watch {
    /// Over at a moment, or soon after it no longer `stands`, which is asked now and then. `None`: for nothing.
    pub(super) fn new(until: Option<Instant>, stands: Option<Stands>) -> Option<Self> {
        if until.is_none() && stands.is_none() {
            return None;
        }
        let mut watch = Self { until, stands, alarm: Box::pin(sleep(Duration::ZERO)), over: false };
        watch.wind();
        Some(watch)
    }

    fn wind(&mut self) {
        let asked = self.stands.as_ref().map(|_| Instant::now() + ASKED_EVERY);
        if let Some(next) = self.until.into_iter().chain(asked).min() {
            self.alarm.as_mut().reset(next);
        }
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.over {
            ready!(self.alarm.as_mut().poll(cx));
            let late = self.until.is_some_and(|until| until <= Instant::now());
            self.over = late || self.stands.as_ref().is_some_and(|stands| !stands());
            self.wind();
        }
        Poll::Ready(())
    }
}

/// How soon a token that was revoked ends an exchange in which nothing happens.
const ASKED_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    async fn lasts(watch: Option<Watch>) -> Duration {
        let link = Link::default();
        link.set_watch(watch);
        let begin = Instant::now();
        let over = timeout(Duration::from_secs(60), link.over()).await.is_ok();
        assert_eq!(over, link.is_over());
        begin.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_is_over_once_nothing_stands_behind_it() {
        let asked = Arc::new(AtomicUsize::new(0));
        let until_third = Arc::clone(&asked);
        let third: Stands = Box::new(move || until_third.fetch_add(1, Ordering::Relaxed) < 2);
        assert!((3000..3100).contains(&lasts(Watch::new(None, Some(third))).await.as_millis()));
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        assert!(Watch::new(None, None).is_none());
        assert_eq!(lasts(Watch::new(None, Some(Box::new(|| true)))).await, Duration::from_secs(60));
        assert_eq!(lasts(None).await, Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_is_over_at_its_time() {
        for stands in [None, Some(Box::new(|| true) as Stands)] {
            let until = Instant::now() + Duration::from_millis(2500);
            assert!((2500..2600).contains(&lasts(Watch::new(Some(until), stands)).await.as_millis()));
        }
    }
}
