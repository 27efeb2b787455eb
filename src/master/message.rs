//! What the master and its supervisor say to each other: events go in,
//! commands come out.

use crate::config::Size;
use crate::status::Readiness;
use std::time::Duration;

/// The most workers a pool can be given.
pub const MAX_WORKERS: u32 = 4096;

/// A worker, from its spawn to its reaping; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u64);

/// A pool in one generation; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CohortId(pub u64);

/// What the supervisor must know of a pool.
#[derive(Clone, Debug)]
pub struct PoolSpec {
    /// How many workers.
    pub size: Size,
    /// How long a worker may take to its READY.
    pub spawn_timeout: Duration,
    /// How long a worker serves at least before it is replaced for wear.
    pub min_worker_lifetime: Duration,
}

/// How far a pool is on its way to the size that was asked for last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizing {
    /// Some are not READY yet, or not gone yet.
    UnderWay,
    /// There are so many, and each serves.
    Done {
        /// How many.
        workers: u32,
    },
    /// Those that come die young.
    Dying,
    /// The cohort serves no more.
    Over,
}

/// What does not depend on a pool.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a drain may take.
    pub graceful_timeout: Duration,
    /// How long a stop that is asked for is announced before it begins.
    pub drain_delay: Duration,
    /// How long the successor of an upgrade may take until it serves.
    pub upgrade_timeout: Duration,
    /// How many generations may live at once.
    pub max_generations: u32,
    /// End when a worker has served its one connection.
    pub once: bool,
    /// How long the breaker of a pool that serves may be open before the
    /// master ends; `None`: for ever.
    pub breaker_exit_after: Option<Duration>,
}

/// What the operator, or somebody for him, asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Finish what is open, then end; the second time: end at once.
    Stop,
    /// Read the configuration and replace the workers.
    Reload,
    /// Start a new master from the program's file, and leave when it serves.
    Upgrade,
    /// Open the logs anew.
    Reopen,
    /// One worker more in each pool.
    MoreWorkers,
    /// One worker less in each pool.
    FewerWorkers,
    /// So many workers in one pool.
    Resize {
        /// Which.
        cohort: CohortId,
        /// How many.
        workers: u32,
    },
    /// Drain all workers and keep the master; a reload brings new ones.
    DrainWorkers,
}

/// What has happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The configuration was read and everything new is open.
    Loaded {
        /// The number of the new generation.
        generation: u32,
        /// What does not depend on a pool.
        settings: Settings,
        /// Its pools.
        pools: Vec<(CohortId, PoolSpec)>,
    },
    /// It was not: everything stays as it is.
    LoadFailed,
    /// It was forked, just now: until then its time to be READY had not begun.
    Spawned(WorkerId),
    /// fork(2) refused.
    SpawnFailed(WorkerId),
    /// The worker says that it serves.
    Ready(WorkerId),
    /// The worker has served as much as it may.
    WantsSuccessor(WorkerId),
    /// The worker should have moved on long ago.
    Hung(WorkerId),
    /// The worker was reaped.
    Exited {
        /// Which.
        worker: WorkerId,
        /// Whether it exited with status 0.
        clean: bool,
        /// Whether it had served a connection to its end.
        served: bool,
        /// Whether it left a queue that it should have emptied, and that nobody
        /// else will.
        left: bool,
    },
    /// The new master serves.
    SuccessorServes,
    /// The new master could not be started, or is gone.
    SuccessorFailed,
    /// Somebody asks for something.
    Requested(Request),
    /// Workers of a spare-driven cohort that wait for a connection.
    Counted {
        /// Which cohort.
        cohort: CohortId,
        /// How many.
        idle: u32,
    },
    /// Nothing but time passed.
    Woke,
}

/// What the master shall do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Fork a worker.
    Spawn {
        /// Under this name.
        worker: WorkerId,
        /// In this cohort …
        cohort: CohortId,
        /// … and slot.
        slot: usize,
    },
    /// Fork a worker that does no more than empty the queue that another one has
    /// left, and leaves.
    SpawnHeir {
        /// Under this name.
        worker: WorkerId,
        /// In this cohort …
        cohort: CohortId,
        /// … and slot.
        slot: usize,
        /// The one that left it.
        of: WorkerId,
    },
    /// Tell it to finish and leave.
    Retire(WorkerId),
    /// End it at once.
    Kill(WorkerId, Cut),
    /// Read the configuration; answer with `Loaded` or `LoadFailed`.
    Load,
    /// Start the new master; answer with `SuccessorServes` or `SuccessorFailed`.
    StartSuccessor,
    /// End the new master: nobody waits for it any more.
    EndSuccessor,
    /// Leave to the new master what it has taken over.
    HandOver,
    /// This generation is the one that counts from now on.
    Promote(u32),
    /// This generation will not be; close what was opened for it alone.
    Abandon(u32),
    /// The cohort's last worker is gone.
    Drop(CohortId),
    /// The pool of this cohort has so many slots from now on.
    Resize {
        /// Which cohort.
        cohort: CohortId,
        /// How many slots.
        slots: usize,
    },
    /// Let everybody who asks for readiness hear this from now on.
    Proclaim(Readiness),
    /// Refuse new handshakes on every listener.
    StopListening,
    /// Open the logs anew.
    Reopen,
    /// Tell the operator.
    Tell(Notice),
    /// End the master.
    Exit(Verdict),
}

/// What the master kills a worker for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It was not READY in time.
    NotReady,
    /// It showed no sign of life.
    Hung,
    /// It had not finished at the end of its drain.
    Overdue,
    /// The master stops at once, or gives the generation up.
    AtOnce,
}

/// What the operator is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A worker that died young is spawned again, later.
    BackingOff {
        /// Where.
        cohort: CohortId,
        /// Where there.
        slot: usize,
        /// Early deaths in a row.
        deaths: u32,
        /// How long it waits.
        delay: Duration,
    },
    /// Worker after worker dies young: the pool spawns none for a while.
    BreakerOpened {
        /// Which cohort.
        cohort: CohortId,
        /// How long it waits before it tries with one.
        pause: Duration,
    },
    /// The breaker is still open; every worker that was tried died, too.
    BreakerStillOpen {
        /// Which cohort.
        cohort: CohortId,
        /// For how long.
        open: Duration,
        /// How many were tried.
        probes: u32,
    },
    /// The breaker has been open for as long as may be: the master stops.
    GivingUp {
        /// Which cohort.
        cohort: CohortId,
        /// For how long.
        open: Duration,
    },
    /// The one that was tried lives: the pool spawns as it wants again.
    BreakerClosed(CohortId),
    /// Its time is over, and no worker is missing to try with.
    BreakerNeedless(CohortId),
    /// No worker of the pool is READY.
    NobodyServes(CohortId),
    /// One is again.
    SomebodyServes(CohortId),
    /// A worker was not READY in time.
    NotReady(WorkerId),
    /// A worker shows no sign of life.
    Hung(WorkerId),
    /// A worker had not finished at the end of its drain.
    CutShort(WorkerId),
    /// Workers of a generation had not, that was to be gone by then.
    GenerationCut {
        /// Which generation.
        generation: u32,
        /// Who.
        workers: Vec<WorkerId>,
    },
    /// More workers are wanted than the pool may have.
    AtMaximum(CohortId),
    /// The new generation's workers do not live.
    NotViable(u32),
    /// A reload was asked for while one was under way; it comes next.
    ReloadQueued,
    /// A reload waits: as many generations live as may.
    TooManyGenerations,
    /// The new master was not ready in time.
    SuccessorLate,
    /// The request has no meaning now, because of what is under way.
    Ignored(Request, &'static str),
    /// No pool has a fixed size that could be changed.
    NothingToResize,
    /// A stop was asked for, and begins after so long.
    Withdrawing {
        /// How long the server serves on.
        delay: Duration,
    },
    /// The stop begins.
    Stopping,
    /// The stop was asked for again, or took too long.
    StoppingAtOnce,
}

/// How the master ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it was asked to.
    Stopped,
    /// The first workers did not live.
    NeverServed,
    /// The workers of a pool have died, one after the other, for too long.
    WorkersDie,
}

/// How a pool in one generation is getting on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// How many workers it wants; for a spare-driven pool, has or awaits.
    pub wanted: usize,
    /// How many serve.
    pub ready: usize,
    /// Whether they keep dying.
    pub breaker: Standing,
}

/// What the operator is shown of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Workers are spawned as the pool wants them.
    Closed,
    /// Nobody is spawned.
    Open,
    /// One is being tried.
    Probing,
}

impl Standing {
    /// The word for status and title.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Probing => "probing",
        }
    }

    /// Whether all is well.
    pub const fn is_closed(self) -> bool {
        match self {
            Self::Closed => true,
            Self::Open | Self::Probing => false,
        }
    }
}
