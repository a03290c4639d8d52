use std::{
    collections::VecDeque,
    io::Read,
    os::unix::net::UnixStream,
    sync::{Mutex, PoisonError},
};

use super::*;

/// An output that takes what its script says, call after call, and everything once that is over.
#[derive(Clone, Default)]
struct Scripted {
    script: Arc<Mutex<VecDeque<Step>>>,
    taken: Arc<Mutex<Vec<Vec<u8>>>>,
}

#[derive(Clone, Copy)]
enum Step {
    Take(usize),
    Fail(ErrorKind),
}

use Step::{Fail, Take};

impl Scripted {
    fn new(script: &[Step]) -> Self {
        Self { script: Arc::new(Mutex::new(script.iter().copied().collect())), taken: Arc::default() }
    }

    fn text(&self) -> String {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8(taken.concat()).unwrap()
    }

    fn longest_write(&self) -> usize {
        self.taken.lock().unwrap().iter().map(Vec::len).max().unwrap_or_default()
    }
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let length = match self.script.lock().unwrap().pop_front() {
            Some(Fail(kind)) => return Err(kind.into()),
            Some(Take(most)) => bytes.len().min(most),
            None => bytes.len(),
        };
        self.taken.lock().unwrap().push(bytes[..length].to_vec());
        Ok(length)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn writer<W: Write + Send + 'static>(output: W, portion: Portion) -> (Writer<W>, Arc<Sink>) {
    let sink = Sink::new("access_log", 1 << 20);
    let sinks = vec![Reported { sink: Arc::clone(&sink), lost: 0, failing: false }];
    (Writer { output, portion, sinks, rest: Vec::new() }, sink)
}

/// Three batches of three lines each, and what became of them.
fn three_batches(script: &[Step]) -> (String, u64) {
    let output = Scripted::new(script);
    let (mut writer, sink) = writer(output.clone(), Portion::Any);
    for batch in 0..3 {
        for line in 0..3 {
            sink.append(format!("{batch}{line}\n").as_bytes());
        }
        writer.write_out(0, &mut Vec::new());
    }
    (output.text().replace('\n', " ").trim_end().to_owned(), sink.lost())
}

#[test]
fn no_line_joins_another_and_each_lost_one_is_counted() {
    let full = Fail(ErrorKind::StorageFull);
    let gone = Fail(ErrorKind::BrokenPipe);
    for (what, script, text, lost) in [
        ("all is well", &[][..], "00 01 02 10 11 12 20 21 22", 0),
        ("short writes", &[Take(1), Take(4), Take(2)], "00 01 02 10 11 12 20 21 22", 0),
        ("an interruption", &[Take(4), Fail(ErrorKind::Interrupted)], "00 01 02 10 11 12 20 21 22", 0),
        ("an output that would block", &[Take(4), Fail(ErrorKind::WouldBlock)], "00 01 02 10 11 12 20 21 22", 0),
        ("full before a batch", &[full], "10 11 12 20 21 22", 3),
        ("full between two lines", &[Take(3), full], "00 10 11 12 20 21 22", 2),
        ("full within a line", &[Take(4), full], "00 01 10 11 12 20 21 22", 1),
        ("full before the last line feed", &[Take(8), full], "00 01 02 10 11 12 20 21 22", 0),
        ("full for two batches, within a line", &[Take(4), full, full], "00 01 20 21 22", 4),
        ("full again within the rest", &[Take(4), full, Take(1), full], "00 01 20 21 22", 4),
        ("full for ever", &[full, full, full], "", 9),
        ("an output that takes nothing", &[Take(0)], "10 11 12 20 21 22", 3),
        ("nobody reads any more", &[gone, gone, gone], "", 9),
        ("another reader after a line that was cut", &[Take(4), gone], "00 01 10 11 12 20 21 22", 2),
        ("an error of the disk", &[Fail(ErrorKind::Other)], "10 11 12 20 21 22", 3),
    ] {
        assert_eq!(three_batches(script), (text.to_owned(), lost), "{what}");
    }
}

#[test]
fn a_pipe_is_given_whole_lines_in_pieces_that_are_never_split() {
    let output = Scripted::default();
    let (mut writer, sink) = writer(output.clone(), Portion::Atomic);
    let line = |letter: &str, length: usize| format!("{}\n", letter.repeat(length - 1));
    let lines = [line("a", 1000), line("b", 3096), line("c", 2000), line("d", 5000), line("e", 4096), line("f", 1)];
    for line in &lines {
        sink.append(line.as_bytes());
    }
    writer.write_out(0, &mut Vec::new());
    let taken = output.taken.lock().unwrap().clone();
    let lengths: Vec<usize> = taken.iter().map(Vec::len).collect();
    assert_eq!(lengths, [4096, 2000, 5000, 4096, 1], "a line that is too long goes alone");
    assert!(taken.iter().all(|piece| piece.ends_with(b"\n")));
    assert_eq!(taken.concat(), lines.concat().as_bytes());
    assert_eq!((output.longest_write(), sink.lost()), (5000, 0));
}

/// An output that nobody reads takes what fits into its buffer, and then nothing.
#[test]
fn whoever_logs_never_waits_and_what_does_not_fit_is_counted() {
    let (output, reader) = UnixStream::pair().unwrap();
    let sink = Sink::new("diagnostics", 64 * 1024);
    Writer::start(output, Portion::Atomic, &[Arc::clone(&sink)]);
    let line = format!("{}\n", "x".repeat(99));
    let appended = 20_000;
    // 2 MB: far more than the buffer of the socket and the queue hold. That this comes to an end is the test.
    for _ in 0..appended {
        sink.append(line.as_bytes());
        sink.wake();
    }
    sink.flush(Duration::from_millis(10));
    let lost = sink.lost();
    assert!(lost > appended / 2, "{lost}");
    let read = thread::spawn(move || {
        let (mut reader, mut text) = (reader, String::new());
        reader.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut part = vec![0; 65536];
        while let Ok(length @ 1..) = reader.read(&mut part) {
            text.push_str(std::str::from_utf8(&part[..length]).unwrap());
        }
        text
    });
    sink.flush(Duration::from_secs(10));
    assert_eq!(sink.lost(), lost, "nothing more was lost");
    let text = read.join().unwrap();
    assert!(text.lines().all(|whole| whole.len() == 99), "each line is whole");
    assert_eq!(text.lines().count() as u64 + lost, appended);
}

#[test]
fn flush_waits_for_what_was_logged() {
    let output = Scripted::default();
    let (first, second) = (Sink::new("diagnostics", 1 << 20), Sink::new("access_log", 1 << 20));
    Writer::start(output.clone(), Portion::Any, &[Arc::clone(&first), Arc::clone(&second)]);
    for round in 0..50 {
        first.append(format!("first {round}\n").as_bytes());
        second.append(format!("second {round}\n").as_bytes());
        second.flush(Duration::from_secs(10));
        first.flush(Duration::from_secs(10));
        assert_eq!(output.text().lines().count(), 2 * (round + 1));
    }
}
