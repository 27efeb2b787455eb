//! How much memory a worker has for itself: what would be free without it.
//!
//! After a fork most of a worker's pages are the master's as well, so its
//! resident size says little, and its proportional share (PSS) changes with the
//! number of its siblings. What counts here are the pages that nobody else has
//! (`Private_*`), and what of them was swapped out: they go when it goes, and a
//! leak is found in them whole.
//!
//! The kernel counts those by walking the page tables with the process's own
//! lock on them. So the master first asks what costs next to nothing and is
//! never less, and has the pages counted only of a worker that may be over its
//! limit: of one at a time.

use super::{Crew, Worker};
use crate::master::message::WorkerId;
use crate::scoreboard::Counter;
use std::fs::read_to_string;
use std::ops::Bound::{Excluded, Unbounded};

/// Whose memory is looked at, at most, at a time.
const LOOKS: usize = 32;

impl Crew {
    /// Looks at the memory of some workers, each time of others; answers who has
    /// more than his pool allows, with how much that is, in octets.
    pub fn weigh(&mut self) -> Option<(WorkerId, u64)> {
        let limit = |worker: &Worker| {
            let cohort = self.cohorts.get(&worker.cohort);
            cohort.map_or(0, |cohort| cohort.opened.pool.max_worker_memory)
        };
        // Whoever has served nobody yet is as its successor would be.
        let used = |worker: &Worker| {
            if let Some(program) = &worker.program {
                return program.was_lighter_than(limit(worker));
            }
            let mut rows = worker.first_row..worker.first_row + worker.row_count;
            rows.any(|index| self.scoreboard.row(index).count(Counter::Connections) > 0)
        };
        let serving = |worker: &Worker| worker.ready.is_some() && !worker.wished && !worker.retired;
        let limited = |worker: &Worker| limit(worker) > 0 && serving(worker) && used(worker);
        let behind = self.workers.range((Excluded(self.weighed), Unbounded));
        let before = self.workers.range(..=self.weighed);
        let due = behind.chain(before).filter(|(_, worker)| limited(worker));
        let mut found = None;
        for (id, worker) in due.take(LOOKS) {
            self.weighed = *id;
            let pid = worker.pid.as_raw();
            if at_most(pid).is_some_and(|most| most > limit(worker)) {
                found = own(pid).filter(|own| *own > limit(worker));
                // One count of pages a time is enough.
                break;
            }
        }
        let own = found?;
        let heavy = self.weighed;
        self.workers.get_mut(&heavy)?.wished = true;
        Some((heavy, own))
    }
}

/// What can be said without the page tables (proc_pid_status(5)): all pages, the
/// swapped-out ones included, in octets. Those that are shared with others are
/// among them, so it is never less than [`own`]; `None` where the process is
/// gone.
fn at_most(pid: i32) -> Option<u64> {
    let text = read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(sum(&text, |name| matches!(name, "VmRSS" | "VmSwap")))
}

/// What nobody else has (proc_pid_smaps(5), smaps_rollup), in octets; `None`
/// where the process is gone.
pub(super) fn own(pid: i32) -> Option<u64> {
    let text = read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let counts = |name: &str| name.starts_with("Private_") || name == "SwapPss";
    Some(sum(&text, counts))
}

/// The sum of the lines `Name: 12 kB` that count, in octets.
fn sum(text: &str, counts: impl Fn(&str) -> bool) -> u64 {
    let line = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let kibibytes = rest.trim().strip_suffix(" kB")?;
        counts(name).then(|| kibibytes.trim().parse::<u64>().ok())?
    };
    text.lines().filter_map(line).sum::<u64>() * 1024
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_count_are_summed() {
        let rollup = "55d0-7ffe ---p 0 00:00 0 [rollup]\nRss: 5000 kB\nPss: 900 kB\n\
            Shared_Clean: 4000 kB\nPrivate_Clean:          12 kB\nPrivate_Dirty:  600 kB\n\
            Private_Hugetlb: 0 kB\nSwap: 80 kB\nSwapPss: 20 kB\n";
        let private = |name: &str| name.starts_with("Private_") || name == "SwapPss";
        assert_eq!(sum(rollup, private), (12 + 600 + 20) * 1024);
    }

    #[test]
    fn memory_that_is_written_to_is_found_by_both() {
        let pid = std::process::id().cast_signed();
        let ballast = vec![1u8; 64 << 20];
        assert!(own(pid).unwrap() >= 64 << 20);
        assert!(at_most(pid).unwrap() >= 64 << 20);
        drop(std::hint::black_box(ballast));
    }

    #[test]
    fn a_process_that_is_gone_has_none() {
        assert_eq!(own(0), None);
        assert_eq!(at_most(0), None);
    }
}
