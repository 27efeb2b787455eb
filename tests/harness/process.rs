//! Processes, as /proc shows them (proc(5)).

use super::{SOON, eventually};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

/// Field `number` of proc_pid_stat(5), which is 3 or more: what follows the name.
/// Every process there is may be asked, again and again, so it takes little.
fn field<T: FromStr>(pid: u32, number: usize) -> Option<T> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything; what follows its last `)` does not.
    let after = &text[text.rfind(')')? + 1..];
    after.split_ascii_whitespace().nth(number - 3)?.parse().ok()
}

/// `R`, `S`, `Z` …; `None` where there is no such process.
pub(crate) fn state(pid: u32) -> Option<char> {
    field(pid, 3)
}

/// Whether it exists and has not ended: it is a zombie already while threads of its
/// go on, and with them what it has open.
pub(crate) fn is_alive(pid: u32) -> bool {
    match state(pid) {
        Some('Z') => {
            fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|threads| threads.count() > 1)
        }
        Some(state) => state != 'X',
        None => false,
    }
}

/// The nice value of what is made `more` nice by us: nobody is nicer than 19.
pub(crate) fn nicer_by(more: i32) -> i32 {
    let own: i32 = field(std::process::id(), 19).expect("our own nice value");
    (own + more).min(19)
}

/// Whose child it is.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    field(pid, 4)
}

/// Processor time used so far, by the process itself.
pub(crate) fn processor_time(pid: u32) -> Duration {
    let ticks: u64 = (14..=15)
        .filter_map(|number| field::<u64>(pid, number))
        .sum();
    // USER_HZ is 100 on every architecture that Linux runs on today.
    Duration::from_millis(ticks * 10)
}

/// Processor time used so far, by the process and by its dead children.
pub(crate) fn family_time(pid: u32) -> Duration {
    let ticks: u64 = (14..=17)
        .filter_map(|number| field::<u64>(pid, number))
        .sum();
    Duration::from_millis(ticks * 10)
}

/// The memory that is no file's and in use, in KiB: what a leak would add to.
pub(crate) fn anonymous_memory(pid: u32) -> u64 {
    let text = status(pid, "RssAnon");
    let number = text.split(' ').next().unwrap_or_default();
    number.parse().unwrap_or(0)
}

/// Every process there is.
fn all() -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// The children of `pid`, the dead ones that nobody has reaped included, in
/// the order of their numbers.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let mut found: Vec<u32> = all()
        .into_iter()
        .filter(|&one| parent(one) == Some(pid))
        .collect();
    found.sort_unstable();
    found
}

/// The children of `pid` and theirs.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    // One look at all of them, however many generations there are.
    let parents: Vec<(u32, Option<u32>)> =
        all().into_iter().map(|one| (one, parent(one))).collect();
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(&next) = found.get(at) {
        for (one, parent) in &parents {
            if *parent == Some(next) && !found.contains(one) {
                found.push(*one);
            }
        }
        at += 1;
    }
    found.split_off(1)
}

/// The living processes of a process group.
pub(crate) fn group(leader: u32) -> Vec<u32> {
    let is_member = |&one: &u32| field(one, 5) == Some(leader) && is_alive(one);
    all().into_iter().filter(is_member).collect()
}

/// The dead children of `pid` that nobody has reaped.
pub(crate) fn zombies(pid: u32) -> Vec<u32> {
    children(pid)
        .into_iter()
        .filter(|&one| state(one) == Some('Z'))
        .collect()
}

/// What ps(1) shows; empty where there is no such process.
pub(crate) fn title(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).into_owned();
    line.trim_end_matches('\0').replace('\0', " ")
}

/// How many descriptors are open, and what they lead to.
pub(crate) fn descriptors(pid: u32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    let target = |entry: fs::DirEntry| {
        let target = fs::read_link(entry.path()).unwrap_or_default();
        format!("{} {}", entry.file_name().display(), target.display())
    };
    entries.filter_map(Result::ok).map(target).collect()
}

/// A line of /proc/PID/status, without its name.
pub(crate) fn status(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

/// The memory that is the process's share (PSS), in KiB.
pub(crate) fn proportional_memory(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// The memory of which only this process has a copy (private pages), in KiB.
pub(crate) fn private_memory(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.strip_prefix("Private_"))
        .filter_map(|rest| rest.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum()
}

/// The sockets that listen at IPv4 addresses, each with its fields as
/// /proc/net/tcp has them (proc_net_tcp(5)). They stand in front, and the others,
/// of which there may be many thousands, are not waited for.
pub(crate) fn listening() -> Vec<Vec<String>> {
    let table = BufReader::new(fs::File::open("/proc/net/tcp").unwrap());
    let rows = table.lines().skip(1).map(|line| -> Vec<String> {
        let line = line.unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    });
    rows.take_while(|fields| fields[3] == "0A").collect()
}

/// How many clients wait in the queue of each socket that listens at an IPv4
/// address: it stands as `rx_queue`.
pub(crate) fn queues(address: SocketAddr) -> Vec<u64> {
    let SocketAddr::V4(address) = address else {
        panic!("{address}: an IPv4 address was expected");
    };
    let local = format!(
        "{:08X}:{:04X}",
        u32::from_ne_bytes(address.ip().octets()),
        address.port()
    );
    let queue = |fields: Vec<String>| {
        let (_, waiting) = fields.get(4)?.split_once(':')?;
        let is_here = fields[1] == local;
        u64::from_str_radix(waiting, 16).ok().filter(|_| is_here)
    };
    listening().into_iter().filter_map(queue).collect()
}

/// From now on this process may have as many descriptors as it can get, and so may
/// whoever it starts: a crowd of clients beside those of other tests is more than
/// the thousand that are usual.
pub(crate) fn allow_many_descriptors() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
}

/// Sends a signal to a process that is known to be ours.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let id = Pid::from_raw(i32::try_from(pid).unwrap());
    kill(id, signal).unwrap_or_else(|errno| panic!("kill {pid} {signal}: {errno}"));
}

/// From now on whoever loses its parent below us becomes our child.
pub(crate) fn adopt_orphans() {
    nix::sys::prctl::set_child_subreaper(true).unwrap();
}

/// Takes leave of an adopted child that has ended.
pub(crate) fn reap(pid: u32) {
    let id = Pid::from_raw(i32::try_from(pid).unwrap());
    // It may have been another's to reap.
    let _ = nix::sys::wait::waitpid(id, Some(nix::sys::wait::WaitPidFlag::WNOHANG));
}

/// Ends processes at once, and waits until they are gone.
pub(crate) fn end(pids: &[u32]) {
    for &pid in pids {
        // It may have gone by itself.
        let _ = kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL);
    }
    for &pid in pids {
        eventually("a killed process is gone", SOON, || {
            (!is_alive(pid)).then_some(())
        });
    }
}
