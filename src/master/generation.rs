//! A generation: a configuration and everything that was opened for it.
//!
//! All that can fail is done here, before anything of the generation in
//! service is touched; what is dropped again without having served leaves no
//! trace.

use crate::config::{Config, Http, Limits, Listen, Log, LogTarget, Model, Pool, Service, Symlinks};
use crate::driver::effects::{Links, Roots};
use crate::driver::journal::AccessLog;
use crate::log::{Output, Sink, Torn, Voice};
use crate::net::{BindError, Listener, ListenerSet};
use crate::protocol;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, PoisonError};

/// Services that the embedding program brings, by the name of their pool.
pub type Services = BTreeMap<String, Arc<dyn protocol::Service>>;

/// A configuration with all its listeners, roots and logs open.
pub struct Generation {
    /// Its number.
    pub number: u32,
    /// What it was made from.
    pub config: Config,
    /// Its sockets; some may be shared with the generation before.
    pub listeners: ListenerSet,
    /// What each pool's workers are given, in the order of the pools.
    pub pools: Vec<Opened>,
    /// The log that will be in force once it serves.
    pub log: Option<Output>,
}

/// What was opened for one pool.
#[derive(Clone)]
pub struct Opened {
    /// The pool.
    pub pool: Arc<Pool>,
    /// Its document roots.
    pub roots: Roots,
    /// Its access log.
    pub access_log: Arc<AccessLog>,
    /// Where its workers' messages go, where that is not the master's log.
    log: Option<Arc<Mutex<Output>>>,
    /// Its service, where the embedding program brought one.
    pub custom: Option<Arc<dyn protocol::Service>>,
}

/// What could not be opened.
#[derive(Debug)]
pub enum OpenFailure {
    /// An address.
    Bind(BindError),
    /// A directory or a log file.
    File {
        /// What it was wanted for.
        what: &'static str,
        /// Which.
        path: std::path::PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A pool whose service the embedding program should have brought.
    NoService(String),
    /// A pool, made by the embedding program, that cannot be; and why.
    Unfit(String, String),
}

impl fmt::Display for OpenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::File { what, path, error } => {
                write!(f, "open {what} {}: {error}", path.display())
            }
            Self::NoService(pool) => write!(f, "pool {pool}: no service was given for it"),
            Self::Unfit(pool, why) => write!(f, "pool {pool}: {why}"),
        }
    }
}

impl std::error::Error for OpenFailure {}

impl OpenFailure {
    /// The exit status that says this (sysexits.h): 69 for an address that is
    /// taken or a socket that was not passed, 77 where permission lacks, 71 where the system refused otherwise.
    pub fn exit_status(&self) -> u8 {
        let error = match self {
            Self::Bind(failure) if failure.is_missing() => return 69,
            Self::Bind(failure) => &failure.error,
            Self::File { error, .. } => error,
            Self::NoService(_) | Self::Unfit(..) => return 70,
        };
        match error.kind() {
            io::ErrorKind::PermissionDenied => 77,
            io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => 69,
            _ => 71,
        }
    }
}

impl Generation {
    /// Opens everything, taking over from `old` what stays.
    ///
    /// # Errors
    /// The first thing that cannot be opened.
    pub fn open(
        number: u32,
        config: Config,
        old: &ListenerSet,
        services: &Services,
    ) -> Result<Self, OpenFailure> {
        let log = open_log(&config.master.log)?;
        let pools: Result<Vec<Opened>, OpenFailure> = config
            .pools
            .iter()
            .map(|pool| Opened::open(pool, services))
            .collect();
        let pools = pools?;
        let listeners = ListenerSet::open(&config, old).map_err(OpenFailure::Bind)?;
        Ok(Self {
            number,
            config,
            listeners,
            pools,
            log: Some(log),
        })
    }

    /// One line on where it listens: `web 127.0.0.1:8080, echo 127.0.0.1:7007`.
    pub fn addresses(&self) -> String {
        let of_pool = |pool: &Pool| {
            let mut places: Vec<String> = self
                .listeners
                .of_slot(pool, 0)
                .iter()
                .map(|one| one.local().to_string())
                .collect();
            places.dedup();
            format!("{} {}", pool.name, places.join(" "))
        };
        self.config
            .pools
            .iter()
            .map(of_pool)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl Opened {
    fn open(pool: &Pool, services: &Services) -> Result<Self, OpenFailure> {
        if let Some(why) = pool.datagram_fault() {
            return Err(OpenFailure::Unfit(pool.name.clone(), why));
        }
        let (roots, sink) = match pool.service.http() {
            Some(http) => (
                open_roots(http)?,
                open_sink("access log", &http.access_log)?,
            ),
            None => (Roots::default(), Sink::Off),
        };
        let log = pool.log.as_ref().map(open_log).transpose()?;
        let custom = services.get(&pool.name).cloned();
        if pool.service == Service::Custom && custom.is_none() {
            return Err(OpenFailure::NoService(pool.name.clone()));
        }
        Ok(Self {
            pool: Arc::new(pool.clone()),
            roots,
            access_log: Arc::new(AccessLog::new(sink)),
            log: log.map(Mutex::new).map(Arc::new),
            custom,
        })
    }

    /// Its own log once more, for a worker.
    ///
    /// # Errors
    /// As dup(2).
    pub fn own_log(&self) -> io::Result<Option<Output>> {
        self.with_log(|log| log.try_clone()).transpose()
    }

    /// Writes a line of one of its programs to its own log; answers whether it has
    /// one.
    pub fn relay(&self, voice: &Voice, line: &str, torn: &mut Torn) -> bool {
        self.with_log(|log| log.relay(voice, line, torn)).is_some()
    }

    /// Whether its workers' messages go elsewhere than the master's.
    pub fn has_own_log(&self) -> bool {
        self.log.is_some()
    }

    /// Opens its own log anew, after the file was moved away.
    ///
    /// # Errors
    /// As open(2).
    pub fn reopen_log(&self) -> io::Result<()> {
        self.with_log(Output::reopen).unwrap_or(Ok(()))
    }

    /// The descriptor of its own log, where that is a file.
    pub fn log_descriptor(&self) -> Option<RawFd> {
        self.with_log(|log| log.file_descriptor()).flatten()
    }

    fn with_log<T>(&self, what: impl FnOnce(&mut Output) -> T) -> Option<T> {
        let log = self.log.as_ref()?;
        // A panic while it was opened left the old one there.
        Some(what(
            &mut log.lock().unwrap_or_else(PoisonError::into_inner),
        ))
    }

    /// Whether its workers need listeners that never block: those that wait
    /// for something else as well.
    pub fn wants_nonblocking(&self) -> bool {
        if self.pool.is_datagram() || self.is_program() {
            // Each call says for itself whether it waits, or it is up to the program.
            return false;
        }
        // Who has taken a place for a client that another one took must give it back,
        // and not keep it until the next one comes.
        let keeps_places = self.pool.limits.as_ref().is_some_and(Limits::waits);
        match self.pool.model {
            Model::Event | Model::Fork => true,
            Model::Prefork | Model::Threads => {
                let mut listen = self.pool.listen.iter();
                // Several sockets may have been passed by one name.
                keeps_places
                    || self.pool.listen.len() > 1
                    || listen.any(|one| matches!(one.listen, Listen::Fd { .. }))
            }
        }
    }

    /// Whether its workers are programs, which accept for themselves.
    pub fn is_program(&self) -> bool {
        self.pool.service.app().is_some()
    }

    /// Whether its workers run one loop for all their connections: also on the
    /// model fork, where the process for each is a program.
    pub fn is_loop(&self) -> bool {
        let custom = self.custom.as_ref();
        let hands_over = custom.is_some_and(|service| service.hands_over());
        match self.pool.model {
            Model::Event => true,
            Model::Fork => hands_over || self.pool.service.exec().is_some(),
            Model::Prefork | Model::Threads => false,
        }
    }

    /// Rows that each of its workers needs.
    pub fn rows(&self) -> usize {
        match self.pool.model {
            Model::Prefork | Model::Event => 1,
            Model::Threads => self.pool.threads_per_worker as usize,
            Model::Fork => 1 + self.pool.max_connections as usize,
        }
    }

    /// The listeners of one of its slots.
    pub fn listeners(&self, set: &ListenerSet, slot: usize) -> Vec<Arc<Listener>> {
        set.of_slot(&self.pool, slot)
    }
}

fn open_roots(http: &Http) -> Result<Roots, OpenFailure> {
    let roots = http.roots();
    let wanted = roots.iter().map(|(path, symlinks)| {
        let links = match symlinks {
            Symlinks::Beneath => Links::Beneath,
            Symlinks::Never => Links::Never,
        };
        (path.as_path(), links)
    });
    Roots::open(wanted).map_err(|(path, error)| OpenFailure::File {
        what: "root",
        path: path.to_owned(),
        error,
    })
}

fn open_log(log: &Log) -> Result<Output, OpenFailure> {
    Output::open(log).map_err(|error| not_opened("log file", &log.to, error))
}

fn open_sink(what: &'static str, target: &LogTarget) -> Result<Sink, OpenFailure> {
    Sink::open(target).map_err(|error| not_opened(what, target, error))
}

fn not_opened(what: &'static str, target: &LogTarget, error: io::Error) -> OpenFailure {
    let path = match target {
        LogTarget::File(path) => path.clone(),
        LogTarget::Off | LogTarget::Stderr | LogTarget::Syslog { .. } => std::path::PathBuf::new(),
    };
    OpenFailure::File { what, path, error }
}
