//! What the master can say of its workers: names, what their rows tell, and
//! how they ended.

use super::{Crew, Worker};
use crate::master::control::WorkerStatus;
use crate::master::message::{CohortId, WorkerId};
use crate::scoreboard::{Counter, RowState};
use nix::sys::wait::WaitStatus;
use std::time::Instant;

impl Crew {
    /// A row for each worker; `phase` is the supervisor's word on it.
    pub fn report(&self, phase: impl Fn(WorkerId) -> &'static str) -> Vec<WorkerStatus> {
        let row = |(id, worker): (&WorkerId, &Worker)| {
            let rows = worker.first_row..worker.first_row + worker.row_count;
            let count = |counter| {
                rows.clone()
                    .map(|index| self.scoreboard.row(index).count(counter))
                    .sum()
            };
            WorkerStatus {
                pool: self.cohort_name(worker.cohort).to_owned(),
                slot: worker.slot,
                generation: self
                    .cohorts
                    .get(&worker.cohort)
                    .map_or(0, |cohort| cohort.generation),
                pid: worker.pid.as_raw(),
                phase: phase(*id),
                doing: self.doing(*id),
                age: worker.spawned.elapsed().as_secs(),
                connections: count(Counter::Connections),
                requests: count(Counter::Requests),
                received: count(Counter::Received),
                sent: count(Counter::Sent),
            }
        };
        self.workers.iter().map(row).collect()
    }

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

    /// What the rows of a worker say it does, or last did.
    pub(super) fn doing(&self, id: WorkerId) -> String {
        let Some(worker) = self.workers.get(&id) else {
            return String::from("gone");
        };
        if !worker.ready && !self.scoreboard.row(worker.first_row).is_ready() {
            return String::from("starting");
        }
        let now = Instant::now();
        let rows = worker.first_row..worker.first_row + worker.row_count;
        let mut busy: Vec<String> = Vec::new();
        let mut more = 0;
        for row in rows.map(|index| self.scoreboard.row(index)) {
            let (state, since) = row.state(now);
            if state == RowState::Idle || (row.active() == 0 && row.pid() == 0) {
                continue;
            }
            if busy.len() == 3 {
                more += 1;
                continue;
            }
            let peer = row
                .peer()
                .map(|peer| format!(" {peer}"))
                .unwrap_or_default();
            let text = row.text();
            let space = if text.is_empty() { "" } else { " " };
            busy.push(format!(
                "{}{peer}{space}{text} for {:.1}s",
                state.name(),
                since.as_secs_f64()
            ));
        }
        match (busy.is_empty(), more) {
            (true, _) => String::from("idle"),
            (false, 0) => busy.join("; "),
            (false, more) => format!("{}; and {more} more", busy.join("; ")),
        }
    }

    /// What a worker does, by its rows and by the kernel's word (proc(5)).
    pub fn whereabouts(&self, id: WorkerId) -> String {
        let pid = self.pid(id);
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
        let status = read("status").unwrap_or_default();
        let state = status.lines().find_map(|line| line.strip_prefix("State:"));
        let channel = read("wchan").unwrap_or_default();
        format!(
            "{}; process state {}, in {}",
            self.doing(id),
            state.unwrap_or("?").trim(),
            if channel.is_empty() { "?" } else { &channel },
        )
    }

    /// A line for each death, with how it came about and what the worker was
    /// doing; a death that was asked for is worth a line for the curious only.
    pub(super) fn log_death(&self, id: WorkerId, status: WaitStatus) {
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        let cause = match status {
            WaitStatus::Exited(_, code) => format!("exited with status {code}"),
            WaitStatus::Signaled(_, signal, dumped) => {
                format!(
                    "killed by {signal}{}",
                    if dumped { ", core dumped" } else { "" }
                )
            }
            other => format!("{other:?}"),
        };
        let age = worker.spawned.elapsed();
        let line = format!(
            "worker {} pid {} gen {} {cause} after {:.1}s; it was {}",
            self.name(id),
            worker.pid,
            self.cohorts
                .get(&worker.cohort)
                .map_or(0, |cohort| cohort.generation),
            age.as_secs_f64(),
            self.doing(id),
        );
        let clean = matches!(status, WaitStatus::Exited(_, 0));
        match (clean, worker.retired || worker.wished, worker.killed) {
            (true, true, _) => log::debug!("{line}"),
            (true, false, _) => log::info!("{line}"),
            (false, _, true) => log::info!("{line}"),
            (false, _, false) => log::error!("{line}"),
        }
    }

    pub(super) fn pid(&self, id: WorkerId) -> i32 {
        self.workers
            .get(&id)
            .map_or(0, |worker| worker.pid.as_raw())
    }
}
