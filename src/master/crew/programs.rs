//! Workers that are programs: what they say, what they write, and how they are
//! told to leave.
//!
//! A program cannot write a row of the scoreboard, so the master does that on
//! its behalf, from what it says on a socket of its own (sd_notify(3)), or from
//! the time that it has lived. Each has a socket and a pipe for itself: nobody
//! needs to be asked who speaks, one that floods the master fills nothing but
//! its own queue, and what it has said last is read after its death. Its lines
//! go through the master, and not straight to the log's file, because only so
//! they are whole, harmless, and in the new file after a rotation.
//!
//! ```text
//!   program ──READY=1, STATUS=…──▶ socket ─┐  a bound a turn, and a pause for
//!   program ──stdout, stderr─────▶ pipe ───┴▶ whoever reaches it
//!   told to leave: refuse handshakes ▶ queue empty ▶ its stop signal ▶ SIGKILL
//! ```
//!
//! Owes: no read that waits, no memory that grows with what is said, nobody of
//! a program's session left behind.

mod lines;
mod socket;
mod word;

use super::memory::own;
use super::{Cohort, Crew, Worker};
use crate::config::{App, Pool, Ready, Stream};
use crate::log::{Torn, Voice};
use crate::master::death::End;
use crate::master::message::WorkerId;
use crate::net::Listener;
use crate::scoreboard::{Row, RowState};
use crate::worker::{Belongings, signal_of, stragglers};
use lines::Lines;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::WaitStatus;
use nix::unistd::{Pid, geteuid, pipe2, read};
use socket::{notify_socket, receive, speaks_for};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use word::{Message, Watchdog};

/// Datagrams that are read of one program in one turn.
const MESSAGES: usize = 16;
/// Reads of the output of one program in one turn, of so many octets each.
const READS: usize = 64;
const PIECE: usize = 1024;
/// Lines that are written for all programs together in one turn, and no more than
/// those of one read beyond: a line costs the master what it costs however short it
/// is.
const LINES: usize = 512;
/// Whoever reaches such a bound is not listened to for so long.
const PAUSE: Duration = Duration::from_millis(10);
/// How often is looked whether a queue is empty.
const LOOK: Duration = Duration::from_millis(10);
/// More than a pipe can hold: what a dead program has left is read whole.
const LEFT: usize = 128;

/// What the master has of a worker that is a program.
pub(super) struct Program {
    notify: Option<OwnedFd>,
    output: Option<OwnedFd>,
    lines: Lines,
    torn: Torn,
    voice: Option<Voice>,
    ready: Ready,
    /// Who may speak for it when it cannot be asked any more.
    uid: u32,
    /// What a sign of life is good for.
    patience: Duration,
    stop_signal: Signal,
    reopen_signal: Option<Signal>,
    watch: Watch,
    /// It runs, for it has spoken: what stands in its row is its own.
    spoke: bool,
    parting: Parting,
    /// What it had of its own when it became READY, where that was asked for.
    weight: Option<u64>,
    /// Not listened to before.
    paused: Option<Instant>,
}

/// Whether a program is looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watch {
    /// It has never asked for that.
    Off,
    /// It promised a sign of life each so often.
    On { last: Instant, patience: Duration },
    /// It says that it hangs.
    Triggered,
}

/// How far a program is on its way out.
#[derive(Debug)]
enum Parting {
    /// It serves.
    Not,
    /// Its listeners take no new client; it is told when their queues are empty,
    /// and have been for a while, or else at the end of that time.
    Emptying {
        listeners: Vec<Arc<Listener>>,
        empty: Option<Instant>,
        until: Instant,
    },
    /// It was told.
    Told,
}

impl Program {
    /// Everything for a program of this kind, and what it gets of it.
    ///
    /// # Errors
    /// As socket(2), bind(2) and pipe(2).
    pub(super) fn new(
        pool: &Pool,
        app: &App,
        names: Vec<String>,
    ) -> io::Result<(Self, Belongings)> {
        let (notify, name) = match app.ready {
            Ready::Notify => {
                let (socket, name) = notify_socket()?;
                (Some(socket), Some(name))
            }
            Ready::Alive(_) => (None, None),
        };
        let listens = [app.stdout, app.stderr].contains(&Stream::Log);
        let (output, theirs) = match listens {
            true => {
                let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
                // The other end waits where it is full: that is the program's to bear.
                let flags = nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK);
                nix::fcntl::fcntl(&ours, flags)?;
                (Some(ours), Some(theirs))
            }
            false => (None, None),
        };
        let program = Self {
            notify,
            output,
            lines: Lines::default(),
            torn: Torn::default(),
            voice: None,
            ready: app.ready,
            uid: match &pool.identity {
                Some(identity) => identity.uid,
                None => geteuid().as_raw(),
            },
            patience: pool.worker_timeout,
            stop_signal: signal_of(app.stop_signal),
            reopen_signal: app.reopen_signal.map(signal_of),
            watch: Watch::Off,
            spoke: false,
            parting: Parting::Not,
            weight: None,
            paused: None,
        };
        let belongings = Belongings {
            names,
            output: theirs,
            notify: name,
        };
        Ok((program, belongings))
    }

    /// In whose name its lines are written.
    pub(super) fn introduce(&mut self, pool: &str, slot: usize, pid: Pid) {
        self.voice = Some(Voice::new(pool, slot, pid.as_raw().unsigned_abs()));
    }

    /// Takes note of what it weighs, in the beginning.
    pub(super) fn weigh(&mut self, pid: Pid) {
        self.weight = own(pid.as_raw());
    }

    /// Whether it began with less than `limit`: else its successor would be as
    /// heavy.
    pub(super) fn was_lighter_than(&self, limit: u64) -> bool {
        self.weight.is_some_and(|weight| weight < limit)
    }

    /// What wakes the master.
    fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let all = [&self.notify, &self.output].into_iter().flatten();
        all.map(AsFd::as_fd)
    }

    /// Whether it has said anything: then it was started.
    pub(super) const fn has_spoken(&self) -> bool {
        self.spoke
    }

    fn is_paused(&self, now: Instant) -> bool {
        self.paused.is_some_and(|until| now < until)
    }

    /// Whether it owes a sign of life. Who was told to end has a deadline for that,
    /// and seldom goes on promising.
    pub(super) fn is_hung(&self, now: Instant) -> bool {
        if matches!(self.parting, Parting::Told) {
            return false;
        }
        match self.watch {
            Watch::Off => false,
            Watch::On { last, patience } => now.saturating_duration_since(last) > patience,
            Watch::Triggered => true,
        }
    }

    /// What its death was: to end by the signal at which it should, or to say so
    /// as a shell does, is a good end.
    pub(super) fn end(&self, end: End, status: WaitStatus) -> End {
        let told = matches!(self.parting, Parting::Told);
        let as_told = match status {
            WaitStatus::Signaled(_, signal, _) => signal == self.stop_signal,
            WaitStatus::Exited(_, code) => code == 128 + self.stop_signal as i32,
            _ => false,
        };
        if told && as_told { End::Exited(0) } else { end }
    }

    /// Takes in what it says; answers whether there may be more.
    fn hear(&mut self, pid: Pid, row: Row, now: Instant) -> bool {
        for _ in 0..MESSAGES {
            let Some(socket) = &self.notify else {
                return false;
            };
            let message = match receive(socket) {
                Ok((octets, sender)) if speaks_for(sender, pid, self.uid) => {
                    Message::parse(&octets)
                }
                Ok((_, sender)) => {
                    log::debug!(
                        "program {pid}: process {} speaks for it: unheard",
                        sender.pid
                    );
                    continue;
                }
                // One without a sender is nobody's.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => continue,
                Err(_) => return false,
            };
            self.spoke = true;
            note(&message, row, now);
            match message.watchdog {
                None => {}
                Some(Watchdog::Trigger) => self.watch = Watch::Triggered,
                Some(Watchdog::Alive) => self.see(row, now),
            }
            if let Some(patience) = message.patience {
                self.patience = patience;
                self.see(row, now);
            }
        }
        true
    }

    /// It lives, and promises to say so again.
    fn see(&mut self, row: Row, now: Instant) {
        row.tick(now);
        let patience = self.patience;
        self.watch = Watch::On {
            last: now,
            patience,
        };
    }

    /// Takes in what it writes, up to so many reads, and as long as `tell` answers
    /// that it takes more lines; answers whether there may be more.
    fn listen(
        &mut self,
        reads: usize,
        mut tell: impl FnMut(&Voice, &str, &mut Torn) -> bool,
    ) -> bool {
        let Self {
            output,
            lines,
            torn,
            voice: Some(voice),
            ..
        } = self
        else {
            return false;
        };
        let mut more = true;
        for _ in 0..reads {
            let Some(pipe) = output else { return false };
            let mut room = [0; PIECE];
            match read(pipe, &mut room) {
                Ok(0) => {
                    lines.finish(|line| more = tell(voice, line, torn));
                    *output = None;
                }
                Ok(count) => lines.take(&room[..count], |line| more = tell(voice, line, torn)),
                Err(Errno::EINTR) => {}
                Err(_) => return false,
            }
            if !more {
                return true;
            }
        }
        true
    }

    /// Nothing follows.
    fn finish(&mut self, mut tell: impl FnMut(&Voice, &str, &mut Torn)) {
        if let Some(voice) = &self.voice {
            let torn = &mut self.torn;
            self.lines.finish(|line| tell(voice, line, torn));
        }
    }
}

impl Crew {
    /// What wakes the master when a program speaks.
    pub fn watch_programs<'c>(&'c self, ready: &mut Vec<PollFd<'c>>) {
        let now = Instant::now();
        let programs = self.workers.values().filter_map(|one| one.program.as_ref());
        let awake = programs.filter(|program| !program.is_paused(now));
        let sources = awake.flat_map(Program::sources);
        ready.extend(sources.map(|one| PollFd::new(one, PollFlags::POLLIN)));
    }

    /// When [`Crew::attend_programs`] is due, at the latest.
    pub fn program_deadline(&self, now: Instant) -> Option<Instant> {
        let due = |worker: &Worker| {
            let program = worker.program.as_ref()?;
            let ready = match program.ready {
                Ready::Alive(time) if worker.ready.is_none() => Some(worker.spawned + time),
                Ready::Alive(_) | Ready::Notify => None,
            };
            let parting = match program.parting {
                Parting::Emptying { .. } => Some(now + LOOK),
                Parting::Not | Parting::Told => None,
            };
            [ready, parting, program.paused].into_iter().flatten().min()
        };
        self.workers.values().filter_map(due).min()
    }

    /// Whether this worker is a program, of whose connections nobody knows.
    pub fn is_program(&self, id: WorkerId) -> bool {
        let worker = self.workers.get(&id);
        worker.is_some_and(|worker| worker.program.is_some())
    }

    /// Hears what programs say and write, and does on their behalf what is due.
    pub fn attend_programs(&mut self, now: Instant) {
        let mut lines = LINES;
        let mut speakers = self.speakers(now);
        // Who comes too late for the lines of this turn is among the first in the next.
        let next = speakers.partition_point(|id| *id <= self.heard);
        speakers.rotate_left(next);
        for id in speakers {
            if lines > 0 {
                self.heard = id;
            }
            self.hear_program(id, &mut lines, now);
        }
        let Self {
            workers,
            scoreboard,
            ..
        } = self;
        for worker in workers.values_mut() {
            let Some(program) = &mut worker.program else {
                continue;
            };
            program.paused = program.paused.filter(|until| now < *until);
            if let Ready::Alive(time) = program.ready
                && worker.ready.is_none()
                && worker.spawned + time <= now
            {
                be_ready(scoreboard.row(worker.first_row), now);
            }
        }
        self.tell_those_with_empty_queues(now);
    }

    /// Programs that have said or written something.
    fn speakers(&self, now: Instant) -> Vec<WorkerId> {
        let (mut ids, mut look) = (Vec::new(), Vec::new());
        for (id, worker) in &self.workers {
            let program = worker.program.iter().filter(|one| !one.is_paused(now));
            for source in program.flat_map(Program::sources) {
                ids.push(*id);
                look.push(PollFd::new(source, PollFlags::POLLIN));
            }
        }
        if look.is_empty() || poll(&mut look, PollTimeout::ZERO).is_err() {
            return Vec::new();
        }
        let spoke = |(id, look): (WorkerId, &PollFd<'_>)| look.any()?.then_some(id);
        let mut found: Vec<WorkerId> = ids.into_iter().zip(&look).filter_map(spoke).collect();
        found.dedup();
        found
    }

    fn hear_program(&mut self, id: WorkerId, lines: &mut usize, now: Instant) {
        self.with_program(id, |program, pid, row, cohort| {
            let says = program.hear(pid, row, now);
            let writes = *lines == 0
                || program.listen(READS, |voice, line, torn| {
                    cohort.relay(voice, line, torn);
                    *lines = lines.saturating_sub(1);
                    *lines > 0
                });
            if says || writes {
                program.paused = Some(now + PAUSE);
            }
        });
    }

    /// A program has ended: what it has left to be read.
    pub(super) fn hear_last_words(&mut self, id: WorkerId) {
        self.with_program(id, |program, pid, row, cohort| {
            program.hear(pid, row, Instant::now());
            program.listen(LEFT, |voice, line, torn| {
                cohort.relay(voice, line, torn);
                true
            });
            program.finish(|voice, line, torn| cohort.relay(voice, line, torn));
        });
    }

    /// Does something about a worker that is a program, with its row and cohort.
    fn with_program(
        &mut self,
        id: WorkerId,
        work: impl FnOnce(&mut Program, Pid, Row, &mut Cohort),
    ) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        let cohort = self.cohorts.get_mut(&worker.cohort);
        if let (Some(program), Some(cohort)) = (&mut worker.program, cohort) {
            let row = self.scoreboard.row(worker.first_row);
            work(program, worker.pid, row, cohort);
        }
    }

    /// Tells a program to leave: at once, or when the queues of those listeners
    /// are empty that nobody else will have.
    pub(super) fn part_with(&mut self, id: WorkerId, last_of: Vec<Arc<Listener>>) {
        let now = Instant::now();
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        let patience = match self.cohorts.get(&worker.cohort) {
            Some(cohort) => cohort.graceful_timeout,
            None => Duration::ZERO,
        };
        if let Some(program) = &mut worker.program
            && matches!(program.parting, Parting::Not)
        {
            program.parting = Parting::Emptying {
                listeners: last_of,
                empty: None,
                // The other half is for what it has then.
                until: now + patience / 2,
            };
        }
        self.tell_those_with_empty_queues(now);
    }

    fn tell_those_with_empty_queues(&mut self, now: Instant) {
        let mut told = Vec::new();
        for (id, worker) in &mut self.workers {
            let Some(program) = &mut worker.program else {
                continue;
            };
            let Parting::Emptying {
                listeners,
                empty,
                until,
            } = &mut program.parting
            else {
                continue;
            };
            if listeners.iter().any(|one| one.is_wanted()) {
                *empty = None;
            }
            let since = *empty.get_or_insert(now);
            let cohort = self.cohorts.get(&worker.cohort);
            // Who was in the middle of a handshake comes yet.
            let a_while = match cohort.filter(|_| !listeners.is_empty()) {
                Some(cohort) => stragglers(cohort.opened.pool.defer_accept),
                None => Duration::ZERO,
            };
            let is_empty = !listeners.iter().any(|one| one.is_wanted());
            if is_empty && now.saturating_duration_since(since) >= a_while || *until <= now {
                program.parting = Parting::Told;
                told.push((*id, program.stop_signal));
            }
        }
        for (id, signal) in told {
            self.signal(id, signal);
        }
    }

    /// The signal at which a worker opens its logs anew, where it is a program.
    pub(super) fn reopen_signal(worker: &Worker) -> Option<Option<Signal>> {
        worker.program.as_ref().map(|program| program.reopen_signal)
    }
}

impl Cohort {
    /// A line of one of its programs goes where its workers' lines go.
    fn relay(&mut self, voice: &Voice, line: &str, torn: &mut Torn) {
        if self.opened.relay(voice, line, torn) {
            return;
        }
        match &mut self.log {
            Some(log) => log.relay(voice, line, torn),
            None => crate::log::relay(voice, line),
        }
    }

    /// What LISTEN_FDNAMES says, a name for each listener of a worker.
    pub(super) fn listener_names(&self, app: &App) -> Vec<String> {
        let pool = &self.opened.pool;
        let counts = self.listeners.counts(pool).into_iter().enumerate();
        let named = counts.flat_map(|(index, count)| {
            let name = app.fd_names.get(index).unwrap_or(&pool.name);
            std::iter::repeat_n(name.clone(), count)
        });
        named.collect()
    }
}

/// Ends every process of the group that a program leads, or had led.
pub(super) fn end_session(leader: Pid) {
    // It may be alone, and gone.
    let _ = killpg(leader, Signal::SIGKILL);
}

/// Has the row show what the message says.
fn note(message: &Message, row: Row, now: Instant) {
    if message.ready {
        be_ready(row, now);
    }
    if let Some(status) = &message.status {
        row.set_text(status.as_bytes());
    }
    if message.stopping {
        row.ask_for_successor();
    }
}

fn be_ready(row: Row, now: Instant) {
    row.tick(now);
    row.set_state(RowState::Program, now);
    row.set_ready();
}
