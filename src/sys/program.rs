//! Starting a program: fork(2), and what a child may do until execve(2).
//!
//! A worker may have several threads, and then a child inherits the locks of
//! all of them, held for ever. So everything that needs memory is prepared
//! before the fork, and between it and execve(2) only calls are made that
//! signal-safety(7) allows: no allocation, no panic, no Rust of anybody else.

use super::check;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::unistd::Pid;
use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// A program as it is started: all of it opened and checked already.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The program itself; O_PATH will do.
    pub file: BorrowedFd<'a>,
    /// Where it runs.
    pub directory: BorrowedFd<'a>,
    /// Its name from there, `./NAME`; also its first argument.
    pub name: &'a CStr,
    /// Its environment, `NAME=value`, each ended by NUL.
    pub environment: &'a [u8],
    /// Standard input, output and error; numbers from 3 upward.
    pub streams: [BorrowedFd<'a>; 3],
    /// RLIMIT_AS in octets.
    pub memory: Option<u64>,
    /// RLIMIT_CPU in seconds.
    pub processor_time: Option<u64>,
    /// Added to the nice value.
    pub nice: i32,
}

/// What a child was doing when the system refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Session,
    Parent,
    Streams,
    Directory,
    Limits,
    Name,
    Execute,
}

impl Step {
    const ALL: [Self; 7] = [
        Self::Session,
        Self::Parent,
        Self::Streams,
        Self::Directory,
        Self::Limits,
        Self::Name,
        Self::Execute,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Session => "setsid",
            Self::Parent => "the worker has gone",
            Self::Streams => "dup2",
            Self::Directory => "fchdir",
            Self::Limits => "setrlimit",
            Self::Name => "another file has its name now",
            Self::Execute => "execve",
        }
    }
}

/// Exit status of a child that did not become the program, as sh(1) has it.
pub const NOT_RUN: i32 = 127;

/// Starts a program in a session, and so a process group, of its own, which
/// the kernel ends with SIGKILL when the calling thread ends.
///
/// That it was started does not mean that it runs: a child that fails on its
/// way writes a line to its standard error, which [`explain`] reads, and exits
/// with [`NOT_RUN`]. Nobody waits for that here.
///
/// # Errors
/// As fork(2).
pub fn start(launch: &Launch<'_>) -> io::Result<Pid> {
    let arguments = [launch.name.as_ptr(), ptr::null()];
    let environment = pointers(launch.environment);
    let parent = nix::unistd::getpid();
    // A signal would find the child with its parent's handlers.
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    // SAFETY: the child calls nothing but what signal-safety(7) allows, and
    // ends in execve or _exit.
    let forked = unsafe { libc::fork() };
    if forked == 0 {
        become_program(launch, &arguments, &environment, parent.as_raw());
    }
    let forked = check(forked);
    // It was in force a moment ago.
    let _ = mask.thread_set_mask();
    forked.map(Pid::from_raw)
}

/// Reads what a child wrote that did not become the program.
pub fn explain(line: &[u8]) -> Option<(&'static str, io::Error)> {
    let &[0, step, errno] = line else { return None };
    let step = Step::ALL.get(usize::from(step))?;
    Some((step.name(), io::Error::from_raw_os_error(i32::from(errno))))
}

/// A descriptor that is readable once `pid`, a child that was not waited for,
/// has ended (pidfd_open(2)).
///
/// # Errors
/// As pidfd_open(2).
pub fn watch(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: no pointer is passed.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let raw = check(raw as libc::c_int)?;
    // SAFETY: the kernel just made this descriptor and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Whether this process may execute the file behind `file` (faccessat2(2)).
/// Where the kernel does not say, the attempt will.
pub fn may_execute(file: BorrowedFd<'_>) -> bool {
    let flags = libc::AT_EMPTY_PATH | libc::AT_EACCESS;
    // SAFETY: the path is a NUL-terminated literal.
    let result = unsafe {
        libc::syscall(
            libc::SYS_faccessat2,
            file.as_raw_fd(),
            c"".as_ptr(),
            libc::X_OK,
            flags,
        )
    };
    match check(result as libc::c_int) {
        Ok(_) => true,
        Err(error) => error.raw_os_error() != Some(libc::EACCES),
    }
}

/// Pointers to the strings in `block`, and the null that ends them. What has
/// no NUL behind it is left out.
fn pointers(block: &[u8]) -> Vec<*const libc::c_char> {
    let mut found = Vec::new();
    let mut rest = block;
    while let Ok(text) = CStr::from_bytes_until_nul(rest) {
        found.push(text.as_ptr());
        rest = &rest[text.count_bytes() + 1..];
    }
    found.push(ptr::null());
    found
}

/// The child's way to execve(2). Nothing here allocates or panics.
fn become_program(
    launch: &Launch<'_>,
    arguments: &[*const libc::c_char; 2],
    environment: &[*const libc::c_char],
    parent: libc::pid_t,
) -> ! {
    let step = prepare(launch, parent)
        .err()
        .unwrap_or_else(|| execute(launch.name, arguments, environment));
    let line = [0, step as u8, errno() as u8, b'\n'];
    // SAFETY: pointer and length are those of the live array.
    unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
    super::process::exit(NOT_RUN)
}

/// Where the program's file is from the moment the streams stand.
const FILE: RawFd = 3;

fn prepare(launch: &Launch<'_>, parent: libc::pid_t) -> Result<(), Step> {
    // SAFETY: it takes no argument.
    refused(unsafe { libc::setsid() }, Step::Session)?;
    // SAFETY: with this option the argument is a number.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // SAFETY: it takes no argument. A parent that died before was not seen.
    if unsafe { libc::getppid() } != parent {
        return Err(Step::Parent);
    }
    for (stream, number) in launch.streams.iter().zip(0..) {
        // SAFETY: numbers only; 0 to 2 are the child's own from here on.
        let result = unsafe { libc::dup2(stream.as_raw_fd(), number) };
        refused(result, Step::Streams)?;
    }
    // SAFETY: numbers only.
    let result = unsafe { libc::fchdir(launch.directory.as_raw_fd()) };
    refused(result, Step::Directory)?;
    let file = launch.file.as_raw_fd();
    if file == FILE {
        // It is close-on-exec already.
    } else {
        // SAFETY: numbers only; what was under 3 is not used any more.
        let result = unsafe { libc::dup3(file, FILE, libc::O_CLOEXEC) };
        refused(result, Step::Streams)?;
    }
    // SAFETY: no pointer; the child uses nothing from 4 upward.
    unsafe { libc::syscall(libc::SYS_close_range, FILE + 1, libc::c_uint::MAX, 0) };
    limit(launch)?;
    // SAFETY: it takes a number and cannot fail.
    unsafe { libc::umask(0o022) };
    reset_signals();
    Ok(())
}

fn limit(launch: &Launch<'_>) -> Result<(), Step> {
    lower(libc::RLIMIT_CORE, 0, 0)?;
    if let Some(octets) = launch.memory {
        lower(libc::RLIMIT_AS, octets, octets)?;
    }
    if let Some(seconds) = launch.processor_time {
        // SIGXCPU, and SIGKILL a second later for whom it does not move.
        lower(libc::RLIMIT_CPU, seconds, seconds.saturating_add(1))?;
    }
    if launch.nice > 0 {
        // SAFETY: it takes a number; −1 may be a nice value as well.
        unsafe { libc::nice(launch.nice) };
    }
    Ok(())
}

/// Sets a limit, or leaves a lower one.
fn lower(resource: libc::__rlimit_resource_t, soft: u64, hard: u64) -> Result<(), Step> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a live rlimit.
    let read = unsafe { libc::getrlimit(resource, &mut limit) };
    refused(read, Step::Limits)?;
    limit.rlim_max = limit.rlim_max.min(hard);
    limit.rlim_cur = limit.rlim_max.min(soft);
    // SAFETY: as above.
    let set = unsafe { libc::setrlimit(resource, &limit) };
    refused(set, Step::Limits)
}

/// Every signal with its default action, and none blocked: execve(2) resets
/// handlers, but neither SIG_IGN nor the mask.
pub(super) fn reset_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: it takes numbers; those that have no choice say EINVAL.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the pointer is to room for a sigset_t.
    unsafe { libc::sigemptyset(none.as_mut_ptr()) };
    // SAFETY: it was just filled; the old mask is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut()) };
}

/// Becomes the program, or says what it was refused.
///
/// execveat(2) on the descriptor runs the very file that was checked. A script
/// (`#!`) is not run but read, by an interpreter that is told a name; under
/// the descriptor that name would be /dev/fd/3, which a close-on-exec
/// descriptor does not survive (ENOENT), and one that is not would be open in
/// the script, whose $0 would be of no use to it. So a script is run by its name in
/// its directory, after a look that the name still means the checked file.
fn execute(
    name: &CStr,
    arguments: &[*const libc::c_char; 2],
    environment: &[*const libc::c_char],
) -> Step {
    // SAFETY: both lists are live, null-terminated, and point to live strings
    // that end with NUL.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            FILE,
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    if errno() != libc::ENOENT {
        return Step::Execute;
    }
    match (identity(FILE, c""), identity(libc::AT_FDCWD, name)) {
        (Some(checked), Some(named)) if checked == named => {}
        (_, _) => return Step::Name,
    }
    // SAFETY: as above; the name ends with NUL.
    unsafe { libc::execve(name.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    Step::Execute
}

/// Device and inode of a name.
fn identity(directory: RawFd, name: &CStr) -> Option<(u64, u64)> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    let (path, room, flags) = (name.as_ptr(), stat.as_mut_ptr(), libc::AT_EMPTY_PATH);
    // SAFETY: the name ends with NUL, and the pointer is to room for a stat.
    if unsafe { libc::fstatat(directory, path, room, flags) } != 0 {
        return None;
    }
    // SAFETY: the call succeeded, so it filled it.
    let stat = unsafe { stat.assume_init() };
    Some((stat.st_dev, stat.st_ino))
}

fn refused(result: libc::c_int, step: Step) -> Result<(), Step> {
    if result == -1 { Err(step) } else { Ok(()) }
}

fn errno() -> libc::c_int {
    // SAFETY: errno's location is this thread's own.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: it is valid for the thread's life.
    unsafe { *place }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_explained() {
        let (step, error) = explain(&[0, Step::Execute as u8, libc::ENOEXEC as u8]).unwrap();
        assert_eq!(step, "execve");
        assert_eq!(error.raw_os_error(), Some(libc::ENOEXEC));
        assert!(explain(b"abc").is_none() && explain(&[0, 99, 1]).is_none());
        for (index, step) in Step::ALL.into_iter().enumerate() {
            assert_eq!(step as usize, index);
        }
    }

    #[test]
    fn an_environment_is_taken_apart() {
        assert_eq!(pointers(b"A=1\0B=\0").len(), 3);
        assert_eq!(pointers(b"").len(), 1);
        assert_eq!(pointers(b"A=1\0B=2").len(), 2, "without its NUL");
    }
}
