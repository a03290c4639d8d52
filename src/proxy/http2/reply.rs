use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use h2::{Reason, SendStream, server::SendResponse};
use http::{HeaderMap, HeaderName, Method, Response, StatusCode, header};
use pingora::{
    Error, ErrorType,
    ErrorType::{ConnectionClosed, H2Error, WriteError, WriteTimedout},
    OkOrErr, OrErr, Result,
    http::ResponseHeader,
    protocols::http::date::get_cached_date,
    time::timeout,
};

use super::live::{Begun, Live, Waiting};
use crate::proxy::body::declared_length;

/// The way back on a stream, and how much of a reply has gone there.
pub(super) struct Reply {
    respond: SendResponse<Bytes>,
    body: Option<SendStream<Bytes>>,
    /// Whether the request wants no body.
    for_head: bool,
    written: Option<Box<ResponseHeader>>,
    ended: bool,
    body_sent: usize,
    /// Whether it is so short, by its head, that its parts may wait for each other.
    is_short: bool,
    /// What waits for the rest of it.
    kept: Option<Kept>,
    live: Arc<Live>,
}

struct Kept {
    part: Bytes,
    _waiting: Waiting,
}

impl Reply {
    /// Nothing is sent yet.
    pub(super) fn new(respond: SendResponse<Bytes>, method: &Method, live: Arc<Live>) -> Self {
        let for_head = method == Method::HEAD;
        Self {
            respond,
            body: None,
            for_head,
            written: None,
            ended: false,
            body_sent: 0,
            is_short: false,
            kept: None,
            live,
        }
    }

    /// The head that was sent.
    pub(super) fn written(&self) -> Option<&ResponseHeader> {
        self.written.as_deref()
    }

    /// Bytes of the body that were sent.
    pub(super) const fn body_sent(&self) -> usize {
        self.body_sent
    }

    /// Waits until the client gives the stream up.
    pub(super) async fn given_up(&mut self) -> Result<Reason> {
        let reason = poll_fn(|cx| match &mut self.body {
            Some(body) => body.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        });
        reason.await.or_err(ConnectionClosed, "while a client waits")
    }

    /// Sends a head, or one before it that is none.
    pub(super) fn send_head(&mut self, mut head: Box<ResponseHeader>, end: bool) -> Result<()> {
        if head.status.is_informational() {
            return self.send_interim(&head);
        }
        if self.ended || self.written.is_some() {
            return Ok(());
        }
        let end = end || self.is_whole(&head);
        head.insert_header(header::DATE, get_cached_date())?;
        for name in &OF_ONE_CONNECTION {
            head.remove_header(name);
        }
        self.is_short = declared_length(&head.headers).is_some_and(|length| length <= MOST_ALONE as u64);
        let reply = Response::from_parts(head.as_owned_parts(), ());
        self.body = Some(self.respond.send_response(reply, end).or_err(WriteError, "while sending a head")?);
        self.written = Some(head);
        self.ended = end;
        Ok(())
    }

    fn send_interim(&mut self, head: &ResponseHeader) -> Result<()> {
        if self.written.is_some() || head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        let mut interim = Response::new(());
        *interim.status_mut() = head.status;
        interim.headers_mut().clone_from(&head.headers);
        self.respond.send_informational(interim).or_err(WriteError, "while sending an interim reply")
    }

    /// Whether nothing follows this head.
    fn is_whole(&self, head: &ResponseHeader) -> bool {
        matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || self.for_head
            || declared_length(&head.headers) == Some(0)
    }

    /// Sends a part as the client's window opens; what is beyond it waits here, with the upstream and `ahead` bytes that
    /// were read from it. What is left of a short reply waits alone: all that its request holds would wait with it.
    pub(super) async fn send_part(&mut self, part: Bytes, end: bool, waits: Waits) -> Result<()> {
        if self.ended || (part.is_empty() && !end) {
            return Ok(());
        }
        self.body_sent += part.len();
        let part = self.behind_kept(part);
        let body = self.body.as_mut().or_err(H2Error, "a body before its head")?;
        let mut sending = Sending { live: &self.live, body, part, end, waiting: None };
        if in_time(waits.patience, WriteTimedout, sending.send_what_fits()).await? == Fits::Not {
            let rest = sending.part.len();
            if rest <= MOST_ALONE && (end || self.is_short) {
                let part = std::mem::take(&mut sending.part);
                self.kept = Some(Kept { part, _waiting: self.live.wait(rest) });
                return if end { self.end(waits.patience) } else { Ok(()) };
            }
            in_time(waits.patience, WriteTimedout, sending.send(waits.ahead)).await?;
        }
        self.ended = end;
        Ok(())
    }

    fn behind_kept(&mut self, part: Bytes) -> Bytes {
        match self.kept.take() {
            Some(kept) => [&kept.part[..], &part].concat().into(),
            None => part,
        }
    }

    /// Has the last part sent once there is a window for it.
    fn leave(&mut self, part: Bytes, patience: Option<Duration>) {
        // A connection that is about to close has nobody to send it to.
        let (Some(mut body), Some(begun)) = (self.body.take(), Begun::of(&self.live)) else { return };
        let (live, counted) = (Arc::clone(&self.live), self.live.counted());
        tokio::spawn(async move {
            let _stream = (begun, counted);
            let mut sending = Sending { live: &live, body: &mut body, part, end: true, waiting: None };
            let sent = in_time(patience, WriteTimedout, sending.send(0)).await;
            if sent.is_err() {
                body.send_reset(Reason::CANCEL);
            }
        });
    }

    /// Sends what follows a body, which is its end.
    pub(super) async fn send_trailers(&mut self, mut trailers: HeaderMap, waits: Waits) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        // They come too late to say how long the body is (RFC 9110 section 6.5.1).
        for name in OF_ONE_CONNECTION.iter().chain([&header::CONTENT_LENGTH, &header::TRAILER]) {
            trailers.remove(name);
        }
        let kept = self.kept.take();
        let body = self.body.as_mut().or_err(H2Error, "trailers before a head")?;
        if let Some(Kept { part, .. }) = kept {
            let mut sending = Sending { live: &self.live, body, part, end: false, waiting: None };
            in_time(waits.patience, WriteTimedout, sending.send(0)).await?;
        }
        body.send_trailers(trailers).or_err(WriteError, "while sending trailers")?;
        self.ended = true;
        Ok(())
    }

    /// Ends the body, if nothing has. Without a head there is nothing to end: the stream is reset when it is dropped.
    pub(super) fn end(&mut self, patience: Option<Duration>) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        if let Some(Kept { part, .. }) = self.kept.take() {
            self.leave(part, patience);
            self.ended = true;
        } else if let Some(body) = &mut self.body {
            body.send_data(Bytes::new(), true).or_err(WriteError, "while ending a body")?;
            self.ended = true;
        }
        Ok(())
    }

    /// A reply that cannot be finished must not look as if it were.
    pub(super) fn break_off(&mut self) {
        if !self.ended {
            self.respond.send_reset(Reason::INTERNAL_ERROR);
            self.ended = true;
        }
    }
}

/// How long a part may wait, and what waits behind it.
#[derive(Clone, Copy)]
pub(super) struct Waits {
    pub(super) patience: Option<Duration>,
    /// Bytes that may have been read from the upstream by then.
    pub(super) ahead: usize,
}

/// A part on its way.
struct Sending<'s> {
    live: &'s Arc<Live>,
    body: &'s mut SendStream<Bytes>,
    part: Bytes,
    end: bool,
    waiting: Option<Waiting>,
}

/// Whether the client's window takes all of a part.
#[derive(PartialEq, Eq)]
enum Fits {
    Whole,
    Not,
}

impl Sending<'_> {
    /// Sends as much as there is a window for.
    async fn send_what_fits(&mut self) -> Result<Fits> {
        loop {
            if self.part.is_empty() {
                self.hand_over(0).await?;
                return Ok(Fits::Whole);
            }
            self.body.reserve_capacity(self.part.len());
            let Poll::Ready(room) = poll_fn(|cx| Poll::Ready(self.body.poll_capacity(cx))).await else {
                return Ok(Fits::Not);
            };
            if self.hand_over(width(room)?).await? == Fits::Whole {
                return Ok(Fits::Whole);
            }
        }
    }

    /// Sends all of it, as windows are given.
    async fn send(&mut self, ahead: usize) -> Result<()> {
        while self.send_what_fits().await? == Fits::Not {
            let held = self.part.len() + ahead;
            let waiting = self.waiting.get_or_insert_with(|| self.live.wait(held));
            let room = poll_fn(|cx| match self.body.poll_capacity(cx) {
                Poll::Ready(room) => Poll::Ready(Some(room)),
                Poll::Pending => waiting.poll_given_up(cx).map(|()| None),
            });
            let Some(room) = room.await else {
                return Error::e_explain(WriteTimedout, "there is no room for clients that take nothing");
            };
            if self.hand_over(width(room)?).await? == Fits::Whole {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn hand_over(&mut self, room: usize) -> Result<Fits> {
        let now = self.part.split_to(room.min(self.part.len()));
        let whole = self.part.is_empty();
        let last = self.end && whole;
        let now = self.live.charge(now, last).await;
        self.body.send_data(now, last).or_err(WriteError, "while sending a body")?;
        Ok(if whole { Fits::Whole } else { Fits::Not })
    }
}

fn width(room: Option<Result<usize, h2::Error>>) -> Result<usize> {
    room.or_err(WriteError, "the stream has ended")?.or_err(WriteError, "while sending a body")
}

/// Awaits `action`, at most for `patience`.
pub(super) async fn in_time<T>(
    patience: Option<Duration>,
    late: ErrorType,
    action: impl Future<Output = Result<T>>,
) -> Result<T> {
    let Some(patience) = patience else { return action.await };
    match timeout(patience, action).await {
        Ok(done) => done,
        Err(_) => Error::e_explain(late, "the client took too long"),
    }
}

/// The longest end of a reply that waits without its request, in bytes.
const MOST_ALONE: usize = 16 * 1024;
/// Fields that no reply on a stream may have (RFC 9113 section 8.2.2).
const OF_ONE_CONNECTION: [HeaderName; 5] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];
