//! A worker that is a program: what the new process does until it becomes it.
//!
//! The steps are those of the list in [`super`], as far as they concern whoever
//! will not be us for long, and in the same order. Owes the program what it was
//! promised and nothing else: the listeners from descriptor 3 on, an
//! environment of what was listed, a signal mask without a signal, every
//! signal's default action, a session of its own. Must never come back: either
//! the program runs, under this process's id, or the reason is in the row.

use super::{Assignment, Stillborn, become_user};
use crate::config::{App, Orphaned, ProgramSignal, Stream, USUAL_PATH};
use crate::daemon;
use crate::log::Output;
use crate::sys::{image, process};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, getpid, getppid, setsid};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What a worker gets that is to become a program, besides its assignment.
#[derive(Debug)]
pub struct Belongings {
    /// A name for each listener.
    pub names: Vec<String>,
    /// Where the lines go that it writes for the log.
    pub output: Option<OwnedFd>,
    /// Where it tells the master how it is getting on, as sd_notify(3) has it;
    /// `None` where nothing is expected.
    pub notify: Option<String>,
}

/// Becomes the program; comes back only with the reason why not.
pub(super) fn become_it(assignment: &Assignment, app: &App) -> Stillborn {
    match prepare(assignment, app) {
        Ok(never) => match never {},
        Err(failure) => failure,
    }
}

/// Every step in its order.
fn prepare(assignment: &Assignment, app: &App) -> Result<Infallible, Stillborn> {
    let step = |step| move |error: io::Error| Stillborn { step, error };
    let errno = |name| move |errno: nix::errno::Errno| step(name)(errno.into());
    let nobody = || step("start")(io::Error::other("nothing was prepared for a program"));
    let belongings = assignment.belongings.as_ref().ok_or_else(nobody)?;

    // 1. Whatever the master holds is none of our business.
    let log = assignment.log.as_ref().and_then(Output::descriptor);
    let output = belongings.output.as_ref().map(AsRawFd::as_raw_fd);
    let listeners = assignment.listeners.iter();
    let mut keep: Vec<_> = listeners.map(|one| one.as_fd().as_raw_fd()).collect();
    keep.extend(
        crate::log::descriptor()
            .into_iter()
            .chain(log)
            .chain(output),
    );
    process::close_all_but(&mut keep);

    // 2. Whoever is sent to the program's session goes to its children as well,
    // and nothing that a terminal sends goes to it.
    setsid().map_err(errno("setsid"))?;

    // 3. What the user could not take back.
    image::be_nice(app.nice);

    // 4. The user, then what a change of user would undo. A master that is asked to
    // leave is the last one to go, so this is for one that dies.
    if let Some(identity) = &assignment.pool.identity {
        become_user(identity).map_err(step("change of user"))?;
    }
    let signal = match app.when_orphaned {
        Orphaned::Told => signal_of(app.stop_signal),
        Orphaned::Killed => Signal::SIGKILL,
    };
    nix::sys::prctl::set_pdeathsig(signal).map_err(errno("PR_SET_PDEATHSIG"))?;
    if getppid() != assignment.master {
        let error = io::Error::other("the master died while this worker was born");
        return Err(step("start")(error));
    }
    chdir(&app.directory).map_err(errno("chdir"))?;
    umask(Mode::from_bits_truncate(app.umask));

    // 5. All that needs memory, while everything is still where it was.
    let nul = |error: std::ffi::NulError| step("arguments")(io::Error::other(error));
    let file = CString::new(app.program.as_os_str().as_bytes()).map_err(nul)?;
    let texts = app.command.iter().map(|word| CString::new(word.as_bytes()));
    let arguments: Vec<CString> = texts.collect::<Result<_, _>>().map_err(nul)?;
    let texts = environment(assignment, app, belongings).into_iter();
    let environment: Vec<CString> = texts
        .map(CString::new)
        .collect::<Result<_, _>>()
        .map_err(nul)?;
    let call = image::Call::new(&file, &arguments, &environment);

    // 6. Descriptors. From here on nothing can be logged, but the row is there.
    if assignment.detached {
        daemon::forget_terminal().map_err(step("/dev/null"))?;
    }
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.map_err(step("/dev/null"))?;
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let output = belongings.output.as_ref().map_or(null.as_fd(), AsFd::as_fd);
    let stdout = match app.stdout {
        Stream::Log => output,
        Stream::Inherit => stdout.as_fd(),
        Stream::Off => null.as_fd(),
    };
    let stderr = match app.stderr {
        Stream::Log => output,
        Stream::Inherit => stderr.as_fd(),
        Stream::Off => null.as_fd(),
    };
    let streams = [null.as_fd(), stdout, stderr];
    let listeners = assignment.listeners.iter();
    let listeners: Vec<BorrowedFd<'_>> = listeners.map(|one| one.as_fd()).collect();
    image::arrange(streams, &listeners).map_err(step("descriptors"))?;

    // 7. What the program may have is enough for it, and may be less than we have.
    limit(app).map_err(errno("setrlimit"))?;

    // 8. Signals last: one that waited ends us, as it would end the program.
    image::forget_signals();
    Err(step("execve")(call.execute()))
}

/// The signal, as the kernel knows it.
pub(crate) const fn signal_of(signal: ProgramSignal) -> Signal {
    match signal {
        ProgramSignal::Term => Signal::SIGTERM,
        ProgramSignal::Quit => Signal::SIGQUIT,
        ProgramSignal::Int => Signal::SIGINT,
        ProgramSignal::Hup => Signal::SIGHUP,
        ProgramSignal::Usr1 => Signal::SIGUSR1,
        ProgramSignal::Usr2 => Signal::SIGUSR2,
        ProgramSignal::Winch => Signal::SIGWINCH,
    }
}

/// Limits below those that hold; one that is lower already stays.
fn limit(app: &App) -> nix::Result<()> {
    let seconds = app.processor_time.map(|time| time.as_secs().max(1));
    if let Some(soft) = process::descriptors_at_start() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard)?;
    }
    for (resource, most) in [
        (Resource::RLIMIT_AS, app.memory),
        (Resource::RLIMIT_CPU, seconds),
        (Resource::RLIMIT_NOFILE, app.open_files),
    ] {
        let Some(most) = most else { continue };
        let (_, hard) = getrlimit(resource)?;
        let most = most.min(hard);
        setrlimit(resource, most, most)?;
    }
    Ok(())
}

/// The environment: PATH, what is passed on, what is set, and what only we can
/// know; of two with one name the later.
fn environment(assignment: &Assignment, app: &App, belongings: &Belongings) -> Vec<Vec<u8>> {
    let mut all: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    all.insert(b"PATH".to_vec(), USUAL_PATH.as_bytes().to_vec());
    for name in &app.pass {
        if let Some(value) = std::env::var_os(name) {
            all.insert(name.clone().into_bytes(), value.into_vec());
        }
    }
    for (name, value) in app.environment.iter().filter_map(|one| one.split_once('=')) {
        all.insert(name.as_bytes().to_vec(), value.as_bytes().to_vec());
    }
    let pid = getpid().to_string();
    // sd_listen_fds(3)
    let mut decided = vec![
        ("LISTEN_FDS", assignment.listeners.len().to_string()),
        ("LISTEN_PID", pid.clone()),
        ("LISTEN_FDNAMES", belongings.names.join(":")),
        ("PREFORKD_POOL", assignment.pool.name.clone()),
        ("PREFORKD_SLOT", assignment.slot.to_string()),
        ("PREFORKD_GENERATION", assignment.generation.to_string()),
    ];
    if let Some(socket) = &belongings.notify {
        let patience = assignment.pool.worker_timeout.as_micros();
        decided.push(("NOTIFY_SOCKET", socket.clone()));
        // sd_watchdog_enabled(3): who tells nothing of it is not watched.
        decided.push(("WATCHDOG_USEC", patience.to_string()));
        decided.push(("WATCHDOG_PID", pid));
    }
    for (name, value) in decided {
        all.insert(name.as_bytes().to_vec(), value.into_bytes());
    }
    let pairs = all.into_iter();
    pairs
        .map(|(name, value)| [&name[..], b"=", &value].concat())
        .collect()
}
