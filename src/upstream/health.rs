use std::{sync::Arc, time::Duration};

use http::HeaderValue;
use pingora::{
    Result,
    connectors::{ConnectorOptions, TransportConnector, http::Connector},
    http::RequestHeader,
    protocols::http::client::HttpSession,
    upstreams::peer::HttpPeer,
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    Upstreams,
    server::{Endpoint, Found, Rounds},
};
use crate::config::{Health, HealthCheck, HostHeader, Protocol, Upstream};

/// Asks servers of one group whether they are well, by connections of its own.
pub(super) struct Checker {
    check: Check,
    timeout: Duration,
}

enum Check {
    Connect(Box<TransportConnector>),
    Get { connector: Box<Connector>, protocol: Protocol, path: String, expect: u16 },
}

impl Checker {
    pub(super) fn new(plan: &Upstream, health: &Health) -> Self {
        let options = || Some(ConnectorOptions::new(1));
        let check = match &health.check {
            HealthCheck::Connect => Check::Connect(Box::new(TransportConnector::new(options()))),
            HealthCheck::Get { path, expect } => Check::Get {
                connector: Box::new(Connector::new(options())),
                protocol: plan.protocol,
                path: path.clone(),
                expect: *expect,
            },
        };
        Self { check, timeout: health.timeout }
    }

    /// `host` is what the server is called.
    async fn ask(&self, mut peer: HttpPeer, host: &HeaderValue) -> Found {
        // A connection that is shared would outlive the check.
        peer.options.max_h2_streams = 1;
        let well = async {
            match &self.check {
                Check::Connect(connector) => connector.new_stream(&peer).await.is_ok(),
                Check::Get { connector, protocol, path, expect } => {
                    status(connector, *protocol, &peer, host, path).await.is_ok_and(|status| status == *expect)
                }
            }
        };
        if timeout(self.timeout, well).await.unwrap_or(false) { Found::Well } else { Found::Unwell }
    }
}

/// What `GET path` is answered with.
async fn status(
    connector: &Connector,
    protocol: Protocol,
    peer: &HttpPeer,
    host: &HeaderValue,
    path: &str,
) -> Result<u16> {
    let (mut session, _) = connector.get_http_session(peer).await?;
    let mut request = RequestHeader::build("GET", path.as_bytes(), Some(3))?;
    request.insert_header("User-Agent", "scopegate")?;
    match protocol {
        Protocol::Http1 => request.insert_header("Host", host)?,
        Protocol::H2 | Protocol::H2c => {
            let scheme = if protocol == Protocol::H2 { "https" } else { "http" };
            let uri = http::Uri::builder().scheme(scheme).authority(host.as_bytes()).path_and_query(path).build();
            request.set_uri(uri.map_err(|_| pingora::Error::new(pingora::ErrorType::InvalidHTTPHeader))?);
        }
    }
    session.write_request_header(Box::new(request)).await?;
    session.finish_request_body().await?;
    loop {
        session.read_response_header().await?;
        match session.response_header().map(|reply| reply.status.as_u16()) {
            Some(100..=199) => {}
            status => {
                close(session).await;
                return Ok(status.unwrap_or_default());
            }
        }
    }
}

/// What a server is called in a check. No client is asked for it, so that it is called what its certificate is for; a
/// socket has no name.
fn host(plan: &Upstream, server: usize) -> HeaderValue {
    let name = match &plan.host {
        HostHeader::Named(name) => Some(name),
        HostHeader::Client | HostHeader::Server => plan.servers[server].host.as_ref(),
    };
    name.cloned().unwrap_or(HeaderValue::from_static("localhost"))
}

async fn close(mut session: HttpSession) {
    session.shutdown().await;
}

impl Upstreams {
    /// Checks all servers of a group at the same time, again and again.
    pub(super) async fn watch(self: Arc<Self>, place: usize, checker: Arc<Checker>) {
        let group = &self.groups[place];
        let Some(health) = &group.plan.health else { return };
        let rounds = Rounds { healthy_after: health.healthy_after, unhealthy_after: health.unhealthy_after };
        let mut ticker = interval(health.every);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticker.tick().await;
            let mut checks = JoinSet::new();
            for endpoint in group.endpoints() {
                let checker = Arc::clone(&checker);
                let host = host(&group.plan, endpoint.server);
                let peer = group.peer(&endpoint);
                checks.spawn(async move { (checker.ask(peer, &host).await, endpoint) });
            }
            while let Some(checked) = checks.join_next().await {
                let Ok((found, endpoint)) = checked else { continue };
                if endpoint.checked(found, rounds, self.ticks_now()) {
                    self.tell(place, &endpoint, found);
                }
            }
        }
    }

    fn tell(&self, place: usize, endpoint: &Endpoint, found: Found) {
        let plan = &self.groups[place].plan;
        let (upstream, server, address) = (&*plan.name, &*plan.servers[endpoint.server].text, &endpoint.location);
        match found {
            Found::Well => tracing::info!(upstream, server, %address, "the server passes its checks again"),
            Found::Unwell => {
                tracing::warn!(upstream, server, %address, "the server fails its checks and gets no requests");
            }
        }
    }
}
