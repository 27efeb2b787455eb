//! What the master writes into the ledger for all who look: how each pool
//! stands, what it does a second, who waits for it.

use super::{Cohort, Crew, Worker};
use crate::config::{Pool, Size};
use crate::master::message::{CohortId, Outlook, WorkerId};
use crate::master::rates::Samples;
use crate::net::{Listener, ListenerSet};
use crate::scoreboard::{
    Counter, Doorkeeping, Entry, Facts, Identity, MAX_LEDGER, Place, Sums, View,
};
use crate::status::Phase;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The ledger as the master keeps it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// By the name of the pool, as long as it is in some generation.
    accounts: BTreeMap<String, Account>,
    /// The master before: its counts go on in the pools of our first generation.
    inherits: bool,
    /// When they are taken over for good.
    fold_at: Option<Instant>,
}

/// One pool's entry.
#[derive(Debug)]
struct Account {
    index: usize,
    entry: Entry,
    /// The cohort that is shown.
    shown: Option<CohortId>,
    queue: Option<(u32, u32)>,
    inbox: Option<(u32, u32)>,
    /// Datagrams that the kernel has dropped, under the masters before as well.
    dropped: u64,
    samples: Samples,
    /// Whom the master before had turned away.
    before: Doorkeeping,
    /// Whom this one has.
    door: Doorkeeping,
}

/// So long the workers of a master that was killed may outlive it, and count.
const ORPHANS: Duration = Duration::from_secs(crate::driver::ORPHAN_SECONDS as u64 + 1);

impl Account {
    /// Says whom the pool has turned away: never fewer than before, though its limits
    /// may be no more.
    fn look_at_door(&mut self, door: Option<Doorkeeping>) {
        let none = Doorkeeping::default();
        let Some(now) = door else {
            if self.door != none {
                self.before = self.before.and(&self.door);
                self.door = none;
                self.entry.set_doorkeeping(&self.before);
            }
            return;
        };
        if now != self.door {
            self.door = now;
            self.entry.set_doorkeeping(&self.before.and(&now));
        }
    }
}

impl Ledger {
    /// Begins with nothing, or with what the master before has.
    pub(super) fn new(inherits: bool) -> Self {
        Self {
            inherits,
            ..Self::default()
        }
    }

    /// Tells of datagrams of this pool that its socket had no room for.
    pub(super) fn tell_drops(&mut self, pool: &str, listener: &Listener) {
        let dropped = listener.newly_dropped();
        if dropped == 0 {
            return;
        }
        if let Some(account) = self.accounts.get_mut(pool) {
            account.dropped += dropped;
        }
        // The line on which tests rely.
        log::warn!(
            "{}: datagrams lost for want of room in its queue: {dropped}",
            listener.local()
        );
    }

    /// The pools of the first generation are in: what comes later begins anew.
    pub(super) fn first_is_in(&mut self) {
        self.inherits = false;
    }
}

impl Crew {
    /// What there is to be read.
    pub fn view(&self) -> View {
        View {
            own: self.scoreboard.table(),
            before: self.before,
        }
    }

    /// The entry of a pool, which is opened where there is none; `None` where
    /// all are taken.
    pub(super) fn open_account(&mut self, pool: &Pool, now: Instant) -> Option<usize> {
        let accounts = &mut self.ledger.accounts;
        if let Some(account) = accounts.get(&pool.name) {
            return Some(account.index);
        }
        let kept = &self.kept_rows;
        let taken = |index: &usize| {
            let mut kept = kept.iter().filter_map(|rows| rows.entry);
            accounts.values().any(|one| one.index == *index) || kept.any(|one| one == *index)
        };
        let index = (0..MAX_LEDGER).find(|index| !taken(index))?;
        let entry = self.scoreboard.table().entry(index);
        entry.set_identity(&identity(pool));
        let before = self.before.filter(|_| self.ledger.inherits);
        let heir = before.and_then(|table| Some(table.entry(table.entry_named(&pool.name)?)));
        let before = heir.map_or_else(Doorkeeping::default, |one| one.doorkeeping());
        entry.set_doorkeeping(&before);
        entry.open(!self.ledger.inherits);
        self.scoreboard.note_entries(index + 1);
        let account = Account {
            index,
            entry,
            shown: None,
            queue: None,
            inbox: None,
            dropped: heir.map_or(0, |one| one.facts().dropped),
            samples: Samples::default(),
            before,
            door: Doorkeeping::default(),
        };
        accounts.insert(pool.name.clone(), account);
        // What there was before is no rate.
        self.sample(now);
        Some(index)
    }

    /// The pool is in no generation any more.
    pub(super) fn close_account(&mut self, pool: &str) {
        if let Some(account) = self.ledger.accounts.remove(pool) {
            account.entry.hide();
        }
    }

    /// A worker was forked.
    pub(super) fn note_spawned(&self, entry: usize) {
        let entry = self.scoreboard.table().entry(entry);
        entry.change(|sums| sums.spawned += 1);
    }

    /// Moves what the rows have counted to the sums of their pool, with what
    /// `change` adds; they are free afterwards.
    pub(super) fn settle_rows(
        &self,
        entry: usize,
        (first, count): (usize, usize),
        change: impl FnOnce(&mut Sums),
    ) {
        let rows: Vec<_> = self.scoreboard.table().rows(first, count).collect();
        let entry = self.scoreboard.table().entry(entry);
        entry.settle(first, &rows, change);
    }

    /// Writes down how the pools of a generation stand, in their order, and how
    /// far each worker is. Other pools are not shown.
    pub fn publish(
        &mut self,
        pools: &[(CohortId, Outlook)],
        phases: impl Iterator<Item = (WorkerId, Phase)>,
    ) {
        let Self {
            ledger,
            cohorts,
            registers,
            ..
        } = self;
        for (name, account) in &mut ledger.accounts {
            account.look_at_door(registers.door(name));
            let is_named = |(_, (id, _)): &(usize, &(CohortId, Outlook))| {
                let cohort = cohorts.get(id);
                cohort.is_some_and(|cohort| cohort.opened.pool.name == *name)
            };
            let found = pools.iter().enumerate().find(is_named);
            let found =
                found.and_then(|(at, (id, outlook))| Some((at, cohorts.get(id)?, id, outlook)));
            let Some((at, cohort, id, outlook)) = found else {
                account.entry.hide();
                continue;
            };
            if account.shown != Some(*id) {
                account.shown = Some(*id);
                let identity = identity(&cohort.opened.pool);
                // A reload seldom changes it, and nobody then reads it in between.
                if account.entry.identity() != identity {
                    account.entry.set_identity(&identity);
                }
            }
            account.entry.set_facts(&Facts {
                rank: at as u64 + 1,
                generation: cohort.generation,
                wanted: outlook.wanted,
                ready: outlook.ready,
                most: match cohort.opened.pool.size {
                    // It may have been given another one since.
                    Size::Fixed(_) => outlook.wanted,
                    Size::Spare { max, .. } => max as usize,
                },
                breaker: outlook.breaker.name().to_owned(),
                queue: account.queue,
                inbox: account.inbox,
                dropped: account.dropped,
                rates: account.samples.rates(),
            });
        }
        for (id, phase) in phases {
            if let Some((worker, place)) = self.workers.get(&id).zip(self.place(id)) {
                let row = self.scoreboard.row(worker.first_row);
                row.set_phase(place, phase);
            }
        }
    }

    /// Whose rows a worker has.
    fn place(&self, id: WorkerId) -> Option<Place> {
        let worker = self.workers.get(&id)?;
        let cohort = self.cohorts.get(&worker.cohort)?;
        Some(place(cohort, worker))
    }

    /// Takes a sample of what is counted, for the rates. Memory alone.
    pub fn sample(&mut self, now: Instant) {
        let Some(count) = self.view().count() else {
            // The master before buries its workers, all at once: next time.
            return;
        };
        for account in self.ledger.accounts.values_mut() {
            let sums = count.sums.get(account.index).copied().unwrap_or_default();
            let counters = [
                Counter::Connections,
                Counter::Requests,
                Counter::Received,
                Counter::Sent,
            ];
            account
                .samples
                .take(now, counters.map(|one| sums.count(one)));
        }
    }

    /// Asks the kernel for datagrams that were dropped because nobody took those
    /// before them in time, and tells of them; of those `elsewhere` another master
    /// does.
    pub fn look_for_drops(&mut self, elsewhere: &ListenerSet) {
        for cohort in self.cohorts.values() {
            let pool = &cohort.opened.pool;
            if !pool.is_datagram() {
                continue;
            }
            // A socket may be in several generations: who comes first has the news.
            for listener in cohort.listeners.of_pool(pool) {
                if elsewhere.holds(&listener) {
                    listener.newly_dropped();
                } else {
                    self.ledger.tell_drops(&pool.name, &listener);
                }
            }
        }
    }

    /// Asks the kernel who waits in the accept queues, and what in those of datagrams.
    pub fn look_at_queues(&mut self) {
        let Self {
            ledger, cohorts, ..
        } = self;
        for account in ledger.accounts.values_mut() {
            let cohort = account.shown.and_then(|id| cohorts.get(&id));
            let Some(cohort) = cohort else { continue };
            let listeners = cohort.listeners.of_pool(&cohort.opened.pool);
            let queues = listeners.iter().filter_map(|listener| listener.queue());
            let inboxes = listeners.iter().filter_map(|listener| listener.inbox());
            let add = |sum: u32, more: u32| sum.saturating_add(more);
            let sum = |sum: (u32, u32), one: (u32, u32)| (add(sum.0, one.0), add(sum.1, one.1));
            account.queue = queues.reduce(sum);
            account.inbox = inboxes.reduce(sum);
        }
    }

    /// The master before is gone; workers of it may still be about if it did not
    /// see them out.
    pub fn predecessor_is_gone(&mut self, now: Instant) {
        self.ledger.fold_at = self.before.map(|_| now + ORPHANS);
    }

    /// Takes over what the master before has counted, when it is time.
    pub(super) fn fold_if_due(&mut self, now: Instant) {
        if self.ledger.fold_at.is_some_and(|at| at <= now) {
            self.fold();
        }
    }

    /// Takes it over now, if that master is gone: somebody comes who knows only
    /// us.
    pub fn fold(&mut self) {
        if self.ledger.fold_at.take().is_some() {
            self.view().fold();
            self.before = None;
        }
    }
}

/// What the ledger has of a pool by name.
fn identity(pool: &Pool) -> Identity {
    Identity {
        name: pool.name.clone(),
        service: pool.service.name().to_owned(),
        model: match pool.service.app() {
            Some(_) => String::from("program"),
            None => pool.model.name().to_owned(),
        },
        accept: pool.accept.name().to_owned(),
    }
}

/// Whose rows a worker of the cohort has.
fn place(cohort: &Cohort, worker: &Worker) -> Place {
    Place {
        entry: cohort.entry,
        slot: worker.slot,
        generation: cohort.generation,
        rows: worker.row_count,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::{Config, Master, Service, parse_listen};
    use crate::master::generation::{Generation, Services};

    fn generation(name: &str) -> Generation {
        let mut pool = Pool::with_defaults(name, Service::Echo);
        pool.listen = vec![parse_listen("127.0.0.1:0").unwrap().into()];
        let master = Master::with_defaults();
        let pools = vec![pool];
        let config = Config { master, pools };
        Generation::open(1, config, &ListenerSet::default(), &Services::new()).unwrap()
    }

    #[test]
    fn a_pool_that_finds_no_room_has_no_account() {
        let mut crew = Crew::new(None).unwrap();
        crew.boards.fill(true);
        assert!(crew.admit(&generation("web"), &mut 1).is_err());
        assert!(crew.ledger.accounts.is_empty());
        crew.boards.fill(false);
        let admitted = crew.admit(&generation("web"), &mut 1).unwrap();
        assert_eq!((admitted.len(), crew.ledger.accounts.len()), (1, 1));
        crew.drop_cohort(admitted[0].0);
        assert!(crew.ledger.accounts.is_empty());
    }
}
