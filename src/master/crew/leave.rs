//! How workers go: told to leave, ended, and reaped.

use super::programs::end_session;
use super::{Crew, Worker};
use crate::admission::Shard;
use crate::config::MAX_LISTENERS;
use crate::master::death::End;
use crate::master::message::{CohortId, Cut, WorkerId};
use crate::net::{Listener, ListenerSet};
use crate::scoreboard::{Cause, Counter, Sums};
use crate::status::Phase;
use crate::sys::process::{self, Ended, Usage};
use log::Level;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use std::sync::Arc;

impl Crew {
    /// Tells a worker to finish and leave. `staying` are the listeners that
    /// somebody will go on accepting on: of the others it is a last owner.
    pub fn retire(&mut self, id: WorkerId, staying: &ListenerSet) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        worker.retired = true;
        let mut last_of = Vec::new();
        let mut mask = 0;
        for (index, listener) in worker.listeners.iter().enumerate().take(MAX_LISTENERS) {
            if !staying.holds(listener) && !listener.is_foreign() {
                mask |= 1 << index;
                refuse(listener);
                last_of.push(Arc::clone(listener));
            }
        }
        self.scoreboard.row(worker.first_row).make_last_owner(mask);
        // A slot that goes takes its socket along, and nobody looks at that any more.
        let cohort = self.cohorts.get(&worker.cohort);
        let pool = cohort.map_or("", |one| &one.opened.pool.name);
        for listener in &last_of {
            self.ledger.tell_drops(pool, listener);
        }
        if worker.program.is_some() {
            return self.part_with(id, last_of);
        }
        self.signal(id, Signal::SIGTERM);
    }

    /// Lets no new client begin anywhere but at those of `elsewhere`, on which
    /// another master accepts.
    pub fn refuse_handshakes(&self, set: &ListenerSet, elsewhere: &ListenerSet) {
        set.all()
            .filter(|one| !elsewhere.holds(one))
            .for_each(refuse);
    }

    /// Ends a worker at once, for this.
    pub fn kill(&mut self, id: WorkerId, cut: Cut) {
        let process = self.process(id);
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.killed = Some(cut);
            worker.process.clone_from(&process);
            let session = worker.program.is_some().then_some(worker.pid);
            let level = match cut {
                // That one was told of, as far as it is news.
                Cut::NotReady => Level::Debug,
                Cut::Hung | Cut::Overdue | Cut::AtOnce => Level::Warn,
            };
            log::log!(
                level,
                "worker {} pid {}: SIGKILL; it was {}; process {process}",
                self.name(id),
                self.pid(id),
                self.doing(id)
            );
            session.into_iter().for_each(end_session);
            self.signal(id, Signal::SIGKILL);
        }
    }

    /// Collects every child that has ended. Those that are not workers (a
    /// dead worker's children become ours) are of no interest. `broken` are the
    /// cohorts whose breaker is not closed.
    pub fn reap(&mut self, broken: impl Fn(CohortId) -> bool) -> Vec<Death> {
        let mut deaths = Vec::new();
        // Nobody came into what is left here: it was all to end at once.
        self.estates.clear();
        loop {
            // Looked at first, and waited for when nobody is left in its group:
            // so long its number is its own.
            let collected = process::ended().and_then(|ended| match ended {
                Some(ended) => {
                    self.end_group_of(ended);
                    process::reap_child(ended.pid)
                }
                None => Err(Errno::ECHILD),
            });
            match collected {
                Err(Errno::ECHILD) => return deaths,
                Ok((WaitStatus::StillAlive, _)) | Err(Errno::EINTR) => {}
                Ok((status, usage)) => deaths.extend(self.settle(status, usage, &broken)),
                Err(errno) => {
                    log::error!("waitid, wait4: {errno}");
                    return deaths;
                }
            }
        }
    }

    /// Ends what is left in the group of a child that has ended and led one.
    fn end_group_of(&self, ended: Ended) {
        let worker = self.workers.values().find(|one| one.pid == ended.pid);
        let leads = match worker {
            Some(worker) => worker.program.is_some(),
            // A program that lost its worker was ended by the kernel, which knows
            // nothing of those that it had started in its group.
            None => ended.signal == Signal::SIGKILL as i32,
        };
        if leads {
            end_session(ended.pid);
        }
    }

    /// The children that [`Crew::reap`] collected and that were no workers.
    pub fn strangers(&mut self) -> Vec<WaitStatus> {
        std::mem::take(&mut self.strangers)
    }

    fn settle(
        &mut self,
        status: WaitStatus,
        usage: Usage,
        broken: impl Fn(CohortId) -> bool,
    ) -> Option<Death> {
        let pid = status.pid()?;
        let Some(id) = self
            .workers
            .iter()
            .find(|(_, worker)| worker.pid == pid)
            .map(|(id, _)| *id)
        else {
            log::debug!("reaped {pid}, which is not a worker");
            self.bury_orphan(pid);
            self.strangers.push(status);
            return None;
        };
        self.hear_last_words(id);
        if self.is_program(id) {
            // Before its successor finds that it cannot accept.
            self.revive_listeners();
        }
        let facts = self.facts(id, status)?;
        let exit = match facts.end {
            End::Exited(code) => Some(code),
            End::Signalled | End::Killed => None,
        };
        let worker = self.workers.get(&id)?;
        let (may_repeat, program) = (broken(worker.cohort), worker.program.is_some());
        self.tell_death(id, status, facts, usage, may_repeat);
        let estate = match exit {
            // One that knows nothing of us has not looked whether it was the last.
            _ if program => self.estate_of_program(id),
            Some(0) => Vec::new(),
            Some(_) | None => self.estate(id),
        };
        let left = !estate.is_empty();
        if left {
            self.estates.insert(id, estate);
        }
        let worker = self.workers.remove(&id)?;
        let orphans = self.orphans(&worker);
        let mut rows = Rows {
            entry: None,
            first: worker.first_row,
            count: worker.row_count,
            shard: worker.shard,
            pool: String::new(),
            orphans,
        };
        if let Some(cohort) = self.cohorts.get_mut(&worker.cohort) {
            cohort.board.set_busy(worker.seat);
            cohort.seats[worker.seat] = false;
            rows.entry = Some(cohort.entry);
            rows.pool.clone_from(&cohort.opened.pool.name);
        }
        if worker.killed.is_some() {
            rows.orphans.iter().copied().for_each(end_if_ours);
        }
        self.settle_all(rows, Some(facts.cause()));
        self.unready.retain(|one| *one != id);
        Some(Death {
            worker: id,
            clean: exit == Some(0),
            served: facts.served,
            left,
            status: exit,
        })
    }

    /// The children of a worker that is gone, as far as they live: they are ours
    /// now, and still write to its rows.
    fn orphans(&self, worker: &Worker) -> Vec<Pid> {
        let rows = self.scoreboard.table();
        // The first row is the worker's own.
        let rows = rows.rows(worker.first_row, worker.row_count).skip(1);
        let pids = rows.filter_map(|row| i32::try_from(row.pid()).ok());
        let pids = pids.filter(|pid| *pid > 0).map(Pid::from_raw);
        // What a sick worker wrote there must not end another one.
        let is_worker = |pid: &Pid| self.workers.values().any(|one| one.pid == *pid);
        let mut orphans: Vec<Pid> = pids
            .filter(|pid| !is_worker(pid) && is_ours(*pid))
            .collect();
        orphans.sort_unstable();
        orphans.dedup();
        orphans
    }

    /// Has the rows of a dead worker counted where they belong, and gives them
    /// back; or keeps them until the last orphan is gone.
    fn settle_all(&mut self, rows: Rows, cause: Option<Cause>) {
        let died = |sums: &mut Sums| {
            if let Some(cause) = cause {
                sums.deaths[cause as usize] += 1;
            }
        };
        let table = self.scoreboard.table();
        let Some(entry) = rows.entry else {
            // A cohort outlives its workers.
            return;
        };
        if !rows.orphans.is_empty() {
            table.entry(entry).change(died);
            let first = table.row(rows.first);
            if let Some(place) = first.place() {
                first.set_phase(place, Phase::Gone);
            }
            self.kept_rows.push(rows);
            return;
        }
        for row in table.rows(rows.first, rows.count) {
            row.add(Counter::Killed, row.unfinished());
        }
        self.settle_rows(entry, (rows.first, rows.count), died);
        self.rows.give_back(rows.first, rows.count);
        self.registers.close(&rows.pool, rows.shard);
    }

    /// Somebody's child was reaped.
    fn bury_orphan(&mut self, pid: Pid) {
        let kept = self.kept_rows.iter_mut();
        let Some(at) = kept.enumerate().find_map(|(at, rows)| {
            let before = rows.orphans.len();
            rows.orphans.retain(|one| *one != pid);
            (rows.orphans.len() < before && rows.orphans.is_empty()).then_some(at)
        }) else {
            return;
        };
        let rows = self.kept_rows.swap_remove(at);
        self.settle_all(rows, None);
    }

    /// The listeners whose queues the worker was told to empty, as far as nobody
    /// else has them: it did not come to its end, and clients may wait there.
    fn estate(&self, id: WorkerId) -> Vec<Arc<Listener>> {
        let Some(worker) = self.workers.get(&id).filter(|one| one.retired && !one.heir) else {
            return Vec::new();
        };
        let mask = self.scoreboard.row(worker.first_row).last_owner_of();
        let shared = |listener: &Arc<Listener>| {
            let mut others = self.workers.iter().filter(|(other, _)| **other != id);
            others.any(|(_, other)| other.listeners.iter().any(|one| Arc::ptr_eq(one, listener)))
        };
        let listeners = worker.listeners.iter().take(MAX_LISTENERS).enumerate();
        listeners
            .filter(|(index, listener)| mask >> index & 1 == 1 && !shared(listener))
            .map(|(_, listener)| Arc::clone(listener))
            .collect()
    }

    /// As [`Crew::estate`], of a program: all its listeners, for it knows them by
    /// their order, if somebody waits at one.
    fn estate_of_program(&self, id: WorkerId) -> Vec<Arc<Listener>> {
        let waits = self.estate(id).iter().any(|one| one.is_wanted());
        match self.workers.get(&id).filter(|_| waits) {
            Some(worker) => worker.listeners.clone(),
            None => Vec::new(),
        }
    }
}

/// A worker that was reaped.
#[derive(Debug)]
pub struct Death {
    /// Which.
    pub worker: WorkerId,
    /// Whether it exited with status 0.
    pub clean: bool,
    /// Whether it had served a connection to its end.
    pub served: bool,
    /// Whether it left a queue that nobody else will empty.
    pub left: bool,
    /// Its exit status, if it exited.
    pub status: Option<i32>,
}

/// The rows of a dead worker, to whose children they still belong.
#[derive(Debug)]
pub(super) struct Rows {
    /// Where they are counted.
    pub(super) entry: Option<usize>,
    first: usize,
    count: usize,
    /// Where it counted whom it had …
    shard: Option<Shard>,
    /// … as a worker of this pool.
    pub(super) pool: String,
    /// Those who write to them.
    orphans: Vec<Pid>,
}

/// Whether this is a child of ours, also of a worker that is gone: it became
/// ours with its parent's death. A row may name a process that is long gone, and
/// its number may be another's by now; that we can wait for it says that it is
/// not.
fn is_ours(pid: Pid) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::Pid(pid), flags).is_ok()
}

/// Ends such a child.
fn end_if_ours(pid: Pid) {
    if is_ours(pid) {
        // Not reaped yet, so the number is still the child's.
        let _ = kill(pid, Signal::SIGKILL);
    }
}

fn refuse(listener: &Arc<Listener>) {
    if let Err(error) = listener.refuse_handshakes() {
        log::warn!("refusing new clients on {}: {error}", listener.local());
    }
}
