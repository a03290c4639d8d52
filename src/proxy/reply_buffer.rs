//! What is held of replies for clients that do not take them, all together.
//!
//! The framework reads a reply ahead of its client, up to [`READ_AHEAD`]. Whoever waits for a client is counted here for as
//! long as it waits; once the sum is over its limit, those that have waited longest without progress are given up first, and
//! new requests are refused meanwhile.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::task::AtomicWaker;

use super::now;
use crate::telemetry::{Limit, Metrics, Seldom};

/// The sum of what waits for clients, and its limit.
pub struct ReplyBuffer {
    most: usize,
    held: Arc<AtomicUsize>,
    queue: Mutex<Queue>,
    metrics: Arc<Metrics>,
    told: Seldom,
}

#[derive(Default)]
struct Queue {
    next: u64,
    /// Oldest first.
    waiting: BTreeMap<u64, Arc<Waiter>>,
}

struct Waiter {
    since: Instant,
    bytes: usize,
    given_up: AtomicBool,
    task: AtomicWaker,
}

/// The share of one exchange, while it waits for its client.
pub(super) struct Held {
    buffer: Arc<ReplyBuffer>,
    number: u64,
    waiter: Arc<Waiter>,
}

impl ReplyBuffer {
    /// Holds `most` bytes; their number is kept in `held`.
    pub fn new(most: usize, held: Arc<AtomicUsize>, metrics: Arc<Metrics>) -> Self {
        Self { most, held, queue: Mutex::default(), metrics, told: Seldom::new() }
    }

    /// From now on `bytes` wait for a client.
    pub(super) fn hold(self: &Arc<Self>, bytes: usize) -> Held {
        let since = now();
        let waiter = Arc::new(Waiter { since, bytes, given_up: AtomicBool::new(false), task: AtomicWaker::new() });
        self.held.fetch_add(bytes, Ordering::Relaxed);
        let mut queue = self.queue();
        let number = queue.next;
        queue.next += 1;
        queue.waiting.insert(number, Arc::clone(&waiter));
        drop(queue);
        self.has_room();
        Held { buffer: Arc::clone(self), number, waiter }
    }

    /// Whether another request may be taken. Where not, room is made.
    pub(super) fn has_room(&self) -> bool {
        let held = self.held.load(Ordering::Relaxed);
        if held <= self.most {
            return true;
        }
        self.give_up(held - self.most, now());
        false
    }

    /// Gives up those that have waited longest, until they free `bytes`. Nobody who has waited for less than [`GRACE`]:
    /// every client waits for a moment now and then.
    fn give_up(&self, bytes: usize, now: Instant) {
        let (mut freed, mut count) = (0, 0_u64);
        let mut queue = self.queue();
        while freed < bytes
            && let Some(oldest) = queue.waiting.first_entry()
            && now.saturating_duration_since(oldest.get().since) >= GRACE
        {
            let waiter = oldest.remove();
            waiter.given_up.store(true, Ordering::Release);
            waiter.task.wake();
            freed += waiter.bytes;
            count += 1;
        }
        drop(queue);
        (0..count).for_each(|_| self.metrics.count_limited(Limit::ReplyBuffer));
        if count > 0 && self.told.is_due() {
            tracing::warn!("`limits.reply_buffer` is used up: giving up clients that do not take their replies");
        }
    }

    /// Counts one that was given up for another reason.
    pub(super) fn count_given_up(&self) {
        self.metrics.count_limited(Limit::ReplyBuffer);
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Ready once the exchange must end.
    pub(super) fn poll_given_up(&self, cx: &Context<'_>) -> Poll<()> {
        self.waiter.task.register(cx.waker());
        if self.waiter.given_up.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.buffer.queue().waiting.remove(&self.number);
        self.buffer.held.fetch_sub(self.waiter.bytes, Ordering::Relaxed);
    }
}

impl fmt::Debug for ReplyBuffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ReplyBuffer").field("most", &self.most).finish_non_exhaustive()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Held").field("bytes", &self.waiter.bytes).finish_non_exhaustive()
    }
}

/// How much of a reply is read before the client has taken any of it, in bytes: parts of 64 KiB, of which the framework
/// hands on four at once, keeps four ready and has one in its hands.
pub(super) const READ_AHEAD: usize = 9 * 64 * 1024;
/// How long any client may take nothing, however little room there is.
const GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::telemetry::Names;

    fn buffer(most: usize) -> (Arc<ReplyBuffer>, Arc<AtomicUsize>) {
        let held = Arc::new(AtomicUsize::new(0));
        let metrics = Arc::new(Metrics::new(&Names::default()));
        (Arc::new(ReplyBuffer::new(most, Arc::clone(&held), metrics)), held)
    }

    fn is_given_up(held: &Held) -> bool {
        held.poll_given_up(&Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn the_sum_is_of_those_who_wait() {
        let (buffer, held) = buffer(100);
        let (first, second) = (buffer.hold(60), buffer.hold(40));
        assert_eq!((held.load(Ordering::Relaxed), buffer.has_room()), (100, true));
        drop(first);
        let third = buffer.hold(61);
        assert_eq!((held.load(Ordering::Relaxed), buffer.has_room()), (101, false));
        drop((second, third));
        assert_eq!((held.load(Ordering::Relaxed), buffer.has_room()), (0, true));
        assert!(buffer.queue().waiting.is_empty());
    }

    #[test]
    fn the_oldest_are_given_up_until_there_is_room() {
        let (buffer, _) = buffer(100);
        let waiting: Vec<Held> = (0..5).map(|_| buffer.hold(40)).collect();
        // Nobody yet: they have waited for no time at all.
        assert!(!buffer.has_room() && !waiting.iter().any(is_given_up));
        buffer.give_up(80, now() + GRACE);
        let given_up: Vec<bool> = waiting.iter().map(is_given_up).collect();
        assert_eq!(given_up, [true, true, false, false, false]);
    }
}
