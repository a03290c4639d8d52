//! Which endpoint gets the next request. Nothing here is written to but one counter; no lock, no allocation.

use std::sync::Arc;

use super::{
    server::{Endpoint, Standing},
    table::Table,
    ticks::Ticks,
};

/// Who may be chosen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// Those that serve, each for as much of its share as it takes, and one on trial for whom this request claims it.
    Proven,
    /// Everybody who can be asked at all: there is nobody else left.
    Any,
}

/// One request that looks for an endpoint.
pub(super) struct Search<'s> {
    pub(super) table: &'s Table,
    pub(super) now: Ticks,
    /// Endpoints that failed this request already.
    pub(super) tried: &'s [Arc<Endpoint>],
    /// A number that no other request of the group has.
    pub(super) number: u64,
    pub(super) choice: Choice,
}

impl<'s> Search<'s> {
    /// As many requests for each endpoint as its weight says, well mixed. The share of one that is out falls to the
    /// others by their weights, not to its neighbour in the order alone.
    pub(super) fn round_robin(&self) -> Option<&'s Arc<Endpoint>> {
        let Table { endpoints, schedule } = self.table;
        let length = schedule.len() as u64;
        let place = |number: u64| usize::try_from(number % length).expect("below the length of a list");
        let scheduled = |place: usize| &endpoints[usize::from(schedule[place])];
        let draws = (1..=DRAWS).map(|draw| scheduled(place(mix(self.number ^ draw << 56))));
        let first = [scheduled(place(self.number))].into_iter();
        let rest = endpoints.iter().cycle().skip(place(mix(self.number)) % endpoints.len()).take(endpoints.len());
        first.chain(draws).chain(rest).find(|endpoint| self.takes(endpoint))
    }

    /// The one with the fewest requests for its weight; among equals, each in turn.
    pub(super) fn least_connections(&self) -> Option<&'s Arc<Endpoint>> {
        self.best(|endpoint, warmth| {
            #[expect(clippy::cast_precision_loss, reason = "requests in flight are far below 2^52")]
            let load = (endpoint.in_flight() + 1) as f64;
            f64::from(endpoint.weight) * warmth / load
        })
    }

    /// The one that this client hashes highest with (weighted rendezvous): when an endpoint leaves, its clients alone
    /// move, and each to another one; when it returns slowly, they come back one after another.
    pub(super) fn client_hash(&self, client: u64) -> Option<&'s Arc<Endpoint>> {
        self.best(|endpoint, warmth| {
            let drawn = mix(client ^ endpoint.seed);
            if unit(mix(drawn)) > warmth {
                return 0.0;
            }
            f64::from(endpoint.weight) / -unit(drawn).ln()
        })
    }

    /// The endpoint with the highest score above zero.
    fn best(&self, score: impl Fn(&Endpoint, f64) -> f64) -> Option<&'s Arc<Endpoint>> {
        let endpoints = &self.table.endpoints;
        let first = usize::try_from(self.number % endpoints.len() as u64).expect("below the length of a list");
        let mut lost: Option<&Arc<Endpoint>> = None;
        // Another request may claim a trial first; then the next best will do.
        for _ in 0..2 {
            let mut best: Option<(&Arc<Endpoint>, f64)> = None;
            for endpoint in endpoints[first..].iter().chain(&endpoints[..first]) {
                if lost.is_some_and(|lost| Arc::ptr_eq(lost, endpoint)) {
                    continue;
                }
                let Some(warmth) = self.warmth(endpoint) else { continue };
                let own = score(endpoint, warmth);
                if own > best.map_or(0.0, |(_, highest)| highest) {
                    best = Some((endpoint, own));
                }
            }
            let (endpoint, _) = best?;
            if self.claims(endpoint) {
                return Some(endpoint);
            }
            lost = Some(endpoint);
        }
        None
    }

    /// Whether this request goes to `endpoint`, now that it is its turn.
    fn takes(&self, endpoint: &Arc<Endpoint>) -> bool {
        let Some(warmth) = self.warmth(endpoint) else { return false };
        let lucky = warmth >= 1.0 || unit(mix(self.number ^ endpoint.seed)) <= warmth;
        lucky && self.claims(endpoint)
    }

    /// How much of its share an endpoint gets; `None` if it cannot be chosen.
    fn warmth(&self, endpoint: &Arc<Endpoint>) -> Option<f64> {
        if self.tried.iter().any(|tried| Arc::ptr_eq(tried, endpoint)) {
            return None;
        }
        match (endpoint.standing(self.now), self.choice) {
            (Standing::Serving(warmth), Choice::Proven) => Some(warmth),
            (Standing::OnTrial, Choice::Proven)
            | (Standing::Serving(_) | Standing::OnTrial | Standing::Ejected, Choice::Any) => Some(1.0),
            (Standing::Ejected, Choice::Proven) | (Standing::Unusable, _) => None,
        }
    }

    /// Takes the place at `endpoint`; false if another request was faster.
    fn claims(&self, endpoint: &Endpoint) -> bool {
        let trial = self.choice == Choice::Proven && endpoint.standing(self.now) == Standing::OnTrial;
        (!trial || endpoint.claim_trial(self.now)) && endpoint.enter()
    }
}

const TWO_TO_THE_52: f64 = 4_503_599_627_370_496.0;
/// How often another endpoint is drawn before they are gone through in order.
const DRAWS: u64 = 4;

/// A number for some bytes, the same on every node (FNV-1a).
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold)
}

/// Spreads a number over all 64 bits (the last step of `SplitMix64`).
const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

/// A number above 0 and below 1.
fn unit(number: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "52 bits fit a float, and so does half of the last one")]
    let part = (number >> 12) as f64 + 0.5;
    part / TWO_TO_THE_52
}
