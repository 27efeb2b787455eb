//! The black box: the last moments of the workers that died last.
//!
//! Owes whoever asks afterwards all that was known when a worker was reaped: its
//! rows, its last request, what it had used, and, of those that the master had
//! to end, how the kernel found them just before. Of the others there is nothing
//! more to know: by the time of a death its memory is gone, and with it all that
//! /proc could tell and wait4(2) does not.

use super::Crew;
use crate::master::death::{Cause, End, Facts};
use crate::master::message::WorkerId;
use crate::scoreboard::{Counter, Row, RowState};
use crate::status::{Death, Lane, MAX_LANES, Usage, reading};
use crate::sys::{clock, process};
use std::collections::VecDeque;
use std::time::Instant;

/// So many deaths are kept.
const MOST: usize = 32;

/// The last deaths, the oldest first.
#[derive(Debug, Default)]
pub(super) struct BlackBox {
    deaths: VecDeque<Death>,
}

impl BlackBox {
    fn keep(&mut self, death: Death) {
        if self.deaths.len() == MOST {
            self.deaths.pop_front();
        }
        self.deaths.push_back(death);
    }
}

impl Crew {
    /// The last deaths that were not as they should be, the oldest first.
    pub fn deaths(&self) -> Vec<Death> {
        self.black_box.deaths.iter().cloned().collect()
    }

    /// Begins with these, of the master before.
    pub fn recall(&mut self, deaths: &[Death]) {
        for death in deaths {
            self.black_box.keep(death.clone());
        }
    }

    /// What was known of a worker when it died of `cause`, which `how` tells.
    pub(super) fn last_moments(
        &self,
        id: WorkerId,
        cause: Cause,
        how: &str,
        facts: Facts,
        usage: process::Usage,
    ) -> Option<Death> {
        let worker = self.workers.get(&id)?;
        let cohort = self.cohorts.get(&worker.cohort)?;
        let rows = worker.first_row..worker.first_row + worker.row_count;
        let rows = || rows.clone().map(|index| self.scoreboard.row(index));
        // What is read here may be anything: see crate::scoreboard.
        let sum = |counter| {
            let counts = rows().map(|row| row.count(counter));
            counts.fold(0, u64::saturating_add)
        };
        let cut = rows().map(|row| row.unfinished());
        let now = Instant::now();
        // Who was never READY has the reason for that where others have a request.
        let started = facts.ready.is_some();
        Some(Death {
            time: clock::since_1970().as_secs_f64(),
            pool: cohort.opened.pool.name.clone(),
            slot: worker.slot,
            generation: cohort.generation,
            pid: worker.pid.as_raw(),
            cause: cause.name().to_owned(),
            how: how.to_owned(),
            age: worker.spawned.elapsed().as_secs_f64(),
            cut: cut.fold(0, u64::saturating_add),
            connections: sum(Counter::Connections),
            requests: sum(Counter::Requests),
            doing: self.doing(id),
            lanes: rows()
                .filter(|_| started)
                .filter_map(|row| busy(row, now))
                .take(MAX_LANES)
                .collect(),
            last_request: if started {
                last_request(rows(), now)
            } else {
                String::new()
            },
            process: worker.process.clone(),
            usage: Usage {
                user: usage.user.as_secs_f64(),
                system: usage.system.as_secs_f64(),
                max_rss: usage.max_rss,
                minor_faults: usage.minor_faults,
                major_faults: usage.major_faults,
                voluntary_switches: usage.voluntary_switches,
                involuntary_switches: usage.involuntary_switches,
            },
        })
    }

    /// Keeps a death, unless it was asked for and cut nobody: of these there are
    /// as many as workers at each reload, and nobody will ask for them.
    pub(super) fn record_last_moments(&mut self, death: Death, facts: Facts) {
        let as_asked = facts.leaving && facts.end == End::Exited(0) && death.cut == 0;
        if !as_asked {
            self.black_box.keep(death);
        }
    }
}

/// The end of a death's line in the log, behind what the worker was doing. What a
/// program had served nobody has `counted`.
pub(super) fn details(death: &Death, counted: bool) -> String {
    let Death {
        connections,
        requests,
        cut,
        last_request,
        usage,
        process,
        ..
    } = death;
    let mut text = String::new();
    if counted {
        text.push_str(&format!(
            "; connections {connections}, requests {requests}, cut {cut}"
        ));
    }
    if !last_request.is_empty() {
        text.push_str(&format!(", last request {last_request}"));
    }
    text.push_str(&format!(
        "; user {:.3}s, system {:.3}s, max_rss {} KiB, faults {} minor {} major, \
         switches {} voluntary {} involuntary",
        usage.user,
        usage.system,
        usage.max_rss,
        usage.minor_faults,
        usage.major_faults,
        usage.voluntary_switches,
        usage.involuntary_switches,
    ));
    if !process.is_empty() {
        text.push_str(&format!("; process {process}"));
    }
    text
}

/// What a lane did, unless it waited for a connection.
fn busy(row: Row, now: Instant) -> Option<Lane> {
    let (state, _) = row.state(now);
    let nobody = row.active() == 0 && (row.pid() == 0 || state == RowState::Serving);
    (state != RowState::Idle && !nobody).then(|| reading::lane(row, now))
}

/// The request that was begun last: that of the lane which changed last among
/// those that have had any.
fn last_request(rows: impl Iterator<Item = Row>, now: Instant) -> String {
    // Of a program it is what it said of itself.
    let rows = rows.filter(|row| row.state(now).0 != RowState::Program);
    let texts = rows.map(|row| (row.state(now).1, row.last_text()));
    let texts = texts.filter(|(_, text)| !text.is_empty());
    let last = texts.min_by_key(|(since, _)| *since);
    last.map_or_else(String::new, |(_, text)| text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::scoreboard::Scoreboard;
    use std::time::Duration;

    fn death(pid: i32) -> Death {
        Death {
            time: 1.5,
            pool: String::from("web"),
            slot: 1,
            generation: 2,
            pid,
            cause: String::from("signal"),
            how: String::from("killed by SIGSEGV"),
            age: 2.0,
            cut: 1,
            connections: 3,
            requests: 4,
            doing: String::from("idle"),
            lanes: Vec::new(),
            last_request: String::from("GET /a"),
            process: String::new(),
            usage: Usage::default(),
        }
    }

    #[test]
    fn only_the_last_are_kept() {
        let mut black_box = BlackBox::default();
        (0..100).for_each(|pid| black_box.keep(death(pid)));
        let pids = black_box.deaths.iter().map(|one| one.pid);
        assert!(pids.eq(100 - MOST as i32..100));
    }

    #[test]
    fn the_line_ends_with_what_is_known() {
        let mut death = death(7);
        let text = details(&death, true);
        assert!(
            text.starts_with(
                "; connections 3, requests 4, cut 1, last request GET /a; user 0.000s"
            ),
            "{text}"
        );
        death.process = String::from("state T (stopped), in do_signal_stop");
        death.last_request.clear();
        let text = details(&death, true);
        assert!(text.contains("cut 1; user"), "{text}");
        assert!(details(&death, false).starts_with("; user 0.000s"));
        assert!(
            text.ends_with("; process state T (stopped), in do_signal_stop"),
            "{text}"
        );
    }

    #[test]
    fn the_last_request_is_that_of_the_lane_that_changed_last() {
        let board = Scoreboard::new().unwrap();
        let begun = Instant::now();
        let second = Duration::from_secs(1);
        let rows = [0, 1, 2].map(|index| board.row(index));
        for (row, (text, at)) in rows.iter().zip([("GET /old", 1), ("GET /new", 3), ("", 5)]) {
            row.set_text(text.as_bytes());
            row.set_state(RowState::Reading, begun + at * second);
        }
        rows[1].set_text_aside();
        rows[0].set_deadline(Some(begun + 9 * second));
        rows[1].set_active(1);
        let now = begun + 10 * second;
        assert_eq!(last_request(rows.into_iter(), now), "GET /new");
        rows.iter().for_each(|row| row.set_active(1));
        let (overdue, waiting) = (busy(rows[0], now).unwrap(), busy(rows[1], now).unwrap());
        assert!(
            overdue
                .deadline
                .is_some_and(|left| (left + 1.0).abs() < 0.01),
            "{overdue:?}"
        );
        assert_eq!((waiting.request.as_str(), waiting.deadline), ("", None));
        rows[0].set_deadline(Some(begun + 12 * second));
        let left = busy(rows[0], now).unwrap().deadline.unwrap();
        assert!((left - 2.0).abs() < 0.01, "{left}");
        rows[0].set_state(RowState::Idle, now);
        assert_eq!(busy(rows[0], now), None);
    }
}
