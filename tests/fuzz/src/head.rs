use scopegate::policy::{HeadLimits, check_head, head_end};

const LIMITS: HeadLimits = HeadLimits { bytes: 4096, lines: 24 };

/// A head that passes has one reading: `httparse` takes it whole and sees the same parts, it has one host and one
/// framing, and nothing in it ends a line but CRLF. Where it ends does not depend on how it arrives.
pub fn head(data: &[u8]) {
    let whole = head_end(data, 0, LIMITS);
    for cut in [1, data.len() / 2, data.len().saturating_sub(1)] {
        assert_eq!(arriving_in_two(data, cut.min(data.len())), whole, "cut at {cut}");
    }
    if let Ok(Some(end)) = whole {
        assert!(end <= LIMITS.bytes && data[..end].ends_with(b"\r\n\r\n"));
        if check_head(&data[..end], LIMITS).is_ok() {
            assert_one_reading(&data[..end]);
        }
    }
}

fn arriving_in_two(data: &[u8], cut: usize) -> Result<Option<usize>, scopegate::policy::Violation> {
    match head_end(&data[..cut], 0, LIMITS)? {
        Some(end) => Ok(Some(end)),
        None => head_end(data, cut, LIMITS),
    }
}

fn assert_one_reading(head: &[u8]) {
    let text: Vec<u8> = String::from_utf8_lossy(head).replace("\r\n", "").into_bytes();
    assert!(!text.iter().any(|byte| *byte != b'\t' && byte.is_ascii_control()), "a stray control character");

    let mut room = [httparse::EMPTY_HEADER; LIMITS.lines];
    let mut parsed = httparse::Request::new(&mut room);
    assert_eq!(parsed.parse(head), Ok(httparse::Status::Complete(head.len())));

    let mut lines = lines(head);
    let request_line = lines.next().expect("a head has a first line");
    let parts: Vec<&[u8]> = request_line.split(|byte| *byte == b' ').collect();
    let seen = [parsed.method, parsed.path].map(|part| part.expect("httparse read it whole").as_bytes());
    assert_eq!(parts[..2], seen);
    assert_eq!(parts[2..], [[&b"HTTP/1.0"[..], b"HTTP/1.1"][usize::from(parsed.version.expect("as above"))]]);
    assert!(http::Method::from_bytes(parts[0]).is_ok() && http::Uri::try_from(parts[1]).is_ok());

    let fields: Vec<(&[u8], &[u8])> = lines.map(field).collect();
    let seen: Vec<_> = parsed.headers.iter().map(|header| (header.name.as_bytes(), header.value)).collect();
    assert_eq!(fields, seen);
    for (name, value) in &fields {
        assert!(http::HeaderName::from_bytes(name).is_ok() && http::HeaderValue::from_bytes(value).is_ok());
    }
    assert_one_framing(&fields, parsed.version == Some(1));
}

/// The lines before the empty one, each without its CRLF.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let without_ends = &head[..head.len() - 4];
    without_ends.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let colon = line.iter().position(|byte| *byte == b':').expect("a header line has a colon");
    (&line[..colon], line[colon + 1..].trim_ascii())
}

/// RFC 9112 sections 3.2 and 6.3, also for a reader that takes `_` for `-`.
fn assert_one_framing(fields: &[(&[u8], &[u8])], is_http11: bool) {
    let plain =
        |name: &[u8]| name.to_ascii_lowercase().iter().map(|byte| if *byte == b'_' { b'-' } else { *byte }).collect();
    let values = |wanted: &str| -> Vec<&[u8]> {
        fields
            .iter()
            .filter(|(name, _)| {
                let name: Vec<u8> = plain(name);
                name == wanted.as_bytes()
            })
            .map(|(_, value)| *value)
            .collect()
    };
    match values("host")[..] {
        // Before HTTP/1.1 there was no Host.
        [] => assert!(!is_http11, "no Host"),
        [host] => assert!(
            !host.is_empty()
                && !host.iter().any(|byte| b", /@?#\\".contains(byte))
                && std::str::from_utf8(host).is_ok()
        ),
        [_, _, ..] => panic!("more than one Host"),
    }
    match (&values("content-length")[..], &values("transfer-encoding")[..]) {
        ([], []) => {}
        ([length], []) => {
            let number: u64 = std::str::from_utf8(length).expect("digits").parse().expect("a number");
            assert!(number <= 1 << 53 && length.iter().all(u8::is_ascii_digit));
        }
        ([], [encoding]) => assert!(is_http11 && encoding.eq_ignore_ascii_case(b"chunked")),
        (lengths, encodings) => panic!("{} lengths and {} encodings", lengths.len(), encodings.len()),
    }
}
