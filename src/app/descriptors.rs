//! File descriptors: every connection takes one, and a process that has none left can neither accept a connection nor
//! close the door to it. So what may be open is bounded by what the system allows, and some are kept for everything else.
//! A flood may still take all of them for a moment, between being accepted and being turned away; pingora then accepts
//! nobody for a second.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many connections may be open at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    /// Of clients.
    pub(super) connections: usize,
    /// Of those who ask for metrics.
    pub(super) admin: usize,
    /// With a request in them: each may have one more to an upstream.
    pub(super) in_flight: usize,
    /// To upstreams, idle, of each thread.
    pub(super) pooled: usize,
}

impl Shares {
    /// What is wanted, or as much of it as `limit` descriptors allow: six tenths for clients, three for upstreams that are
    /// busy, one for those that are idle.
    fn within(self, limit: u64, threads: usize) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let admin = self.admin.min(limit / 8).max(1);
        let left = limit.saturating_sub(OTHERS + admin);
        Self {
            connections: self.connections.min(left / 10 * 6).max(1),
            admin,
            in_flight: self.in_flight.min(left / 10 * 3).max(1),
            pooled: self.pooled.min(left / 10 / threads.max(1)).max(1),
        }
    }

    /// Raises the process's limit as far as it may, and fits what is wanted into it.
    pub(super) fn fit(self, threads: usize) -> Self {
        let Some(limit) = raise() else { return self };
        let fitting = self.within(limit, threads);
        if (fitting.connections, fitting.in_flight) != (self.connections, self.in_flight) {
            let Self { connections, in_flight, .. } = fitting;
            tracing::warn!(
                "{limit} file descriptors are too few for `limits`: going on with {connections} connections and {in_flight} \
                 requests in flight (LimitNOFILE or ulimit -n raises them)"
            );
        }
        fitting
    }
}

/// The number of descriptors that this process may have from now on; `None`: any.
fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(_) => current,
    }
}

/// Descriptors that are no connections: listeners, the store, timers and queues of each thread, files being read.
const OTHERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_fit_into_the_limit_and_leave_room_for_others() {
        let wanted = Shares { connections: 20_000, admin: 256, in_flight: 10_000, pooled: 512 };
        for (limit, connections, admin, in_flight, pooled) in [
            (1 << 20, 20_000, 256, 10_000, 512),
            (65_536, 20_000, 256, 10_000, 512),
            (20_000, 11_808, 256, 5904, 512),
            (4096, 2262, 256, 1131, 188),
            (1024, 498, 128, 249, 41),
            (256, 96, 32, 48, 8),
            (64, 1, 8, 1, 1),
            (0, 1, 1, 1, 1),
        ] {
            assert_eq!(wanted.within(limit, 2), Shares { connections, admin, in_flight, pooled }, "{limit}");
        }
    }
}
