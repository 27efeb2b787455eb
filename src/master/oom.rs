//! Whether the kernel kills for want of memory.
//!
//! It does not say whom. But it counts, in the control group (`oom_kill` in
//! memory.events, cgroups(7) version 2) or, where that cannot be read, for the
//! whole machine (`oom_kill` in /proc/vmstat), and it counts before it kills.
//! So a SIGKILL that nobody here has sent, right after the count grew, was
//! probably that.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The count is looked at this often without a reason, so that a growth of
/// long ago is not put down to a death of today …
const PERIOD: Duration = Duration::from_secs(60);
/// … and counts for this long: several workers may die of it, and are reaped
/// one after the other.
const FRESH: Duration = Duration::from_secs(5);

/// Looks at the kernel's count.
#[derive(Debug)]
pub struct OomWatch {
    path: PathBuf,
    seen: u64,
    looked: Instant,
    grew: Option<Instant>,
}

impl OomWatch {
    /// Counts from now on, in the best place that there is.
    pub fn new(now: Instant) -> Self {
        Self::at(place(), now)
    }

    fn at(path: PathBuf, now: Instant) -> Self {
        let seen = count(&path).unwrap_or(0);
        Self {
            path,
            seen,
            looked: now,
            grew: None,
        }
    }

    /// Whether it has just killed somebody.
    pub fn has_struck(&mut self, now: Instant) -> bool {
        self.look(now);
        let fresh = |at| now.saturating_duration_since(at) <= FRESH;
        self.grew.is_some_and(fresh)
    }

    /// Looks, if it is time.
    pub fn tick(&mut self, now: Instant) {
        if now.saturating_duration_since(self.looked) >= PERIOD {
            self.look(now);
        }
    }

    fn look(&mut self, now: Instant) {
        self.looked = now;
        let Some(count) = count(&self.path) else {
            return;
        };
        if count > self.seen {
            self.grew = Some(now);
        }
        self.seen = count;
    }
}

fn place() -> PathBuf {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    let events = group.map(|group| {
        Path::new("/sys/fs/cgroup")
            .join(group)
            .join("memory.events")
    });
    events
        .filter(|path| count(path).is_some())
        .unwrap_or_else(|| PathBuf::from("/proc/vmstat"))
}

/// The number behind `oom_kill`.
fn count(path: &Path) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let number = |line: &str| line.strip_prefix("oom_kill ")?.trim().parse().ok();
    text.lines().find_map(number)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_grows_is_noticed_and_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("memory.events");
        let write = |kills: u64| {
            let text = format!("low 0\noom 9\noom_kill {kills}\noom_group_kill 0\n");
            fs::write(&path, text).unwrap();
        };
        write(3);
        let mut now = Instant::now();
        let mut watch = OomWatch::at(path.clone(), now);
        assert!(!watch.has_struck(now));
        write(4);
        assert!(watch.has_struck(now));
        assert!(watch.has_struck(now + FRESH), "several die of it");
        assert!(!watch.has_struck(now + 2 * FRESH));
        // One of somebody else, long before a death here.
        write(5);
        now += 2 * PERIOD;
        watch.tick(now);
        assert!(!watch.has_struck(now + PERIOD));
        fs::remove_file(&path).unwrap();
        assert!(!watch.has_struck(now + PERIOD));
    }

    #[test]
    fn this_machine_counts() {
        assert!(count(&place()).is_some());
    }
}
