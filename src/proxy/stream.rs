//! Exchanges that last, and connections that leave HTTP.

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

/// Lets a server take the connection out of HTTP where the route says so and the client asked for it. From then on the
/// client may be silent; the server's silence is bounded by `idle`.
pub(super) fn switch(session: &mut Session, reply: &ResponseHeader, admitted: &Admitted) -> Result<()> {
    let asked = names_websocket(session.req_header().headers.get(header::UPGRADE));
    let given = names_websocket(reply.headers.get(header::UPGRADE));
    if admitted.route.stream.upgrade == Upgrade::Denied || !asked || !given {
        return Err(Error::explain(InvalidHTTPHeader, "a switch of protocols that nobody asked for").into_up());
    }
    session.set_read_timeout(None);
    Ok(())
}

fn names_websocket(upgrade: Option<&http::HeaderValue>) -> bool {
    upgrade.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

impl Gateway {
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
