use std::{
    array,
    hash::{BuildHasher, Hash, RandomState},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use super::rate::{Left, Quota, Wait};

/// Accounts in one line: as many as a cache line holds.
const WAYS: usize = 4;
/// Lines of a ledger: 2 MiB for 131,072 accounts.
const LINES: usize = 1 << 15;

/// What each account owes, for a fixed number of accounts.
///
/// Written here because what exists either locks a shard of a map that grows until somebody sweeps it (`governor`), or
/// forgets the newcomers first when it is full (`moka`), and newcomers are whom a limit is for. Here an account is looked
/// for in one line of four. Where none of the four is its own it takes over the one that owes least: whose debts are paid,
/// which forgets nothing; and only under callers beyond number one that is furthest from its limit.
pub struct Ledger {
    start: Instant,
    hasher: RandomState,
    lines: Box<[Line]>,
}

/// Whose debts: a keyed hash, so that nobody chooses who shares a line with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account(u64);

/// Four accounts, and until when each of them owes, in nanoseconds since the start.
///
/// The two halves of an account change one after the other. Where one that still owes is taken over, whoever comes in
/// between may be judged by the other's debt, once.
#[derive(Debug)]
#[repr(align(64))]
struct Line {
    accounts: [AtomicU64; WAYS],
    dues: [AtomicU64; WAYS],
}

impl Ledger {
    /// A ledger in which nobody owes anything; moments count from `start`.
    pub fn new(start: Instant) -> Self {
        Self::with_lines(LINES, start)
    }

    fn with_lines(lines: usize, start: Instant) -> Self {
        let line =
            || Line { accounts: array::from_fn(|_| AtomicU64::new(0)), dues: array::from_fn(|_| AtomicU64::new(0)) };
        Self { start, hasher: RandomState::new(), lines: (0..lines).map(|_| line()).collect() }
    }

    /// The account of `who`, which names the limit as well: one may have an account under each.
    pub fn account(&self, who: impl Hash) -> Account {
        Account(self.hasher.hash_one(who))
    }

    /// Charges one event if the quota has room for it.
    pub fn take(&self, quota: Quota, account: Account, now: Instant) -> Result<Left, Wait> {
        let now = self.elapsed(now);
        let due = self.due(account, now);
        let mut owed = due.load(Relaxed);
        loop {
            if let Some(wait) = quota.wait(owed, now) {
                return Err(wait);
            }
            let charged = quota.charged(owed, now);
            match due.compare_exchange_weak(owed, charged, Relaxed, Relaxed) {
                Ok(_) => return Ok(quota.left(charged, now)),
                Err(other) => owed = other,
            }
        }
    }

    /// Takes back what [`Self::take`] charged: the event did not come to pass.
    pub fn give_back(&self, quota: Quota, account: Account) {
        if let Some(due) = self.find(account) {
            let _ = due.fetch_update(Relaxed, Relaxed, |owed| Some(quota.refunded(owed)));
        }
    }

    /// How long the account has to wait, if it has to; charges nothing.
    pub fn wait(&self, quota: Quota, account: Account, now: Instant) -> Option<Wait> {
        quota.wait(self.find(account)?.load(Relaxed), self.elapsed(now))
    }

    fn find(&self, account: Account) -> Option<&AtomicU64> {
        let line = self.line(account);
        line.place(account).map(|place| &line.dues[place])
    }

    fn due(&self, account: Account, now: u64) -> &AtomicU64 {
        let line = self.line(account);
        loop {
            if let Some(place) = line.place(account) {
                return &line.dues[place];
            }
            line.take_over(account, now);
        }
    }

    fn line(&self, account: Account) -> &Line {
        let place = account.0 % self.lines.len() as u64;
        &self.lines[usize::try_from(place).expect("it is below a length")]
    }

    fn elapsed(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Line {
    fn place(&self, account: Account) -> Option<usize> {
        self.accounts.iter().position(|own| own.load(Relaxed) == account.0)
    }

    /// Gives the account the place of the one that owes least, unless somebody else is given it meanwhile.
    fn take_over(&self, account: Account, now: u64) {
        let owes = |place: &usize| self.dues[*place].load(Relaxed);
        let place = (0..WAYS).min_by_key(owes).expect("a line has places");
        let other = self.accounts[place].load(Relaxed);
        let taken = self.accounts[place].compare_exchange(other, account.0, Relaxed, Relaxed).is_ok();
        // Debts that are paid need no striking out, and so nothing that is charged meanwhile is lost.
        if taken && owes(&place) > now {
            self.dues[place].store(now, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;
    use crate::limit::Rate;

    #[expect(clippy::disallowed_methods, reason = "a test's own start of time")]
    fn start() -> Instant {
        Instant::now()
    }

    fn quota(count: u32) -> Quota {
        Quota::of(Rate::new(count, Duration::from_secs(60)))
    }

    /// How many of `tries` events at once the ledger lets pass.
    fn taken(ledger: &Ledger, quota: Quota, account: Account, tries: usize) -> usize {
        (0..tries).filter(|_| ledger.take(quota, account, ledger.start).is_ok()).count()
    }

    #[test]
    fn accounts_do_not_share_a_quota() {
        let ledger = Ledger::new(start());
        for name in ["a", "b", "c"] {
            assert_eq!(taken(&ledger, quota(5), ledger.account(name), 20), 5, "{name}");
        }
        assert_eq!(taken(&ledger, quota(7), ledger.account((1, "a")), 20), 7);
    }

    #[test]
    fn a_wait_ends_when_it_says() {
        let ledger = Ledger::new(start());
        let (quota, account) = (quota(3), ledger.account("a"));
        assert_eq!(ledger.wait(quota, account, ledger.start), None);
        taken(&ledger, quota, account, 3);
        let wait = ledger.take(quota, account, ledger.start).unwrap_err();
        assert_eq!((wait.seconds(), ledger.wait(quota, account, ledger.start)), (20, Some(wait)));
        let later = |seconds| ledger.start + Duration::from_secs(seconds);
        assert!(ledger.take(quota, account, later(19)).is_err());
        assert_eq!(ledger.take(quota, account, later(20)).unwrap().events, 0);
        assert!(ledger.take(quota, account, later(20)).is_err());
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let ledger = Ledger::new(start());
        let (quota, account) = (quota(2), ledger.account("a"));
        assert_eq!(taken(&ledger, quota, account, 5), 2);
        ledger.give_back(quota, account);
        assert_eq!(taken(&ledger, quota, account, 5), 1);
        ledger.give_back(quota, ledger.account("never seen"));
    }

    #[test]
    fn no_event_is_lost_or_invented_by_threads_that_race() {
        let ledger = Ledger::with_lines(1, start());
        let account = ledger.account("a");
        let quota = quota(1000);
        let count = || taken(&ledger, quota, account, 1000);
        let passed: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 1000);
    }

    #[test]
    fn one_that_is_at_its_limit_is_remembered_among_callers_beyond_number() {
        let ledger = Ledger::with_lines(4, start());
        let (quota, guilty) = (quota(10), ledger.account("guilty"));
        assert_eq!(taken(&ledger, quota, guilty, 20), 10);
        for number in 0..10_000 {
            assert!(ledger.take(quota, ledger.account(number), ledger.start).is_ok(), "{number} is new");
        }
        assert_eq!(taken(&ledger, quota, guilty, 20), 0);
    }

    #[test]
    fn one_whose_debts_are_paid_gives_way_first() {
        let ledger = Ledger::with_lines(1, start());
        let quota = quota(1);
        let names = ["a", "b", "c"].map(|name| ledger.account(name));
        for name in names {
            assert_eq!(taken(&ledger, quota, name, 2), 1);
        }
        // The fourth place is free again and again.
        let mut now = ledger.start;
        for number in 0..50 {
            now += Duration::from_secs(1);
            assert_eq!(
                ledger
                    .take(Quota::of(Rate::new(1, Duration::from_secs(1))), ledger.account(number), now)
                    .map(|left| left.events),
                Ok(0)
            );
        }
        for name in names {
            assert!(ledger.wait(quota, name, now).is_some());
        }
    }
}
