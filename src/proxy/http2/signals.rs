//! What the side that counts frames tells the side that accepts streams.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    time::Duration,
};

use h2::Reason;

/// What is known of a connection's bytes. Both sides live in one task.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// The code of what ends the connection (RFC 9113 section 7); 0 while nothing does.
    fault: AtomicU32,
    /// Bytes that may be read before streams that wait are looked at.
    allowed: AtomicUsize,
    /// Reading stopped for want of [`Self::allowed`].
    held_back: AtomicBool,
    /// Bytes that were read.
    received: AtomicUsize,
    /// By how much the window of a new stream is smaller than it is at first (RFC 9113 section 6.9.2), in bytes.
    window_lacks: AtomicU32,
    /// Milliseconds from the connection's start, plus 1, at which a header block began that is not whole yet.
    open_since: AtomicUsize,
}

impl Signals {
    /// What ends the connection: a flood, or a beginning that is none.
    pub(super) fn fault(&self) -> Option<Reason> {
        let code = self.fault.load(Ordering::Relaxed);
        (code != 0).then(|| code.into())
    }

    /// From now on the connection ends with this.
    pub(super) fn ends_with(&self, fault: Reason) {
        self.fault.store(fault.into(), Ordering::Relaxed);
    }

    /// Takes from what may be read; 0 means to wait.
    pub(super) fn allowed(&self) -> usize {
        let allowed = self.allowed.load(Ordering::Relaxed);
        if allowed == 0 {
            self.held_back.store(true, Ordering::Relaxed);
        }
        if self.fault().is_some() { 0 } else { allowed }
    }

    /// Takes what was read, of which `of_body` bytes at most are free.
    pub(super) fn used(&self, bytes: usize, of_body: usize) {
        let allowed = self.allowed.load(Ordering::Relaxed);
        self.allowed.store(allowed.saturating_sub(bytes.saturating_sub(of_body)), Ordering::Relaxed);
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that were read since the connection began.
    pub(super) fn received(&self) -> usize {
        self.received.load(Ordering::Relaxed)
    }

    /// The window that a new stream has to answer in, in bytes.
    pub(super) fn window(&self) -> u32 {
        DEFAULT_WINDOW - self.window_lacks.load(Ordering::Relaxed)
    }

    /// The window of new streams, as the client says, in bytes.
    pub(super) fn window_is(&self, window: u32) {
        self.window_lacks.store(DEFAULT_WINDOW.saturating_sub(window), Ordering::Relaxed);
    }

    /// Lets reading go on. Whether it had stopped.
    pub(super) fn allow(&self, bytes: usize) -> bool {
        self.allowed.store(bytes, Ordering::Relaxed);
        self.held_back.swap(false, Ordering::Relaxed)
    }

    /// A header block began, `elapsed` after the connection's start.
    pub(super) fn head_began(&self, elapsed: Duration) {
        let elapsed = usize::try_from(elapsed.as_millis()).unwrap_or(usize::MAX - 1);
        self.open_since.store(elapsed + 1, Ordering::Relaxed);
    }

    /// It is whole.
    pub(super) fn head_ended(&self) {
        self.open_since.store(0, Ordering::Relaxed);
    }

    /// How long ago a header block began that is not whole yet, `elapsed` after the connection's start.
    pub(super) fn waits_for_head(&self, elapsed: Duration) -> Option<Duration> {
        let began = self.open_since.load(Ordering::Relaxed).checked_sub(1)?;
        Some(elapsed.saturating_sub(Duration::from_millis(began as u64)))
    }
}

/// The window of a stream whose client said nothing of it, in bytes.
const DEFAULT_WINDOW: u32 = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_waits_for_its_turn() {
        let signals = Signals::default();
        assert_eq!(signals.allowed(), 0);
        assert!(signals.allow(10));
        assert_eq!(signals.allowed(), 10);
        signals.used(4, 0);
        signals.used(100, 100);
        assert_eq!((signals.allowed(), signals.received()), (6, 104));
        assert!(!signals.allow(10));
    }
}
