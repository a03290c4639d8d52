use std::{future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use pingora::{server::ShutdownWatch, services::background::BackgroundService};
use tokio::{task::JoinSet, time::sleep};

use super::{Upstreams, health::Checker, lookup::follow_names};

/// Looks after the servers for as long as the gateway runs.
pub struct Keeper(Arc<Upstreams>);

impl Keeper {
    /// Somebody who does, if there is anything to look after.
    pub fn of(upstreams: &Arc<Upstreams>) -> Option<Self> {
        let needed = upstreams.groups.iter().any(|group| group.plan.health.is_some() || group.has_names());
        needed.then(|| Self(Arc::clone(upstreams)))
    }

    async fn keep(&self) {
        let mut tasks = JoinSet::new();
        for place in 0..self.0.groups.len() {
            let group = &self.0.groups[place];
            if let Some(health) = &group.plan.health {
                let (upstreams, checker) = (Arc::clone(&self.0), Arc::new(Checker::new(&group.plan, health)));
                tasks.spawn(for_ever(move || Arc::clone(&upstreams).watch(place, Arc::clone(&checker))));
            }
            if group.has_names() {
                let upstreams = Arc::clone(&self.0);
                tasks.spawn(for_ever(move || follow_names(Arc::clone(&upstreams), place)));
            }
        }
        while tasks.join_next().await.is_some() {}
    }
}

#[async_trait]
impl BackgroundService for Keeper {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        tokio::select! {
            () = self.keep() => {}
            _ = shutdown.changed() => {}
        }
    }
}

/// Begins anew what has come to an end, which only a panic brings about: nobody would notice that servers are looked
/// after no more.
async fn for_ever<F: Future<Output = ()> + Send + 'static>(begin: impl Fn() -> F + Send) {
    loop {
        let mut task = JoinSet::new();
        task.spawn(begin());
        let _ = task.join_next().await;
        tracing::error!("looking after upstream servers broke off; beginning anew");
        sleep(Duration::from_secs(1)).await;
    }
}
