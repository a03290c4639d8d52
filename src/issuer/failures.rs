use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use moka::sync::Cache;

/// Most clients and addresses that failures are remembered of; beyond it the ones used least are forgotten.
const MAX_REMEMBERED: u64 = 100_000;

/// So many failures in so long a time, all of them at once if need be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Failures, at least 1.
    pub count: u32,
    /// The time in which they are forgiven.
    pub period: Duration,
}

/// Limits on failed client authentications, by the generic cell rate algorithm.
///
/// A client is counted together with the address, so that whoever guesses at it from elsewhere does not lock its owner
/// out; and an address is counted over all clients it tries.
pub struct FailureLimits {
    start: Instant,
    hasher: RandomState,
    per_client: Limit<u64>,
    per_address: Limit<IpAddr>,
}

impl FailureLimits {
    /// Limits counted from `start`.
    pub fn new(per_client: Rate, per_address: Rate, start: Instant) -> Self {
        Self {
            start,
            hasher: RandomState::new(),
            per_client: Limit::new(per_client),
            per_address: Limit::new(per_address),
        }
    }

    /// Whether another try may be made. If not: seconds until one may, at least 1.
    pub(super) fn check<'i>(
        &self,
        ids: impl Iterator<Item = &'i str>,
        address: IpAddr,
        now: Instant,
    ) -> Result<(), u64> {
        let (now, network) = (self.elapsed(now), network(address));
        let wait = ids.map(|id| self.per_client.wait(&self.client_key(id, network), now)).max().unwrap_or(0);
        match wait.max(self.per_address.wait(&network, now)) {
            0 => Ok(()),
            nanoseconds => Err(nanoseconds.div_ceil(1_000_000_000)),
        }
    }

    /// Counts one failure for each reading of what was shown, and at least one for the address.
    pub(super) fn count<'i>(&self, ids: impl Iterator<Item = &'i str>, address: IpAddr, now: Instant) {
        let (now, network) = (self.elapsed(now), network(address));
        let mut counted = 0;
        for id in ids {
            self.per_client.count(self.client_key(id, network), now);
            self.per_address.count(network, now);
            counted += 1;
        }
        if counted == 0 {
            self.per_address.count(network, now);
        }
    }

    fn client_key(&self, id: &str, network: IpAddr) -> u64 {
        self.hasher.hash_one((id, network))
    }

    fn elapsed(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX / 2)
    }
}

/// For each key the moment, in nanoseconds, at which all its failures will be forgiven.
struct Limit<K> {
    /// Nanoseconds in which one failure is forgiven.
    interval: u64,
    /// Nanoseconds that the moment may lie ahead while tries are still allowed.
    tolerance: u64,
    forgiven_at: Cache<K, Arc<AtomicU64>>,
}

impl<K: std::hash::Hash + Eq + Send + Sync + 'static> Limit<K> {
    fn new(rate: Rate) -> Self {
        let period = u64::try_from(rate.period.as_nanos()).unwrap_or(u64::MAX / 4);
        let interval = period / u64::from(rate.count.max(1));
        let forgiven_at = Cache::builder().max_capacity(MAX_REMEMBERED).time_to_idle(rate.period).build();
        Self { interval, tolerance: period - interval, forgiven_at }
    }

    fn wait(&self, key: &K, now: u64) -> u64 {
        let forgiven_at = self.forgiven_at.get(key).map_or(0, |moment| moment.load(Ordering::Relaxed));
        forgiven_at.saturating_sub(now).saturating_sub(self.tolerance)
    }

    fn count(&self, key: K, now: u64) {
        let moment = self.forgiven_at.get_with(key, Arc::default);
        let later = |forgiven_at: u64| Some(forgiven_at.max(now) + self.interval);
        let _ = moment.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
    }
}

/// An IPv6 host owns a whole /64: its addresses are one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
pub(super) use tests::start_of_time;

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test's own start of time")]
    pub(in crate::issuer) fn start_of_time() -> Instant {
        Instant::now()
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

    fn limits() -> (FailureLimits, Instant) {
        let start = start_of_time();
        let minute = Duration::from_secs(60);
        let (per_client, per_address) = (Rate { count: 3, period: minute }, Rate { count: 5, period: minute });
        (FailureLimits::new(per_client, per_address, start), start)
    }

    #[test]
    fn a_client_is_limited_from_one_address_and_not_from_another() {
        let (limits, start) = limits();
        for _ in 0..3 {
            assert_eq!(limits.check(["a"].into_iter(), HERE, start), Ok(()));
            limits.count(["a"].into_iter(), HERE, start);
        }
        assert_eq!(limits.check(["a"].into_iter(), HERE, start), Err(20));
        assert_eq!(limits.check(["x", "a"].into_iter(), HERE, start), Err(20));
        assert_eq!(limits.check(["b"].into_iter(), HERE, start), Ok(()));
        assert_eq!(limits.check(["a"].into_iter(), THERE, start), Ok(()));
    }

    #[test]
    fn failures_are_forgiven_one_by_one() {
        let (limits, start) = limits();
        (0..3).for_each(|_| limits.count(["a"].into_iter(), HERE, start));
        let after = |seconds| limits.check(["a"].into_iter(), HERE, start + Duration::from_secs(seconds));
        assert_eq!(after(19), Err(1));
        assert_eq!(after(20), Ok(()));
        limits.count(["a"].into_iter(), HERE, start + Duration::from_secs(20));
        assert_eq!(after(20), Err(20));
        assert_eq!(after(80), Ok(()));
    }

    #[test]
    fn an_address_is_limited_over_all_clients_it_tries() {
        let (limits, start) = limits();
        for id in ["a", "b", "c", "d", "e"] {
            assert_eq!(limits.check([id].into_iter(), HERE, start), Ok(()));
            limits.count([id].into_iter(), HERE, start);
        }
        assert_eq!(limits.check(["f"].into_iter(), HERE, start), Err(12));
        assert_eq!(limits.check([].into_iter(), HERE, start), Err(12));
        assert_eq!(limits.check(["f"].into_iter(), THERE, start), Ok(()));
    }

    #[test]
    fn credentials_that_cannot_be_read_count_against_their_address() {
        let (limits, start) = limits();
        (0..5).for_each(|_| limits.count([].into_iter(), HERE, start));
        assert!(limits.check(["a"].into_iter(), HERE, start).is_err());
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one() {
        assert_eq!(network("2001:db8::1".parse().unwrap()), network("2001:db8::ffff:1".parse().unwrap()));
        assert_ne!(network("2001:db8:0:1::1".parse().unwrap()), network("2001:db8::1".parse().unwrap()));
        assert_eq!(network("::ffff:127.0.0.1".parse().unwrap()), HERE);
    }
}
