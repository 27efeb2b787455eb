//! The listeners of all cohorts, which several of them may have at once: who of
//! these may be made to wait for a client.

use super::{Cohort, Crew};
use crate::config::MAX_LISTENERS;
use crate::net::{Listener, ListenerSet};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Crew {
    /// A listener must not block where any living cohort waits for more than
    /// it, nor where somebody empties it; a plain accept4(2) is fairer where nobody
    /// does.
    pub fn settle_blocking(&self) {
        let emptied = self.emptied();
        for cohort in self.cohorts.values() {
            for listener in cohort.listeners.of_pool(&cohort.opened.pool) {
                let has_it = |other: &&Cohort| {
                    let listeners = other.listeners.of_pool(&other.opened.pool);
                    listeners.iter().any(|one| Arc::ptr_eq(one, &listener))
                };
                let mut having = self.cohorts.values().filter(has_it);
                let lent = having.clone().any(|one| one.opened.is_program());
                listener.lend(lent);
                let emptied = !lent && emptied.contains(&Arc::as_ptr(&listener));
                let nonblocking = emptied || having.any(|one| one.opened.wants_nonblocking());
                if let Err(error) = listener.set_nonblocking(nonblocking) {
                    log::error!("fcntl {}: {error}", listener.local());
                }
            }
        }
    }

    /// The listeners that a worker was told to empty before it leaves. One of them may
    /// be a newer generation's by now, whose workers would wait for clients. A program
    /// is told in its own way.
    fn emptied(&self) -> BTreeSet<*const Listener> {
        let leaving = self
            .workers
            .values()
            .filter(|one| one.retired && one.program.is_none());
        let emptied = leaving.flat_map(|worker| {
            let mask = self.scoreboard.row(worker.first_row).last_owner_of();
            let listeners = worker.listeners.iter().take(MAX_LISTENERS).enumerate();
            listeners.filter(move |(index, _)| mask >> index & 1 == 1)
        });
        emptied.map(|(_, one)| Arc::as_ptr(one)).collect()
    }

    /// The generation's new workers accept on these.
    pub fn set_listeners(&mut self, generation: u32, listeners: &ListenerSet) {
        let cohorts = self.cohorts.values_mut();
        // All its pools: none may keep a socket that another one gave up.
        for cohort in cohorts.filter(|one| one.generation == generation) {
            cohort.listeners = listeners.clone();
        }
        self.settle_blocking();
    }

    /// Programs that accept for themselves can end, with shutdown(2), what they only
    /// share. Nobody who comes after them could serve: so it is mended, and told of.
    pub(super) fn revive_listeners(&self) {
        for cohort in self.cohorts.values().filter(|one| one.opened.is_program()) {
            let pool = &cohort.opened.pool;
            for listener in cohort.listeners.of_pool(pool) {
                let (name, local) = (&pool.name, listener.local());
                match listener.revive() {
                    Ok(false) => {}
                    // A test waits for this line.
                    Ok(true) => log::error!(
                        "pool {name}: {local}: a program has shut it down for all (shutdown(2)): it listens again, who waited in its queue is lost"
                    ),
                    Err(error) => log::error!(
                        "pool {name}: {local}: a program has shut it down for all (shutdown(2)): listen: {error}"
                    ),
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Worker;
    use super::*;
    use crate::config::{Config, Master, Pool, Service, parse_listen};
    use crate::master::generation::{Generation, Services};
    use crate::master::message::{CohortId, WorkerId};
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use nix::unistd::Pid;
    use std::fs::File;
    use std::time::Instant;

    /// A worker that was told to leave, and to empty the first of its listeners.
    fn leaver(crew: &mut Crew, cohort: CohortId, listeners: Vec<Arc<Listener>>) -> Worker {
        let first_row = crew.rows.take(1).unwrap();
        crew.scoreboard.row(first_row).make_last_owner(1);
        Worker {
            pid: Pid::this(),
            cohort,
            slot: 0,
            seat: 0,
            first_row,
            row_count: 1,
            shard: None,
            listeners,
            spawned: Instant::now(),
            channel: File::open("/dev/null").unwrap().into(),
            born_after: 0,
            ready: None,
            wished: false,
            retired: true,
            heir: false,
            killed: None,
            process: String::new(),
            program: None,
        }
    }

    #[test]
    fn clients_are_waited_for_only_when_nobody_empties_the_queue() {
        let mut pool = Pool::with_defaults("web", Service::Echo);
        pool.listen = vec![parse_listen("127.0.0.1:0").unwrap().into()];
        let config = Config {
            master: Master::with_defaults(),
            pools: vec![pool],
        };
        let nothing = ListenerSet::default();
        let generation = Generation::open(1, config, &nothing, &Services::new()).unwrap();
        let mut crew = Crew::new(None).unwrap();
        let cohort = crew.admit(&generation, &mut 1).unwrap()[0].0;
        let listener = Arc::clone(generation.listeners.all().next().unwrap());
        let waits = || {
            let flags = fcntl(&*listener, FcntlArg::F_GETFL).unwrap();
            !OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK)
        };
        assert!(waits());
        let worker = leaver(&mut crew, cohort, vec![Arc::clone(&listener)]);
        crew.workers.insert(WorkerId(1), worker);
        crew.settle_blocking();
        assert!(!waits());
        crew.workers.clear();
        crew.settle_blocking();
        assert!(waits());
    }
}
