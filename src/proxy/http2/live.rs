//! What the streams of one connection hold together, and which of them may begin.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::Notify,
    time::{Instant, Sleep, sleep},
};

use super::signals::Signals;
use crate::proxy::{
    context::Counted,
    link::Pace,
    place::{Place, Serving},
    reply_buffer::{Held, ReplyBuffer},
};

/// One connection, as its streams know it.
pub(super) struct Live {
    signals: Arc<Signals>,
    place: Arc<Place>,
    replies: Arc<ReplyBuffer>,
    in_flight: Arc<AtomicUsize>,
    /// Streams being served, and replies that wait.
    streams: AtomicUsize,
    fields: AtomicUsize,
    /// Bytes of cookies that were joined.
    joined: AtomicUsize,
    /// Streams whose client gives no window for what is next, and what they hold.
    waiting: AtomicUsize,
    held: AtomicUsize,
    /// Bytes of replies that windows were given for.
    taken: AtomicUsize,
    /// Bytes of replies that are on their way to the kernel.
    unsent: AtomicUsize,
    /// Something was sent.
    sent: Notify,
    /// Another stream may begin.
    changed: Notify,
}

/// What the head of a stream holds.
pub(super) struct Share {
    live: Arc<Live>,
    fields: usize,
    joined: usize,
}

/// A stream that is served, or whose reply waits.
pub(super) struct Begun {
    live: Arc<Live>,
    _serving: Serving,
}

/// A reply that waits for its client's window.
pub(super) struct Waiting {
    live: Arc<Live>,
    bytes: usize,
    held: Held,
    alarm: Pin<Box<Sleep>>,
    /// What the client had taken when it was looked at last.
    taken: usize,
}

/// Whether a stream may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Now,
    /// Once its client takes what others have for it.
    Later,
    /// Its client may send it again.
    Never,
}

impl Live {
    pub(super) fn new(
        signals: Arc<Signals>,
        place: Arc<Place>,
        replies: Arc<ReplyBuffer>,
        in_flight: Arc<AtomicUsize>,
    ) -> Arc<Self> {
        Arc::new(Self {
            signals,
            place,
            replies,
            in_flight,
            streams: AtomicUsize::new(0),
            fields: AtomicUsize::new(0),
            joined: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            unsent: AtomicUsize::new(0),
            sent: Notify::new(),
            changed: Notify::new(),
        })
    }

    /// Whether nothing is served.
    pub(super) fn is_idle(&self) -> bool {
        self.streams.load(Ordering::Relaxed) == 0
    }

    /// A client without a window takes no reply: its requests wait, rather than what would be read for it. A few go on,
    /// for there are replies without a body, and one stream may be slow while others are not.
    pub(super) fn turn(&self, queued: usize) -> Turn {
        let streams = self.streams.load(Ordering::Relaxed);
        let (served, most_queued, takes) = match self.pace() {
            Pace::Little => (FEW, FEW_QUEUED, false),
            Pace::Any => (MANY, MOST_QUEUED, self.waiting.load(Ordering::Relaxed) == 0),
        };
        if streams < served || takes {
            return Turn::Now;
        }
        if queued < most_queued { Turn::Later } else { Turn::Never }
    }

    /// How the client takes replies, by the windows that it gives to new streams.
    pub(super) fn pace(&self) -> Pace {
        if self.signals.window() < SMALL_WINDOW { Pace::Little } else { Pace::Any }
    }

    /// Waits until a stream may begin that could not before.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// From now on `bytes` wait for the client.
    pub(super) fn wait(self: &Arc<Self>, bytes: usize) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.held.fetch_add(bytes, Ordering::Relaxed);
        let taken = self.taken.load(Ordering::Relaxed);
        Waiting { live: Arc::clone(self), bytes, held: self.replies.hold(bytes), alarm: Box::pin(sleep(GRACE)), taken }
    }

    /// Whether the client lets several replies wait, takes none of them, and sent little for what they hold.
    fn is_over(&self, taken_before: usize) -> bool {
        let few = HELD_FREELY + PER_BYTE_RECEIVED * self.signals.received();
        let taken = self.taken.load(Ordering::Relaxed).saturating_sub(taken_before);
        self.waiting.load(Ordering::Relaxed) > 1 && self.held.load(Ordering::Relaxed) > few && taken < LITTLE
    }

    /// Bytes that were given a window, as they go to the kernel. The request counts as long as its last ones do not.
    pub(super) async fn charge(self: &Arc<Self>, part: Bytes, last: bool) -> Bytes {
        loop {
            let sent = self.sent.notified();
            if self.unsent.load(Ordering::Relaxed) < MOST_UNSENT {
                break;
            }
            sent.await;
        }
        self.taken.fetch_add(part.len(), Ordering::Relaxed);
        if part.is_empty() {
            return part;
        }
        self.unsent.fetch_add(part.len(), Ordering::Relaxed);
        let request = last.then(|| self.counted());
        Bytes::from_owner(Charged { part, live: Arc::clone(self), _request: request })
    }

    /// Counts one more request as being served.
    pub(super) fn counted(&self) -> Counted {
        Counted::enter(&self.in_flight)
    }
}

impl Share {
    /// `None` if the others hold too much. `joined` are the bytes of a cookie that came in crumbs: each may have cost its
    /// client one byte.
    pub(super) fn of(live: &Arc<Live>, fields: usize, joined: usize) -> Option<Self> {
        let most_joined = HELD_FREELY + PER_BYTE_RECEIVED * live.signals.received();
        if live.fields.load(Ordering::Relaxed) + fields > MOST_FIELDS
            || live.joined.load(Ordering::Relaxed) + joined > most_joined
        {
            return None;
        }
        live.fields.fetch_add(fields, Ordering::Relaxed);
        live.joined.fetch_add(joined, Ordering::Relaxed);
        Some(Self { live: Arc::clone(live), fields, joined })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.live.fields.fetch_sub(self.fields, Ordering::Relaxed);
        self.live.joined.fetch_sub(self.joined, Ordering::Relaxed);
    }
}

impl Begun {
    /// `None` if the connection is about to close.
    pub(super) fn of(live: &Arc<Live>) -> Option<Self> {
        let serving = live.place.begin()?;
        live.streams.fetch_add(1, Ordering::Relaxed);
        Some(Self { live: Arc::clone(live), _serving: serving })
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.live.streams.fetch_sub(1, Ordering::Relaxed);
        self.live.changed.notify_one();
    }
}

impl Waiting {
    /// Ready once the exchange must end.
    pub(super) fn poll_given_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.held.poll_given_up(cx).is_ready() {
            return Poll::Ready(());
        }
        loop {
            ready!(self.alarm.as_mut().poll(cx));
            if self.live.is_over(self.taken) {
                self.live.replies.count_given_up();
                return Poll::Ready(());
            }
            self.taken = self.live.taken.load(Ordering::Relaxed);
            self.alarm.as_mut().reset(Instant::now() + GRACE);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.live.held.fetch_sub(self.bytes, Ordering::Relaxed);
        if self.live.waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.live.changed.notify_one();
        }
    }
}

/// Bytes that count until nobody needs them any more.
struct Charged {
    part: Bytes,
    live: Arc<Live>,
    _request: Option<Counted>,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.part
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        self.live.unsent.fetch_sub(self.part.len(), Ordering::Relaxed);
        self.live.sent.notify_one();
    }
}

/// Header fields that all streams of a connection hold together; each costs a client as little as one byte.
const MOST_FIELDS: usize = 4096;
/// A window below this takes no reply in reasonable pieces, in bytes.
const SMALL_WINDOW: u32 = 16 * 1024;
/// Streams of a client with such windows that are served at one moment, and that wait to begin.
const FEW: usize = 1;
const FEW_QUEUED: usize = 4;
/// The same of a client that lets a reply wait.
const MANY: usize = 8;
const MOST_QUEUED: usize = 100;
/// What a connection may hold, in bytes: this, and so many for each byte that its client sent.
const HELD_FREELY: usize = 64 * 1024;
const PER_BYTE_RECEIVED: usize = 16;
/// How long a client may take next to nothing while it holds more than that, and what next to nothing is, in bytes.
const GRACE: Duration = Duration::from_secs(2);
const LITTLE: usize = 4096;
/// What all streams of a connection may have on its way to the kernel, in bytes.
const MOST_UNSENT: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::timeout;

    use super::*;
    use crate::{
        proxy::place::Source,
        telemetry::{Metrics, Names},
    };

    fn live() -> (Arc<Live>, Arc<Signals>) {
        let signals = Arc::new(Signals::default());
        let place = Arc::new(Place::new(1, Source::Many, Arc::default()));
        let metrics = Arc::new(Metrics::new(&Names::default()));
        let replies = Arc::new(ReplyBuffer::new(usize::MAX, Arc::default(), metrics));
        (Live::new(Arc::clone(&signals), place, replies, Arc::default()), signals)
    }

    #[tokio::test(start_paused = true)]
    async fn streams_begin_as_their_client_takes_replies() {
        let (live, signals) = live();
        let streams: Vec<Begun> = (0..MANY).filter_map(|_| Begun::of(&live)).collect();
        assert_eq!(live.turn(0), Turn::Now);
        let waiting = live.wait(1000);
        assert_eq!((live.turn(0), live.turn(MOST_QUEUED)), (Turn::Later, Turn::Never));
        drop(waiting);
        assert_eq!(live.turn(0), Turn::Now);
        signals.window_is(SMALL_WINDOW - 1);
        assert_eq!((live.turn(0), live.turn(FEW_QUEUED)), (Turn::Later, Turn::Never));
        drop(streams);
        assert_eq!((live.turn(FEW_QUEUED), live.is_idle()), (Turn::Now, true));
    }

    async fn is_given_up(waiting: &mut Waiting) -> bool {
        timeout(10 * GRACE, poll_fn(|cx| waiting.poll_given_up(cx))).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn of_replies_that_wait_for_a_client_that_takes_nothing_one_goes_on_waiting() {
        let (live, _) = live();
        let [mut first, mut second, mut third] = [(); 3].map(|()| live.wait(HELD_FREELY));
        assert!(is_given_up(&mut first).await);
        drop(first);
        assert!(is_given_up(&mut second).await);
        drop(second);
        assert!(!is_given_up(&mut third).await);
    }

    #[tokio::test(start_paused = true)]
    async fn replies_wait_for_a_client_that_sent_enough_for_them_or_takes_some() {
        let (live, signals) = live();
        let [mut first, _second] = [(); 2].map(|()| live.wait(HELD_FREELY));
        signals.used(HELD_FREELY / PER_BYTE_RECEIVED, 0);
        assert!(!is_given_up(&mut first).await);
        let mut third = live.wait(HELD_FREELY);
        let taken = live.charge(Bytes::from(vec![0; LITTLE]), false).await;
        assert!(timeout(GRACE + GRACE / 2, poll_fn(|cx| third.poll_given_up(cx))).await.is_err());
        assert!(is_given_up(&mut third).await);
        drop(taken);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_on_their_way_to_the_kernel_are_bounded_and_their_request_counts() {
        let (live, _) = live();
        let most = live.charge(Bytes::from(vec![0; MOST_UNSENT]), true).await;
        assert_eq!(live.in_flight.load(Ordering::Relaxed), 1);
        let next = timeout(GRACE, live.charge(Bytes::from_static(b"x"), false));
        assert!(next.await.is_err());
        drop(most);
        assert_eq!(live.in_flight.load(Ordering::Relaxed), 0);
        assert_eq!(live.charge(Bytes::from_static(b"x"), false).await, "x");
        assert_eq!(live.unsent.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn cookies_in_crumbs_hold_no_more_than_their_client_sent() {
        let (live, signals) = live();
        let share = Share::of(&live, 10, HELD_FREELY);
        assert!(share.is_some() && Share::of(&live, 10, 1).is_none());
        signals.used(100, 0);
        assert!(Share::of(&live, 10, 100 * PER_BYTE_RECEIVED).is_some());
        assert!(Share::of(&live, MOST_FIELDS, 0).is_none());
        drop(share);
        assert!(Share::of(&live, MOST_FIELDS, HELD_FREELY).is_some());
    }
}
