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

use std::fs::read_to_string;

/// What can be said without the page tables (proc_pid_status(5)): anonymous
/// pages and swapped-out ones, in octets. Those that are shared with the master
/// are among them, so it is never less than [`own`]; `None` where the process
/// is gone.
pub(super) fn at_most(pid: i32) -> Option<u64> {
    let text = read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(sum(&text, |name| matches!(name, "RssAnon" | "VmSwap")))
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
