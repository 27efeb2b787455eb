//! What the supervisor decided, carried out.

use super::generation::{Generation, Opened};
use super::message::{CohortId, Command, Event, PoolSpec, Settings, Verdict, WorkerId};
use super::scale::lead;
use super::succession::Succession;
use super::{Master, Source, notice, notify};
use crate::config::{self, Config, ThisMachine};
use crate::log::Output;
use crate::net::ListenerSet;
use crate::status::Readiness;
use std::io;
use std::time::{Duration, Instant};

/// While there is much to carry out, such as the forks of a reload, whoever asks how
/// things stand is answered this often.
const PAUSE: Duration = Duration::from_millis(10);

impl Master {
    pub(super) fn carry_out(&mut self) {
        let mut answered = Instant::now();
        while let Some(command) = self.supervisor.poll_command() {
            self.publishing.touch();
            if answered.elapsed() >= PAUSE {
                self.answer_questions();
                answered = Instant::now();
            }
            match command {
                Command::Spawn {
                    worker,
                    cohort,
                    slot,
                } => self.spawn(worker, cohort, slot, None),
                Command::SpawnHeir {
                    worker,
                    cohort,
                    slot,
                    of,
                } => self.spawn(worker, cohort, slot, Some(of)),
                Command::Retire(worker) => {
                    let current = self.generations.get(&self.current);
                    let current = current.filter(|_| !self.stopping);
                    let staying = staying(current, &self.succession);
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
                    self.look_for_drops();
                    self.crew.drop_cohort(cohort);
                    self.forget_due = true;
                }
                Command::Resize { cohort, slots } => self.resize(cohort, slots),
                Command::Proclaim(readiness) => self.proclaim(readiness),
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

    /// Forks a worker, or the heir `of` another one.
    fn spawn(&mut self, worker: WorkerId, cohort: CohortId, slot: usize, of: Option<WorkerId>) {
        let signals = &mut self.signals;
        // The new process must not take the master's handlers along, nor its way
        // to the service manager.
        let child_first = || {
            drop(signals.take());
            notify::forget();
        };
        let spawned = match of {
            None => self.crew.spawn(worker, cohort, slot, child_first),
            Some(of) => {
                let current = self.generations.get(&self.current);
                let current = current.filter(|_| !self.stopping);
                let staying = staying(current, &self.succession);
                self.crew
                    .spawn_heir(worker, cohort, slot, of, staying, child_first)
            }
        };
        let event = match spawned {
            Ok(()) => Event::Spawned(worker),
            Err(error) => {
                self.crew.spawn_failed(cohort, slot, &error);
                Event::SpawnFailed(worker)
            }
        };
        self.supervisor.handle(Instant::now(), event);
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
            self.publishing.refused();
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

    pub(super) fn admit(&mut self, generation: Generation) -> io::Result<Event> {
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
        if let Some(log) = generation.log.take() {
            crate::log::install(log);
        }
        if before > 0 {
            self.publishing.reloaded();
        }
        if before > 0 || self.succession.predecessor.is_some() {
            // Nobody is led to a socket that still refuses him.
            if let Err(error) = generation.listeners.adopt(&generation.config) {
                log::warn!("a listener keeps what it had: {error}");
            }
            lead(&generation.listeners);
        }
        if let Some(control) = self.control.as_mut().filter(|_| before > 0) {
            control.admit(generation.config.master.control_group);
        }
        self.crew.promote(number);
        let news = format!("generation {number} serves: {}", generation.addresses());
        // Who reads the line and then asks a worker is told the same.
        self.publish();
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
        let supervisor = &self.supervisor;
        let leaves = supervisor.withdraws_until().is_some() || supervisor.is_stopping();
        let (status, why) = if leaves {
            (75, "a stop was asked for")
        } else {
            (self.failure_status(), "its workers die before they serve")
        };
        let current = self.current;
        let news = format!("generation {number}: {why}: generation {current} stays");
        if self.current > 0 {
            self.standing.reload_refused(&news);
            self.publishing.refused();
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

    /// Drops what no worker has any more, once none is being born: until it has
    /// closed what is none of its business it has a copy of every socket. One for
    /// datagrams is in its group as long as anybody has it, so the kernel would go on
    /// counting it, and the program that leads clients would name the wrong ones.
    pub(super) fn forget_generations(&mut self) {
        if !self.forget_due || self.crew.is_bearing(Instant::now()) {
            return;
        }
        self.forget_due = false;
        self.lead_due = true;
        let living = self.crew.generations();
        let (current, newest) = (self.current, self.newest);
        self.generations
            .retain(|number, _| *number == current || *number == newest || living.contains(number));
    }

    /// Workers read it there when they are asked, from this moment on.
    fn proclaim(&mut self, readiness: Readiness) {
        self.crew.scoreboard().table().proclaim(readiness);
        if let Some(until) = self.supervisor.withdraws_until() {
            let left = until.saturating_duration_since(Instant::now());
            self.standing.withdrawing(left + self.graceful_timeout());
        }
    }

    fn stop_listening(&mut self) {
        self.stopping = true;
        self.standing.stopping(self.graceful_timeout());
        self.refuse_handshakes();
    }

    fn graceful_timeout(&self) -> Duration {
        let shown = self.generations.get(&self.current);
        shown.map_or(Duration::ZERO, |one| one.config.master.graceful_timeout)
    }

    fn reopen(&mut self) {
        let mut failed = Vec::new();
        match crate::log::reopen() {
            Ok(()) => log::info!("log reopened"),
            Err(error) => failed.push(format!("reopening the log: {error}")),
        }
        for generation in self.generations.values_mut() {
            let number = generation.number;
            // It is not in force yet, and the file may be another one by then.
            if let Some(Err(error)) = generation.log.as_mut().map(Output::reopen) {
                failed.push(format!("reopening the log of generation {number}: {error}"));
            }
            for opened in &generation.pools {
                let name = &opened.pool.name;
                if let Err(error) = opened.reopen_log() {
                    failed.push(format!("reopening the log of {name}: {error}"));
                }
                if let Err(error) = opened.access_log.reopen() {
                    failed.push(format!("reopening the access log of {name}: {error}"));
                }
            }
        }
        failed.extend(self.crew.reopen());
        // Twice for a generation that is not in force yet, and its workers.
        failed.dedup();
        for line in &failed {
            log::error!("{line}");
        }
        self.waiting.stuck(failed);
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

/// The listeners on which somebody accepts when a worker has left: those of the
/// generation that serves, or, where there is none, those of another master.
fn staying<'m>(current: Option<&'m Generation>, succession: &'m Succession) -> &'m ListenerSet {
    current.map_or(succession.elsewhere(), |current| &current.listeners)
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

pub(super) fn settings(config: &Config) -> Settings {
    Settings {
        graceful_timeout: config.master.graceful_timeout,
        drain_delay: config.master.drain_delay,
        upgrade_timeout: config.master.upgrade_timeout,
        max_generations: config.master.max_generations,
        once: config.master.once,
        breaker_exit_after: Some(config.master.breaker_exit_after).filter(|time| !time.is_zero()),
    }
}
