//! When the loop takes new clients, and when it takes no more.
//!
//! Where several workers share a listener it is registered with EPOLLEXCLUSIVE,
//! which wakes one of them a client, and registered anew after each turn of
//! accepting, which puts the worker at the end of the kernel's list: without that
//! the first one would get nearly everything.

use super::{Loop, Token};
use crate::driver::Leave;
use crate::driver::accept::{Accepted, accept};
use crate::driver::blocking::PAUSE;
use crate::driver::gate::{PATIENCE, has_clients};
use crate::protocol::CloseReason;
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Instant;

/// How many clients are accepted before others get a turn.
const BATCH: usize = 16;

/// What the loop does with its listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepting {
    /// It takes what comes.
    Open,
    /// It is full, or out of descriptors, until this moment or until one leaves.
    Paused(Instant),
    /// It takes no more; `stragglers` until this moment where it is the last
    /// owner of a queue.
    Shut { stragglers: Option<Instant> },
}

impl Loop<'_> {
    pub(super) fn watch_listeners(&self) -> io::Result<()> {
        for (index, queue) in self.duty.queues.iter().enumerate() {
            let mut flags = EpollFlags::EPOLLIN;
            flags.set(EpollFlags::EPOLLEXCLUSIVE, self.exclusive);
            let token = Token {
                place: Token::LISTENER,
                tenant: index as u32,
            };
            self.epoll
                .add(queue, EpollEvent::new(flags, token.bits()))?;
        }
        Ok(())
    }

    fn ignore_listeners(&self) {
        for queue in &self.duty.queues {
            // It may not be registered: all the same.
            let _ = self.epoll.delete(queue);
        }
    }

    /// Takes a batch of clients from one listener.
    pub(super) fn accept_from(&mut self, index: usize) -> io::Result<()> {
        if self.accepting != Accepting::Open {
            return Ok(());
        }
        let Some(queue) = self.duty.queues.get(index) else {
            return Ok(());
        };
        let batch = if self.exclusive { 1 } else { BATCH };
        for _ in 0..batch {
            if self.is_full() {
                self.pause(None);
                return Ok(());
            }
            if !self.lane.reserve() {
                self.ignore_listeners();
                self.accepting = Accepting::Paused(self.lane.now + PATIENCE);
                return Ok(());
            }
            let accepted = accept(queue.as_fd(), index, true);
            if !matches!(accepted, Accepted::Connection(..)) {
                self.lane.leave();
            }
            match accepted {
                Accepted::Connection(stream, peer) => {
                    let number = stream.as_fd().as_raw_fd();
                    self.admit(stream, peer);
                    if number >= self.duty.limits.descriptors {
                        self.pause(Some(&Errno::EMFILE.into()));
                        return Ok(());
                    }
                    if !self
                        .duty
                        .may_go_on(self.connections, self.lane.activity.requests)
                    {
                        self.ignore_listeners();
                        self.accepting = Accepting::Shut { stragglers: None };
                        return Ok(());
                    }
                }
                Accepted::Again => {}
                Accepted::Nothing => break,
                Accepted::Exhausted(error) => {
                    self.pause(Some(&error));
                    return Ok(());
                }
                Accepted::Parked => break,
                Accepted::Sick(error) => return Err(error),
            }
        }
        if self.exclusive {
            let token = Token {
                place: Token::LISTENER,
                tenant: index as u32,
            };
            let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE;
            self.epoll.delete(queue)?;
            self.epoll
                .add(queue, EpollEvent::new(flags, token.bits()))?;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.open() >= self.duty.limits.max_connections as usize
    }

    /// Leaves the clients in the queue for a moment. Out of descriptors, those
    /// who only keep a connection for later make room.
    fn pause(&mut self, error: Option<&io::Error>) {
        self.ignore_listeners();
        self.accepting = Accepting::Paused(self.lane.now + PAUSE);
        if let Some(error) = error {
            self.duty.files.give_up();
            log::warn!("accept: {error}: closing idle connections, then trying again");
            self.close_idle();
        }
    }

    fn close_idle(&mut self) {
        self.visit_idle(|connection| connection.abandon(CloseReason::Idle));
    }

    /// After a pause, accepts again; when the worker retires, stops for good.
    pub(super) fn reopen_or_shut(&mut self) -> io::Result<()> {
        if let Accepting::Paused(until) = self.accepting
            && until <= self.lane.now
        {
            if self.is_full() {
                self.accepting = Accepting::Paused(self.lane.now + PAUSE);
            } else {
                self.watch_listeners()?;
                self.accepting = Accepting::Open;
            }
        }
        if self.duty.is_retired() {
            self.shut();
            if !self.told {
                self.told = true;
                self.visit_programs();
            }
        }
        Ok(())
    }

    /// Takes no more clients, but for those whose queue nobody else will
    /// empty: as long as stragglers may come, that is tried again.
    fn shut(&mut self) {
        let owned = self.lane.row.last_owner_of();
        let stragglers = match self.accepting {
            Accepting::Shut { stragglers: None } => return,
            Accepting::Shut { stragglers } => stragglers,
            Accepting::Open | Accepting::Paused(_) => {
                self.ignore_listeners();
                (owned != 0).then(|| self.lane.now + self.duty.limits.stragglers)
            }
        };
        // Whether somebody waits for whom there is no place in the pool.
        let mut crowded = false;
        for index in 0..self.duty.queues.len() {
            while owned >> index & 1 == 1 && !self.is_full() {
                let queue = self.duty.queues[index].as_fd();
                if !self.lane.reserve() {
                    crowded |= has_clients(queue);
                    break;
                }
                let accepted = accept(queue, index, true);
                if !matches!(accepted, Accepted::Connection(..)) {
                    self.lane.leave();
                }
                match accepted {
                    Accepted::Connection(stream, peer) => self.admit(stream, peer),
                    Accepted::Again => {}
                    Accepted::Nothing
                    | Accepted::Exhausted(_)
                    | Accepted::Parked
                    | Accepted::Sick(_) => break,
                }
            }
        }
        let waiting =
            stragglers.filter(|&until| self.lane.now < until || self.is_full() || crowded);
        // A step of a tenth: a straggler is rare and should not wait for the end.
        let next = waiting.map(|until| until.min(self.lane.now + PAUSE / 10));
        self.accepting = Accepting::Shut {
            stragglers: next.and(waiting),
        };
    }

    pub(super) fn may_leave(&self) -> Option<Leave> {
        let shut = self.accepting == Accepting::Shut { stragglers: None };
        match (shut && self.open() == 0, self.duty.is_retired()) {
            (true, true) => Some(Leave::Retired),
            (true, false) => Some(Leave::Worn),
            (false, _) => None,
        }
    }
}
