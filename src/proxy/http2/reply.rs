use std::future::poll_fn;

use bytes::Bytes;
use h2::{Reason, SendStream, server::SendResponse};
use http::{HeaderMap, HeaderName, Method, Response, StatusCode, header};
use pingora::{
    ErrorType::{ConnectionClosed, H2Error, WriteError},
    OkOrErr, OrErr, Result,
    http::ResponseHeader,
    protocols::http::date::get_cached_date,
};

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
    /// What may be sent before the client's window allows it.
    ahead: usize,
}

impl Reply {
    /// Nothing is sent yet.
    pub(super) fn new(respond: SendResponse<Bytes>, method: &Method) -> Self {
        let for_head = method == Method::HEAD;
        Self { respond, body: None, for_head, written: None, ended: false, body_sent: 0, ahead: SENT_AHEAD }
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

    /// Sends a part as the client's window opens; what is beyond it waits here, with the upstream. A short reply does not
    /// wait: all that its request holds would wait with it.
    pub(super) async fn send_part(&mut self, mut part: Bytes, end: bool) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        let body = self.body.as_mut().or_err(H2Error, "a body before its head")?;
        let length = part.len();
        loop {
            let room = if part.len() <= self.ahead {
                part.len()
            } else {
                body.reserve_capacity(part.len());
                let room = poll_fn(|cx| body.poll_capacity(cx)).await;
                room.or_err(WriteError, "the stream has ended")?.or_err(WriteError, "while sending a body")?
            };
            let now = part.split_to(room.min(part.len()));
            self.ahead = self.ahead.saturating_sub(now.len());
            let last = end && part.is_empty();
            body.send_data(now, last).or_err(WriteError, "while sending a body")?;
            if part.is_empty() {
                break;
            }
        }
        self.body_sent += length;
        self.ended = end;
        Ok(())
    }

    /// Sends what follows a body, which is its end.
    pub(super) fn send_trailers(&mut self, mut trailers: HeaderMap) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        // They come too late to say how long the body is (RFC 9110 section 6.5.1).
        for name in OF_ONE_CONNECTION.iter().chain([&header::CONTENT_LENGTH, &header::TRAILER]) {
            trailers.remove(name);
        }
        let body = self.body.as_mut().or_err(H2Error, "trailers before a head")?;
        body.send_trailers(trailers).or_err(WriteError, "while sending trailers")?;
        self.ended = true;
        Ok(())
    }

    /// Ends the body, if nothing has. Without a head there is nothing to end: the stream is reset when it is dropped.
    pub(super) fn end(&mut self) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        if let Some(body) = &mut self.body {
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

/// What a stream may keep of a reply that its client does not take, in bytes.
const SENT_AHEAD: usize = 16 * 1024;
/// Fields that no reply on a stream may have (RFC 9113 section 8.2.2).
const OF_ONE_CONNECTION: [HeaderName; 5] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];
