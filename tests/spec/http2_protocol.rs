//! RFC 9113 and RFC 7541, section by section: what a client may not send, and what must be answered.

use crate::harness::{
    Connection, Gateway, each_row,
    http2::{
        Answered, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM,
        SETTINGS, WINDOW_UPDATE, block, frame, get,
    },
};

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;
const PUSH_PROMISE: u8 = 5;
const PADDED: u8 = 8;
const ACK: u8 = 1;

fn spoken() -> Gateway {
    Gateway::start(|config| {
        config.plain("h2c: true");
    })
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is one table")]
fn a_client_that_breaks_the_protocol_is_told_which_rule() {
    let gateway = spoken();
    let head = block(&get("/healthz"));
    let whole = frame(HEADERS, END_STREAM | END_HEADERS, 1, &head);
    let post = block(&[(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/healthz")]);
    let open = frame(HEADERS, END_HEADERS, 1, &post);
    let most = ((1_u32 << 31) - 1).to_be_bytes();
    // The nearest code, or the one for everything (RFC 9113 section 7).
    let goaway = |code| vec![Answered::GoAway(code), Answered::GoAway(PROTOCOL_ERROR)];
    let either = |code| vec![Answered::GoAway(code), Answered::Reset(code)];
    let with = |first: &[u8], second: Vec<u8>| [first, &second].concat();
    let cases: Vec<(&str, Vec<u8>, Vec<Answered>)> = vec![
        ("4.2: a frame over its size", frame(PING, 0, 0, &[0; 16_385]), goaway(FRAME_SIZE_ERROR)),
        ("4.2: a header block over its size", frame(HEADERS, END_HEADERS, 1, &[0; 16_385]), goaway(FRAME_SIZE_ERROR)),
        (
            "4.3: a header block that cannot be decoded",
            frame(HEADERS, END_HEADERS, 1, &[0xff; 4]),
            goaway(COMPRESSION_ERROR),
        ),
        (
            "4.3: another frame within a header block",
            with(&frame(HEADERS, 0, 1, &head), frame(PING, 0, 0, &[0; 8])),
            goaway(PROTOCOL_ERROR),
        ),
        (
            "4.3: another stream within a header block",
            with(&frame(HEADERS, 0, 1, &head), frame(CONTINUATION, END_HEADERS, 3, &[])),
            goaway(PROTOCOL_ERROR),
        ),
        ("5.1: data on an idle stream", frame(DATA, 0, 1, b"x"), goaway(PROTOCOL_ERROR)),
        ("5.1: a reset of an idle stream", frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]), goaway(PROTOCOL_ERROR)),
        ("5.1: a window update of an idle stream", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 8]), goaway(PROTOCOL_ERROR)),
        ("5.1: a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, &head), goaway(PROTOCOL_ERROR)),
        (
            "5.1: data after the end",
            with(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &post), frame(DATA, 0, 1, b"x")),
            either(STREAM_CLOSED).into_iter().chain(either(PROTOCOL_ERROR)).collect(),
        ),
        (
            "5.1.1: a stream with an even number",
            frame(HEADERS, END_STREAM | END_HEADERS, 2, &head),
            goaway(PROTOCOL_ERROR),
        ),
        (
            "5.1.1: a stream with a smaller number",
            with(
                &frame(HEADERS, END_STREAM | END_HEADERS, 5, &head),
                frame(HEADERS, END_STREAM | END_HEADERS, 3, &head),
            ),
            goaway(PROTOCOL_ERROR),
        ),
        ("6.1: data on no stream", frame(DATA, 0, 0, b"x"), goaway(PROTOCOL_ERROR)),
        ("6.1: more padding than data", with(&open, frame(DATA, PADDED, 1, &[9, b'x'])), goaway(PROTOCOL_ERROR)),
        ("6.2: a head on no stream", frame(HEADERS, END_STREAM | END_HEADERS, 0, &head), goaway(PROTOCOL_ERROR)),
        ("6.2: more padding than head", frame(HEADERS, PADDED | END_HEADERS, 1, &[9, 0x82]), goaway(PROTOCOL_ERROR)),
        ("6.3: a priority of no stream", frame(PRIORITY, 0, 0, &[0; 5]), goaway(PROTOCOL_ERROR)),
        ("6.4: a reset of no stream", frame(RST_STREAM, 0, 0, &[0, 0, 0, 8]), goaway(PROTOCOL_ERROR)),
        ("6.4: a reset of another size", with(&whole, frame(RST_STREAM, 0, 1, &[0; 3])), goaway(FRAME_SIZE_ERROR)),
        ("6.5: settings of a stream", frame(SETTINGS, 0, 1, &[]), goaway(PROTOCOL_ERROR)),
        ("6.5: settings of another size", frame(SETTINGS, 0, 0, &[0; 5]), goaway(FRAME_SIZE_ERROR)),
        ("6.5: a confirmation with settings", frame(SETTINGS, ACK, 0, &setting(3, 1)), goaway(FRAME_SIZE_ERROR)),
        ("6.5.2: pushing neither on nor off", frame(SETTINGS, 0, 0, &setting(2, 2)), goaway(PROTOCOL_ERROR)),
        (
            "6.5.2: a window that is too large",
            frame(SETTINGS, 0, 0, &setting(4, 1 << 31)),
            either(FLOW_CONTROL_ERROR).into_iter().chain(goaway(PROTOCOL_ERROR)).collect(),
        ),
        ("6.5.2: frames that are too small", frame(SETTINGS, 0, 0, &setting(5, 16_383)), goaway(PROTOCOL_ERROR)),
        ("6.5.2: frames that are too large", frame(SETTINGS, 0, 0, &setting(5, 1 << 24)), goaway(PROTOCOL_ERROR)),
        (
            "6.6: a promise of a client",
            with(&open, frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82])),
            goaway(PROTOCOL_ERROR),
        ),
        ("6.7: a ping on a stream", frame(PING, 0, 1, &[0; 8]), goaway(PROTOCOL_ERROR)),
        ("6.7: a ping of another size", frame(PING, 0, 0, &[0; 7]), goaway(FRAME_SIZE_ERROR)),
        ("6.8: an end on a stream", frame(GOAWAY, 0, 1, &[0; 8]), goaway(PROTOCOL_ERROR)),
        ("6.9: a window update of nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), goaway(PROTOCOL_ERROR)),
        ("6.9: one of nothing on a stream", with(&open, frame(WINDOW_UPDATE, 0, 1, &[0; 4])), either(PROTOCOL_ERROR)),
        ("6.9: one of another size", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), goaway(FRAME_SIZE_ERROR)),
        ("6.9.1: a window that overflows", frame(WINDOW_UPDATE, 0, 0, &most).repeat(2), goaway(FLOW_CONTROL_ERROR)),
        (
            "6.9.1: one of a stream that overflows",
            with(&open, frame(WINDOW_UPDATE, 0, 1, &most).repeat(2)),
            either(FLOW_CONTROL_ERROR).into_iter().chain(either(PROTOCOL_ERROR)).collect(),
        ),
        (
            "8.1: trailers without an end",
            with(&open, frame(HEADERS, END_HEADERS, 1, &block(&[("x", "y")]))),
            either(PROTOCOL_ERROR),
        ),
        (
            "8.1: pseudo-header fields in trailers",
            with(&open, frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&[(":method", "GET")]))),
            either(PROTOCOL_ERROR),
        ),
        (
            "HPACK 2.3.3: an index that is not there",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[&head[..], &[0xfe]].concat()),
            goaway(COMPRESSION_ERROR),
        ),
        (
            "HPACK 5.2: padding longer than a byte",
            frame(
                HEADERS,
                END_STREAM | END_HEADERS,
                1,
                &[&head[..], &[0, 0x85, 0xf2, 0xb2, 0x4a, 0x84, 0xff, 1, b'x']].concat(),
            ),
            goaway(COMPRESSION_ERROR),
        ),
        (
            "HPACK 6.1: index 0",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[&head[..], &[0x80]].concat()),
            goaway(COMPRESSION_ERROR),
        ),
        (
            "HPACK 6.3: a table over its size",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[&[0x3f, 0xe2, 0x1f][..], &head].concat()),
            goaway(COMPRESSION_ERROR),
        ),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, bytes, expected)| {
            let mut frames = Frames::open(gateway.public);
            frames.send(SETTINGS, ACK, 0, &[]);
            frames.connection.send(bytes);
            // A stream may be answered before its client breaks a rule on another.
            let mut answer = frames.answer_of_any();
            while matches!(answer, Answered::Status(_)) {
                answer = frames.answer_of_any();
            }
            assert!(expected.contains(&answer), "{answer:?}, not one of {expected:?}");
        },
    );
}

#[test]
fn what_is_allowed_is_answered() {
    let gateway = spoken();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("4.1: an unknown kind of frame", frame(0x16, 0, 0, b"x")),
        ("4.1: flags that mean nothing", frame(PING, 0x16, 0, &[0; 8])),
        ("5.5: an unknown setting", frame(SETTINGS, 0, 0, &setting(0xff, 1))),
        ("6.3: a priority of an idle stream", frame(PRIORITY, 0, 9, &[0, 0, 0, 0, 1])),
        ("6.5.2: the smallest window", frame(SETTINGS, 0, 0, &setting(4, 0))),
        ("6.5.3: several settings", frame(SETTINGS, 0, 0, &[setting(4, 100), setting(4, 65_535)].concat())),
    ];
    each_row(
        &cases,
        |case| case.0.to_owned(),
        |(_, bytes)| {
            let mut frames = Frames::open(gateway.public);
            frames.connection.send(bytes);
            assert_eq!(frames.get(1, "/healthz").answer(1), Answered::Status(200));
        },
    );
    // 6.7: a ping comes back as it was.
    let mut frames = Frames::open(gateway.public);
    frames.send(PING, 0, 0, b"12345678");
    let pong = std::iter::from_fn(|| frames.next()).find(|frame| frame.kind == PING).unwrap();
    assert_eq!((pong.flags & ACK, pong.payload.as_slice()), (ACK, &b"12345678"[..]));
    // 6.2: padding and a priority beside a head.
    let head = block(&get("/healthz"));
    let padded = [&[4, 0, 0, 0, 0, 16][..], &head, &[0; 4]].concat();
    frames.send(HEADERS, 0x20 | PADDED | END_STREAM | END_HEADERS, 1, &padded);
    assert_eq!(frames.answer(1), Answered::Status(200));
}

#[test]
fn a_reply_keeps_to_the_windows_of_its_client() {
    let gateway = spoken();
    gateway.upstream().always(crate::harness::Answer::with(200, "", &vec![b'x'; 100_000]));
    let mut frames = Frames::on(Connection::open(gateway.public), &[(4, 1000)]);
    frames.get(1, "/healthz");
    let read = |frames: &mut Frames, until: usize| {
        let mut count = 0;
        while count < until {
            let frame = frames.next().expect("more of the reply");
            count += if frame.kind == DATA { frame.payload.len() } else { 0 };
        }
        count
    };
    assert_eq!(read(&mut frames, 1000), 1000);
    // Nothing more until it is asked for.
    frames.send(PING, 0, 0, &[0; 8]);
    let next = std::iter::from_fn(|| frames.next()).find(|frame| matches!(frame.kind, DATA | PING)).unwrap();
    assert_eq!(next.kind, PING);
    frames.send(WINDOW_UPDATE, 0, 1, &500_u32.to_be_bytes());
    assert_eq!(read(&mut frames, 500), 500);
}

#[test]
fn a_connection_begins_as_it_must() {
    let gateway = spoken();
    // 3.4: with settings, not with anything else, nor with a confirmation.
    for first in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, ACK, 0, &[])] {
        let mut connection = gateway.connect();
        connection.send(crate::harness::http2::PREFACE).send(first);
        connection.assert_closed();
    }
    let mut frames = Frames::open(gateway.public);
    let first = frames.next().unwrap();
    assert_eq!((first.kind, first.flags, first.stream), (SETTINGS, 0, 0));
    let told: Vec<(u16, u32)> = first
        .payload
        .chunks(6)
        .map(|setting| {
            (u16::from_be_bytes([setting[0], setting[1]]), u32::from_be_bytes(setting[2..].try_into().unwrap()))
        })
        .collect();
    // What the limits of 32 KiB and 100 lines let pass, as RFC 9113 section 6.5.2 counts it.
    assert!(told.contains(&(3, 100)) && told.contains(&(6, 32 * 1024 + 100 * 32 + 256)), "{told:?}");
}
