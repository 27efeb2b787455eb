//! A worker's life: from the fork to its exit, never back into the master.
//!
//! What a new worker does first stands in one list, [`enter`], because the
//! order is the point: descriptors of the master go before anything else can
//! leak them, handlers stand before signals are let in, the master's death is
//! asked for after the change of user (setuid(2) forgets it), and READY comes
//! last, when the worker can be relied upon.

mod program;
mod reporter;

use crate::config::{self, Model, Pool};
use crate::daemon;
use crate::driver::datagram::Terms;
use crate::driver::effects::Roots;
use crate::driver::files::Files;
use crate::driver::gate::{Gate, Pass};
use crate::driver::journal::AccessLog;
use crate::driver::{self, Duty, Leave, Limits, ORPHAN_SECONDS, threads};
use crate::log::Output;
use crate::net::Listener;
use crate::protocol::proxy::ProxyService;
use crate::protocol::{self, Floor, Patience, Responder, Service};
use crate::scoreboard::{Board, Row, View};
use crate::sys::signal::{Reopening, Retirement, reopen_on, retire_on, ring_on};
use crate::sys::title::Title;
use crate::sys::{process, signal};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Gid, Pid, Uid, getpid, getppid, setgroups, setresgid, setresuid};
pub use program::Belongings;
pub(crate) use program::signal_of;
use std::convert::Infallible;
use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64};
use std::time::{Duration, Instant};

/// What the master gives a worker to be born with.
pub struct Assignment {
    /// The pool as configured.
    pub pool: Arc<Pool>,
    /// The slot it occupies.
    pub slot: usize,
    /// Its idle bit on the cohort's board.
    pub seat: usize,
    /// The generation it belongs to.
    pub generation: u32,
    /// The sockets of its slot.
    pub listeners: Vec<Arc<Listener>>,
    /// For each of them the number of its `listen` entry.
    pub entries: Vec<usize>,
    /// The ports on which this program answers datagrams, in the order of their
    /// numbers.
    pub datagram_ports: Vec<u16>,
    /// What it opens files below.
    pub roots: Roots,
    /// Where access-log lines go.
    pub access_log: Arc<AccessLog>,
    /// A service that the embedding program brought along.
    pub custom: Option<Arc<dyn Service>>,
    /// The cohort's board.
    pub board: Board,
    /// Its rows.
    pub rows: Vec<Row>,
    /// What everybody can read of everybody.
    pub view: View,
    /// The end of the pipe that closes when the master dies.
    pub life: Arc<OwnedFd>,
    /// A socket that does not listen.
    pub parked: Arc<OwnedFd>,
    /// Where titles are written; `None` where none are wanted.
    pub title: Option<Title>,
    /// The master.
    pub master: Pid,
    /// How long a retirement may take.
    pub graceful_timeout: Duration,
    /// Serve one connection and leave.
    pub once: bool,
    /// Connections after which it asks for a successor; 0 is never.
    pub connections: u64,
    /// Requests after which it asks for a successor; 0 is never.
    pub requests: u64,
    /// What it counts its clients by, where its pool has limits or rules.
    pub pass: Option<Pass>,
    /// Where the master sends new log files.
    pub channel: OwnedFd,
    /// The signal mask to run with.
    pub mask: SigSet,
    /// Where its messages go, where that is not the log in force: the pool's
    /// own, or that of a generation that has not proved itself.
    pub log: Option<Output>,
    /// Whether to take leave of the terminal that the master was started from.
    pub detached: bool,
    /// What it gets where the worker is a program.
    pub belongings: Option<Belongings>,
}

/// What a new worker could not do; its exit status tells the master.
struct Stillborn {
    step: &'static str,
    error: io::Error,
}

impl fmt::Display for Stillborn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.error)
    }
}

/// What the worker serves by.
enum Way {
    /// Connections, on a model.
    Connections {
        model: Model,
        shared_with_others: bool,
    },
    /// Datagrams.
    Datagrams {
        responder: Box<dyn Responder>,
        terms: Terms,
    },
}

/// Exit status of a worker whose start failed (EX_OSERR of sysexits.h); the
/// text of its first row says why.
pub const START_FAILED: i32 = 71;
/// Exit status of a worker that found itself unfit to serve on.
const SICK: i32 = 1;

/// Runs the worker; the last thing it does is _exit(2).
pub fn enter(assignment: Assignment) -> Infallible {
    crate::log::set_worker(&assignment.pool.name, assignment.slot);
    let row = assignment.rows.first().copied();
    if let Some(app) = assignment.pool.service.app() {
        let failure = program::become_it(&assignment, app);
        // Where the log was, something of the program's may be by now.
        if let Some(row) = row {
            row.set_text(failure.to_string().as_bytes());
        }
        process::exit(START_FAILED)
    }
    let duty = match prepare(assignment) {
        Ok(duty) => duty,
        Err(failure) => {
            // The master tells it: it knows whether that is news.
            log::debug!("cannot start: {failure}");
            if let Some(row) = row {
                row.set_text(failure.to_string().as_bytes());
            }
            process::exit(START_FAILED)
        }
    };
    let (duty, way) = duty;
    let leave = run(&duty, way);
    duty.complaints.finish();
    duty.access_log.settle();
    let status = match leave {
        Leave::Retired | Leave::Worn => 0,
        Leave::Sick(error) => {
            log::error!("leaving: {error}");
            SICK
        }
    };
    crate::log::finish();
    process::exit(status)
}

/// The list: every step in its order, up to READY.
fn prepare(assignment: Assignment) -> Result<(Duty, Way), Stillborn> {
    let Assignment {
        pool,
        slot,
        generation,
        listeners,
        master,
        ..
    } = assignment;
    let step = |step| move |error: io::Error| Stillborn { step, error };
    let errno = |name| move |errno: nix::errno::Errno| step(name)(errno.into());

    // 1. Whatever the master holds is none of our business.
    let mut keep = kept(&assignment.roots, &assignment.access_log, &assignment.board);
    let log = assignment.log.as_ref();
    keep.extend(log.and_then(Output::descriptor));
    keep.extend(
        listeners
            .iter()
            .map(|listener| listener.as_fd().as_raw_fd()),
    );
    keep.extend([
        assignment.life.as_raw_fd(),
        assignment.parked.as_raw_fd(),
        assignment.channel.as_raw_fd(),
    ]);
    process::close_all_but(&mut keep);

    // 2. Who we are, for ps(1).
    let name = format!("preforkd:{}", pool.name);
    let _ = nix::sys::prctl::set_name(&std::ffi::CString::new(name).unwrap_or_default());
    let title_prefix = format!("preforkd: {}[{slot}] gen {generation}", pool.name);
    if let Some(title) = assignment.title {
        title.set(format!("{title_prefix} starting").as_bytes());
    }

    // 3. The queues under numbers that the signal handler leaves alone.
    let queues: io::Result<Vec<OwnedFd>> = listeners
        .iter()
        .map(|listener| listener.as_fd().try_clone_to_owned())
        .collect();
    let queues = queues.map_err(step("dup"))?;
    let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
        .map_err(errno("eventfd"))?;

    // 4. Handlers, before any signal is let in.
    let retired = Arc::new(AtomicBool::new(false));
    let parent = Arc::new(AtomicI32::new(master.as_raw()));
    let patience = u32::try_from(assignment.graceful_timeout.as_secs()).unwrap_or(u32::MAX);
    let retirement = Retirement {
        asked: Arc::clone(&retired),
        listeners: listeners
            .iter()
            .map(|listener| listener.as_fd().as_raw_fd())
            .collect(),
        parked: assignment.parked.as_fd(),
        wake: wake.as_fd(),
        // The master cuts first; this is for the case that it cannot.
        patience: patience.saturating_add(2),
        orphan_patience: ORPHAN_SECONDS,
        parent: Arc::clone(&parent),
        master: master.as_raw(),
    };
    for signal in [Signal::SIGTERM, Signal::SIGQUIT] {
        retire_on(signal as i32, &retirement).map_err(step("sigaction"))?;
    }
    // What a terminal, or a hand that slipped, sends to the whole group is
    // the master's to judge: here these do nothing.
    let deaf = [
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGWINCH,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
    ];
    for signal in deaf.into_iter().chain([Signal::SIGUSR2, threads::KICK]) {
        signal::ignore(signal as i32).map_err(step("sigaction"))?;
    }

    // 5. The user, then what a change of user would undo.
    if let Some(identity) = &pool.identity {
        become_user(identity).map_err(step("change of user"))?;
    }
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM).map_err(errno("PR_SET_PDEATHSIG"))?;
    if getppid() != master {
        return Err(step("start")(io::Error::other(
            "the master died while this worker was born",
        )));
    }

    // 6. The service, and all that serving needs.
    let service = service(&pool, assignment.custom);
    // Whose connections a program gets has no children but these.
    let forks = pool.model == Model::Fork && !service.hands_over();
    if forks {
        ring_on(Signal::SIGCHLD as i32, wake.as_fd()).map_err(step("sigaction"))?;
    }
    let most = most_descriptors();
    let descriptors = spare_descriptors(most, !assignment.roots.is_empty());
    // A process for one connection has hardly a use for it.
    let http = pool.service.http().filter(|_| pool.model != Model::Fork);
    let kept = http.map_or(0, |http| http.file_cache);
    let fitting = usize::try_from(most / 16).unwrap_or(usize::MAX);
    let files = Files::new(assignment.roots, kept.min(fitting));
    let limits = Limits {
        descriptors,
        worker_timeout: pool.worker_timeout,
        uptake: Floor {
            span: pool.write_timeout,
            rate: pool.send_min_rate,
        },
        linger_timeout: pool.linger_timeout,
        stragglers: stragglers(pool.longest_deferral()),
        max_connections: pool.max_connections,
        graceful: assignment.graceful_timeout,
        connections: assignment.connections,
        requests: assignment.requests,
        once: assignment.once,
    };
    // In the model fork the worker says itself when its children are done.
    let reopened: &'static AtomicU64 = match assignment.rows.first() {
        Some(row) if !forks => row.reopened(),
        Some(_) | None => Box::leak(Box::new(AtomicU64::new(0))),
    };
    // A pool that began with one worker may have been given more.
    let others = pool.size.max() > 1 || slot > 0;
    let shared_with_others = pool.accept == config::Accept::Shared && others;
    let is_http = pool.service.http().is_some();
    let rules = (&pool.access, pool.denied);
    let gate = Gate::new(rules, pool.limits.as_ref(), is_http, assignment.pass);
    let duty = Duty {
        reporter: Arc::new(reporter::Reporter::new(assignment.view, &pool.name)),
        fronts: fronts(&pool, &assignment.entries, &service),
        service,
        listeners,
        queues,
        files,
        programs: driver::program::Programs::default(),
        gate,
        limits,
        board: assignment.board,
        seat: assignment.seat,
        rows: assignment.rows,
        parked: assignment.parked,
        retired,
        wake,
        life: assignment.life,
        access_log: assignment.access_log,
        complaints: driver::Complaints::default(),
        title: assignment.title,
        title_prefix,
        parent,
        reopened,
    };

    // 7. So far whoever started the master read along, to hear of a failure.
    // From here on nothing of theirs may be held open, and lines go where the
    // pool or the generation wants them: these are the places for new log files.
    if assignment.detached {
        daemon::forget_terminal().map_err(step("/dev/null"))?;
    }
    if let Some(log) = assignment.log {
        crate::log::install(log);
    }
    let bell = duty.board.bell();
    let reopening = Reopening {
        channel: assignment.channel.as_fd(),
        places: [
            crate::log::file_descriptor(),
            duty.access_log.file_descriptor(),
        ],
        done: duty.reopened,
        // The children of the model fork have to be waited for first.
        bell: if forks { duty.wake.as_fd() } else { bell },
    };
    reopen_on(Signal::SIGUSR1 as i32, &reopening).map_err(step("sigaction"))?;
    // The handler has its number, for as long as the process lives.
    std::mem::forget(assignment.channel);

    // 8. Signals may come; what waited comes now.
    assignment
        .mask
        .thread_set_mask()
        .map_err(errno("sigprocmask"))?;

    // 9. READY.
    if let Some(row) = duty.rows.first() {
        row.occupy(getpid().as_raw().unsigned_abs());
        row.tick(Instant::now());
        row.set_ready();
    }
    duty.board.ring();
    let way = match responder(&pool) {
        Some(responder) => Way::Datagrams {
            responder,
            terms: Terms {
                rate: pool.datagrams.rate,
                burst: pool.datagrams.burst,
                reflectors: assignment.datagram_ports,
            },
        },
        None => Way::Connections {
            model: pool.model,
            shared_with_others,
        },
    };
    Ok((duty, way))
}

fn run(duty: &Duty, way: Way) -> Leave {
    match way {
        Way::Connections {
            model,
            shared_with_others,
        } => match model {
            Model::Prefork => driver::blocking::prefork(duty),
            Model::Event => driver::event::run(duty, shared_with_others),
            Model::Threads => driver::threads::run(duty),
            // The process for each connection is the program: none of ours in between.
            Model::Fork if duty.service.hands_over() => {
                driver::event::run(duty, shared_with_others)
            }
            Model::Fork => driver::fork::run(duty),
        },
        Way::Datagrams {
            mut responder,
            terms,
        } => driver::datagram::run(duty, responder.as_mut(), &terms),
    }
}

/// The descriptors that stay besides listeners: log, roots, bell.
fn kept(roots: &Roots, access_log: &AccessLog, board: &Board) -> Vec<RawFd> {
    let directories = roots.descriptors().map(|root| root.as_raw_fd());
    let logs = [crate::log::descriptor(), access_log.descriptor()];
    directories
        .chain(logs.into_iter().flatten())
        .chain([board.bell().as_raw_fd()])
        .collect()
}

/// Groups first, then the user, for after that nothing can be changed any more.
fn become_user(identity: &config::Identity) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    if nix::unistd::geteuid() == uid && !uid.is_root() {
        return Ok(());
    }
    let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups)?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    Ok(())
}

/// How long a handshake may take that was under way: a round trip, generously.
/// Who was left to the kernel is there when its handshake is repeated, after a
/// second the first time.
pub(crate) fn stragglers(deferred: Duration) -> Duration {
    const ROUND_TRIP: Duration = Duration::from_millis(100);
    const REPETITION: Duration = Duration::from_secs(1);
    if deferred.is_zero() {
        ROUND_TRIP
    } else {
        ROUND_TRIP + REPETITION
    }
}

/// How many descriptors the process may have.
fn most_descriptors() -> u64 {
    use nix::sys::resource::{Resource, getrlimit};
    // It cannot fail for a resource that exists; no limit is a high one.
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft)
}

/// Up to which number connections may take descriptors: with files to send,
/// half of what there is, for each client may ask for one; else all but a few.
fn spare_descriptors(most: u64, files: bool) -> i32 {
    let spare = if files {
        most / 2
    } else {
        most.saturating_sub(8)
    };
    i32::try_from(spare).unwrap_or(i32::MAX)
}

/// The service as each listener has it, where one expects a PROXY header.
fn fronts(pool: &Pool, entries: &[usize], service: &Arc<dyn Service>) -> Vec<Arc<dyn Service>> {
    if pool.listen.iter().all(|entry| entry.proxy.is_none()) {
        return Vec::new();
    }
    let front = |entry: &usize| -> Arc<dyn Service> {
        let service = Arc::clone(service);
        match pool.listen.get(*entry).and_then(|one| one.proxy.clone()) {
            Some(proxy) => Arc::new(ProxyService::new(service, proxy.from, proxy.timeout)),
            None => service,
        }
    };
    entries.iter().map(front).collect()
}

/// What answers datagrams, in a pool that listens for these.
fn responder(pool: &Pool) -> Option<Box<dyn Responder>> {
    if !pool.is_datagram() {
        return None;
    }
    Some(match &pool.service {
        config::Service::Echo => Box::new(protocol::echo::EchoDatagrams),
        config::Service::Daytime => Box::new(protocol::daytime::DaytimeDatagrams::default()),
        config::Service::Time => Box::new(protocol::time::TimeDatagrams::default()),
        config::Service::Chargen => {
            let amplify = pool.datagrams.amplify;
            Box::new(protocol::chargen::ChargenDatagrams::new(amplify))
        }
        config::Service::Message(text) => {
            Box::new(protocol::message::MessageService::new(text.clone()))
        }
        // The others never come here: no generation has them with datagrams.
        config::Service::Discard
        | config::Service::Http(_)
        | config::Service::App(_)
        | config::Service::Exec(_)
        | config::Service::Custom => Box::new(protocol::discard::DiscardDatagrams),
    })
}

/// The service that the configuration names.
fn service(pool: &Pool, custom: Option<Arc<dyn Service>>) -> Arc<dyn Service> {
    let patience = Patience {
        idle: pool.idle_timeout,
    };
    match &pool.service {
        config::Service::Echo => Arc::new(protocol::echo::EchoService::new(patience)),
        config::Service::Discard => Arc::new(protocol::discard::DiscardService::new(patience)),
        config::Service::Daytime => Arc::new(protocol::daytime::DaytimeService),
        config::Service::Time => Arc::new(protocol::time::TimeService),
        config::Service::Chargen => Arc::new(protocol::chargen::ChargenService),
        config::Service::Message(text) => {
            Arc::new(protocol::message::MessageService::new(text.clone()))
        }
        config::Service::Http(settings) => {
            let variable = |name: &str| std::env::var_os(name);
            let settings = settings.clone();
            Arc::new(protocol::http::HttpService::with_variables(
                settings, variable,
            ))
        }
        // Such a worker is a program, and never comes here.
        config::Service::App(_) => Arc::new(protocol::discard::DiscardService::new(patience)),
        config::Service::Exec(settings) => Arc::new(exec(settings, pool.idle_timeout)),
        config::Service::Custom => custom.unwrap_or_else(|| {
            // The library refuses a custom pool without a service before it starts.
            Arc::new(protocol::discard::DiscardService::new(patience))
        }),
    }
}

/// The service exec. A path or a text with NUL came through no configuration.
fn exec(settings: &config::Exec, idle: Duration) -> protocol::exec::ExecService {
    let text = |octets: &[u8]| CString::new(octets).unwrap_or_default();
    let path = |path: &Path| text(path.as_os_str().as_bytes());
    let command = protocol::exec::Command {
        program: path(&settings.program),
        directory: path(&settings.directory),
        arguments: settings
            .command
            .iter()
            .map(|one| text(one.as_bytes()))
            .collect(),
        errors: match settings.stderr {
            config::StandardError::Log => protocol::Errors::Log,
            config::StandardError::Socket => protocol::Errors::Socket,
        },
        limits: protocol::SessionLimits {
            memory: settings.memory,
            processor_time: settings.processor_time,
            open_files: settings.open_files,
            processes: settings.processes,
            file_size: settings.file_size,
            core: settings.core,
            nice: settings.nice,
            umask: settings.umask,
            timeout: (!settings.timeout.is_zero()).then_some(settings.timeout),
            idle,
            grace: settings.grace,
        },
    };
    let passed = settings.pass.iter().map(String::as_str);
    let passed = passed.filter_map(|name| Some((name, std::env::var_os(name)?)));
    let usual = [("PATH", config::USUAL_PATH.into())];
    let passed = passed.chain(usual);
    protocol::exec::ExecService::new(command, &settings.environment, passed)
}
