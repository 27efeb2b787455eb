//! What is remembered of a pool's workers when they are gone, over all its
//! generations: what they complained of. What they had counted, and what they
//! died of, is in the ledger.

use super::{Cohort, Crew};
use crate::master::message::{CohortId, WorkerId};
use crate::master::repeats::{Hearing, Over, Repeats};
use std::io;
use std::time::Instant;

/// The memory of one pool, as long as it is in some generation.
#[derive(Debug, Default)]
pub(super) struct Record {
    complaints: Repeats,
    /// How the last one died, in words.
    last: String,
}

impl Crew {
    /// A worker of the cohort died, which `how` tells without what differs from
    /// worker to worker.
    pub(super) fn record_death(&mut self, cohort: CohortId, how: &str) {
        let name = self.cohort_name(cohort).to_owned();
        let record = self.records.entry(name).or_default();
        how.clone_into(&mut record.last);
    }

    /// A worker was not READY in time.
    pub fn not_ready(&mut self, id: WorkerId) {
        let Some(cohort) = self.workers.get(&id).map(|worker| worker.cohort) else {
            return;
        };
        if self.complain(cohort, "not READY in time") {
            let (name, whereabouts) = (self.name(id), self.whereabouts(id));
            log::error!("worker {name} was not READY in time; it was {whereabouts}");
        }
    }

    /// No worker could be forked for this slot.
    pub fn spawn_failed(&mut self, cohort: CohortId, slot: usize, error: &io::Error) {
        let text = format!("spawn: {error}");
        if self.complain(cohort, &text) {
            log::error!("spawn {}[{slot}]: {error}", self.cohort_name(cohort));
        }
        let name = self.cohort_name(cohort).to_owned();
        self.records.entry(name).or_default().last = text;
    }

    /// Answers whether this is to be told in full; a line that it goes on is
    /// written here.
    pub(super) fn complain(&mut self, cohort: CohortId, text: &str) -> bool {
        let name = self.cohort_name(cohort).to_owned();
        let record = self.records.entry(name.clone()).or_default();
        match record.complaints.hear(Instant::now(), text) {
            Hearing::New => true,
            Hearing::Known => false,
            Hearing::GoesOn(times) => {
                log::error!("pool {name}: {times} more of the same: {text}");
                false
            }
        }
    }

    /// Tells of complaints that have not come back.
    pub fn tell_what_is_over(&mut self, now: Instant) {
        for (pool, record) in &mut self.records {
            tell(pool, record.complaints.faded(now));
        }
    }

    /// The pool's workers live again.
    pub fn settle_complaints(&mut self, cohort: CohortId) {
        let name = self.cohort_name(cohort).to_owned();
        if let Some(record) = self.records.get_mut(&name) {
            tell(&name, record.complaints.settle());
        }
    }

    /// How the last worker of the cohort's pool died.
    pub fn last_death(&self, cohort: CohortId) -> &str {
        let record = self.records.get(self.cohort_name(cohort));
        record.map_or("", |record| record.last.as_str())
    }

    /// The cohort is gone: what is known of its pool stays, as long as that is in
    /// some generation.
    pub(super) fn keep_record(&mut self, cohort: &Cohort) {
        let name = &cohort.opened.pool.name;
        let same = |other: &Cohort| other.opened.pool.name == *name;
        if self.cohorts.values().any(same) {
            return;
        }
        self.close_account(name);
        if let Some(mut record) = self.records.remove(name) {
            tell(name, record.complaints.settle());
        }
    }

    /// The cohorts of this generation, in the order of their pools.
    pub fn cohorts_of(&self, generation: u32) -> Vec<CohortId> {
        let cohorts = self.cohorts.iter();
        let cohorts = cohorts.filter(|(_, cohort)| cohort.generation == generation);
        cohorts.map(|(id, _)| *id).collect()
    }
}

fn tell(pool: &str, over: Vec<Over>) {
    for Over { text, untold } in over {
        // A line that tests rely on: see tests/crash.rs.
        log::warn!("pool {pool}: {untold} more of the same, and none for now: {text}");
    }
}
