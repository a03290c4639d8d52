/// One request as it reached the upstream.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The request line and header lines, as bytes.
    pub head: Vec<u8>,
    pub method: String,
    pub target: String,
    /// In order, names as received.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the whole body has arrived.
    pub complete: bool,
    /// Which connection it came on, and as which request of that connection.
    pub connection: usize,
    pub place: usize,
}

impl Recorded {
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    /// The only value of a header; a failure if it stands twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() <= 1, "{name} stands {} times upstream", values.len());
        values.first().copied()
    }

    /// What this head says.
    pub(super) fn parse(head: Vec<u8>, connection: usize, place: usize) -> Self {
        let text: String = head.iter().map(|byte| char::from(*byte)).collect();
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, target) =
            (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            (name.to_owned(), value.trim().to_owned())
        };
        let headers = lines.map(header).collect();
        Self { head, method, target, headers, body: Vec::new(), complete: false, connection, place }
    }

    /// Whether the body is chunked, and its length if not.
    pub(super) fn framing(&self) -> (bool, usize) {
        let chunked = self.all("transfer-encoding").iter().any(|value| value.eq_ignore_ascii_case("chunked"));
        (chunked, self.all("content-length").first().and_then(|value| value.parse().ok()).unwrap_or(0))
    }
}
