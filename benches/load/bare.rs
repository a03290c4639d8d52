//! The floor that the gateway is measured against: pingora that passes requests through and decides nothing.
//!
//! Tuned like the gateway (one thread, mimalloc, no downstream modules, a peer made once), so that the difference
//! between the two is the price of authentication and of telling about it.
//!
//! `bare-pingora LISTEN UPSTREAM`, both as `address:port`.

use std::{process::ExitCode, sync::Arc};

use async_trait::async_trait;
use pingora::{
    listeners::{L4BufferSettings, ListenerConfig},
    modules::http::HttpModules,
    prelude::*,
    proxy::ProxyServiceBuilder,
    server::configuration::ServerConf,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct PassThrough {
    peer: HttpPeer,
}

#[async_trait]
impl ProxyHttp for PassThrough {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    /// Pingora's default installs its compression module here, which costs every request.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut Self::CTX) -> Result<Box<HttpPeer>> {
        Ok(Box::new(self.peer.clone()))
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, upstream] = arguments.as_slice() else {
        eprintln!("usage: bare-pingora LISTEN UPSTREAM");
        return ExitCode::from(2);
    };
    serve(listen, upstream)
}

fn serve(listen: &str, upstream: &str) -> ! {
    let conf = ServerConf {
        threads: 1,
        upstream_keepalive_pool_size: 512,
        max_retries: 3,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let pass_through = PassThrough { peer: HttpPeer::new(upstream, false, String::new()) };
    let conf = Arc::clone(&server.configuration);
    let mut service = ProxyServiceBuilder::new(&conf, pass_through).name("bare").build();
    let buffers = L4BufferSettings::new(16 << 10, 16 << 10);
    service.add_listener(ListenerConfig::tcp(listen).l4_buffer(buffers));
    server.add_service(service);
    server.run_forever()
}
