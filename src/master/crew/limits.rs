//! The registers of pools that have limits or rules: a register a pool, and where
//! something is counted a shard a worker.
//!
//! A register outlives its generations, so that connections which an old one
//! finishes count for the new one as well. A shard is cleared when its worker was
//! reaped, and after a worker of the model `fork` when its last child was: nobody
//! writes to it any more.

use super::Crew;
use crate::admission::episode::{News, Shed, Watch};
use crate::admission::register::{MAX_LINES, MAX_SHARDS};
use crate::admission::{Cause, Register, Secret, Shape, Shard};
use crate::config::{Limits, Model};
use crate::driver::gate::Pass;
use crate::master::generation::Opened;
use crate::scoreboard::{Doorkeeping, RowAllocator, SHED_CAUSES};
use crate::sys::random;
use std::collections::BTreeMap;
use std::time::Instant;

const _: () = assert!(SHED_CAUSES == Cause::COUNT);

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Registers {
    /// By the name of the pool.
    held: BTreeMap<String, Held>,
    /// Those of pools that are no more: memory is never unmapped.
    spare: Vec<Register>,
}

/// That of one pool.
#[derive(Debug)]
struct Held {
    register: Register,
    secret: Secret,
    /// Places in its directory.
    shards: RowAllocator,
    lines: RowAllocator,
    watch: Watch,
}

impl Registers {
    /// What a new worker of the pool is given: nothing, where the pool has neither
    /// limits nor rules.
    pub(super) fn pass(&mut self, opened: &Opened) -> Option<Pass> {
        let pool = &*opened.pool;
        let limits = pool.limits.as_ref();
        let is_open = pool.access.allow.is_empty() && pool.access.deny.is_empty();
        if limits.is_none() && is_open {
            return None;
        }
        if !self.held.contains_key(&pool.name) {
            let register = match self.spare.pop() {
                Some(spare) => spare,
                None => match Register::new() {
                    Ok(register) => register,
                    Err(error) => {
                        let name = &pool.name;
                        log::error!(
                            "pool {name}: no memory for its limits, which do not hold: {error}"
                        );
                        return None;
                    }
                },
            };
            self.held.insert(pool.name.clone(), Held::new(register));
        }
        let held = self.held.get_mut(&pool.name)?;
        let shard = limits.and_then(|limits| held.open(opened, limits));
        if shard.is_none() && limits.is_some() {
            let name = &pool.name;
            log::warn!(
                "pool {name}: no room to count the connections of one more worker: its limits do not hold for it"
            );
        }
        Some(Pass {
            register: held.register,
            secret: held.secret,
            shard,
        })
    }

    /// The worker that had this is gone.
    pub(super) fn close(&mut self, pool: &str, shard: Option<Shard>) {
        let held = self.held.get_mut(pool);
        if let Some((held, shard)) = held.zip(shard) {
            let (index, first, lines) = shard.place();
            shard.close();
            held.shards.give_back(index, 1);
            held.lines.give_back(first, lines);
        }
    }

    /// Tells of clients that are turned away, once when it begins and once when it
    /// is over.
    pub(super) fn tell(&mut self, now: Instant) {
        for (pool, held) in &mut self.held {
            let look = held.register.head().look();
            let stamp = held.register.stamp(now);
            // Tests rely on these lines.
            match held.watch.look(&look, stamp) {
                None => {}
                Some(News::Begun(counts)) => {
                    log::warn!("pool {pool}: over its limits: {counts} so far");
                }
                Some(News::Over(counts, took)) => {
                    held.register.head().settle();
                    let seconds = took.as_secs_f64();
                    log::warn!("pool {pool}: within its limits again: {counts} in {seconds:.1}s");
                }
            }
        }
    }

    /// Whom the pool has turned away, and whether it does so now.
    pub(super) fn door(&self, pool: &str) -> Option<Doorkeeping> {
        let held = self.held.get(pool)?;
        let Shed { shed, spared } = held.register.head().look().counts;
        Some(Doorkeeping {
            shed,
            spared,
            shedding: held.watch.is_shedding(),
        })
    }
}

impl Held {
    fn new(register: Register) -> Self {
        Self {
            register,
            // Without chance, somebody could find out who shares a tag with whom.
            secret: Secret::new(random::number().unwrap_or_default()),
            shards: RowAllocator::with_room(MAX_SHARDS),
            lines: RowAllocator::with_room(MAX_LINES),
            watch: Watch::default(),
        }
    }

    fn open(&mut self, opened: &Opened, limits: &Limits) -> Option<Shard> {
        let pool = &*opened.pool;
        let connections = pool.max_connections as usize;
        let tags = usize::from(limits.connections_per_address > 0)
            + usize::from(limits.connections_per_network > 0);
        let shape = if opened.is_loop() {
            Shape::table(connections, tags, self.lines.longest())
        } else {
            Shape::Lanes(match pool.model {
                Model::Prefork | Model::Event => 1,
                Model::Threads => pool.threads_per_worker as usize,
                Model::Fork => connections,
            })
        };
        let first = self.lines.take(shape.lines())?;
        let Some(index) = self.shards.take(1) else {
            self.lines.give_back(first, shape.lines());
            return None;
        };
        Some(self.register.open(index, first, shape))
    }
}

impl Crew {
    /// A cohort of the pool is gone: with the last one goes what its register has.
    pub(super) fn forget_register(&mut self, pool: &str) {
        let mut cohorts = self.cohorts.values();
        let kept = self.kept_rows.iter().any(|rows| rows.pool == pool);
        if kept || cohorts.any(|cohort| cohort.opened.pool.name == pool) {
            return;
        }
        if let Some(held) = self.registers.held.remove(pool) {
            held.register.clear();
            self.registers.spare.push(held.register);
        }
    }
}
