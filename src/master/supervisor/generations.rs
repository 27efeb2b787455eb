//! How one generation follows another: it is loaded, proves itself or is given
//! up, and those before it drain.

use super::{State, Supervisor};
use crate::master::cohort::{Cohort, Stage};
use crate::master::message::{
    CohortId, Command, Cut, Notice, PoolSpec, Settings, Verdict, WorkerId,
};
use crate::status::Readiness;
use std::collections::BTreeMap;
use std::time::Instant;

impl Supervisor {
    /// Reads the configuration, or waits with that until an old generation is
    /// gone: each has a deadline.
    pub(super) fn load(&mut self) {
        if self.is_crowded() {
            self.state = State::Crowded;
            self.out.tell(Notice::TooManyGenerations);
            return;
        }
        self.state = State::Loading { again: false };
        self.out.push(Command::Load);
    }

    pub(super) fn loaded(
        &mut self,
        generation: u32,
        settings: Settings,
        pools: Vec<(CohortId, PoolSpec)>,
    ) {
        let again = match self.state {
            State::Steady | State::Crowded => false,
            State::Loading { again }
            | State::Proving { again, .. }
            | State::Upgrading { again, .. } => again,
            State::Withdrawing { .. }
            | State::Stopping { .. }
            | State::Killing { .. }
            | State::Ended => {
                self.out.push(Command::Abandon(generation));
                return;
            }
        };
        self.settings = settings;
        self.state = State::Proving { generation, again };
        for (id, spec) in pools {
            self.cohorts.push(Cohort::new(id, generation, spec));
        }
    }

    pub(super) fn load_failed(&mut self) {
        if let State::Loading { again } = self.state {
            self.finish_reload(again);
        }
    }

    pub(super) fn finish_reload(&mut self, again: bool) {
        self.state = State::Steady;
        if again {
            self.load();
        }
    }

    /// Whether another generation would be one too many.
    pub(super) fn is_crowded(&self) -> bool {
        let mut numbers: Vec<u32> = self
            .cohorts
            .iter()
            .map(|cohort| cohort.generation)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.len() >= self.settings.max_generations as usize
    }

    /// Whether the generation that has to prove itself has, or never will.
    pub(super) fn judge_generation(&mut self, now: Instant) {
        let State::Proving { generation, again } = self.state else {
            return;
        };
        let mut cohorts = self
            .cohorts
            .iter()
            .filter(|one| one.generation == generation);
        if cohorts.clone().any(Cohort::is_hopeless) {
            self.give_up(now, generation, again);
        } else if cohorts.all(Cohort::is_proved) {
            for cohort in of(&mut self.cohorts, generation) {
                cohort.serve();
            }
            self.proved = true;
            // Whoever hears that it serves may ask at once.
            self.proclaim(Readiness::Ready);
            self.out.push(Command::Promote(generation));
            self.drain_before(now, generation);
            // What had to wait until it serves, waits no longer.
            let drained = now + self.settings.graceful_timeout;
            for cohort in of(&mut self.cohorts, generation) {
                cohort.settle(now, drained, &mut self.out);
            }
            self.finish_reload(again);
        }
    }

    /// The new generation's workers do not live: it goes, the old one stays.
    fn give_up(&mut self, now: Instant, generation: u32, again: bool) {
        self.out.tell(Notice::NotViable(generation));
        // A start that fails, fails at once. Else whoever is READY has taken
        // clients of the generation that stays, and finishes with them; so may one
        // be of whom that is not known yet.
        if generation == 1 {
            for cohort in of(&mut self.cohorts, generation) {
                cohort.kill_all(&mut self.out);
            }
        } else {
            self.drain_unproved(now, generation);
        }
        self.out.push(Command::Abandon(generation));
        // Without a generation that ever served there is nothing to fall back on.
        if self.proved {
            self.finish_reload(again);
        } else {
            let verdict = Verdict::NeverServed;
            self.state = State::Killing { verdict };
        }
    }

    /// Every cohort older than `generation` finishes what it has.
    pub(super) fn drain_before(&mut self, now: Instant, generation: u32) {
        let deadline = now + self.settings.graceful_timeout;
        for cohort in self
            .cohorts
            .iter_mut()
            .filter(|one| one.generation < generation)
        {
            if cohort.stage != Stage::Draining {
                cohort.drain(deadline, &mut self.out);
            }
        }
    }

    /// The generation that has to prove itself is not wanted any more. Those of
    /// its workers that are READY may have clients.
    pub(super) fn drain_unproved(&mut self, now: Instant, generation: u32) {
        let until = now + self.settings.graceful_timeout;
        for cohort in of(&mut self.cohorts, generation) {
            cohort.drain(until, &mut self.out);
        }
    }

    /// Ends whoever has not finished in time with all his generation, and says
    /// once for each what that costs.
    pub(super) fn cut_generations(&mut self) {
        let mut late: BTreeMap<u32, Vec<WorkerId>> = BTreeMap::new();
        for (generation, worker) in std::mem::take(&mut self.out.cut) {
            late.entry(generation).or_default().push(worker);
        }
        for (generation, workers) in late {
            self.out.tell(Notice::GenerationCut {
                generation,
                workers: workers.clone(),
            });
            for worker in workers {
                self.out.push(Command::Kill(worker, Cut::Overdue));
            }
        }
    }

    pub(super) fn drop_empty(&mut self) {
        let out = &mut self.out;
        self.cohorts.retain(|cohort| {
            let done = cohort.stage == Stage::Draining && cohort.is_empty();
            if done {
                out.push(Command::Drop(cohort.id));
            }
            !done
        });
    }
}

/// The cohorts of a generation.
fn of(cohorts: &mut [Cohort], generation: u32) -> impl Iterator<Item = &mut Cohort> {
    let cohorts = cohorts.iter_mut();
    cohorts.filter(move |one| one.generation == generation)
}
