//! A crowd of clients that accounts for each request.
//!
//! One thread has them all, in an epoll(7) loop: a client that thinks costs
//! nothing, so that a machine with two processors can tell the server's
//! latency from its own. A client does what a careful HTTP client does, and no
//! more: it closes when it was told to, it never sends a request twice, and
//! what is sent on a kept connection and gets no answer counts as lost.

use super::ledger::{Fate, Fault, Ledger};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How a client uses its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// A connection for each request.
    Fresh,
    /// As many requests on a connection as the server grants.
    KeepAlive,
}

/// Who asks, for what, and how.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    /// The right answer.
    pub(crate) body: Vec<u8>,
    pub(crate) habit: Habit,
    pub(crate) clients: usize,
    /// How long a client thinks between an answer and the next request.
    pub(crate) think: Range<Duration>,
    /// How long it waits for an answer.
    pub(crate) patience: Duration,
    /// The server's: it may close what has been idle for so long.
    pub(crate) keepalive: Duration,
    /// Where the thinking times come from.
    pub(crate) seed: u64,
}

/// Clients at work, until [`Crowd::stop`].
pub(crate) struct Crowd {
    over: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    thread: JoinHandle<Ledger>,
}

impl Crowd {
    pub(crate) fn start(manners: Manners) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let served = Arc::new(AtomicU64::new(0));
        let scene = Scene::new(manners, Arc::clone(&over), Arc::clone(&served));
        Self {
            over,
            served,
            thread: std::thread::spawn(move || scene.run()),
        }
    }

    /// Requests served so far.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Waits until `count` more requests have been served.
    pub(crate) fn wait_for(&self, count: u64) {
        let goal = self.served() + count;
        super::eventually("requests are served", super::SOON, || {
            (self.served() >= goal).then_some(())
        });
    }

    /// Lets every client end what it has begun; the accounts.
    pub(crate) fn stop(self) -> Ledger {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// What a client is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing, until then; a connection it may have stays.
    Thinking {
        until: Instant,
    },
    Connecting,
    Sending,
    Receiving,
    Gone,
}

struct Client {
    stage: Stage,
    socket: Option<Socket>,
    name: Option<SocketAddr>,
    /// Requests answered on this connection.
    answered: u32,
    /// When the request began, or the last one ended.
    since: Instant,
    sent: usize,
    received: Vec<u8>,
}

struct Scene {
    manners: Manners,
    request: Vec<u8>,
    clients: Vec<Client>,
    epoll: Epoll,
    over: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    ledger: Ledger,
    random: u64,
}

/// How often it is seen that the crowd shall stop.
const LOOK: Duration = Duration::from_millis(20);
/// A client that was let down pauses so long before it comes again.
const REST: Duration = Duration::from_millis(5);
/// By how much a server may be early with the end of a kept connection.
const TOLERANCE: Duration = Duration::from_millis(50);

impl Scene {
    fn new(manners: Manners, over: Arc<AtomicBool>, served: Arc<AtomicU64>) -> Self {
        let close = match manners.habit {
            Habit::Fresh => "Connection: close\r\n",
            Habit::KeepAlive => "",
        };
        let request = format!("GET {} HTTP/1.1\r\nHost: test\r\n{close}\r\n", manners.path);
        let now = Instant::now();
        let client = |_| Client {
            stage: Stage::Thinking { until: now },
            socket: None,
            name: None,
            answered: 0,
            since: now,
            sent: 0,
            received: Vec::new(),
        };
        Self {
            clients: (0..manners.clients).map(client).collect(),
            request: request.into_bytes(),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap(),
            over,
            served,
            ledger: Ledger::default(),
            random: manners.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            manners,
        }
    }

    fn run(mut self) -> Ledger {
        // Nobody begins at the same moment.
        for index in 0..self.clients.len() {
            self.think(index);
        }
        let mut events = vec![EpollEvent::empty(); 256];
        while self.clients.iter().any(|one| one.stage != Stage::Gone) {
            let count = self.epoll.wait(&mut events, self.patience()).unwrap_or(0);
            for event in &events[..count] {
                self.advance(event.data() as usize);
            }
            let over = self.over.load(Ordering::Relaxed);
            let now = Instant::now();
            for index in 0..self.clients.len() {
                let client = &mut self.clients[index];
                match client.stage {
                    Stage::Thinking { .. } if over => {
                        client.socket = None;
                        client.stage = Stage::Gone;
                    }
                    Stage::Thinking { until } if until <= now => self.begin(index),
                    Stage::Connecting | Stage::Sending | Stage::Receiving
                        if now - client.since >= self.manners.patience =>
                    {
                        let detail = format!("{:?}", client.stage);
                        self.fail(index, Fate::TimedOut, detail);
                    }
                    Stage::Thinking { .. }
                    | Stage::Connecting
                    | Stage::Sending
                    | Stage::Receiving
                    | Stage::Gone => {}
                }
            }
        }
        self.ledger
    }

    fn patience(&self) -> EpollTimeout {
        let now = Instant::now();
        let due = |client: &Client| match client.stage {
            Stage::Thinking { until } => Some(until.saturating_duration_since(now)),
            Stage::Connecting | Stage::Sending | Stage::Receiving | Stage::Gone => None,
        };
        let next = self
            .clients
            .iter()
            .filter_map(due)
            .fold(LOOK, Duration::min);
        EpollTimeout::from(next.as_micros().div_ceil(1000) as u16)
    }

    fn think(&mut self, index: usize) {
        // xorshift64: good enough to keep clients apart.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let Range { start, end } = self.manners.think;
        let share = (self.random % 1024) as u32;
        let until = Instant::now() + start + (end - start) * share / 1024;
        self.clients[index].stage = Stage::Thinking { until };
    }

    /// A request: on the connection that there is, or on a new one.
    fn begin(&mut self, index: usize) {
        let client = &mut self.clients[index];
        client.since = Instant::now();
        client.sent = 0;
        client.received.clear();
        if client.socket.is_some() {
            client.stage = Stage::Sending;
            return self.advance(index);
        }
        client.answered = 0;
        client.stage = Stage::Connecting;
        if let Err(error) = self.connect(index) {
            return self.fail_with(index, &error, "connect");
        }
        self.advance(index);
    }

    fn connect(&mut self, index: usize) -> io::Result<()> {
        let address = self.manners.address;
        let kind = Type::STREAM.nonblocking();
        let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(nix::libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let client = &mut self.clients[index];
        client.name = socket.local_addr().ok().and_then(|name| name.as_socket());
        // Edge-triggered: told once of each change, and each is looked at to its end.
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        self.epoll
            .add(&socket, EpollEvent::new(flags, index as u64))?;
        client.socket = Some(socket);
        Ok(())
    }

    /// Goes on as far as it can without waiting.
    fn advance(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let Some(socket) = &mut client.socket else {
            return;
        };
        if client.stage == Stage::Connecting {
            if let Ok(Some(error)) | Err(error) = socket.take_error() {
                return self.fail_with(index, &error, "connect");
            }
            if socket.peer_addr().is_err() {
                return;
            }
            client.stage = Stage::Sending;
        }
        while client.stage == Stage::Sending {
            match socket.write(&self.request[client.sent..]) {
                Ok(count) => client.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.fail_with(index, &error, "send"),
            }
            if client.sent == self.request.len() {
                client.stage = Stage::Receiving;
            }
        }
        let mut room = [0; 16 * 1024];
        let end = loop {
            match socket.read(&mut room) {
                Ok(0) => break Some(Fate::CutShort),
                Ok(count) => client.received.extend_from_slice(&room[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break None,
                Err(error) if client.stage == Stage::Receiving => {
                    return self.fail_with(index, &error, "receive");
                }
                Err(_) => break Some(Fate::Reset),
            }
        };
        match client.stage {
            Stage::Receiving => self.judge(index, end),
            Stage::Thinking { .. } => self.judge_idle(index, end),
            Stage::Connecting | Stage::Sending | Stage::Gone => {}
        }
    }

    /// Whether the answer is whole, and right.
    fn judge(&mut self, index: usize, end: Option<Fate>) {
        let client = &self.clients[index];
        let bytes = &client.received;
        let head = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .map(|at| String::from_utf8_lossy(&bytes[..at]).to_ascii_lowercase());
        let field = |name: &str| {
            let mut lines = head.as_deref()?.split("\r\n");
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let length = field("content-length").and_then(|text| text.parse::<usize>().ok());
        let whole = head
            .as_ref()
            .zip(length)
            .map(|(head, length)| (head.len() + 4, head.len() + 4 + length));
        let Some((start, stop)) = whole.filter(|(_, stop)| bytes.len() >= *stop) else {
            if let Some(fate) = end {
                let detail = format!(
                    "the end after {} octets of answer {}",
                    bytes.len(),
                    client.answered
                );
                self.fail(index, fate, detail);
            }
            return;
        };
        let status = head
            .as_deref()
            .and_then(|head| head.split(' ').nth(1))
            .unwrap_or("no status")
            .to_owned();
        if status != "200" || bytes[start..stop] != self.manners.body || bytes.len() > stop {
            let detail = format!("answer {}: status {status}", client.answered);
            return self.fail(index, Fate::Wrong, detail);
        }
        let close = field("connection") == Some("close");
        let now = Instant::now();
        self.ledger.serve(now, now - client.since);
        self.served.fetch_add(1, Ordering::Relaxed);
        let client = &mut self.clients[index];
        client.answered += 1;
        client.since = now;
        client.received.clear();
        self.think(index);
        if close || self.manners.habit == Habit::Fresh {
            self.clients[index].socket = None;
        } else if end.is_some() {
            self.judge_idle(index, end);
        }
    }

    /// What a kept connection does while nobody has asked for anything.
    fn judge_idle(&mut self, index: usize, end: Option<Fate>) {
        let client = &mut self.clients[index];
        if !client.received.is_empty() {
            return self.fail(index, Fate::Wrong, "octets nobody asked for".to_owned());
        }
        if end.is_none() {
            return;
        }
        let idle = client.since.elapsed();
        if idle + TOLERANCE >= self.manners.keepalive {
            client.socket = None;
        } else {
            let detail = format!("after {} answers, idle for {idle:?}", client.answered);
            self.fail(index, Fate::ClosedIdle, detail);
        }
    }

    fn fail_with(&mut self, index: usize, error: &io::Error, call: &str) {
        let fate = match error.kind() {
            io::ErrorKind::ConnectionRefused => Fate::Refused,
            io::ErrorKind::TimedOut => Fate::TimedOut,
            _ => Fate::Reset,
        };
        let client = &self.clients[index];
        let (number, octets) = (client.answered, client.received.len());
        let detail = format!("{call}, request {number}, {octets} octets received: {error}");
        self.fail(index, fate, detail);
    }

    fn fail(&mut self, index: usize, fate: Fate, detail: String) {
        let client = &mut self.clients[index];
        let at = Instant::now();
        client.socket = None;
        client.received.clear();
        self.ledger.faults.push(Fault {
            fate,
            at,
            client: client.name,
            detail,
        });
        client.stage = Stage::Thinking { until: at + REST };
    }
}
