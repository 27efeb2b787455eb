//! The master: binds, forks, reaps; one thread, one loop, and it never serves.
//!
//! The loop waits in poll(2) for signals, the workers' bell, the control
//! socket and the next deadline; it turns what came into events for the
//! [`supervisor`], and carries out the commands that come back. From the first
//! turn on it must not die: an error that it can outlive is logged and the
//! loop goes on. It must never wait for anybody: no worker, no client of the
//! control socket, no reader of the log.
//!
//! ```text
//!   signals ──┐                                  ┌─▶ fork, kill       (crew)
//!   bell ─────┼─▶ Event ─▶ Supervisor ─▶ Command ┼─▶ read, open, bind (generation)
//!   control ──┤            (pure)                ├─▶ answer           (control)
//!   time ─────┘                                  └─▶ log, titles, pid file
//! ```

pub mod breaker;
pub mod cohort;
pub mod control;
pub mod crew;
pub mod death;
pub mod generation;
pub mod message;
mod notice;
pub mod notify;
pub mod oom;
pub mod pidfile;
pub mod pool;
pub mod repeats;
mod scale;
pub mod signals;
mod standing;
mod succession;
pub mod supervisor;
pub mod upgrade;
mod waiting;
pub mod wear;

use crate::config::{self, Config, ThisMachine};
use crate::net::ListenerSet;
use crate::sys::title::Title;
use control::{Control, Query};
use crew::{Crew, Word};
use generation::{Generation, Opened, Services};
use message::{Command, Event, PoolSpec, Request, Settings, Verdict};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pidfile::{PidFile, PidFileError};
use scale::{Scaling, lead};
use signals::{Meaning, Signals};
use standing::Standing;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use supervisor::Supervisor;
use upgrade::{Origin, Predecessor, Successor, Taken};
use waiting::Waiting;

/// Where a reload finds the configuration.
#[derive(Clone, Debug)]
pub enum Source {
    /// In this file.
    File(PathBuf),
    /// Nowhere else: the first one stays.
    Fixed,
}

/// How a master that could not start failed.
#[derive(Debug)]
pub struct StartFailure {
    /// What the operator should read.
    pub message: String,
    /// The exit status that says it (sysexits.h).
    pub status: u8,
}

impl std::fmt::Display for StartFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StartFailure {}

impl StartFailure {
    fn new(status: u8, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            status,
        }
    }

    fn system(what: &str) -> impl Fn(io::Error) -> Self {
        move |error| Self::new(71, format!("{what}: {error}"))
    }
}

/// A master with everything open, about to fork its first worker.
pub struct Master {
    source: Source,
    services: Services,
    signals: Option<Signals>,
    supervisor: Supervisor,
    crew: Crew,
    control: Option<Control>,
    pid_file: Option<PidFile>,
    /// Every generation that still has workers or may get some.
    generations: BTreeMap<u32, Generation>,
    /// The one that counts; 0 before the first has proved itself.
    current: u32,
    newest: u32,
    next_cohort: u64,
    stopping: bool,
    origin: Origin,
    /// The new master, from its start until our end, or its own.
    successor: Option<Successor>,
    /// What it has taken over, when it serves.
    taken: Option<Taken>,
    has_handed_over: bool,
    /// The listeners that it has taken over.
    entrusted: ListenerSet,
    /// The old master, until it is gone.
    predecessor: Option<Predecessor>,
    on_serving: Option<OnServing>,
    /// When the idle may be counted again, and whether somebody waits for it.
    count_due: Instant,
    count_wanted: bool,
    waiting: Waiting,
    scaling: Scaling,
    /// When the workers were last looked at for one that hangs.
    looked: Instant,
    /// A socket was opened or closed: clients may have to be led elsewhere.
    lead_due: bool,
    last_death: Option<i32>,
    standing: Standing,
    ending: Option<u8>,
}

/// What to do, once, when the first generation serves.
pub type OnServing = Box<dyn FnOnce()>;

/// Without anything to wait for, the loop still looks round this often.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Panics that a master outlives.
const PANICS: u32 = 16;

impl Master {
    /// Opens all that `config` asks for: pid file, listeners, logs, roots and
    /// the control socket, in the order in which a second instance would be
    /// noticed first. Afterwards the process is the master.
    ///
    /// # Errors
    /// The first thing that fails, with the exit status for it.
    pub fn start(config: Config, source: Source, services: Services) -> Result<Self, StartFailure> {
        let settings = settings(&config);
        let mut predecessor = Predecessor::find().map_err(StartFailure::system("upgrade"))?;
        let pid_file = match &config.master.pid_file {
            Some(path) => {
                let inherited = predecessor.as_mut().and_then(|one| one.pid_file(path));
                Some(inherited.map_or_else(|| lock_pid_file(path), Ok)?)
            }
            None => None,
        };
        raise_descriptor_limit();
        // Handlers before the first fork: a worker's death must not be missed.
        let signals = Signals::new().map_err(StartFailure::system("signal handlers"))?;
        // The children of a dead worker become ours, to be reaped.
        if let Err(errno) = nix::sys::prctl::set_child_subreaper(true) {
            log::warn!("PR_SET_CHILD_SUBREAPER: {errno}");
        }
        let mut crew = Crew::new().map_err(StartFailure::system("scoreboard"))?;
        let nothing = ListenerSet::default();
        let old = predecessor
            .as_ref()
            .map_or(&nothing, Predecessor::listeners);
        let number = predecessor.as_ref().map_or(0, Predecessor::generation) + 1;
        let first = Generation::open(number, config, old, &services)
            .map_err(|failure| StartFailure::new(failure.exit_status(), failure.to_string()))?;
        let control = match &first.config.master.control_socket {
            Some(path) => {
                let inherited = predecessor.as_mut().and_then(|one| one.control(path));
                Some(inherited.map_or_else(|| listen_for_control(path), Ok)?)
            }
            None => None,
        };
        let title = Title::new()
            .inspect_err(|error| log::info!("no process titles: {error}"))
            .ok();
        if let Some(title) = title {
            title.set(standing::TITLE.as_bytes());
        }
        let title = title.filter(|_| first.config.master.process_titles);
        crew.set_title(title);
        let seed = u64::from(std::process::id()) << 32 ^ Instant::now().elapsed().as_nanos() as u64;
        let mut master = Self {
            source,
            services,
            signals: Some(signals),
            supervisor: Supervisor::new(settings, seed),
            crew,
            control,
            pid_file,
            generations: BTreeMap::new(),
            current: 0,
            newest: number,
            next_cohort: 1,
            stopping: false,
            origin: Origin::here(),
            successor: None,
            taken: None,
            has_handed_over: false,
            entrusted: ListenerSet::default(),
            predecessor,
            on_serving: None,
            count_due: Instant::now(),
            count_wanted: false,
            waiting: Waiting::default(),
            scaling: Scaling::default(),
            looked: Instant::now(),
            lead_due: false,
            last_death: None,
            standing: Standing::new(title),
            ending: None,
        };
        if let Some(pid_file) = &mut master.pid_file
            && master.predecessor.is_none()
        {
            pid_file.write().map_err(StartFailure::system("pid file"))?;
        }
        let event = master
            .admit(first)
            .map_err(StartFailure::system("scoreboard"))?;
        master.supervisor.handle(Instant::now(), event);
        Ok(master)
    }

    /// Calls `hook` once, when the first generation's workers are READY.
    pub fn on_serving(&mut self, hook: OnServing) {
        self.on_serving = Some(hook);
    }

    /// Has every worker take leave of the terminal before it is READY.
    pub fn detach_workers(&mut self) {
        self.crew.detach();
    }

    /// How the process was started, where it has left its working directory
    /// since; for an upgrade.
    pub fn set_origin(&mut self, origin: Origin) {
        self.origin = origin;
    }

    /// One line on where it listens.
    pub fn addresses(&self) -> String {
        self.generations
            .get(&self.newest)
            .map(Generation::addresses)
            .unwrap_or_default()
    }

    /// Runs until it is told to end; answers the exit status.
    ///
    /// A panic is a mistake of ours, and must not end the service that is
    /// running fine without us: the turn is given up, and the next one looks
    /// at everything again. Panics without end are another matter.
    pub fn run(mut self) -> u8 {
        let mut panics = 0;
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.turn())) {
                Ok(Some(status)) => return status,
                Ok(None) => {}
                Err(_) if panics < PANICS => panics += 1,
                Err(_) => {
                    log::error!("too many panics: leaving; the workers finish what is open");
                    return 70;
                }
            }
        }
    }

    /// Does what there is to do, then waits for more; answers the exit status
    /// once there is one.
    fn turn(&mut self) -> Option<u8> {
        self.carry_out();
        self.announce();
        if self.ending.is_some() {
            return self.ending;
        }
        self.lead();
        self.answer_scaling();
        self.wait();
        self.take_signals();
        self.take_words();
        self.hear_successor();
        self.hear_predecessor();
        self.answer_control();
        self.count_idle();
        self.look_after_workers();
        self.supervisor.handle(Instant::now(), Event::Woke);
        None
    }

    // What has happened.

    /// Sleeps until something happens or is due.
    fn wait(&mut self) {
        let now = Instant::now();
        let due = self
            .supervisor
            .next_deadline()
            .map(|at| at.saturating_duration_since(now));
        let count = self
            .count_wanted
            .then(|| self.count_due.saturating_duration_since(now));
        let watchdog = self
            .standing
            .notifier
            .next_deadline()
            .map(|at| at.saturating_duration_since(now));
        let patience = [due, count, watchdog]
            .into_iter()
            .flatten()
            .fold(HEARTBEAT, Duration::min);
        let milliseconds = patience.as_micros().div_ceil(1000);
        let timeout = i32::try_from(milliseconds)
            .ok()
            .and_then(|ms| PollTimeout::try_from(ms).ok());
        let bell = self.crew.bell();
        let mut ready = vec![PollFd::new(bell.as_fd(), PollFlags::POLLIN)];
        if let Some(signals) = &self.signals {
            ready.push(PollFd::new(signals.as_fd(), PollFlags::POLLIN));
        }
        if let Some(control) = &self.control {
            control.watch(&mut ready);
        }
        self.watch_relatives(&mut ready);
        match poll(&mut ready, timeout.unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            // Out of memory, perhaps: everything is looked at all the same.
            Err(errno) => log::error!("poll: {errno}"),
        }
    }

    fn take_signals(&mut self) {
        let meanings = self
            .signals
            .as_mut()
            .map(Signals::pending)
            .unwrap_or_default();
        for meaning in meanings {
            match meaning {
                Meaning::Reap => self.reap(),
                Meaning::Request(request) => self.request(request, "signal"),
                Meaning::Unknown(number) => {
                    let name = signal_hook::low_level::signal_name(number).unwrap_or("a signal");
                    log::warn!("{name} means nothing to this version");
                }
            }
        }
    }

    fn request(&mut self, request: Request, origin: &str) {
        log::info!("{} asked for by {origin}", notice::describe(request));
        if request == Request::Reload && self.current > 0 && !self.stopping {
            self.standing.reload_begins();
        }
        self.supervisor
            .handle(Instant::now(), Event::Requested(request));
    }

    fn reap(&mut self) {
        let supervisor = &self.supervisor;
        let broken = |cohort| {
            let outlook = supervisor.outlook(cohort);
            outlook.is_some_and(|outlook| !outlook.breaker.is_closed())
        };
        for death in self.crew.reap(broken) {
            self.lead_due = true;
            self.last_death = death.status;
            let event = Event::Exited {
                worker: death.worker,
                clean: death.clean,
                served: death.served,
            };
            self.supervisor.handle(Instant::now(), event);
        }
        for status in self.crew.strangers() {
            self.bury(status);
        }
    }

    fn take_words(&mut self) {
        let (rang, words) = self.crew.listen();
        self.count_wanted |= rang;
        for word in words {
            self.lead_due = true;
            let event = match word {
                Word::Ready(worker) => Event::Ready(worker),
                Word::WantsSuccessor(worker) => Event::WantsSuccessor(worker),
            };
            self.supervisor.handle(Instant::now(), event);
        }
    }

    /// Counts the idle of spare-driven pools: at once when a worker rang, for
    /// it may have taken the last spare place, but not more often than a pool
    /// can grow. Workers do not ring again before they have been counted.
    fn count_idle(&mut self) {
        let now = Instant::now();
        if now < self.count_due {
            return;
        }
        self.count_due = now + pool::GROWTH_TICK;
        self.count_wanted = false;
        for (cohort, idle) in self.crew.count_idle() {
            self.supervisor.handle(now, Event::Counted { cohort, idle });
        }
    }

    /// Looks for workers that are too large, or should have moved on long ago. After a stop of
    /// our own (SIGSTOP, a suspended machine) theirs may have been the same:
    /// then they get a round to catch up.
    fn look_after_workers(&mut self) {
        let now = Instant::now();
        let since = now.saturating_duration_since(self.looked);
        if since < HEARTBEAT {
            return;
        }
        self.looked = now;
        self.crew.tick(now);
        if since > 3 * HEARTBEAT {
            return;
        }
        for worker in self.crew.hung(now) {
            self.supervisor.handle(now, Event::Hung(worker));
        }
        self.look_at_memory(now);
    }

    /// A worker that has grown too large is worn, as one that has served enough.
    fn look_at_memory(&mut self, now: Instant) {
        if let Some((worker, own)) = self.crew.weigh() {
            // The line on which tests rely.
            log::info!(
                "worker {} has {} KiB of its own, more than max_worker_memory: it is replaced",
                self.crew.name(worker),
                own / 1024
            );
            self.supervisor.handle(now, Event::WantsSuccessor(worker));
        }
    }

    fn answer_control(&mut self) {
        // What is asked for now is asked of what has been decided so far.
        self.carry_out();
        let Some(mut control) = self.control.take() else {
            return;
        };
        const ORIGIN: &str = "control socket";
        let held = |wait: bool| (!wait).then_some(control::Answer::Done);
        let now = Instant::now();
        for (client, query) in control.queries(now) {
            let answer = match query {
                Query::Status => Some(control::Answer::Status(self.status())),
                Query::Stop { wait } => {
                    self.request(Request::Stop, ORIGIN);
                    held(wait)
                }
                Query::Reload { wait } => {
                    if wait && !self.stopping {
                        let next = self.supervisor.is_proving();
                        self.waiting.for_reload(client, next);
                    }
                    self.request(Request::Reload, ORIGIN);
                    held(wait && !self.stopping)
                }
                Query::Upgrade { wait } => {
                    let possible = self.supervisor.is_steady();
                    let because = self.supervisor.occupation();
                    if possible && wait {
                        self.waiting.for_upgrade(client);
                    }
                    self.request(Request::Upgrade, ORIGIN);
                    if possible {
                        held(wait)
                    } else {
                        let lines = vec![format!("upgrade: not now: {because}")];
                        Some(control::Answer::Outcome { status: 75, lines })
                    }
                }
                Query::Reopen { wait } => {
                    if wait {
                        self.waiting.for_reopening(client);
                    }
                    self.request(Request::Reopen, ORIGIN);
                    held(wait)
                }
                query @ Query::Scale { .. } => self.scale(client, query),
            };
            match answer {
                Some(answer) => control.answer(client, &answer),
                None => control.hold(client, now),
            }
        }
        self.control = Some(control);
        // What was asked for is done before anybody is told that it is done.
        self.carry_out();
        if self.waiting.is_for_reopening() && self.crew.reopening_awaited() == 0 {
            self.waiting.reopened(self.control.as_mut());
        }
    }

    fn status(&self) -> control::Status {
        let mut workers = self.crew.report(|worker| self.supervisor.phase_of(worker));
        workers.extend(self.predecessor.iter().flat_map(Predecessor::workers));
        control::Status {
            pid: std::process::id(),
            generation: self.current,
            state: if self.stopping {
                "stopping"
            } else if self.supervisor.is_upgrading() {
                "upgrading"
            } else if self.supervisor.is_steady() {
                "running"
            } else {
                "reloading"
            },
            listening: self
                .generations
                .get(&self.current)
                .map(Generation::addresses)
                .unwrap_or_default(),
            queue_dropped: self
                .generations
                .get(&self.current)
                .map_or(0, |one| one.listeners.lost()),
            pools: self.pools(),
            workers,
        }
    }

    // What is to be done.

    fn carry_out(&mut self) {
        while let Some(command) = self.supervisor.poll_command() {
            match command {
                Command::Spawn {
                    worker,
                    cohort,
                    slot,
                } => {
                    let signals = &mut self.signals;
                    // The new process must not take the master's handlers along,
                    // nor its way to the service manager.
                    let spawned = self.crew.spawn(worker, cohort, slot, || {
                        drop(signals.take());
                        notify::forget();
                    });
                    if let Err(error) = spawned {
                        self.crew.spawn_failed(cohort, slot, &error);
                        self.supervisor
                            .handle(Instant::now(), Event::SpawnFailed(worker));
                    }
                }
                Command::Retire(worker) => {
                    let current = self
                        .generations
                        .get(&self.current)
                        .map(|one| &one.listeners);
                    let staying = match self.stopping {
                        true => Some(&self.entrusted),
                        false => current,
                    };
                    self.crew.retire(worker, staying);
                }
                Command::Kill(worker, cut) => self.crew.kill(worker, cut),
                Command::Load => self.load(),
                Command::StartSuccessor => self.start_successor(),
                Command::EndSuccessor => self.end_successor(),
                Command::HandOver => self.hand_over(),
                Command::Promote(generation) => self.promote(generation),
                Command::Abandon(generation) => self.abandon(generation),
                Command::Drop(cohort) => {
                    self.lead_due = true;
                    self.crew.drop_cohort(cohort);
                    self.forget_generations();
                }
                Command::Resize { cohort, slots } => self.resize(cohort, slots),
                Command::StopListening => self.stop_listening(),
                Command::Reopen => self.reopen(),
                Command::Tell(notice) => {
                    notice::tell(&notice, &mut self.crew, self.current);
                    self.standing.touch();
                }
                Command::Exit(verdict) => self.exit(verdict),
            }
        }
    }

    /// Reads the configuration and opens what is new in it. Nothing that runs
    /// is touched; on any error nothing will be.
    fn load(&mut self) {
        let opened = self.open_next().and_then(|generation| {
            self.admit(generation)
                .map_err(|error| (71, vec![error.to_string()]))
        });
        let event = opened.unwrap_or_else(|(status, reasons)| {
            for reason in &reasons {
                log::error!("reload: {reason}");
            }
            log::error!("reload refused: generation {} stays as it is", self.current);
            let why = reasons.first().map_or("", String::as_str);
            self.standing.reload_refused(why);
            self.waiting
                .reloaded(self.control.as_mut(), status, reasons);
            Event::LoadFailed
        });
        self.supervisor.handle(Instant::now(), event);
        self.scale_no_more();
    }

    fn open_next(&mut self) -> Result<Generation, (u8, Vec<String>)> {
        let current = self.generations.get(&self.current);
        let config = match &self.source {
            Source::File(path) => {
                let loaded = config::load_again(path, &ThisMachine)
                    .map_err(|error| (error.exit_status(), error.lines()))?;
                for warning in loaded.warnings.lines() {
                    log::warn!("{warning}");
                }
                loaded.config
            }
            Source::Fixed => current
                .map(|one| one.config.clone())
                .ok_or_else(|| (70, Vec::new()))?,
        };
        if let Some(current) = current {
            warn_of_fixed(&current.config.master, &config.master);
        }
        let nothing = ListenerSet::default();
        let old = current.map_or(&nothing, |one| &one.listeners);
        let number = self.newest + 1;
        Generation::open(number, config, old, &self.services)
            .map_err(|failure| (failure.exit_status(), vec![failure.to_string()]))
    }

    fn admit(&mut self, generation: Generation) -> io::Result<Event> {
        let cohorts = self.crew.admit(&generation, &mut self.next_cohort)?;
        let spec = |opened: &Opened| PoolSpec {
            size: opened.pool.size,
            spawn_timeout: opened.pool.spawn_timeout,
            min_worker_lifetime: opened.pool.min_worker_lifetime,
        };
        let event = Event::Loaded {
            generation: generation.number,
            settings: settings(&generation.config),
            pools: cohorts
                .iter()
                .map(|(id, opened)| (*id, spec(opened)))
                .collect(),
        };
        self.newest = self.newest.max(generation.number);
        self.generations.insert(generation.number, generation);
        Ok(event)
    }

    /// The generation has proved itself: its log, its listeners.
    fn promote(&mut self, number: u32) {
        let before = std::mem::replace(&mut self.current, number);
        let Some(generation) = self.generations.get_mut(&number) else {
            return;
        };
        if let Some(sink) = generation.log.take() {
            crate::log::install(sink, generation.config.master.log.level);
        }
        if before > 0 || self.predecessor.is_some() {
            lead(&generation.listeners);
            if let Err(error) = generation.listeners.adopt(&generation.config) {
                log::warn!("a listener keeps what it had: {error}");
            }
        }
        self.crew.promote(number);
        let news = format!("generation {number} serves: {}", generation.addresses());
        log::info!("{news}");
        self.waiting.reloaded(self.control.as_mut(), 0, vec![news]);
        self.tell_predecessor();
        self.standing.promoted();
        self.scale_on(number);
        if let Some(hook) = self.on_serving.take() {
            hook();
        }
    }

    fn abandon(&mut self, number: u32) {
        self.lead_due = true;
        self.generations.remove(&number);
        let status = self.failure_status();
        let news = format!(
            "generation {number}: its workers die before they serve: generation {} stays",
            self.current
        );
        if self.current > 0 {
            self.standing.reload_refused(&news);
        }
        self.waiting
            .reloaded(self.control.as_mut(), status, vec![news]);
        self.scale_no_more();
    }

    /// What the worker that died last said of itself, where it said something.
    fn failure_status(&self) -> u8 {
        match self.last_death {
            Some(status @ (71 | 77 | 78)) => status as u8,
            Some(_) | None => 75,
        }
    }

    /// Drops what no worker has any more.
    fn forget_generations(&mut self) {
        let living = self.crew.generations();
        let (current, newest) = (self.current, self.newest);
        self.generations
            .retain(|number, _| *number == current || *number == newest || living.contains(number));
    }

    fn stop_listening(&mut self) {
        self.stopping = true;
        self.standing.stopping();
        self.refuse_handshakes();
    }

    fn reopen(&mut self) {
        match crate::log::reopen() {
            Ok(()) => log::info!("log reopened"),
            Err(error) => log::error!("reopening the log: {error}"),
        }
        for generation in self.generations.values() {
            for opened in &generation.pools {
                if let Err(error) = opened.access_log.reopen() {
                    log::error!("reopening the access log of {}: {error}", opened.pool.name);
                }
            }
        }
        self.crew.reopen();
    }

    fn exit(&mut self, verdict: Verdict) {
        self.ending = Some(match verdict {
            Verdict::Stopped => {
                log::info!("all workers are gone: leaving");
                0
            }
            Verdict::NeverServed => self.failure_status(),
            Verdict::WorkersDie => {
                log::info!("all workers are gone: leaving with status 75");
                75
            }
        });
    }
}

/// What only a start can change is not changed without a word.
fn warn_of_fixed(old: &config::Master, new: &config::Master) {
    let changed = [
        ("pid_file", old.pid_file != new.pid_file),
        ("control_socket", old.control_socket != new.control_socket),
        ("process_titles", old.process_titles != new.process_titles),
    ];
    for (key, _) in changed.into_iter().filter(|(_, changed)| *changed) {
        log::warn!("`{key}` stays as it was until the next start");
    }
}

fn settings(config: &Config) -> Settings {
    Settings {
        graceful_timeout: config.master.graceful_timeout,
        upgrade_timeout: config.master.upgrade_timeout,
        max_generations: config.master.max_generations,
        once: config.master.once,
        breaker_exit_after: Some(config.master.breaker_exit_after).filter(|time| !time.is_zero()),
    }
}

fn lock_pid_file(path: &std::path::Path) -> Result<PidFile, StartFailure> {
    PidFile::lock(path).map_err(|error| match error {
        PidFileError::Running(Some(pid)) => StartFailure::new(
            69,
            format!("pid file {}: already running as pid {pid}", path.display()),
        ),
        PidFileError::Running(None) => StartFailure::new(
            69,
            format!("pid file {}: held by a running master", path.display()),
        ),
        PidFileError::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            StartFailure::new(
                77,
                format!("pid file {}: permission denied", path.display()),
            )
        }
        PidFileError::Io(error) => {
            StartFailure::new(71, format!("pid file {}: {error}", path.display()))
        }
    })
}

fn listen_for_control(path: &std::path::Path) -> Result<Control, StartFailure> {
    Control::listen(path).map_err(|error| {
        StartFailure::new(
            control::exit_status(&error),
            format!("control socket {}: {error}", path.display()),
        )
    })
}

/// A descriptor a connection: what the hard limit grants, is used.
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(errno) = raised {
        log::warn!("RLIMIT_NOFILE: {errno}");
    }
}
