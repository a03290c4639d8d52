//! Sections 10 and 14: the logs stop no request and no signal, whatever becomes of where they are written to; no line is
//! cut or joined, and each that is lost is counted.

use std::{
    fs::{self, OpenOptions},
    io::{PipeReader, PipeWriter, Read, Write, pipe},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::Stdio,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::harness::{Answer, Connection, Gateway, Mounted, Request, await_that, each_row};

/// How soon a gateway without requests ends, though its outputs take nothing.
const END: Duration = Duration::from_secs(5);
/// What a pipe holds that was not told otherwise (pipe(7)).
const PIPE: usize = 65_536;

/// A pipe that takes nothing more, and the end at which nobody reads.
fn blocked() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(&vec![b' '; PIPE]).unwrap();
    (reader, writer)
}

/// A token and `count` good requests on each of four connections; how many lines of the access log that should make.
fn send(gateway: &Gateway, count: usize) -> usize {
    let token = gateway.token("application");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut connection = Connection::open(gateway.public);
                for _ in 0..count {
                    let reply = connection.exchange(&Request::get("/v1/any/logged").bearer(&token));
                    reply.assert_status(200);
                }
            });
        }
    });
    4 * count + 1
}

/// The same, with requests that each make the gateway warn: behind the reply to each comes a byte that belongs to none.
fn send_with_warnings(gateway: &Gateway, count: usize) -> usize {
    let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokX".to_vec();
    gateway.upstream().always(Answer::Bytes(reply));
    send(gateway, count)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
fn lost(gateway: &Gateway, sink: &str) -> usize {
    gateway.metrics().value("scopegate_log_lines_lost_total", &[("sink", sink)]) as usize
}

/// What is read from an output as it comes.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    fn of(mut reader: impl Read + Send + 'static) -> Self {
        let read = Self::default();
        let output = read.clone();
        thread::spawn(move || {
            let mut part = vec![0; 65_536];
            while let Ok(length @ 1..) = reader.read(&mut part) {
                output.0.lock().unwrap().extend_from_slice(&part[..length]);
            }
        });
        read
    }

    /// The lines so far that have an end.
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        lines(text.rsplit_once('\n').map_or("", |(whole, _)| whole))
    }
}

/// Every line is one JSON object.
#[track_caller]
fn lines(log: &str) -> Vec<Value> {
    let line = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    log.lines().map(line).collect()
}

/// Where both outputs of a gateway lead, and what must stay open meanwhile.
type Outputs = (Vec<PipeReader>, Stdio, Stdio);

#[test]
fn outputs_that_nobody_reads_stop_no_request_and_no_signal() {
    let rows: [(&str, fn() -> Outputs); 4] = [
        ("standard error", || {
            let (reader, writer) = blocked();
            (vec![reader], Stdio::null(), writer.into())
        }),
        ("standard output", || {
            let (reader, writer) = blocked();
            (vec![reader], writer.into(), Stdio::null())
        }),
        ("both, the same pipe", || {
            let (reader, writer) = blocked();
            (vec![reader], writer.try_clone().unwrap().into(), writer.into())
        }),
        ("each a pipe of its own", || {
            let ((out_reader, out), (err_reader, err)) = (blocked(), blocked());
            (vec![out_reader, err_reader], out.into(), err.into())
        }),
    ];
    each_row(
        &rows,
        |row| row.0.to_owned(),
        |(_, outputs)| {
            let mut gateway = Gateway::start(|_| {});
            let (_unread, out, err) = outputs();
            gateway.restart_into(out, err);
            send_with_warnings(&gateway, 100);
            gateway.signal("TERM");
            let status = gateway.ends_within(END);
            assert!(status.is_some_and(|status| status.success()), "{status:?}");
        },
    );
}

#[test]
fn a_gateway_that_cannot_start_ends_though_nobody_reads_why() {
    let mut gateway = Gateway::start(|_| {});
    gateway.kill();
    let taken = std::net::TcpListener::bind(gateway.public).unwrap();
    let good = fs::read_to_string(gateway.file()).unwrap();
    for (what, file) in [("a port that is taken", good.as_str()), ("a file that is wrong", "routes: 1\n")] {
        fs::write(gateway.file(), file).unwrap();
        let (_unread, err) = blocked();
        gateway.launch_into(Stdio::null(), err);
        let status = gateway.ends_within(END);
        assert!(status.is_some_and(|status| status.code() == Some(1)), "{what}: {status:?}");
    }
    drop(taken);
}

#[test]
fn what_waits_is_bounded_and_what_was_lost_is_said_once_it_flows_again() {
    let mut gateway = Gateway::start(|_| {});
    let ((mut out_reader, out), (mut err_reader, err)) = (blocked(), blocked());
    gateway.restart_into(out, err);
    let (before, mut sent) = (gateway.process().memory(), 0);
    while lost(&gateway, "diagnostics") < 100 {
        sent += send_with_warnings(&gateway, 500);
        assert!(sent < 40_000, "nothing is lost: it all waits");
    }
    let more = gateway.process().memory().saturating_sub(before);
    assert!(more < 32 << 20, "{more} bytes more");
    // What filled the pipes comes first.
    for reader in [&mut out_reader, &mut err_reader] {
        reader.read_exact(&mut vec![0; PIPE]).unwrap();
    }
    let (out, err) = (Output::of(out_reader), Output::of(err_reader));
    await_that("each request is a line, or lost", || out.lines().len() + lost(&gateway, "access_log") == sent);
    let said = |line: &Value| line["fields"]["lines"].as_u64().filter(|_| line["fields"]["sink"] == "diagnostics");
    await_that("it is said how many lines were lost", || {
        err.lines().iter().filter_map(said).sum::<u64>() == lost(&gateway, "diagnostics") as u64
    });
}

#[test]
fn two_outputs_that_are_one_pipe_do_not_write_into_each_others_lines() {
    let mut gateway = Gateway::start(|_| {});
    let (reader, writer) = pipe().unwrap();
    gateway.restart_into(writer.try_clone().unwrap(), writer);
    let output = Output::of(reader);
    let sent = send_with_warnings(&gateway, 250);
    let count = |member: &str| output.lines().iter().filter(|line| line.get(member).is_some()).count();
    await_that("all requests are told", || count("request_id") == sent);
    assert!(count("fields") >= 4 * 250, "{} lines of diagnostics", count("fields"));
}

#[test]
fn every_line_that_an_output_does_not_take_is_counted() {
    let mut gateway = Gateway::start(|_| {});
    let rows: [(&str, fn() -> Stdio); 3] = [
        ("a device that is full", || OpenOptions::new().write(true).open("/dev/full").unwrap().into()),
        ("a pipe whose reader has gone", || pipe().unwrap().1.into()),
        ("a socket whose reader has gone", || OwnedFd::from(UnixStream::pair().unwrap().0).into()),
    ];
    for (what, output) in rows {
        gateway.restart_into(output(), Stdio::null());
        let sent = send(&gateway, 500);
        await_that(what, || lost(&gateway, "access_log") >= sent);
        assert_eq!(lost(&gateway, "access_log"), sent, "{what}");
        assert!((gateway.metrics().value("scopegate_access_log_dropped_total", &[]) - 2001.0).abs() < 0.5);
    }
}

#[test]
fn a_disk_that_fills_up_cuts_no_line_and_joins_none() {
    let Some(disk) = Mounted::of_size("256k") else { return };
    let mut gateway = Gateway::start(|_| {});
    let path = disk.path().join("access.log");
    let log = OpenOptions::new().create(true).append(true).open(&path).unwrap();
    gateway.restart_into(log, Stdio::null());
    let mut sent = send(&gateway, 10);
    for _ in 0..3 {
        let (ballast, before) = (disk.fill(), lost(&gateway, "access_log"));
        sent += send(&gateway, 25);
        await_that("lines are lost", || lost(&gateway, "access_log") > before);
        fs::remove_file(ballast).unwrap();
        sent += send(&gateway, 25);
    }
    let whole =
        || fs::read_to_string(&path).unwrap().rsplit_once('\n').map_or(String::new(), |(whole, _)| whole.to_owned());
    await_that("each request is a line, or lost", || whole().lines().count() + lost(&gateway, "access_log") == sent);
    assert_eq!(lines(&whole()).len() + lost(&gateway, "access_log"), sent);
}

#[test]
fn what_was_logged_last_is_written_before_the_end() {
    let mut gateway = Gateway::start(|_| {});
    let id = gateway.send(&Request::get("/nope")).json()["request_id"].as_str().unwrap().to_owned();
    gateway.signal("TERM");
    assert!(gateway.ends_within(END).is_some_and(|status| status.success()));
    assert!(gateway.log().contains(&id) && gateway.log().contains("stopping"), "{}", gateway.log());
}
