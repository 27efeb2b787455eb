//! What all drivers keep: they accept, move bytes, keep deadlines and report,
//! and they know nothing of what the bytes mean.
//!
//! A driver gets a [`Duty`] and runs until it must leave. It owes:
//! - a deadline for every wait for a client, and a bound on every buffer;
//! - a row of the scoreboard that tells the truth before each wait;
//! - to a retiring worker: no new connection, every open one finished, and,
//!   where it is the last owner of a queue, the queue emptied first;
//! - to the access log: every line, within a second, and before it leaves.
//!
//! [`connection`] does the work of one connection and is the same everywhere;
//! [`blocking`] and [`event`] differ only in how they wait; [`threads`] and
//! [`fork`] run the blocking driver many times over; [`datagram`] has no
//! connections to serve. [`program`] is a program that runs beside a connection,
//! [`session`] one that has it to itself. [`gate`] is what each client passes first.

pub mod accept;
pub mod blocking;
mod complaints;
pub mod connection;
pub mod datagram;
pub mod effects;
pub mod event;
pub mod files;
pub mod fork;
pub mod gate;
mod helpers;
pub mod journal;
pub mod lane;
mod launch;
pub mod program;
pub mod session;
pub mod threads;

pub use complaints::Complaints;
pub use lane::Lane;

use crate::net::Listener;
use crate::protocol::{Floor, Readiness, Service, View};
use crate::scoreboard::{Board, Row};
use crate::sys::title::Title;
use crate::sys::{process, socket};
use files::Files;
use nix::sys::eventfd::EventFd;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

/// How long a worker outlives its master, at most, in seconds.
pub const ORPHAN_SECONDS: u32 = 5;

/// All that a worker gives its driver.
pub struct Duty {
    /// Makes the machine for each connection.
    pub service: Arc<dyn Service>,
    /// The same, for each listener in turn where some expect a PROXY header, with
    /// that in front there; else nothing.
    pub fronts: Vec<Arc<dyn Service>>,
    /// Where to accept. When the worker is told to retire, the signal handler
    /// puts a socket that does not listen under these numbers.
    pub listeners: Vec<Arc<Listener>>,
    /// The same sockets under numbers that stay, to empty their queues.
    pub queues: Vec<OwnedFd>,
    /// Who tells how the server is.
    pub reporter: Arc<dyn Reporter>,
    /// What files are opened through.
    pub files: Files,
    /// What the worker's programs take together.
    pub programs: program::Programs,
    /// Who is let in; `None`: everybody.
    pub gate: Option<Box<gate::Gate>>,
    /// Deadlines and caps.
    pub limits: Limits,
    /// The cohort's board …
    pub board: Board,
    /// … and this worker's bit among those of the idle.
    pub seat: usize,
    /// The worker's rows: one for each lane.
    pub rows: Vec<Row>,
    /// A socket that does not listen, to put under the listeners' numbers.
    pub parked: Arc<OwnedFd>,
    /// Set by the signal handler when the worker shall retire.
    pub retired: Arc<AtomicBool>,
    /// Rung by the signal handler, for drivers that wait in poll or epoll.
    pub wake: EventFd,
    /// The read end of a pipe whose other end only the master has.
    pub life: Arc<OwnedFd>,
    /// Where access-log lines go.
    pub access_log: Arc<journal::AccessLog>,
    /// Grants lines of the error log that clients can provoke.
    pub complaints: Complaints,
    /// The process title, where titles are wanted.
    pub title: Option<Title>,
    /// What every title of this worker begins with: `preforkd: web[0] gen 3`.
    pub title_prefix: String,
    /// The reopening of logs that the signal handler has done last.
    pub reopened: &'static AtomicU64,
    /// Our parent: the signal handler compares with getppid(2).
    pub parent: Arc<AtomicI32>,
}

/// Tells how the server is, from what is known of it now. Asked from any thread;
/// what it says may be large and take a moment.
pub trait Reporter: Send + Sync {
    /// All of it, in this form; `None`: it cannot be said just now.
    fn report(&self, view: View) -> Option<Vec<u8>>;

    /// Whether new clients are welcome; at once, for it is asked all the time.
    fn readiness(&self) -> Readiness;
}

/// Deadlines and caps of one worker.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// What a peer must take of our bytes while it makes us wait.
    pub uptake: Floor,
    /// How long a lane may be overdue before it is taken to hang.
    pub worker_timeout: Duration,
    /// How long a connection that is closing is drained.
    pub linger_timeout: Duration,
    /// How long the last owner of a queue waits for clients whose handshake was
    /// under way when new ones began to be refused.
    pub stragglers: Duration,
    /// Open connections on the models `event` and `fork`.
    pub max_connections: u32,
    /// How long a retirement may take.
    pub graceful: Duration,
    /// Connections after which the worker asks for a successor; 0 is never.
    pub connections: u64,
    /// Requests after which the worker asks for a successor; 0 is never.
    pub requests: u64,
    /// Serve one connection and leave.
    pub once: bool,
    /// A connection whose descriptor has this number or a higher one is the
    /// last for now: what is above it is kept for the files of those who are
    /// here already. (The kernel gives the lowest number that is free.)
    pub descriptors: i32,
}

/// Why a driver returned.
#[derive(Debug)]
pub enum Leave {
    /// The worker was told to retire, and all is done.
    Retired,
    /// It has served the one connection that was asked for.
    Worn,
    /// The listener or the machine is in a state that a fresh worker may mend.
    Sick(io::Error),
}

impl Duty {
    /// Makes the machine for a connection that came by this listener.
    pub fn service_of(&self, listener: usize) -> &Arc<dyn Service> {
        self.fronts.get(listener).unwrap_or(&self.service)
    }

    /// Whether who comes by this listener is a proxy, and names the client later.
    pub fn expects_proxy(&self, listener: usize) -> bool {
        let front = self.fronts.get(listener);
        front.is_some_and(|front| !Arc::ptr_eq(front, &self.service))
    }

    /// Whether the worker is on its way out.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// The master is gone: retire as if told, and not leisurely. For drivers
    /// that see the end of the life pipe before PR_SET_PDEATHSIG is delivered.
    pub fn orphan(&self) {
        if !self.retired.swap(true, Ordering::SeqCst) {
            log::warn!("the master is gone: finishing what is open");
        }
        process::alarm(ORPHAN_SECONDS);
    }

    /// Does what the signal handler does to the listeners: nobody who waits
    /// on them, or will, gets another client.
    pub fn park_listeners(&self) {
        for listener in &self.listeners {
            // It cannot fail: both descriptors are open.
            let _ = socket::put_under(self.parked.as_fd(), listener.as_fd());
        }
    }

    /// After `connections` and `requests` served: whether the worker may go on
    /// accepting. One that is worn asks for a successor and goes on until the
    /// master retires it, so that nobody waits; with `once` it stops at once.
    pub fn may_go_on(&self, connections: u64, requests: u64) -> bool {
        let reached = |limit: u64, count: u64| limit > 0 && count >= limit;
        let worn = reached(self.limits.connections, connections)
            || reached(self.limits.requests, requests);
        if let Some(row) = self
            .rows
            .first()
            .filter(|row| worn && !row.wants_successor())
        {
            row.ask_for_successor();
            self.board.ring();
        }
        !(self.limits.once && connections > 0)
    }
}
