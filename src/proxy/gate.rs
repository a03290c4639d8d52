//! A connection before pingora: each request's head is read here, within one deadline, and judged as it came off the wire.
//!
//! pingora would mend some heads before any hook sees them (it escapes bytes in the target, joins equal lengths, drops a
//! length beside chunked) and has no deadline for a whole head. Here nothing was mended yet; the very bytes are then handed
//! to pingora's parser as the prefix of its stream, so nothing is copied or parsed twice that was not before.

use std::{
    future::poll_fn,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::{Pin, pin},
    sync::{Arc, atomic::AtomicUsize},
    task::{Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use http::{HeaderValue, header};
use pingora::{
    apps::{HttpServerApp, ServerApp},
    protocols::{Stream, http::ServerSession},
    server::ShutdownWatch,
    time::timeout,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, Sleep, sleep},
};

use super::{
    connections::{Connections, Entry},
    context::RequestId,
    linger::linger_raw,
    listener::{Begun, Listeners},
    now,
    reply_buffer::ReplyBuffer,
    respond::{Failure, encode, problem},
};
use crate::{
    domain::{Reason, wall_clock},
    policy::{HeadLimits, Violation, check_head, head_end},
    telemetry::{AccessLog, Decision, Metrics, Outcome, Subject},
};

/// Bounds on a connection and on the heads that arrive on it.
#[derive(Clone, Copy, Debug)]
pub struct GateLimits {
    /// Size of a head.
    pub head: HeadLimits,
    /// From a request's first bytes to the end of its head; a fresh connection has as long for its first byte.
    pub head_timeout: Duration,
}

/// Stands before an HTTP application on every connection.
pub struct Gate<A> {
    pub(super) inner: Arc<A>,
    listeners: Listeners,
    pub(super) limits: GateLimits,
    pub(super) shared: Shared,
}

/// What all connections of a service share.
#[derive(Clone)]
pub struct Shared {
    /// Who is connected.
    pub connections: Arc<Connections>,
    /// What waits for clients.
    pub replies: Arc<ReplyBuffer>,
    /// Requests being served.
    pub in_flight: Arc<AtomicUsize>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is written down.
    pub access_log: Arc<AccessLog>,
}

/// How reading a head ended.
enum Arrival {
    /// With a sound head, and whatever came after it.
    Head(BytesMut),
    /// With one that is refused.
    Refused(Violation),
    /// With nothing: the client left, or was idle for too long.
    Nothing,
}

impl<A> Gate<A> {
    /// Stands before `inner`.
    pub const fn new(inner: Arc<A>, listeners: Listeners, limits: GateLimits, shared: Shared) -> Self {
        Self { inner, listeners, limits, shared }
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> ServerApp for Gate<A> {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let listener = self.listeners.of(&stream)?;
        let Shared { connections, replies, metrics, .. } = &self.shared;
        let mut entry = connections.enter(peer(&stream))?;
        let place = entry.place();
        // What most connections do not do for long, or at all, has a place of its own: a future is as large as the largest
        // thing it may ever wait for, and it stays as long as the connection.
        let opening = Box::pin(listener.begin(stream, self.limits.head_timeout, metrics, replies));
        let begun = tokio::select! {
            biased;
            begun = opening => begun,
            () = place.closed() => return None,
        };
        drop(place);
        match begun {
            Begun::Http1(stream) | Begun::Http2(stream)
                if listener.proxies.is_some() && !entry.is_of(peer(&stream)) =>
            {
                None
            }
            Begun::Http1(stream) => self.serve_http1(stream, &entry, shutdown).await,
            Begun::Http2(stream) => {
                Box::pin(self.serve_http2(stream, &entry, shutdown)).await;
                None
            }
            Begun::Nothing => None,
            Begun::Refused(peer) => {
                self.record(peer, Reason::InvalidRequest, 0, RequestId::fresh().as_str());
                None
            }
        }
    }

    async fn cleanup(&self) {
        self.inner.http_cleanup().await;
    }
}

/// Whether a connection carried a request since its alarm was set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    None,
    Some,
}

impl<A: HttpServerApp + Send + Sync + 'static> Gate<A> {
    /// Serves request after request.
    async fn serve_http1(&self, mut stream: Stream, entry: &Entry, shutdown: &ShutdownWatch) -> Option<Stream> {
        let place = entry.place();
        let mut closed = pin!(place.closed());
        let mut stopping = shutdown.clone();
        let mut stopped = pin!(async move {
            let _ = stopping.wait_for(|stop| *stop).await;
        });
        // Both futures last as long as the connection: a request that arrives in time touches no timer and no list.
        let mut alarm = pin!(sleep(self.limits.head_timeout));
        let mut use_since_alarm = Use::None;
        loop {
            let arrival = tokio::select! {
                biased;
                arrival = self.read_head(&mut stream, alarm.as_mut(), &mut use_since_alarm) => arrival,
                // A connection without a request in it has nothing to lose.
                () = &mut stopped => return None,
                () = &mut closed => return None,
            };
            let head = match arrival {
                Arrival::Head(head) => head,
                Arrival::Nothing => return None,
                Arrival::Refused(violation) => {
                    Box::pin(self.refuse(stream, Failure::Head(violation), violation.reason())).await;
                    return None;
                }
            };
            let serving = place.begin()?;
            if entry.is_overloaded(0) {
                Box::pin(self.refuse(stream, Failure::Refused(Reason::Overloaded), Reason::Overloaded)).await;
                return None;
            }
            use_since_alarm = Use::Some;
            let mut session = ServerSession::new_http1(stream);
            session.set_pipelined_prefix(head);
            (stream, _) = self.inner.process_new_http(session, shutdown).await?.consume();
            drop(serving);
        }
    }
}

impl<A> Gate<A> {
    /// Reads until a head is whole, within [`GateLimits::head_timeout`] of its first byte.
    async fn read_head(&self, stream: &mut Stream, mut alarm: Pin<&mut Sleep>, used: &mut Use) -> Arrival {
        let mut buffer = BytesMut::new();
        // Empty lines alone begin nothing.
        while buffer.is_empty() {
            let Some(bytes) = first_bytes(stream, alarm.as_mut(), used).await else { return Arrival::Nothing };
            buffer = bytes;
            skip_empty_lines(&mut buffer);
        }
        match self.judge(&buffer, 0) {
            Ok(true) => Arrival::Head(buffer),
            Ok(false) => Box::pin(self.read_rest(stream, buffer)).await,
            Err(violation) => Arrival::Refused(violation),
        }
    }

    /// Reads on after a first read that did not bring the whole head.
    async fn read_rest(&self, stream: &mut Stream, mut buffer: BytesMut) -> Arrival {
        let started = now();
        loop {
            let seen = buffer.len();
            let left = self.limits.head_timeout.saturating_sub(now().saturating_duration_since(started));
            match timeout(left, stream.read_buf(&mut buffer)).await {
                Err(_) => return Arrival::Refused(Violation::TooSlow),
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) => return Arrival::Nothing,
            }
            // An empty line may come in two halves.
            let skipped = skip_empty_lines(&mut buffer);
            match self.judge(&buffer, seen.saturating_sub(skipped)) {
                Ok(true) => return Arrival::Head(buffer),
                Ok(false) => {}
                Err(violation) => return Arrival::Refused(violation),
            }
        }
    }

    /// Whether `bytes` begin with a whole, sound head.
    fn judge(&self, bytes: &[u8], seen: usize) -> Result<bool, Violation> {
        match head_end(bytes, seen, self.limits.head)? {
            Some(end) => check_head(&bytes[..end], self.limits.head).map(|()| true),
            None => Ok(false),
        }
    }

    /// Tells the client, counts it, and closes the connection so that it gets to read the reply.
    async fn refuse(&self, mut stream: Stream, failure: Failure, reason: Reason) {
        let id = RequestId::fresh();
        let mut reply = problem(failure, id.as_str());
        if reason == Reason::Overloaded {
            reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        let reply = encode(&reply);
        let _ = timeout(CLOSING, async {
            stream.write_all(&reply).await?;
            stream.flush().await?;
            AsyncWriteExt::shutdown(&mut stream).await
        })
        .await;
        self.record(peer(&stream), reason, failure.status(), id.as_str());
        linger_raw(&mut stream).await;
    }

    pub(super) fn record(&self, peer: Option<IpAddr>, reason: Reason, status: u16, request_id: &str) {
        let outcome = Outcome {
            arrived: wall_clock(),
            request_id,
            subject: Subject::None,
            method: "",
            path: "",
            address: peer.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
            status,
            decision: Decision::Refused(reason),
            principal: None,
            cache: None,
            upstream: None,
            minted: None,
            upstream_duration: None,
            duration: Duration::ZERO,
            bytes_in: 0,
            bytes_out: 0,
        };
        self.shared.metrics.record(&outcome);
        self.shared.access_log.record(&outcome, &self.shared.metrics);
    }
}

fn peer(stream: &Stream) -> Option<IpAddr> {
    stream.get_socket_digest()?.peer_addr()?.as_inet().map(SocketAddr::ip)
}

/// Waits for the first bytes of a request, and holds no memory for them meanwhile. `None` if none come: the client left,
/// or the alarm found the connection unused.
async fn first_bytes(stream: &mut Stream, mut alarm: Pin<&mut Sleep>, used: &mut Use) -> Option<BytesMut> {
    let mut read = poll_fn(|cx| {
        let mut buffer = BytesMut::with_capacity(FIRST_READ);
        let read = ready!(pin!(stream.read_buf(&mut buffer)).poll(cx));
        Poll::Ready(matches!(read, Ok(1..)).then_some(buffer))
    });
    loop {
        tokio::select! {
            biased;
            buffer = &mut read => return buffer,
            () = &mut alarm => {
                if *used == Use::None {
                    return None;
                }
                *used = Use::None;
                alarm.as_mut().reset(Instant::now() + KEEP_ALIVE);
            }
        }
    }
}

/// Takes out empty lines before a request (RFC 9112 section 2.2), and tells how long they were; old clients send one
/// after a body.
fn skip_empty_lines(buffer: &mut BytesMut) -> usize {
    let before = buffer.len();
    while buffer.starts_with(b"\r\n") {
        buffer.advance(2);
    }
    before - buffer.len()
}

/// What one read takes at first: most heads fit.
const FIRST_READ: usize = 4096;
/// How often a connection is looked at. One that carried nothing since the last time is closed, so that it may wait
/// between two requests for this long, and at most for twice as long.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// How long a refused client may take to be told why.
const CLOSING: Duration = Duration::from_secs(2);
