//! Section 12: what is held for clients that do not take what they asked for, how it is counted, and how it ends.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::harness::{
    Answer, Connection, Gateway, Request, await_that,
    http2::{
        Answered, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PREFACE, RST_STREAM, WINDOW_UPDATE, block, frame, get,
    },
    within,
};

fn figure(gateway: &Gateway, name: &str) -> f64 {
    gateway.metrics().value(name, &[])
}

fn in_flight(gateway: &Gateway) -> f64 {
    figure(gateway, "scopegate_in_flight_requests")
}

fn given_up(gateway: &Gateway) -> f64 {
    gateway.metrics().value("scopegate_rate_limited_total", &[("limit", "reply_buffer")])
}

/// Memory of the gateway, in bytes.
fn memory(gateway: &Gateway) -> i64 {
    i64::try_from(gateway.process().memory()).unwrap()
}

/// Clients that ask for all of this at once and take nothing; and how many bytes they sent.
fn ask(gateway: &Gateway, connections: usize, streams: u32, settings: &[(u16, u32)]) -> (Vec<Frames>, i64) {
    let head = block(&get("/healthz"));
    let requests: Vec<u8> =
        (0..streams).flat_map(|number| frame(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, &head)).collect();
    let open = (0..connections).map(|_| {
        let mut frames = Frames::on(gateway.connect(), settings);
        frames.connection.send(&requests);
        frames
    });
    let sent = connections * (PREFACE.len() + 9 + settings.len() * 6 + requests.len());
    (open.collect(), i64::try_from(sent).unwrap())
}

/// A gateway before a server that answers with so many bytes, warm: threads, pools, and what the allocator keeps.
fn gateway(size: usize) -> Gateway {
    let gateway = Gateway::start(|config| {
        config.plain("h2c: true");
    });
    gateway.upstream().always(Answer::with(200, "", &vec![b'x'; size]));
    let mut clients: Vec<Frames> = (0..60).map(|_| Frames::open(gateway.public)).collect();
    for client in &mut clients {
        client.get(1, "/healthz");
    }
    for client in &mut clients {
        assert_eq!(client.answer(1), Answered::Status(200));
    }
    for _ in 0..20 {
        gateway.send(&Request::get("/healthz")).assert_status(200);
    }
    drop(clients);
    await_that("nobody waits", || figure(&gateway, "scopegate_open_connections") < 0.5);
    gateway
}

#[test]
fn little_is_held_for_streams_without_a_window() {
    let mut failed = Vec::new();
    for size in [1 << 10, 16 << 10, 1 << 20] {
        let gateway = gateway(size);
        let before = memory(&gateway);
        let (idle, _) = ask(&gateway, 60, 0, &[(4, 0)]);
        await_that("all are connected", || figure(&gateway, "scopegate_open_connections") > 59.5);
        println!("{} bytes for each connection alone", (memory(&gateway) - before) / 60);
        drop(idle);
        await_that("nobody is connected", || figure(&gateway, "scopegate_open_connections") < 0.5);
        let before = memory(&gateway);
        let (clients, sent) = ask(&gateway, 60, 100, &[(4, 0)]);
        await_that("replies wait", || figure(&gateway, "scopegate_reply_buffer_bytes") > 0.0);
        let (end, mut peak) = (Instant::now() + Duration::from_secs(4), 0);
        while Instant::now() < end {
            peak = peak.max(memory(&gateway) - before);
            thread::sleep(Duration::from_millis(20));
        }
        println!("replies of {size} bytes: {peak} bytes held at most, {} for each that was sent", peak / sent);
        if peak >= 30 * sent {
            failed.push(format!("{size}: {peak} bytes for {sent}"));
        }
        drop(clients);
        await_that("nothing is in flight", || in_flight(&gateway) < 0.5);
        await_that("nothing waits", || figure(&gateway, "scopegate_reply_buffer_bytes") < 0.5);
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn little_goes_on_waiting_for_a_client_whose_window_is_used_up() {
    for (size, connections, streams, most) in [(1 << 10, 10, 100, 30), (16 << 10, 10, 100, 30), (1 << 20, 10, 20, 400)]
    {
        let gateway = gateway(size);
        let (clients, sent) = ask(&gateway, connections, streams, &[]);
        await_that("replies wait", || figure(&gateway, "scopegate_reply_buffer_bytes") > 0.0);
        let waits = || figure(&gateway, "scopegate_reply_buffer_bytes") / f64::from(i32::try_from(sent).unwrap());
        assert!(within(Duration::from_secs(15), || waits() < f64::from(most)), "{size}: {}", waits());
        println!("replies of {size} bytes: {} bytes wait for each that was sent", waits());
        drop(clients);
        await_that("nothing waits", || figure(&gateway, "scopegate_reply_buffer_bytes") < 0.5);
    }
}

#[test]
fn what_a_reader_of_http_1_may_hold_is_bounded() {
    for (size, most) in [(1 << 10, 128 << 10), (16 << 10, 160 << 10), (1 << 20, 1 << 20), (16 << 20, 1200 << 10)] {
        let gateway = gateway(size);
        let before = memory(&gateway);
        let mut readers: Vec<Connection> = (0..30).map(|_| gateway.connect()).collect();
        for reader in &mut readers {
            reader.send_head(&Request::get("/healthz"));
        }
        await_that("all is read or waits", || {
            let waiting = figure(&gateway, "scopegate_reply_buffer_bytes") > f64::from(30 * (512 << 10));
            waiting || in_flight(&gateway) < 0.5
        });
        let each = (memory(&gateway) - before) / 30;
        println!("replies of {size} bytes: {each} bytes held for each reader");
        assert!(each < most, "replies of {size} bytes: {each} bytes held for each reader");
    }
}

#[test]
fn a_reply_that_its_client_does_not_take_is_a_request_in_flight_until_it_is_given_up() {
    let gateway = Gateway::start(|config| {
        config.plain("h2c: true").limit("send_timeout: 1s");
    });
    let large = vec![b'x'; 1 << 20];
    let cases: [(&str, &str, Answer); 4] = [
        ("a short reply", "/healthz", Answer::json("{}")),
        ("a long reply", "/healthz", Answer::with(200, "", &large)),
        ("a refusal", "/v1/applications", Answer::json("{}")),
        ("an endpoint of our own", "/.well-known/jwks.json", Answer::json("{}")),
    ];
    for (name, path, answer) in cases {
        gateway.upstream().always(answer);
        let mut frames = Frames::on(gateway.connect(), &[(4, 0)]);
        let begin = Instant::now();
        let status = frames.get(1, path).answer(1);
        assert!(matches!(status, Answered::Status(200 | 401)), "{name}: {status:?}");
        assert!(in_flight(&gateway) > 0.5, "{name}");
        let end = frames.answer(1);
        assert!(matches!(end, Answered::Reset(_)), "{name}: {end:?}");
        assert!((800..4000).contains(&begin.elapsed().as_millis()), "{name}: {:?}", begin.elapsed());
        await_that("nothing is in flight", || in_flight(&gateway) < 0.5);
    }
}

#[test]
fn a_client_that_gives_its_windows_late_gets_every_reply() {
    let gateway = Gateway::start(|config| {
        config.plain("h2c: true");
    });
    gateway.upstream().always(Answer::with(200, "", &vec![b'x'; 20_000]));
    let mut frames = Frames::on(gateway.connect(), &[(4, 20_000)]);
    // The window of the connection is used up by the first three.
    for number in 0..60 {
        frames.get(2 * number + 1, "/healthz");
    }
    let (mut ended, mut taken) = (0, 0);
    while ended < 60 {
        let frame = frames.next().unwrap_or_else(|| panic!("only {ended} replies came"));
        assert_ne!(frame.kind, RST_STREAM, "{frame:?}");
        if frame.kind == DATA {
            taken += frame.payload.len();
            ended += usize::from(frame.flags & END_STREAM);
            let window = u32::try_from(frame.payload.len()).unwrap().to_be_bytes();
            if !frame.payload.is_empty() {
                frames.send(WINDOW_UPDATE, 0, 0, &window);
            }
        }
    }
    assert_eq!(taken, 60 * 20_000);
}

#[test]
fn where_too_much_waits_for_clients_those_that_took_nothing_for_longest_are_given_up() {
    let gateway = Gateway::start(|config| {
        config.limit("reply_buffer: 1MiB");
    });
    gateway.upstream().always(Answer::with(200, "", &vec![b'x'; 16 << 20]));
    let mut readers: Vec<Connection> = Vec::new();
    for place in 0..4 {
        let mut reader = gateway.connect();
        reader.send_head(&Request::get("/healthz"));
        await_that("it is upstream", || gateway.upstream().requests().len() > place);
        readers.push(reader);
    }
    await_that("they wait", || figure(&gateway, "scopegate_reply_buffer_bytes") > f64::from(1 << 20));
    gateway.upstream().always(Answer::json("{}"));
    // Meanwhile nobody else is let in, but soon there is room again.
    let status = || gateway.send(&Request::get("/v1/applications")).status;
    assert_eq!(status(), 503);
    assert!(
        within(Duration::from_secs(5), || status() == 401),
        "{} wait",
        figure(&gateway, "scopegate_reply_buffer_bytes")
    );
    assert!(given_up(&gateway) >= 2.0);
    assert!(gateway.log().contains("`limits.reply_buffer` is used up"), "{}", gateway.log());
    // The oldest went first, and what it has of the reply does not look whole.
    assert!(readers.remove(0).try_reply().is_err());
}
