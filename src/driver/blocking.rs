//! One connection at a time: `prefork`, each thread of `threads` and each
//! child of `fork` run this.
//!
//! It waits in the call it wants to make: accept4(2) for a client, recv(2)
//! with SO_RCVTIMEO for bytes. An accept4 on a shared socket is the fairest
//! way to share a queue, wakes one worker a client and no other, and is what a
//! reader of strace expects to see. poll(2) comes in only where there are
//! several things to wait for.

use super::accept::{Accepted, accept};
use super::connection::{Connection, Want};
use super::gate::{self, PATIENCE};
use super::{Duty, Lane, Leave};
use crate::admission::Claim;
use crate::net::Stream;
use crate::protocol::Peer;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// How long a worker that is out of descriptors waits before it tries again.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// How often a worker shows that it moves while programs have its connections, and
/// sees whether it retires. For itself it need not: such a session may be silent
/// for as long as it likes, and has no deadline that tells of a worker.
pub(super) const SESSION_LOOK: Duration = Duration::from_secs(1);

/// Who must hear of a lane's comings and goings.
pub trait Attendance {
    /// The lane waits for a connection.
    fn free(&self) {}
    /// The lane has one, or waits no more.
    fn taken(&self) {}
    /// The lane has served this many connections and requests in all; answers
    /// whether it may go on.
    fn served(&self, connections: u64, requests: u64) -> bool;
}

/// A worker of the model `prefork`: one lane, in the cohort's list of the idle.
pub fn prefork(duty: &Duty) -> Leave {
    let Some(&row) = duty.rows.first() else {
        return Leave::Retired;
    };
    let mut lane = Lane::single(duty, row, true);
    run(duty, &mut lane, duty)
}

impl Attendance for Duty {
    fn free(&self) {
        self.board.set_idle(self.seat);
    }

    fn taken(&self) {
        self.board.set_busy(self.seat);
    }

    fn served(&self, connections: u64, requests: u64) -> bool {
        self.may_go_on(connections, requests)
    }
}

/// Accepts and serves until the worker must leave.
pub fn run(duty: &Duty, lane: &mut Lane<'_>, attendance: &dyn Attendance) -> Leave {
    let (mut connections, mut requests) = (0, 0);
    lane.idle();
    loop {
        attendance.free();
        let next = next_connection(duty, lane);
        attendance.taken();
        match next {
            Ok(Some((stream, peer, claim))) => {
                requests += serve(stream, &peer, claim, lane);
                connections += 1;
                if !attendance.served(connections, requests) {
                    return Leave::Worn;
                }
            }
            Ok(None) => {
                lane.leave();
                break;
            }
            Err(error) => return Leave::Sick(error),
        }
    }
    empty_queues(duty, lane);
    Leave::Retired
}

/// Serves one connection to its end; answers how many requests it made.
pub fn serve(stream: Stream, peer: &Peer, claim: Claim, lane: &mut Lane<'_>) -> u64 {
    lane.begin(peer);
    let connection = Connection::new(stream, peer, claim, lane);
    serve_begun(connection, lane)
}

/// As [`serve`], a connection of which the lane was told already.
pub(super) fn serve_begun(mut connection: Connection, lane: &mut Lane<'_>) -> u64 {
    lane.look_at_clock();
    lane.set_deadline(Some(lane.now));
    let before = lane.activity.requests;
    let reason = loop {
        let want = connection.drive(lane);
        match want {
            Want::Closed(reason) => break reason,
            // Nobody else waits for this process: here and now.
            Want::Work | Want::Start { .. } => {
                // A start is too short for lines to be late by it.
                if want == Want::Work {
                    lane.write_log();
                }
                let answer = connection.take_work().map(|work| work.run());
                connection.worked(answer);
                lane.look_at_clock();
            }
            Want::Read { deadline } => {
                lane.set_deadline(Some(deadline));
                lane.write_log_if_due();
                let until = lane.until(deadline);
                connection.receive(lane, Some(until));
            }
            Want::Write { deadline } | Want::Either { deadline } => {
                lane.set_deadline(Some(deadline));
                lane.write_log_if_due();
                let deadline = lane.until(deadline);
                let both = matches!(want, Want::Either { .. });
                if wait(connection.as_fd(), both, deadline, lane) {
                    connection.receive(lane, None);
                }
            }
            Want::Program { deadline } | Want::ProgramAlone { deadline } => {
                lane.set_deadline(Some(deadline));
                lane.write_log_if_due();
                let deadline = lane.until(deadline);
                let alone = matches!(want, Want::ProgramAlone { .. });
                if wait_for_program(&connection, alone, deadline, lane) {
                    connection.hang_up();
                }
            }
            Want::Session { deadline } => {
                connection.let_go(lane.duty);
                // A thread is not woken when the worker is told to retire.
                let look = deadline.min(lane.now + SESSION_LOOK);
                lane.set_deadline(Some(look));
                lane.write_log_if_due();
                wait_for_program(&connection, true, look, lane);
            }
        }
        // Until the next wait it is at work, and should be back at once.
        lane.set_deadline(Some(lane.now));
        connection.expire(lane);
    };
    lane.end(connection.who(), reason);
    connection.recycle(lane);
    // Nobody can tell how long the wait for the next one will be.
    lane.write_log();
    lane.duty.complaints.settle(lane.now);
    crate::log::tick(lane.now);
    lane.row.tick(lane.now);
    let requests = lane.activity.requests - before;
    lane.idle();
    requests
}

/// Waits for room to write, or for bytes too; answers whether there are bytes.
fn wait(socket: BorrowedFd<'_>, both: bool, deadline: Instant, lane: &mut Lane<'_>) -> bool {
    let mut events = PollFlags::POLLOUT;
    events.set(PollFlags::POLLIN, both);
    let mut ready = [PollFd::new(socket, events)];
    let patience = deadline.saturating_duration_since(lane.now);
    // A failure but EINTR cannot happen with one good descriptor; the next
    // call on it would tell.
    let _ = poll(&mut ready, timeout(patience));
    lane.look_at_clock();
    ready[0]
        .revents()
        .is_some_and(|found| found.contains(PollFlags::POLLIN))
}

/// Waits for the program; answers whether the socket broke meanwhile. `alone`:
/// it may be broken already, and would only wake us for ever.
fn wait_for_program(
    connection: &Connection,
    alone: bool,
    deadline: Instant,
    lane: &mut Lane<'_>,
) -> bool {
    let patience = deadline.saturating_duration_since(lane.now);
    let child = connection.program();
    let child = child.map(|(_, fd)| PollFd::new(fd, PollFlags::POLLIN));
    // Asked for nothing, poll(2) still tells of errors.
    let socket = PollFd::new(connection.as_fd(), PollFlags::empty());
    let mut ready: Vec<PollFd<'_>> = child.into_iter().collect();
    let own = ready.len();
    ready.extend((!alone).then_some(socket));
    // As in `wait`.
    let _ = poll(&mut ready, timeout(patience));
    lane.look_at_clock();
    ready[own..]
        .iter()
        .any(|socket| socket.any().unwrap_or(false))
}

/// Rounded up, so that a deadline has passed when the wait is over.
pub(super) fn timeout(patience: Duration) -> PollTimeout {
    let milliseconds = patience.as_micros().div_ceil(1000);
    i32::try_from(milliseconds)
        .ok()
        .and_then(|ms| PollTimeout::try_from(ms).ok())
        .unwrap_or(PollTimeout::MAX)
}

/// The next client, or `None` once the worker is told to retire.
fn next_connection(duty: &Duty, lane: &mut Lane<'_>) -> io::Result<Option<(Stream, Peer, Claim)>> {
    let waits = duty.gate.as_ref().is_some_and(|gate| gate.waits());
    // Every pass begins at another listener, so that none can starve the rest.
    let mut first = 0;
    loop {
        if duty.is_retired() {
            return Ok(None);
        }
        // A place is only taken for somebody who is there; and accept4(2) has no
        // end for those who were turned away and are to be let go in time.
        let waits_here = waits || lane.partings.due().is_some();
        if waits_here && !wait_for_client(duty, lane)? {
            continue;
        }
        if waits && !lane.reserve() {
            rest(duty, PATIENCE);
            continue;
        }
        first += 1;
        let mut turned_away = false;
        for index in 0..duty.listeners.len() {
            let number = (first + index) % duty.listeners.len();
            match accept(duty.listeners[number].as_fd(), number, false) {
                Accepted::Connection(stream, peer) => match lane.admit(stream, &peer) {
                    Some((stream, claim)) => return Ok(Some((stream, peer, claim))),
                    None => {
                        turned_away = true;
                        break;
                    }
                },
                Accepted::Nothing | Accepted::Again => {}
                Accepted::Parked if duty.is_retired() => return Ok(None),
                Accepted::Parked => return Err(Errno::EINVAL.into()),
                Accepted::Exhausted(error) => pause(duty, &error),
                Accepted::Sick(error) => return Err(error),
            }
        }
        if turned_away {
            continue;
        }
        if waits {
            lane.leave();
            continue;
        }
        // Only a listener that does not block comes here: one of several, or
        // one shared with a generation that runs an event loop.
        wait_for_client(duty, lane)?;
    }
}

/// Waits until somebody comes to one of the listeners, or a signal; or until
/// those are let go who were turned away, and then answers false.
fn wait_for_client(duty: &Duty, lane: &mut Lane<'_>) -> io::Result<bool> {
    let mut ready: Vec<PollFd<'_>> = duty
        .listeners
        .iter()
        .map(|one| PollFd::new(one.as_fd(), PollFlags::POLLIN))
        .collect();
    let patience = lane.partings.due().map_or(PollTimeout::NONE, |due| {
        timeout(due.saturating_duration_since(Instant::now()))
    });
    match poll(&mut ready, patience) {
        Ok(0) => {
            lane.partings.settle(Instant::now());
            Ok(false)
        }
        Ok(_) | Err(Errno::EINTR) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}

/// Waits a moment, or until the worker is told to retire; not if there was
/// something to give up.
pub(super) fn pause(duty: &Duty, error: &io::Error) {
    if duty.files.give_up() {
        return;
    }
    log::warn!(
        "accept: {error}: waiting {} ms; clients wait in the queue",
        PAUSE.as_millis()
    );
    rest(duty, PAUSE);
}

/// Waits so long, or until the worker is told to retire.
fn rest(duty: &Duty, time: Duration) {
    let mut wake = [PollFd::new(duty.wake.as_fd(), PollFlags::POLLIN)];
    let _ = poll(&mut wake, timeout(time));
}

/// Waits so long, whatever the worker is told: it was told to retire.
fn rest_undisturbed(time: Duration) {
    let _ = poll(&mut [], timeout(time));
}

/// Serves what waits in the queues that nobody else will empty.
fn empty_queues(duty: &Duty, lane: &mut Lane<'_>) {
    let owned = duty.rows.first().map_or(0, |row| row.last_owner_of());
    let queues = duty.queues.iter().enumerate();
    let mut queues: Vec<(usize, BorrowedFd<'_>)> = queues
        .filter(|(number, _)| owned >> number & 1 == 1)
        .map(|(number, queue)| (number, queue.as_fd()))
        .collect();
    let mut until = None;
    loop {
        queues.retain(|queue| empty_queue(duty, lane, *queue));
        // Stragglers may come to each of them meanwhile.
        let now = Instant::now();
        let until = *until.get_or_insert(now + duty.limits.stragglers);
        if queues.is_empty() || now >= until {
            return;
        }
        let watched = queues.iter();
        let mut ready: Vec<PollFd<'_>> = watched
            .map(|(_, queue)| PollFd::new(*queue, PollFlags::POLLIN))
            .collect();
        let _ = poll(&mut ready, timeout(until - now));
    }
}

/// Serves what waits in one of them; answers whether more may come.
fn empty_queue(duty: &Duty, lane: &mut Lane<'_>, (number, queue): (usize, BorrowedFd<'_>)) -> bool {
    loop {
        if !lane.reserve() {
            if !gate::has_clients(queue) {
                return true;
            }
            // All who wait here are served before the worker leaves.
            rest_undisturbed(PATIENCE);
            continue;
        }
        let accepted = accept(queue, number, false);
        if let Accepted::Connection(stream, peer) = accepted {
            if let Some((stream, claim)) = lane.admit(stream, &peer) {
                serve(stream, &peer, claim, lane);
            }
            continue;
        }
        lane.leave();
        match accepted {
            Accepted::Connection(..) | Accepted::Again => {}
            Accepted::Exhausted(error) => pause(duty, &error),
            Accepted::Nothing => return true,
            Accepted::Parked | Accepted::Sick(_) => return false,
        }
    }
}
