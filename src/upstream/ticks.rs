use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// A moment in milliseconds since the gateway began, which fits an atomic number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticks(u64);

impl Default for Ticks {
    /// The beginning.
    fn default() -> Self {
        Self(1)
    }
}

impl Ticks {
    /// The moment `now`, counted from `began`.
    pub(super) fn of(began: Instant, now: Instant) -> Self {
        let passed = now.saturating_duration_since(began).as_millis();
        // One is added so that no moment is zero, which stands for none.
        Self(u64::try_from(passed).unwrap_or(u64::MAX - 1).saturating_add(1))
    }

    pub(super) fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// From `earlier` to this one; zero if it is not earlier.
    pub(super) const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// A moment, or none, that many threads read and set.
#[derive(Default)]
pub(super) struct TicksCell(AtomicU64);

impl TicksCell {
    pub(super) fn get(&self) -> Option<Ticks> {
        Some(self.0.load(Relaxed)).filter(|moment| *moment != 0).map(Ticks)
    }

    pub(super) fn set(&self, moment: Ticks) {
        self.0.store(moment.0, Relaxed);
    }

    /// Leaves none, and tells what there was.
    pub(super) fn take(&self) -> Option<Ticks> {
        Some(self.0.swap(0, Relaxed)).filter(|moment| *moment != 0).map(Ticks)
    }

    /// Sets `new` if the moment still is `old`: of many who try, one succeeds.
    pub(super) fn replace(&self, old: Option<Ticks>, new: Ticks) -> bool {
        let old = old.map_or(0, |moment| moment.0);
        self.0.compare_exchange(old, new.0, Relaxed, Relaxed).is_ok()
    }
}
