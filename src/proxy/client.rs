//! The client's end of a connection.

use std::{
    io,
    os::fd::RawFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, IO, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
    raw_connect::ProxyDigest,
    tls::{SslDigest, TlsRef},
};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpSocket,
};

use super::{
    link::Link,
    reply_buffer::{Held, ReplyBuffer},
};

/// A connection whose replies leave in as few writes as they need, which holds no buffer while nothing happens, and
/// whose reads end when the [`Link`] says so.
#[derive(Debug)]
pub(super) struct Client<S: IO> {
    stream: S,
    unsent: BytesMut,
    link: Option<Arc<ProxyDigest>>,
    replies: Arc<ReplyBuffer>,
    /// What waits for the client, and how much of it was taken since.
    waiting: Option<Held>,
    taken: usize,
}

impl<S: IO> Client<S> {
    /// A client, with what its requests are to know of the connection.
    pub(super) fn new(stream: S, link: Link, replies: Arc<ReplyBuffer>) -> Self {
        Self { stream, unsent: BytesMut::new(), link: link.carried(), replies, waiting: None, taken: 0 }
    }

    /// Counts what waits while the client takes nothing, `more` bytes beside what is kept here; an error once there is no
    /// room for it any more.
    fn poll_taken(
        &mut self,
        cx: &Context<'_>,
        result: Poll<io::Result<usize>>,
        more: usize,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(taken)) = &result
            && self.waiting.is_some()
        {
            self.taken += taken;
            if self.taken >= PROGRESS {
                self.waiting = None;
            }
        }
        if result.is_ready() {
            return result;
        }
        if self.waiting.is_none() {
            let ahead = Link::in_proxy_digest(self.link.as_deref()).map_or(0, Link::expected);
            self.waiting = Some(self.replies.hold(self.unsent.len() + more + ahead));
            self.taken = 0;
        }
        let given_up = self.waiting.as_ref().is_some_and(|waiting| waiting.poll_given_up(cx).is_ready());
        if given_up { Poll::Ready(Err(io::ErrorKind::TimedOut.into())) } else { Poll::Pending }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(cx, &self.unsent);
            let sent = ready!(self.poll_taken(cx, written, 0))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.advance(sent);
        }
        self.unsent = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    /// Makes room for `more` bytes: true if they are to be kept, false if there are so many that they leave by themselves.
    fn poll_room(&mut self, cx: &mut Context<'_>, more: usize) -> Poll<io::Result<bool>> {
        if self.unsent.len() + more > ONE_WRITE {
            ready!(self.poll_send(cx))?;
        }
        Poll::Ready(Ok(more <= ONE_WRITE))
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.unsent.capacity() == 0 {
            self.unsent.reserve(bytes.len().max(MOST_REPLIES));
        }
        self.unsent.extend_from_slice(bytes);
    }
}

/// A reply that breaks off has its beginning sent, as far as that goes without waiting.
impl<S: IO> Drop for Client<S> {
    fn drop(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        if !self.unsent.is_empty() && self.poll_send(&mut cx).is_ready() {
            let _ = Pin::new(&mut self.stream).poll_flush(&mut cx);
        }
    }
}

impl<S: IO> AsyncRead for Client<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buffer) {
            return Poll::Ready(read);
        }
        let Some(link) = Link::in_proxy_digest(self.link.as_deref()) else { return Poll::Pending };
        ready!(link.poll_over(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: IO> AsyncWrite for Client<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !ready!(self.poll_room(cx, bytes.len()))? {
            let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
            return self.poll_taken(cx, written, bytes.len());
        }
        self.keep(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = parts.iter().map(|part| part.len()).sum();
        if !ready!(self.poll_room(cx, length))? {
            let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
            return self.poll_taken(cx, written, length);
        }
        for part in parts {
            self.keep(part);
        }
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.waiting = None;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[async_trait]
impl<S: IO> Shutdown for Client<S> {
    async fn shutdown(&mut self) {
        // Nobody is left to be told of what cannot be sent any more.
        let _ = tokio::io::AsyncWriteExt::flush(self).await;
        self.stream.shutdown().await;
    }
}

impl<S: IO> UniqueID for Client<S> {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl<S: IO> Ssl for Client<S> {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.stream.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl<S: IO> GetTimingDigest for Client<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.stream.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.stream.get_write_pending_time()
    }
}

impl<S: IO> GetProxyDigest for Client<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.link.clone()
    }
}

impl<S: IO> GetSocketDigest for Client<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

impl<S: IO> Peek for Client<S> {}

/// Has a TCP connection end with a reset once it is closed. Where the system lets nobody do this, as in some containers, it
/// ends as ever.
pub(super) fn reset_when_closed(socket: RawFd) {
    // The framework gives out the number of a socket alone; this is the way to the socket itself that needs no `unsafe`.
    let this = pidfd_open(getpid(), PidfdFlags::empty());
    let same = this.and_then(|this| pidfd_getfd(this, socket, PidfdGetfdFlags::empty()));
    if let Ok(same) = same {
        // A Unix socket knows no reset, and refuses.
        let _ = TcpSocket::from_std_stream(same.into()).set_zero_linger();
    }
}

/// What leaves in one write, in bytes: header and body of most API replies.
const ONE_WRITE: usize = 16 * 1024;
/// What a client must take to count as one that takes something, in bytes.
const PROGRESS: usize = 16 * 1024;
/// What a buffer begins with, in bytes.
const MOST_REPLIES: usize = 4096;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::telemetry::{Metrics, Names};

    fn client(room: usize) -> (Client<DuplexStream>, DuplexStream) {
        let (near, far) = duplex(room);
        let metrics = Arc::new(Metrics::new(&Names::default()));
        (Client::new(near, Link::default(), Arc::new(ReplyBuffer::new(usize::MAX, Arc::default(), metrics))), far)
    }

    #[tokio::test]
    async fn parts_leave_together_and_the_buffer_with_them() {
        let (mut client, mut far) = client(1024 * 1024);
        client.write_all(b"head").await.unwrap();
        client.write_all(b"body").await.unwrap();
        assert_eq!(client.unsent, b"headbody"[..]);
        client.flush().await.unwrap();
        assert_eq!((client.unsent.capacity(), far.read_buf(&mut BytesMut::with_capacity(100)).await.unwrap()), (0, 8));
    }

    #[tokio::test]
    async fn what_was_not_flushed_leaves_at_the_end() {
        let (mut client, mut far) = client(100);
        client.write_all(b"half").await.unwrap();
        drop(client);
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"half");
    }

    #[tokio::test]
    async fn bytes_of_any_length_keep_their_order_however_little_room_there_is() {
        let lengths = [1, ONE_WRITE, ONE_WRITE + 1, 0, 3 * ONE_WRITE, ONE_WRITE - 1, 1, 1, 5000];
        for room in [1, 7, 4096, 1024 * 1024] {
            let (mut client, mut far) = client(room);
            let parts = lengths.iter().enumerate().map(|(place, length)| vec![u8::try_from(place).unwrap(); *length]);
            let parts: Vec<Vec<u8>> = parts.collect();
            let sent = parts.concat();
            let write = tokio::spawn(async move {
                for part in parts {
                    let slices = [io::IoSlice::new(&part)];
                    let first = if part.len() % 2 == 0 { client.write_vectored(&slices).await.unwrap() } else { 0 };
                    client.write_all(&part[first..]).await.unwrap();
                    assert!(client.unsent.len() <= ONE_WRITE);
                }
                AsyncWriteExt::shutdown(&mut client).await.unwrap();
            });
            let mut received = Vec::new();
            far.read_to_end(&mut received).await.unwrap();
            write.await.unwrap();
            assert!(received == sent, "room for {room}");
        }
    }
}
