//! The control socket: a JSON line in, a JSON line out.
//!
//! Nobody can make the master wait: every client is non-blocking, has a
//! deadline, a bound on what it may send and on what it lets lie unread, and
//! there are only so many of them. Who may connect is the file's mode and
//! SO_PEERCRED: root and the master's own user.

use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{getsockopt, sockopt};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a client may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "query", rename_all = "snake_case")]
pub enum Query {
    /// Who runs and does what.
    Status,
    /// A graceful stop; who waits hears the connection end with the master.
    Stop {
        /// Answer when it is done.
        #[serde(default)]
        wait: bool,
    },
    /// A reload.
    Reload {
        /// Answer when it is done, with what came of it.
        #[serde(default)]
        wait: bool,
    },
    /// Open the logs anew.
    Reopen {
        /// Answer when every worker writes to the new files.
        #[serde(default)]
        wait: bool,
    },
}

/// What it is told.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// The request was taken.
    Done,
    /// The state of things.
    Status(Status),
    /// What came of the request.
    Outcome {
        /// The exit status that says it.
        status: u8,
        /// What happened, or what is wrong.
        lines: Vec<String>,
    },
    /// The line was no query.
    Error {
        /// Why.
        message: String,
    },
}

/// The master's state.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The master's process id.
    pub pid: u32,
    /// The generation that serves.
    pub generation: u32,
    /// `running`, `reloading` or `stopping`.
    pub state: &'static str,
    /// Where it listens.
    pub listening: String,
    /// A row a worker.
    pub workers: Vec<WorkerStatus>,
}

/// One worker's row.
#[derive(Clone, Debug, Serialize)]
pub struct WorkerStatus {
    /// Its pool.
    pub pool: String,
    /// Its slot.
    pub slot: usize,
    /// Its generation.
    pub generation: u32,
    /// Its process id.
    pub pid: i32,
    /// `starting`, `ready`, `draining` or `killed`.
    pub phase: &'static str,
    /// What it does.
    pub doing: String,
    /// Seconds since it was spawned.
    pub age: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Requests begun.
    pub requests: u64,
    /// Octets received.
    pub received: u64,
    /// Octets sent.
    pub sent: u64,
}

/// Clients at once; more wait in the socket's queue.
const CLIENTS: usize = 16;
/// A query's longest line.
const LINE: usize = 4096;
/// How long a client may take for anything.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a client may wait for an outcome.
const LONG_PATIENCE: Duration = Duration::from_secs(3600);

/// The listening socket and its clients.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
    clients: Vec<Client>,
    next: u64,
}

#[derive(Debug)]
struct Client {
    id: u64,
    stream: UnixStream,
    heard: Vec<u8>,
    unsent: Vec<u8>,
    deadline: Instant,
    finished: bool,
}

/// The exit status for a control socket that cannot be had.
pub fn exit_status(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::AddrInUse => 69,
        io::ErrorKind::PermissionDenied => 77,
        _ => 71,
    }
}

impl Control {
    /// Listens at `path`, in the place of a socket whose master is gone.
    ///
    /// # Errors
    /// As bind(2) and chmod(2); EADDRINUSE where somebody answers there.
    pub fn listen(path: &Path) -> io::Result<Self> {
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                match UnixStream::connect(path) {
                    Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
                        std::fs::remove_file(path)?;
                        UnixListener::bind(path)?
                    }
                    Ok(_) | Err(_) => return Err(error),
                }
            }
            bound => bound?,
        };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            clients: Vec::new(),
            next: 1,
        })
    }

    /// Adds what to wait for.
    pub fn watch<'c>(&'c self, ready: &mut Vec<PollFd<'c>>) {
        if self.clients.len() < CLIENTS {
            ready.push(PollFd::new(self.listener.as_fd(), PollFlags::POLLIN));
        }
        for client in &self.clients {
            let mut events = PollFlags::POLLIN;
            events.set(PollFlags::POLLOUT, !client.unsent.is_empty());
            ready.push(PollFd::new(client.stream.as_fd(), events));
        }
    }

    /// Takes in clients and what they say; answers the whole queries.
    pub fn queries(&mut self, now: Instant) -> Vec<(u64, Query)> {
        while self.clients.len() < CLIENTS {
            match self.listener.accept() {
                Ok((stream, _)) => self.welcome(stream, now),
                // Nobody waits, or we are out of descriptors: later.
                Err(_) => break,
            }
        }
        let mut queries = Vec::new();
        for client in &mut self.clients {
            client.write();
            for line in client.read() {
                match serde_json::from_slice(&line) {
                    Ok(query) => queries.push((client.id, query)),
                    Err(error) => client.say(&Answer::Error {
                        message: error.to_string(),
                    }),
                }
            }
        }
        self.clients.retain(|client| {
            now < client.deadline && !(client.finished && client.unsent.is_empty())
        });
        queries
    }

    /// The client will hear of it later.
    pub fn hold(&mut self, client: u64, now: Instant) {
        if let Some(client) = self.clients.iter_mut().find(|one| one.id == client) {
            client.deadline = now + LONG_PATIENCE;
        }
    }

    /// Answers one query.
    pub fn answer(&mut self, client: u64, answer: &Answer) {
        if let Some(client) = self.clients.iter_mut().find(|one| one.id == client) {
            client.say(answer);
        }
    }

    fn welcome(&mut self, stream: UnixStream, now: Instant) {
        let peer = getsockopt(&stream, sockopt::PeerCredentials);
        let me = nix::unistd::geteuid().as_raw();
        let known = peer.is_ok_and(|peer| peer.uid() == 0 || peer.uid() == me);
        if !known || stream.set_nonblocking(true).is_err() {
            return;
        }
        let id = self.next;
        self.next += 1;
        let deadline = now + PATIENCE;
        self.clients.push(Client {
            id,
            stream,
            heard: Vec::new(),
            unsent: Vec::new(),
            deadline,
            finished: false,
        });
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Client {
    /// The whole lines that have come.
    fn read(&mut self) -> Vec<Vec<u8>> {
        let mut room = [0; LINE];
        loop {
            match self.stream.read(&mut room) {
                Ok(0) => {
                    self.finished = true;
                    break;
                }
                Ok(count) if self.heard.len() + count <= LINE => {
                    self.heard.extend_from_slice(&room[..count])
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // A line without end, or a broken client.
                Ok(_) | Err(_) => {
                    self.finished = true;
                    self.unsent.clear();
                    return Vec::new();
                }
            }
        }
        let mut lines = Vec::new();
        while let Some(end) = memchr::memchr(b'\n', &self.heard) {
            let rest = self.heard.split_off(end + 1);
            lines.push(std::mem::replace(&mut self.heard, rest));
        }
        lines
    }

    fn say(&mut self, answer: &Answer) {
        let line = serde_json::to_vec(answer).unwrap_or_default();
        self.unsent.extend_from_slice(&line);
        self.unsent.push(b'\n');
        self.write();
    }

    fn write(&mut self) {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.finished = true;
                    self.unsent.clear();
                }
            }
        }
    }
}
