//! How a pool that serves changes: other workers for the worn ones, more or
//! fewer of them for another size. Pure, as all of the cohort.

use super::super::message::{Command, MAX_WORKERS, Sizing, WorkerId};
use super::{Cohort, Leaver, Leaving, Outbox, PROOF_DEATHS, Phase, Slot, Stage};
use crate::config::Size;
use std::time::Instant;

impl Cohort {
    // Size.

    /// As many slots as `change` makes of their number, where the size is a
    /// fixed one; answers whether it is.
    pub(crate) fn resize(&mut self, change: impl Fn(u32) -> u32, out: &mut Outbox) -> bool {
        if let (Size::Fixed(workers), Stage::Serving) = (self.sizer.size(), self.stage) {
            let workers = change(workers).clamp(1, MAX_WORKERS);
            self.resize_deaths = 0;
            let slots = self.slots.len().max(workers as usize);
            self.slots.resize_with(slots, Slot::default);
            self.sizer.fix(workers);
            out.push(Command::Resize {
                cohort: self.id,
                slots: workers as usize,
            });
            return true;
        }
        false
    }

    /// How far it is on its way to its size. Workers that are being replaced
    /// serve meanwhile.
    pub(crate) fn sizing(&self) -> Sizing {
        let (Size::Fixed(workers), Stage::Serving) = (self.sizer.size(), self.stage) else {
            return Sizing::Over;
        };
        let (staying, going) = self.slots.split_at(self.slots.len().min(workers as usize));
        let relieved = |index: usize| {
            let of_slot = |one: &Leaver| one.slot == index && one.phase == Leaving::Relieved;
            self.leaving.iter().any(of_slot)
        };
        let serves = |(index, slot): (usize, &Slot)| {
            matches!(slot.phase, Phase::Ready { .. }) || relieved(index)
        };
        let gone = going.iter().all(|slot| slot.phase == Phase::Empty)
            && self.leaving.iter().all(|one| one.slot < staying.len());
        if gone && staying.iter().enumerate().all(serves) {
            Sizing::Done { workers }
        } else if self.resize_deaths >= PROOF_DEATHS {
            Sizing::Dying
        } else {
            Sizing::UnderWay
        }
    }

    // Wear.

    /// A worker is worn: it gets a successor when its turn comes.
    pub(crate) fn wear(&mut self, worker: WorkerId) {
        if !self.worn.contains(&worker) {
            self.worn.push_back(worker);
        }
    }

    /// The worn get their successors, whoever asked first first: each serves on
    /// until its own is READY. None before it has served its time, for else a
    /// limit that is soon reached would have workers replaced without a pause.
    pub(super) fn relieve(&mut self, now: Instant) {
        let mut worn = std::mem::take(&mut self.worn);
        worn.retain(|worker| {
            let Some((index, since)) = self.ready_slot(*worker) else {
                return false;
            };
            if since + self.spec.min_worker_lifetime > now || !self.may_relieve() {
                return true;
            }
            self.leaving.push(Leaver {
                worker: *worker,
                slot: index,
                phase: Leaving::Relieved,
            });
            self.slots[index].phase = Phase::Waiting { until: now };
            false
        });
        self.worn = worn;
    }

    /// Whether one more may be on its way out for wear: a quarter of the pool at
    /// a time, for wear comes in waves.
    pub(super) fn may_relieve(&self) -> bool {
        let relieved = |leaver: &&Leaver| leaver.phase == Leaving::Relieved;
        let relieved = self.leaving.iter().filter(relieved).count();
        relieved < (self.census().total as usize / 4).max(1)
    }

    /// When the first of the worn has served its time.
    pub(super) fn worn_at(&self) -> Option<Instant> {
        let since = |worker: &WorkerId| self.ready_slot(*worker).map(|(_, since)| since);
        let first = self.worn.iter().filter_map(since).min()?;
        Some(first + self.spec.min_worker_lifetime)
    }

    /// The slot of a worker that serves, and since when it has.
    fn ready_slot(&self, worker: WorkerId) -> Option<(usize, Instant)> {
        let of_worker = |(index, slot): (usize, &Slot)| match slot.phase {
            Phase::Ready { worker: one, since } if one == worker => Some((index, since)),
            Phase::Ready { .. } | Phase::Empty | Phase::Waiting { .. } | Phase::Starting { .. } => {
                None
            }
        };
        self.slots.iter().enumerate().find_map(of_worker)
    }
}
