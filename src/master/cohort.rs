//! A pool in one generation: its slots, and the workers that are leaving them.
//! Pure, like the supervisor whose part it is.

mod change;
mod health;
mod outbox;
mod size;

pub(crate) use outbox::Outbox;

use super::breaker::Breaker;
use super::message::{CohortId, Command, Cut, Notice, Outlook, PoolSpec, WorkerId};
use super::pool::Sizer;
use crate::config::Size;
use crate::status;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A worker that dies sooner than this after its READY, and without having
/// served a connection to its end, died young.
pub const YOUNG: Duration = Duration::from_secs(1);
/// The first back-off; it doubles with each early death in a row …
pub const FIRST_DELAY: Duration = Duration::from_millis(100);
/// … up to this one.
pub const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// So many early deaths in a row are told one by one, for the delay grows with
/// each of them; of those that follow only every tenth is.
const TOLD_DEATHS: u32 = 10;
/// What a worker that seems to hang is given to prove the contrary.
pub const HUNG_PATIENCE: Duration = Duration::from_secs(2);
/// How long a pool may be without a READY worker before that is worth a line.
pub const SILENCE: Duration = Duration::from_secs(1);
/// A pool that is full, and has been not long ago, is no news: under load it
/// has a spare worker now and then.
pub const FULL_QUIET: Duration = Duration::from_secs(60);
/// Early deaths after which a generation that has not served is given up.
pub const PROOF_DEATHS: u32 = 3;

#[derive(Debug)]
pub(super) struct Cohort {
    pub(super) id: CohortId,
    pub(super) generation: u32,
    pub(super) stage: Stage,
    /// How many workers wait for a connection, as last counted.
    pub(super) idle: u32,
    spec: PoolSpec,
    sizer: Sizer,
    slots: Vec<Slot>,
    leaving: Vec<Leaver>,
    /// Workers that want a successor, in the order in which they said so.
    worn: VecDeque<WorkerId>,
    proof_deaths: u32,
    /// Early deaths since the size was last asked for.
    resize_deaths: u32,
    /// When it last wanted more workers than it may have.
    full: Option<Instant>,
    breaker: Breaker,
    desertion: Desertion,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// No worker has been READY: one goes first, and the rest when it is.
    Proving,
    Serving,
    Draining,
}

#[derive(Debug, Default)]
struct Slot {
    phase: Phase,
    /// Early deaths in a row.
    deaths: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Empty,
    /// To be filled, after a back-off.
    Waiting {
        until: Instant,
    },
    Starting {
        worker: WorkerId,
        until: Instant,
    },
    Ready {
        worker: WorkerId,
        since: Instant,
    },
}

impl Phase {
    const fn worker(self) -> Option<WorkerId> {
        match self {
            Self::Empty | Self::Waiting { .. } => None,
            Self::Starting { worker, .. } | Self::Ready { worker, .. } => Some(worker),
        }
    }
}

/// A worker that has no slot any more, or whose slot waits for its successor.
#[derive(Clone, Copy, Debug)]
struct Leaver {
    worker: WorkerId,
    slot: usize,
    phase: Leaving,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// Serving on until its successor is READY.
    Relieved,
    /// Told to finish; cut at the deadline for this.
    Draining { until: Instant, cut: Cut },
    /// Told nothing more: SIGKILL is on its way.
    Killed,
}

/// Whether no worker is READY, and whether the operator knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Desertion {
    None,
    Untold { until: Instant },
    Told,
}

/// How a worker was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// It had been told to go, or had a successor: nothing is missing.
    Expected,
    /// It left its slot empty.
    Missing,
}

impl Cohort {
    pub(super) fn new(id: CohortId, generation: u32, spec: PoolSpec) -> Self {
        let slots = (0..spec.size.max()).map(|_| Slot::default()).collect();
        Self {
            id,
            generation,
            stage: Stage::Proving,
            idle: 0,
            sizer: Sizer::new(spec.size),
            spec,
            slots,
            leaving: Vec::new(),
            worn: VecDeque::new(),
            proof_deaths: 0,
            resize_deaths: 0,
            full: None,
            breaker: Breaker::default(),
            desertion: Desertion::None,
        }
    }

    // What it is asked.

    pub(super) fn workers(&self) -> impl Iterator<Item = WorkerId> {
        let leaving = self.leaving.iter().map(|leaver| leaver.worker);
        let slots = self.slots.iter().filter_map(|slot| slot.phase.worker());
        slots.chain(leaving)
    }

    pub(super) fn has(&self, worker: WorkerId) -> bool {
        self.workers().any(|one| one == worker)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.workers().next().is_none()
    }

    /// Whether as many workers are READY as the pool begins with.
    pub(super) fn is_proved(&self) -> bool {
        let ready = |slot: &&Slot| matches!(slot.phase, Phase::Ready { .. });
        self.slots.iter().filter(ready).count() >= self.sizer.start() as usize
    }

    /// Whether its workers die before they serve.
    pub(super) fn is_hopeless(&self) -> bool {
        self.proof_deaths >= PROOF_DEATHS
    }

    /// How it is getting on, for the operator.
    pub(super) fn outlook(&self) -> Outlook {
        let in_use = self.slots.iter().filter(|slot| slot.phase != Phase::Empty);
        let ready = |slot: &&Slot| matches!(slot.phase, Phase::Ready { .. });
        let relieved = |leaver: &&Leaver| leaver.phase == Leaving::Relieved;
        Outlook {
            wanted: match self.sizer.size() {
                Size::Fixed(workers) => workers as usize,
                Size::Spare { .. } => in_use.count(),
            },
            ready: self.slots.iter().filter(ready).count()
                + self.leaving.iter().filter(relieved).count(),
            breaker: self.breaker.standing(),
        }
    }

    /// Since when its breaker has not been closed, if it serves and that is so.
    pub(super) fn broken_since(&self) -> Option<Instant> {
        match self.stage {
            Stage::Serving => self.breaker.open_since(),
            Stage::Proving | Stage::Draining => None,
        }
    }

    /// How far each of its workers is.
    pub(super) fn phases(&self) -> impl Iterator<Item = (WorkerId, status::Phase)> {
        let slots = self.slots.iter().filter_map(|slot| match slot.phase {
            Phase::Empty | Phase::Waiting { .. } => None,
            Phase::Starting { worker, .. } => Some((worker, status::Phase::Starting)),
            Phase::Ready { worker, .. } => Some((worker, status::Phase::Ready)),
        });
        let leaving = self.leaving.iter().map(|leaver| {
            let phase = match leaver.phase {
                Leaving::Relieved => status::Phase::Ready,
                Leaving::Draining { .. } => status::Phase::Draining,
                Leaving::Killed => status::Phase::Killed,
            };
            (leaver.worker, phase)
        });
        slots.chain(leaving)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let slots = self.slots.iter().filter_map(|slot| match slot.phase {
            Phase::Empty | Phase::Ready { .. } => None,
            // Nobody is spawned into a cohort that drains, or past the breaker.
            Phase::Waiting { until } => {
                (self.stage != Stage::Draining && self.breaker.is_closed()).then_some(until)
            }
            Phase::Starting { until, .. } => Some(until),
        });
        let leaving = self.leaving.iter().filter_map(|leaver| match leaver.phase {
            Leaving::Relieved | Leaving::Killed => None,
            Leaving::Draining { until, .. } => Some(until),
        });
        let sizer = match self.stage {
            // A breaker that is not closed has its own deadlines for more.
            Stage::Serving if self.breaker.is_closed() => self.sizer.next_look(),
            Stage::Serving | Stage::Proving | Stage::Draining => None,
        };
        let breaker = match self.stage {
            Stage::Serving => self.breaker.next_deadline().or(self.probe_lives_at()),
            Stage::Proving | Stage::Draining => None,
        };
        let desertion = match (self.stage, self.desertion) {
            (Stage::Serving, Desertion::Untold { until }) => Some(until),
            (Stage::Serving | Stage::Proving | Stage::Draining, _) => None,
        };
        let worn = match self.stage {
            Stage::Serving if self.may_relieve() => self.worn_at(),
            Stage::Serving | Stage::Proving | Stage::Draining => None,
        };
        let own = [sizer, breaker, desertion, worn].into_iter().flatten();
        slots.chain(leaving).chain(own).min()
    }

    // What happens to it.

    /// The worker was forked: from now on it has time to be READY.
    pub(super) fn spawned(&mut self, worker: WorkerId, now: Instant) {
        let limit = now + self.spec.spawn_timeout;
        for slot in &mut self.slots {
            if let Phase::Starting { worker: one, until } = &mut slot.phase
                && *one == worker
            {
                *until = limit;
            }
        }
    }

    /// A worker says READY: those it relieves may go, until `deadline`.
    pub(super) fn ready(
        &mut self,
        worker: WorkerId,
        now: Instant,
        deadline: Instant,
        out: &mut Outbox,
    ) {
        let starting = |slot: &Slot| matches!(slot.phase, Phase::Starting { worker: one, .. } if one == worker);
        let Some(index) = self.slots.iter().position(starting) else {
            return;
        };
        self.slots[index].phase = Phase::Ready { worker, since: now };
        for leaver in self
            .leaving
            .iter_mut()
            .filter(|leaver| leaver.slot == index)
        {
            if leaver.phase == Leaving::Relieved {
                leaver.phase = Leaving::Draining {
                    until: deadline,
                    cut: Cut::Overdue,
                };
                out.push(Command::Retire(leaver.worker));
            }
        }
    }

    /// A worker that serves shows no sign of life: it is asked to leave, soon
    /// killed, and its slot is filled at once.
    pub(super) fn hung(&mut self, worker: WorkerId, now: Instant, out: &mut Outbox) {
        let ready =
            |slot: &Slot| matches!(slot.phase, Phase::Ready { worker: one, .. } if one == worker);
        if let Some(index) = self.slots.iter().position(ready) {
            out.tell(Notice::Hung(worker));
            self.retire(index, now + HUNG_PATIENCE, Cut::Hung, out);
            self.slots[index].phase = Phase::Waiting { until: now };
            return;
        }
        // One that should be finishing hangs: it has no more time than others.
        let leaver = self.leaving.iter_mut().find(|one| one.worker == worker);
        if let Some(leaver) = leaver
            && let Leaving::Draining {
                until,
                cut: Cut::Overdue,
            } = leaver.phase
        {
            out.tell(Notice::Hung(worker));
            leaver.phase = Leaving::Draining {
                until: until.min(now + HUNG_PATIENCE),
                cut: Cut::Hung,
            };
        }
    }

    /// A worker that was on its way out has left a queue, and nobody else has
    /// it: another one empties it, by `until`.
    pub(super) fn appoint_heir(
        &mut self,
        of: WorkerId,
        slot: usize,
        until: Instant,
        out: &mut Outbox,
    ) {
        let worker = out.name_worker();
        let phase = Leaving::Draining {
            until,
            cut: Cut::Overdue,
        };
        self.leaving.push(Leaver {
            worker,
            slot,
            phase,
        });
        out.push(Command::SpawnHeir {
            worker,
            cohort: self.id,
            slot,
            of,
        });
    }

    /// The slot that a worker on its way out had.
    pub(super) fn slot_left_by(&self, worker: WorkerId) -> Option<usize> {
        let leaver = self.leaving.iter().find(|one| one.worker == worker)?;
        Some(leaver.slot)
    }

    /// A worker of this cohort is no more.
    pub(super) fn lost(
        &mut self,
        worker: WorkerId,
        served: bool,
        now: Instant,
        out: &mut Outbox,
    ) -> Loss {
        if let Some(at) = self
            .leaving
            .iter()
            .position(|leaver| leaver.worker == worker)
        {
            self.leaving.remove(at);
            return Loss::Expected;
        }
        let of_worker = |slot: &Slot| slot.phase.worker() == Some(worker);
        let Some(index) = self.slots.iter().position(of_worker) else {
            return Loss::Expected;
        };
        match self.slots[index].phase {
            Phase::Ready { since, .. }
                if served || now.saturating_duration_since(since) >= YOUNG =>
            {
                self.slots[index].deaths = 0;
                // A spare-driven pool decides anew whether it needs one.
                self.slots[index].phase = match self.sizer.size() {
                    Size::Fixed(_) => Phase::Waiting { until: now },
                    Size::Spare { .. } => Phase::Empty,
                };
            }
            Phase::Ready { .. } => {
                self.resize_deaths += 1;
                self.back_off(index, now, out);
            }
            Phase::Empty | Phase::Waiting { .. } | Phase::Starting { .. } => {
                self.proof_deaths += 1;
                self.resize_deaths += 1;
                self.back_off(index, now, out);
            }
        }
        Loss::Missing
    }

    /// It has proved itself.
    pub(super) fn serve(&mut self) {
        self.stage = Stage::Serving;
        self.idle = self.sizer.start();
    }

    /// Everyone finishes what he has; nobody comes any more.
    pub(super) fn drain(&mut self, until: Instant, out: &mut Outbox) {
        self.stage = Stage::Draining;
        for slot in 0..self.slots.len() {
            self.retire(slot, until, Cut::Overdue, out);
        }
        for leaver in &mut self.leaving {
            if leaver.phase == Leaving::Relieved {
                let cut = Cut::Overdue;
                leaver.phase = Leaving::Draining { until, cut };
                out.push(Command::Retire(leaver.worker));
            }
        }
    }

    pub(super) fn kill_all(&mut self, out: &mut Outbox) {
        self.stage = Stage::Draining;
        for (slot, one) in self.slots.iter_mut().enumerate() {
            if let Some(worker) = std::mem::take(&mut one.phase).worker() {
                let phase = Leaving::Relieved;
                self.leaving.push(Leaver {
                    worker,
                    slot,
                    phase,
                });
            }
        }
        for leaver in self
            .leaving
            .iter_mut()
            .filter(|leaver| leaver.phase != Leaving::Killed)
        {
            leaver.phase = Leaving::Killed;
            out.push(Command::Kill(leaver.worker, Cut::AtOnce));
        }
    }

    // What holds at every moment.

    /// Fills what is empty. `drained` is the deadline of a
    /// drain that begins now.
    pub(super) fn settle(&mut self, now: Instant, drained: Instant, out: &mut Outbox) {
        match self.stage {
            Stage::Proving => self.prove(now, out),
            Stage::Serving => self.keep_size(now, drained, out),
            Stage::Draining => {}
        }
    }

    /// Cuts workers whose time is up. Only once all that they said is heard.
    pub(super) fn expire(&mut self, now: Instant, out: &mut Outbox) {
        for index in 0..self.slots.len() {
            if let Phase::Starting { worker, until } = self.slots[index].phase
                && until <= now
            {
                out.tell(Notice::NotReady(worker));
                out.push(Command::Kill(worker, Cut::NotReady));
                let phase = Leaving::Killed;
                self.leaving.push(Leaver {
                    worker,
                    slot: index,
                    phase,
                });
                self.proof_deaths += 1;
                self.resize_deaths += 1;
                self.back_off(index, now, out);
            }
        }
        for leaver in &mut self.leaving {
            if let Leaving::Draining { until, cut } = leaver.phase
                && until <= now
            {
                leaver.phase = Leaving::Killed;
                match (self.stage, cut) {
                    (Stage::Draining, Cut::Overdue) => {
                        out.cut.push((self.generation, leaver.worker));
                    }
                    (Stage::Proving | Stage::Serving | Stage::Draining, _) => {
                        out.tell(Notice::CutShort(leaver.worker));
                        out.push(Command::Kill(leaver.worker, cut));
                    }
                }
            }
        }
    }

    /// One worker goes ahead; the rest follow when it is READY.
    fn prove(&mut self, now: Instant, out: &mut Outbox) {
        self.refill(now, out);
        let ready = |slot: &Slot| matches!(slot.phase, Phase::Ready { .. });
        let wanted = if self.slots.iter().any(ready) {
            self.sizer.start() as usize
        } else {
            1
        };
        for slot in 0..wanted.min(self.slots.len()) {
            if self.slots[slot].phase == Phase::Empty {
                self.spawn(slot, now, out);
            }
        }
    }

    /// Spawns where a back-off is over, as far as the breaker lets it.
    fn refill(&mut self, now: Instant, out: &mut Outbox) {
        let probing = !self.breaker.is_closed();
        for slot in 0..self.slots.len() {
            if let Phase::Waiting { until } = self.slots[slot].phase
                && (until <= now || probing)
                && self.breaker.allowance(now) > 0
            {
                self.spawn(slot, now, out);
            }
        }
    }

    fn spawn(&mut self, slot: usize, now: Instant, out: &mut Outbox) {
        let worker = out.name_worker();
        self.breaker.spawned(worker);
        let until = now + self.spec.spawn_timeout;
        self.slots[slot].phase = Phase::Starting { worker, until };
        out.push(Command::Spawn {
            worker,
            cohort: self.id,
            slot,
        });
    }

    fn retire(&mut self, slot: usize, until: Instant, cut: Cut, out: &mut Outbox) {
        if let Some(worker) = std::mem::take(&mut self.slots[slot].phase).worker() {
            let phase = Leaving::Draining { until, cut };
            self.leaving.push(Leaver {
                worker,
                slot,
                phase,
            });
            out.push(Command::Retire(worker));
        }
    }
}
