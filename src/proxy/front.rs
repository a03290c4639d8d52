//! The gateway as a service of the framework.
//!
//! The framework gives out its proxy with connections to servers of ours in one way only: to a handler of connections that
//! are no HTTP. So every connection is one to it, and what it does with them goes through our [`Gate`].

use std::sync::{Arc, OnceLock};

use pingora::{
    apps::{HttpServerOptions, ServerApp},
    protocols::Stream,
    proxy::{HttpProxy, ProxyServiceBuilder},
    server::{ShutdownWatch, configuration::ServerConf},
    services::listening::Service,
};

use super::{Gate, Gateway};
use crate::upstream::Connector;

/// The framework's proxy around the gateway.
pub type Proxy = HttpProxy<Gateway, Connector>;

/// Has every connection go through what `gate` puts before the gateway; it is called once.
pub fn front(
    conf: &Arc<ServerConf>,
    gateway: Gateway,
    gate: impl Fn(Arc<Proxy>) -> Gate<Proxy> + Send + Sync + Unpin + 'static,
) -> Service<Proxy> {
    let opened = Arc::new(OnceLock::new());
    let handle = move |proxy: Arc<Proxy>, stream: Stream, shutdown: &ShutdownWatch| {
        let gate: &Arc<Gate<Proxy>> = opened.get_or_init(|| Arc::new(gate(proxy)));
        let (gate, shutdown) = (Arc::clone(gate), shutdown.clone());
        // On a task of its own, which needs no room for what the framework would do with a connection.
        tokio::spawn(async move { gate.process_new(stream, &shutdown).await });
        Box::pin(std::future::ready(None)) as _
    };
    let mut options = HttpServerOptions::default();
    options.force_custom = true;
    let builder = ProxyServiceBuilder::new(conf, gateway).name("gateway").server_options(options);
    builder.custom(Connector::new(conf), Arc::new(handle)).build()
}
