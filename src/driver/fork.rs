//! A fresh process for each connection, as inetd and the textbook have it.
//!
//! The worker itself only accepts, forks and reaps; each child runs the
//! blocking driver for its one connection and leaves by _exit(2). There are
//! never more children than `max_connections`: past that the clients wait in
//! the queue.

use super::accept::{Accepted, accept};
use super::blocking::{PAUSE, pause, serve_begun, timeout};
use super::connection::Connection;
use super::gate::{PATIENCE, has_clients};
use super::{Duty, Lane, Leave, ORPHAN_SECONDS};
use crate::admission::Claim;
use crate::net::Stream;
use crate::protocol::Peer;
use crate::scoreboard::{Counter, Row, RowState};
use crate::sys::{process, socket};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::wait::WaitStatus;
use nix::unistd::{Pid, getpid, getppid};
use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often the children are looked after.
const ROUND: Duration = Duration::from_secs(1);

/// A child in one of the worker's lanes.
struct Child {
    pid: Pid,
    /// The reopening of logs before its birth: it writes to these files.
    reopened: u64,
    /// The requests of those who had its lane before.
    requests: u64,
}

struct Parent<'d> {
    duty: &'d Duty,
    lane: Lane<'d>,
    /// The lane of the next child, which takes it along: whatever a child runs
    /// first, or writes first, is a page to fetch or to copy, and what is at
    /// hand here costs it less of that. Never `None` in the worker itself.
    next: Option<Lane<'d>>,
    /// Who is in lane N + 1; lane 0 is the worker's own.
    children: Vec<Option<Child>>,
    connections: u64,
    requests: u64,
    accepting: bool,
    told: bool,
    /// When the children were last looked at for one that hangs.
    looked: Instant,
    /// When the children of an orphan are ended.
    cut_at: Option<Instant>,
    /// Until when stragglers are waited for, by the last owner of a queue; and
    /// longer, where it is full and others may wait in it.
    stragglers: Option<Instant>,
    /// A client for whom the system had no process.
    postponed: Option<Postponed>,
    /// Until when no place in the pool is looked for, for all were taken.
    crowded: Option<Instant>,
    /// When a lack of processes is worth another line.
    complain_at: Instant,
}

/// A client who waits for a process, and when to try again.
struct Postponed {
    /// Where it was counted. Nobody takes the place meanwhile.
    lane: usize,
    stream: Stream,
    peer: Peer,
    claim: Claim,
    at: Instant,
}

/// So long between two lines about a lack of processes.
const COMPLAINTS: Duration = Duration::from_secs(1);

/// So many are turned away before children and signals are looked after.
const MOST_TURNED_AWAY: usize = 64;

/// Accepts and forks until the worker must leave.
pub fn run(duty: &Duty) -> Leave {
    let Some((&row, lanes)) = duty.rows.split_first() else {
        return Leave::Retired;
    };
    let lane = Lane::many(duty, row);
    let mut next = Lane::single(duty, row, true);
    next.spares.stock_up();
    let mut parent = Parent {
        duty,
        complain_at: lane.now,
        lane,
        next: Some(next),
        children: lanes.iter().map(|_| None).collect(),
        connections: 0,
        requests: 0,
        accepting: true,
        told: false,
        looked: Instant::now(),
        cut_at: None,
        stragglers: None,
        postponed: None,
        crowded: None,
    };
    row.set_state(RowState::Serving, parent.lane.now);
    parent.run().unwrap_or_else(Leave::Sick)
}

impl Parent<'_> {
    fn run(&mut self) -> io::Result<Leave> {
        let mut shown = None;
        loop {
            self.reap();
            // Requests are counted when their child is reaped.
            self.duty.may_go_on(self.connections, self.requests);
            self.lane.row.tick(self.lane.now);
            self.retire_if_told();
            self.note_reopening();
            let busy = self.busy();
            if shown != Some((busy, self.told)) {
                shown = Some((busy, self.told));
                self.show(busy);
            }
            let waiting = self.stragglers.is_some() || self.postponed.is_some();
            if !self.accepting && busy == 0 && !waiting {
                return Ok(if self.duty.is_retired() {
                    Leave::Retired
                } else {
                    Leave::Worn
                });
            }
            let clients = self.wait(busy)?;
            if self.serve_postponed() && (clients || self.stragglers.is_some()) {
                self.accept_batch()?;
            }
            self.end_stragglers();
        }
    }

    fn busy(&self) -> usize {
        self.children.iter().flatten().count()
    }

    fn show(&self, busy: usize) {
        self.lane.row.set_active(busy as u64);
        let noun = if busy == 1 { "child" } else { "children" };
        match (busy, self.told) {
            (0, false) => self.lane.show_summary("idle"),
            (_, false) => self.lane.show_summary(&format!("serving, {busy} {noun}")),
            (_, true) => self.lane.show_summary(&format!("draining, {busy} {noun}")),
        }
    }

    /// Waits for clients (unless it is full, or one is postponed), signals and
    /// the end of the master; answers whether there may be clients.
    fn wait(&mut self, busy: usize) -> io::Result<bool> {
        let able = busy < self.children.len() && self.postponed.is_none();
        let able = able && self.crowded.is_none();
        let watching = able && (self.accepting || self.stragglers.is_some());
        let mut ready = vec![PollFd::new(self.duty.wake.as_fd(), PollFlags::POLLIN)];
        // Once it is known, an end of file must not wake us for ever.
        let known = usize::from(self.cut_at.is_some());
        if known == 0 {
            ready.push(PollFd::new(self.duty.life.as_fd(), PollFlags::POLLIN));
        }
        if watching {
            let queues = self.duty.queues.iter();
            ready.extend(queues.map(|one| PollFd::new(one.as_fd(), PollFlags::POLLIN)));
        }
        // Somebody must see whether the children move.
        let round = (busy > 0).then(|| self.lane.now + ROUND);
        // What is full waits for a child to end, not for stragglers.
        let stragglers = self.stragglers.filter(|_| watching);
        let retry = self.postponed.as_ref().map(|one| one.at);
        let partings = self.lane.partings.due();
        let due = [
            self.cut_at,
            stragglers,
            retry,
            round,
            self.crowded,
            partings,
        ];
        let due = due.into_iter().flatten().min();
        let patience = match due {
            Some(at) => timeout(at.saturating_duration_since(Instant::now())),
            None => PollTimeout::NONE,
        };
        self.lane.row.set_deadline(due);
        match poll(&mut ready, patience) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let found = |one: &PollFd<'_>| one.revents().is_some_and(|events| !events.is_empty());
        let orphaned = known == 0 && found(&ready[1]);
        let clients = ready.iter().skip(2 - known).any(found);
        // Empty it; what it means is looked up each time round.
        let _ = self.duty.wake.read();
        self.lane.look_at_clock();
        self.lane.row.set_deadline(Some(self.lane.now));
        self.crowded = self.crowded.filter(|until| *until > self.lane.now);
        self.lane.partings.settle(self.lane.now);
        self.end_the_hung();
        if orphaned {
            self.duty.orphan();
            self.cut_at = Some(self.lane.now + Duration::from_secs(u64::from(ORPHAN_SECONDS) - 1));
        }
        if self.cut_at.is_some_and(|at| at <= self.lane.now) {
            self.signal_children(Signal::SIGKILL);
            self.cut_at = Some(self.lane.now + Duration::from_secs(1));
        }
        Ok(clients)
    }

    /// Told to retire: no more clients, but those whose queue nobody else will
    /// empty, and word to the children.
    fn retire_if_told(&mut self) {
        if self.duty.is_retired() && !self.told {
            self.told = true;
            self.accepting = false;
            self.signal_children(Signal::SIGTERM);
            if self.lane.row.last_owner_of() != 0 {
                self.stragglers = Some(self.lane.now + self.duty.limits.stragglers);
            }
        }
    }

    /// Stragglers are waited for no longer, unless more may wait than there
    /// are places for: then the queue was not emptied just now.
    fn end_stragglers(&mut self) {
        let emptied =
            self.busy() < self.children.len() && self.postponed.is_none() && self.crowded.is_none();
        if emptied && self.stragglers.is_some_and(|until| until <= self.lane.now) {
            self.stragglers = None;
        }
    }

    /// Ends children that should have moved on long ago. After a stop of our own
    /// theirs may have been the same: then they get a round to catch up.
    fn end_the_hung(&mut self) {
        let since = self.lane.now.saturating_duration_since(self.looked);
        if since < ROUND {
            return;
        }
        self.looked = self.lane.now;
        // Without children nobody wakes us to look.
        if since > 3 * ROUND {
            return;
        }
        let limit = self.duty.limits.worker_timeout;
        for (child, row) in self.children.iter().zip(&self.duty.rows[1..]) {
            let (Some(child), Some(overdue)) = (child, row.overdue(self.lane.now)) else {
                continue;
            };
            if overdue > limit {
                log::error!(
                    "child {} for {} shows no sign of life: SIGKILL: {}",
                    child.pid,
                    client(row),
                    row.text()
                );
                // Not reaped yet, so the number is still the child's.
                let _ = kill(child.pid, Signal::SIGKILL);
            }
        }
    }

    /// Says that the logs are reopened once no child writes to older ones.
    fn note_reopening(&self) {
        let done = self.duty.reopened.load(Ordering::SeqCst);
        let noted = self.lane.row.reopened();
        let mut children = self.children.iter().flatten();
        if noted.load(Ordering::SeqCst) < done && children.all(|child| child.reopened >= done) {
            noted.store(done, Ordering::SeqCst);
            self.duty.board.ring();
        }
    }

    fn signal_children(&self, signal: Signal) {
        for child in self.children.iter().flatten() {
            // Not reaped yet, so the number is still the child's.
            let _ = kill(child.pid, signal);
        }
    }

    fn accept_batch(&mut self) -> io::Result<()> {
        let owned = self.lane.row.last_owner_of();
        let mut turned_away = 0;
        for (index, queue) in self.duty.queues.iter().enumerate() {
            if self.told && owned >> index & 1 == 0 {
                continue;
            }
            while let Some(lane) = self.children.iter().position(Option::is_none) {
                self.lane.entry = lane;
                if !self.lane.reserve() {
                    if has_clients(queue.as_fd()) {
                        self.crowded = Some(self.lane.now + PATIENCE);
                    }
                    break;
                }
                let accepted = accept(queue.as_fd(), index, false);
                if !matches!(accepted, Accepted::Connection(..)) {
                    self.lane.leave();
                }
                match accepted {
                    Accepted::Connection(stream, peer) => {
                        let Some((stream, claim)) = self.lane.admit(stream, &peer) else {
                            turned_away += 1;
                            if turned_away < MOST_TURNED_AWAY {
                                continue;
                            }
                            return Ok(());
                        };
                        self.connections += 1;
                        self.hand_over(lane, (stream, claim), peer, false);
                        if self.postponed.is_some() {
                            return Ok(());
                        }
                        // What is worn still empties a queue that nobody else will.
                        let worn = !self.duty.may_go_on(self.connections, self.requests);
                        if worn && !self.told {
                            self.accepting = false;
                            return Ok(());
                        }
                    }
                    Accepted::Again => {}
                    Accepted::Nothing | Accepted::Parked => break,
                    Accepted::Exhausted(error) => {
                        pause(self.duty, &error);
                        break;
                    }
                    Accepted::Sick(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Tries once more for the postponed client, when it is time; answers
    /// whether there is none any more.
    fn serve_postponed(&mut self) -> bool {
        let due = |one: &mut Postponed| one.at <= self.lane.now;
        if let Some(one) = self.postponed.take_if(due) {
            self.hand_over(one.lane, (one.stream, one.claim), one.peer, true);
        }
        self.postponed.is_none()
    }

    /// Forks a child for one client. Signals wait meanwhile, so that none
    /// finds the child with its parent's errands. Where the system has no
    /// process for it the client waits, and all who come later in the queue:
    /// then it was counted before.
    fn hand_over(
        &mut self,
        lane: usize,
        (stream, claim): (Stream, Claim),
        peer: Peer,
        again: bool,
    ) {
        let row = self.duty.rows[lane + 1];
        let requests = row.count(Counter::Requests);
        row.vacate();
        let Some(next) = &mut self.next else { return };
        next.become_childs(&self.lane, row, self.connections);
        next.entry = lane;
        if again {
            next.show(&peer);
        } else {
            next.begin(&peer);
        }
        let mut handed = Some(Connection::new(stream, &peer, claim, next));
        let worker = getpid();
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
        let forked = process::fork_into(|| match (handed.take(), self.next.take()) {
            (Some(connection), Some(lane)) => serve_as_child(worker, mask.ok(), connection, lane),
            (_, _) => process::exit(0),
        });
        match forked {
            Ok(pid) => {
                row.occupy(pid.as_raw().unsigned_abs());
                let reopened = self.duty.reopened.load(Ordering::SeqCst);
                self.children[lane] = Some(Child {
                    pid,
                    reopened,
                    requests,
                });
            }
            Err(error) => {
                let now = self.lane.now;
                if self.complain_at <= now {
                    self.complain_at = now + COMPLAINTS;
                    log::warn!("fork for {peer}: {error}: trying again; clients wait in the queue");
                }
                let at = now + PAUSE;
                let stream = handed.map(Connection::into_stream);
                self.postponed = stream.map(|stream| Postponed {
                    lane,
                    stream,
                    peer,
                    claim,
                    at,
                });
                row.vacate();
            }
        }
        if let Ok(mask) = mask {
            // It was in force a moment ago.
            let _ = mask.thread_set_mask();
        }
    }

    /// Collects every child that has ended, and its counters.
    fn reap(&mut self) {
        loop {
            match process::reap() {
                Ok((WaitStatus::StillAlive, _)) | Err(Errno::ECHILD) => return,
                Ok((status, _)) => self.settle(status),
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    log::warn!("wait4: {errno}");
                    return;
                }
            }
        }
    }

    fn settle(&mut self, status: WaitStatus) {
        let Some(pid) = status.pid() else { return };
        let of_pid = |child: &Option<Child>| child.as_ref().is_some_and(|child| child.pid == pid);
        let Some(lane) = self.children.iter().position(of_pid) else {
            return;
        };
        let Some(child) = self.children[lane].take() else {
            return;
        };
        let row = &self.duty.rows[lane + 1];
        match status {
            WaitStatus::Exited(_, 0) => {}
            WaitStatus::Exited(_, code) => {
                let (client, busy) = (client(row), busy_with(row));
                log::error!("child {pid} for {client} exited {code}{busy}");
            }
            WaitStatus::Signaled(_, signal, _) => {
                let (client, busy) = (client(row), busy_with(row));
                log::error!("child {pid} for {client} killed by {signal}{busy}");
            }
            _ => {}
        }
        // It may not have come so far.
        if let Some(gate) = &self.duty.gate {
            gate.vacate(lane);
        }
        let requests = row.count(Counter::Requests);
        self.requests += requests.saturating_sub(child.requests);
        row.add(Counter::Killed, row.unfinished());
        let last = row.last_text();
        if !last.is_empty() {
            // For whoever asks what the worker served last, if it dies.
            self.lane.row.set_text(last.as_bytes());
            self.lane.row.set_text_aside();
        }
        // What it has counted stays, and the next one counts on: a reader can
        // never find it in two places, or in none.
        row.vacate();
        // There is room for a process now.
        if let Some(postponed) = &mut self.postponed {
            postponed.at = self.lane.now;
        }
    }
}

/// Whom a child serves, or has served: a proxy may have named him to the child.
fn client(row: &Row) -> Peer {
    Peer {
        remote: row.peer(),
        local: None,
    }
}

/// What it was about, to follow what became of it.
fn busy_with(row: &Row) -> String {
    match row.text() {
        text if text.is_empty() => text,
        text => format!(": {text}"),
    }
}

/// The child's whole life.
fn serve_as_child(
    worker: Pid,
    mask: Option<SigSet>,
    connection: Connection,
    mut lane: Lane<'_>,
) -> Infallible {
    let duty = lane.duty;
    duty.parent.store(worker.as_raw(), Ordering::Relaxed);
    // The numbers stay taken, for the signal handler may write to them; but a
    // child must not keep the queue alive.
    duty.park_listeners();
    for queue in &duty.queues {
        let _ = socket::put_under(duty.parked.as_fd(), queue.as_fd());
    }
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGTERM);
    // Before the look at our parent: one that dies after it is known to have us.
    lane.row.occupy(getpid().as_raw().unsigned_abs());
    if getppid() != worker {
        // It died before it could be asked for, and whoever settles its rows
        // does not know of us: our client is one whom it took along.
        process::exit(0);
    }
    if let Some(mask) = mask {
        let _ = mask.thread_set_mask();
    }
    serve_begun(connection, &mut lane);
    // The rest of it goes with the process.
    lane.write_log();
    duty.complaints.finish();
    duty.access_log.settle();
    crate::log::finish();
    process::exit(0)
}
