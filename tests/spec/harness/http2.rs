use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request};
use tokio::{net::TcpStream, runtime::Runtime, time::timeout};

use super::{Connection, PATIENCE};

/// What HTTP/2 calls the beginning of a connection.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// One frame as read from the socket.
#[derive(Debug, Clone)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// How a stream was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    Status(u16),
    /// By `RST_STREAM` with this code.
    Reset(u32),
    /// By GOAWAY with this code.
    GoAway(u32),
    /// By the end of the connection, or not at all.
    Closed,
    Silent,
}

/// A connection of HTTP/2 that sends any frame a test likes.
pub struct Frames {
    pub connection: Connection,
    buffer: Vec<u8>,
}

impl Frames {
    pub fn open(address: SocketAddr) -> Self {
        Self::on(Connection::open(address), &[])
    }

    /// On a connection that is open, with these settings.
    pub fn on(mut connection: Connection, settings: &[(u16, u32)]) -> Self {
        connection.send(PREFACE);
        let mut frames = Self { connection, buffer: Vec::new() };
        let payload = settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
        frames.send(SETTINGS, 0, 0, &payload.collect::<Vec<u8>>());
        frames
    }

    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> &mut Self {
        self.connection.send(frame(kind, flags, stream, payload));
        self
    }

    /// A whole header block in one frame.
    pub fn headers(&mut self, flags: u8, stream: u32, fields: &[(&str, &str)]) -> &mut Self {
        self.send(HEADERS, flags | END_HEADERS, stream, &block(fields))
    }

    /// GET of this path, whole.
    pub fn get(&mut self, stream: u32, path: &str) -> &mut Self {
        self.headers(END_STREAM, stream, &get(path))
    }

    /// The next frame, `None` at the end of the connection or of the patience.
    pub fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(head) = self.buffer.first_chunk::<9>() {
                let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                if self.buffer.len() >= 9 + length {
                    let bytes: Vec<u8> = self.buffer.drain(..9 + length).collect();
                    let stream = u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]);
                    return Some(Frame { kind: bytes[3], flags: bytes[4], stream, payload: bytes[9..].to_vec() });
                }
            }
            let more = self.connection.next_bytes();
            if more.is_empty() {
                return None;
            }
            self.buffer.extend(more);
        }
    }

    /// How this stream is answered first; frames of others are passed over, settings confirmed.
    pub fn answer(&mut self, stream: u32) -> Answered {
        self.answer_where(|own| own == stream)
    }

    /// How any stream is answered next.
    pub fn answer_of_any(&mut self) -> Answered {
        self.answer_where(|_| true)
    }

    fn answer_where(&mut self, wanted: impl Fn(u32) -> bool) -> Answered {
        loop {
            let Some(frame) = self.next() else {
                return if self.connection.closes_within(Duration::ZERO) { Answered::Closed } else { Answered::Silent };
            };
            let code = |at: usize| u32::from_be_bytes(frame.payload[at..at + 4].try_into().unwrap());
            match frame.kind {
                SETTINGS if frame.flags & 1 == 0 => {
                    self.send(SETTINGS, 1, 0, &[]);
                }
                HEADERS if wanted(frame.stream) => return Answered::Status(status(&frame.payload)),
                RST_STREAM if wanted(frame.stream) => return Answered::Reset(code(0)),
                GOAWAY => return Answered::GoAway(code(4)),
                _ => {}
            }
        }
    }

    /// The code of the GOAWAY that ends the connection, which must follow.
    #[track_caller]
    pub fn assert_goaway(&mut self, codes: &[u32]) {
        let answer = self.answer(u32::MAX);
        assert!(matches!(answer, Answered::GoAway(code) if codes.contains(&code)), "{answer:?}, not one of {codes:?}");
        self.connection.assert_closed();
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The pseudo-header fields of a GET.
pub fn get(path: &str) -> [(&str, &str); 4] {
    [(":method", "GET"), (":scheme", "http"), (":authority", "gateway.example"), (":path", path)]
}

/// A header block of literals without indexing (RFC 7541 section 6.2.2), names and values as they are.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            push_length(&mut bytes, text.len());
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

fn push_length(bytes: &mut Vec<u8>, length: usize) {
    if length < 127 {
        return bytes.push(u8::try_from(length).unwrap());
    }
    bytes.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128 + 128).unwrap());
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
}

/// The status that a header block begins with: indexed, or three digits with or without Huffman coding.
fn status(block: &[u8]) -> u16 {
    let skip = usize::from(block[0] & 0xe0 == 0x20); // a change of the table's size
    let block = &block[skip..];
    if block[0] & 0x80 != 0 {
        return [200, 204, 206, 304, 400, 404, 500][usize::from(block[0] & 0x7f) - 8];
    }
    assert_eq!(block[0] & 0x0f, 8, "{block:02x?} begins with no status");
    let (coded, length) = (block[1] & 0x80 != 0, usize::from(block[1] & 0x7f));
    let value = &block[2..2 + length];
    if !coded {
        return std::str::from_utf8(value).unwrap().parse().unwrap();
    }
    let bits = value.iter().fold(String::new(), |bits, byte| bits + &format!("{byte:08b}"));
    let (mut digits, mut rest) = (0, bits.as_str());
    for _ in 0..3 {
        let short = ["00000", "00001", "00010"].iter().position(|code| rest.starts_with(code));
        let long = || (3..=9).find(|digit| rest.starts_with(&format!("{:06b}", 0x19 + digit - 3))).unwrap();
        let (digit, taken) = short.map_or_else(|| (long(), 6), |digit| (digit, 5));
        digits = digits * 10 + u16::try_from(digit).unwrap();
        rest = &rest[taken..];
    }
    digits
}

/// What a well-behaved client reads.
#[derive(Debug)]
pub struct StreamReply {
    pub status: u16,
    pub interim: Vec<u16>,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

/// A well-behaved client.
pub struct Http2Client {
    runtime: Runtime,
    sender: h2::client::SendRequest<Bytes>,
}

/// What a request sends after its head.
#[derive(Default)]
pub struct Sent {
    pub parts: Vec<Bytes>,
    pub trailers: Option<HeaderMap>,
    /// How long each part waits.
    pub pause: Duration,
    /// Whether the last part ends the stream, rather than an empty one after it.
    pub ends_with_data: bool,
    /// Nothing ends it.
    pub endless: bool,
}

impl Http2Client {
    pub fn open(address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let sender = runtime.block_on(async {
            let stream = TcpStream::connect(address).await.unwrap();
            let (sender, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            sender
        });
        Self { runtime, sender }
    }

    /// A request with these fields.
    pub fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method(method).uri(format!("http://gateway.example{path}"));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[track_caller]
    pub fn get(&self, path: &str, fields: &[(&str, &str)]) -> StreamReply {
        self.send(Self::request("GET", path, fields), None).expect("a whole reply")
    }

    #[track_caller]
    pub fn post(&self, path: &str, fields: &[(&str, &str)], body: &[u8]) -> StreamReply {
        let parts = vec![Bytes::copy_from_slice(body)];
        self.send(Self::request("POST", path, fields), Some(Sent { parts, ends_with_data: true, ..Sent::default() }))
            .expect("a whole reply")
    }

    pub fn send(&self, request: Request<()>, sent: Option<Sent>) -> Result<StreamReply, h2::Error> {
        let exchange = exchange(self.sender.clone(), request, sent);
        self.runtime.block_on(async { timeout(PATIENCE, exchange).await.expect("an answer in time") })
    }

    /// All at once; their outcomes in order.
    pub fn send_all(&self, requests: Vec<Request<()>>) -> Vec<Result<StreamReply, h2::Error>> {
        let tasks: Vec<_> = requests
            .into_iter()
            .map(|request| self.runtime.spawn(exchange(self.sender.clone(), request, None)))
            .collect();
        tasks
            .into_iter()
            .map(|task| self.runtime.block_on(async { timeout(PATIENCE, task).await.expect("in time").unwrap() }))
            .collect()
    }
}

async fn exchange(
    sender: h2::client::SendRequest<Bytes>,
    request: Request<()>,
    sent: Option<Sent>,
) -> Result<StreamReply, h2::Error> {
    let mut sender = sender.ready().await?;
    let (mut reply, mut stream) = sender.send_request(request, sent.is_none())?;
    if let Some(Sent { parts, trailers, pause, ends_with_data, endless }) = sent {
        let count = parts.len();
        let ends = !endless && trailers.is_none();
        for (place, part) in parts.into_iter().enumerate() {
            tokio::time::sleep(pause).await;
            let last = ends && ends_with_data && place + 1 == count;
            if stream.send_data(part, last).is_err() {
                break;
            }
        }
        if let Some(trailers) = trailers {
            let _ = stream.send_trailers(trailers);
        } else if ends && !(ends_with_data && count > 0) {
            let _ = stream.send_data(Bytes::new(), true);
        }
    }
    let mut interim = Vec::new();
    while let Some(Ok(early)) = std::future::poll_fn(|cx| reply.poll_informational(cx)).await {
        interim.push(early.status().as_u16());
    }
    let (head, mut stream) = reply.await?.into_parts();
    let mut body = Vec::new();
    while let Some(part) = stream.data().await {
        let part = part?;
        stream.flow_control().release_capacity(part.len())?;
        body.extend_from_slice(&part);
    }
    let trailers = stream.trailers().await?;
    Ok(StreamReply { status: head.status.as_u16(), interim, headers: head.headers, body, trailers })
}

impl StreamReply {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}
