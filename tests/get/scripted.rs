//! A server that does what a test says, octet for octet, and keeps what it was
//! asked.

use crate::harness::{SOON, uninterrupted};
use socket2::SockRef;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What it does on a connection, one after the other. At the end it closes.
#[derive(Clone)]
pub(crate) enum Step {
    /// Reads a request with its content.
    Read,
    /// Sends this at once.
    Send(Vec<u8>),
    /// Sends this one octet at a time.
    Drip(Vec<u8>),
    /// Sends this again and again, until nobody takes it.
    Flood(Vec<u8>),
    /// Says nothing, until the other side closes.
    Hush,
    /// Closes with RST.
    Reset,
}

/// The server: a connection for each script, in this order; then it is gone.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    thread: Option<JoinHandle<()>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    pub(crate) fn new(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&asked);
        let thread = std::thread::spawn(move || {
            for script in scripts {
                let (stream, _) = listener.accept().unwrap();
                play(&stream, &script, &notes);
            }
        });
        Self {
            address,
            thread: Some(thread),
            asked,
        }
    }

    /// Answers one request with this, whole or in drops, and closes.
    pub(crate) fn answering(answer: &[u8], drips: bool) -> Self {
        let answer = answer.to_vec();
        let step = if drips {
            Step::Drip(answer)
        } else {
            Step::Send(answer)
        };
        Self::new(vec![vec![Step::Read, step]])
    }

    /// Answers request after request, each on a connection of its own.
    pub(crate) fn one_by_one(answers: &[&str]) -> Self {
        let script = |answer: &&str| vec![Step::Read, Step::Send(answer.as_bytes().to_vec())];
        Self::new(answers.iter().map(script).collect())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Everything that was asked, once every script was played to its end.
    pub(crate) fn asked(mut self) -> Vec<String> {
        self.thread.take().unwrap().join().unwrap();
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn play(stream: &TcpStream, script: &[Step], notes: &Mutex<Vec<String>>) {
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut wire = stream;
    let mut room = [0; 4096];
    for step in script {
        match step {
            Step::Read => match read(stream) {
                Some(request) => notes.lock().unwrap().push(request),
                None => return,
            },
            // Whoever has heard enough leaves in the middle.
            Step::Send(octets) => {
                let _ = wire.write_all(octets);
            }
            Step::Drip(octets) => {
                for octet in octets {
                    if wire.write_all(&[*octet]).is_err() {
                        return;
                    }
                    // Else several of them make one segment.
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
            Step::Flood(octets) => while wire.write_all(octets).is_ok() {},
            Step::Hush => {
                while uninterrupted(|| wire.read(&mut room)).is_ok_and(|count| count > 0) {}
            }
            Step::Reset => {
                let socket = SockRef::from(stream);
                socket.set_linger(Some(Duration::ZERO)).unwrap();
                return;
            }
        }
    }
}

/// A request with its content; `None` where none comes any more.
fn read(mut stream: &TcpStream) -> Option<String> {
    let mut request = Vec::new();
    let mut octet = [0];
    while !request.ends_with(b"\r\n\r\n") {
        match uninterrupted(|| stream.read(&mut octet)) {
            Ok(1) => request.push(octet[0]),
            Ok(_) | Err(_) => return None,
        }
    }
    let head = String::from_utf8(request).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    let mut content = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut content).ok()?;
    Some(head + &String::from_utf8(content).unwrap())
}
