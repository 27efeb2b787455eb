//! What is remembered of a pool's workers when they are gone, over all its
//! generations: what they had counted, what they died of, what they
//! complained of.

use super::{Cohort, Crew, Worker};
use crate::master::control::PoolStatus;
use crate::master::death::{Cause, Tally};
use crate::master::message::{CohortId, Outlook, WorkerId};
use crate::master::repeats::{Hearing, Over, Repeats};
use crate::scoreboard::Counter;
use std::io;
use std::time::Instant;

/// The memory of one pool, as long as it is in some generation.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// What the workers of cohorts that are gone had counted.
    totals: [u64; Counter::COUNT],
    deaths: Tally,
    complaints: Repeats,
    /// How the last one died, in words.
    last: String,
}

impl Crew {
    /// A worker of the cohort died of `cause`, which `how` tells without what
    /// differs from worker to worker.
    pub(super) fn record_death(&mut self, cohort: CohortId, cause: Cause, how: &str) {
        let name = self.cohort_name(cohort).to_owned();
        let record = self.records.entry(name).or_default();
        record.deaths.count(cause);
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

    /// The cohort is gone: what it had counted stays with its pool, as long as
    /// that is in some generation.
    pub(super) fn keep_record(&mut self, cohort: &Cohort) {
        let name = &cohort.opened.pool.name;
        let record = self.records.entry(name.clone()).or_default();
        for (total, more) in record.totals.iter_mut().zip(cohort.totals) {
            *total += more;
        }
        let same = |other: &Cohort| other.opened.pool.name == *name;
        if !self.cohorts.values().any(same)
            && let Some(mut record) = self.records.remove(name)
        {
            tell(name, record.complaints.settle());
        }
    }

    /// The cohorts of this generation, in the order of their pools.
    pub fn cohorts_of(&self, generation: u32) -> Vec<CohortId> {
        let cohorts = self.cohorts.iter();
        let cohorts = cohorts.filter(|(_, cohort)| cohort.generation == generation);
        cohorts.map(|(id, _)| *id).collect()
    }

    /// What is known of a pool; `outlook` is the supervisor's word on it.
    pub fn pool_report(&self, id: CohortId, outlook: Outlook) -> Option<PoolStatus> {
        let cohort = self.cohorts.get(&id)?;
        let name = &cohort.opened.pool.name;
        let record = self.records.get(name);
        let counts = self.counts(name);
        let count = |counter: Counter| counts[counter as usize];
        let counted = |group: &[Counter]| {
            let each = group.iter().map(|one| (one.name(), count(*one)));
            each.collect()
        };
        let deaths = record.map(|record| record.deaths).unwrap_or_default();
        Some(PoolStatus {
            name: name.clone(),
            generation: cohort.generation,
            model: cohort.opened.pool.model.name(),
            wanted: outlook.wanted,
            ready: outlook.ready,
            breaker: outlook.breaker.name(),
            connections: count(Counter::Connections),
            requests: count(Counter::Requests),
            received: count(Counter::Received),
            sent: count(Counter::Sent),
            answers: counted(Counter::ANSWERS),
            closes: counted(Counter::CLOSES),
            deaths: deaths
                .each()
                .map(|(cause, count)| (cause.name(), count))
                .collect(),
        })
    }

    /// What the pool's workers have counted, dead and alive, in all its
    /// generations.
    fn counts(&self, pool: &str) -> [u64; Counter::COUNT] {
        let record = self.records.get(pool);
        let mut counts = record.map_or([0; Counter::COUNT], |record| record.totals);
        let mut add = |more: [u64; Counter::COUNT]| {
            for (count, more) in counts.iter_mut().zip(more) {
                *count = count.wrapping_add(more);
            }
        };
        let same = |one: &&Cohort| one.opened.pool.name == pool;
        for cohort in self.cohorts.values().filter(same) {
            add(cohort.totals);
        }
        let of_pool = |worker: &&Worker| {
            let cohort = self.cohorts.get(&worker.cohort);
            cohort.as_ref().is_some_and(same)
        };
        for worker in self.workers.values().filter(of_pool) {
            for index in worker.first_row..worker.first_row + worker.row_count {
                let row = self.scoreboard.row(index);
                add(Counter::ALL.map(|counter| row.count(counter)));
            }
        }
        counts
    }
}

fn tell(pool: &str, over: Vec<Over>) {
    for Over { text, untold } in over {
        // A line that tests rely on: see tests/crash.rs.
        log::warn!("pool {pool}: {untold} more of the same, and none for now: {text}");
    }
}
