//! Connections to HTTP/1.1 servers, whose replies are judged before the framework reads them.
//!
//! The framework makes such connections by itself and lets nobody in between, unless a peer speaks a protocol of its own:
//! then it asks a connector, and takes a stream without that protocol for HTTP/1.1. It keeps such a stream in its pool like
//! those that it made.

use std::{
    any::Any,
    fmt, io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use pingora::{
    Result,
    connectors::{
        ConnectorOptions, TransportConnector,
        http::custom::{self, Connection},
    },
    http::ResponseHeader,
    protocols::{
        ALPN, Digest, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
        TimingDigest, UniqueID, UniqueIDType,
        raw_connect::ProxyDigest,
        tls::{CustomALPN, SslDigest, TlsRef},
    },
    server::configuration::ServerConf,
    upstreams::peer::Peer,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::policy::{BadReply, Next, Replies};

/// Makes connections to HTTP/1.1 servers.
pub struct Connector {
    transport: TransportConnector,
}

impl Connector {
    /// One that goes by the settings of the framework.
    pub fn new(conf: &ServerConf) -> Self {
        Self { transport: TransportConnector::new(Some(ConnectorOptions::from_server_conf(conf))) }
    }
}

/// The protocol that has the framework ask the [`Connector`]. Nobody hears of it: TLS offers `http/1.1`.
pub(super) fn judged() -> ALPN {
    ALPN::Custom(CustomALPN::new(b"judged".to_vec()))
}

#[async_trait]
impl custom::Connector for Connector {
    type Session = ();

    async fn get_http_session<P: Peer + Send + Sync + 'static>(&self, peer: &P) -> Result<(Connection<()>, bool)> {
        let mut peer = peer.clone();
        if let Some(options) = peer.get_mut_peer_options() {
            options.alpn = ALPN::H1;
        }
        let stream = self.transport.new_stream(&peer).await?;
        Ok((Connection::Stream(Box::new(Judged::new(stream))), false))
    }

    async fn reused_http_session<P: Peer + Send + Sync + 'static>(&self, _peer: &P) -> Option<()> {
        None
    }

    async fn release_http_session<P: Peer + Send + Sync + 'static>(&self, (): (), _: &P, _: Option<Duration>) {}
}

/// Notes that the next bytes of a connection to a server are the reply to a request. Without it they are refused.
pub fn expect_reply(connection: Option<&Digest>) {
    let carried = connection.and_then(|digest| digest.proxy_digest.as_deref());
    if let Some(expected) = carried.and_then(Expected::carried) {
        expected.0.store(true, Relaxed);
    }
}

/// Whether a request was sent since this was last looked at. One task at a time has a connection.
struct Expected(AtomicBool);

impl Expected {
    fn carried(digest: &ProxyDigest) -> Option<&Self> {
        digest.user_data.as_ref()?.downcast_ref()
    }
}

/// A connection whose replies are judged.
struct Judged {
    stream: Stream,
    replies: Replies,
    /// Carries [`Expected`].
    digest: Option<Arc<ProxyDigest>>,
}

impl Judged {
    fn new(stream: Stream) -> Self {
        let expected: Box<dyn Any + Send + Sync> = Box::new(Expected(AtomicBool::new(false)));
        let nothing = ResponseHeader::build_no_case(200, None).ok();
        let digest = nothing.map(|nothing| Arc::new(ProxyDigest::new(Box::new(nothing), Some(expected))));
        Self { stream, replies: Replies::default(), digest }
    }

    fn begin_if_expected(&mut self) {
        let Some(Expected(expected)) = self.digest.as_deref().and_then(Expected::carried) else { return };
        if expected.load(Relaxed) {
            expected.store(false, Relaxed);
            self.replies.expect();
        }
    }
}

/// Why the bytes of a server were refused, if an error says so.
pub fn bad_reply(error: &pingora::Error) -> Option<BadReply> {
    let error = error.root_cause().downcast_ref::<io::Error>()?;
    error.get_ref()?.downcast_ref().copied()
}

impl AsyncRead for Judged {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.begin_if_expected();
        if self.replies.next() == Next::End {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let arrived = &buffer.filled()[before..];
        if arrived.is_empty() {
            let cut = self.replies.is_cut();
            return Poll::Ready(if cut { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) });
        }
        if let Err(fault) = self.replies.look_at(arrived) {
            buffer.set_filled(before);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault)));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Judged {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl fmt::Debug for Judged {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Judged").field("stream", &self.stream).finish_non_exhaustive()
    }
}

#[async_trait]
impl Shutdown for Judged {
    async fn shutdown(&mut self) {
        self.stream.shutdown().await;
    }
}

impl UniqueID for Judged {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for Judged {
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

impl GetTimingDigest for Judged {
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

impl GetProxyDigest for Judged {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.digest.clone()
    }
}

impl GetSocketDigest for Judged {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

impl Peek for Judged {}
