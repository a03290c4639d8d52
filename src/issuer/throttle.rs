use std::{net::IpAddr, time::Instant};

use crate::limit::{Account, Ledger, Quota, Rate, Wait, network};

/// How often clients may come to the endpoints that they authenticate at.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Failed authentications of one client from one address.
    pub failures_per_client: Rate,
    /// Failed authentications from one address over all clients.
    pub failures_per_address: Rate,
    /// Token requests of one client, once it has authenticated.
    pub requests_per_client: Option<Rate>,
    /// Token requests from one address, whatever they come to.
    pub requests_per_address: Option<Rate>,
}

/// A limit that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenLimit {
    /// Of failed authentications.
    Failures,
    /// Of one client's token requests.
    Client,
    /// Of one address's token requests.
    Address,
    /// Of one client's or address's imported secrets that wait to be checked.
    Checks,
}

/// A limit that is used up, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UsedUp {
    pub(super) limit: TokenLimit,
    pub(super) wait: Wait,
}

/// What one try to authenticate costs if it fails: one failure for each reading of what is shown.
pub(super) struct Attempt(Vec<(Quota, Account)>);

/// Counts failures and requests.
///
/// A client's failures are counted together with the address, so that whoever guesses at it from elsewhere does not lock
/// its owner out; and an address is counted over all clients it tries. For the same reason a client's requests count only
/// once it has shown its secret.
pub(super) struct Throttle {
    ledger: Ledger,
    failures_per_client: Quota,
    failures_per_address: Quota,
    requests_per_client: Option<Quota>,
    requests_per_address: Option<Quota>,
}

impl Throttle {
    /// Nothing has happened before `start`.
    pub(super) fn new(rates: Rates, start: Instant) -> Self {
        let Rates { failures_per_client, failures_per_address, requests_per_client, requests_per_address } = rates;
        Self {
            ledger: Ledger::new(start),
            failures_per_client: Quota::of(failures_per_client),
            failures_per_address: Quota::of(failures_per_address),
            requests_per_client: requests_per_client.map(Quota::of),
            requests_per_address: requests_per_address.map(Quota::of),
        }
    }

    /// A try with a secret for each of `ids`. One that names nobody is a try of its address all the same.
    pub(super) fn attempt<'i>(&self, ids: impl Iterator<Item = &'i str>, address: IpAddr) -> Attempt {
        let network = network(address);
        let mut guesses: Vec<(Account, u32)> = Vec::new();
        for id in ids {
            let account = self.failing_client(id, network);
            match guesses.iter_mut().find(|(own, _)| *own == account) {
                Some((_, count)) => *count += 1,
                None => guesses.push((account, 1)),
            }
        }
        let all = guesses.iter().map(|(_, count)| count).sum::<u32>().max(1);
        let of_clients = guesses.iter().map(|(account, count)| (self.failures_per_client.together(*count), *account));
        let of_address = (self.failures_per_address.together(all), self.failing_address(network));
        Attempt(of_clients.chain([of_address]).collect())
    }

    /// Counts a try as failed before anybody judges it, if another one may fail: of any number of tries at once, no more
    /// are judged than may fail.
    pub(super) fn take_failure(&self, attempt: &Attempt, now: Instant) -> Result<(), UsedUp> {
        for (place, (quota, account)) in attempt.0.iter().enumerate() {
            if let Err(wait) = self.ledger.take(*quota, *account, now) {
                attempt.0[..place].iter().for_each(|(quota, account)| self.ledger.give_back(*quota, *account));
                self.check_failures(attempt, now)?;
                // Only others that gave back meanwhile get here.
                return Err(UsedUp { limit: TokenLimit::Failures, wait });
            }
        }
        Ok(())
    }

    /// Takes back a failure: the try was a good one, or was not judged.
    pub(super) fn give_back_failure(&self, attempt: &Attempt) {
        attempt.0.iter().for_each(|(quota, account)| self.ledger.give_back(*quota, *account));
    }

    /// Whether another try may fail.
    pub(super) fn check_failures(&self, attempt: &Attempt, now: Instant) -> Result<(), UsedUp> {
        let longest = attempt.0.iter().filter_map(|(quota, account)| self.ledger.wait(*quota, *account, now)).max();
        longest.map_or(Ok(()), |wait| Err(UsedUp { limit: TokenLimit::Failures, wait }))
    }

    /// Counts one token request of an address, if it may make one.
    pub(super) fn take_for_address(&self, address: IpAddr, now: Instant) -> Result<(), UsedUp> {
        self.take(TokenLimit::Address, self.requests_per_address, network(address), now)
    }

    /// Counts one token request of a client that has authenticated, if it may make one.
    pub(super) fn take_for_client(&self, id: &str, now: Instant) -> Result<(), UsedUp> {
        self.take(TokenLimit::Client, self.requests_per_client, id, now)
    }

    fn take(
        &self,
        limit: TokenLimit,
        quota: Option<Quota>,
        who: impl std::hash::Hash,
        now: Instant,
    ) -> Result<(), UsedUp> {
        let Some(quota) = quota else { return Ok(()) };
        let account = self.ledger.account((limit.name(), who));
        self.ledger.take(quota, account, now).map(|_| ()).map_err(|wait| UsedUp { limit, wait })
    }

    fn failing_client(&self, id: &str, network: IpAddr) -> Account {
        self.ledger.account(("failures of a client", id, network))
    }

    fn failing_address(&self, network: IpAddr) -> Account {
        self.ledger.account(("failures from an address", network))
    }
}

impl TokenLimit {
    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failures => "token_failures",
            Self::Client => "token_requests_per_client",
            Self::Address => "token_requests_per_address",
            Self::Checks => "token_checks",
        }
    }
}

#[cfg(test)]
pub(super) use tests::start_of_time;

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test's own start of time")]
    pub(in crate::issuer) fn start_of_time() -> Instant {
        Instant::now()
    }

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

    fn throttle() -> (Throttle, Instant) {
        let rate = |count| Rate::new(count, Duration::from_secs(60));
        let rates = Rates {
            failures_per_client: rate(3),
            failures_per_address: rate(5),
            requests_per_client: Some(rate(2)),
            requests_per_address: Some(rate(4)),
        };
        let start = start_of_time();
        (Throttle::new(rates, start), start)
    }

    /// Seconds to wait before another try may fail.
    fn wait<'i>(throttle: &Throttle, ids: impl IntoIterator<Item = &'i str>, address: IpAddr, now: Instant) -> u64 {
        let attempt = throttle.attempt(ids.into_iter(), address);
        throttle.check_failures(&attempt, now).map_or_else(|used_up| used_up.wait.seconds(), |()| 0)
    }

    /// Lets a try fail; seconds to wait if it may not.
    fn fail<'i>(throttle: &Throttle, ids: impl IntoIterator<Item = &'i str>, address: IpAddr, now: Instant) -> u64 {
        let attempt = throttle.attempt(ids.into_iter(), address);
        throttle.take_failure(&attempt, now).map_or_else(|used_up| used_up.wait.seconds(), |()| 0)
    }

    #[test]
    fn a_client_is_limited_from_one_address_and_not_from_another() {
        let (throttle, start) = throttle();
        for _ in 0..3 {
            assert_eq!(fail(&throttle, ["a"], HERE, start), 0);
        }
        assert_eq!([fail(&throttle, ["a"], HERE, start), wait(&throttle, ["a"], HERE, start)], [20, 20]);
        assert_eq!(wait(&throttle, ["x", "a"], HERE, start), 20);
        assert_eq!(wait(&throttle, ["b"], HERE, start), 0);
        assert_eq!(wait(&throttle, ["a"], THERE, start), 0);
    }

    #[test]
    fn failures_are_forgiven_one_by_one() {
        let (throttle, start) = throttle();
        (0..3).for_each(|_| assert_eq!(fail(&throttle, ["a"], HERE, start), 0));
        let after = |seconds| wait(&throttle, ["a"], HERE, start + Duration::from_secs(seconds));
        assert_eq!(after(19), 1);
        assert_eq!(after(20), 0);
        assert_eq!(fail(&throttle, ["a"], HERE, start + Duration::from_secs(20)), 0);
        assert_eq!(after(20), 20);
        assert_eq!(after(80), 0);
    }

    #[test]
    fn an_address_is_limited_over_all_clients_it_tries() {
        let (throttle, start) = throttle();
        for id in ["a", "b", "c", "d", "e"] {
            assert_eq!(fail(&throttle, [id], HERE, start), 0);
        }
        assert_eq!([fail(&throttle, ["f"], HERE, start), wait(&throttle, [], HERE, start)], [12, 12]);
        assert_eq!(wait(&throttle, ["f"], THERE, start), 0);
    }

    #[test]
    fn credentials_that_cannot_be_read_count_against_their_address() {
        let (throttle, start) = throttle();
        (0..5).for_each(|_| assert_eq!(fail(&throttle, [], HERE, start), 0));
        assert_ne!(wait(&throttle, ["a"], HERE, start), 0);
    }

    #[test]
    fn each_reading_is_a_failure_and_both_must_have_room() {
        let (throttle, start) = throttle();
        assert_eq!(fail(&throttle, ["a", "a"], HERE, start), 0);
        assert_eq!(fail(&throttle, ["a", "a"], HERE, start), 20, "one is left, two are needed");
        assert_eq!(fail(&throttle, ["a"], HERE, start), 0, "what was refused took nothing");
        assert_eq!(fail(&throttle, ["b", "c"], HERE, start), 0);
        assert_eq!(fail(&throttle, ["b", "c"], HERE, start), 24, "the address has none left");
        for id in ["b", "c"] {
            assert_eq!(wait(&throttle, [id, id], THERE, start), 0);
        }
    }

    #[test]
    fn a_failure_that_was_none_is_given_back_everywhere() {
        let (throttle, start) = throttle();
        for _ in 0..20 {
            let attempt = throttle.attempt(["a", "b"].into_iter(), HERE);
            assert_eq!(throttle.take_failure(&attempt, start), Ok(()));
            throttle.give_back_failure(&attempt);
        }
    }

    #[test]
    fn of_tries_at_once_no_more_are_let_fail_than_may() {
        let (throttle, start) = throttle();
        let tries = || (0..1000).filter(|_| fail(&throttle, ["a", "a"], HERE, start) == 0).count();
        let failed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(tries)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(failed, 1);
    }

    #[test]
    fn requests_are_counted_apart_from_failures_and_by_client_and_address_apart() {
        let (throttle, start) = throttle();
        (0..3).for_each(|_| assert_eq!(fail(&throttle, ["a"], HERE, start), 0));
        for _ in 0..2 {
            assert_eq!(throttle.take_for_client("a", start), Ok(()));
        }
        let used_up = throttle.take_for_client("a", start).unwrap_err();
        assert_eq!((used_up.limit, used_up.wait.seconds()), (TokenLimit::Client, 30));
        assert_eq!(throttle.take_for_client("b", start), Ok(()));
        for _ in 0..4 {
            assert_eq!(throttle.take_for_address(HERE, start), Ok(()));
        }
        let used_up = throttle.take_for_address(HERE, start).unwrap_err();
        assert_eq!((used_up.limit, used_up.wait.seconds()), (TokenLimit::Address, 15));
        assert_eq!(throttle.take_for_address(THERE, start), Ok(()));
    }
}
