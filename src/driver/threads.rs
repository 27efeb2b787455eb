//! A fixed number of threads, each one connection at a time.
//!
//! The threads run the blocking driver and block every signal; the first
//! thread serves nobody, hears the signals, and keeps the title.

use super::blocking::{self, Attendance, timeout};
use super::{Duty, Lane, Leave};
use crate::scoreboard::RowState;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::{SigSet, Signal};
use std::io;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope};
use std::time::{Duration, Instant};

/// Interrupts a thread's accept4(2), so that it starts again on what stands
/// under the listener's number now. Registered by the worker, does nothing.
pub const KICK: Signal = Signal::SIGUSR2;

/// A connection at a time: what a thread's stack needs at most.
const STACK: usize = 256 * 1024;
/// How often the title is written.
const SUMMARY: Duration = Duration::from_secs(1);

/// What the threads have in common.
struct Crew<'d> {
    duty: &'d Duty,
    /// Threads that have not ended.
    running: AtomicU32,
    /// Threads that wait for a connection.
    free: AtomicU32,
    connections: AtomicU64,
    requests: AtomicU64,
    /// The threads as signals reach them.
    threads: Mutex<Vec<Pthread>>,
    /// The first reason for which a thread left early.
    reason: Mutex<Option<Leave>>,
}

/// One thread's share in it.
struct Hand<'c, 'd> {
    crew: &'c Crew<'d>,
    requests: AtomicU64,
}

impl Attendance for Hand<'_, '_> {
    fn free(&self) {
        if self.crew.free.fetch_add(1, Ordering::SeqCst) == 0 {
            self.crew.duty.board.set_idle(self.crew.duty.seat);
        }
    }

    fn taken(&self) {
        if self.crew.free.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.crew.duty.board.set_busy(self.crew.duty.seat);
        }
    }

    fn served(&self, _connections: u64, requests: u64) -> bool {
        let new = requests - self.requests.swap(requests, Ordering::Relaxed);
        let requests = self.crew.requests.fetch_add(new, Ordering::SeqCst) + new;
        let connections = self.crew.connections.fetch_add(1, Ordering::SeqCst) + 1;
        self.crew.duty.may_go_on(connections, requests)
    }
}

/// Accepts and serves until the worker must leave.
pub fn run(duty: &Duty) -> Leave {
    let crew = Crew {
        duty,
        running: AtomicU32::new(0),
        free: AtomicU32::new(0),
        connections: AtomicU64::new(0),
        requests: AtomicU64::new(0),
        threads: Mutex::new(Vec::new()),
        reason: Mutex::new(None),
    };
    // Threads inherit the mask: signals of the process go to the first thread.
    let mut all = SigSet::all();
    all.remove(KICK);
    let mask = all.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_SETMASK);
    std::thread::scope(|scope| {
        for lane in 0..most_lanes(duty) {
            // Those that run leave; the master tries anew in its own time.
            if let Err(error) = start(scope, &crew, lane) {
                crew.leave(Leave::Sick(error));
                break;
            }
        }
        if let Ok(mask) = mask {
            // It was valid a moment ago.
            let _ = mask.thread_set_mask();
        }
        watch(&crew);
    });
    crew.reason().take().unwrap_or(Leave::Retired)
}

/// A thread more than there are descriptors for its client would only make
/// somebody wait in vain who could wait in the queue.
fn most_lanes(duty: &Duty) -> usize {
    // Up to here go the worker's own: listeners, log, root, bell …
    const OWN: usize = 16;
    let room = usize::try_from(duty.limits.descriptors).unwrap_or(0);
    let most = room.saturating_sub(OWN).max(1);
    if most < duty.rows.len() {
        log::warn!(
            "RLIMIT_NOFILE has room for {most} of {} threads: the others are not started",
            duty.rows.len()
        );
    }
    most.min(duty.rows.len())
}

impl Crew<'_> {
    /// A panic elsewhere cannot leave a reason half-written.
    fn reason(&self) -> MutexGuard<'_, Option<Leave>> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn threads(&self) -> MutexGuard<'_, Vec<Pthread>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, reason: Leave) {
        self.reason().get_or_insert(reason);
    }
}

fn start<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    crew: &'env Crew<'env>,
    lane: usize,
) -> io::Result<()> {
    let name = format!("lane {lane}");
    let builder = Builder::new().name(name).stack_size(STACK);
    crew.running.fetch_add(1, Ordering::SeqCst);
    let started = builder.spawn_scoped(scope, move || {
        crew.threads().push(pthread_self());
        match catch_unwind(AssertUnwindSafe(|| serve(crew, lane))) {
            Ok(Leave::Retired) => {}
            Ok(early @ (Leave::Worn | Leave::Sick(_))) => crew.leave(early),
            Err(_) => crew.leave(Leave::Sick(io::Error::other("a thread panicked"))),
        }
        crew.running.fetch_sub(1, Ordering::SeqCst);
        // The first thread looks after the rest; a full counter wakes it too.
        let _ = crew.duty.wake.write(1);
    });
    if started.is_err() {
        crew.running.fetch_sub(1, Ordering::SeqCst);
    }
    started.map(drop)
}

fn serve(crew: &Crew<'_>, lane: usize) -> Leave {
    let hand = Hand {
        crew,
        requests: AtomicU64::new(0),
    };
    let entry = lane;
    let mut lane = Lane::single(crew.duty, crew.duty.rows[lane], false);
    lane.entry = entry;
    blocking::run(crew.duty, &mut lane, &hand)
}

/// The first thread's work, until the last of the others is gone.
fn watch(crew: &Crew<'_>) {
    let duty = crew.duty;
    let mut kicked = false;
    let mut shown = None;
    loop {
        let leaving = duty.is_retired() || crew.reason().is_some();
        if leaving && !kicked {
            kicked = true;
            duty.park_listeners();
            // One that has not begun yet will find the listeners parked; none
            // is joined before this function returns, so all ids are valid.
            for &thread in crew.threads().iter() {
                let _ = pthread_kill(thread, KICK);
            }
        }
        summarise(crew, &mut shown);
        if leaving && crew.running.load(Ordering::SeqCst) == 0 {
            return;
        }
        if wait(duty) {
            duty.orphan();
        }
    }
}

/// Waits for a signal, for the end of the master, or for the next summary;
/// answers whether the master is gone.
fn wait(duty: &Duty) -> bool {
    // Once it is known, an end of file must not wake us for ever.
    let known = duty.is_retired();
    let mut ready = vec![PollFd::new(duty.wake.as_fd(), PollFlags::POLLIN)];
    if !known {
        ready.push(PollFd::new(duty.life.as_fd(), PollFlags::POLLIN));
    }
    // EINTR is as good as a wake-up.
    let _ = poll(&mut ready, timeout(SUMMARY));
    let _ = duty.wake.read();
    ready.get(1).is_some_and(|life| life.any().unwrap_or(false))
}

/// A sign of life, and the title if it changed.
fn summarise(crew: &Crew<'_>, shown: &mut Option<(usize, bool)>) {
    let duty = crew.duty;
    let now = Instant::now();
    let busy = duty
        .rows
        .iter()
        .filter(|row| row.state(now).0 != RowState::Idle)
        .count();
    duty.rows[0].tick(now);
    let state = (busy, duty.is_retired());
    if *shown != Some(state)
        && let Some(title) = duty.title
    {
        *shown = Some(state);
        let verb = if state.1 { "draining" } else { "serving" };
        let text = match (busy, state.1) {
            (0, false) => format!("{} idle", duty.title_prefix),
            _ => format!(
                "{} {verb} {busy} of {} threads busy",
                duty.title_prefix,
                duty.rows.len()
            ),
        };
        title.set(text.as_bytes());
    }
}
