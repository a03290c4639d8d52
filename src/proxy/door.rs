//! How many connections may be open. One more is closed before a byte of it is read: an answer would cost more than the
//! connection does, and to keep it waiting is to have it open.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use pingora::{apps::ServerApp, protocols::Stream, server::ShutdownWatch};

use super::context::Counted;
use crate::telemetry::{Limit, Metrics};

/// Stands before everything that takes connections.
pub struct Door<A> {
    inner: Arc<A>,
    most: usize,
    open: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

impl<A> Door<A> {
    /// Lets `most` connections at a time through to `inner`, and keeps their number in `open`.
    pub fn new(inner: A, most: usize, open: Arc<AtomicUsize>, metrics: Arc<Metrics>) -> Self {
        Self { inner: Arc::new(inner), most, open, metrics }
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> ServerApp for Door<A> {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let _one_more = Counted::enter(&self.open);
        if self.open.load(Ordering::Relaxed) > self.most {
            self.metrics.count_limited(Limit::Connections);
            return None;
        }
        self.inner.process_new(stream, shutdown).await
    }

    async fn cleanup(&self) {
        self.inner.cleanup().await;
    }
}
