//! A client's connection over its whole life: at rest between two requests, as
//! nearly all are where there are many, or with a machine of its own.
//!
//! ```text
//!   Resting ── any outcome ──▶ Engaged ──▶ closed
//!      ▲                          │
//!      └───── Protocol::rest ─────┘
//! ```
//!
//! An event worker keeps ten thousand that rest, so what one of them holds is
//! counted in octets. What a request needs besides is lent, and given back when
//! the driver says so: then a few machines serve all connections, and lie warm in
//! the processor's caches, whichever comes next. Nothing of one connection may be
//! left in them for another.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::Site;
use super::recent::Ticket;
use super::state::{Connection, Wish};
use crate::protocol::{Action, Outcome, Protocol, Subject, Turn};

/// One connection.
#[derive(Debug)]
pub(super) struct Session {
    machines: Arc<Machines>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// No request is under way, and none was since the beginning, or since it was
    /// told to rest.
    Resting(Resting),
    /// One is, or was.
    Engaged(Box<Connection>),
}

/// What outlives a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Resting {
    /// Requests answered so far.
    pub(super) answered: u64,
    /// Of the last request: who the client was, and its name …
    pub(super) subject: Option<Subject>,
    /// … and whether it came before.
    pub(super) ticket: Option<Ticket>,
    /// Until when the next one is waited for, and whether the empty line that may
    /// stand before it was seen; `None` before the beginning.
    pub(super) wait: Option<(Instant, bool)>,
}

/// The site, and machines that no connection needs now.
#[derive(Debug)]
pub(super) struct Machines {
    pub(super) site: Arc<Site>,
    // A box is moved by its address.
    #[expect(clippy::vec_box)]
    spare: Mutex<Vec<Box<Connection>>>,
}

impl Machines {
    /// How many are kept.
    const MOST: usize = 16;

    pub(super) fn new(site: Site) -> Self {
        Self {
            site: Arc::new(site),
            spare: Mutex::default(),
        }
    }

    /// One for a connection that has rested. No thread waits for another: it
    /// makes a new one.
    fn lend(&self, resting: Resting, turn: &Turn<'_>) -> Box<Connection> {
        let spare = self.spare.try_lock().ok().and_then(|mut spare| spare.pop());
        let mut machine =
            spare.unwrap_or_else(|| Box::new(Connection::new(Arc::clone(&self.site))));
        machine.engage(resting, turn.peer);
        machine
    }

    fn take_back(&self, mut machine: Box<Connection>) {
        machine.clear();
        if let Ok(mut spare) = self.spare.try_lock()
            && spare.len() < Self::MOST
        {
            spare.push(machine);
        }
    }
}

impl Session {
    /// A connection that was just accepted.
    pub(super) fn new(machines: Arc<Machines>) -> Self {
        Self {
            machines,
            stage: Stage::Resting(Resting::default()),
        }
    }
}

impl Drop for Session {
    /// However it ended, its machine serves another.
    fn drop(&mut self) {
        self.rest();
    }
}

impl Protocol for Session {
    fn resume(&mut self, outcome: Outcome, turn: &mut Turn<'_>) -> Action<'_> {
        if let Stage::Resting(resting) = self.stage {
            self.stage = Stage::Engaged(self.machines.lend(resting, turn));
        }
        let wish = match &mut self.stage {
            Stage::Engaged(machine) => machine.decide(outcome, turn),
            Stage::Resting(_) => Wish::FAULT,
        };
        match &mut self.stage {
            Stage::Engaged(machine) => machine.action(wish),
            Stage::Resting(_) => Action::Close(Wish::FAULTY),
        }
    }

    fn rest(&mut self) {
        if let Stage::Engaged(machine) = &self.stage {
            let resting = Stage::Resting(machine.resting());
            if let Stage::Engaged(machine) = std::mem::replace(&mut self.stage, resting) {
                self.machines.take_back(machine);
            }
        }
    }

    fn subject(&self) -> Option<Subject> {
        match &self.stage {
            Stage::Resting(resting) => resting.subject,
            Stage::Engaged(machine) => machine.subject(),
        }
    }
}
