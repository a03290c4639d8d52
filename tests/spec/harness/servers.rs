use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use bytes::Bytes;
use h2::{Reason, server::SendResponse};
use http::{HeaderMap, Response};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Authority, Issued, Upstream, http::find};

/// An address that takes no connection and refuses none: its queue is full, so that nobody answers.
pub struct BlackHole {
    pub address: SocketAddr,
    socket: socket2::Socket,
    _waiting: Vec<socket2::Socket>,
}

impl BlackHole {
    pub fn open() -> Self {
        let socket = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let listener = socket();
        listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let wait = |_| {
            let waiting = socket();
            waiting.set_nonblocking(true).unwrap();
            let _ = waiting.connect(&address);
            waiting
        };
        let waiting = (0..8).map(wait).collect();
        Self { address: address.as_socket().unwrap(), socket: listener, _waiting: waiting }
    }

    /// Becomes a server that takes connections.
    pub fn answer(self) -> Upstream {
        self.socket.listen(128).unwrap();
        Upstream::on(self.socket.into())
    }
}

/// A server that says one thing to every request without a body.
pub struct Scripted {
    /// Where it is, unless it is a Unix socket.
    pub address: SocketAddr,
    requests: Arc<AtomicUsize>,
    names: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// At a Unix socket.
    pub fn at_socket(path: &Path) -> Self {
        let (listener, server) = (UnixListener::bind(path).unwrap(), Self::counting(([0; 4], 0).into()));
        let counted = Arc::clone(&server.requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let requests = Arc::clone(&counted);
                thread::spawn(move || answer_all(stream, &ok("ok"), &requests));
            }
        });
        server
    }

    /// Behind TLS, with this configuration. It says `ok`.
    pub fn with_tls(config: Arc<ServerConfig>) -> Self {
        Self::with_tls_saying(config, "ok")
    }

    /// Behind TLS, with this configuration.
    pub fn with_tls_saying(config: Arc<ServerConfig>, body: &str) -> Self {
        Self::with_tls_replying(config, ok(body))
    }

    /// Behind TLS, with this configuration. It replies with these bytes.
    pub fn with_tls_replying(config: Arc<ServerConfig>, reply: impl Into<Vec<u8>>) -> Self {
        let reply: Vec<u8> = reply.into();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self::counting(listener.local_addr().unwrap());
        let (counted, names) = (Arc::clone(&server.requests), Arc::clone(&server.names));
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (config, requests, names) = (Arc::clone(&config), Arc::clone(&counted), Arc::clone(&names));
                let reply = reply.clone();
                thread::spawn(move || {
                    let mut session = ServerConnection::new(config).ok()?;
                    while session.is_handshaking() {
                        session.complete_io(&mut stream).ok()?;
                    }
                    names.lock().unwrap().push(session.server_name().unwrap_or_default().to_owned());
                    answer_all(rustls::StreamOwned::new(session, stream), &reply, &requests)
                });
            }
        });
        server
    }

    fn counting(address: SocketAddr) -> Self {
        Self { address, requests: Arc::default(), names: Arc::default() }
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// What clients called it in their handshakes; empty where they did not.
    pub fn names(&self) -> Vec<String> {
        self.names.lock().unwrap().clone()
    }
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Answers until the other side has had enough.
fn answer_all(mut stream: impl Read + Write, reply: &[u8], requests: &AtomicUsize) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        while let Some(end) = find(&buffer, b"\r\n\r\n") {
            buffer.drain(..end + 4);
            requests.fetch_add(1, Ordering::SeqCst);
            stream.write_all(reply).ok()?;
            stream.flush().ok()?;
        }
        let mut part = [0; 4096];
        let count = stream.read(&mut part).ok().filter(|count| *count > 0)?;
        buffer.extend_from_slice(&part[..count]);
    }
}

/// What a server shows, whom it lets in, and what it speaks.
pub fn server_config(own: &Issued, clients: Option<&Authority>, protocols: &[&str]) -> Arc<ServerConfig> {
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = match clients {
        None => builder.unwrap().with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.unwrap().with_client_cert_verifier(verifier)
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// What an HTTP/2 server saw.
#[derive(Default)]
pub struct H2Seen {
    pub connections: AtomicUsize,
    /// The head and body of each request.
    pub requests: Mutex<Vec<(http::request::Parts, Vec<u8>)>>,
    /// Requests that are refused before the others are served.
    pub refusing: AtomicUsize,
}

/// An HTTP/2 server that says `ok`, with a trailer.
pub struct H2Server {
    pub address: SocketAddr,
    pub seen: Arc<H2Seen>,
}

impl H2Server {
    /// With TLS, or without.
    pub fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(H2Seen::default()));
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                listener.set_nonblocking(true).unwrap();
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let acceptor = tls.map(tokio_rustls::TlsAcceptor::from);
                while let Ok((stream, _)) = listener.accept().await {
                    let (seen, acceptor) = (Arc::clone(&shared), acceptor.clone());
                    tokio::spawn(async move {
                        match acceptor {
                            None => serve_h2(stream, seen).await,
                            Some(acceptor) => serve_h2(acceptor.accept(stream).await.ok()?, seen).await,
                        }
                    });
                }
            });
        });
        Self { address, seen }
    }
}

async fn serve_h2(stream: impl AsyncRead + AsyncWrite + Unpin, seen: Arc<H2Seen>) -> Option<()> {
    let mut connection = h2::server::handshake(stream).await.ok()?;
    seen.connections.fetch_add(1, Ordering::SeqCst);
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer_h2(request, respond, Arc::clone(&seen)));
    }
    Some(())
}

async fn answer_h2(request: http::Request<h2::RecvStream>, mut respond: SendResponse<Bytes>, seen: Arc<H2Seen>) {
    let refuse = |left: usize| left.checked_sub(1);
    if seen.refusing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, refuse).is_ok() {
        return respond.send_reset(Reason::REFUSED_STREAM);
    }
    let (head, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(part)) = stream.data().await {
        let _ = stream.flow_control().release_capacity(part.len());
        body.extend_from_slice(&part);
    }
    seen.requests.lock().unwrap().push((head, body));
    let Ok(mut sending) = respond.send_response(Response::new(()), false) else { return };
    let _ = sending.send_data(Bytes::from_static(b"ok"), false);
    let _ = sending.send_trailers(HeaderMap::from_iter([("x-end".parse().unwrap(), "1".parse().unwrap())]));
}
