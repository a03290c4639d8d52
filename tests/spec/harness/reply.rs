use serde_json::Value;

use super::{Broken, Framing};

/// One HTTP reply as read from the socket.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    /// In order, names as sent.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub framing: Framing,
    /// The statuses of interim replies before it.
    pub interim: Vec<u16>,
}

impl Reply {
    /// Reads a status line and header lines strictly: each line ends in CRLF and each header has a plain name.
    pub fn parse_head(head: &[u8]) -> Option<Self> {
        let text: String = head.iter().map(|byte| char::from(*byte)).collect();
        let mut lines = text.strip_suffix("\r\n\r\n")?.split("\r\n");
        let mut status_line = lines.next()?.splitn(3, ' ');
        if !matches!(status_line.next()?, "HTTP/1.1" | "HTTP/1.0") {
            return None;
        }
        let status = status_line.next().filter(|code| code.len() == 3)?.parse().ok()?;
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            plain.then(|| (name.to_owned(), value.trim().to_owned()))
        };
        let headers = lines.map(header).collect::<Option<_>>()?;
        Some(Self { status, headers, body: Vec::new(), framing: Framing::None, interim: Vec::new() })
    }

    /// The values of a header, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    /// The only value of a header; `None` if it is missing, a failure if it stands twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() <= 1, "{name} stands {} times in {:?}", values.len(), self.headers);
        values.first().copied()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.summary()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn summary(&self) -> String {
        let body: String = self.text().chars().take(400).collect();
        format!("{} {:?} {body:?}", self.status, self.headers)
    }

    pub(super) fn content_length(&self) -> usize {
        self.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    pub(super) fn body_framing(&self, method: &str) -> Result<Framing, Broken> {
        let (lengths, encodings) = (self.all("content-length"), self.all("transfer-encoding"));
        if lengths.len() + encodings.len() > 1 {
            return Err(Broken::Garbage(format!("two framings: {:?}", self.headers)));
        }
        if method == "HEAD" || matches!(self.status, 100..=199 | 204 | 304) {
            return Ok(Framing::None);
        }
        match (lengths.first(), encodings.first()) {
            (Some(length), _) if length.parse::<usize>().is_err() => Err(Broken::Garbage(format!("length {length}"))),
            (Some(_), _) => Ok(Framing::Length),
            (_, Some(&"chunked")) => Ok(Framing::Chunked),
            (_, Some(other)) => Err(Broken::Garbage(format!("transfer-encoding {other}"))),
            (None, None) => Ok(Framing::Close),
        }
    }

    #[track_caller]
    pub fn assert_status(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}", self.summary());
        self
    }

    /// A refusal of the gateway: problem+json with this status and reason code, and the challenge that belongs to it.
    #[track_caller]
    pub fn assert_refused(&self, status: u16, code: &str) -> &Self {
        self.assert_problem(status, code);
        let challenge = self.header("www-authenticate");
        match (status, code) {
            (401, "missing_token") => {
                let challenge = challenge.expect("a challenge");
                assert!(challenge.starts_with("Bearer "), "{challenge}");
                assert!(!challenge.contains("error"), "a bare challenge has no error: {challenge}");
            }
            (401, _) => self.assert_challenge("invalid_token"),
            (403, _) => self.assert_challenge("insufficient_scope"),
            (405, _) => assert!(self.header("allow").is_some(), "405 without Allow: {}", self.summary()),
            (429 | 503, _) => assert!(self.header("retry-after").is_some(), "no Retry-After: {}", self.summary()),
            _ => {}
        }
        self
    }

    /// The body is problem+json (RFC 9457) with every member of SPEC section 6.
    #[track_caller]
    pub fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "wanted {status} {code}: {}", self.summary());
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.summary());
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        for member in ["type", "title", "detail", "request_id"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member} is missing in {problem}");
        }
    }

    /// The body is problem+json of an endpoint that names no requests.
    #[track_caller]
    pub fn assert_problem_without_id(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.summary());
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.summary());
        assert_eq!(self.json()["status"], status, "{}", self.summary());
    }

    /// The challenge is a Bearer one (RFC 6750 section 3) and names this error.
    #[track_caller]
    pub fn assert_challenge(&self, error: &str) {
        let challenge = self.header("www-authenticate").unwrap_or_else(|| panic!("no challenge: {}", self.summary()));
        assert!(challenge.starts_with("Bearer realm=\""), "{challenge}");
        assert!(challenge.contains(&format!("error=\"{error}\"")), "{challenge} does not name {error}");
    }

    /// An error of the token endpoint (RFC 6749 section 5.2).
    #[track_caller]
    pub fn assert_oauth_error(&self, status: u16, error: &str) -> &Self {
        assert_eq!(self.status, status, "wanted {status} {error}: {}", self.summary());
        assert!(
            self.header("content-type").is_some_and(|value| value.starts_with("application/json")),
            "{}",
            self.summary()
        );
        assert_eq!(self.json()["error"], error, "{}", self.summary());
        self.assert_no_store();
        if status == 401 {
            let challenge = self.header("www-authenticate").unwrap_or_default();
            assert!(challenge.starts_with("Basic realm=\""), "challenge {challenge:?}");
        }
        self
    }

    #[track_caller]
    pub fn assert_no_store(&self) {
        assert_eq!(self.header("cache-control"), Some("no-store"), "{}", self.summary());
    }
}
