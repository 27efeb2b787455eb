//! A program beside a connection: started, listened to, and ended.
//!
//! It has a session of its own, its content as a file of memory on standard
//! input, and two pipes. Our ends of these never block, and together with the
//! news of its death they stand in one epoll(7) set, which a driver waits for
//! like for any other descriptor ([`Child::as_fd`]).
//!
//! ```text
//!   Running ─▶ Half ───────▶ Told ───────▶ Cut          at each arrow past Half
//!      │  one of two: it ended,│ SIGTERM      │ SIGKILL  so much time: `grace`
//!      │  its output ended     ▼              ▼
//!      └──────────────────▶ ended: both, or it ended after it was told to
//! ```
//!
//! Owes the system: no zombie, no process of its group that was told to go and
//! stays, no descriptor; and the administrator: each line of its standard
//! error, made harmless, up to a bound. Whoever is ended is signalled before
//! it is waited for, while its number is still its own. Must never wait.

mod errors;
mod start;

use crate::protocol::{Content, Input, Peer, ProgramEnd, RunError};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::epoll::Epoll;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, pipe2, read};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(super) use errors::{ErrorLines, printable};
pub use start::{NotYet, Starting};

/// What the programs of one worker take together.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    /// How many run.
    running: Arc<AtomicU32>,
    /// Octets that wait for a program to read them.
    pub content: Arc<AtomicU64>,
    /// How many were given a connection so far.
    sessions: Arc<AtomicU64>,
    /// The addresses of those who have one now, and how many each.
    clients: Arc<Mutex<BTreeMap<IpAddr, u32>>>,
}

impl Programs {
    /// The number of a session that begins.
    pub(super) fn next_number(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Counts a session among those of its client's address.
    pub(super) fn join(&self, peer: &Peer) -> Company {
        let address = peer.remote.map(|remote| remote.ip().to_canonical());
        if let Some(address) = address {
            *lock(&self.clients).entry(address).or_default() += 1;
        }
        Company {
            clients: Arc::clone(&self.clients),
            address,
        }
    }
}

/// A session among those of the same address, until it is dropped.
#[derive(Debug)]
pub(super) struct Company {
    clients: Arc<Mutex<BTreeMap<IpAddr, u32>>>,
    address: Option<IpAddr>,
}

impl Company {
    /// How many there are, this one included.
    pub(super) fn count(&self) -> u32 {
        let clients = lock(&self.clients);
        let count = self.address.and_then(|address| clients.get(&address));
        count.copied().unwrap_or(1)
    }
}

impl Drop for Company {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut clients = lock(&self.clients);
        if let Some(count) = clients.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&address);
            }
        }
    }
}

/// A panic elsewhere cannot leave a count half-written.
fn lock(clients: &Mutex<BTreeMap<IpAddr, u32>>) -> MutexGuard<'_, BTreeMap<IpAddr, u32>> {
    clients.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place among the running programs, given back when it is dropped.
#[derive(Debug)]
struct Seat(Arc<AtomicU32>);

impl Seat {
    fn take(programs: &Programs, most: u32) -> Option<Self> {
        let more = |running| (running < most).then_some(running + 1);
        let running = &programs.running;
        let taken = running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Self(Arc::clone(running)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a child has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Octets were added.
    Bytes,
    /// Nothing now.
    Nothing,
    /// There is no room for what it writes.
    Full,
    /// It is gone, and all it wrote was told.
    Ended(ProgramEnd),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Half { until: Instant },
    Told { until: Instant },
    Cut { until: Instant },
}

/// A program that was started.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    /// What it may still do when it shall end.
    grace: Duration,
    phase: Phase,
    /// It has ended, and was not waited for yet.
    exited: bool,
    /// It had ended before it was told to.
    by_itself: bool,
    output: Option<OwnedFd>,
    errors: ErrorLines,
    end: Option<ProgramEnd>,
    pidfd: OwnedFd,
    ready: Epoll,
    _seat: Seat,
}

/// Between two SIGKILLs for whom the first did not end.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

/// Moves what `content` holds into `file`, which is made where there is none:
/// memory without a name (memfd_create(2)), so that nothing is left behind and
/// no directory must be writable.
///
/// # Errors
/// As memfd_create(2) and write(2).
pub fn store(content: &mut Content, file: &mut Option<File>) -> io::Result<()> {
    let file = match file {
        Some(file) => file,
        None => file.insert(File::from(memfd_create(
            "preforkd:content",
            MFdFlags::MFD_CLOEXEC,
        )?)),
    };
    file.write_all(content.held())?;
    content.put_away();
    Ok(())
}

impl Child {
    /// What it says; to be asked again whenever [`Child::as_fd`] is readable.
    pub fn hear(&mut self, input: &mut Input, now: Instant) -> Heard {
        if let Some(end) = self.end {
            return Heard::Ended(end);
        }
        self.errors.hear(&self.ready);
        if let Some(output) = &self.output {
            let room = input.room();
            if room.is_empty() {
                return Heard::Full;
            }
            match read(output, room) {
                Ok(0) => self.close_output(),
                Ok(count) => {
                    input.filled(count);
                    return Heard::Bytes;
                }
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(errno) => {
                    log::warn!("{}: read: {errno}", self.label());
                    self.close_output();
                }
            }
        }
        match self.look(now) {
            Some(end) => Heard::Ended(end),
            None => Heard::Nothing,
        }
    }

    /// Tells it, and all that it started, to end.
    pub fn tell(&mut self, now: Instant) {
        match self.phase {
            Phase::Running | Phase::Half { .. } if self.end.is_none() => {
                self.signal(Signal::SIGTERM);
                let until = now + self.grace;
                self.phase = Phase::Told { until };
            }
            Phase::Running | Phase::Half { .. } | Phase::Told { .. } | Phase::Cut { .. } => {}
        }
    }

    /// As [`Child::hear`] for one that was told to end, whose output is of no
    /// interest any more: whether it is gone.
    pub fn is_gone(&mut self, now: Instant) -> bool {
        self.close_output();
        self.errors.hear(&self.ready);
        self.end.is_some() || self.look(now).is_some()
    }

    /// When to call [`Child::advance`].
    pub fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running => None,
            Phase::Half { until } | Phase::Told { until } | Phase::Cut { until } => Some(until),
        }
    }

    /// Its time may be up.
    pub fn advance(&mut self, now: Instant) {
        match self.phase {
            Phase::Half { until } if until <= now => self.tell(now),
            Phase::Told { until } | Phase::Cut { until } if until <= now => {
                self.signal(Signal::SIGKILL);
                let until = now + AGAIN;
                self.phase = Phase::Cut { until };
            }
            Phase::Running | Phase::Half { .. } | Phase::Told { .. } | Phase::Cut { .. } => {}
        }
    }

    /// Its process id.
    pub fn id(&self) -> i32 {
        self.pid.as_raw()
    }

    /// For whom it runs, its path and its id, as logs have it.
    pub fn label(&self) -> &str {
        &self.errors.complaints.label
    }

    /// Whether it is gone and was waited for.
    pub fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Looks whether it is over.
    fn look(&mut self, now: Instant) -> Option<ProgramEnd> {
        if !self.exited && has_exited(self.pid) {
            self.exited = true;
            self.by_itself = matches!(self.phase, Phase::Running | Phase::Half { .. });
            // It stays readable for ever.
            let _ = self.ready.delete(&self.pidfd);
        }
        let told = matches!(self.phase, Phase::Told { .. } | Phase::Cut { .. });
        let silent = self.output.is_none();
        if self.exited && (silent || told) {
            return Some(self.settle(told));
        }
        if (self.exited || silent) && self.phase == Phase::Running {
            let until = now + self.grace;
            self.phase = Phase::Half { until };
        }
        None
    }

    /// Waits for what has ended.
    fn settle(&mut self, told: bool) -> ProgramEnd {
        if told {
            // Those that it started and that did not listen.
            self.signal(Signal::SIGKILL);
        }
        self.errors.hear(&self.ready);
        self.errors.complaints.finish();
        let label = &self.errors.complaints.label;
        let end = match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, _) | WaitStatus::Signaled(_, _, _)) if !self.by_itself => {
                log::info!("{label}: ended as told");
                ProgramEnd::Stopped
            }
            Ok(WaitStatus::Exited(_, 0)) => ProgramEnd::Exited(0),
            Ok(WaitStatus::Exited(_, code)) => {
                // A test waits for this line.
                log::warn!("{label}: exited {code}");
                ProgramEnd::Exited(code)
            }
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                // A test waits for this line.
                log::warn!("{label}: killed by {signal}");
                ProgramEnd::Killed(signal as i32)
            }
            // Somebody else waited for it: then its status is nobody's.
            Ok(_) | Err(_) => ProgramEnd::Exited(0),
        };
        self.end = Some(end);
        end
    }

    fn close_output(&mut self) {
        if let Some(output) = self.output.take() {
            let _ = self.ready.delete(&output);
        }
    }

    /// Signals its group; it was not waited for, so the number is its own.
    fn signal(&self, signal: Signal) {
        let group = Pid::from_raw(-self.pid.as_raw());
        if kill(group, signal) == Err(Errno::ESRCH) {
            // It has not come to make a group yet.
            let _ = kill(self.pid, signal);
        }
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.0.as_fd()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.end.is_none() {
            self.signal(Signal::SIGKILL);
            let _ = waitpid(self.pid, Some(WaitPidFlag::WNOHANG));
        }
    }
}

/// A pipe whose read end does not block.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((read, write))
}

/// Whether a child has ended; it stays to be waited for.
pub(super) fn has_exited(pid: Pid) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    !matches!(waitid(Id::Pid(pid), flags), Ok(WaitStatus::StillAlive))
}

/// For a child that we cannot look after.
pub(super) fn end_at_once(pid: Pid) {
    let _ = kill(pid, Signal::SIGKILL);
    let _ = waitpid(pid, None);
}

/// RLIMIT_CPU knows only whole ones.
pub(super) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().max(1)
}

pub(super) fn kind_of(error: &io::Error) -> RunError {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::EAGAIN | libc::ENOMEM | libc::ENOSPC) => {
            RunError::Exhausted
        }
        _ => RunError::Failed,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
