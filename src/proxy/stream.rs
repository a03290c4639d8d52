//! Exchanges that last, and connections that leave HTTP.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use pingora::{
    Error,
    ErrorType::InvalidHTTPHeader,
    Result,
    http::{RequestHeader, ResponseHeader},
    proxy::Session,
    upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy},
};

use super::{
    Gateway,
    context::{Admitted, RequestContext},
    exchange::Watched,
    link::{Link, Pace, Stands, Watch},
    respond::Failure,
};
use crate::{
    domain::{Reason, Timestamp},
    policy::{End, Stream, Upgrade, asks_for_websocket, check_handshake, check_switch, is_end_to_end},
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

/// Fits it to a client that takes its reply in small pieces: so is it read. Such connections are kept apart.
pub(super) fn fit_to_client(peer: &mut HttpPeer, session: &Session) {
    if Link::of(session.digest()).is_some_and(|link| link.pace() == Pace::Little) {
        peer.options.tcp_recv_buf = Some(SMALL_BUFFER);
        peer.options.h2_stream_window_size = Some(SMALL_WINDOW);
        peer.group_key |= APART;
    }
}

/// Whether a request may take its connection out of HTTP, and wants to.
pub(super) fn asks_to_leave(session: &Session, rules: &Stream) -> bool {
    rules.upgrade == Upgrade::WebSocket && asks_for_websocket(&session.req_header().headers)
}

/// Judges what a request says of its own connection: that it is to become a WebSocket, where the route takes those, and
/// which fields are for this hop alone. Those by which we decided are not.
pub(super) fn check_request(request: &RequestHeader, rules: &Stream) -> std::result::Result<(), Failure> {
    let headers = &request.headers;
    if rules.upgrade == Upgrade::WebSocket && asks_for_websocket(headers) {
        check_handshake(&request.method, request.version, headers).map_err(Failure::Handshake)?;
    }
    // What nearly every request says names no field.
    let tells = |line: &&HeaderValue| {
        let line = line.as_bytes();
        !line.eq_ignore_ascii_case(b"keep-alive") && !line.eq_ignore_ascii_case(b"close")
    };
    let lines = headers.get_all(header::CONNECTION).iter().filter(tells);
    let options = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let mut names = options.filter_map(|option| std::str::from_utf8(option.trim_ascii()).ok());
    if names.any(is_end_to_end) { Err(Failure::Refused(Reason::InvalidRequest)) } else { Ok(()) }
}

/// What a client hears that asked for another version (RFC 6455 section 4.4).
pub(super) fn offer_version(reply: &mut Response<Bytes>) {
    let headers = reply.headers_mut();
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// Lets a server take the connection out of HTTP where the route says so and the client asked for it. From then on the
/// client may be silent; the server's silence is bounded by `idle`.
pub(super) fn switch(session: &mut Session, reply: &mut ResponseHeader, admitted: &Admitted) -> Result<()> {
    if !asks_to_leave(session, &admitted.route.stream) {
        return Err(Error::explain(InvalidHTTPHeader, "a switch of protocols that nobody asked for").into_up());
    }
    if let Err(error) = check_switch(&session.req_header().headers, &reply.headers) {
        return Err(Error::explain(InvalidHTTPHeader, error.to_string()).into_up());
    }
    // What follows is framed by the other protocol.
    reply.remove_header(&header::CONTENT_LENGTH);
    reply.remove_header(&header::TRANSFER_ENCODING);
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

/// The system's buffer for what a server sends, in bytes; it doubles it.
const SMALL_BUFFER: usize = 4096;
/// What a server may send ahead on a stream, in bytes.
const SMALL_WINDOW: u32 = 8 * 1024;
/// Beyond the number of every group of servers.
const APART: u64 = 1 << 63;

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
