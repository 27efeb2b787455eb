//! Another number of workers for one pool, as asked for over the control
//! socket.
//!
//! It holds until the next reload, which goes back to what the file says. One
//! that comes while a reload is under way was said after it: it is for the
//! generation that serves now and, once that has proved itself, for the next.
//!
//! Where slots have sockets of their own, here is also what leads clients to
//! those that have a worker and past those that go.

use super::control::{Answer, Query};
use super::message::{CohortId, Event, MAX_WORKERS, Request, Sizing};
use super::supervisor::Supervisor;
use super::{Generation, Master};
use crate::config::Size;
use crate::net::ListenerSet;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Instant;

/// What was asked for and is not done with.
#[derive(Debug, Default)]
pub(super) struct Scaling {
    /// For the generation that has yet to serve: pool and workers.
    next: BTreeMap<String, u32>,
    waiting: Vec<Waiting>,
}

/// A client that wants to hear how it went.
#[derive(Debug)]
struct Waiting {
    client: u64,
    pool: String,
    cohort: CohortId,
}

const WORKERS: RangeInclusive<u32> = 1..=MAX_WORKERS;

/// Exit statuses (sysexits.h).
const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;

impl Master {
    /// Begins to give `pool` so many workers. `None` where the client will hear
    /// of it when it is done.
    pub(super) fn scale(&mut self, client: u64, origin: &str, query: Query) -> Option<Answer> {
        let Query::Scale {
            pool,
            workers,
            wait,
        } = query
        else {
            return None;
        };
        let cohort = match self.scalable(&pool, workers) {
            Ok(cohort) => cohort,
            Err((status, line)) => {
                log::warn!("scale refused: {line}; asked for by {origin}");
                let lines = vec![line];
                return Some(Answer::Outcome { status, lines });
            }
        };
        log::info!("{workers} workers for pool {pool} asked for by {origin}");
        if !self.supervisor.is_steady() {
            self.scaling.next.insert(pool.clone(), workers);
        }
        self.resize_to(cohort, workers);
        if !wait {
            return Some(Answer::Done);
        }
        self.scaling.waiting.push(Waiting {
            client,
            pool,
            cohort,
        });
        None
    }

    /// The cohort to scale; or why it cannot be, with the status that says it.
    fn scalable(&self, pool: &str, workers: u32) -> Result<CohortId, (u8, String)> {
        let current = self.generations.get(&self.current);
        let Some(current) = current.filter(|_| !self.stopping) else {
            let why = String::from("no generation serves, or the master is stopping");
            return Err((UNAVAILABLE, why));
        };
        if self.supervisor.is_upgrading() {
            let why = self.supervisor.occupation();
            return Err((UNAVAILABLE, format!("not now: {why}")));
        }
        if !WORKERS.contains(&workers) {
            let most = WORKERS.end();
            return Err((USAGE, format!("a pool has 1 to {most} workers")));
        }
        let known = self.crew.cohort_of(self.current, pool);
        let cohort = known.ok_or_else(|| (USAGE, no_such_pool(pool, current)))?;
        match self.crew.pool_of(cohort).map(|pool| pool.size) {
            Some(Size::Fixed(_)) => Ok(cohort),
            Some(Size::Spare { .. }) | None => Err((
                USAGE,
                format!(
                    "pool {pool} finds its size itself: change max_spare_workers or \
                     max_workers in its configuration, and reload"
                ),
            )),
        }
    }

    fn resize_to(&mut self, cohort: CohortId, workers: u32) {
        let request = Request::Resize { cohort, workers };
        self.supervisor
            .handle(Instant::now(), Event::Requested(request));
    }

    /// The generation `number` serves: what was asked for while it had to prove
    /// itself is for it as well, unless another reload is under way by now.
    pub(super) fn scale_on(&mut self, number: u32) {
        let next = std::mem::take(&mut self.scaling.next);
        for (pool, workers) in &next {
            let Some(cohort) = self.crew.cohort_of(number, pool) else {
                continue;
            };
            for one in &mut self.scaling.waiting {
                if one.pool == *pool {
                    one.cohort = cohort;
                }
            }
            self.resize_to(cohort, *workers);
        }
        if !self.supervisor.is_steady() {
            self.scaling.next = next;
        }
    }

    /// The reload that was under way came to nothing.
    pub(super) fn scale_no_more(&mut self) {
        if self.supervisor.is_steady() {
            self.scaling.next.clear();
        }
    }

    // Sockets of slots.

    /// Leads clients to those who serve, where that may have changed: who has
    /// become READY gets his share, and a socket that was closed has left its
    /// number to another one.
    pub(super) fn lead(&mut self) {
        // A new master has a say in it until it serves or is gone.
        if self.stopping || self.supervisor.is_upgrading() || !std::mem::take(&mut self.lead_due) {
            return;
        }
        if let Some(current) = self.generations.get(&self.current) {
            lead(&current.listeners);
        } else if self.succession.predecessor.is_some()
            && let Some(first) = self.generations.get(&self.newest)
            && let Err(error) = first.listeners.hold()
        {
            log::warn!("leading clients past slots that are not served yet: {error}");
        }
    }

    /// Opens sockets for new slots, or leads clients past those that go. What
    /// cannot be opened is shared with another slot.
    pub(super) fn resize(&mut self, cohort: CohortId, slots: usize) {
        let Some(generation) = self.generations.get_mut(&self.current) else {
            return;
        };
        let Some(pool) = self.crew.pool_of(cohort) else {
            return;
        };
        log::info!("pool {} gets {slots} workers", pool.name);
        match generation.listeners.resized(&pool, slots) {
            Ok(resized) => {
                generation.listeners = resized;
                lead(&generation.listeners);
                self.crew.set_listeners(self.current, &generation.listeners);
            }
            Err(error) => log::error!("listeners for pool {}: {error}", pool.name),
        }
    }

    /// Tells those who wait what has come of it.
    pub(super) fn answer_scaling(&mut self) {
        let mut waiting = std::mem::take(&mut self.scaling.waiting);
        waiting.retain(|one| {
            let Some((status, line)) = outcome(one, &self.supervisor) else {
                return true;
            };
            let lines = vec![line];
            if let Some(control) = &mut self.control {
                control.answer(one.client, &Answer::Outcome { status, lines });
            }
            false
        });
        self.scaling.waiting = waiting;
    }
}

/// Leads new clients past the sockets that are about to be given up, and past
/// those whose workers have yet to come.
pub(super) fn lead(listeners: &ListenerSet) {
    if let Err(error) = listeners.lead() {
        log::warn!("leading clients to those who serve: {error}");
    }
}

/// How it went, once it has.
fn outcome(waiting: &Waiting, supervisor: &Supervisor) -> Option<(u8, String)> {
    let pool = &waiting.pool;
    match supervisor.sizing(waiting.cohort) {
        Sizing::UnderWay => None,
        Sizing::Done { workers } => Some((0, format!("pool {pool} has {workers} workers"))),
        Sizing::Dying => Some((75, format!("pool {pool}: its new workers die young"))),
        Sizing::Over => Some((
            UNAVAILABLE,
            format!("pool {pool}: a reload or a stop came in between"),
        )),
    }
}

fn no_such_pool(pool: &str, generation: &Generation) -> String {
    let pools = generation.config.pools.iter();
    let names: Vec<&str> = pools.map(|one| one.name.as_str()).collect();
    format!("there is no pool {pool}, but {}", names.join(", "))
}
