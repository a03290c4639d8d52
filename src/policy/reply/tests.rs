use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\n";

/// What becomes of the bytes if they come at once, and that it is the same however they are cut.
fn judge(bytes: &[u8]) -> Result<Next, BadReply> {
    let in_parts = |parts: &mut dyn Iterator<Item = &[u8]>| {
        let mut replies = Replies::default();
        replies.expect();
        let mut next = Ok(Next::More);
        for part in parts {
            next = next.and_then(|_| replies.look_at(part));
        }
        next
    };
    let whole = in_parts(&mut std::iter::once(bytes));
    assert_eq!(in_parts(&mut bytes.chunks(1)), whole, "byte by byte: {:?}", bytes.escape_ascii().to_string());
    for cut in 1..bytes.len() {
        let (first, second) = bytes.split_at(cut);
        assert_eq!(in_parts(&mut [first, second].into_iter()), whole, "cut at {cut}");
    }
    whole
}

#[test]
fn each_broken_rule_of_a_head_is_named() {
    use BadReply::{ContentLength, HeaderLine, LineEnding, StatusLine, TransferEncoding};
    let cases: [(&str, BadReply); 46] = [
        ("HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b=c\r\n\r\n", LineEnding),
        ("HTTP/1.1 200 OK\n\n", LineEnding),
        ("HTTP/1.1 200 OK\r\n\nX: y\r\n\r\n", LineEnding),
        ("\nHTTP/1.1 200 OK\r\n\r\n", LineEnding),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", StatusLine),
        ("\r\n\r\n", StatusLine),
        ("HTTP/1.2 200 OK\r\n\r\n", StatusLine),
        ("HTTP/2 200 OK\r\n\r\n", StatusLine),
        ("HTTP/2.0 200 OK\r\n\r\n", StatusLine),
        ("HTTP/0.9 200 OK\r\n\r\n", StatusLine),
        ("HTTP/11 200 OK\r\n\r\n", StatusLine),
        ("http/1.1 200 OK\r\n\r\n", StatusLine),
        (" HTTP/1.1 200 OK\r\n\r\n", StatusLine),
        ("ICY 200 OK\r\n\r\n", StatusLine),
        ("HTTP/1.1  200 OK\r\n\r\n", StatusLine),
        ("HTTP/1.1\t200 OK\r\n\r\n", StatusLine),
        ("HTTP/1.1 20 OK\r\n\r\n", StatusLine),
        ("HTTP/1.1 2000 OK\r\n\r\n", StatusLine),
        ("HTTP/1.1 099 OK\r\n\r\n", StatusLine),
        ("HTTP/1.1 2x0 OK\r\n\r\n", StatusLine),
        ("HTTP/1.1 +20 OK\r\n\r\n", StatusLine),
        ("HTTP/1.1\r\n\r\n", StatusLine),
        ("HTTP/1.1 200 O\rK\r\n\r\n", StatusLine),
        ("HTTP/1.1 200 O\0K\r\n\r\n", StatusLine),
        ("<html></html>\r\n\r\n", StatusLine),
        ("HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b=c\r\n\r\n", HeaderLine),
        ("HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", HeaderLine),
        ("HTTP/1.1 200 OK\r\nX: a\x1b[2J\r\n\r\n", HeaderLine),
        ("HTTP/1.1 200 OK\r\nX: a\x7f\r\n\r\n", HeaderLine),
        ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", HeaderLine),
        ("HTTP/1.1 200 OK\r\nX: a\r\n\tSet-Cookie: b\r\n\r\n", HeaderLine),
        ("HTTP/1.1 200 OK\r\n X: a\r\n\r\n", HeaderLine),
        ("HTTP/1.1 200 OK\r\nX : a\r\n\r\n", HeaderLine),
        ("HTTP/1.1 200 OK\r\nX\r\n\r\n", HeaderLine),
        ("HTTP/1.1 200 OK\r\n: a\r\n\r\n", HeaderLine),
        ("HTTP/1.1 200 OK\r\nX(y): a\r\n\r\n", HeaderLine),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", ContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\nx", ContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx", ContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", ContentLength),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9007199254740993\r\n\r\n", ContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", TransferEncoding),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", TransferEncoding),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", TransferEncoding),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n", TransferEncoding),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", TransferEncoding),
    ];
    for (bytes, fault) in cases {
        assert_eq!(judge(bytes.as_bytes()), Err(fault), "{bytes:?}");
        let behind_an_interim_reply = format!("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n{bytes}");
        assert_eq!(judge(behind_an_interim_reply.as_bytes()), Err(fault), "{behind_an_interim_reply:?}");
        let interim = bytes.replacen(" 200 ", " 103 ", 1);
        assert_eq!(judge(interim.as_bytes()), Err(fault), "{interim:?}");
    }
}

#[test]
fn sound_heads_pass() {
    for bytes in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 \r\n\r\n",
        "HTTP/1.1 200\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 999 Request denied\r\nX:a\r\nY:\r\nZ: \t b\tc \r\n\r\nwhatever\n\r\0",
        "HTTP/1.1 200 Gr\u{fc}\u{df}e\r\nX: \u{e9}\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x01\x05\n\n\n\n\n",
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\nTransfer-Encoding: identity\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nto the end\n",
    ] {
        assert_eq!(judge(bytes.as_bytes()), Ok(Next::More), "{bytes:?}");
    }
}

#[test]
fn heads_have_a_size() {
    let sized = |size: usize| {
        let mut head = format!("{OK}X: ");
        head.push_str(&"y".repeat(size - head.len() - 4));
        let mut replies = Replies::default();
        replies.expect();
        replies.look_at((head + "\r\n\r\n").as_bytes())
    };
    assert_eq!((sized(LIMITS.bytes), sized(LIMITS.bytes + 1)), (Ok(Next::More), Err(BadReply::TooLarge)));
    let with_lines = |count: usize| {
        let mut replies = Replies::default();
        replies.expect();
        replies.look_at(format!("{OK}{}\r\n", "X: y\r\n".repeat(count)).as_bytes())
    };
    assert_eq!((with_lines(256), with_lines(257)), (Ok(Next::More), Err(BadReply::TooLarge)));
    let mut replies = Replies::default();
    replies.expect();
    let endless = (0..1000).find(|_| replies.look_at(&[b'x'; 1000]).is_err());
    assert_eq!(endless, Some(LIMITS.bytes / 1000));
}

#[test]
fn chunks_are_read_to_the_letter() {
    let chunked = |body: &str| judge(format!("{OK}Transfer-Encoding: Chunked\r\n\r\n{body}").as_bytes());
    for body in [
        "",
        "0\r\n\r\n",
        "5\r\nab\r\n\n\r\n00\r\n\r\n",
        "3;a=b;c=\"d e\"\r\nabc\r\n0\r\nX: y\r\nZ: z\r\n\r\n",
        "3 \t;a\r\nabc\r\n",
        "FFFFFFFFFFFFFFFF\r\nabc\n",
        "0\r\n\r\nHTTP/1.1 200 OK\n\n", // the parser tells that nobody asked for it
    ] {
        assert_eq!(chunked(body), Ok(Next::More), "{body:?}");
    }
    let long_trailer = format!("0\r\nX: {}\r\n\r\n", "y".repeat(9000));
    for body in [
        "\r\n",
        "\n",
        "5\nabcde\r\n0\r\n\r\n",
        "5;x\nabcde\r\n0\r\n\r\n",
        "5;x\r\r\nabcde\r\n0\r\n\r\n",
        "5;\0\r\nabcde\r\n",
        ";x\r\n",
        " 5\r\nabcde\r\n",
        "0x5\r\nabcde\r\n",
        "+5\r\nabcde\r\n",
        "5\rabcde\r\n",
        "10000000000000000\r\nabc",
        "5\r\nabcdef\r\n",
        "5\r\nabcde\n0\r\n\r\n",
        "5\r\nabcde\r0\r\n\r\n",
        "0\r\n\n",
        "0\r\nX: y\nSet-Cookie: z\r\n\r\n",
        "0\r\nX: y\rSet-Cookie: z\r\n\r\n",
        "0\r\nX: \0\r\n\r\n",
        &long_trailer[..5000].repeat(2),
    ] {
        assert_eq!(chunked(body), Err(BadReply::Chunk), "{body:?}");
    }
}

#[test]
fn a_length_beside_identity_ends_the_reply() {
    let reply = format!("{OK}Transfer-Encoding: Identity\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(judge(reply.as_bytes()), Ok(Next::End));
    assert_eq!(judge(&reply.as_bytes()[..reply.len() - 1]), Ok(Next::More));
    let mut replies = Replies::default();
    replies.expect();
    replies.look_at(&reply.as_bytes()[..reply.len() - 1]).unwrap();
    assert!(replies.is_cut());
    replies.look_at(b"c").unwrap();
    assert!(!replies.is_cut());
}

#[test]
fn each_reply_of_a_connection_is_judged_and_none_that_was_not_asked_for() {
    let mut replies = Replies::default();
    assert_eq!(replies.look_at(b"HTTP/1.1 200 OK\r\n\r\n"), Err(BadReply::Unasked));
    for _ in 0..3 {
        replies.expect();
        assert_eq!(replies.look_at(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\n"), Ok(Next::More));
    }
    replies.expect();
    assert_eq!(replies.look_at(b"HTTP/1.1 200 OK\r\nContent-Length: 1\n\r\n\n"), Err(BadReply::LineEnding));
}
