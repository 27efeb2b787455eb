//! The supervisor with a pool whose processes are numbers: whom it spawns is
//! READY at once, and whom it retires is gone.

use preforkd::config::Size;
use preforkd::master::message::{CohortId, Command, Event, PoolSpec, Request, Settings, WorkerId};
use preforkd::master::supervisor::Supervisor;
use std::time::{Duration, Instant};

/// Who is as old as this has not died young.
const OLD: Duration = Duration::from_secs(3600);
const SETTINGS: Settings = Settings {
    graceful_timeout: Duration::from_secs(30),
    drain_delay: Duration::ZERO,
    upgrade_timeout: Duration::from_secs(20),
    max_generations: 3,
    once: false,
    breaker_exit_after: None,
};

pub(crate) struct Pool {
    supervisor: Supervisor,
    now: Instant,
    size: u32,
    generation: u32,
}

impl Pool {
    /// A pool of that size, of which everybody serves, and has for long.
    pub(crate) fn serving(size: u32) -> Self {
        let mut pool = Self {
            supervisor: Supervisor::new(SETTINGS, 42),
            now: Instant::now(),
            size,
            generation: 0,
        };
        pool.load();
        pool
    }

    /// A second passes.
    pub(crate) fn wake(&mut self) -> Option<Instant> {
        self.now += Duration::from_secs(1);
        self.supervisor.handle(self.now, Event::Woke);
        assert!(self.supervisor.poll_command().is_none());
        self.supervisor.next_deadline()
    }

    /// The oldest worker dies, and another one comes in its place.
    pub(crate) fn replace_one(&mut self) {
        let victim = self.supervisor.workers().min().unwrap();
        self.supervisor.handle(self.now, exited(victim));
        assert_eq!(self.obey(), 1);
        self.now += OLD;
    }

    /// Everybody is replaced.
    pub(crate) fn reload(&mut self) {
        let request = Event::Requested(Request::Reload);
        self.supervisor.handle(self.now, request);
        assert_eq!(self.supervisor.poll_command(), Some(Command::Load));
        self.load();
    }

    fn load(&mut self) {
        self.generation += 1;
        let spec = PoolSpec {
            size: Size::Fixed(self.size),
            spawn_timeout: Duration::from_secs(30),
            min_worker_lifetime: Duration::ZERO,
        };
        let loaded = Event::Loaded {
            generation: self.generation,
            settings: SETTINGS,
            pools: vec![(CohortId(self.generation.into()), spec)],
        };
        self.supervisor.handle(self.now, loaded);
        assert_eq!(self.obey(), self.size);
        assert!(self.supervisor.is_steady());
        assert_eq!(self.supervisor.workers().count(), self.size as usize);
        self.now += OLD;
    }

    /// Does what it wants until it wants nothing; how many workers it spawned.
    fn obey(&mut self) -> u32 {
        let mut spawned = 0;
        while let Some(command) = self.supervisor.poll_command() {
            let event = match command {
                Command::Spawn { worker, .. } => {
                    spawned += 1;
                    Event::Ready(worker)
                }
                Command::Retire(worker) => exited(worker),
                Command::Promote(_)
                | Command::Proclaim(_)
                | Command::Drop(_)
                | Command::Tell(_) => continue,
                other @ (Command::SpawnHeir { .. }
                | Command::Kill(..)
                | Command::Load
                | Command::StartSuccessor
                | Command::EndSuccessor
                | Command::HandOver
                | Command::Abandon(_)
                | Command::Resize { .. }
                | Command::StopListening
                | Command::Reopen
                | Command::Exit(_)) => panic!("nothing has happened for {other:?}"),
            };
            self.supervisor.handle(self.now, event);
        }
        spawned
    }
}

fn exited(worker: WorkerId) -> Event {
    Event::Exited {
        worker,
        clean: true,
        served: true,
        left: false,
    }
}
