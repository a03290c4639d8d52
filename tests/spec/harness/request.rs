use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};

/// A request as bytes in the making. Nothing is added that the test did not ask for, but `Host` and the body's framing.
#[derive(Clone)]
pub struct Request {
    pub method: String,
    pub target: String,
    host: Option<String>,
    headers: Vec<u8>,
    body: Body,
}

#[derive(Clone)]
enum Body {
    Absent,
    Sized(Vec<u8>),
    Chunked(Vec<Vec<u8>>),
}

impl Request {
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.into(), target: target.into(), host: None, headers: Vec::new(), body: Body::Absent }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    /// A token request: grant `client_credentials` and what `form` adds.
    pub fn token(authorization: &str, form: &str) -> Self {
        Self::post("/v1/oauth2/token").header("Authorization", authorization).form(form)
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        self
    }

    /// A header line as it is, without its line end.
    pub fn line(mut self, line: impl AsRef<[u8]>) -> Self {
        self.headers.extend_from_slice(line.as_ref());
        self.headers.extend_from_slice(b"\r\n");
        self
    }

    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub fn form(self, form: &str) -> Self {
        self.header("Content-Type", "application/x-www-form-urlencoded").body(form)
    }

    pub fn json(self, json: impl AsRef<[u8]>) -> Self {
        self.header("Content-Type", "application/json").body(json)
    }

    /// A body with `Content-Length`.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Body::Sized(body.as_ref().to_vec());
        self
    }

    /// A chunked body of these chunks.
    pub fn chunked(mut self, chunks: &[&[u8]]) -> Self {
        self.body = Body::Chunked(chunks.iter().map(|chunk| chunk.to_vec()).collect());
        self
    }

    /// Everything up to the body.
    pub fn head(&self, host: &str) -> Vec<u8> {
        let host = self.host.as_deref().unwrap_or(host);
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", self.method, self.target).into_bytes();
        head.extend_from_slice(&self.headers);
        match &self.body {
            Body::Absent => {}
            Body::Sized(body) => head.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes()),
            Body::Chunked(_) => head.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    /// The whole request.
    pub fn bytes(&self, host: &str) -> Vec<u8> {
        let mut bytes = self.head(host);
        match &self.body {
            Body::Absent => {}
            Body::Sized(body) => bytes.extend_from_slice(body),
            Body::Chunked(chunks) => {
                for chunk in chunks {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
        }
        bytes
    }
}

/// `Basic …` of the two halves as they are.
pub fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

/// Every byte as `%XX`.
pub fn percent_encode_all(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        let _ = write!(encoded, "%{byte:02X}");
        encoded
    })
}

/// As `application/x-www-form-urlencoded` writes a value.
pub fn form_urlencode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
