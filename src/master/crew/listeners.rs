//! The listeners of all cohorts, which several of them may have at once: who of
//! these may be made to wait for a client.

use super::{Cohort, Crew};
use crate::net::ListenerSet;
use std::sync::Arc;

impl Crew {
    /// A listener must not block where any living cohort waits for more than
    /// it; a plain accept4(2) is fairer where none does.
    pub fn settle_blocking(&self) {
        for cohort in self.cohorts.values() {
            for listener in cohort.listeners.of_pool(&cohort.opened.pool) {
                let has_it = |other: &&Cohort| {
                    let listeners = other.listeners.of_pool(&other.opened.pool);
                    listeners.iter().any(|one| Arc::ptr_eq(one, &listener))
                };
                let mut having = self.cohorts.values().filter(has_it);
                listener.lend(having.clone().any(|one| one.opened.is_program()));
                let nonblocking = having.any(|one| one.opened.wants_nonblocking());
                if let Err(error) = listener.set_nonblocking(nonblocking) {
                    log::error!("fcntl {}: {error}", listener.local());
                }
            }
        }
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
