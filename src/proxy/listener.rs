//! How a connection begins, before the first request: who stands behind a balancer, TLS, and which HTTP is spoken.

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd,
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use http::HeaderValue;
use pingora::{
    listeners::tls::Acceptor,
    protocols::{
        ALPN, GetSocketDigest, SocketDigest, Ssl, Stream,
        l4::{socket, stream::Stream as Plain},
    },
    time::timeout,
};
use tokio::io::AsyncReadExt;

use super::{
    client::Client,
    link::{Link, Sender},
    reply_buffer::ReplyBuffer,
};
use crate::{
    config::{Http2, ListenAddress},
    domain::TrustedPeers,
    policy::{MAX_PROXY_HEADER, NoProxyHeader, parse_proxy_header},
    telemetry::{Handshake, Metrics},
    tls,
};

/// One listener, as its connections need to know it.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Where it is.
    pub address: ListenAddress,
    /// What it greets clients with, on TLS.
    pub tls: Option<Arc<tls::Server>>,
    /// Whether HTTP/2 is spoken without TLS.
    pub cleartext: Http2,
    /// Whose word counts about who connects, where each connection must begin with it.
    pub proxies: Option<Arc<TrustedPeers>>,
}

/// What a connection turned out to be.
pub(super) enum Begun {
    /// One that carries requests.
    Http1(Stream),
    /// The same, on streams of its own (RFC 9113).
    Http2(Stream),
    /// One whose beginning breaks the rules, from this address.
    Refused(Option<IpAddr>),
    /// Nothing: its client left, or could not agree on TLS.
    Nothing,
}

impl Begun {
    fn plain_http1(stream: Plain, link: Link, replies: &Arc<ReplyBuffer>) -> Self {
        Self::Http1(Box::new(Client::new(stream, link, Arc::clone(replies))))
    }
}

/// Every listener of a service.
#[derive(Clone, Debug)]
pub struct Listeners(pub Vec<Listener>);

impl Listeners {
    /// The one that took this connection.
    pub(super) fn of(&self, stream: &Stream) -> Option<&Listener> {
        if let [only] = &self.0[..] {
            return Some(only);
        }
        let digest = stream.get_socket_digest()?;
        let local = digest.local_addr()?;
        self.0.iter().find(|listener| is_at(&listener.address, local))
    }
}

/// Whether a socket with this local address belongs to a listener.
fn is_at(listener: &ListenAddress, local: &socket::SocketAddr) -> bool {
    match listener {
        ListenAddress::Tcp(own) => local.as_inet().is_some_and(|local| {
            let ip = own.ip() == local.ip() || (own.ip().is_unspecified() && own.is_ipv4() == local.is_ipv4());
            own.port() == local.port() && ip
        }),
        ListenAddress::Unix(path) => local.as_unix().is_some_and(|local| local.as_pathname() == Some(path)),
    }
}

impl Listener {
    /// Whether its connections begin with a request.
    fn is_plain(&self) -> bool {
        self.tls.is_none() && self.proxies.is_none() && self.cleartext == Http2::Refused
    }

    /// Takes a connection up to its first request. The header of a balancer has `patience`, TLS has [`HANDSHAKE`].
    pub(super) async fn begin(
        &self,
        stream: Stream,
        patience: Duration,
        metrics: &Metrics,
        replies: &Arc<ReplyBuffer>,
    ) -> Begun {
        let Ok(stream) = stream.into_any().downcast::<Plain>() else { return Begun::Nothing };
        let (mut stream, mut sender) = (*stream, Sender::Known);
        if self.is_plain() {
            return Begun::plain_http1(stream, Link::default(), replies);
        }
        if let Some(trusted) = &self.proxies {
            let peer = peer(&stream);
            if !trusted.contains(peer) {
                return Begun::Refused(peer);
            }
            match timeout(patience, read_proxy_header(&mut stream)).await {
                Ok(Some(Ok(source))) => sender = believe(&mut stream, source),
                Ok(Some(Err(Malformed))) | Err(_) => return Begun::Refused(peer),
                Ok(None) => return Begun::Nothing,
            }
        }
        match &self.tls {
            Some(server) => greet(server, stream, sender, metrics, replies).await,
            None if self.cleartext == Http2::Spoken => sniff(stream, sender, patience, replies).await,
            None => Begun::plain_http1(stream, Link::new(None, sender), replies),
        }
    }
}

fn peer(stream: &Plain) -> Option<IpAddr> {
    let digest = stream.get_socket_digest()?;
    digest.peer_addr()?.as_inet().map(SocketAddr::ip)
}

struct Malformed;

/// Reads the header of a balancer, which is to say who connected to it. `None`: the connection ended without a byte.
async fn read_proxy_header(stream: &mut Plain) -> Option<Result<Option<SocketAddr>, Malformed>> {
    let mut bytes = BytesMut::with_capacity(MAX_PROXY_HEADER);
    loop {
        match stream.read_buf(&mut bytes).await {
            Ok(1..) => {}
            Ok(0) | Err(_) if bytes.is_empty() => return None,
            Ok(0) | Err(_) => return Some(Err(Malformed)),
        }
        match parse_proxy_header(&bytes) {
            Ok(header) => {
                stream.rewind(&bytes[header.length..]);
                return Some(Ok(header.source));
            }
            Err(NoProxyHeader::Incomplete) => {}
            Err(NoProxyHeader::Malformed) => return Some(Err(Malformed)),
        }
    }
}

/// From here on the connection is one from `source`. Where the balancer does not say whose it is, it stays the balancer's:
/// all such connections count as one caller.
fn believe(stream: &mut Plain, source: Option<SocketAddr>) -> Sender {
    let Some(source) = source else { return Sender::Unsaid };
    let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
    // It was made a line before: nothing stands there yet.
    let _ = digest.peer_addr.set(Some(socket::SocketAddr::Inet(source)));
    stream.set_socket_digest(digest);
    Sender::Known
}

async fn greet(
    server: &tls::Server,
    mut stream: Plain,
    sender: Sender,
    metrics: &Metrics,
    replies: &Arc<ReplyBuffer>,
) -> Begun {
    let acceptor = Acceptor::from_server_config(server.config());
    let handshake = async {
        // A connection that ends without a byte was no try.
        let mut first = [0];
        let read = stream.read(&mut first).await;
        if !matches!(read, Ok(1)) {
            return None;
        }
        stream.rewind(&first);
        Some(acceptor.tls_handshake(stream).await)
    };
    let stream = match timeout(HANDSHAKE, handshake).await {
        Ok(Some(Ok(stream))) => stream,
        Ok(Some(Err(_))) => {
            metrics.count_handshake(Handshake::Failed);
            return Begun::Nothing;
        }
        Ok(None) => return Begun::Nothing,
        Err(_) => {
            metrics.count_handshake(Handshake::TimedOut);
            return Begun::Nothing;
        }
    };
    let Ok(name) = client_name(&stream) else {
        metrics.count_handshake(Handshake::Failed);
        return Begun::Nothing;
    };
    metrics.count_handshake(Handshake::Completed);
    let chosen = stream.selected_alpn_proto();
    let client = Box::new(Client::new(stream, Link::new(name, sender), Arc::clone(replies)));
    match chosen {
        Some(ALPN::H2) => Begun::Http2(client),
        Some(ALPN::H1 | ALPN::H2H1 | ALPN::Custom(_)) | None => Begun::Http1(client),
    }
}

struct Unnameable;

/// The name of a client that has shown a certificate (RFC 4514). An error if it cannot be stated: then nobody may take
/// the client for one without.
fn client_name(stream: &impl Ssl) -> Result<Option<HeaderValue>, Unnameable> {
    let certificate = stream.get_ssl().and_then(|session| session.peer_certificate_der());
    certificate.map(|certificate| tls::subject_of(certificate).ok_or(Unnameable)).transpose()
}

/// Looks whether a connection begins as HTTP/2 does (RFC 9113 section 3.4).
async fn sniff(mut stream: Plain, sender: Sender, patience: Duration, replies: &Arc<ReplyBuffer>) -> Begun {
    let mut bytes = BytesMut::with_capacity(PREFACE.len());
    let read = async {
        while bytes.len() < PREFACE.len() && PREFACE.starts_with(&bytes) {
            let mut rest = (&mut stream).take((PREFACE.len() - bytes.len()) as u64);
            if !matches!(rest.read_buf(&mut bytes).await, Ok(1..)) {
                return;
            }
        }
    };
    // One that stays silent has no more to say to what follows.
    let in_time = timeout(patience, read).await.is_ok();
    if !in_time || bytes.is_empty() {
        return Begun::Nothing;
    }
    stream.rewind(&bytes);
    if &bytes[..] == PREFACE {
        return Begun::Http2(Box::new(Client::new(stream, Link::new(None, sender), Arc::clone(replies))));
    }
    Begun::plain_http1(stream, Link::new(None, sender), replies)
}

/// How long a client may take to agree on TLS.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
