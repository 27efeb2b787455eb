//! What the master can say of its workers: names, what their rows tell, and
//! how they ended.

use super::programs::Program;
use super::{Crew, blackbox};
use crate::config::Model;
use crate::master::death::{Cause, End, Facts};
use crate::master::message::{CohortId, WorkerId};
use crate::scoreboard::{Counter, Row};
use crate::status::reading;
use crate::sys::process::Usage;
use crate::worker::START_FAILED;
use log::Level;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use std::time::{Duration, Instant};

impl Crew {
    /// `web[3]`.
    pub fn name(&self, id: WorkerId) -> String {
        self.workers.get(&id).map_or_else(
            || String::from("?"),
            |worker| format!("{}[{}]", self.cohort_name(worker.cohort), worker.slot),
        )
    }

    /// The name of the cohort's pool.
    pub fn cohort_name(&self, id: CohortId) -> &str {
        self.cohorts
            .get(&id)
            .map_or("?", |cohort| cohort.opened.pool.name.as_str())
    }

    /// How many connections a worker has open.
    pub fn open_connections(&self, id: WorkerId) -> u64 {
        let Some(worker) = self.workers.get(&id) else {
            return 0;
        };
        let model = self
            .cohorts
            .get(&worker.cohort)
            .map(|one| one.opened.pool.model);
        let rows = match model {
            // The worker's own row has the number of its children.
            Some(Model::Fork) => 1,
            Some(Model::Prefork | Model::Event | Model::Threads) | None => worker.row_count,
        };
        let rows = worker.first_row..worker.first_row + rows;
        rows.map(|index| self.scoreboard.row(index).active()).sum()
    }

    /// What the rows of a worker say it does, or last did.
    pub fn doing(&self, id: WorkerId) -> String {
        let Some(worker) = self.workers.get(&id) else {
            return String::from("gone");
        };
        let table = self.scoreboard.table();
        let rows = table.rows(worker.first_row, worker.row_count);
        reading::doing(rows, Instant::now())
    }

    /// What a worker does, by its rows and by the kernel's word (proc(5)).
    pub fn whereabouts(&self, id: WorkerId) -> String {
        format!("{}; process {}", self.doing(id), self.process(id))
    }

    /// What the kernel says of a worker (proc(5)).
    pub(super) fn process(&self, id: WorkerId) -> String {
        let pid = self.pid(id);
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
        let [status, channel] = ["status", "wchan"].map(|name| read(name).unwrap_or_default());
        state(&status, &channel)
    }

    /// What is known of the death of a worker that has just been waited for.
    pub(super) fn facts(&mut self, id: WorkerId, status: WaitStatus) -> Option<Facts> {
        let worker = self.workers.get(&id)?;
        let now = Instant::now();
        let end = match status {
            WaitStatus::Exited(_, code) => End::Exited(code),
            WaitStatus::Signaled(_, Signal::SIGKILL, _) => End::Killed,
            _ => End::Signalled,
        };
        let end = match &worker.program {
            Some(program) => program.end(end, status),
            None => end,
        };
        let rows = worker.first_row..worker.first_row + worker.row_count;
        let finished = |row: Row| row.count(Counter::Connections) > row.active();
        let mut lanes = rows.map(|index| self.scoreboard.row(index));
        let memory_short =
            end == End::Killed && worker.killed.is_none() && self.oom.has_struck(now);
        Some(Facts {
            end,
            ready: match worker.ready {
                Some(since) => Some(now.saturating_duration_since(since)),
                // It died before it was heard.
                None => self
                    .scoreboard
                    .row(worker.first_row)
                    .is_ready()
                    .then_some(Duration::ZERO),
            },
            served: lanes.any(finished),
            leaving: worker.retired || worker.wished,
            cut: worker.killed,
            memory_short,
        })
    }

    /// A line for each death, with how it came about and what the worker was
    /// doing; a death that was asked for is worth a line for the curious only,
    /// and so is one that says nothing new of a pool whose workers keep dying.
    pub(super) fn tell_death(
        &mut self,
        id: WorkerId,
        status: WaitStatus,
        facts: Facts,
        usage: Usage,
        broken: bool,
    ) {
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        let cause = facts.cause();
        let mut how = match status {
            WaitStatus::Exited(_, code) => format!("exited with status {code}"),
            // Set by whoever retires: the master should have cut it before.
            WaitStatus::Signaled(_, Signal::SIGALRM, _) => {
                String::from("killed by SIGALRM, its own deadline for leaving,")
            }
            WaitStatus::Signaled(_, signal, dumped) => {
                format!(
                    "killed by {signal}{}",
                    if dumped { ", core dumped" } else { "" }
                )
            }
            other => format!("{other:?}"),
        };
        // A worker that could not start has left the reason in its row, unless it
        // is a program that did, and has a status of the same number.
        let runs = worker.program.as_ref().is_some_and(Program::has_spoken);
        let reason = match (facts.ready, facts.end) {
            (None, End::Exited(START_FAILED)) if !runs => {
                self.scoreboard.row(worker.first_row).text()
            }
            (Some(_) | None, _) => String::new(),
        };
        if !reason.is_empty() {
            how = format!("cannot start: {reason}; {how}");
        } else if cause == Cause::OutOfMemory {
            how.push_str(", probably for want of memory");
        }
        let (pid, slot) = (worker.pid.as_raw(), worker.slot);
        let pool = self.cohort_name(worker.cohort).to_owned();
        let age = worker.spawned.elapsed().as_secs_f64();
        let generation = self
            .cohorts
            .get(&worker.cohort)
            .map_or(0, |cohort| cohort.generation);
        let last_moments = self.last_moments(id, cause, &how, facts, usage);
        // A line that tests rely on.
        let line = format!(
            "worker {pool}[{slot}] pid {pid} gen {generation} [{}] {how} after {age:.1}s; it was {}{}",
            cause.name(),
            self.doing(id),
            last_moments
                .as_ref()
                .map(|death| blackbox::details(death, !self.is_program(id)))
                .unwrap_or_default(),
        );
        let clean = facts.end == End::Exited(0);
        let (leaving, killed) = (facts.leaving, facts.cut.is_some());
        let cohort = worker.cohort;
        self.record_death(cohort, &how);
        if let Some(death) = last_moments {
            self.record_last_moments(death, facts);
        }
        let known = match cause {
            Cause::Start | Cause::Early if broken || !reason.is_empty() => {
                !self.complain(cohort, &how)
            }
            // That was told when it was killed.
            Cause::NotReady => true,
            Cause::Start
            | Cause::Early
            | Cause::Finished
            | Cause::Exit
            | Cause::Signal
            | Cause::OutOfMemory
            | Cause::Hung
            | Cause::Overdue
            | Cause::AtOnce => false,
        };
        let level = match (clean, leaving, killed) {
            _ if known => Level::Debug,
            (true, true, _) => Level::Debug,
            (true, false, _) | (false, _, true) => Level::Info,
            (false, _, false) => Level::Error,
        };
        log::log!(
            level,
            event = "death", cause = cause.name(), pid = pid, pool = pool.as_str(), slot = slot,
            generation = generation, age = (age * 1000.0).round() / 1000.0;
            "{line}"
        );
    }

    pub(super) fn pid(&self, id: WorkerId) -> i32 {
        self.workers
            .get(&id)
            .map_or(0, |worker| worker.pid.as_raw())
    }
}

/// What status and wchan of proc(5) come to. A process that waits for nothing is
/// in no function: "0".
fn state(status: &str, channel: &str) -> String {
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    let state = state.unwrap_or("?").trim();
    match channel {
        "" | "0" => format!("state {state}"),
        function => format!("state {state}, in {function}"),
    }
}

#[cfg(test)]
mod tests {
    use super::state;

    #[test]
    fn who_runs_waits_nowhere() {
        let status = "Name:\tpreforkd\nState:\tT (stopped)\nPid:\t4711\n";
        let expected = "state T (stopped), in do_signal_stop";
        assert_eq!(state(status, "do_signal_stop"), expected);
        let running = "State:\tR (running)\n";
        assert_eq!(state(running, "0"), "state R (running)");
        assert_eq!(state("", ""), "state ?");
    }
}
