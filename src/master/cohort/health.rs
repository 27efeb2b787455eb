//! What a pool does about workers that do not live: it waits, tries with one,
//! and says so.

use super::super::breaker;
use super::super::message::Notice;
use super::{
    Cohort, Desertion, Leaver, Leaving, Outbox, Phase, SILENCE, Slot, Stage, TOLD_DEATHS, YOUNG,
};
use std::time::Instant;

impl Cohort {
    /// The worker of the slot died young: the next one comes later.
    pub(super) fn back_off(&mut self, slot: usize, now: Instant, out: &mut Outbox) {
        let cohort = self.id;
        let one = &mut self.slots[slot];
        let worker = one.phase.worker();
        one.deaths = one.deaths.saturating_add(1);
        let deaths = one.deaths;
        let delay = out.delay(deaths);
        one.phase = Phase::Waiting { until: now + delay };
        let serving = |slot: &Slot| matches!(slot.phase, Phase::Ready { .. });
        let in_a_row = if self.slots.iter().any(serving) {
            0
        } else {
            deaths
        };
        let verdict = worker
            .filter(|_| self.stage == Stage::Serving)
            .map_or(breaker::Verdict::Silence, |worker| {
                self.breaker.died(worker, now, in_a_row)
            });
        match verdict {
            breaker::Verdict::Opened(pause) => out.tell(Notice::BreakerOpened { cohort, pause }),
            breaker::Verdict::StillOpen(open, probes) => out.tell(Notice::BreakerStillOpen {
                cohort,
                open,
                probes,
            }),
            // A delay that grows no more is news no more, but now and then.
            breaker::Verdict::Silence
                if self.breaker.is_closed()
                    && (deaths <= TOLD_DEATHS || deaths.is_multiple_of(TOLD_DEATHS)) =>
            {
                out.tell(Notice::BackingOff {
                    cohort,
                    slot,
                    deaths,
                    delay,
                });
            }
            breaker::Verdict::Silence => {}
        }
    }

    /// When the probe will have lived long enough, if it is READY.
    pub(super) fn probe_lives_at(&self) -> Option<Instant> {
        let probe = self.breaker.probe()?;
        self.slots.iter().find_map(|slot| match slot.phase {
            Phase::Ready { worker, since } if worker == probe => Some(since + YOUNG),
            Phase::Ready { .. } | Phase::Empty | Phase::Waiting { .. } | Phase::Starting { .. } => {
                None
            }
        })
    }

    pub(super) fn close_breaker(&mut self, now: Instant, out: &mut Outbox) {
        let probe = self.breaker.probe();
        // A probe that left its slot without having died young has served.
        let settled = probe.is_some_and(|probe| {
            self.slots
                .iter()
                .all(|slot| slot.phase.worker() != Some(probe))
        });
        if settled || self.probe_lives_at().is_some_and(|at| at <= now) {
            self.breaker.close();
            out.tell(Notice::BreakerClosed(self.id));
        }
    }

    /// The workers that died may not be wanted any more, by a smaller size or for
    /// want of clients. Then there is nobody to try with, and no reason to say of
    /// those who serve that they keep dying.
    pub(super) fn close_needless_breaker(&mut self, now: Instant, out: &mut Outbox) {
        let due = !self.breaker.is_closed() && self.breaker.allowance(now) > 0;
        if due && !self.sizer.is_short(self.census()) {
            self.breaker.close();
            out.tell(Notice::BreakerNeedless(self.id));
        }
    }

    /// A pool without a READY worker is not silent, unless that is over in a
    /// moment.
    ///
    /// A probe does not count before it has lived: each that dies young would
    /// end the desertion and begin another.
    pub(super) fn watch_desertion(&mut self, now: Instant, out: &mut Outbox) {
        let probe = self.breaker.probe();
        let ready = |slot: &Slot| matches!(slot.phase, Phase::Ready { worker, .. } if probe != Some(worker));
        let relieved = |leaver: &Leaver| leaver.phase == Leaving::Relieved;
        let deserted = !self.slots.iter().any(ready) && !self.leaving.iter().any(relieved);
        self.desertion = match (self.desertion, deserted) {
            (Desertion::None, true) => Desertion::Untold {
                until: now + SILENCE,
            },
            (Desertion::Untold { until }, true) if until <= now => {
                out.tell(Notice::NobodyServes(self.id));
                Desertion::Told
            }
            (Desertion::Told, false) => {
                out.tell(Notice::SomebodyServes(self.id));
                Desertion::None
            }
            (_, false) => Desertion::None,
            (unchanged, true) => unchanged,
        };
    }
}
