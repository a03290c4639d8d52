use std::{
    collections::{BTreeMap, VecDeque},
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{Recorded, await_that, http::find, reserve};

/// What the upstream does with a request.
#[derive(Clone)]
pub enum Answer {
    /// These bytes, once the whole request has arrived.
    Bytes(Vec<u8>),
    /// These bytes, once the head has arrived; then it goes on reading.
    Early(Vec<u8>),
    /// These bytes, then the end of the connection.
    ThenClose(Vec<u8>),
    /// These bytes, then a reset of the connection.
    ThenReset(Vec<u8>),
    /// These bytes, and a while later the end of the connection, whatever has arrived meanwhile.
    Lasting(Vec<u8>, Duration),
    /// Nothing, ever.
    Hang,
    /// The connection ends without a byte if it had carried a request before; otherwise the usual answer.
    CloseIfReused,
    /// What the test sends through [`Steps`], as it sends it.
    Stepwise(Arc<Mutex<Receiver<Option<Vec<u8>>>>>),
}

impl Answer {
    /// 200 with this JSON.
    pub fn json(body: &str) -> Self {
        Self::with(200, "Content-Type: application/json\r\n", body.as_bytes())
    }

    /// A reply with a length and these header lines.
    pub fn with(status: u16, lines: &str, body: &[u8]) -> Self {
        let mut bytes =
            format!("HTTP/1.1 {status} Answer\r\n{lines}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(body);
        Self::Bytes(bytes)
    }

    /// An answer that the test writes piece by piece.
    pub fn stepwise() -> (Self, Steps) {
        let (sender, receiver) = channel();
        (Self::Stepwise(Arc::new(Mutex::new(receiver))), Steps(sender))
    }
}

/// The writing end of a stepwise answer; dropping it ends the answer, not the connection.
pub struct Steps(Sender<Option<Vec<u8>>>);

impl Steps {
    pub fn send(&self, bytes: impl AsRef<[u8]>) {
        self.0.send(Some(bytes.as_ref().to_vec())).unwrap();
    }

    /// False if nobody listens any more.
    pub fn try_send(&self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.send(Some(bytes.as_ref().to_vec())).is_ok()
    }

    pub fn close(&self) {
        self.0.send(None).unwrap();
    }
}

#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<Recorded>>,
    raw: Mutex<Vec<u8>>,
    once: Mutex<VecDeque<Answer>>,
    always: Mutex<Option<Answer>>,
    /// Those that are open, by their number.
    streams: Mutex<BTreeMap<usize, TcpStream>>,
    connections: AtomicUsize,
    stopped: AtomicBool,
}

/// An HTTP/1.1 server that keeps every byte it gets.
pub struct Upstream {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

/// The place of a server that has stopped. Nobody else is given it.
pub struct Vacant {
    pub address: SocketAddr,
    _reserved: socket2::Socket,
}

impl Vacant {
    /// Starts a server there.
    pub fn start(&self) -> Upstream {
        Upstream::on(TcpListener::bind(self.address).expect("the port is kept"))
    }
}

impl Upstream {
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap())
    }

    pub fn start_at(address: SocketAddr) -> Self {
        Self::on(TcpListener::bind(address).expect("a free port"))
    }

    pub fn on(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let server = Arc::clone(&shared);
        let accepting = Some(thread::spawn(move || accept(&listener, &server)));
        Self { address, shared, accepting }
    }

    /// Stops it: from here on nobody gets a connection.
    pub fn stop(self) -> Vacant {
        let address = self.address;
        drop(self);
        Vacant { address, _reserved: reserve(address) }
    }

    /// Answers every request like this from now on.
    pub fn always(&self, answer: Answer) {
        *self.shared.always.lock().unwrap() = Some(answer);
    }

    /// Answers the next request like this; several calls queue up.
    pub fn once(&self, answer: Answer) {
        self.shared.once.lock().unwrap().push_back(answer);
    }

    pub fn requests(&self) -> Vec<Recorded> {
        self.lock_requests().clone()
    }

    /// The one request that arrived, awaited until it is whole.
    #[track_caller]
    pub fn request(&self) -> Recorded {
        await_that("one whole request upstream", || self.lock_requests().last().is_some_and(|last| last.complete));
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:#?}");
        requests.remove(0)
    }

    /// Forgets what it saw.
    pub fn forget(&self) {
        self.lock_requests().clear();
        self.shared.raw.lock().unwrap().clear();
    }

    /// Every byte received, over all connections.
    pub fn raw(&self) -> Vec<u8> {
        self.shared.raw.lock().unwrap().clone()
    }

    /// All that were ever made.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    pub fn open_connections(&self) -> usize {
        self.shared.streams.lock().unwrap().len()
    }

    /// Ends every connection that is open now.
    pub fn drop_connections(&self) {
        for stream in self.shared.streams.lock().unwrap().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    #[track_caller]
    pub fn assert_untouched(&self) {
        let raw = self.raw();
        assert!(raw.is_empty(), "the upstream saw {:?}", String::from_utf8_lossy(&raw));
    }

    fn lock_requests(&self) -> MutexGuard<'_, Vec<Recorded>> {
        self.shared.requests.lock().unwrap()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let accepting = self.accepting.take().expect("it is stopped once");
        // Whoever connected before the listener is closed would be reset.
        while !accepting.is_finished() {
            let _ = TcpStream::connect_timeout(&self.address, Duration::from_millis(100));
            thread::yield_now();
        }
        self.drop_connections();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().flatten() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        let _ = stream.set_nodelay(true);
        shared.streams.lock().unwrap().extend(stream.try_clone().map(|stream| (number, stream)));
        let mut connection = Served { stream, shared: Arc::clone(shared), buffer: Vec::new(), number, reset: false };
        thread::spawn(move || {
            let mut place = 0;
            while connection.serve_one(place).is_some() {
                place += 1;
            }
            connection.shared.streams.lock().unwrap().remove(&number);
            if !connection.reset {
                let _ = connection.stream.shutdown(Shutdown::Both);
            }
        });
    }
}

struct Served {
    stream: TcpStream,
    shared: Arc<Shared>,
    buffer: Vec<u8>,
    number: usize,
    /// Whether the connection ends with a reset.
    reset: bool,
}

impl Served {
    /// Reads and answers one request; `None` when the connection has ended.
    fn serve_one(&mut self, place: usize) -> Option<()> {
        let head = self.read_until(b"\r\n\r\n")?;
        let request = Recorded::parse(head, self.number, place);
        let (chunked, length) = request.framing();
        let index = {
            let mut requests = self.shared.requests.lock().unwrap();
            requests.push(request);
            requests.len() - 1
        };
        let answer = self.next_answer();
        if let Answer::Early(bytes) = &answer {
            self.stream.write_all(bytes).ok()?;
        }
        if chunked {
            self.read_chunked(index)?
        } else {
            self.read_length(index, length)?
        }
        self.edit(index, |request| request.complete = true);
        self.answer(answer, place)
    }

    fn next_answer(&self) -> Answer {
        let once = self.shared.once.lock().unwrap().pop_front();
        once.or_else(|| self.shared.always.lock().unwrap().clone()).unwrap_or_else(|| Answer::json(r#"{"ok":true}"#))
    }

    fn answer(&mut self, answer: Answer, place: usize) -> Option<()> {
        match answer {
            Answer::Early(_) => Some(()),
            Answer::Bytes(bytes) => self.stream.write_all(&bytes).ok(),
            Answer::ThenClose(bytes) => {
                let _ = self.stream.write_all(&bytes);
                None
            }
            Answer::ThenReset(bytes) => {
                let _ = self.stream.write_all(&bytes);
                self.reset();
                None
            }
            Answer::Lasting(bytes, time) => {
                let _ = self.stream.write_all(&bytes);
                thread::sleep(time);
                None
            }
            Answer::Hang => {
                self.fill();
                None
            }
            Answer::CloseIfReused if place > 0 => None,
            Answer::CloseIfReused => self.answer(Answer::json(r#"{"ok":true}"#), place),
            Answer::Stepwise(steps) => {
                for step in steps.lock().unwrap().iter() {
                    self.stream.write_all(&step?).ok()?;
                }
                Some(())
            }
        }
    }

    /// Makes the end of the connection a reset.
    fn reset(&mut self) {
        // What was written goes out first: a reset overtakes it.
        thread::sleep(Duration::from_millis(20));
        self.shared.streams.lock().unwrap().remove(&self.number);
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
        self.reset = true;
    }

    fn read_length(&mut self, index: usize, length: usize) -> Option<()> {
        let mut left = length;
        while left > 0 {
            if self.buffer.is_empty() {
                self.fill()?;
            }
            let part: Vec<u8> = self.buffer.drain(..left.min(self.buffer.len())).collect();
            left -= part.len();
            self.edit(index, |request| request.body.extend_from_slice(&part));
        }
        Some(())
    }

    fn read_chunked(&mut self, index: usize) -> Option<()> {
        loop {
            let line = self.read_until(b"\r\n")?;
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            let size = usize::from_str_radix(line.split(';').next()?, 16).ok()?;
            if size == 0 {
                while self.read_until(b"\r\n")?.len() > 2 {}
                return Some(());
            }
            self.read_length(index, size)?;
            self.read_until(b"\r\n")?;
        }
    }

    fn read_until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.buffer, mark) {
                return Some(self.buffer.drain(..at + mark.len()).collect());
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Option<()> {
        let mut part = [0; 16 * 1024];
        let count = self.stream.read(&mut part).ok().filter(|count| *count > 0)?;
        self.buffer.extend_from_slice(&part[..count]);
        self.shared.raw.lock().unwrap().extend_from_slice(&part[..count]);
        Some(())
    }

    /// Changes a recorded request, unless the test has forgotten it meanwhile.
    fn edit(&self, index: usize, change: impl FnOnce(&mut Recorded)) {
        let mut requests = self.shared.requests.lock().unwrap();
        if let Some(request) = requests.get_mut(index).filter(|request| request.connection == self.number) {
            change(request);
        }
    }
}
