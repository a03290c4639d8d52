//! The gateway as pingora sees it: each hook calls a plain function of this folder.
//!
//! [`front()`] has the framework hand over its connections; [`Gate`] takes one ([`Connections`], [`Listener`]), then reads and judges each request's head before pingora parses it; `http2`
//! does the same for streams; `origin` believes what trusted peers tell; `admit` takes the decision; `headers` states what
//! the upstream may see; `respond` is the one place where reasons become HTTP. `client` is the client's end of a
//! connection, `link` ends an exchange on it in time, and `linger` reads on where a reply came before the end of its request.

mod admit;
mod body;
mod client;
mod connections;
mod context;
mod cors;
mod endpoints;
mod exchange;
mod forwarded;
mod front;
mod gate;
mod grpc;
mod headers;
mod http2;
mod linger;
mod link;
mod listener;
mod mint;
mod origin;
mod place;
mod reply;
mod reply_buffer;
mod respond;
mod stream;
mod throttle;

use std::{
    os::fd::RawFd,
    sync::{Arc, atomic::AtomicUsize},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{StatusCode, Version};
use pingora::{
    Error, ErrorSource,
    ErrorType::{ConnectTimedout, HTTPStatus, ReadTimedout, TLSHandshakeTimedout, WriteTimedout},
    Result,
    http::{RequestHeader, ResponseHeader},
    modules::http::HttpModules,
    protocols::Digest,
    proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session},
    upstreams::peer::HttpPeer,
};

pub use connections::{ConnectionLimits, Connections};
pub use front::{Proxy, front};
pub use gate::{Gate, GateLimits, Shared};
pub use listener::{Listener, Listeners};
pub use reply_buffer::ReplyBuffer;
pub use throttle::Throttle;

use crate::{
    cache::TokenCache,
    domain::{Catalogue, Reason, TrustedPeers},
    issuer::{Issuer, Revoker},
    policy::RouteTable,
    telemetry::{AccessLog, Decision, Metrics},
    trust::Trust,
    upstream::{Upstreams, expect_reply},
};
use admit::Admission;
use context::{Counted, Progress, ReplyEnd, RequestContext, RequestId};
use exchange::Retry;
use link::Link;
use mint::Minting;
use respond::Failure;

/// Bounds on one request beyond its head.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// A body that is streamed upstream, in bytes.
    pub body: u64,
    /// Between two parts of a body.
    pub body_timeout: Duration,
    /// For a client to take one part of a reply.
    pub send_timeout: Duration,
    /// Requests being served at one moment.
    pub in_flight: usize,
}

/// Everything that serving a request needs; immutable but for what its parts change inside.
pub struct Gateway {
    /// The routes.
    pub routes: RouteTable,
    /// The scopes.
    pub catalogue: Arc<Catalogue>,
    /// Who may be believed.
    pub trust: Arc<Trust>,
    /// Who was verified already.
    pub cache: Arc<TokenCache>,
    /// Our own endpoints.
    pub issuer: Arc<Issuer>,
    /// Where revocations go.
    pub revoker: Arc<dyn Revoker>,
    /// Who answers.
    pub upstreams: Arc<Upstreams>,
    /// Bounds on one request.
    pub limits: RequestLimits,
    /// Bounds on one caller; `None`: there are none.
    pub throttle: Option<Throttle>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is written down.
    pub access_log: Arc<AccessLog>,
    /// Requests being served.
    pub in_flight: Arc<AtomicUsize>,
    /// What waits for clients.
    pub replies: Arc<ReplyBuffer>,
    /// Who may say where a request came from.
    pub trusted_proxies: TrustedPeers,
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = RequestContext;

    fn new_ctx(&self) -> RequestContext {
        RequestContext::new(Counted::enter(&self.in_flight))
    }

    /// No compression: replies pass as they are.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<bool> {
        session.set_read_timeout(Some(self.limits.body_timeout));
        session.set_write_timeout(Some(self.limits.send_timeout));
        session.set_total_drain_timeout(Some(body::DRAIN_TIMEOUT));
        // Until the request ends: what its client sends meanwhile is no fault of it.
        session.set_pipelining_enabled(true);
        // An HTTP/1.0 client would take an interim reply for the reply.
        let http10 = session.req_header().version == Version::HTTP_10;
        session.set_ignore_info_resp(http10);
        origin::believe(session, &self.trusted_proxies);
        if let Some(id) = origin::request_id(session) {
            ctx.id = RequestId::Given(id.clone());
        }
        let reply = match self.admit(session, ctx).await? {
            Admission::Forward(admitted) => {
                headers::forget_spelling(session);
                ctx.minting = Minting::of(&admitted, session.req_header());
                ctx.progress = Progress::Admitted(admitted);
                return Ok(false);
            }
            Admission::Answer(reply) => reply,
            Admission::Endpoint(endpoint) => self.serve(endpoint, session, ctx).await?,
            Admission::Refuse(refusal) => {
                ctx.decision = Decision::Refused(refusal.reason);
                self.refuse(&refusal, ctx)
            }
        };
        ctx.answered = Some(reply.status());
        respond::send(session, reply, ctx).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<Box<HttpPeer>> {
        self.choose_server(session, ctx)
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        _reused: bool,
        _peer: &HttpPeer,
        _socket: RawFd,
        connection: Option<&Digest>,
        _ctx: &mut RequestContext,
    ) -> Result<()> {
        expect_reply(connection);
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        headers::prepare(session, upstream, ctx.progress.admitted()?, &ctx.id)?;
        self.name_server(upstream, ctx)?;
        if session.req_header().version == Version::HTTP_10 {
            self.raise_to_http11(upstream, ctx)?;
        }
        ctx.minting.as_mut().map_or(Ok(()), |minting| minting.begin_try(upstream))
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        reply: &mut ResponseHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        self.note_reply(reply, ctx)?;
        self.check_token(ctx)?;
        if reply.status == StatusCode::SWITCHING_PROTOCOLS {
            return stream::switch(session, reply, ctx.progress.admitted()?);
        }
        reply::check_reply(session, reply)?;
        if let Some(link) = Link::of(session.digest()) {
            link.expect(body::declared_length(&reply.headers));
        }
        if ctx.progress.admitted()?.route.cors.is_some() {
            cors::silence(reply);
        }
        ctx.state(reply)?;
        ctx.minting.as_mut().map_or(Ok(()), |minting| minting.judge_head(session.req_header(), reply))
    }

    /// By now the framework has said how a reply without a length ends.
    async fn response_filter(
        &self,
        session: &mut Session,
        reply: &mut ResponseHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        if session.req_header().version == Version::HTTP_10 {
            ctx.reply = reply::lower_to_http10(session, reply);
        }
        Ok(())
    }

    fn upstream_response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut RequestContext,
    ) -> Result<Option<Duration>> {
        ctx.exchange.check_time()?;
        self.check_token(ctx)?;
        self.mint(body, end.into(), ctx);
        Ok(None)
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        ctx.exchange.head_is_sent();
        ctx.exchange.check_time()?;
        self.check_token(ctx)?;
        if session.was_upgraded() {
            return Ok(());
        }
        if let Some(minting) = &mut ctx.minting {
            minting.keep_request(body.as_ref(), end.into());
        }
        if session.body_bytes_read() as u64 <= self.limits.body {
            return if end { Ok(()) } else { body::check_pace(session, ctx.started(), self.limits.body_timeout) };
        }
        ctx.decision = Decision::Refused(Reason::BodyTooLarge);
        Error::e_explain(HTTPStatus(413), "the request body is over its limit")
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut RequestContext,
        mut error: Box<Error>,
    ) -> Box<Error> {
        error.set_retry(self.connect_failed(&error, ctx) == Retry::Yes);
        error
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        ctx: &mut RequestContext,
        reused: bool,
    ) -> Box<Error> {
        error.set_retry(self.broke_off(session, peer, &error, ctx, reused.into()) == Retry::Yes);
        error
    }

    /// Retries are counted; pingora's own line would add the upstream's address.
    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _ctx: &RequestContext,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut RequestContext) -> FailToProxy {
        let failure = self.ended_by_watch(session, ctx).or_else(|| failure(error, ctx));
        let begun = session.response_written().is_some_and(|reply| begins(reply.status));
        if let (Some(failure), false) = (failure, begun) {
            session.set_keepalive(None);
            let reply = respond::problem(failure, ctx.id.as_str());
            ctx.answered = Some(reply.status());
            // The client may be gone by now; there is nobody else to tell.
            let _ = respond::send_last(session, reply, ctx).await;
        } else if begun {
            if ctx.reply == ReplyEnd::Unsaid
                && let Some(stream) = session.stream()
            {
                client::reset_when_closed(stream.id());
            }
            ctx.reply = ReplyEnd::Cut;
        }
        // A request that broke off before its decision was not admitted, and must not count so.
        if matches!(ctx.progress, Progress::Arrived) && ctx.decision == Decision::Admitted {
            ctx.decision = Decision::Refused(Reason::InvalidRequest);
        }
        FailToProxy { error_code: failure.map_or(0, Failure::status), can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, ctx: &mut RequestContext) {
        stream::unwatch(session, ctx);
        if let Some(link) = Link::of(session.digest()) {
            link.expect(Some(0));
        }
        let outcome = ctx.outcome(session);
        self.metrics.record(&outcome);
        self.access_log.record(&outcome, &self.metrics);
        // The gate judges heads as they come off the wire. Where the next one was read with this request, the connection ends.
        session.set_pipelining_enabled(false);
        if ctx.reply == ReplyEnd::Whole {
            ctx.leave();
            linger::linger(session).await;
        }
    }

    /// The metrics and the access log say what happened; pingora's own line would add the upstream's address.
    fn suppress_error_log(&self, _session: &Session, _ctx: &RequestContext, _error: &Error) -> bool {
        true
    }

    fn request_summary(&self, session: &Session, ctx: &RequestContext) -> String {
        format!("{} request {}", session.req_header().method, ctx.id.as_str())
    }
}

/// Whether a reply of this status leaves no room for another one. After a 101 the connection speaks something else.
fn begins(status: StatusCode) -> bool {
    !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS
}

/// What a client is told when a request that was admitted fails; `None` if it is gone.
fn failure(error: &Error, ctx: &RequestContext) -> Option<Failure> {
    if let Decision::Refused(reason) = ctx.decision {
        return Some(Failure::Refused(reason));
    }
    let timed_out = matches!(error.etype(), ConnectTimedout | ReadTimedout | WriteTimedout | TLSHandshakeTimedout);
    match error.esource() {
        ErrorSource::Internal if *error.etype() == HTTPStatus(503) => Some(Failure::UpstreamUnavailable),
        ErrorSource::Upstream if timed_out => Some(Failure::UpstreamTimeout),
        ErrorSource::Upstream => Some(Failure::UpstreamUnreachable),
        ErrorSource::Downstream if *error.etype() == ReadTimedout => Some(Failure::BodyTimeout),
        ErrorSource::Downstream if is_malformed(error) => Some(Failure::Refused(Reason::InvalidRequest)),
        ErrorSource::Downstream => None,
        ErrorSource::Internal | ErrorSource::Unset => Some(Failure::Internal),
    }
}

/// Whether the client sent something that is no HTTP, rather than went away.
fn is_malformed(error: &Error) -> bool {
    use pingora::ErrorType::{ConnectionClosed, ReadError, WriteError};
    !matches!(error.etype(), ReadError | WriteError | ConnectionClosed | WriteTimedout)
}

/// The moment, for durations only.
#[expect(clippy::disallowed_methods, reason = "durations are measured here, by the clock that never jumps")]
fn now() -> Instant {
    Instant::now()
}
