//! Starting a program: clone(2), and what a child may do until execve(2).
//!
//! The child shares our memory until it executes the program, and we stand
//! still meanwhile (CLONE_VM and CLONE_VFORK): nothing is copied, however much a
//! worker has, and what the child was refused it can simply write down. It has
//! a stack of its own. But a worker may have several threads, and the others go
//! on; so everything that needs memory is prepared before, and between clone and
//! execve(2) only calls are made that signal-safety(7) allows: no allocation,
//! no panic, no Rust of anybody else, and no handler of a signal.

use super::{check, process};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::ffi::CStr;
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

/// A program as it is started: all that needs memory is done.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Which program, and where it runs.
    pub image: Image<'a>,
    /// Its arguments, its own name first, each ended by NUL.
    pub arguments: &'a [u8],
    /// Its environment, `NAME=value`, each ended by NUL.
    pub environment: &'a [u8],
    /// Standard input, output and error; numbers from 3 upward.
    pub streams: [BorrowedFd<'a>; 3],
    /// What it may use.
    pub limits: Limits,
    /// Added to the nice value.
    pub nice: i32,
    /// The permission bits that its files do not get.
    pub umask: u32,
}

/// Which program is meant, and where it runs.
#[derive(Clone, Copy, Debug)]
pub enum Image<'a> {
    /// The very file that was opened and checked.
    Checked {
        /// The program itself; O_PATH will do.
        file: BorrowedFd<'a>,
        /// Where it runs.
        directory: BorrowedFd<'a>,
        /// Its name from there, `./NAME`.
        name: &'a CStr,
    },
    /// Whatever has this name when it is started.
    Named {
        /// An absolute path.
        path: &'a CStr,
        /// Where it runs, an absolute path.
        directory: &'a CStr,
    },
}

/// What a program may use (getrlimit(2)); `None` is no limit of ours. A limit
/// of the server that is lower stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// RLIMIT_AS in octets.
    pub memory: Option<u64>,
    /// RLIMIT_CPU in seconds.
    pub processor_time: Option<u64>,
    /// RLIMIT_NOFILE; `None`: as many as this process could have when it was started.
    pub open_files: Option<u64>,
    /// RLIMIT_NPROC, which counts all processes of the user.
    pub processes: Option<u64>,
    /// RLIMIT_FSIZE in octets.
    pub file_size: Option<u64>,
    /// RLIMIT_CORE in octets.
    pub core: u64,
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
            Self::Directory => "chdir",
            Self::Limits => "setrlimit",
            Self::Name => "another file has its name now",
            Self::Execute => "execve",
        }
    }
}

/// Why a program does not run.
#[derive(Debug)]
pub struct NotRun {
    /// The call that was refused.
    pub step: &'static str,
    /// What the system said.
    pub error: io::Error,
}

impl fmt::Display for NotRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.error)
    }
}

/// The step of [`NotRun`] that needs a process.
pub const CLONE: &str = "clone";

/// Exit status of a child that did not become the program, as sh(1) has it.
const NOT_RUN: libc::c_int = 127;

/// Octets of stack for a child on its way, which is a few small frames.
const STACK: usize = 64 * 1024;

/// Starts a program in a session, and so a process group, of its own, which
/// the kernel ends with SIGKILL when the calling thread ends. Answers its id,
/// and a descriptor that is readable once it has ended (pidfd_open(2)).
///
/// When it returns the program runs: the thread waits until the child has
/// executed it, or has ended.
///
/// # Errors
/// As clone(2), and whatever the child was refused on its way to the program.
pub fn start(launch: &Launch<'_>) -> Result<(Pid, OwnedFd), NotRun> {
    let (arguments, environment) = (pointers(launch.arguments), pointers(launch.environment));
    let errand = Errand {
        launch,
        arguments: &arguments,
        environment: &environment,
        parent: nix::unistd::getpid().as_raw(),
        refused: AtomicU32::new(0),
    };
    let mut stack: Vec<MaybeUninit<u128>> = Vec::with_capacity(STACK / size_of::<u128>());
    let top = stack.spare_capacity_mut().as_mut_ptr_range().end;
    let mut pidfd: RawFd = -1;
    let refused = |step| move |error| NotRun { step, error };
    // A signal would find the child with its parent's handlers.
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let mask = mask.map_err(|errno| refused("sigprocmask")(errno.into()))?;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: `top` is the end of STACK octets that nobody else uses, aligned
    // to 16; `errand` and `pidfd` outlive the child's use of our memory, for
    // this thread stands still until the child has called execve or _exit; and
    // the child calls nothing but what signal-safety(7) allows.
    let pid = unsafe {
        libc::clone(
            child,
            top.cast(),
            flags,
            (&raw const errand).cast_mut().cast(),
            &raw mut pidfd,
        )
    };
    let pid = check(pid);
    // It was in force a moment ago.
    let _ = mask.thread_set_mask();
    let pid = Pid::from_raw(pid.map_err(refused(CLONE))?);
    // SAFETY: the kernel just made this descriptor and nobody else knows its number.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    match errand.refused() {
        None => Ok((pid, pidfd)),
        Some(not_run) => {
            // It has ended, or does so now.
            let _ = waitpid(pid, None);
            Err(not_run)
        }
    }
}

/// What a child is born with.
struct Errand<'a> {
    launch: &'a Launch<'a>,
    arguments: &'a [*const libc::c_char],
    environment: &'a [*const libc::c_char],
    parent: libc::pid_t,
    /// What it was refused: the step's place and one, and the error number.
    refused: AtomicU32,
}

impl Errand<'_> {
    fn refuse(&self, step: Step, errno: libc::c_int) {
        let code = (step as u32 + 1) << 16 | (errno as u32 & 0xffff);
        self.refused.store(code, Ordering::Relaxed);
    }

    fn refused(&self) -> Option<NotRun> {
        let code = self.refused.load(Ordering::Relaxed);
        let step = Step::ALL.get(((code >> 16) as usize).wrapping_sub(1))?;
        Some(NotRun {
            step: step.name(),
            error: io::Error::from_raw_os_error((code & 0xffff) as i32),
        })
    }
}

/// Signals all processes in the group that `leader` made, also when it has
/// ended and was waited for: `pidfd` tells it from one that was given its
/// number since (PIDFD_SIGNAL_PROCESS_GROUP, since Linux 6.9; before that the
/// number has to do). `None` only asks whether there is somebody.
///
/// # Errors
/// As kill(2): ESRCH where nobody is left.
pub fn signal_group(pidfd: BorrowedFd<'_>, leader: Pid, signal: Option<Signal>) -> nix::Result<()> {
    const PROCESS_GROUP: libc::c_uint = 1 << 2;
    let number = signal.map_or(0, |signal| signal as libc::c_int);
    // SAFETY: numbers, and no siginfo.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            number,
            ptr::null::<libc::siginfo_t>(),
            PROCESS_GROUP,
        )
    };
    match nix::errno::Errno::result(sent) {
        Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOSYS) => {
            nix::sys::signal::kill(Pid::from_raw(-leader.as_raw()), signal)
        }
        sent => sent.map(drop),
    }
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
extern "C" fn child(errand: *mut libc::c_void) -> libc::c_int {
    // SAFETY: it is the errand of `start`, who waits for us.
    let errand = unsafe { &*errand.cast::<Errand<'_>>().cast_const() };
    let step = prepare(errand.launch, errand.parent)
        .err()
        .unwrap_or_else(|| execute(errand));
    errand.refuse(step, errno());
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
    let mut first = FILE;
    match launch.image {
        Image::Checked {
            file, directory, ..
        } => {
            // SAFETY: numbers only.
            let result = unsafe { libc::fchdir(directory.as_raw_fd()) };
            refused(result, Step::Directory)?;
            let file = file.as_raw_fd();
            if file == FILE {
                // It is close-on-exec already.
            } else {
                // SAFETY: numbers only; what was under 3 is not used any more.
                let result = unsafe { libc::dup3(file, FILE, libc::O_CLOEXEC) };
                refused(result, Step::Streams)?;
            }
            first += 1;
        }
        Image::Named { directory, .. } => {
            // SAFETY: the path ends with NUL.
            let result = unsafe { libc::chdir(directory.as_ptr()) };
            refused(result, Step::Directory)?;
        }
    }
    // SAFETY: no pointer; the child uses nothing from there upward.
    unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    limit(launch)?;
    // SAFETY: it takes a number and cannot fail.
    unsafe { libc::umask(launch.umask as libc::mode_t) };
    reset_signals();
    Ok(())
}

fn limit(launch: &Launch<'_>) -> Result<(), Step> {
    let limits = &launch.limits;
    lower(libc::RLIMIT_CORE, limits.core, limits.core)?;
    let plain = [
        (libc::RLIMIT_AS, limits.memory),
        (libc::RLIMIT_NPROC, limits.processes),
        (libc::RLIMIT_FSIZE, limits.file_size),
    ];
    for (resource, most) in plain {
        if let Some(most) = most {
            lower(resource, most, most)?;
        }
    }
    match (limits.open_files, process::descriptors_at_start()) {
        (Some(most), _) => lower(libc::RLIMIT_NOFILE, most, most)?,
        (None, Some(soft)) => lower(libc::RLIMIT_NOFILE, soft, u64::MAX)?,
        (None, None) => {}
    }
    if let Some(seconds) = limits.processor_time {
        // SIGXCPU, and SIGKILL a second later for whom it does not move.
        lower(libc::RLIMIT_CPU, seconds, seconds.saturating_add(1))?;
    }
    if launch.nice > 0 {
        // SAFETY: it takes a number; −1 may be a nice value as well.
        unsafe { libc::nice(launch.nice) };
    }
    Ok(())
}

/// Sets a limit; a hard one that is lower stays, and bounds the soft one.
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
fn execute(errand: &Errand<'_>) -> Step {
    let (arguments, environment) = (errand.arguments.as_ptr(), errand.environment.as_ptr());
    let path = match errand.launch.image {
        Image::Named { path, .. } => path,
        Image::Checked { name, .. } => {
            // SAFETY: both lists are live, null-terminated, and point to live
            // strings that end with NUL.
            unsafe {
                libc::syscall(
                    libc::SYS_execveat,
                    FILE,
                    c"".as_ptr(),
                    arguments,
                    environment,
                    libc::AT_EMPTY_PATH,
                )
            };
            if errno() != libc::ENOENT {
                return Step::Execute;
            }
            match (identity(FILE, c""), identity(libc::AT_FDCWD, name)) {
                (Some(checked), Some(named)) if checked == named => name,
                (_, _) => return Step::Name,
            }
        }
    };
    // SAFETY: as above; the path ends with NUL.
    unsafe { libc::execve(path.as_ptr(), arguments, environment) };
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
    use std::os::fd::AsFd;

    #[test]
    fn a_refusal_is_told_with_its_step() {
        for (index, step) in Step::ALL.into_iter().enumerate() {
            assert_eq!(step as usize, index);
        }
        let null = std::fs::File::open("/dev/null").unwrap();
        let launch = |path| Launch {
            image: Image::Named {
                path,
                directory: c"/",
            },
            arguments: b"x\0",
            environment: b"",
            streams: [null.as_fd(); 3],
            limits: Limits::default(),
            nice: 0,
            umask: 0o022,
        };
        let not_run = start(&launch(c"/nowhere/at/all")).unwrap_err();
        assert_eq!(not_run.step, "execve");
        assert_eq!(not_run.error.raw_os_error(), Some(libc::ENOENT));
        let (pid, _) = start(&launch(c"/bin/true")).unwrap();
        let ended = waitpid(pid, None).unwrap();
        assert_eq!(ended, nix::sys::wait::WaitStatus::Exited(pid, 0));
    }

    #[test]
    fn an_environment_is_taken_apart() {
        assert_eq!(pointers(b"A=1\0B=\0").len(), 3);
        assert_eq!(pointers(b"").len(), 1);
        assert_eq!(pointers(b"A=1\0B=2").len(), 2, "without its NUL");
    }
}
