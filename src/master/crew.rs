//! The workers as processes: their ids, rows and seats, and what they have to say.
//!
//! How they come is in `spawn`, how they go in `leave`; what can be said of them, and
//! of their deaths, is in `report`, what is written for all who look in `ledger`.

mod blackbox;
mod leave;
mod ledger;
mod limits;
mod listeners;
mod logs;
mod memory;
mod programs;
mod record;
mod report;
mod spawn;

use super::generation::{Generation, Opened};
use super::message::{CohortId, Cut, WorkerId};
use super::oom::OomWatch;
use crate::admission::Shard;
use crate::config::{Model, Pool};
use crate::log::Output;
use crate::net::{Listener, ListenerSet};
use crate::scoreboard::{Board, MAX_BOARDS, MAX_SLOTS, RowAllocator, Scoreboard, Table};
use crate::sys::title::Title;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::io::{self};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use leave::Death;

use blackbox::BlackBox;
use ledger::Ledger;
use limits::Registers;
use programs::Program;
use record::Record;

/// A worker has closed what it is not to have long before this, and mostly within a
/// millisecond.
const BIRTH: Duration = Duration::from_secs(5);

/// All workers and cohorts.
pub struct Crew {
    scoreboard: Scoreboard,
    /// That of the master before, as long as it is not in our ledger.
    before: Option<Table>,
    ledger: Ledger,
    registers: Registers,
    rows: RowAllocator,
    boards: Vec<bool>,
    cohorts: BTreeMap<CohortId, Cohort>,
    workers: BTreeMap<WorkerId, Worker>,
    /// Workers that have not said READY.
    unready: Vec<WorkerId>,
    life: Arc<OwnedFd>,
    /// Only ours: when it closes, by our death, every worker knows.
    _life_line: OwnedFd,
    parked: Arc<OwnedFd>,
    title: Option<Title>,
    detached: bool,
    /// Children that ended and were no workers.
    strangers: Vec<WaitStatus>,
    /// How often the logs were reopened.
    reopening: u64,
    /// By the name of the pool.
    records: BTreeMap<String, Record>,
    oom: OomWatch,
    /// Rows of workers that are gone, and have left children.
    kept_rows: Vec<leave::Rows>,
    /// Listeners of workers that are gone, whose queues want somebody to empty
    /// them.
    estates: BTreeMap<WorkerId, Vec<Arc<Listener>>>,
    /// Whose memory was looked at last.
    weighed: WorkerId,
    /// The program whose output was read last.
    heard: WorkerId,
    black_box: BlackBox,
}

/// A pool in one generation, as the master has it.
struct Cohort {
    generation: u32,
    opened: Opened,
    listeners: ListenerSet,
    board_index: usize,
    board: Board,
    /// Which idle bits are taken.
    seats: Vec<bool>,
    /// Its pool's, in the ledger.
    entry: usize,
    graceful_timeout: Duration,
    once: bool,
    /// Its log, until that is the one in force.
    log: Option<Output>,
}

/// A worker process.
struct Worker {
    pid: Pid,
    cohort: CohortId,
    slot: usize,
    seat: usize,
    first_row: usize,
    row_count: usize,
    /// Where it counts whom it has.
    shard: Option<Shard>,
    listeners: Vec<Arc<Listener>>,
    /// Just before it was forked.
    spawned: Instant,
    /// Our end of the socket on which it gets new log files.
    channel: OwnedFd,
    /// The reopening before its birth.
    born_after: u64,
    /// When it was heard to be.
    ready: Option<Instant>,
    wished: bool,
    retired: bool,
    /// It came to empty a queue: whoever comes after it would fail as well.
    heir: bool,
    killed: Option<Cut>,
    /// How the kernel found it just before; empty for whoever was not killed.
    process: String,
    /// What is to be had of it where it is a program.
    program: Option<Program>,
}

/// What the bell was rung for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A worker serves.
    Ready(WorkerId),
    /// A worker is worn.
    WantsSuccessor(WorkerId),
}

impl Crew {
    /// Nobody yet. What the master `before` has counted goes on.
    ///
    /// # Errors
    /// Where the kernel has no memory or descriptors.
    pub fn new(before: Option<Table>) -> io::Result<Self> {
        let flags = nix::fcntl::OFlag::O_CLOEXEC;
        let (life, life_line) = nix::unistd::pipe2(flags)?;
        let parked = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
        Ok(Self {
            scoreboard: Scoreboard::new()?,
            before,
            ledger: Ledger::new(before.is_some()),
            registers: Registers::default(),
            rows: RowAllocator::default(),
            boards: vec![false; MAX_BOARDS],
            cohorts: BTreeMap::new(),
            workers: BTreeMap::new(),
            unready: Vec::new(),
            life: Arc::new(life),
            _life_line: life_line,
            parked: Arc::new(parked.into()),
            title: None,
            detached: false,
            strangers: Vec::new(),
            reopening: 0,
            records: BTreeMap::new(),
            oom: OomWatch::new(Instant::now()),
            kept_rows: Vec::new(),
            estates: BTreeMap::new(),
            weighed: WorkerId(0),
            heard: WorkerId(0),
            black_box: BlackBox::default(),
        })
    }

    /// Shows titles from now on, or not.
    pub fn set_title(&mut self, title: Option<Title>) {
        self.title = title;
    }

    /// Whether nobody sees what is written to standard error.
    pub fn is_detached(&self) -> bool {
        self.detached
    }

    /// Workers take leave of the master's terminal from now on.
    pub fn detach(&mut self) {
        self.detached = true;
    }

    /// The log of this generation is in force: new workers have it anyway.
    pub fn promote(&mut self, generation: u32) {
        let cohorts = self.cohorts.values_mut();
        for cohort in cohorts.filter(|one| one.generation == generation) {
            cohort.log = None;
        }
    }

    /// The scoreboard.
    pub fn scoreboard(&self) -> &Scoreboard {
        &self.scoreboard
    }

    /// Makes room for the pools of a generation; answers their cohorts.
    ///
    /// # Errors
    /// Where the scoreboard has no board left.
    pub fn admit(
        &mut self,
        generation: &Generation,
        next: &mut u64,
    ) -> io::Result<Vec<(CohortId, Opened)>> {
        let mut admitted = Vec::new();
        let log = |_| generation.log.as_ref().map(Output::try_clone).transpose();
        let logs: io::Result<Vec<_>> = generation.pools.iter().map(log).collect();
        let now = Instant::now();
        for (opened, log) in generation.pools.iter().zip(logs?) {
            let board_index = self.boards.iter().position(|taken| !taken);
            // An account without a cohort would never be closed.
            let room = board_index.and_then(|at| Some((at, self.open_account(&opened.pool, now)?)));
            let Some((board_index, entry)) = room else {
                for (id, _) in admitted {
                    self.drop_cohort(id);
                }
                return Err(io::Error::other(
                    "more pools and generations than the scoreboard has room for",
                ));
            };
            self.boards[board_index] = true;
            let id = CohortId(*next);
            *next += 1;
            let board = self.scoreboard.board(board_index);
            let min_spare = match opened.pool.size {
                crate::config::Size::Fixed(_) => 0,
                crate::config::Size::Spare { min_spare, .. } => min_spare,
            };
            // Twice: a worker and its successor have a seat each.
            let seats = (opened.pool.size.max() as usize * 2).clamp(64, MAX_SLOTS);
            board.reset(seats, min_spare);
            let cohort = Cohort {
                generation: generation.number,
                entry,
                opened: opened.clone(),
                listeners: generation.listeners.clone(),
                board_index,
                board,
                seats: vec![false; MAX_SLOTS],
                graceful_timeout: generation.config.master.graceful_timeout,
                once: generation.config.master.once,
                log,
            };
            self.cohorts.insert(id, cohort);
            admitted.push((id, opened.clone()));
        }
        self.ledger.first_is_in();
        self.settle_blocking();
        Ok(admitted)
    }

    /// The cohort's last worker is gone, or it never had one.
    pub fn drop_cohort(&mut self, id: CohortId) {
        if let Some(cohort) = self.cohorts.remove(&id) {
            self.boards[cohort.board_index] = false;
            self.keep_record(&cohort);
            self.forget_register(&cohort.opened.pool.name);
        }
        self.settle_blocking();
    }

    /// Whether a worker that was forked a moment ago may still have what is the
    /// master's. One that is not READY for long has other troubles.
    pub fn is_bearing(&self, now: Instant) -> bool {
        let mut unready = self.unready.iter().filter_map(|id| self.workers.get(id));
        unready.any(|one| now.saturating_duration_since(one.spawned) < BIRTH)
    }

    /// Whether the bell rang, and what workers have to say.
    pub fn listen(&mut self) -> (bool, Vec<Word>) {
        let mut words = Vec::new();
        // Empty it before looking: a worker that speaks up later rings again.
        let rang = self.scoreboard.bell().read().is_ok();
        if rang {
            self.registers.tell(Instant::now());
        }
        let Self {
            unready,
            workers,
            cohorts,
            scoreboard,
            ..
        } = self;
        unready.retain(|id| {
            let Some(worker) = workers.get_mut(id) else {
                return false;
            };
            let ready = scoreboard.row(worker.first_row).is_ready();
            if ready {
                let now = Instant::now();
                worker.ready = Some(now);
                // The benchmark reads this, and a test.
                let took = now.saturating_duration_since(worker.spawned).as_micros();
                log::debug!("worker pid {} is ready after {took} us", worker.pid);
                worker.listeners.iter().for_each(|one| one.set_open());
                if let (Some(program), Some(cohort)) =
                    (&mut worker.program, cohorts.get(&worker.cohort))
                    && cohort.opened.pool.max_worker_memory > 0
                {
                    program.weigh(worker.pid);
                }
                words.push(Word::Ready(*id));
            }
            !ready
        });
        for (id, worker) in workers.iter_mut().filter(|(_, worker)| !worker.wished) {
            if scoreboard.row(worker.first_row).wants_successor() {
                worker.wished = true;
                words.push(Word::WantsSuccessor(*id));
            }
        }
        (rang, words)
    }

    /// How many workers of each spare-driven cohort wait for a connection.
    pub fn count_idle(&self) -> Vec<(CohortId, u32)> {
        let spare =
            |cohort: &&Cohort| matches!(cohort.opened.pool.size, crate::config::Size::Spare { .. });
        let count = |(id, cohort): (&CohortId, &Cohort)| {
            cohort.board.look();
            (*id, cohort.board.idle())
        };
        self.cohorts
            .iter()
            .filter(|(_, cohort)| spare(cohort))
            .map(count)
            .collect()
    }

    /// Workers that should have moved on long ago, those on their way out
    /// included.
    pub fn hung(&self, now: Instant) -> Vec<WorkerId> {
        let hangs = |worker: &Worker| {
            if let Some(program) = &worker.program {
                return program.is_hung(now);
            }
            let Some(cohort) = self.cohorts.get(&worker.cohort) else {
                return false;
            };
            let pool = &cohort.opened.pool;
            // The children of the model fork are their worker's to look after.
            let rows = match pool.model {
                Model::Fork => 1,
                Model::Prefork | Model::Event | Model::Threads => worker.row_count,
            };
            let mut lanes = worker.first_row..worker.first_row + rows;
            let overdue = |index| self.scoreboard.row(index).overdue(now);
            lanes.any(|index| overdue(index).is_some_and(|by| by > pool.worker_timeout))
        };
        let serving = |worker: &Worker| worker.ready.is_some() && worker.killed.is_none();
        let found = self
            .workers
            .iter()
            .filter(|(_, worker)| serving(worker) && hangs(worker));
        found.map(|(id, _)| *id).collect()
    }

    fn signal(&self, id: WorkerId, signal: Signal) {
        if let Some(worker) = self.workers.get(&id) {
            // Not reaped yet, so the number is still the worker's.
            if let Err(errno) = kill(worker.pid, signal) {
                log::error!("kill {} {signal}: {errno}", worker.pid);
            }
        }
    }

    /// Keeps what ages: the kernel's count of kills, and old complaints.
    pub fn tick(&mut self, now: Instant) {
        self.oom.tick(now);
        self.registers.tell(now);
        self.revive_listeners();
        self.fold_if_due(now);
        self.tell_what_is_over(now);
    }

    /// The cohort of a pool in a generation.
    pub fn cohort_of(&self, generation: u32, pool: &str) -> Option<CohortId> {
        let of_name = |(_, cohort): &(&CohortId, &Cohort)| {
            cohort.generation == generation && cohort.opened.pool.name == pool
        };
        self.cohorts.iter().find(of_name).map(|(id, _)| *id)
    }

    /// The pool of a cohort.
    pub fn pool_of(&self, id: CohortId) -> Option<Arc<Pool>> {
        let cohort = self.cohorts.get(&id)?;
        Some(Arc::clone(&cohort.opened.pool))
    }

    /// The generations that have a cohort.
    pub fn generations(&self) -> Vec<u32> {
        self.cohorts
            .values()
            .map(|cohort| cohort.generation)
            .collect()
    }

    /// The bell's descriptor, to wait for.
    pub fn bell(&self) -> impl AsFd + '_ {
        self.scoreboard.bell()
    }

    /// Every worker process.
    pub fn ids(&self) -> Vec<WorkerId> {
        self.workers.keys().copied().collect()
    }

    /// How many worker processes there are.
    pub fn len(&self) -> usize {
        self.workers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }
}
