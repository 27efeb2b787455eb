//! Clients that count: what they sent, what they got, and what was never
//! answered.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The longest answer, with its head, in octets.
pub(crate) const LONGEST: u64 = 17_000;
/// Nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Requests on one connection.
const A_CONNECTION: u64 = 40;

/// What was counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    /// Connections that were made.
    pub(crate) connections: u64,
    /// Requests that were answered, by the first digit of the status.
    pub(crate) answers: BTreeMap<String, u64>,
    /// The octets of those requests …
    pub(crate) sent: u64,
    /// … and of their answers.
    pub(crate) received: u64,
    /// Requests that were not: the connection broke.
    pub(crate) unanswered: u64,
    /// The octets of those, as far as they were sent.
    pub(crate) sent_in_vain: u64,
    /// What came of their answers all the same.
    pub(crate) received_in_vain: u64,
}

impl Account {
    pub(crate) fn answered(&self) -> u64 {
        self.answers.values().sum()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (class, count) in &other.answers {
            *self.answers.entry(class.clone()).or_default() += count;
        }
        self.connections += other.connections;
        self.sent += other.sent;
        self.received += other.received;
        self.unanswered += other.unanswered;
        self.sent_in_vain += other.sent_in_vain;
        self.received_in_vain += other.received_in_vain;
    }
}

/// Several of them at work, until each has had its number of answers.
pub(crate) struct Clients {
    threads: Vec<JoinHandle<Account>>,
    answered: Arc<AtomicU64>,
}

impl Clients {
    /// `count` clients share `answers`.
    pub(crate) fn start(address: SocketAddr, count: u64, answers: u64) -> Self {
        let answered = Arc::new(AtomicU64::new(0));
        let client = |_| {
            let answered = Arc::clone(&answered);
            std::thread::spawn(move || run(address, answers / count, &answered))
        };
        Self {
            threads: (0..count).map(client).collect(),
            answered,
        }
    }

    /// The answers so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }

    /// Waits until all have what they want; answers what they have counted.
    pub(crate) fn join(self) -> Account {
        let mut all = Account::default();
        for thread in self.threads {
            all.add(&thread.join().unwrap());
        }
        all
    }
}

fn run(address: SocketAddr, wanted: u64, answered: &AtomicU64) -> Account {
    let mut account = Account::default();
    while account.answered() < wanted {
        let Ok(mut stream) = TcpStream::connect(address) else {
            continue;
        };
        stream.set_nodelay(true).unwrap();
        account.connections += 1;
        for number in 0..A_CONNECTION {
            let last = number + 1 == A_CONNECTION || account.answered() + 1 == wanted;
            let goes_on = exchange(&mut stream, number, last, &mut account);
            if !goes_on {
                break;
            }
            answered.fetch_add(1, Ordering::SeqCst);
        }
    }
    account
}

/// One request and its answer; answers whether the connection goes on.
fn exchange(stream: &mut TcpStream, number: u64, last: bool, account: &mut Account) -> bool {
    let path = match number % 4 {
        0 | 1 => "/",
        2 => "/page.html",
        _ => "/missing",
    };
    let close = if last { "Connection: close\r\n" } else { "" };
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n{close}\r\n");
    ask(stream, &request, account).is_some_and(|answer| !answer.closes)
}

/// An answer, as far as anybody here wants to know it.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The first digit of its status, as the status has it.
    pub(crate) class: String,
    /// Whether it is the last one.
    pub(crate) closes: bool,
    pub(crate) body: Vec<u8>,
}

/// The answer to one request, counted; `None` where the connection broke.
pub(crate) fn ask(stream: &mut TcpStream, request: &str, account: &mut Account) -> Option<Answer> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let octets = request.len() as u64;
    let mut room = Vec::new();
    let sent = stream.write_all(request.as_bytes());
    match sent.and_then(|()| answer(stream, &mut room)) {
        Ok(answer) => {
            *account.answers.entry(answer.class.clone()).or_default() += 1;
            account.sent += octets;
            account.received += (room.len() + answer.body.len()) as u64;
            if answer.closes {
                // All of it, so that our end of the connection is orderly.
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest);
                assert!(rest.is_empty(), "more than the answer: {rest:?}");
            }
            Some(answer)
        }
        Err(error) => {
            assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "no answer in time");
            account.unanswered += 1;
            account.sent_in_vain += octets;
            account.received_in_vain += room.len() as u64;
            None
        }
    }
}

/// Reads one answer into `room`.
fn answer(stream: &mut TcpStream, room: &mut Vec<u8>) -> io::Result<Answer> {
    let mut piece = [0; 4096];
    let (mut start, mut wanted) = (0, usize::MAX);
    let mut found = Answer {
        class: String::new(),
        closes: false,
        body: Vec::new(),
    };
    while room.len() < wanted {
        let count = match stream.read(&mut piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        room.extend_from_slice(&piece[..count]);
        let end = room.windows(4).position(|part| part == b"\r\n\r\n");
        if let (usize::MAX, Some(end)) = (wanted, end) {
            let head = String::from_utf8(room[..end].to_vec()).unwrap();
            let field = |name: &str| {
                let mut lines = head.lines();
                lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
            };
            let length: usize = field("Content-Length: ").unwrap().parse().unwrap();
            start = end + 4;
            wanted = start + length;
            found.class = format!("{}xx", &head[9..10]);
            found.closes = field("Connection: ").as_deref() == Some("close");
        }
    }
    assert_eq!(room.len(), wanted, "more than one answer to one request");
    found.body = room.split_off(start);
    Ok(found)
}
