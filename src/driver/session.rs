//! A program that has the connection itself: started, watched and ended.
//!
//! It has a session, and so a process group, of its own. The socket is its
//! alone; what passes on it is asked of the kernel, when the idle deadline may be
//! over. Its standard error, where that is the log's, and the news of its
//! death are what a driver waits for ([`Session::as_fd`]).
//!
//! ```text
//!   Running ─▶ Told ─▶ Cut            SIGTERM, and SIGKILL `grace` later: idle,
//!      │         │      │             overdue, or the worker leaves
//!      ▼         ▼      ▼
//!   it has ended and was waited for ─▶ Left ─▶ Over
//!                                       while somebody is left in its group
//! ```
//!
//! Owes the system: no zombie, and nobody left in the group: who is, when the
//! program ends, gets SIGTERM, and SIGKILL after `grace`. Who has made a session
//! of its own (a daemon) has left, and is let go: the master is there to reap
//! it. Owes the administrator a line for each end. Must never wait.

use super::Duty;
use super::complaints::Who;
use super::launch::{Fresh, Launch, late};
use super::program::{
    AGAIN, Company, ErrorLines, end_at_once, has_exited, kind_of, pipe, printable, whole_seconds,
};
use crate::net::{Line, Silence, Stream};
use crate::protocol::{
    Errors, HandOver, Peer, ProgramEnd, RunError, SessionCut, SessionEnd, SessionLimits, Work,
};
use crate::sys::process::{self, Usage};
use crate::sys::program::{self as launcher, Image, Limits, NotRun};
use log::Level;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::signal::Signal;
use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use std::ffi::CString;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

/// Between two looks at who is left in a group.
const LOOK: Duration = Duration::from_millis(20);

/// Between the end of a group and that of the patience with its worker.
const MARGIN: Duration = Duration::from_millis(500);

/// When nothing has to be done but what a descriptor tells.
const NEVER: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Told { until: Instant },
    Cut { until: Instant },
    Left { until: Instant },
    Over,
}

/// A program that was given a connection.
#[derive(Debug)]
pub struct Session {
    pid: Pid,
    pidfd: OwnedFd,
    errors: ErrorLines,
    /// Its death, until it was waited for, and its errors.
    ready: Epoll,
    /// Which one of the worker's it is.
    number: u64,
    begun: Instant,
    limits: SessionLimits,
    text: Vec<u8>,
    phase: Phase,
    /// How the program itself ended, once it was waited for.
    end: Option<ProgramEnd>,
    /// Why it was ended.
    cut: Option<SessionCut>,
    /// The connection, where the kernel tells how long it is silent, …
    line: Option<Line>,
    /// … when to ask next, …
    ask: Instant,
    /// … and since when it is known to be gone.
    gone: Option<Instant>,
    /// When it is ended because the worker leaves.
    leaves: Option<Instant>,
    _company: Company,
}

/// What keeps a program from being started.
enum Refusal {
    /// There is no process, descriptor or memory for one: the client waits.
    Postponed(NotRun),
    /// It will not do any better later.
    Refused(NotRun),
}

/// A program on its way: what is known of it before it runs. The kernel takes a
/// while to make a process of it, so that is [`Work`].
pub struct Starting {
    launch: Launch<Result<Fresh, NotRun>>,
    ready: Epoll,
    errors: Option<OwnedFd>,
    shown: String,
    /// What the row says of it.
    text: Vec<u8>,
    limits: SessionLimits,
    line: Option<Line>,
    company: Company,
    /// When it is given up.
    deadline: Instant,
}

/// All that a program is started with.
struct Order {
    program: CString,
    directory: CString,
    arguments: Vec<u8>,
    environment: Vec<u8>,
    socket: OwnedFd,
    errors: Option<OwnedFd>,
    limits: SessionLimits,
}

impl Order {
    fn run(self) -> Result<Fresh, NotRun> {
        let (socket, limits) = (self.socket.as_fd(), &self.limits);
        let errors = self.errors.as_ref().map_or(socket, AsFd::as_fd);
        let started = launcher::start(&launcher::Launch {
            image: Image::Named {
                path: &self.program,
                directory: &self.directory,
            },
            arguments: &self.arguments,
            environment: &self.environment,
            streams: [socket, socket, errors],
            limits: Limits {
                memory: limits.memory,
                processor_time: limits.processor_time.map(whole_seconds),
                open_files: limits.open_files,
                processes: limits.processes,
                file_size: limits.file_size,
                core: limits.core,
            },
            nice: i32::from(limits.nice),
            umask: limits.umask,
        });
        started.map(Fresh::new)
    }
}

/// An order, and what is kept of it here.
struct Prepared {
    order: Order,
    ready: Epoll,
    errors: Option<OwnedFd>,
    company: Company,
}

impl Starting {
    /// Makes ready to start a program and to give it `stream`, of which this
    /// process keeps its descriptor: the driver closes it, see
    /// [`Connection::let_go`](super::connection::Connection::let_go). The work
    /// is to be done in a thread that lives as long as the program may.
    ///
    /// # Errors
    /// [`RunError::Busy`] where another try may succeed, any other where it
    /// will not; both are told to the log.
    pub fn prepare(
        wanted: &HandOver<'_>,
        stream: &mut Stream,
        peer: &Peer,
        text: &[u8],
        duty: &Duty,
        now: Instant,
    ) -> Result<(Self, Work), RunError> {
        let name = printable(wanted.program.to_bytes());
        let shown = format!("{}: exec {name}", Who(peer, None));
        let prepared = Self::try_prepare(wanted, stream, peer, duty);
        let prepared = prepared.map_err(|why| tell(&shown, why, duty, now))?;
        let order = prepared.order;
        let (launch, work) = Launch::order(|| order.run());
        // A thread of the worker's own that started it would hang as long at most.
        let patience = duty.limits.worker_timeout;
        let patience = wanted
            .limits
            .timeout
            .map_or(patience, |all| all.min(patience));
        let starting = Self {
            launch,
            ready: prepared.ready,
            errors: prepared.errors,
            shown,
            text: text.to_vec(),
            limits: *wanted.limits,
            // A connection that is not there any more has nothing to be silent.
            line: Line::of(stream.as_fd()),
            company: prepared.company,
            deadline: now + patience,
        };
        Ok((starting, work))
    }

    fn try_prepare(
        wanted: &HandOver<'_>,
        stream: &mut Stream,
        peer: &Peer,
        duty: &Duty,
    ) -> Result<Prepared, Refusal> {
        stream.make_patient().map_err(refused("fcntl"))?;
        let ready = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC);
        let ready = ready.map_err(|errno| refused("epoll_create1")(errno.into()))?;
        let pipe = match wanted.errors {
            Errors::Socket => None,
            Errors::Log => Some(pipe().map_err(refused("pipe2"))?),
        };
        let socket = stream.as_fd().try_clone_to_owned();
        let company = duty.programs.join(peer);
        let (errors, write_errors) = pipe.unzip();
        let order = Order {
            program: wanted.program.to_owned(),
            directory: wanted.directory.to_owned(),
            arguments: wanted.arguments.to_vec(),
            environment: complete(wanted.environment, stream.as_fd(), peer, &company),
            socket: socket.map_err(refused("dup"))?,
            errors: write_errors,
            limits: *wanted.limits,
        };
        Ok(Prepared {
            order,
            ready,
            errors,
            company,
        })
    }

    /// When it should run.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// It is waited for no longer.
    pub fn give_up(self, duty: &Duty, now: Instant) -> RunError {
        tell(&self.shown, Refusal::Refused(late()), duty, now);
        RunError::Late
    }

    /// The work was done: what came of it.
    ///
    /// # Errors
    /// As [`Starting::prepare`].
    pub fn finish(self, duty: &Duty, now: Instant) -> Result<Session, RunError> {
        let started = self.launch.outcome().unwrap_or_else(|| {
            let error = io::Error::other("whoever started it panicked");
            Err(NotRun {
                step: "start",
                error,
            })
        });
        let started = started.map_err(|why| match (why.step, kind_of(&why.error)) {
            // What a program of this kind may not have, it will not have later.
            (launcher::CLONE, RunError::Exhausted) => Refusal::Postponed(why),
            (_, _) => Refusal::Refused(why),
        });
        let shown = &self.shown;
        let fresh = started.map_err(|why| tell(shown, why, duty, now))?;
        let (pid, pidfd) = fresh.adopt().ok_or(RunError::Failed)?;
        let errors = self.errors.iter().map(AsFd::as_fd);
        for fd in errors.chain([pidfd.as_fd()]) {
            if let Err(errno) = self.ready.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, 0)) {
                end_at_once(pid);
                return Err(tell(shown, refused("epoll_ctl")(errno.into()), duty, now));
            }
        }
        Ok(Session {
            errors: ErrorLines::new(self.errors, format!("{shown} [{pid}]")),
            pid,
            pidfd,
            ready: self.ready,
            number: duty.programs.next_number(),
            begun: now,
            ask: now + self.limits.idle,
            limits: self.limits,
            text: self.text,
            phase: Phase::Running,
            end: None,
            cut: None,
            line: self.line,
            gone: None,
            leaves: None,
            _company: self.company,
        })
    }
}

fn refused(step: &'static str) -> impl Fn(io::Error) -> Refusal {
    move |error| match kind_of(&error) {
        RunError::Exhausted => Refusal::Postponed(NotRun { step, error }),
        RunError::NotFound
        | RunError::Denied
        | RunError::Escapes
        | RunError::Busy
        | RunError::Late
        | RunError::Failed => Refusal::Refused(NotRun { step, error }),
    }
}

/// Says why a program does not run, and what that means for its client.
fn tell(shown: &str, refusal: Refusal, duty: &Duty, now: Instant) -> RunError {
    let (level, why, error, then) = match &refusal {
        Refusal::Postponed(why) => {
            let then = "; trying again, the client waits";
            (Level::Warn, why, RunError::Busy, then)
        }
        Refusal::Refused(why) => (Level::Error, why, kind_of(&why.error), ""),
    };
    if duty.complaints.may_speak(level, now) {
        // A test waits for this line.
        log::log!(level, "{shown}: cannot be run: {why}{then}");
    }
    error
}

impl Session {
    /// What the row says of it.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Sees what there is to see; to be called whenever [`Session::as_fd`] is
    /// readable and when [`Session::due`] has come. With `leaving`, the worker
    /// is on its way out, and has so much time from the first such call on.
    /// Answers how the session ended, once it has.
    pub fn look(&mut self, now: Instant, leaving: Option<Duration>) -> Option<SessionEnd> {
        self.errors.hear(&self.ready);
        if self.end.is_none() && has_exited(self.pid) {
            self.bury(now);
        }
        match self.phase {
            Phase::Running => self.judge(now, leaving),
            Phase::Told { until } | Phase::Cut { until } if until <= now => {
                self.signal(Signal::SIGKILL);
                let until = now + AGAIN;
                self.phase = Phase::Cut { until };
            }
            Phase::Left { until } => self.see_off(until, now),
            Phase::Told { .. } | Phase::Cut { .. } | Phase::Over => {}
        }
        if self.phase != Phase::Over {
            return None;
        }
        self.errors.hear(&self.ready);
        self.errors.complaints.finish();
        let end = self.end.unwrap_or(ProgramEnd::Stopped);
        Some(self.cut.map_or(SessionEnd::Ended(end), SessionEnd::Cut))
    }

    /// When to call [`Session::look`], whatever happens.
    pub fn due(&self, now: Instant) -> Instant {
        match self.phase {
            Phase::Running => {
                let timeout = self.limits.timeout.map(|timeout| self.begun + timeout);
                let ask = self.line.map(|_| self.ask);
                let first = [timeout, ask, self.leaves].into_iter().flatten().min();
                first.unwrap_or(now + NEVER)
            }
            Phase::Told { until } | Phase::Cut { until } => until,
            Phase::Left { until } => until.min(now + LOOK),
            Phase::Over => now,
        }
    }

    /// Its process id.
    pub fn id(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Whether a deadline is over.
    fn judge(&mut self, now: Instant, leaving: Option<Duration>) {
        if let Some(time) = leaving {
            // The master's own patience must not end before the group has.
            let grace = self.limits.grace.min(time / 2);
            let margin = (time / 10).max(MARGIN.min(time / 4));
            let leaves = *self.leaves.get_or_insert(now + time - grace - margin);
            self.limits.grace = grace;
            if leaves <= now {
                return self.tell(SessionCut::Draining, now);
            }
        }
        let timeout = self.limits.timeout.map(|timeout| self.begun + timeout);
        if timeout.is_some_and(|timeout| timeout <= now) {
            self.tell(SessionCut::Overdue, now);
        } else if self.ask <= now {
            self.judge_silence(now);
        }
    }

    fn judge_silence(&mut self, now: Instant) {
        let Some(line) = self.line else { return };
        let idle = self.limits.idle;
        let silent = match line.silence() {
            Ok(Silence::Since(silent)) => {
                self.gone = None;
                // Before it began it was none of the program's.
                silent.min(now.saturating_duration_since(self.begun))
            }
            // It may still have something to do; but who does not notice that
            // its client is gone would stay for ever.
            Ok(Silence::Gone) => now.saturating_duration_since(*self.gone.get_or_insert(now)),
            Err(error) => {
                let label = &self.errors.complaints.label;
                log::warn!("{label}: sock_diag: {error}: its idle_timeout is not kept");
                self.line = None;
                return;
            }
        };
        if silent >= idle {
            self.tell(SessionCut::Idle, now);
        } else {
            self.ask = now + (idle - silent);
        }
    }

    /// Tells it, and all that it started, to end.
    fn tell(&mut self, why: SessionCut, now: Instant) {
        log::info!("{}: {}: SIGTERM", self.errors.complaints.label, why.name());
        self.cut = Some(why);
        self.signal(Signal::SIGTERM);
        let until = now + self.limits.grace;
        self.phase = Phase::Told { until };
    }

    /// The program has ended: says so, and looks who is left of its group.
    fn bury(&mut self, now: Instant) {
        // It stays readable for ever, and somebody may be left in the group.
        let _ = self.ready.delete(&self.pidfd);
        // Whoever is left in the group is told while its number is its own.
        self.signal(Signal::SIGTERM);
        let (end, how, usage) = match process::reap_child(self.pid) {
            Ok((WaitStatus::Exited(_, code), usage)) => {
                (ProgramEnd::Exited(code), format!("exited {code}"), usage)
            }
            Ok((WaitStatus::Signaled(_, signal, _), usage)) => {
                let end = ProgramEnd::Killed(signal as i32);
                (end, format!("killed by {signal}"), usage)
            }
            // Somebody else waited for it: then its status is nobody's.
            Ok(_) | Err(_) => (ProgramEnd::Stopped, "ended".to_owned(), Usage::default()),
        };
        self.end = Some(end);
        let level = match (end, self.cut) {
            (ProgramEnd::Killed(_), None) => Level::Warn,
            (ProgramEnd::Exited(_) | ProgramEnd::Stopped, _) | (_, Some(_)) => Level::Info,
        };
        // Tests wait for this line.
        log::log!(
            level,
            "{}: {how} after {:.3} s; session {}, user {:.3} s, system {:.3} s, {} KiB",
            self.errors.complaints.label,
            now.saturating_duration_since(self.begun).as_secs_f64(),
            self.number,
            usage.user.as_secs_f64(),
            usage.system.as_secs_f64(),
            usage.max_rss,
        );
        let until = match self.phase {
            Phase::Told { until } | Phase::Cut { until } | Phase::Left { until } => until,
            Phase::Running | Phase::Over => now + self.limits.grace,
        };
        self.phase = Phase::Left { until };
    }

    /// Somebody may be left in its group.
    fn see_off(&mut self, until: Instant, now: Instant) {
        let left = launcher::signal_group(self.pidfd.as_fd(), self.pid, None);
        if left == Err(Errno::ESRCH) {
            self.phase = Phase::Over;
        } else if until <= now {
            self.signal(Signal::SIGKILL);
            self.phase = Phase::Over;
        }
    }

    /// Signals its group.
    fn signal(&self, signal: Signal) {
        // Nobody is left: all the better.
        let _ = launcher::signal_group(self.pidfd.as_fd(), self.pid, Some(signal));
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.0.as_fd()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.phase != Phase::Over {
            self.signal(Signal::SIGKILL);
            if self.end.is_none() {
                let _ = process::reap_child(self.pid);
            }
        }
    }
}

/// The environment with what only the socket says.
fn complete(given: &[u8], socket: BorrowedFd<'_>, peer: &Peer, company: &Company) -> Vec<u8> {
    let mut block = given.to_vec();
    // Writing to a Vec cannot fail.
    if peer.remote.is_some() {
        let _ = write!(block, "TCPCONNNUM={}\0", company.count());
        return block;
    }
    let local = socket2::SockRef::from(&socket).local_addr();
    if let Some(path) = local.as_ref().ok().and_then(|local| local.as_pathname()) {
        block.extend_from_slice(b"UNIXLOCALPATH=");
        block.extend_from_slice(path.as_os_str().as_bytes());
        block.push(0);
    }
    if let Ok(who) = getsockopt(&socket, sockopt::PeerCredentials) {
        let _ = write!(
            block,
            "UNIXREMOTEPID={}\0UNIXREMOTEEUID={}\0UNIXREMOTEEGID={}\0",
            who.pid(),
            who.uid(),
            who.gid()
        );
    }
    block
}
