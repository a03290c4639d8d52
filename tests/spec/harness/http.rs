use std::{
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use rustls::ClientConnection;

use super::{PATIENCE, Reply, Request, TlsClient};

/// Why no whole reply was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// The connection ended before the first byte of a reply.
    Closed,
    /// It ended within a reply: a broken transfer. The status if the head had arrived, and the bytes of the body so far.
    CutShort(Option<u16>, usize),
    /// Nothing came in time.
    Silent,
    /// Bytes that are no HTTP reply.
    Garbage(String),
}

/// How a reply says where its body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    None,
    Length,
    Chunked,
    Close,
}

/// A raw connection to a listener.
pub struct Connection {
    pub stream: TcpStream,
    buffer: Vec<u8>,
    ended: bool,
    host: String,
    patience: Duration,
    /// What the bytes of `stream` are wrapped in.
    tls: Option<Box<ClientConnection>>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        Self::try_open(address).expect("the listener accepts")
    }

    pub fn try_open(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::of(TcpStream::connect_timeout(&address, PATIENCE)?, address))
    }

    /// A connection whose own end has this address.
    pub fn open_from(source: IpAddr, address: SocketAddr) -> Self {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::of(socket.into(), address)
    }

    fn of(stream: TcpStream, address: SocketAddr) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new(), ended: false, host: address.to_string(), patience: PATIENCE, tls: None }
    }

    /// A connection with TLS, agreed upon already.
    pub fn open_tls(address: SocketAddr, client: &TlsClient, name: &str) -> io::Result<Self> {
        Self::try_open(address)?.begin_tls(client, name)
    }

    /// Agrees on TLS with the other side.
    pub fn begin_tls(mut self, client: &TlsClient, name: &str) -> io::Result<Self> {
        let mut session = client.session(name);
        self.stream.set_read_timeout(Some(self.patience)).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut self.stream)?;
        }
        self.tls = Some(Box::new(session));
        Ok(self)
    }

    /// The TLS of this connection.
    pub fn tls(&self) -> &ClientConnection {
        self.tls.as_ref().expect("the connection has TLS")
    }

    /// Waits at most this long for each reply from now on.
    pub fn patient_for(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sends bytes; a peer that has closed already is no failure here, reading will tell.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let _ = match &mut self.tls {
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.stream).write_all(bytes.as_ref()),
            None => self.stream.write_all(bytes.as_ref()),
        };
        self
    }

    /// Sends a request and reads its reply.
    pub fn exchange(&mut self, request: &Request) -> Reply {
        self.try_exchange(request).unwrap_or_else(|broken| panic!("{} {}: {broken:?}", request.method, request.target))
    }

    pub fn try_exchange(&mut self, request: &Request) -> Result<Reply, Broken> {
        let bytes = request.bytes(&self.host);
        self.send(bytes);
        self.read_reply(&request.method)
    }

    /// Sends all of a request but its body.
    pub fn send_head(&mut self, request: &Request) -> &mut Self {
        let head = request.head(&self.host);
        self.send(head)
    }

    pub fn reply(&mut self) -> Reply {
        self.try_reply().expect("a whole reply")
    }

    pub fn try_reply(&mut self) -> Result<Reply, Broken> {
        self.read_reply("GET")
    }

    /// Says that nothing more will be sent.
    pub fn finish_sending(&mut self) -> &mut Self {
        let _ = self.stream.shutdown(Shutdown::Write);
        self
    }

    /// Whether the other side closes within `limit`; anything it still sends is thrown away.
    pub fn closes_within(&mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while !self.ended && Instant::now() < end {
            self.buffer.clear();
            self.read_more(end);
        }
        self.ended
    }

    pub fn assert_closed(&mut self) {
        assert!(self.closes_within(PATIENCE), "the connection is still open");
    }

    /// Reads the next bytes that arrive, at least one; empty at the end of the connection or of the patience.
    pub fn next_bytes(&mut self) -> Vec<u8> {
        if self.buffer.is_empty() {
            self.read_more(Instant::now() + self.patience);
        }
        std::mem::take(&mut self.buffer)
    }

    /// Everything up to the end of the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        self.read_to_end()
    }

    /// Reads a reply's head alone.
    pub fn reply_head(&mut self) -> Result<Reply, Broken> {
        let end = Instant::now() + self.patience;
        let length = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            if !self.read_more(end) {
                return Err(self.broken());
            }
        };
        let head: Vec<u8> = self.buffer.drain(..length).collect();
        Reply::parse_head(&head).ok_or_else(|| Broken::Garbage(String::from_utf8_lossy(&head).into_owned()))
    }

    fn broken(&self) -> Broken {
        match (self.ended, self.buffer.is_empty()) {
            (true, true) => Broken::Closed,
            (true, false) => Broken::CutShort(None, self.buffer.len()),
            (false, _) => Broken::Silent,
        }
    }

    fn read_reply(&mut self, method: &str) -> Result<Reply, Broken> {
        let mut interim = Vec::new();
        let mut reply = loop {
            let reply = self.reply_head()?;
            if reply.status >= 200 || reply.status == 101 {
                break reply;
            }
            interim.push(reply.status);
        };
        reply.interim = interim;
        reply.framing = reply.body_framing(method)?;
        reply.body = match reply.framing {
            Framing::None => Vec::new(),
            Framing::Length => self.read_exactly(reply.content_length(), reply.status)?,
            Framing::Chunked => self.read_chunks(reply.status)?,
            Framing::Close => self.read_to_end(),
        };
        Ok(reply)
    }

    fn read_exactly(&mut self, length: usize, status: u16) -> Result<Vec<u8>, Broken> {
        let end = Instant::now() + self.patience;
        while self.buffer.len() < length {
            if !self.read_more(end) {
                return Err(self.cut(status, self.buffer.len()));
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn cut(&self, status: u16, seen: usize) -> Broken {
        if self.ended { Broken::CutShort(Some(status), seen) } else { Broken::Silent }
    }

    fn read_chunks(&mut self, status: u16) -> Result<Vec<u8>, Broken> {
        let mut body = Vec::new();
        loop {
            let line = self.read_line(status, body.len())?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or(""), 16)
                .map_err(|_| Broken::Garbage(format!("chunk size {line:?}")))?;
            if size == 0 {
                while !self.read_line(status, body.len())?.is_empty() {}
                return Ok(body);
            }
            let chunk = self.read_exactly(size + 2, status)?;
            body.extend_from_slice(&chunk[..size]);
        }
    }

    fn read_line(&mut self, status: u16, seen: usize) -> Result<String, Broken> {
        let end = Instant::now() + self.patience;
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if !self.read_more(end) {
                return Err(self.cut(status, seen));
            }
        }
    }

    fn read_to_end(&mut self) -> Vec<u8> {
        let end = Instant::now() + self.patience;
        while self.read_more(end) {}
        std::mem::take(&mut self.buffer)
    }

    /// Whether at least one more byte arrived before `end`.
    fn read_more(&mut self, end: Instant) -> bool {
        let left = end.saturating_duration_since(Instant::now());
        if self.ended || left.is_zero() {
            return false;
        }
        self.stream.set_read_timeout(Some(left)).unwrap();
        let mut chunk = [0; 16 * 1024];
        let read = match &mut self.tls {
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.stream).read(&mut chunk),
            None => self.stream.read(&mut chunk),
        };
        match read {
            Ok(0) => self.ended = true,
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                return true;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return self.read_more(end),
            Err(_) => self.ended = true,
        }
        false
    }
}

/// Where `needle` first stands in `bytes`.
pub fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, needle)
}
