//! From what a protocol wants to a program that runs: all that needs no waiting
//! is made ready here, the rest is [`Work`].
//!
//! Owes the worker the place that a program takes among those that may run, from
//! before its start until it has ended, and the descriptors that are its own as
//! long as it is on its way.

use super::errors::{ErrorLines, printable};
use super::{Child, Phase, Programs, Seat, end_at_once, kind_of, pipe, store, whole_seconds};
use crate::driver::effects::Roots;
use crate::driver::launch::{Fresh, Launch, late};
use crate::protocol::{Content, OpenError, Program, ProgramLimits, RunError, Work};
use crate::sys::program::{self as launcher, Image, Limits, NotRun};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

/// The permission bits that files of a program do not get.
const UMASK: u32 = 0o022;

/// A program on its way: what is known of it before it runs.
pub struct Starting {
    launch: Launch<Result<Started, Box<Failed>>>,
    /// Our ends.
    output: OwnedFd,
    errors: OwnedFd,
    ready: Epoll,
    shown: String,
    limits: ProgramLimits,
    /// When it is given up.
    deadline: Instant,
    /// It was tried once more.
    again: bool,
}

/// What is not a program yet.
pub enum NotYet {
    /// There may be room for it now: once more.
    Again(Box<Starting>, Work),
    /// It will not be one.
    Never(RunError),
}

/// All that a program is started with.
struct Order {
    file: OwnedFd,
    directory: OwnedFd,
    /// Its name there, `./NAME`.
    name: CString,
    environment: Vec<u8>,
    streams: [OwnedFd; 3],
    limits: ProgramLimits,
    seat: Seat,
}

/// It runs.
struct Started {
    fresh: Fresh,
    seat: Seat,
}

/// It does not.
struct Failed {
    order: Order,
    why: NotRun,
}

impl Order {
    fn run(self) -> Result<Started, Box<Failed>> {
        let [input, output, errors] = &self.streams;
        let started = launcher::start(&launcher::Launch {
            image: Image::Checked {
                file: self.file.as_fd(),
                directory: self.directory.as_fd(),
                name: &self.name,
            },
            arguments: self.name.to_bytes_with_nul(),
            environment: &self.environment,
            streams: [input.as_fd(), output.as_fd(), errors.as_fd()],
            limits: Limits {
                memory: self.limits.memory,
                processor_time: self.limits.processor_time.map(whole_seconds),
                ..Limits::default()
            },
            nice: i32::from(self.limits.nice),
            umask: UMASK,
        });
        match started {
            // Its descriptors go before it is told of: the end of its output is
            // not to be seen as long as one is open here.
            Ok(started) => Ok(Started {
                fresh: Fresh::new(started),
                seat: self.seat,
            }),
            Err(why) => Err(Box::new(Failed { order: self, why })),
        }
    }
}

impl Starting {
    /// Makes ready to start `program`; what it will read is `content`, which
    /// begins in `file` where there is one, and is forgotten once it runs. The
    /// work is to be done in a thread that lives as long as the program may.
    ///
    /// # Errors
    /// As [`RunError`].
    pub fn prepare(
        program: &Program<'_>,
        content: &mut Content,
        mut file: Option<File>,
        roots: &Roots,
        programs: &Programs,
        now: Instant,
    ) -> Result<(Self, Work), RunError> {
        let seat = Seat::take(programs, program.limits.children).ok_or(RunError::Busy)?;
        let (directory, name) = split(program.path);
        let place = roots.locate(program.root, program.path, false);
        let place = place.map_err(run_error)?;
        if !is_program(place.as_fd()) {
            return Err(RunError::Denied);
        }
        let directory = roots.locate(program.root, directory, true);
        let directory = directory.map_err(run_error)?;
        let name = CString::new([b"./", name].concat()).map_err(|_| RunError::NotFound)?;
        let input = store(content, &mut file).and_then(|()| {
            let mut file = file.ok_or(Errno::EBADF)?;
            file.rewind()?;
            Ok(file)
        });
        let shown = match program.subject {
            Some(subject) => format!("{subject}: program {}", printable(program.path)),
            None => format!("program {}", printable(program.path)),
        };
        let failed = |error: io::Error| refused(&shown, &error);
        let input = input.map_err(failed)?;
        let (output, write_output) = pipe().map_err(failed)?;
        let (errors, write_errors) = pipe().map_err(failed)?;
        let ready = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(|errno| refused(&shown, &errno.into()))?;
        let limits = program.limits;
        let order = Order {
            file: place,
            directory,
            name,
            environment: program.environment.to_vec(),
            streams: [input.into(), write_output, write_errors],
            limits,
            seat,
        };
        let (launch, work) = Launch::order(|| order.run());
        let starting = Self {
            launch,
            output,
            errors,
            ready,
            shown,
            limits,
            deadline: now + limits.start,
            again: false,
        };
        Ok((starting, work))
    }

    /// When it should run.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The work was done: what came of it. Where the system had no room for
    /// one more, `make_room` is asked whether it has now.
    ///
    /// # Errors
    /// As [`NotYet`].
    pub fn finish(self, make_room: impl FnOnce() -> bool) -> Result<Child, NotYet> {
        let Started { fresh, seat } = match self.launch.outcome() {
            Some(Ok(started)) => started,
            Some(Err(failed)) => {
                let Failed { order, why } = *failed;
                let error = refused_to_run(&self.shown, &why);
                if error != RunError::Exhausted || self.again || !make_room() {
                    return Err(NotYet::Never(error));
                }
                let (launch, work) = Launch::order(|| order.run());
                let starting = Self {
                    launch,
                    again: true,
                    ..self
                };
                return Err(NotYet::Again(Box::new(starting), work));
            }
            None => {
                log::error!("{}: whoever started it panicked", self.shown);
                return Err(NotYet::Never(RunError::Failed));
            }
        };
        let Self {
            output,
            errors,
            ready,
            shown,
            limits,
            ..
        } = self;
        let Some((pid, pidfd)) = fresh.adopt() else {
            return Err(NotYet::Never(RunError::Failed));
        };
        for fd in [output.as_fd(), errors.as_fd(), pidfd.as_fd()] {
            if let Err(errno) = ready.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, 0)) {
                end_at_once(pid);
                return Err(NotYet::Never(refused(&shown, &errno.into())));
            }
        }
        Ok(Child {
            pid,
            grace: limits.grace,
            phase: Phase::Running,
            exited: false,
            by_itself: false,
            output: Some(output),
            errors: ErrorLines::new(Some(errors), format!("{shown} [{pid}]")),
            end: None,
            pidfd,
            ready,
            _seat: seat,
        })
    }

    /// It is waited for no longer.
    pub fn give_up(self) -> RunError {
        refused_to_run(&self.shown, &late());
        RunError::Late
    }
}

/// The directory of a path, and its last name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// A regular file that we may execute.
fn is_program(file: BorrowedFd<'_>) -> bool {
    use nix::sys::stat::{SFlag, fstat};
    let regular = fstat(file).is_ok_and(|stat| {
        SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFREG
    });
    regular && launcher::may_execute(file)
}

fn run_error(error: OpenError) -> RunError {
    match error {
        OpenError::NotFound => RunError::NotFound,
        OpenError::Denied => RunError::Denied,
        OpenError::Escapes => RunError::Escapes,
        OpenError::Exhausted => RunError::Exhausted,
        OpenError::Failed => RunError::Failed,
    }
}

fn refused_to_run(name: &str, not_run: &NotRun) -> RunError {
    // A test waits for this line.
    log::error!("{name}: cannot be run: {not_run}");
    kind_of(&not_run.error)
}

fn refused(name: &str, error: &io::Error) -> RunError {
    log::error!("{name}: {error}");
    kind_of(error)
}
