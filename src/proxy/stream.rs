//! Exchanges that last, and connections that leave HTTP.

use std::sync::Arc;

use http::header;
use pingora::{
    Error,
    ErrorType::InvalidHTTPHeader,
    Result,
    http::ResponseHeader,
    proxy::Session,
    upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy},
};

use super::{
    Gateway,
    context::{Admitted, RequestContext},
    exchange::Watched,
    link::{Link, Stands, Watch},
    respond::Failure,
};
use crate::{
    domain::Timestamp,
    policy::{End, Stream, Upgrade},
    telemetry::Decision,
    trust::Cleared,
};

/// Fits a way to a server to what the route says.
pub(super) fn fit(peer: &mut HttpPeer, rules: &Stream) {
    if let Some(idle) = rules.idle {
        peer.options.read_timeout = Some(idle);
    }
    if rules.upgrade == Upgrade::WebSocket {
        // pingora passes on a whole and sound WebSocket handshake, and no other.
        peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy::standard();
    }
}

/// Whether a request may take its connection out of HTTP, and wants to.
pub(super) fn asks_to_leave(session: &Session, rules: &Stream) -> bool {
    rules.upgrade == Upgrade::WebSocket && names_websocket(session.req_header().headers.get(header::UPGRADE))
}

/// Lets a server take the connection out of HTTP where the route says so and the client asked for it. From then on the
/// client may be silent; the server's silence is bounded by `idle`.
pub(super) fn switch(session: &mut Session, reply: &ResponseHeader, admitted: &Admitted) -> Result<()> {
    let given = names_websocket(reply.headers.get(header::UPGRADE));
    if !asks_to_leave(session, &admitted.route.stream) || !given {
        return Err(Error::explain(InvalidHTTPHeader, "a switch of protocols that nobody asked for").into_up());
    }
    session.set_read_timeout(None);
    Ok(())
}

/// The connection goes on without the exchange.
pub(super) fn unwatch(session: &Session, ctx: &RequestContext) {
    if ctx.exchange.watched == Watched::Yes
        && let Some(link) = Link::of(session.digest())
    {
        link.set_watch(None);
    }
}

fn names_websocket(upgrade: Option<&http::HeaderValue>) -> bool {
    upgrade.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

impl Gateway {
    /// Has an exchange end in time though nothing passes, where it has a time or ends with its token.
    pub(super) fn watch(&self, session: &Session, ctx: &mut RequestContext) -> Result<()> {
        if ctx.exchange.watched == Watched::Yes {
            return Ok(());
        }
        let admitted = ctx.progress.admitted()?;
        let stands = match (admitted.route.stream.end, &admitted.principal) {
            (End::WithToken, Some(principal)) => {
                let (trust, principal) = (Arc::clone(&self.trust), Arc::clone(principal));
                let stands = move || trust.recheck(&principal, &Cleared::default(), Timestamp::now()).is_ok();
                Some(Box::new(stands) as Stands)
            }
            _ => None,
        };
        if let (Some(watch), Some(link)) =
            (Watch::new(ctx.exchange.end().map(Into::into), stands), Link::of(session.digest()))
        {
            link.set_watch(Some(watch));
            ctx.exchange.watched = Watched::Yes;
        }
        Ok(())
    }

    /// What the client is told of an exchange that its watch has ended, if it was.
    pub(super) fn ended_by_watch(&self, session: &Session, ctx: &mut RequestContext) -> Option<Failure> {
        if ctx.exchange.watched == Watched::No || !Link::of(session.digest()).is_some_and(Link::is_over) {
            return None;
        }
        match (self.check_token(ctx), ctx.decision) {
            (Err(_), Decision::Refused(reason)) => Some(Failure::Refused(reason)),
            _ => Some(Failure::UpstreamTimeout),
        }
    }

    /// An error once the token that let an exchange in no longer stands, if the exchange ends with it. Asked whenever a
    /// part passes, before it does: nothing is passed on for a token that has ended.
    pub(super) fn check_token(&self, ctx: &mut RequestContext) -> Result<()> {
        let admitted = ctx.progress.admitted()?;
        let (End::WithToken, Some(principal)) = (admitted.route.stream.end, &admitted.principal) else {
            return Ok(());
        };
        let standing = self.trust.recheck(principal, &Cleared::default(), Timestamp::now());
        standing.map_err(|reason| {
            ctx.decision = Decision::Refused(reason);
            Error::explain(InvalidHTTPHeader, "the token of the exchange has ended").into_down()
        })
    }
}
