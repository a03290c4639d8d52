//! Section 12, HTTP/2: frames that cost a client nothing, and how much of the gateway they may cost.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::harness::{
    Answer, Gateway, await_that,
    http2::{
        Answered, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
        WINDOW_UPDATE, block, frame, get,
    },
};

const ENHANCE_YOUR_CALM: u32 = 11;
const REFUSED_STREAM: u32 = 7;

fn spoken() -> Gateway {
    Gateway::start(|config| {
        config.plain("h2c: true");
    })
}

/// Seconds of processor time that the gateway has used (proc(5)), by a clock of 100 Hz.
fn processor_time(gateway: &Gateway) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", gateway.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}

#[test]
fn each_kind_of_flood_ends_its_connection_and_no_other() {
    let gateway = spoken();
    let mut bystander = Frames::open(gateway.public);
    assert_eq!(bystander.get(1, "/healthz").answer(1), Answered::Status(200));
    let head = block(&get("/healthz"));
    let id = |number: u32| 2 * number + 1;
    let post = block(&[(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/healthz")]);
    let reset = |number: u32| frame(RST_STREAM, 0, id(number), &8_u32.to_be_bytes());
    // DOS-05. Each gives the bytes of one round.
    let kinds: Vec<(&str, Box<dyn Fn(u32) -> Vec<u8>>)> = vec![
        ("rapid reset", Box::new(|n| [frame(HEADERS, END_STREAM | END_HEADERS, id(n), &head), reset(n)].concat())),
        (
            "made-you-reset by a window update of nothing",
            Box::new(|n| {
                let update = frame(WINDOW_UPDATE, 0, id(n), &[0; 4]);
                [frame(HEADERS, END_STREAM | END_HEADERS, id(n), &head), update].concat()
            }),
        ),
        (
            "made-you-reset by a priority of its own",
            Box::new(|n| {
                let depends = frame(PRIORITY, 0, id(n), &[&id(n).to_be_bytes()[..], &[0]].concat());
                [frame(HEADERS, END_HEADERS, id(n), &post), depends].concat()
            }),
        ),
        (
            "made-you-reset by data after the end",
            Box::new(|n| {
                [frame(HEADERS, END_STREAM | END_HEADERS, id(n), &head), frame(DATA, 0, id(n), b"x")].concat()
            }),
        ),
        ("malformed heads", Box::new(|n| frame(HEADERS, END_STREAM | END_HEADERS, id(n), &block(&get("healthz"))))),
        (
            "continuations",
            Box::new(|n| if n == 0 { frame(HEADERS, 0, 1, &head) } else { frame(CONTINUATION, 0, 1, &[]) }),
        ),
        (
            "empty data",
            Box::new(|n| if n == 0 { frame(HEADERS, END_HEADERS, 1, &post) } else { frame(DATA, 0, 1, &[]) }),
        ),
        ("pings", Box::new(|_| frame(PING, 0, 0, &[0; 8]))),
        ("settings", Box::new(|_| frame(SETTINGS, 0, 0, &[]))),
        ("priorities", Box::new(|n| frame(PRIORITY, 0, id(n), &[0, 0, 0, 0, 1]))),
        ("window updates", Box::new(|_| frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()))),
        ("unknown frames", Box::new(|_| frame(0xbe, 0, 0, b"x"))),
    ];
    let mut failed = Vec::new();
    for (name, round) in &kinds {
        let before = processor_time(&gateway);
        let mut frames = Frames::open(gateway.public);
        // In large pieces, so that it is the gateway that takes its time.
        for part in 0..50 {
            let bytes: Vec<u8> = (part * 100..(part + 1) * 100).flat_map(round).collect();
            frames.connection.send(bytes);
        }
        let answer = frames.answer(u32::MAX);
        // The reply may be lost where the rest of the flood was never read.
        let ended = matches!(answer, Answered::GoAway(code) if code == ENHANCE_YOUR_CALM || code == 1)
            || answer == Answered::Closed;
        let spent = processor_time(&gateway) - before;
        if !ended || !frames.connection.closes_within(Duration::from_secs(3)) || spent > 1.0 {
            failed.push(format!("{name}: {answer:?}, {spent} s"));
        }
        println!("{name}: {answer:?}, {spent:.2} s of processor time");
    }
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(bystander.get(3, "/healthz").answer(3), Answered::Status(200));
    let upstream = gateway.upstream().requests().len();
    println!("{upstream} requests reached the upstream");
    assert!(upstream < 2000, "{upstream} requests reached the upstream");
    let refused = [("route", "none"), ("reason", "invalid_request")];
    assert!(gateway.metrics().value("scopegate_decisions_total", &refused) >= 5.0);
}

#[test]
fn goaway_reaches_a_client_that_listens() {
    let gateway = spoken();
    let mut frames = Frames::open(gateway.public);
    for _ in 0..1100 {
        frames.send(PING, 0, 0, &[0; 8]);
    }
    frames.assert_goaway(&[ENHANCE_YOUR_CALM]);
}

#[test]
fn a_client_that_works_hard_is_no_flood() {
    let gateway = spoken();
    gateway.upstream().always(Answer::with(200, "", &vec![b'x'; 200_000]));
    let client = crate::harness::http2::Http2Client::open(gateway.public);
    let request = || crate::harness::http2::Http2Client::request("GET", "/healthz", &[]);
    for _ in 0..5 {
        let replies = client.send_all((0..100).map(|_| request()).collect());
        assert!(replies.iter().all(|reply| reply.as_ref().is_ok_and(|reply| reply.body.len() == 200_000)));
    }
}

#[test]
fn more_streams_than_allowed_are_refused_and_may_be_sent_again() {
    let gateway = spoken();
    gateway.upstream().always(Answer::Hang);
    let mut frames = Frames::open(gateway.public);
    for number in 0..101 {
        frames.get(2 * number + 1, "/healthz");
    }
    assert_eq!(frames.answer(201), Answered::Reset(REFUSED_STREAM));
    await_that("all others are upstream", || gateway.upstream().requests().len() == 100);
}

/// Resident memory of the gateway, in bytes.
fn memory(gateway: &Gateway) -> i64 {
    let pid = gateway.pid();
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<i64>().unwrap() * 4096
}

#[test]
fn tiny_header_fields_keep_little_memory() {
    // 150 kB of one-byte fields cost a bare framework 22 to 26 MB: 138 to 173 times what was sent.
    keep_little(&spoken());
}

#[test]
fn tiny_header_fields_keep_little_memory_where_the_upstream_hangs() {
    let gateway = spoken();
    gateway.upstream().always(Answer::Hang);
    keep_little(&gateway);
}

fn keep_little(gateway: &Gateway) {
    // An entry of the dynamic table, then references to it of one byte each.
    let entry = {
        let mut bytes = block(&get("/healthz"));
        bytes.push(0x40);
        bytes.extend([1, b'a', 0]);
        bytes
    };
    let again = block(&get("/healthz"));
    let referring = |first: bool, count: usize| {
        let mut bytes = if first { entry.clone() } else { again.clone() };
        bytes.resize(bytes.len() + count, 0xbe);
        bytes
    };
    // Warm: threads, pools and the allocator's own.
    Frames::open(gateway.public).get(1, "/healthz").answer(3);
    for (name, fields, streams) in [
        ("far more fields than allowed", 1_500, 100),
        ("as many as the list holds", 400, 400),
        ("as many as are allowed", 95, 1_000),
    ] {
        let before = memory(gateway);
        let (mut sent, mut peak) = (0, 0);
        // A window of nothing: no reply can leave.
        let mut connections = Vec::new();
        for _ in 0..5 {
            let connection = gateway.connect().patient_for(Duration::from_millis(20));
            let mut frames = Frames::on(connection, &[(4, 0)]);
            for number in 0..streams {
                let head = referring(number == 0, fields);
                sent += i64::try_from(head.len() + 9).unwrap();
                frames.send(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, &head);
            }
            connections.push(frames);
        }
        let end = Instant::now() + Duration::from_millis(1500);
        while Instant::now() < end {
            peak = peak.max(memory(gateway) - before);
            std::thread::sleep(Duration::from_millis(10));
        }
        println!("{name}: {sent} bytes sent, {peak} bytes kept at most: {} times", peak / sent);
        assert!(peak < 30 * sent, "{name}: {peak} bytes for {sent}");
        drop(connections);
        await_that("nothing is in flight", || gateway.metrics().value("scopegate_in_flight_requests", &[]) <= 0.0);
    }
}
