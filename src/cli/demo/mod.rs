//! `scopegate demo`: the whole thing on one machine, in memory.

mod api;
mod lines;

use std::{
    io::{Write, stdout},
    net::{SocketAddr, TcpListener},
    path::Path,
    thread,
};

use super::{
    Failure,
    client::{self, NewClient},
    context::actor,
};
use crate::{
    app::{self, OpenStore},
    config::{self, Config},
    domain::Timestamp,
    telemetry::log_to_stderr,
};

/// Where the demo listens.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// The gateway's address
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The admin listener's address
    #[arg(long, default_value = "127.0.0.1:9090")]
    admin: SocketAddr,
}

/// The account that owns the demo's credentials.
const CUSTOMER: &str = "bits:customer::e0d429f2-635b-418c-8b74-4a554f82c0bc";

pub(super) fn run(args: &DemoArgs) -> Result<(), Failure> {
    let upstream = serve_api()?;
    let config = configuration(args, upstream)?;
    let store = OpenStore::open(&config)?;
    let new = NewClient {
        customer: CUSTOMER.to_owned(),
        name: "demo".to_owned(),
        scope: "application application.read application.session".to_owned(),
        redirect_urls: Vec::new(),
        introspect: false,
        secret_expires_in: None,
    };
    let (client, secret) = store
        .block_on(async |store| client::create(new, &config.catalogue, store, Timestamp::now(), &actor()).await)?;
    let lines = lines::lines(args, client.id.as_str(), secret.reveal());
    log_to_stderr();
    app::run_on(config, store, move || {
        // Nobody reads the lines if standard output is gone; the gateway serves all the same.
        let _ = stdout().write_all(lines.as_bytes());
    })?;
    Ok(())
}

/// Starts the sample API on a port of its own and a thread of its own.
fn serve_api() -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let serve = move || {
        let served = runtime.block_on(async { api::serve(tokio::net::TcpListener::from_std(listener)?).await });
        let Err(error) = served;
        tracing::error!(%error, "the sample Applications API has stopped");
    };
    thread::Builder::new().name("applications-api".to_owned()).spawn(serve)?;
    Ok(address)
}

fn configuration(args: &DemoArgs, upstream: SocketAddr) -> Result<Config, Failure> {
    let (listen, admin) = (args.listen, args.admin);
    let text = include_str!("gateway.yaml")
        .replace("LISTEN", &listen.to_string())
        .replace("ADMIN", &admin.to_string())
        .replace("UPSTREAM", &upstream.to_string());
    Ok(config::parse(&text, Path::new("demo.yaml"))?)
}
