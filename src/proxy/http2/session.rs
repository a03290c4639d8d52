//! One stream of a connection as a session of the framework.
//!
//! The framework has a session for HTTP/2 of its own, which waits for a body for ever, drops interim replies, and ends
//! a body with an empty part that its HTTP/1.1 side then turns into a second end. This one does none of that.

use std::{future::pending, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use h2::{RecvStream, server::SendResponse};
use http::{HeaderMap, request::Parts};
use pingora::{
    Error,
    ErrorType::{ConnectionClosed, H2Error, ReadError, ReadTimedout},
    OrErr, Result,
    http::{RequestHeader, ResponseHeader},
    protocols::{
        Digest,
        http::{
            HttpTask,
            body_buffer::FixedBuffer,
            custom::{CustomMessageWrite, server::Session},
            v1::client::http_req_header_to_wire,
        },
        l4::socket::SocketAddr,
    },
};

use super::{
    live::Live,
    reply::{Reply, Waits, in_time},
};
use crate::proxy::{
    body::{MAX_PREREAD, declared_length},
    link::Link,
};

/// Whether nothing but the end of a reply follows.
fn is_bare_end(task: &HttpTask) -> bool {
    match task {
        HttpTask::Body(None, true) | HttpTask::Trailer(None) | HttpTask::Done => true,
        HttpTask::Header(..)
        | HttpTask::Body(..)
        | HttpTask::UpgradedBody(..)
        | HttpTask::Trailer(Some(_))
        | HttpTask::Failed(_) => false,
    }
}

/// A request and the way back for its reply.
pub(super) struct StreamSession {
    request: RequestHeader,
    body: RecvStream,
    /// Whether the body's end was read.
    body_done: bool,
    body_read: usize,
    /// The length that the head tells, if it tells one.
    declared: Option<u64>,
    /// A part that fills the length that was told, while the stream has not ended yet.
    last_part: Option<Bytes>,
    replay: Option<FixedBuffer>,
    reply: Reply,
    /// That of the connection, but for what links the stream to its request.
    digest: Digest,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    drain_timeout: Option<Duration>,
}

impl StreamSession {
    /// A stream of the connection with this digest.
    pub(super) fn new(
        request: Parts,
        body: RecvStream,
        respond: SendResponse<Bytes>,
        connection: &Digest,
        live: Arc<Live>,
    ) -> Self {
        let link = Link::of(Some(connection)).map(Link::of_a_stream).unwrap_or_default().at(live.pace());
        let digest = Digest { proxy_digest: link.carried(), ..connection.clone() };
        let reply = Reply::new(respond, &request.method, live);
        let declared = declared_length(&request.headers);
        Self {
            request: request.into(),
            body_done: body.is_end_stream(),
            body,
            body_read: 0,
            declared,
            last_part: None,
            replay: None,
            reply,
            digest,
            read_timeout: None,
            write_timeout: None,
            drain_timeout: None,
        }
    }

    /// Whether a request that tells of an empty body has one. It would be whole for a server that reads its head, so that
    /// the end of its stream is awaited, for as long as a head.
    pub(super) async fn is_what_it_tells(&mut self, patience: Duration) -> bool {
        if self.declared != Some(0) || self.body_done {
            return true;
        }
        let ended = in_time(Some(patience), ReadTimedout, self.next_part()).await;
        matches!(ended, Ok(None))
    }

    fn waits(&self) -> Waits {
        let ahead = Link::of(Some(&self.digest)).map_or(0, Link::expected);
        Waits { patience: self.write_timeout, ahead }
    }

    /// As `read_body_or_idle` says, for as long as the request may wait.
    async fn next_part_or_end(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if !no_body_expected && !self.body_done {
            return in_time(self.read_timeout, ReadTimedout, self.next_part()).await;
        }
        let reason = self.reply.given_up().await?;
        Error::e_explain(ConnectionClosed, format!("the client gave the stream up: {reason}"))
    }

    /// The next bytes of the body, as they come. Empty parts are nothing: their end is told by `None`.
    async fn next_part(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.body_done {
                return Ok(None);
            }
            let Some(part) = self.body.data().await else {
                self.body_done = true;
                return Ok(self.last_part.take().map(|part| self.passed(part)));
            };
            let part = part.or_err(ReadError, "while reading a body")?;
            // Nobody is left to be told of it where this fails.
            let _ = self.body.flow_control().release_capacity(part.len());
            if part.is_empty() {
                continue;
            }
            self.body_done = self.body.is_end_stream();
            // HTTP/1.1 would take it for the end. Whether it is one shows only where the stream ends: what is sent beyond
            // the length makes the request malformed (RFC 9113 section 8.1.1), and nobody may have it whole by then.
            let fills = self.declared.is_some_and(|length| (self.body_read + part.len()) as u64 >= length);
            if fills && !self.body_done {
                self.last_part = Some(part);
                continue;
            }
            return Ok(Some(self.passed(part)));
        }
    }

    fn passed(&mut self, part: Bytes) -> Bytes {
        self.body_read += part.len();
        if let Some(replay) = &mut self.replay {
            replay.write_to_buffer(&part);
        }
        part
    }
}

#[async_trait]
impl Session for StreamSession {
    fn req_header(&self) -> &RequestHeader {
        &self.request
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.request
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        in_time(self.read_timeout, ReadTimedout, self.next_part()).await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        in_time(self.drain_timeout, ReadTimedout, async {
            while self.next_part().await?.is_some() {}
            Ok(())
        })
        .await
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.reply.send_head(head, end).map_err(Error::into_down)
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.reply.send_head(Box::new(head.clone()), end).map_err(Error::into_down)
    }

    async fn write_body(&mut self, part: Bytes, end: bool) -> Result<()> {
        let waits = self.waits();
        self.reply.send_part(part, end, waits).await.map_err(Error::into_down)
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        let waits = self.waits();
        self.reply.send_trailers(trailers, waits).await.map_err(Error::into_down)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut end = false;
        let mut tasks = tasks.into_iter().peekable();
        while let Some(task) = tasks.next() {
            end |= match task {
                HttpTask::Header(head, end) => {
                    self.write_response_header(head, end).await?;
                    end
                }
                HttpTask::Body(part, end) => {
                    let end = end || tasks.peek().is_some_and(is_bare_end);
                    if let Some(part) = part.filter(|part| !part.is_empty()) {
                        self.write_body(part, end).await?;
                    }
                    end
                }
                HttpTask::UpgradedBody(..) => return Error::e_explain(H2Error, "streams are not upgraded"),
                HttpTask::Trailer(Some(trailers)) => {
                    self.write_trailers(*trailers).await?;
                    true
                }
                HttpTask::Trailer(None) | HttpTask::Done => true,
                HttpTask::Failed(error) => return Err(error),
            };
        }
        if end {
            self.reply.end(self.write_timeout).map_err(Error::into_down)?;
        }
        Ok(end)
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.read_timeout = timeout;
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.read_timeout
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.write_timeout = timeout;
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.write_timeout
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.drain_timeout = timeout;
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.drain_timeout
    }

    fn request_summary(&self) -> String {
        self.request.method.to_string()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.reply.written()
    }

    async fn shutdown(&mut self, _code: u32, _why: &str) {
        self.reply.break_off();
    }

    fn is_body_done(&mut self) -> bool {
        self.body_done
    }

    async fn finish(&mut self) -> Result<()> {
        self.reply.end(self.write_timeout).map_err(Error::into_down)
    }

    fn is_body_empty(&mut self) -> bool {
        self.body_read == 0 && self.body_done
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        let link = self.digest.proxy_digest.clone();
        let over = async {
            match Link::in_proxy_digest(link.as_deref()) {
                Some(link) => link.over().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            part = self.next_part_or_end(no_body_expected) => part,
            () = over => Error::e_explain(ReadError, "the exchange is over"),
        }
    }

    fn body_bytes_sent(&self) -> usize {
        self.reply.body_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.body_read
    }

    fn digest(&self) -> Option<&Digest> {
        Some(&self.digest)
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        Some(&mut self.digest)
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_ref()?.peer_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_ref()?.local_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        http_req_header_to_wire(&self.request).map(bytes::BytesMut::freeze).unwrap_or_default()
    }

    fn enable_retry_buffering(&mut self) {
        self.replay.get_or_insert_with(|| FixedBuffer::new(MAX_PREREAD));
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.replay.as_ref().is_some_and(FixedBuffer::is_truncated)
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        self.replay.as_ref().filter(|replay| !replay.is_truncated())?.get_buffer()
    }

    // Messages beside the body are for other protocols.

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _reader: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _writer: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
