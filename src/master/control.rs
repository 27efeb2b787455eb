//! The control socket: a JSON line in, a JSON line out.
//!
//! Nobody can make the master wait: every client is non-blocking, has a
//! deadline, a bound on what it may send and on what it lets lie unread, and
//! there are only so many of them. Nobody keeps others out: where all places are
//! taken, whoever was not heard of for the longest time makes room. And nobody
//! has the master all to itself: so many are let in and answered a turn, each with
//! one answer, and what is costly to say is said to all who ask within a moment.

mod client;
mod gate;

pub use gate::Asker;

use crate::status::{Death, Status};
use crate::sys::{self, clock};
use client::Client;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::Backlog;
use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a client may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "query", rename_all = "snake_case")]
pub enum Query {
    /// Who runs and does what.
    Status,
    /// The last deaths of workers.
    Deaths,
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
            Self::Status | Self::Deaths => false,
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
    /// How the last workers died.
    Deaths {
        /// The oldest first.
        deaths: Vec<Death>,
    },
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

/// Clients at once.
const CLIENTS: usize = 256;
/// So many of them may wait for an outcome; the other places are for those who
/// only ask.
const WAITING: usize = 192;
/// Clients that wait to be let in. More wait in connect(2) itself, where nobody
/// can be ahead of others by many places.
const QUEUE: i32 = 64;
/// Clients that are let in a turn.
const ADMISSIONS: usize = 64;
/// Queries that are answered a turn.
const QUERIES: usize = 64;
/// Whoever was let in may stay for so long, whoever else may want the place: it
/// has to say its query.
const WELCOME: Duration = Duration::from_millis(2);
/// The master spends a part in so many of its time on pictures of itself, but for
/// those that come after a rest: who asks now and then sees things as they are …
const SHARE: u32 = 10;
/// … and in a flood of queries none is older than this.
const OLDEST: Duration = Duration::from_millis(20);

/// The listening socket and its clients.
#[derive(Debug)]
pub struct Control {
    /// `None` once another master listens in our place.
    listener: Option<UnixListener>,
    /// Another master still listens, until [`Control::open`].
    closed: bool,
    path: PathBuf,
    /// Whose members may ask, besides root and the master's own user.
    group: Option<u32>,
    /// Which file that was; another one is another master's.
    file: Option<(u64, u64)>,
    /// Whose turn it is comes first.
    clients: Vec<Client>,
    next: u64,
    /// Out of descriptors: who waits is looked after at the next turn, whatever
    /// brings it.
    short: bool,
    /// All places are taken by such as have just come.
    crowded: bool,
    /// By [`Sight`].
    pictures: [Option<Picture>; 2],
    /// When the pictures taken so far are the share of time that they may be.
    paid: Instant,
}

/// A query, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// To be answered by this number.
    pub client: u64,
    /// Who that is.
    pub by: Asker,
    /// What it wants.
    pub query: Query,
}

/// What there is to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// The state of things.
    Status,
    /// The last deaths.
    Deaths,
}

/// The last answer on something that is to be seen.
#[derive(Debug)]
struct Picture {
    line: Arc<[u8]>,
    taken: Instant,
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
    /// Listens at `path`, in the place of a socket whose master is gone; for
    /// root, the master's own user and the members of `group`.
    ///
    /// # Errors
    /// As bind(2), chmod(2) and chown(2); EADDRINUSE where somebody answers
    /// there.
    pub fn listen(path: &Path, group: Option<u32>) -> io::Result<Self> {
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                // What is no socket refuses a connection as well.
                let is_socket = std::fs::symlink_metadata(path)
                    .is_ok_and(|found| found.file_type().is_socket());
                match knock(path) {
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
        nix::sys::socket::listen(&listener, Backlog::new(QUEUE)?)?;
        // Dropped by an error, it removes its file.
        let control = Self::new(path, listener, group, false);
        gate::settle(path, group)?;
        control
            .listener
            .iter()
            .try_for_each(|one| one.set_nonblocking(true))?;
        Ok(control)
    }

    /// The socket of the master that this one is to replace, which listens on
    /// it until [`Control::open`].
    pub fn inherit(path: &Path, listener: UnixListener, group: Option<u32>) -> Self {
        Self::new(path, listener, group, true)
    }

    fn new(path: &Path, listener: UnixListener, group: Option<u32>, closed: bool) -> Self {
        Self {
            listener: Some(listener),
            closed,
            path: path.to_owned(),
            group,
            file: identity(path),
            clients: Vec::new(),
            next: 1,
            short: false,
            crowded: false,
            pictures: [None, None],
            paid: Instant::now(),
        }
    }

    /// It is ours from now on.
    pub fn open(&mut self) {
        self.closed = false;
        self.admit(self.group);
    }

    /// Lets the members of `group` in from now on, and no other group's; whoever
    /// is here and may not ask any more has to go.
    pub fn admit(&mut self, group: Option<u32>) {
        self.group = group;
        self.clients
            .retain(|client| gate::admit(&client.socket(), group).is_ok());
        if self.listener.is_none() || self.closed || identity(&self.path) != self.file {
            return;
        }
        if let Err(error) = gate::settle(&self.path, group) {
            log::error!("control socket {}: {error}", self.path.display());
        }
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
            && !self.crowded
            && !self.short
            && !self.closed
        {
            ready.push(PollFd::new(listener.as_fd(), PollFlags::POLLIN));
        }
        ready.extend(self.clients.iter().map(Client::watch));
    }

    /// When somebody may have to make room; `None` where nobody has to.
    pub fn next_deadline(&self) -> Option<Instant> {
        let idle = self.clients.iter().filter(|client| !client.asking);
        let stays = idle.map(|client| client.since + WELCOME).min();
        stays.filter(|_| self.crowded)
    }

    /// Takes in clients and what they say; answers the whole queries, one of
    /// each client at most, and of no more than can be answered in a moment.
    pub fn queries(&mut self, now: Instant) -> Vec<Asked> {
        self.let_in(now);
        let mut waiting = self.clients.iter().filter(|client| client.asking).count();
        let mut asked = Vec::new();
        let mut looked_at = 0;
        for client in &mut self.clients {
            if asked.len() == QUERIES {
                break;
            }
            looked_at += 1;
            client.write(now);
            let Some(line) = client.line(now) else {
                continue;
            };
            match serde_json::from_slice::<Query>(&line) {
                Ok(query) if query.waits() && waiting >= WAITING => {
                    client.say(
                        encoded(&outcome(75, "too many wait: ask without waiting")),
                        now,
                    );
                }
                Ok(query) => {
                    waiting += usize::from(query.waits());
                    client.asking = true;
                    let (client, by) = (client.id, client.by);
                    asked.push(Asked { client, by, query });
                }
                Err(error) => {
                    let message = error.to_string();
                    client.say(encoded(&Answer::Error { message }), now);
                }
            }
        }
        self.clients.rotate_left(looked_at);
        self.clients.retain_mut(|client| {
            let wanted = if client.asking {
                !client.is_gone()
            } else {
                !client.is_done()
            };
            let in_time = now < client.deadline();
            // The end of the connection alone would say that the master is gone.
            if wanted && client.asking && !in_time {
                let why = "it takes too long to be waited for, and goes on";
                client.say(encoded(&outcome(75, why)), now);
            }
            wanted && in_time
        });
        asked
    }

    /// Answers one query.
    pub fn answer(&mut self, client: u64, answer: &Answer) {
        // Whoever is told that something was done may see it at once.
        self.look_again();
        self.say(client, encoded(answer));
    }

    /// Something is not as it was shown.
    pub fn look_again(&mut self) {
        self.pictures = [None, None];
    }

    /// Answers a query for something that is to be seen, which `look` tells: anew,
    /// unless to look so often has cost the master more than its share of time (its
    /// own, not that of others on its processor). What could not be seen is no
    /// picture: who asks again is looked for again.
    pub fn show(&mut self, client: u64, sight: Sight, look: impl FnOnce() -> Answer) {
        let now = Instant::now();
        let is_overdrawn = self.paid > now + OLDEST;
        let current = self.pictures[sight as usize].take();
        let current = current.filter(|one| is_overdrawn && now < one.taken + OLDEST);
        if let Some(picture) = current {
            self.say(client, Arc::clone(&picture.line));
            self.pictures[sight as usize] = Some(picture);
            return;
        }
        let begun = clock::processor_time();
        let answer = look();
        let line = encoded(&answer);
        let cost = clock::processor_time().saturating_sub(begun);
        let paid = self.paid.max(now) + cost * SHARE;
        // Nobody pays for longer than a picture is kept.
        self.paid = paid.min(now + OLDEST * 2);
        self.say(client, Arc::clone(&line));
        self.pictures[sight as usize] = match answer {
            Answer::Error { .. } => None,
            Answer::Done | Answer::Status(_) | Answer::Deaths { .. } | Answer::Outcome { .. } => {
                let taken = Instant::now();
                Some(Picture { line, taken })
            }
        };
    }

    fn say(&mut self, client: u64, line: Arc<[u8]>) {
        let Some(at) = self.clients.iter().position(|one| one.id == client) else {
            return;
        };
        let client = &mut self.clients[at];
        client.asking = false;
        client.say(line, Instant::now());
        if client.is_done() {
            self.clients.remove(at);
        }
    }

    fn let_in(&mut self, now: Instant) {
        self.short = false;
        self.crowded = false;
        let mut leaving = None;
        for _ in 0..ADMISSIONS {
            if self.closed {
                return;
            }
            let full = self.clients.len() >= CLIENTS;
            // Worked out once a turn, and only where it is needed.
            if full
                && leaving
                    .get_or_insert_with(|| self.least_missed(now))
                    .is_empty()
            {
                self.crowded = true;
                return;
            }
            let Some(listener) = &self.listener else {
                return;
            };
            let stream = match sys::socket::accept(listener.as_fd(), true) {
                Ok((stream, _)) => UnixStream::from(stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Out of descriptors, most likely: later.
                Err(_) => {
                    self.short = true;
                    return;
                }
            };
            match gate::admit(&stream, self.group) {
                Ok(by) => {
                    if full && let Some(id) = leaving.as_mut().and_then(Vec::pop) {
                        self.part_with(id, now);
                    }
                    self.clients.push(Client::new(self.next, stream, by, now));
                    self.next += 1;
                }
                Err(reason) => dismiss(stream, 77, &reason),
            }
        }
    }

    /// Who has to make room for others, the first one last: of those who have had
    /// the time to say their query and wait for nothing that was promised, the
    /// one that was not heard of for the longest time.
    fn least_missed(&self, now: Instant) -> Vec<u64> {
        let may_go =
            |client: &&Client| !client.asking && now.duration_since(client.since) >= WELCOME;
        let mut found: Vec<&Client> = self.clients.iter().filter(may_go).collect();
        found.sort_unstable_by_key(|client| std::cmp::Reverse((client.heard_of, client.id)));
        found.into_iter().map(|client| client.id).collect()
    }

    /// Another one needs the place.
    fn part_with(&mut self, id: u64, now: Instant) {
        let Some(at) = self.clients.iter().position(|client| client.id == id) else {
            return;
        };
        let mut client = self.clients.swap_remove(at);
        if !client.is_owed() {
            let why = "too many ask: another needs the place";
            client.say(encoded(&outcome(75, why)), now);
        }
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

/// Whether somebody listens at `path`. He need not let anybody in: with a full
/// queue, connect(2) would wait for him.
///
/// # Errors
/// As connect(2); EAGAIN for that one.
fn knock(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.connect(&SockAddr::unix(path)?)
}

/// Which file is at `path`: its device and its number there.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

fn outcome(status: u8, line: &str) -> Answer {
    let lines = vec![line.to_owned()];
    Answer::Outcome { status, lines }
}

fn encoded(answer: &Answer) -> Arc<[u8]> {
    let mut line = serde_json::to_vec(answer).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

/// Tells a client that is not let in why. Its buffer is empty, so this takes one
/// call, and never waits.
fn dismiss(mut stream: UnixStream, status: u8, reason: &str) {
    use std::io::Write;
    let _ = stream.write(&encoded(&outcome(status, reason)));
}

#[cfg(test)]
mod tests;
