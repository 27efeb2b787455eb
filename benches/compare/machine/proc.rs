//! Processes, as proc(5) shows them. It only looks.

use std::fs;
use std::time::Duration;

/// A process: its number, and the time of its start (proc_pid_stat(5), field
/// 22), by which it is known again.
pub(super) type Process = (u32, u64);

/// The process that has this number now.
pub(super) fn identify(pid: u32) -> Process {
    (pid, field(pid, 22).unwrap_or(0))
}

/// A process and its descendants; nothing where it is gone.
pub(super) fn tree(root: Process) -> Vec<Process> {
    let all = processes();
    let known = |&&(pid, _, start): &&(u32, u64, u64)| (pid, start) == root;
    let mut found: Vec<Process> = all.iter().find(known).map(|_| root).into_iter().collect();
    let mut at = 0;
    while let Some(&(parent, _)) = found.get(at) {
        let children = all.iter().filter(|(_, of, _)| *of == u64::from(parent));
        found.extend(children.map(|&(pid, _, start)| (pid, start)));
        at += 1;
    }
    found
}

/// Every process there is: number, parent, time of the start.
pub(super) fn processes() -> Vec<(u32, u64, u64)> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, field(pid, 4)?, field(pid, 22)?)))
        .collect()
}

/// Whether it is still there, or dead and not reaped, and not another one that
/// was given the same number.
pub(super) fn is_same(&(pid, start): &Process) -> bool {
    field(pid, 22) == Some(start)
}

/// Processor time of a process and of the children that it has reaped.
///
/// That of its threads is in nanoseconds (/proc/PID/task/TID/schedstat: the
/// first number), that of dead children in clock ticks of 10 ms, as is all of it
/// where the kernel has no schedstat.
pub(super) fn processor_time(pid: u32) -> Duration {
    // USER_HZ is 100 on every architecture that Linux runs on today.
    let ticks = |number| Duration::from_millis(field(pid, number).unwrap_or(0) * 10);
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    let times = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split(' ')
            .next()?
            .parse()
            .ok()
            .map(Duration::from_nanos)
    });
    let exact: Duration = times.sum();
    let own = if exact.is_zero() {
        ticks(14) + ticks(15)
    } else {
        exact
    };
    own + ticks(16) + ticks(17)
}

pub(super) fn proportional_memory(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kibibytes: Option<u64> = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    kibibytes.unwrap_or(0) * 1024
}

/// Field `number` of proc_pid_stat(5).
fn field(pid: u32, number: usize) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything; what follows its last `)` is from field 3 on.
    let (_, after) = text.rsplit_once(')')?;
    after.split_whitespace().nth(number - 3)?.parse().ok()
}
