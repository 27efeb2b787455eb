//! The machine that is measured on: its cores, the processes that are started
//! on them, and what these cost.
//!
//! Owes: whatever is started here is ended by its id, with all that it forked,
//! when its [`Server`] is dropped, and when the bench is told to end (INT, TERM,
//! HUP). Must never signal a process that it did not start, or a descendant of
//! one, which is why it looks at start times and not at numbers alone. So no
//! other module may start one by itself: [`Machine::start`] and [`run`] do.

mod proc;

use crate::Failure;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use proc::{Process, identify, is_same, processes, processor_time, proportional_memory, tree};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What must happen on a machine that is busy, happens within this.
const SOON: Duration = Duration::from_secs(20);

/// How long a server may take to end by itself.
const GRACE: Duration = Duration::from_secs(3);

/// A core for what is measured, as taskset(1) names them.
pub(crate) const SERVER_CORE: &str = "0";

/// The core for what asks it.
pub(crate) const LOAD_CORE: &str = "1";

/// Descriptors for [`MOST_CONNECTIONS`], a file for each, and what else there
/// is: who sends files takes at most half of them for connections.
const DESCRIPTORS: u64 = 32_768;

/// More than any part asks a server to hold.
pub(crate) const MOST_CONNECTIONS: u32 = 12_000;

/// What a signal must end: held while a process starts, so that none is missed.
static STARTED: Mutex<Started> = Mutex::new(Started {
    processes: Vec::new(),
    place: None,
    ending: false,
});

struct Started {
    processes: Vec<Process>,
    place: Option<PathBuf>,
    /// A signal has come: nothing more may start.
    ending: bool,
}

fn started() -> MutexGuard<'static, Started> {
    // A panic while it was held leaves a list that is still right.
    STARTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As [`started`], but where a signal ends the bench the thread stays here: it
/// would start more, or complain of what was ended.
fn going_on() -> MutexGuard<'static, Started> {
    loop {
        let started = started();
        if !started.ending {
            return started;
        }
        drop(started);
        std::thread::park();
    }
}

/// This machine, for the time of a run.
pub(crate) struct Machine {
    place: tempfile::TempDir,
    notes: Vec<String>,
    connections: u32,
    cores: usize,
}

impl Machine {
    /// Moves the bench itself to [`LOAD_CORE`], raises its limit of
    /// descriptors, and makes a directory for what the servers need. Processes
    /// that lose their parent below us become our children, so that none gets
    /// lost. One at a time in a process.
    ///
    /// # Errors
    /// There is a single core, no taskset(1), or no place for files.
    pub(crate) fn new() -> Result<Self, Failure> {
        // Asked before we leave all but one of them.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let own = std::process::id().to_string();
        let pinned = Command::new("taskset")
            .args(["-cp", LOAD_CORE, &own])
            .stdout(Stdio::null())
            .status();
        match pinned {
            Ok(status) if status.success() => {}
            Ok(_) => return Err("taskset: two cores are needed, 0 and 1".into()),
            Err(error) => return Err(format!("taskset: {error}: util-linux has it").into()),
        }
        nix::sys::prctl::set_child_subreaper(true)?;
        let place = tempfile::Builder::new()
            .prefix("preforkd-bench-")
            .tempdir()?;
        // Servers that leave root behind read what is below it.
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755))?;
        started().place = Some(place.path().to_owned());
        end_on_signals()?;
        let descriptors = raise_descriptors();
        let connections = u32::try_from((descriptors / 2).saturating_sub(100));
        let connections = connections.unwrap_or(u32::MAX).min(MOST_CONNECTIONS);
        let mut notes = vec![
            if Path::new("/proc/self/schedstat").exists() {
                "Processor time is read in nanoseconds, that of processes that ended in ticks of 10 ms."
            } else {
                "Processor time is read in ticks of 10 ms, two for each process: take long rounds."
            }
            .to_owned(),
        ];
        if descriptors < DESCRIPTORS {
            notes.push(format!(
                "The limit of open files is {descriptors} and may not be raised to {DESCRIPTORS}: \
                 no server is asked to hold more than {connections} connections."
            ));
        }
        Ok(Self {
            place,
            notes,
            connections,
            cores,
        })
    }

    /// What a reader of the figures should know of the machine.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// A directory that everybody can read, gone at the end.
    pub(crate) fn place(&self) -> &Path {
        self.place.path()
    }

    /// How many connections a server may be asked to hold, for the limit of
    /// open files; at most [`MOST_CONNECTIONS`].
    pub(crate) fn connections(&self) -> u32 {
        self.connections
    }

    /// How many cores there are.
    pub(crate) fn cores(&self) -> usize {
        self.cores
    }

    /// Writes a file below [`Machine::place`] that everybody can read.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf, Failure> {
        let path = self.place().join(name);
        fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// Compiles `benches/compare/NAME.c` with cc(1), once in a run.
    ///
    /// # Errors
    /// There is no compiler, or it refuses.
    pub(crate) fn compile(&self, name: &str) -> Result<PathBuf, Failure> {
        let program = self.place().join(name);
        if !program.exists() {
            let source = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("benches/compare")
                .join(format!("{name}.c"));
            let mut command = Command::new("cc");
            command.args(["-O2", "-Wall", "-Wextra", "-o"]);
            run(command.arg(&program).arg(&source), Duration::from_secs(60))?;
        }
        Ok(program)
    }

    /// Starts a server on `cores` and waits until it accepts at `address` and
    /// has come to rest. `name` is for messages and for its output. Of `command`
    /// program and arguments count: the environment is ours.
    ///
    /// # Errors
    /// It cannot be started, ends, or does not accept; what it said is told.
    pub(crate) fn start(
        &self,
        name: &str,
        command: &Command,
        address: SocketAddr,
        cores: &str,
    ) -> Result<Server, Failure> {
        let accepts = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok();
        self.start_until(name, command, cores, &accepts)
    }

    /// As [`Machine::start`], until `serves` says yes.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn start_until(
        &self,
        name: &str,
        command: &Command,
        cores: &str,
        serves: &dyn Fn() -> bool,
    ) -> Result<Server, Failure> {
        let output = self.place().join(format!("{name}.output"));
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", cores]).arg(command.get_program());
        pinned.args(command.get_args());
        pinned
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(File::options().append(true).open(&output)?)
            // A Ctrl-C is for us: we end the others.
            .process_group(0);
        let mut server = spawn(&mut pinned)?;
        let deadline = Instant::now() + SOON;
        while !serves() {
            let ended = server.child.try_wait()?.is_some();
            if ended || Instant::now() > deadline {
                let said = fs::read_to_string(&output).unwrap_or_default();
                return Err(format!("{name} does not serve: {}", said.trim()).into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        server.settle();
        Ok(server)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(going_on());
    }
}

/// A running server, with all that it forked. Ended when it is dropped.
pub(crate) struct Server {
    child: Child,
    process: Process,
}

impl Server {
    /// The first process; taskset(1) has become it.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails where it has ended: then what was measured is not worth anything.
    ///
    /// # Errors
    /// It has ended by itself.
    pub(crate) fn still_serves(&mut self) -> Result<(), Failure> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                let pid = self.pid();
                Err(format!("process {pid} ended while it was measured: {status}").into())
            }
        }
    }

    /// It and its descendants.
    pub(crate) fn tree(&self) -> Vec<u32> {
        tree(self.process).into_iter().map(|(pid, _)| pid).collect()
    }

    /// Processor time, user and system, that its processes used so far, those
    /// included that it has reaped. See `processor_time` for the resolution.
    pub(crate) fn cpu(&self) -> Duration {
        self.tree().into_iter().map(processor_time).sum()
    }

    /// Octets of its proportional memory (PSS): pages that n processes share
    /// count for an nth in each.
    pub(crate) fn pss(&self) -> u64 {
        self.tree().into_iter().map(proportional_memory).sum()
    }

    /// [`Server::pss`] without its first process.
    pub(crate) fn pss_of_workers(&self) -> u64 {
        let workers = self.tree().into_iter().skip(1);
        workers.map(proportional_memory).sum()
    }

    /// Waits until it uses no processor time and forks nothing, at most a few
    /// seconds: the start of it is not what is measured.
    pub(crate) fn settle(&self) {
        let deadline = Instant::now() + GRACE;
        let mut before = (self.cpu(), self.tree().len());
        let mut quiet = 0;
        while quiet < 3 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
            let now = (self.cpu(), self.tree().len());
            let used = now.0.saturating_sub(before.0);
            let rests = used < Duration::from_millis(1) && now.1 == before.1;
            quiet = if rests { quiet + 1 } else { 0 };
            before = now;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(self.process);
        // Reaped already, or reaped now: either way the number is free.
        let _ = self.child.try_wait();
        drop(going_on());
    }
}

/// A port that was free a moment ago, on the loopback.
///
/// # Errors
/// There is none.
pub(crate) fn free_address() -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}

/// Where a program is: in `PATH`, or where servers are and no user looks.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.extend(["/usr/sbin", "/usr/local/sbin", "/usr/local/bin"].map(PathBuf::from));
    let files = places.into_iter().map(|place| place.join(program));
    files.into_iter().find(|file| file.is_file())
}

/// Runs a command to its end, on the cores of the bench, and gives back what it
/// wrote to its standard output, at most what a pipe holds. Ends it after
/// `limit`.
///
/// # Errors
/// It cannot be run, takes longer, or fails; what it said is told.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<String, Failure> {
    let name = command.get_program().display().to_string();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut running = spawn(command)?;
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = running.child.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            return Err(format!("{name}: not done within {limit:?}").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut output = String::new();
    if let Some(mut pipe) = running.child.stdout.take() {
        pipe.read_to_string(&mut output)?;
    }
    if status.success() {
        return Ok(output);
    }
    if let Some(mut pipe) = running.child.stderr.take() {
        pipe.read_to_string(&mut output)?;
    }
    Err(format!("{name}: {status}: {}", output.trim()).into())
}

/// What was measured, and on what.
pub(crate) fn description(program: &Path) -> String {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(installed(program)?).args(arguments).output();
        let output = output.ok()?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        // nginx and wrk say it on the other one.
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Some(text.lines().next()?.trim().to_owned())
    };
    let root = env!("CARGO_MANIFEST_DIR");
    // A complaint has more words than a commit.
    let commit = said("git", &["-C", root, "describe", "--always", "--dirty"])
        .filter(|commit| !commit.contains(' '));
    let own = program.display().to_string();
    let version = said(&own, &["--version"]).unwrap_or(own);
    let kernel = said("uname", &["-sr"]).unwrap_or_default();
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models = processors
        .lines()
        .filter_map(|line| line.strip_prefix("model name"));
    let models: Vec<&str> = models
        .map(|rest| rest.trim_start_matches(['\t', ' ', ':']))
        .collect();
    let mut text = format!(
        "{version}, commit {}; {kernel}; {} × {}",
        commit.as_deref().unwrap_or("unknown"),
        models.len(),
        models.first().unwrap_or(&"processor"),
    );
    for (peer, flag) in [
        ("nginx", "-v"),
        ("apache2", "-v"),
        ("lighttpd", "-v"),
        ("h2o", "--version"),
        ("wrk", "-v"),
    ] {
        text.push_str("; ");
        text.push_str(&said(peer, &[flag]).unwrap_or_else(|| format!("no {peer}")));
    }
    text
}

/// Starts a process of which a signal to us knows.
fn spawn(command: &mut Command) -> Result<Server, Failure> {
    let name = command.get_program().display().to_string();
    let mut started = going_on();
    let child = command.spawn();
    let child = child.map_err(|error| format!("{name}: {error}"))?;
    // It is there until we take leave of it, dead or alive.
    let process = identify(child.id());
    started.processes.push(process);
    Ok(Server { child, process })
}

/// Ends a process that we started and all that descends from it: asks the first
/// (TERM), which has [`GRACE`] to see to the others, then forces (KILL) what is
/// left.
fn end(process: Process) {
    let mut family = tree(process);
    if !family.is_empty() {
        signal(process, Signal::SIGTERM);
    }
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline && family.iter().any(is_same) {
        reap(&family);
        std::thread::sleep(Duration::from_millis(5));
    }
    // Those whose parents are gone are ours by now. Each look may find children
    // of those that were found before.
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline {
        family.extend(adopted(process));
        family = family.into_iter().flat_map(tree).collect();
        if family.is_empty() {
            break;
        }
        for &member in &family {
            signal(member, Signal::SIGKILL);
        }
        reap(&family);
        std::thread::sleep(Duration::from_millis(5));
    }
    started().processes.retain(|&other| other != process);
}

/// Our children that we did not start: descendants of those that we did, left
/// to us when these ended (PR_SET_CHILD_SUBREAPER of prctl(2)). None as long as
/// something besides `last` runs: they may be what it needs.
fn adopted(last: Process) -> Vec<Process> {
    let own = u64::from(std::process::id());
    let started = started();
    if started.processes.iter().any(|&other| other != last) {
        return Vec::new();
    }
    let children = processes().into_iter();
    let children = children.filter(|&(_, parent, _)| parent == own);
    let children = children.map(|(pid, _, start)| (pid, start));
    children.filter(|&child| child != last).collect()
}

/// Takes leave of those that have ended: children of ours, born or adopted.
fn reap(family: &[Process]) {
    for &(pid, _) in family {
        if let Ok(pid) = i32::try_from(pid) {
            // Not ours, or not dead: then there is nothing to take.
            let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
        }
    }
}

fn signal(process: Process, signal: Signal) {
    if let (true, Ok(pid)) = (is_same(&process), i32::try_from(process.0)) {
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// A thread that waits for the signals that end the bench.
fn end_on_signals() -> Result<(), Failure> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::spawn(move || {
        let Some(number) = signals.forever().next() else {
            return;
        };
        let (processes, place) = {
            let mut started = started();
            started.ending = true;
            (started.processes.clone(), started.place.clone())
        };
        for process in processes {
            end(process);
        }
        if let Some(place) = place {
            // It lies where temporary things lie, should this fail.
            let _ = fs::remove_dir_all(place);
        }
        std::process::exit(128 + number);
    });
    Ok(())
}

/// The soft limit of open files, as far as it can be raised.
fn raise_descriptors() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return 0;
    };
    for (soft, hard) in [(DESCRIPTORS, hard.max(DESCRIPTORS)), (hard, hard)] {
        if setrlimit(Resource::RLIMIT_NOFILE, soft, hard).is_ok() {
            return soft;
        }
    }
    soft
}
