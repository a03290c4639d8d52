//! A request's way upstream: which server gets it, which failures are answered with another try, and when time is up.

use std::time::{Duration, Instant};

use h2::Reason;
use http::{HeaderValue, header};
use pingora::{
    Error, ErrorSource,
    ErrorType::{
        ConnectError, ConnectionClosed, HTTPStatus, InternalError, InvalidHTTPHeader, ReadError, ReadTimedout,
        WriteError,
    },
    Result,
    http::{RequestHeader, ResponseHeader},
    proxy::Session,
    upstreams::peer::HttpPeer,
};

use super::{Gateway, context::RequestContext, headers::client_address, now, stream};
use crate::{
    policy::{Repetition, UpstreamId},
    upstream::{Connection, Lease, Tried, bad_reply, client_number},
};

/// What is known of a request's way upstream.
pub(super) struct Exchange {
    lease: Option<Lease>,
    tried: Tried,
    connection: Connection,
    /// When the last try began.
    pub(super) started: Option<Instant>,
    deadline: Option<Instant>,
    /// Whether something ends it though nothing passes.
    pub(super) watched: Watched,
    sent: Sent,
    reply: Reply,
    /// Interim replies of all tries.
    interim: u32,
}

/// Whether a [`Watch`] was set on an exchange.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Watched {
    No,
    Yes,
}

/// How much of a request went to the server, in the last try.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// Not more than a part of its head.
    Part,
    /// Its head.
    Head,
}

/// What came back, in the last try.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reply {
    Nothing,
    Head,
}

impl Exchange {
    pub(super) fn new() -> Self {
        Self {
            lease: None,
            tried: Tried::default(),
            connection: Connection::Any,
            started: None,
            deadline: None,
            watched: Watched::No,
            sent: Sent::Part,
            reply: Reply::Nothing,
            interim: 0,
        }
    }

    /// Leaves its place at its server to another one.
    pub(super) fn leave(&mut self) {
        self.lease = None;
    }

    /// An error once the whole exchange has taken too long.
    pub(super) fn check_time(&self) -> Result<()> {
        match self.deadline {
            Some(deadline) if deadline <= now() => Err(too_late()),
            Some(_) | None => Ok(()),
        }
    }

    /// When it ends by itself: a moment after its time, so that a server which takes too long is told from a client.
    pub(super) fn end(&self) -> Option<Instant> {
        self.deadline.map(|deadline| deadline + BEHIND)
    }

    /// Notes that the head is sent: pingora reads the body, or finds none, only then.
    pub(super) fn head_is_sent(&mut self) {
        self.sent = Sent::Head;
    }

    fn begin_try(&mut self, peer: &mut HttpPeer, total: Option<Duration>, now: Instant) -> Result<()> {
        (self.started, self.sent, self.reply) = (Some(now), Sent::Part, Reply::Nothing);
        let Some(total) = total else { return Ok(()) };
        let deadline = *self.deadline.get_or_insert(now + total);
        let left = deadline.saturating_duration_since(now);
        if left.is_zero() {
            return Err(too_late());
        }
        let options = &mut peer.options;
        for timeout in [
            &mut options.connection_timeout,
            &mut options.total_connection_timeout,
            &mut options.read_timeout,
            &mut options.write_timeout,
        ] {
            *timeout = Some(timeout.map_or(left, |own| own.min(left)));
        }
        Ok(())
    }
}

impl Gateway {
    /// The server that gets a request, at the first try or at another one.
    pub(super) fn choose_server(&self, session: &Session, ctx: &mut RequestContext) -> Result<Box<HttpPeer>> {
        let admitted = ctx.progress.admitted()?;
        let (group, exchange, now) = (admitted.route.upstream, &mut ctx.exchange, now());
        // The place at the server of the try before is left first: it may be the only one.
        exchange.lease = None;
        let client = || match &admitted.principal {
            Some(principal) => client_number(principal.client.as_bytes()),
            None => address_number(session),
        };
        let Some(lease) = self.upstreams.pick(group, now, &exchange.tried, client) else {
            return Err(nobody_left(exchange));
        };
        let rules = &admitted.route.stream;
        let connection = if stream::asks_to_leave(session, rules) { Connection::Leaving } else { exchange.connection };
        let mut peer = self.upstreams.peer(group, &lease, connection);
        stream::fit(&mut peer, rules);
        stream::fit_to_client(&mut peer, session);
        exchange.begin_try(&mut peer, rules.total.or_else(|| self.upstreams.longest_exchange(group)), now)?;
        exchange.lease = Some(lease);
        self.watch(session, ctx)?;
        Ok(peer)
    }

    /// Calls the server what its group says, where that is not what the client calls us.
    pub(super) fn name_server(&self, upstream: &mut RequestHeader, ctx: &RequestContext) -> Result<()> {
        let group = ctx.progress.admitted()?.route.upstream;
        let host = ctx.exchange.lease.as_ref().and_then(|lease| self.upstreams.host(group, lease));
        host.map_or(Ok(()), |host| upstream.insert_header(header::HOST, host))
    }

    /// Makes a request of HTTP/1.0 one of HTTP/1.1, which has a `Host` and may expect no interim reply.
    pub(super) fn raise_to_http11(&self, upstream: &mut RequestHeader, ctx: &RequestContext) -> Result<()> {
        upstream.remove_header(&header::EXPECT);
        if upstream.headers.contains_key(header::HOST) {
            return Ok(());
        }
        let group = ctx.progress.admitted()?.route.upstream;
        let host = ctx.exchange.lease.as_ref().map(|lease| self.upstreams.own_host(group, lease));
        host.map_or(Ok(()), |host| upstream.insert_header(header::HOST, host))
    }

    /// Notes that a server took no connection. True if the request is to be offered to another one: nothing was sent
    /// yet, so any may be.
    pub(super) fn connect_failed(&self, error: &Error, ctx: &mut RequestContext) -> Retry {
        let Ok(admitted) = ctx.progress.admitted() else { return Retry::No };
        let (group, exchange) = (admitted.route.upstream, &mut ctx.exchange);
        self.metrics.count_connect_failure(group);
        if let Some(lease) = exchange.lease.take() {
            self.upstreams.give_up(group, &lease, &mut exchange.tried);
            // A gateway without a file descriptor to spare says nothing about its servers.
            if *error.etype() != InternalError {
                self.upstreams.failed(group, &lease, now());
            }
        }
        let another = exchange.tried.len() < MAX_TRIES && self.upstreams.has_other(group, &exchange.tried);
        self.counted(group, another && exchange.check_time().is_ok())
    }

    /// Notes that an exchange broke off. Whether the request may be sent once more, on a connection of its own.
    pub(super) fn broke_off(
        &self,
        session: &Session,
        peer: &HttpPeer,
        error: &Error,
        ctx: &mut RequestContext,
        reuse: Reuse,
    ) -> Retry {
        let Ok(admitted) = ctx.progress.admitted() else { return Retry::No };
        let (group, exchange) = (admitted.route.upstream, &mut ctx.exchange);
        if *error.esource() != ErrorSource::Upstream || exchange.reply == Reply::Head {
            return Retry::No;
        }
        let may_repeat = match admitted.route.repetition {
            Repetition::Harmless => true,
            Repetition::ByMethod => session.req_header().method.is_idempotent(),
        };
        // In HTTP/2 the head is handed over whole, and an error tells nothing of how far it came.
        let http1 = peer.options.alpn.get_max_http_version() != 2;
        let cut = http1 && exchange.sent == Sent::Part && *error.etype() == WriteError;
        // A server that answers with something else than HTTP has had the request.
        let judged = bad_reply(error).is_some();
        let stale =
            !judged && reuse == Reuse::Pooled && matches!(error.etype(), ConnectionClosed | ReadError | WriteError);
        let whole = !session.as_ref().retry_buffer_truncated() && exchange.connection == Connection::Any;
        let not_begun = cut || was_not_begun(error);
        let again = whole && (not_begun || may_repeat && (stale || is_on_its_way_out(error)));
        if again && exchange.check_time().is_ok() {
            exchange.connection = Connection::Fresh;
            return self.counted(group, true);
        }
        if let Some(lease) = &exchange.lease {
            self.upstreams.failed(group, lease, now());
        }
        Retry::No
    }

    /// Notes the head of a reply. Too many interim ones are an attempt to keep us busy.
    pub(super) fn note_reply(&self, reply: &ResponseHeader, ctx: &mut RequestContext) -> Result<()> {
        let group = ctx.progress.admitted()?.route.upstream;
        let exchange = &mut ctx.exchange;
        exchange.check_time()?;
        if reply.status.is_informational() {
            exchange.interim += 1;
            if exchange.interim > MAX_INTERIM {
                return Err(Error::explain(InvalidHTTPHeader, "too many interim replies").into_up());
            }
            return Ok(());
        }
        exchange.reply = Reply::Head;
        let Some(lease) = &exchange.lease else { return Ok(()) };
        self.upstreams.answered(group, lease, now);
        if let Some(seconds) = reply.headers.get("keep-alive").and_then(kept_for) {
            self.upstreams.keeps_idle_for(group, lease, seconds);
        }
        Ok(())
    }

    fn counted(&self, group: UpstreamId, again: bool) -> Retry {
        if !again {
            return Retry::No;
        }
        self.metrics.count_upstream_retry(group);
        Retry::Yes
    }
}

/// Whether a request is tried once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    Yes,
    No,
}

/// Whether a connection carried other requests before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reuse {
    Pooled,
    New,
}

impl From<bool> for Reuse {
    fn from(reused: bool) -> Self {
        if reused { Self::Pooled } else { Self::New }
    }
}

/// Whether an HTTP/2 server says that it did not begin with the request (RFC 9113 section 8.7).
fn was_not_begun(error: &Error) -> bool {
    let reset = error.root_cause().downcast_ref::<h2::Error>();
    reset.is_some_and(|reset| reset.is_reset() && reset.is_remote() && reset.reason() == Some(Reason::REFUSED_STREAM))
}

/// Whether the framework knows that an HTTP/2 server was about to end its connection.
fn is_on_its_way_out(error: &Error) -> bool {
    use pingora::RetryType::{Decided, ReusedOnly};
    match error.retry {
        Decided(leaving) => leaving,
        ReusedOnly => false,
    }
}

fn address_number(session: &Session) -> u64 {
    match client_address(session) {
        std::net::IpAddr::V4(address) => client_number(&address.octets()),
        std::net::IpAddr::V6(address) => client_number(&address.octets()),
    }
}

/// For how long a server keeps an idle connection, if it says so: `timeout=5, max=100`.
fn kept_for(value: &HeaderValue) -> Option<u32> {
    let parameters = value.to_str().ok()?.split(',');
    let timeout =
        parameters.filter_map(|parameter| parameter.split_once('=')).find(|(name, _)| name.trim() == "timeout");
    timeout.and_then(|(_, seconds)| seconds.trim().parse().ok())
}

#[expect(clippy::unnecessary_box_returns, reason = "the framework's errors are boxed")]
fn nobody_left(exchange: &Exchange) -> Box<Error> {
    if exchange.tried.is_empty() {
        return Error::explain(HTTPStatus(503), "no server can be asked").into_in();
    }
    Error::explain(ConnectError, "no server is left that was not tried").into_up()
}

#[expect(clippy::unnecessary_box_returns, reason = "the framework's errors are boxed")]
fn too_late() -> Box<Error> {
    Error::explain(ReadTimedout, "the whole exchange took too long").into_up()
}

/// How long after its time an exchange is ended by force.
const BEHIND: Duration = Duration::from_millis(50);
/// Most servers of a group that one request is offered to.
const MAX_TRIES: usize = 3;
/// Most interim replies (RFC 9110 section 15.2) to one request.
const MAX_INTERIM: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_say_how_long_they_keep_an_idle_connection() {
        for (value, seconds) in [
            ("timeout=5", Some(5)),
            ("timeout=5, max=1000", Some(5)),
            ("max=1000, timeout = 65", Some(65)),
            ("max=1000", None),
            ("timeout=", None),
            ("timeout=-1", None),
            ("timeout=99999999999", None),
            ("", None),
        ] {
            assert_eq!(kept_for(&HeaderValue::from_static(value)), seconds, "{value}");
        }
    }
}
