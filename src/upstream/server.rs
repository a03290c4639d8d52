use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use pingora::upstreams::peer::HttpPeer;

use super::{
    breaker::{Breaker, Turn},
    peer::Location,
    ticks::{Ticks, TicksCell},
};

/// What the servers of one group have in common.
#[derive(Clone, Copy)]
pub(super) struct Policy {
    pub(super) breaker: Option<BreakerPolicy>,
    /// Zero: a server that returns gets its whole share at once.
    pub(super) slow_start: Duration,
    pub(super) max_requests: Option<usize>,
    /// Whether somebody asks how many requests a server has.
    pub(super) counting: Counting,
}

/// When a server that fails requests is left out.
#[derive(Clone, Copy)]
pub(super) struct BreakerPolicy {
    pub(super) failures: u32,
    pub(super) lasting: Duration,
}

/// Whether requests in flight are counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Counting {
    On,
    Off,
}

/// One address of one server, and how it does.
pub(super) struct Endpoint {
    peer: HttpPeer,
    policy: Policy,
    pub(super) location: Location,
    /// The server's place in the configuration.
    pub(super) server: usize,
    pub(super) weight: u16,
    /// What makes it differ from the others for [`super::balance::client_hash`]; the same on every node.
    pub(super) seed: u64,
    in_flight: AtomicUsize,
    healthy: AtomicBool,
    /// Checks in a row that contradict `healthy`; [`UNCHECKED`] before the first.
    contradictions: AtomicU32,
    breaker: Breaker,
    /// When it returned; zero if it never left.
    returned: TicksCell,
    /// How long the server itself keeps an idle connection, in seconds, as it said last; zero if it never did.
    keeps_idle: AtomicU32,
}

/// What a request may expect of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Standing {
    /// It works, for so much of its share: 1, or less while it starts slowly.
    Serving(f64),
    /// It failed for a while; the time is over in which it was left alone.
    OnTrial,
    /// It failed requests, and is left alone.
    Ejected,
    /// It fails its checks, or has all the requests it may have.
    Unusable,
}

impl Endpoint {
    pub(super) fn new(
        peer: HttpPeer,
        policy: Policy,
        location: Location,
        server: usize,
        weight: u16,
        seed: u64,
    ) -> Self {
        Self {
            peer,
            policy,
            location,
            server,
            weight,
            seed,
            in_flight: AtomicUsize::new(0),
            healthy: AtomicBool::new(true),
            contradictions: AtomicU32::new(UNCHECKED),
            breaker: Breaker::default(),
            returned: TicksCell::default(),
            keeps_idle: AtomicU32::new(0),
        }
    }

    /// The same, as one that begins to serve beside others who do already.
    pub(super) fn joining(self, now: Ticks) -> Self {
        self.returned.set(now);
        self
    }

    /// As whom it is connected to.
    pub(super) const fn peer(&self) -> &HttpPeer {
        &self.peer
    }

    pub(super) fn standing(&self, now: Ticks) -> Standing {
        if !self.may_serve() {
            return Standing::Unusable;
        }
        match self.breaker.turn(now) {
            Turn::Closed => Standing::Serving(self.warmth(now)),
            Turn::Open => Standing::Ejected,
            Turn::HalfOpen => Standing::OnTrial,
        }
    }

    /// Whether it passes its checks and has room for a request.
    pub(super) fn may_serve(&self) -> bool {
        let has_room = || self.policy.max_requests.is_none_or(|most| self.in_flight() < most);
        self.healthy.load(Relaxed) && has_room()
    }

    /// Whether this request is the one that tries a server on trial.
    pub(super) fn claim_trial(&self, now: Ticks) -> bool {
        self.policy.breaker.is_some_and(|breaker| self.breaker.claim(now, breaker.lasting))
    }

    /// How much of its share it gets.
    fn warmth(&self, now: Ticks) -> f64 {
        if self.policy.slow_start.is_zero() {
            return 1.0;
        }
        let Some(returned) = self.returned.get() else { return 1.0 };
        let part = now.since(returned).as_secs_f64() / self.policy.slow_start.as_secs_f64();
        part.clamp(LEAST_WARMTH, 1.0)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Counts a request in; false if there is no room for it after all.
    pub(super) fn enter(&self) -> bool {
        if self.policy.counting == Counting::Off {
            return true;
        }
        let before = self.in_flight.fetch_add(1, Relaxed);
        let fits = self.policy.max_requests.is_none_or(|most| before < most);
        if !fits {
            self.leave();
        }
        fits
    }

    pub(super) fn leave(&self) {
        if self.policy.counting == Counting::On {
            self.in_flight.fetch_sub(1, Relaxed);
        }
    }

    /// Whether its last request was answered, and it gets all of them.
    pub(super) fn is_spotless(&self) -> bool {
        self.breaker.is_untouched()
    }

    /// Notes that it answered. True if it had been ejected.
    pub(super) fn answered(&self, now: Ticks) -> bool {
        let back = self.breaker.succeed();
        if back {
            self.returned.set(now);
        }
        back
    }

    /// Notes that it did not answer. True if that ejects it.
    pub(super) fn failed(&self, now: Ticks) -> bool {
        self.policy.breaker.is_some_and(|BreakerPolicy { failures, lasting }| self.breaker.fail(now, failures, lasting))
    }

    pub(super) fn is_healthy(&self) -> bool {
        self.healthy.load(Relaxed)
    }

    /// Notes what a check found; one at a time. True if the endpoint is well from now on and was not, or the reverse.
    /// The first check of all counts by itself: nothing else is known of the server.
    pub(super) fn checked(&self, found: Found, rounds: Rounds, now: Ticks) -> bool {
        let before = self.contradictions.load(Relaxed);
        if (found == Found::Well) == self.is_healthy() {
            self.contradictions.store(0, Relaxed);
            return false;
        }
        let needed = match found {
            Found::Well => rounds.healthy_after,
            Found::Unwell => rounds.unhealthy_after,
        };
        if before != UNCHECKED && before + 1 < needed {
            self.contradictions.store(before + 1, Relaxed);
            return false;
        }
        self.contradictions.store(0, Relaxed);
        self.healthy.store(found == Found::Well, Relaxed);
        if found == Found::Well {
            self.returned.set(now);
        }
        true
    }

    /// Whether it gets requests as a matter of course.
    pub(super) fn is_up(&self, now: Ticks) -> bool {
        self.is_healthy() && self.breaker.turn(now) == Turn::Closed
    }

    /// Notes for how many seconds the server keeps an idle connection.
    pub(super) fn keeps_idle_for(&self, seconds: u32) {
        if self.keeps_idle.load(Relaxed) != seconds {
            self.keeps_idle.store(seconds, Relaxed);
        }
    }

    /// How long a connection to it may be idle, if the server said so: a little less than it said.
    pub(super) fn idle_limit(&self) -> Option<Duration> {
        match self.keeps_idle.load(Relaxed) {
            0 => None,
            seconds => Some(Duration::from_secs(u64::from(seconds)).saturating_sub(IDLE_MARGIN)),
        }
    }
}

/// What checks say of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Well,
    Unwell,
}

/// How many checks in a row change what is thought of a server.
#[derive(Clone, Copy)]
pub(super) struct Rounds {
    pub(super) healthy_after: u32,
    pub(super) unhealthy_after: u32,
}

const UNCHECKED: u32 = u32::MAX;
/// What a server gets of its share at the least: without any request it would never warm up.
const LEAST_WARMTH: f64 = 1.0 / 16.0;
/// A connection that the server is about to close is not worth the risk: a request that meets the end is lost.
const IDLE_MARGIN: Duration = Duration::from_secs(1);
