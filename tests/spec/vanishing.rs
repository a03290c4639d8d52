//! Section 12: clients that leave in the middle of a request, ten thousand of them, take nothing with them.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use crate::harness::{
    Answer, Connection, Gateway, Request, await_that,
    http2::{Answered, END_HEADERS, Frames, HEADERS, block, frame, get},
};

/// How a client leaves.
#[derive(Clone, Copy, Debug)]
enum Leave {
    /// With a reset.
    Reset,
    /// It says that it will send nothing more, and waits until the gateway has had enough.
    HalfClose,
    /// It closes both ways, and reads nothing.
    Close,
}

fn leave(mut connection: Connection, how: Leave) {
    match how {
        Leave::Reset => socket2::SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO)).unwrap(),
        Leave::HalfClose => connection.finish_sending().assert_closed(),
        Leave::Close => {}
    }
}

/// What the gateway holds.
#[derive(Debug)]
struct Held {
    descriptors: usize,
    memory: u64,
}

impl Held {
    /// Waits until nothing is under way. Connections upstream that can be used again stay, as many as there were requests
    /// side by side.
    fn at_rest(gateway: &Gateway, side_by_side: usize) -> Self {
        let gauge = |name| gateway.metrics().value(name, &[]);
        await_that("nothing is in flight", || gauge("scopegate_in_flight_requests") < 0.5);
        await_that("nobody is connected", || gauge("scopegate_open_connections") < 0.5);
        await_that("few connections lead upstream", || gateway.upstream().open_connections() <= side_by_side);
        gateway.upstream().drop_connections();
        await_that("none leads upstream", || gateway.upstream().open_connections() == 0);
        gateway.upstream().forget();
        Self { descriptors: gateway.descriptors(), memory: gateway.process().memory() }
    }
}

/// Lets `count` clients vanish, each with this many requests, after a first tenth of them, and compares what is held.
fn assert_nothing_stays(gateway: &Gateway, count: usize, requests: usize, vanish: impl Fn(usize) + Sync) {
    let all = |count: usize| {
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= count {
                    return;
                }
                vanish(number);
            }
        };
        thread::scope(|scope| (0..SIDE_BY_SIDE).for_each(|_| drop(scope.spawn(work))));
    };
    all(count / 10);
    let first = Held::at_rest(gateway, SIDE_BY_SIDE * requests);
    // What stays behind grows with each round; what the allocator keeps for as many as met on a busy machine does not.
    let mut rounds = vec![first.memory];
    while rounds.len() <= MOST_ROUNDS {
        all(count);
        // The connection of the last scrape may be open still.
        await_that("descriptors are back", || {
            Held::at_rest(gateway, SIDE_BY_SIDE * requests).descriptors <= first.descriptors + 1
        });
        rounds.push(Held::at_rest(gateway, SIDE_BY_SIDE * requests).memory);
        if rounds[rounds.len() - 1] < rounds[rounds.len() - 2] + MOST_GROWTH {
            break;
        }
    }
    assert!(rounds[rounds.len() - 1] < rounds[rounds.len() - 2] + MOST_GROWTH, "it grows with each round: {rounds:?}");
    gateway.send(&Request::get("/healthz")).assert_status(200);
}

#[test]
fn ten_thousand_clients_that_vanish_within_a_request_leave_nothing_behind() {
    // N2
    let gateway = Gateway::start(|_| {});
    let token = gateway.token("application");
    let post = Request::post("/v1/any/x").bearer(&token).body(vec![b'x'; 1000]);
    let host = gateway.public.to_string();
    let (head, whole) = (post.head(&host), Request::get("/healthz").bytes(&host));
    let chunked = b"POST /v1/any/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nAuthorization: Bearer ";
    let chunked = [&chunked[..], token.as_bytes(), b"\r\n\r\n5\r\nab"].concat();
    // Before a byte, within a head, before a body, within one, and while the reply is on its way.
    let parts: [&[u8]; 5] = [b"", &head[..head.len() / 2], &head, &chunked, &whole];
    let ways = [Leave::Reset, Leave::HalfClose, Leave::Reset, Leave::Close];
    assert_nothing_stays(&gateway, 10_000, 1, |number| {
        let mut connection = gateway.connect();
        connection.send(parts[number % parts.len()]);
        leave(connection, ways[number / parts.len() % ways.len()]);
    });
}

#[test]
fn clients_that_vanish_while_their_server_thinks_leave_nothing_behind() {
    // N2
    let gateway = Gateway::start(|_| {});
    gateway.upstream().always(Answer::Hang);
    let before = gateway.descriptors();
    for number in 0..500 {
        let mut connection = gateway.connect();
        connection.send_head(&Request::get("/healthz"));
        await_that("it is upstream", || gateway.upstream().connections() > number);
        leave(connection, if number % 2 == 0 { Leave::Reset } else { Leave::Close });
    }
    await_that("nothing is in flight", || gateway.metrics().value("scopegate_in_flight_requests", &[]) < 0.5);
    await_that("none leads upstream", || gateway.upstream().open_connections() == 0);
    await_that("descriptors are back", || gateway.descriptors() <= before + 1);
}

#[test]
fn http2_clients_that_vanish_with_open_streams_leave_nothing_behind() {
    // N2
    let gateway = Gateway::start(|config| {
        // So many begin at once that a busy machine takes a while to connect.
        config.plain("h2c: true").route("{match: POST /post, public: true}").timeout("connect: 5s");
    });
    let post = block(&[(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/post")]);
    let get = block(&get("/healthz"));
    let ways = [Leave::Reset, Leave::HalfClose, Leave::Close];
    assert_nothing_stays(&gateway, 500, 20, |number| {
        let mut frames = Frames::open(gateway.public);
        let mut bytes = Vec::new();
        for stream in 0..20_u32 {
            // Bodies that never end, and whole requests whose replies nobody reads.
            let (flags, block) = if stream % 2 == 0 { (0, &post) } else { (1, &get) };
            bytes.extend(frame(HEADERS, END_HEADERS | flags, 2 * stream + 1, block));
        }
        // The last one is cut.
        bytes.truncate(bytes.len() - number % 2 * 5);
        frames.connection.send(bytes);
        if number % 4 == 0 {
            assert_eq!(frames.answer(3), Answered::Status(200));
        }
        leave(frames.connection, ways[number % ways.len()]);
    });
}

/// How often as many more are let vanish before growth counts as a leak.
const MOST_ROUNDS: usize = 3;
/// How many vanish at the same moment.
const SIDE_BY_SIDE: usize = 8;
/// What the allocator may keep of ten thousand clients, in bytes: much less than 1 KiB of each.
const MOST_GROWTH: u64 = 6 * 1024 * 1024;
