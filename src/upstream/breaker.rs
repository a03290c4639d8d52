use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use super::ticks::{Ticks, TicksCell};

/// Leaves a server alone that failed too often in a row, then lets one request try it.
///
/// A server that serves costs each request one or two reads and no write.
#[derive(Default)]
pub(super) struct Breaker {
    /// In a row.
    failures: AtomicU32,
    /// Until when the server is left alone; none: it is not.
    until: TicksCell,
}

/// What the breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Every request.
    Closed,
    /// None.
    Open,
    /// One: who claims it.
    HalfOpen,
}

impl Breaker {
    pub(super) fn turn(&self, now: Ticks) -> Turn {
        match self.until.get() {
            None => Turn::Closed,
            Some(until) if now < until => Turn::Open,
            Some(_) => Turn::HalfOpen,
        }
    }

    /// Whether this request is the one that tries the server. Nobody else does until it has failed, or for as long as
    /// a failure would count if it never tells.
    pub(super) fn claim(&self, now: Ticks, lasting: Duration) -> bool {
        let until = self.until.get();
        until.is_some_and(|until| until <= now) && self.until.replace(until, now.plus(lasting))
    }

    /// Whether nothing failed since the last success.
    pub(super) fn is_untouched(&self) -> bool {
        self.failures.load(Relaxed) == 0 && self.until.get().is_none()
    }

    /// Lets every request through. True if it did not before.
    pub(super) fn succeed(&self) -> bool {
        self.failures.store(0, Relaxed);
        self.until.take().is_some()
    }

    /// Counts a failure. True if it is the one that opens the breaker.
    pub(super) fn fail(&self, now: Ticks, most: u32, lasting: Duration) -> bool {
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        match self.until.get() {
            // A trial that failed, or a request that was let through because no server was left.
            Some(_) => {
                self.until.set(now.plus(lasting));
                false
            }
            None => failures >= most && self.until.replace(None, now.plus(lasting)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LASTING: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Ticks {
        Ticks::default().plus(Duration::from_secs(seconds))
    }

    #[test]
    fn it_opens_at_the_last_failure_in_a_row_and_not_before() {
        let breaker = Breaker::default();
        assert!(!breaker.fail(at(0), 3, LASTING));
        assert!(!breaker.fail(at(0), 3, LASTING));
        assert!(!breaker.succeed(), "it was closed all the time");
        assert!(!breaker.fail(at(0), 3, LASTING));
        assert!(!breaker.fail(at(0), 3, LASTING));
        assert_eq!(breaker.turn(at(0)), Turn::Closed);
        assert!(breaker.fail(at(0), 3, LASTING));
        assert_eq!(breaker.turn(at(0)), Turn::Open);
        assert!(!breaker.fail(at(0), 3, LASTING), "it opens once");
    }

    #[test]
    fn one_request_tries_a_server_when_the_time_is_over() {
        let breaker = Breaker::default();
        assert!(breaker.fail(at(0), 1, LASTING));
        assert_eq!(breaker.turn(at(9)), Turn::Open);
        assert!(!breaker.claim(at(9), LASTING));
        assert_eq!(breaker.turn(at(10)), Turn::HalfOpen);
        assert_eq!([breaker.claim(at(10), LASTING), breaker.claim(at(10), LASTING)], [true, false]);
        assert_eq!(breaker.turn(at(10)), Turn::Open, "the others wait for what becomes of it");
        assert!(breaker.succeed());
        assert_eq!(breaker.turn(at(10)), Turn::Closed);
    }

    #[test]
    fn a_trial_that_fails_costs_the_whole_time_again() {
        let breaker = Breaker::default();
        breaker.fail(at(0), 1, LASTING);
        assert!(breaker.claim(at(10), LASTING));
        breaker.fail(at(12), 1, LASTING);
        assert_eq!(breaker.turn(at(21)), Turn::Open);
        assert!(breaker.claim(at(22), LASTING));
    }

    #[test]
    fn a_trial_that_never_tells_is_followed_by_another() {
        let breaker = Breaker::default();
        breaker.fail(at(0), 1, LASTING);
        assert!(breaker.claim(at(10), LASTING));
        assert_eq!(breaker.turn(at(19)), Turn::Open);
        assert!(breaker.claim(at(20), LASTING));
    }

    #[test]
    fn of_many_threads_one_claims_the_trial() {
        let breaker = Breaker::default();
        breaker.fail(at(0), 1, LASTING);
        let claim = || usize::from(breaker.claim(at(10), LASTING));
        let claims: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(claim)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(claims, 1);
    }
}
