use std::time::Duration;

/// So many events in so long a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Events, at least 1.
    pub count: u32,
    /// The time they are spread over.
    pub period: Duration,
    /// Events that may come at once after a pause, at least 1.
    pub burst: u32,
}

impl Rate {
    /// `count` events in `period`, all of them at once if need be.
    pub const fn new(count: u32, period: Duration) -> Self {
        Self { count, period, burst: count }
    }
}

/// A [`Rate`] as the algorithm sees it: each event is owed for one interval, and so much may be owed. In nanoseconds.
///
/// What an account owes is kept as one number, the moment at which it will owe nothing; it is that of ITU-T I.371's
/// virtual scheduling ("theoretical arrival time").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    interval: u64,
    tolerance: u64,
}

/// What is left of a quota after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Events that may come at once.
    pub events: u64,
    /// Until nothing is owed.
    pub whole_in: Duration,
}

/// How long it takes until the next event may come; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wait(Duration);

impl Wait {
    /// Where nobody knows how long it takes: soon.
    pub const SHORT: Self = Self(Duration::from_secs(1));

    /// In whole seconds, rounded up: at least 1, as `Retry-After` wants it (RFC 9110 section 10.2.3).
    pub const fn seconds(self) -> u64 {
        seconds_up(self.0)
    }
}

impl Left {
    /// [`Self::whole_in`] in whole seconds, rounded up.
    pub const fn whole_in_seconds(self) -> u64 {
        seconds_up(self.whole_in)
    }
}

const fn seconds_up(duration: Duration) -> u64 {
    duration.as_secs().saturating_add((duration.subsec_nanos() > 0) as u64)
}

impl Quota {
    /// The quota of a rate.
    pub fn of(rate: Rate) -> Self {
        let period = u64::try_from(rate.period.as_nanos()).unwrap_or(u64::MAX);
        let interval = (period / u64::from(rate.count.max(1))).clamp(1, LONGEST);
        let tolerance = interval.saturating_mul(u64::from(rate.burst.max(1)) - 1).min(LONGEST);
        Self { interval, tolerance }
    }

    /// The quota as `count` events see it that come together or not at all. They owe no more than a whole burst, so that
    /// there is a time at which they may come.
    #[must_use]
    pub fn together(self, count: u32) -> Self {
        let further = self.interval.saturating_mul(u64::from(count.saturating_sub(1))).min(self.tolerance);
        Self { interval: self.interval + further, tolerance: self.tolerance - further }
    }

    /// How long somebody who owes until `due` has to wait at `now`.
    pub(super) fn wait(self, due: u64, now: u64) -> Option<Wait> {
        let ahead = due.saturating_sub(now);
        let wait = ahead.saturating_sub(self.tolerance);
        (wait > 0).then_some(Wait(Duration::from_nanos(wait)))
    }

    /// Until when somebody owes who owed until `due`, after one more event at `now`.
    pub(super) fn charged(self, due: u64, now: u64) -> u64 {
        due.max(now).saturating_add(self.interval)
    }

    /// The same before that event.
    pub(super) const fn refunded(self, due: u64) -> u64 {
        due.saturating_sub(self.interval)
    }

    /// What is left for somebody who owes until `due`.
    pub(super) fn left(self, due: u64, now: u64) -> Left {
        let ahead = due.saturating_sub(now);
        let events = (self.tolerance + self.interval).saturating_sub(ahead) / self.interval;
        Left { events, whole_in: Duration::from_nanos(ahead) }
    }
}

/// Half a century in nanoseconds: sums of two such times and a moment stay within 64 bits.
const LONGEST: u64 = 50 * 365 * 86_400 * 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn quota(count: u32, seconds: u64, burst: u32) -> Quota {
        Quota::of(Rate { count, period: Duration::from_secs(seconds), burst })
    }

    /// How many of the events at these moments (in tenths of a second) pass.
    fn passed(quota: Quota, moments: impl Iterator<Item = u64>) -> usize {
        let mut due = 0;
        moments
            .map(|moment| moment * SECOND / 10)
            .filter(|now| {
                let passes = quota.wait(due, *now).is_none();
                due = if passes { quota.charged(due, *now) } else { due };
                passes
            })
            .count()
    }

    #[test]
    fn a_rate_lets_its_burst_pass_at_once_and_its_count_in_each_period() {
        for (count, seconds, burst, moments, expected) in [
            (10, 1, 10, vec![0; 30], 10),
            (10, 1, 1, vec![0; 30], 1),
            (10, 1, 25, vec![0; 30], 25),
            (10, 1, 1, (0..30).collect(), 30),
            (5, 1, 1, (0..30).collect(), 15),
            (5, 1, 5, (0..30).collect(), 19),
            (1, 60, 1, vec![0, 599, 600, 1199, 1200], 3),
            (1, 60, 2, vec![0, 0, 0, 600, 600, 1200], 4),
        ] {
            let told = format!("{count}/{seconds}s burst {burst}: {moments:?}");
            assert_eq!(passed(quota(count, seconds, burst), moments.into_iter()), expected, "{told}");
        }
    }

    #[test]
    fn what_is_left_is_what_would_pass() {
        let quota = quota(10, 1, 20);
        let mut due = 0;
        for left in (0..20).rev() {
            due = quota.charged(due, SECOND);
            assert_eq!(quota.left(due, SECOND).events, left);
        }
        assert_eq!(quota.left(due, SECOND).whole_in_seconds(), 2);
        assert_eq!(quota.wait(due, SECOND).map(Wait::seconds), Some(1));
        assert_eq!(quota.left(due, 3 * SECOND), Left { events: 20, whole_in: Duration::ZERO });
        assert_eq!(quota.left(quota.refunded(due), SECOND).events, 1);
    }

    #[test]
    fn events_that_come_together_owe_as_much_as_one_after_the_other() {
        for (burst, count, times) in [(10, 2, 5), (10, 3, 3), (9, 2, 4), (2, 2, 1), (1, 1, 1)] {
            let single = quota(60, 60, burst);
            let together = single.together(count);
            let (mut due, mut passed) = (0, 0);
            while together.wait(due, 0).is_none() {
                due = together.charged(due, 0);
                passed += 1;
            }
            assert_eq!(passed, times, "{count} of {burst}");
            let one_by_one = (0..count * times).fold(0, |due, _| single.charged(due, 0));
            assert_eq!(due, one_by_one, "{count} of {burst}");
            assert_eq!((0..times).fold(due, |due, _| together.refunded(due)), 0, "{count} of {burst}");
        }
    }

    #[test]
    fn more_events_than_a_burst_has_come_together_once_nothing_is_owed() {
        let together = quota(1, 60, 1).together(2);
        assert_eq!(together.wait(0, 0), None);
        let due = together.charged(0, 0);
        assert_eq!(together.wait(due, 0).map(Wait::seconds), Some(60));
        assert_eq!(together.wait(due, 60 * SECOND), None);
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        let minute = quota(1, 60, 1);
        let due = minute.charged(0, 0);
        for (now, seconds) in [(0, 60), (1, 60), (SECOND, 59), (59 * SECOND, 1), (60 * SECOND - 1, 1)] {
            assert_eq!(minute.wait(due, now).map(Wait::seconds), Some(seconds), "{now}");
        }
        assert_eq!(minute.wait(due, 60 * SECOND), None);
    }

    #[test]
    fn no_rate_overflows() {
        let longest = Rate { count: 1, period: Duration::MAX, burst: u32::MAX };
        let shortest = Rate { count: u32::MAX, period: Duration::from_nanos(1), burst: 1 };
        for quota in [Quota::of(longest), Quota::of(shortest), Quota::of(Rate { count: 0, burst: 0, ..shortest })] {
            let due = quota.charged(u64::MAX - 1, u64::MAX);
            assert_eq!(due, u64::MAX);
            let _ = (quota.left(due, 0), quota.wait(due, 0), quota.left(0, u64::MAX));
            let together = quota.together(u32::MAX);
            let _ = (together.charged(due, 0), together.wait(due, 0), together.left(0, u64::MAX));
        }
    }
}
