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
mod orders;
pub mod pidfile;
pub mod pool;
mod publishing;
pub mod rates;
pub mod repeats;
mod scale;
pub mod signals;
mod standing;
mod start;
mod succession;
pub mod supervisor;
pub mod upgrade;
mod waiting;
pub mod wear;

pub use crate::net::Activation;
pub use start::StartFailure;

use control::{Asked, Control, Query, Sight};
use crew::{Crew, Word};
use generation::{Generation, Services};
use message::{Event, Request};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pidfile::PidFile;
use publishing::Publishing;
use scale::Scaling;
use signals::{Meaning, Signals};
use standing::Standing;
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use succession::Succession;
use supervisor::Supervisor;
use upgrade::Origin;
use waiting::Waiting;

/// Where a reload finds the configuration.
#[derive(Clone, Debug)]
pub enum Source {
    /// In this file.
    File(PathBuf),
    /// Nowhere else: the first one stays.
    Fixed,
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
    succession: Succession,
    on_serving: Option<OnServing>,
    /// When the idle may be counted again, and whether somebody waits for it.
    count_due: Instant,
    count_wanted: bool,
    waiting: Waiting,
    /// Orders that came while others were carried out, to be heard in their turn.
    held: Vec<Asked>,
    scaling: Scaling,
    /// When the workers were last looked at for one that hangs.
    looked: Instant,
    /// A socket was opened or closed: clients may have to be led elsewhere.
    lead_due: bool,
    /// A cohort is gone: its generation may be, too.
    forget_due: bool,
    last_death: Option<i32>,
    standing: Standing,
    publishing: Publishing,
    ending: Option<u8>,
}

/// What to do, once, when the first generation serves.
pub type OnServing = Box<dyn FnOnce()>;

/// Without anything to wait for, the loop still looks round this often.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Panics that a master outlives.
const PANICS: u32 = 16;

impl Master {
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
        self.succession.origin = origin;
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
                Ok(Some(status)) => {
                    crate::log::finish();
                    return status;
                }
                Ok(None) => {}
                Err(_) if panics < PANICS => panics += 1,
                Err(_) => {
                    log::error!("too many panics: leaving; the workers finish what is open");
                    crate::log::finish();
                    return 70;
                }
            }
        }
    }

    /// Does what there is to do, then waits for more; answers the exit status
    /// once there is one.
    fn turn(&mut self) -> Option<u8> {
        self.carry_out();
        self.publish_if_due();
        self.announce();
        if self.ending.is_some() {
            return self.ending;
        }
        self.forget_generations();
        self.lead();
        self.answer_scaling();
        self.wait();
        self.take_signals();
        self.crew.attend_programs(Instant::now());
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
        let crowd = self
            .control
            .as_ref()
            .and_then(Control::next_deadline)
            .map(|at| at.saturating_duration_since(now));
        let programs = self
            .crew
            .program_deadline(now)
            .map(|at| at.saturating_duration_since(now));
        let held = (!self.held.is_empty()).then_some(Duration::ZERO);
        let patience = [due, count, watchdog, crowd, programs, held]
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
        self.crew.watch_programs(&mut ready);
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
                Meaning::Request(request) => {
                    // The master before us may have gone a moment ago.
                    self.hear_predecessor();
                    self.request(request, "signal");
                }
                Meaning::Unknown(number) => {
                    let name = signal_hook::low_level::signal_name(number).unwrap_or("a signal");
                    log::warn!("{name} means nothing to this version");
                }
            }
        }
    }

    fn request(&mut self, request: Request, origin: &str) {
        log::info!("{} asked for by {origin}", notice::describe(request));
        if request == Request::Upgrade
            && self.supervisor.is_steady()
            && let Some(why) = self.succession.forbids_another()
        {
            // A line that a test relies on: see tests/upgrade.rs.
            log::warn!("upgrade: not now: {why}");
            return;
        }
        if request == Request::Reload && self.current > 0 && !self.stopping {
            self.standing.reload_begins();
        }
        self.supervisor
            .handle(Instant::now(), Event::Requested(request));
        self.publishing.touch();
        self.publish_itself();
    }

    fn reap(&mut self) {
        let supervisor = &self.supervisor;
        let broken = |cohort| {
            let outlook = supervisor.outlook(cohort);
            outlook.is_some_and(|outlook| !outlook.breaker.is_closed())
        };
        for death in self.crew.reap(broken) {
            self.lead_due = true;
            self.publishing.touch();
            self.control.iter_mut().for_each(Control::look_again);
            self.last_death = death.status;
            let event = Event::Exited {
                worker: death.worker,
                clean: death.clean,
                served: death.served,
                left: death.left,
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
            self.publishing.touch();
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
        self.take_samples(now);
        crate::log::tick(now);
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
        self.with_control(Self::answer_all);
        // What was asked for is done before anybody is told that it is done.
        self.carry_out();
        if self.waiting.is_for_reopening() && self.crew.reopening_awaited() == 0 {
            self.waiting.reopened(self.control.as_mut());
        }
    }

    /// Answers whoever asks how things stand, while there is more to carry out;
    /// whoever wants something has it in its turn.
    fn answer_questions(&mut self) {
        self.with_control(|master, control| {
            for asked in control.queries(Instant::now()) {
                let order = master.show(control, asked);
                master.held.extend(order);
            }
        });
    }

    /// Does something with the control socket, if there is one and nobody is at it.
    /// A mistake of ours costs an answer, and not the socket.
    fn with_control(&mut self, work: impl FnOnce(&mut Self, &mut Control)) {
        let Some(mut control) = self.control.take() else {
            return;
        };
        let done = catch_unwind(AssertUnwindSafe(|| work(self, &mut control)));
        self.control = Some(control);
        if let Err(panic) = done {
            resume_unwind(panic);
        }
    }

    /// Shows what is asked for, if that is only something to be seen; else it is
    /// an order.
    fn show(&mut self, control: &mut Control, asked: Asked) -> Option<Asked> {
        match asked.query {
            Query::Status => {
                let look = || match self.status() {
                    Some(status) => control::Answer::Status(status),
                    None => control::Answer::Error {
                        message: String::from("workers die too fast to be counted: ask again"),
                    },
                };
                control.show(asked.client, Sight::Status, look);
                None
            }
            Query::Deaths => {
                let look = || control::Answer::Deaths {
                    deaths: self.crew.deaths(),
                };
                control.show(asked.client, Sight::Deaths, look);
                None
            }
            Query::Stop { .. }
            | Query::Reload { .. }
            | Query::Upgrade { .. }
            | Query::Reopen { .. }
            | Query::Scale { .. } => Some(asked),
        }
    }

    fn answer_all(&mut self, control: &mut Control) {
        let held = |wait: bool| (!wait).then_some(control::Answer::Done);
        let held_back = std::mem::take(&mut self.held).into_iter();
        for one in held_back.chain(control.queries(Instant::now())) {
            let Some(Asked { client, by, query }) = self.show(control, one) else {
                continue;
            };
            let origin = by.to_string();
            let answer = match query {
                // These have been shown.
                Query::Status | Query::Deaths => None,
                Query::Stop { wait } => {
                    self.request(Request::Stop, &origin);
                    held(wait)
                }
                Query::Reload { wait } => {
                    if wait && !self.stopping {
                        let next = self.supervisor.is_proving();
                        self.waiting.for_reload(client, next);
                    }
                    self.request(Request::Reload, &origin);
                    held(wait && !self.stopping)
                }
                Query::Upgrade { wait } => {
                    self.hear_predecessor();
                    let because = match self.supervisor.is_steady() {
                        true => self.succession.forbids_another(),
                        false => Some(self.supervisor.occupation().to_owned()),
                    };
                    if because.is_none() && wait {
                        self.waiting.for_upgrade(client);
                    }
                    self.request(Request::Upgrade, &origin);
                    match because {
                        None => held(wait),
                        Some(because) => {
                            let lines = vec![format!("upgrade: not now: {because}")];
                            Some(control::Answer::Outcome { status: 75, lines })
                        }
                    }
                }
                Query::Reopen { wait } => {
                    if wait {
                        self.waiting.for_reopening(client);
                    }
                    self.request(Request::Reopen, &origin);
                    held(wait)
                }
                query @ Query::Scale { .. } => self.scale(client, &origin, query),
            };
            // Without an answer it will hear of it later.
            if let Some(answer) = answer {
                control.answer(client, &answer);
            }
        }
    }
}
