//! The control socket: a JSON line in, a JSON line out.
//!
//! Nobody can make the master wait: every client is non-blocking, has a
//! deadline, a bound on what it may send and on what it lets lie unread, and
//! there are only so many of them. Who may connect is the file's mode and
//! SO_PEERCRED: root and the master's own user.

use crate::status::Status;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a client may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// A new master in the place of this one.
    Upgrade {
        /// Answer when it serves, or when it does not.
        #[serde(default)]
        wait: bool,
    },
    /// Open the logs anew.
    Reopen {
        /// Answer when every worker writes to the new files.
        #[serde(default)]
        wait: bool,
    },
    /// Another number of workers for a pool of a fixed size.
    Scale {
        /// Its name.
        pool: String,
        /// How many, 1 to 4096.
        workers: u32,
        /// Answer when those that come are READY and those that go are gone.
        #[serde(default)]
        wait: bool,
    },
}

impl Query {
    /// Whether the answer comes when all is done, however long that takes.
    pub const fn waits(&self) -> bool {
        match self {
            Self::Status => false,
            Self::Stop { wait }
            | Self::Reload { wait }
            | Self::Upgrade { wait }
            | Self::Reopen { wait }
            | Self::Scale { wait, .. } => *wait,
        }
    }
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
    /// `None` once another master listens in our place.
    listener: Option<UnixListener>,
    /// Another master still listens, until [`Control::open`].
    closed: bool,
    path: PathBuf,
    /// Which file that was; another one is another master's.
    file: Option<(u64, u64)>,
    clients: Vec<Client>,
    next: u64,
    /// Out of descriptors: who waits is looked after at the next turn, whatever
    /// brings it.
    short: bool,
}

#[derive(Debug)]
struct Client {
    id: u64,
    stream: UnixStream,
    heard: Vec<u8>,
    unsent: Vec<u8>,
    deadline: Instant,
    /// It says no more.
    finished: bool,
    /// A query of it is being answered.
    asking: bool,
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
                // What is no socket refuses a connection as well.
                let is_socket = std::fs::symlink_metadata(path)
                    .is_ok_and(|found| found.file_type().is_socket());
                match UnixStream::connect(path) {
                    Err(_) if !is_socket => return Err(error),
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
        Ok(Self::new(path, listener, false))
    }

    /// The socket of the master that this one is to replace, which listens on
    /// it until [`Control::open`].
    pub fn inherit(path: &Path, listener: UnixListener) -> Self {
        Self::new(path, listener, true)
    }

    fn new(path: &Path, listener: UnixListener, closed: bool) -> Self {
        Self {
            listener: Some(listener),
            closed,
            path: path.to_owned(),
            file: identity(path),
            clients: Vec::new(),
            next: 1,
            short: false,
        }
    }

    /// It is ours from now on.
    pub fn open(&mut self) {
        self.closed = false;
    }

    /// Another master listens from now on; those who were let in are answered.
    pub fn hand_over(&mut self) {
        self.listener = None;
    }

    /// Where clients come, and the path that they come by.
    pub fn listener(&self) -> Option<(&Path, BorrowedFd<'_>)> {
        Some((self.path.as_path(), self.listener.as_ref()?.as_fd()))
    }

    /// Adds what to wait for.
    pub fn watch<'c>(&'c self, ready: &mut Vec<PollFd<'c>>) {
        if let Some(listener) = &self.listener
            && self.clients.len() < CLIENTS
            && !self.short
            && !self.closed
        {
            ready.push(PollFd::new(listener.as_fd(), PollFlags::POLLIN));
        }
        for client in &self.clients {
            let events = if client.is_done() {
                // Who says no more and is waiting for an outcome would wake us
                // for ever; that it is gone is told all the same (poll(2)).
                PollFlags::empty()
            } else if !client.unsent.is_empty() || client.has_line() {
                // Whoever does not take its answers is not heard meanwhile.
                PollFlags::POLLOUT
            } else {
                PollFlags::POLLIN
            };
            ready.push(PollFd::new(client.stream.as_fd(), events));
        }
    }

    /// Takes in clients and what they say; answers the whole queries, one of
    /// each client at most.
    pub fn queries(&mut self, now: Instant) -> Vec<(u64, Query)> {
        self.let_in(now);
        let mut queries = Vec::new();
        for client in &mut self.clients {
            client.write();
            let Some(line) = client.line() else { continue };
            match serde_json::from_slice(&line) {
                Ok(query) => {
                    client.asking = true;
                    queries.push((client.id, query));
                }
                Err(error) => client.say(&Answer::Error {
                    message: error.to_string(),
                }),
            }
        }
        self.clients.retain(|client| {
            let wanted = !client.is_done() || (client.asking && !client.is_gone());
            wanted && now < client.deadline
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
            client.asking = false;
            client.say(answer);
        }
        self.clients.retain(|one| one.asking || !one.is_done());
    }

    fn let_in(&mut self, now: Instant) {
        self.short = false;
        while self.clients.len() < CLIENTS && !self.closed {
            match self.listener.as_ref().map(UnixListener::accept) {
                None => return,
                Some(Ok((stream, _))) => self.welcome(stream, now),
                Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Out of descriptors, most likely: later.
                Some(Err(_)) => {
                    self.short = true;
                    return;
                }
            }
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
            asking: false,
        });
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let ours = self.listener.is_some() && !self.closed;
        if ours && self.file.is_some() && identity(&self.path) == self.file {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Which file is at `path`: its device and its number there.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

impl Client {
    /// The next whole line, once what was said before is taken.
    fn line(&mut self) -> Option<Vec<u8>> {
        if !self.unsent.is_empty() {
            return None;
        }
        self.read();
        let end = memchr::memchr(b'\n', &self.heard)?;
        let rest = self.heard.split_off(end + 1);
        Some(std::mem::replace(&mut self.heard, rest))
    }

    /// Reads until there is a whole line, or no more.
    fn read(&mut self) {
        let mut room = [0; LINE];
        while !self.finished && !self.has_line() {
            let free = LINE - self.heard.len();
            match self.stream.read(&mut room[..free]) {
                // Also where nothing is free: a line without end.
                Ok(0) => self.finished = true,
                Ok(count) => self.heard.extend_from_slice(&room[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A broken client.
                Err(_) => self.finished = true,
            }
        }
    }

    fn has_line(&self) -> bool {
        memchr::memchr(b'\n', &self.heard).is_some()
    }

    /// Whether there is nothing more to hear or to say.
    fn is_done(&self) -> bool {
        self.finished && self.unsent.is_empty() && !self.has_line()
    }

    /// Whether it can hear nothing more. To have said all and to listen on is
    /// something else: then only its side is shut (shutdown(2)).
    fn is_gone(&self) -> bool {
        let mut ready = [PollFd::new(self.stream.as_fd(), PollFlags::empty())];
        let _ = poll(&mut ready, PollTimeout::ZERO);
        ready[0].any().unwrap_or(true)
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
                    self.heard.clear();
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Everybody waits for an outcome that never comes: some for it, some have
    /// said all they had to say, and the others are gone.
    #[test]
    fn whoever_waits_and_is_gone_takes_no_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        let mut control = Control::listen(&path).unwrap();
        let now = Instant::now();
        let mut ask = |line: &[u8]| {
            let mut client = UnixStream::connect(&path).unwrap();
            client.write_all(line).unwrap();
            let asked = control.queries(now);
            for (id, _) in &asked {
                control.hold(*id, now);
            }
            (client, asked)
        };
        let reload = b"{\"query\":\"reload\",\"wait\":true}\n";
        let (mut patient, asked) = ask(reload);
        let (mut brief, told) = ask(reload);
        brief.shutdown(std::net::Shutdown::Write).unwrap();
        for _ in 0..2 * CLIENTS {
            drop(ask(reload));
        }
        let (_last, heard) = ask(b"{\"query\":\"status\"}\n");
        assert!(matches!(heard.as_slice(), [(_, Query::Status)]));
        for (client, asked) in [(&mut patient, asked), (&mut brief, told)] {
            control.answer(asked[0].0, &Answer::Done);
            let mut room = [0; 64];
            let count = client.read(&mut room).unwrap();
            assert_eq!(&room[..count], b"{\"answer\":\"done\"}\n");
        }
        // Nobody waits for longer than that either.
        let mut late = UnixStream::connect(&path).unwrap();
        late.write_all(reload).unwrap();
        assert_eq!(control.queries(now).len(), 1);
        assert!(control.queries(now + LONG_PATIENCE).is_empty());
        assert!(control.clients.is_empty());
    }
}
