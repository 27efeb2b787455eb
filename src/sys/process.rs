//! fork(2), _exit(2), wait4(2), close_range(2), unsetenv(3), descriptors that came by
//! execve(2), and how many there may be.

use super::check;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use std::convert::Infallible;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::time::Duration;

/// How many descriptors this process could have when it was started.
static DESCRIPTORS: OnceLock<u64> = OnceLock::new();

/// Makes a copy of this process, which runs `child` and nothing else: it never
/// comes back into the frames of its parent, not even by a panic.
///
/// That this is safe rests on one check: a process that has a single thread
/// while this very thread looks cannot have another one when it forks. With
/// two, the child would inherit the other's locks, held for ever.
///
/// # Errors
/// EAGAIN and ENOMEM of fork(2); `Other` where another thread exists.
pub fn fork_into(child: impl FnOnce() -> Infallible) -> io::Result<Pid> {
    if threads()? != 1 {
        return Err(io::Error::other("fork from a process with several threads"));
    }
    // SAFETY: this is the only thread, as was just checked.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => match catch_unwind(AssertUnwindSafe(child)) {
            Ok(never) => match never {},
            Err(_) => exit(PANICKED),
        },
        pid => Ok(Pid::from_raw(pid)),
    }
}

/// The exit status of a forked process that panicked, as std has it.
pub const PANICKED: i32 = 101;

/// How many threads this process has: the link count of its task directory,
/// less `.` and `..` (proc(5)); one system call.
fn threads() -> io::Result<u64> {
    match nix::sys::stat::stat("/proc/self/task") {
        Ok(tasks) => Ok(u64::from(tasks.st_nlink as u32).saturating_sub(2)),
        Err(nix::errno::Errno::ENOENT) => threads_without_proc(),
        Err(errno) => Err(errno.into()),
    }
}

/// The same where no /proc is mounted, as 1 or 2: unshare(2) does nothing for
/// a process with one thread, and refuses where there are more.
fn threads_without_proc() -> io::Result<u64> {
    // SAFETY: it takes no pointer, and with this flag changes nothing.
    let unshared = unsafe { libc::unshare(libc::CLONE_THREAD) };
    match check(unshared) {
        Ok(_) => Ok(1),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(2),
        Err(error) => Err(error),
    }
}

/// Leaves at once: no destructor, no buffer, no atexit(3) handler runs, which
/// is what a forked copy owes the process it was copied from.
pub fn exit(code: i32) -> ! {
    // SAFETY: _exit takes no pointer and does not return.
    unsafe { libc::_exit(code) }
}

/// What a process had used when it ended, its own children that it had waited
/// for included (getrusage(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time of its own.
    pub user: Duration,
    /// Processor time of the kernel for it.
    pub system: Duration,
    /// The most memory that it had at a time, in KiB.
    pub max_rss: u64,
    /// Page faults without input or output.
    pub minor_faults: u64,
    /// Page faults with it.
    pub major_faults: u64,
    /// Times it gave the processor up.
    pub voluntary_switches: u64,
    /// Times the processor was taken from it.
    pub involuntary_switches: u64,
}

/// A child that has ended, and was not waited for: its number is still its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which one.
    pub pid: Pid,
    /// The number of the signal that ended it; 0 where none did.
    pub signal: i32,
}

/// Any child that has ended, which is left as it is (waitid(2), WNOWAIT); `None`
/// where all that there are live.
///
/// # Errors
/// As waitid(2): ECHILD where there is no child.
pub fn ended() -> nix::Result<Option<Ended>> {
    // SAFETY: all-zero bytes are a valid value of these plain numbers.
    let mut told: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel writes one siginfo_t to the live one.
    Errno::result(unsafe { libc::waitid(libc::P_ALL, 0, &raw mut told, flags) })?;
    // SAFETY: what waitid(2) filled is about a child; what it did not is 0.
    let pid = unsafe { told.si_pid() };
    // SAFETY: as above.
    let status = unsafe { told.si_status() };
    let signal = match told.si_code {
        libc::CLD_KILLED | libc::CLD_DUMPED => status,
        _ => 0,
    };
    let pid = Pid::from_raw(pid);
    Ok((pid.as_raw() > 0).then_some(Ended { pid, signal }))
}

/// Takes leave of any child that has ended (wait4(2)): how, and what it had used.
/// Does not wait for one: then the status is `StillAlive`. A real-time signal has
/// no name (signal(7)): whoever died of one is told as a shell does it, as having
/// exited with 128 and its number.
///
/// # Errors
/// As wait4(2): ECHILD where there is no child.
pub fn reap() -> nix::Result<(WaitStatus, Usage)> {
    collect(-1)
}

/// As [`reap`], of this child alone.
///
/// # Errors
/// As wait4(2): ECHILD where it is no child of ours, or was waited for.
pub fn reap_child(pid: Pid) -> nix::Result<(WaitStatus, Usage)> {
    collect(pid.as_raw())
}

fn collect(whom: libc::pid_t) -> nix::Result<(WaitStatus, Usage)> {
    let mut status: libc::c_int = 0;
    // SAFETY: all-zero bytes are a valid value of these plain numbers.
    let mut used: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one int and one rusage to the two live ones.
    let pid = unsafe { libc::wait4(whom, &raw mut status, libc::WNOHANG, &raw mut used) };
    let status = match pid {
        -1 => return Err(Errno::last()),
        0 => WaitStatus::StillAlive,
        pid => {
            let pid = Pid::from_raw(pid);
            // It is gone: an error in its place would leave it to nobody.
            let nameless = |_| WaitStatus::Exited(pid, 128 + libc::WTERMSIG(status));
            WaitStatus::from_raw(pid, status).unwrap_or_else(nameless)
        }
    };
    let count = |number: libc::c_long| u64::try_from(number).unwrap_or(0);
    let time = |time: libc::timeval| {
        Duration::new(count(time.tv_sec), 0) + Duration::from_micros(count(time.tv_usec))
    };
    let usage = Usage {
        user: time(used.ru_utime),
        system: time(used.ru_stime),
        max_rss: count(used.ru_maxrss),
        minor_faults: count(used.ru_minflt),
        major_faults: count(used.ru_majflt),
        voluntary_switches: count(used.ru_nvcsw),
        involuntary_switches: count(used.ru_nivcsw),
    };
    Ok((status, usage))
}

/// Lets this process have as many descriptors as its hard limit grants
/// (RLIMIT_NOFILE, getrlimit(2)). Once; [`descriptors_at_start`] then tells how many
/// it could have, or `before`, where it takes another's place.
///
/// # Errors
/// As getrlimit(2) and setrlimit(2).
pub fn raise_descriptors(before: Option<u64>) -> nix::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    DESCRIPTORS.get_or_init(|| before.unwrap_or(soft).min(hard));
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
}

/// How many descriptors this process could have before it raised that, for programs
/// that are not made for more: select(2) knows 1,024.
pub fn descriptors_at_start() -> Option<u64> {
    DESCRIPTORS.get().copied()
}

/// Closes every descriptor from 3 upward but those in `keep` (close_range(2)).
///
/// For a fresh fork, whose copies of the master's descriptors nobody will use
/// or drop: values that own them must be forgotten, not dropped.
pub fn close_all_but(keep: &mut [RawFd]) {
    keep.sort_unstable();
    let mut from: libc::c_uint = 3;
    for fd in keep
        .iter()
        .filter_map(|&fd| libc::c_uint::try_from(fd).ok())
    {
        if fd > from {
            close_range(from, fd - 1);
        }
        from = from.max(fd + 1);
    }
    close_range(from, libc::c_uint::MAX);
}

fn close_range(first: libc::c_uint, last: libc::c_uint) {
    // SAFETY: no pointer is passed; that nobody uses these numbers any more is
    // the contract of `close_all_but`. The call cannot fail for first <= last.
    let _ = check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } as libc::c_int);
}

/// Takes a descriptor that this process was started with, by its number, and
/// keeps it from programs that are started later (FD_CLOEXEC, fcntl(2)).
///
/// The number must have come from whoever started this process, and be taken
/// once: a second owner would close it under the first.
///
/// # Errors
/// EBADF where nothing is open under this number.
pub fn inherit(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_SETFD takes no pointer.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, as was just seen, and nobody else in this process
    // knows of it: that is what the caller vouches for.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Arms SIGALRM for `seconds` from now; 0 disarms (alarm(2)).
pub fn alarm(seconds: u32) {
    // SAFETY: alarm takes no pointer and cannot fail.
    unsafe { libc::alarm(seconds) };
}

/// Takes a variable out of the environment (unsetenv(3)).
///
/// # Errors
/// `Other` where another thread exists, which might be reading it.
pub fn forget_variable(name: &OsStr) -> io::Result<()> {
    if threads()? != 1 {
        return Err(io::Error::other("a process with several threads"));
    }
    // SAFETY: this is the only thread, as was just checked, so nobody else
    // reads or writes the environment.
    unsafe { std::env::remove_var(name) };
    Ok(())
}
