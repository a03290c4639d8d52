//! HTTP/2 with clients (RFC 9113): a connection whose streams are requests like all others.
//!
//! [`metered`] counts what a client sends, and stops a flood; here each stream's head is judged as the gate judges one of
//! HTTP/1.1; [`live`] bounds what its streams hold; [`session`] is what the framework then sees.

mod hpack;
mod live;
mod meter;
mod metered;
mod reply;
mod session;
mod signals;
mod targets;

use std::{
    collections::VecDeque,
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::{
    Reason as Code, RecvStream,
    server::{Builder, Connection, SendResponse},
};
use http::{HeaderMap, Request, Response, Version, header};
use pingora::{
    apps::HttpServerApp,
    protocols::{Digest, Stream, http::ServerSession},
    server::ShutdownWatch,
    time::timeout,
};
use tokio::time::interval;

use self::{
    live::{Begun, Live, Share, Turn},
    metered::Metered,
    session::StreamSession,
    signals::Signals,
    targets::CutPaths,
};
use super::{
    connections::Entry,
    context::RequestId,
    gate::Gate,
    grpc, now,
    place::Place,
    respond::{Failure, problem},
};
use crate::{
    domain::Reason,
    policy::{HeadLimits, Violation, check_stream_head},
};

/// A client's connection.
struct Client {
    connection: Connection<Metered, Bytes>,
    signals: Arc<Signals>,
    cut: Arc<CutPaths>,
    digest: Digest,
    live: Arc<Live>,
    /// Streams that wait to begin.
    queued: VecDeque<Waiting>,
    started: Instant,
    /// When the last stream was opened.
    used: Instant,
    /// Streams whose head was refused.
    refused: usize,
}

/// A stream that may begin.
struct Waiting {
    session: StreamSession,
    share: Share,
}

/// What a connection brought.
#[expect(clippy::large_enum_variant, reason = "it lives for one turn of a loop")]
enum Event {
    Opened(Request<RecvStream>, SendResponse<Bytes>),
    /// What may not go on: too much of something that is worth nothing, or no beginning.
    Fault(Code),
    /// Its end.
    Ended,
}

impl<A: HttpServerApp + Send + Sync + 'static> Gate<A> {
    /// Serves every stream of a connection, until it ends.
    pub(super) async fn serve_http2(&self, stream: Stream, entry: &Entry, shutdown: &ShutdownWatch) {
        let Some(mut client) = self.greet(stream, entry.place()).await else { return };
        let mut stopping = shutdown.clone();
        let mut stopped = pin!(async move {
            let _ = stopping.wait_for(|stop| *stop).await;
        });
        let place = entry.place();
        let mut closed = pin!(place.closed());
        let live = Arc::clone(&client.live);
        let mut is_stopping = false;
        let mut alarm = interval(self.limits.head_timeout / 4);
        loop {
            let event = tokio::select! {
                biased;
                () = &mut stopped, if !is_stopping => {
                    is_stopping = true;
                    client.connection.graceful_shutdown();
                    continue;
                }
                () = &mut closed => return client.end(Code::NO_ERROR).await,
                event = client.next() => event,
                () = live.changed(), if !client.queued.is_empty() => {
                    self.begin_queued(&mut client, shutdown);
                    continue;
                }
                _ = alarm.tick() => match client.overdue(self.limits.head_timeout) {
                    None => continue,
                    Some(Overdue::Idle) => return client.end(Code::NO_ERROR).await,
                    Some(Overdue::Head) => Event::Fault(Code::ENHANCE_YOUR_CALM),
                },
            };
            match event {
                Event::Opened(request, respond) => self.open(&mut client, entry, request, respond, shutdown),
                Event::Ended => return,
                Event::Fault(code) => {
                    client.end(code).await;
                    let id = RequestId::fresh();
                    return self.record(client.peer(), Reason::InvalidRequest, 0, id.as_str());
                }
            }
        }
    }

    /// Agrees on the terms.
    async fn greet(&self, stream: Stream, place: Arc<Place>) -> Option<Client> {
        let digest = Digest {
            ssl_digest: stream.get_ssl_digest(),
            timing_digest: stream.get_timing_digest(),
            proxy_digest: stream.get_proxy_digest(),
            socket_digest: stream.get_socket_digest(),
        };
        let signals = Arc::new(Signals::default());
        signals.allow(TURN);
        let cut = Arc::default();
        let metered = Metered::new(stream, Arc::clone(&signals), Arc::clone(&cut));
        let handshake = terms(self.limits.head).handshake(metered);
        let connection = timeout(self.limits.head_timeout, handshake).await.ok()?.ok()?;
        let (replies, in_flight) = (Arc::clone(&self.shared.replies), Arc::clone(&self.shared.in_flight));
        let live = Live::new(Arc::clone(&signals), place, replies, in_flight);
        let (started, queued) = (now(), VecDeque::new());
        Some(Client { connection, signals, cut, digest, live, queued, started, used: started, refused: 0 })
    }

    /// Judges the head of a stream, and begins with it where there is room.
    fn open(
        &self,
        client: &mut Client,
        entry: &Entry,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        shutdown: &ShutdownWatch,
    ) {
        client.used = now();
        let (mut head, body) = request.into_parts();
        let crumbs = crumbs(&head.headers);
        let judged = if client.cut.hold(respond.stream_id().into()) {
            Err(Violation::Target)
        } else {
            check_stream_head(&mut head, self.limits.head)
        };
        if let Err(violation) = judged {
            client.refused += 1;
            let id = RequestId::fresh();
            refuse(respond, &head.headers, violation, &id);
            return self.record(client.peer(), violation.reason(), violation.status(), id.as_str());
        }
        // A stream that is not looked at may be sent again.
        let turn = client.live.turn(client.queued.len());
        let share = Share::of(&client.live, head.headers.len(), crumbs);
        let Some(share) = share.filter(|_| turn != Turn::Never && !entry.is_overloaded(1)) else {
            return respond.send_reset(Code::REFUSED_STREAM);
        };
        let session = StreamSession::new(head, body, respond, &client.digest, Arc::clone(&client.live));
        let waiting = Waiting { session, share };
        if turn == Turn::Later {
            return client.queued.push_back(waiting);
        }
        self.begin(client, waiting, shutdown);
    }

    fn begin_queued(&self, client: &mut Client, shutdown: &ShutdownWatch) {
        while client.live.turn(0) == Turn::Now
            && let Some(waiting) = client.queued.pop_front()
        {
            self.begin(client, waiting, shutdown);
        }
    }

    fn begin(&self, client: &Client, waiting: Waiting, shutdown: &ShutdownWatch) {
        let Waiting { mut session, share } = waiting;
        let Some(begun) = Begun::of(&client.live) else { return };
        let (app, shutdown, patience) = (Arc::clone(&self.inner), shutdown.clone(), self.limits.head_timeout);
        tokio::spawn(async move {
            let _held = (share, begun);
            if session.is_what_it_tells(patience).await {
                app.process_new_http(ServerSession::new_custom(Box::new(session)), &shutdown).await;
            }
        });
    }
}

/// What has taken too long.
enum Overdue {
    /// A header block to be whole.
    Head,
    /// A stream to be opened.
    Idle,
}

impl Client {
    /// The next stream that is opened. Reading goes on only when none waits, so that few wait at any time.
    async fn next(&mut self) -> Event {
        poll_fn(|cx| {
            loop {
                if let Some(code) = self.fault() {
                    return Poll::Ready(Event::Fault(code));
                }
                match self.connection.poll_accept(cx) {
                    Poll::Ready(Some(Ok((request, respond)))) => return Poll::Ready(Event::Opened(request, respond)),
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Event::Ended),
                    Poll::Pending if self.signals.fault().is_some() || self.signals.allow(TURN) => {}
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    fn fault(&self) -> Option<Code> {
        self.signals.fault().or((self.refused >= MOST_REFUSED).then_some(Code::ENHANCE_YOUR_CALM))
    }

    fn overdue(&self, head_timeout: Duration) -> Option<Overdue> {
        let now = now();
        let waited = self.signals.waits_for_head(now.saturating_duration_since(self.started));
        if waited.is_some_and(|waited| waited >= head_timeout) {
            return Some(Overdue::Head);
        }
        let idle = self.live.is_idle() && self.queued.is_empty() && now.saturating_duration_since(self.used) >= IDLE;
        idle.then_some(Overdue::Idle)
    }

    /// Says why, and closes the connection with all its streams.
    async fn end(&mut self, code: Code) {
        self.connection.abrupt_shutdown(code);
        self.signals.allow(TURN);
        let _ = timeout(CLOSING, poll_fn(|cx| self.connection.poll_closed(cx))).await;
    }

    fn peer(&self) -> Option<IpAddr> {
        self.digest.socket_digest.as_ref()?.peer_addr()?.as_inet().map(SocketAddr::ip)
    }
}

/// What is told to a client about its connection.
fn terms(limits: HeadLimits) -> Builder {
    let mut terms = Builder::new();
    // What the limits let pass is never longer than this; between the two, the refusal can say why.
    let list = limits.bytes + limits.lines * FIELD_OVERHEAD + PSEUDO_FIELDS;
    terms
        .max_header_list_size(u32::try_from(list).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_reset_streams(MOST_REMEMBERED)
        .max_local_error_reset_streams(Some(MOST_ERRORS));
    terms
}

/// The bytes of a cookie that comes in several fields, each of which may have cost one byte; they are about to be joined.
fn crumbs(headers: &HeaderMap) -> usize {
    let crumbs = headers.get_all(header::COOKIE);
    if crumbs.iter().nth(1).is_none() { 0 } else { crumbs.iter().map(http::HeaderValue::len).sum() }
}

/// Answers a stream whose head breaks the rules. Where the client takes no reply, its stream counts as open.
fn refuse(mut respond: SendResponse<Bytes>, request: &HeaderMap, violation: Violation, id: &RequestId) {
    let (parts, body) =
        grpc::spoken(Version::HTTP_2, request, problem(Failure::Head(violation), id.as_str())).into_parts();
    let end = body.is_empty();
    if let Ok(mut reply) = respond.send_response(Response::from_parts(parts, ()), end)
        && !end
    {
        let _ = reply.send_data(body, true);
    }
}

/// What a field counts beside its name and value (RFC 9113 section 6.5.2), and what the pseudo-header fields count beside
/// what HTTP/1.1 has of them; in bytes.
const FIELD_OVERHEAD: usize = 32;
const PSEUDO_FIELDS: usize = 256;
const MAX_STREAMS: u32 = 100;
/// What may be on its way to us, in bytes: on one stream, and on all.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What waits on one stream for a client that reads slowly, in bytes.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that were reset and are remembered for a while: their clients may not have heard of it yet.
const MOST_REMEMBERED: usize = 16;
/// Streams that break the protocol, and those whose head is refused, until the connection ends.
const MOST_ERRORS: usize = 256;
const MOST_REFUSED: usize = 32;
/// What is read beside bodies before waiting streams are looked at, in bytes: what they take until then is kept as long as
/// the connection.
const TURN: usize = 1024;
/// How long a connection may have no stream.
const IDLE: Duration = Duration::from_secs(60);
/// How long a client may take to read why its connection ends.
const CLOSING: Duration = Duration::from_secs(1);
