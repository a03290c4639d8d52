use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits { bytes: 32 * 1024, lines: 100 };

fn judge(head: &[u8]) -> Result<(), Violation> {
    match head_end(head, 0, LIMITS)? {
        Some(end) => check_head(&head[..end], LIMITS),
        None => panic!("the head is incomplete: {}", head.escape_ascii()),
    }
}

#[test]
fn an_ordinary_head_passes() {
    for head in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /x?y HTTP/1.0\r\nhost: a.example:8080\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 0\r\nExpect: 100-Continue\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \tChunked \r\nX: a\tb\r\nY:\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9007199254740992\r\n\r\n",
    ] {
        assert_eq!(judge(head.as_bytes()), Ok(()), "{head}");
    }
}

#[test]
fn each_broken_rule_is_named() {
    for (head, expected) in [
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", Violation::LineEnding),
        ("GET / HTTP/1.1\r\nHost: a\n\n", Violation::LineEnding),
        ("GET / HTTP/1.1\r\nX: a\nHost: a\r\n\r\n", Violation::LineEnding),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Violation::RequestLine),
        ("GET / x HTTP/1.1\r\nHost: a\r\n\r\n", Violation::RequestLine),
        ("GET /\r\nHost: a\r\n\r\n", Violation::RequestLine),
        ("GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", Violation::RequestLine),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", Violation::RequestLine),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Violation::RequestLine),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Violation::RequestLine),
        ("PRI * HTTP/2.0\r\n\r\n", Violation::Version),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", Violation::Version),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", Violation::Target),
        ("GET @evil/ HTTP/1.1\r\nHost: a\r\n\r\n", Violation::Target),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", Violation::Target),
        ("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Violation::Target),
        ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", Violation::Target),
        ("GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n", Violation::Target),
        ("GET /?a=\"b\" HTTP/1.1\r\nHost: a\r\n\r\n", Violation::Target),
        ("GET /?a=<b> HTTP/1.1\r\nHost: a\r\n\r\n", Violation::Target),
        ("GET /`a HTTP/1.1\r\nHost: a\r\n\r\n", Violation::Target),
        ("GET /{a}#b HTTP/1.1\r\nHost: a\r\n\r\n", Violation::Target),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", Violation::MethodRefused),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", Violation::MethodRefused),
        ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", Violation::HeaderLine),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", Violation::HeaderLine),
        ("GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", Violation::HeaderLine),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", Violation::HeaderLine),
        ("GET / HTTP/1.1\r\n X: b\r\nHost: a\r\n\r\n", Violation::HeaderLine),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", Violation::HeaderLine),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\0\r\n\r\n", Violation::HeaderLine),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\x7f\r\n\r\n", Violation::HeaderLine),
        ("GET / HTTP/1.1\r\n\r\n", Violation::Host),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Violation::Host),
        ("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", Violation::Host),
        ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", Violation::Host),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Violation::Host),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Violation::Host),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", Violation::Host),
        ("GET / HTTP/1.1\r\nHost: a:\r\n\r\n", Violation::Host),
        ("GET / HTTP/1.1\r\nHost: a:1b\r\n\r\n", Violation::Host),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", Violation::Host),
        ("GET / HTTP/1.1\r\nHost: []\r\n\r\n", Violation::Host),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", Violation::ContentLength),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", Violation::ContentLength),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", Violation::ContentLength),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", Violation::ContentLength),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9007199254740993\r\n\r\n", Violation::ContentLength),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent_Length: 1\r\n\r\n", Violation::ContentLength),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", Violation::TransferEncoding),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", Violation::TransferEncoding),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n", Violation::TransferEncoding),
        ("GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", Violation::TransferEncoding),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
            Violation::TransferEncoding,
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", Violation::Expectation),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\n", Violation::Expectation),
    ] {
        assert_eq!(judge(head.as_bytes()), Err(expected), "{}", head.escape_debug());
    }
}

#[test]
fn each_limit_holds_on_both_sides() {
    let target = |length| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length - 1));
    assert_eq!(judge(target(MAX_TARGET).as_bytes()), Ok(()));
    assert_eq!(judge(target(MAX_TARGET + 1).as_bytes()), Err(Violation::TargetTooLong));
    assert_eq!(judge(target(40_000).as_bytes()), Err(Violation::TargetTooLong));
    let method = |length| format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(length));
    assert_eq!(judge(method(MAX_METHOD).as_bytes()), Ok(()));
    assert_eq!(judge(method(MAX_METHOD + 1).as_bytes()), Err(Violation::Method));
    let lines = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    assert_eq!(judge(lines(100).as_bytes()), Ok(()));
    assert_eq!(judge(lines(101).as_bytes()), Err(Violation::TooLarge));
    let empty = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
    let size = |bytes: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(bytes - empty));
    assert_eq!(judge(size(32 * 1024).as_bytes()), Ok(()));
    assert_eq!(judge(size(32 * 1024 + 1).as_bytes()), Err(Violation::TooLarge));
}

#[test]
fn a_line_without_cr_is_refused_by_the_check_itself() {
    for head in [&b"\n\r\n\r\n"[..], b"GET / HTTP/1.1\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"] {
        assert_eq!(check_head(head, LIMITS), Err(Violation::LineEnding), "{}", head.escape_ascii());
    }
}

#[test]
fn an_endless_head_is_refused_before_it_ends() {
    let line = "a".repeat(LIMITS.bytes);
    assert_eq!(head_end(line.as_bytes(), 0, LIMITS), Err(Violation::TargetTooLong));
    let header = format!("GET / HTTP/1.1\r\nX: {line}");
    assert_eq!(head_end(header.as_bytes(), 0, LIMITS), Err(Violation::TooLarge));
}

proptest! {
    /// However the bytes are cut into reads, the end is the same.
    #[test]
    fn the_end_does_not_depend_on_how_the_head_arrives(cut in 0_usize..60) {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nGET / HTTP/1.1\r\n";
        let cut = cut.min(head.len());
        let first = head_end(&head[..cut], 0, LIMITS).unwrap();
        let end = first.or_else(|| head_end(head, cut, LIMITS).unwrap());
        prop_assert_eq!(end, Some(33));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut head = bytes;
        head.extend_from_slice(b"\r\n\r\n");
        let _ = head_end(&head, 0, LIMITS);
        let _ = check_head(&head, LIMITS);
    }
}
