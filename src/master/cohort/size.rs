//! How a pool that serves keeps its size, whatever that is at the moment. Pure,
//! as all of the cohort.

use super::super::message::{Cut, Notice};
use super::super::pool::{Census, Plan};
use super::{Cohort, FULL_QUIET, Outbox, Phase, Slot};
use std::time::Instant;

impl Cohort {
    /// Spawns where a back-off is over, then more or fewer as the size wants.
    pub(super) fn keep_size(&mut self, now: Instant, drained: Instant, out: &mut Outbox) {
        self.close_breaker(now, out);
        self.refill(now, out);
        self.watch_desertion(now, out);
        let plan = self.plan(now);
        match plan {
            Plan::Keep => {}
            Plan::AtMaximum => {
                let before = self.full.replace(now);
                let recent = |at| now.saturating_duration_since(at) < FULL_QUIET;
                if !before.is_some_and(recent) {
                    out.tell(Notice::AtMaximum(self.id));
                }
            }
            Plan::Spawn(count) => {
                for _ in 0..count {
                    let empty = |slot: &Slot| slot.phase == Phase::Empty;
                    if self.breaker.allowance(now) > 0
                        && let Some(slot) = self.slots.iter().position(empty)
                    {
                        self.spawn(slot, now, out);
                    }
                }
            }
            Plan::Retire(count) => {
                for _ in 0..count {
                    self.retire_last(drained, out);
                }
            }
        }
        self.relieve(now);
        self.refill(now, out);
        self.close_needless_breaker(now, out);
    }

    /// What the size wants, less what the breaker forbids anyway.
    fn plan(&mut self, now: Instant) -> Plan {
        let census = self.census();
        if self.breaker.allowance(now) == 0 && self.sizer.is_short(census) {
            return Plan::Keep;
        }
        self.sizer.plan(now, census)
    }

    pub(super) fn census(&self) -> Census {
        let mut census = Census {
            idle: self.idle,
            ..Census::default()
        };
        for slot in &self.slots {
            match slot.phase {
                Phase::Empty => {}
                Phase::Waiting { .. } | Phase::Starting { .. } => {
                    census.coming += 1;
                    census.total += 1;
                }
                Phase::Ready { .. } => census.total += 1,
            }
        }
        census
    }

    /// Retires the last slot in use: those at the front stay.
    fn retire_last(&mut self, until: Instant, out: &mut Outbox) {
        let used = |slot: &Slot| slot.phase != Phase::Empty;
        if let Some(slot) = self.slots.iter().rposition(used) {
            self.idle = self.idle.saturating_sub(1);
            self.retire(slot, until, Cut::Overdue, out);
        }
    }
}
