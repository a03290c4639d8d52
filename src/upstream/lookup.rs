use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::time::{sleep, timeout};

use super::{
    Upstreams,
    group::{Group, locations},
    peer::Location,
};
use crate::config::{ServerAddress, UpstreamServer, usable_addresses};

impl Group {
    /// Whether a host name among its servers may lead elsewhere tomorrow.
    pub(super) fn has_names(&self) -> bool {
        self.plan.servers.iter().any(|server| matches!(server.address, ServerAddress::Named { .. }))
    }
}

/// Looks the host names of a group up again and again. What is found is used from then on; where nothing is found, what
/// was known goes on being used.
pub(super) async fn follow_names(upstreams: Arc<Upstreams>, place: usize) {
    let group = &upstreams.groups[place];
    let mut names: Vec<_> = group.plan.servers.iter().map(Name::of).collect();
    loop {
        sleep(group.plan.resolve_every).await;
        let mut changed = false;
        for name in &mut names {
            changed |= name.follow(group).await;
        }
        if changed {
            let locations: Vec<_> = names.iter().map(|name| name.locations.clone()).collect();
            group.go_on_with(&locations, upstreams.ticks_now());
        }
    }
}

/// One server, and where it was found last.
struct Name<'g> {
    server: &'g UpstreamServer,
    locations: Vec<Location>,
    last: LastLookup,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LastLookup {
    Found,
    Failed,
}

impl<'g> Name<'g> {
    fn of(server: &'g UpstreamServer) -> Self {
        Self { server, locations: locations(&server.address), last: LastLookup::Found }
    }

    /// Looks the server up, if it has a name. True if it is elsewhere now.
    async fn follow(&mut self, group: &Group) -> bool {
        let ServerAddress::Named { name, found: _ } = &self.server.address else { return false };
        let (upstream, server) = (&*group.plan.name, &*self.server.text);
        let last = self.last;
        match look_up(name).await {
            Ok(found) => {
                self.last = LastLookup::Found;
                if last == LastLookup::Failed {
                    tracing::info!(upstream, server, "the name is found again");
                }
                let changed = self.locations != found;
                self.locations = found;
                changed
            }
            Err(error) => {
                group.failed_lookups.fetch_add(1, Relaxed);
                self.last = LastLookup::Failed;
                if last == LastLookup::Found {
                    tracing::warn!(upstream, server, %error, "the name is not found; going on with its last addresses");
                }
                false
            }
        }
    }
}

/// At least one address, the same ones in the same order each time.
async fn look_up(name: &str) -> io::Result<Vec<Location>> {
    let found = timeout(LONGEST_LOOKUP, tokio::net::lookup_host(name)).await;
    let found: Vec<SocketAddr> = found.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??.collect();
    if found.is_empty() {
        return Err(io::Error::other("it leads to no address"));
    }
    Ok(usable_addresses(found).into_iter().take(MOST_ADDRESSES).map(Location::Address).collect())
}

/// How long a resolver is waited for.
const LONGEST_LOOKUP: Duration = Duration::from_secs(10);
/// Addresses of one name that are used.
const MOST_ADDRESSES: usize = 256;
