//! How a process becomes the master: everything is opened in the order in which
//! a second instance would be noticed first, and what fails has its exit status.

use super::control::{self, Control};
use super::crew::Crew;
use super::generation::{Generation, Services};
use super::orders::settings;
use super::pidfile::{PidFile, PidFileError};
use super::publishing::Publishing;
use super::scale::Scaling;
use super::signals::Signals;
use super::standing::{self, Standing};
use super::succession::Succession;
use super::supervisor::Supervisor;
use super::upgrade::Predecessor;
use super::waiting::Waiting;
use super::{Master, Source};
use crate::config::Config;
use crate::net::{Activation, ListenerSet};
use crate::status::Readiness;
use crate::sys::process;
use crate::sys::title::Title;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Instant;

/// How a master that could not start failed.
#[derive(Debug)]
pub struct StartFailure {
    /// What the operator should read.
    pub message: String,
    /// The exit status that says it (sysexits.h).
    pub status: u8,
}

impl std::fmt::Display for StartFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StartFailure {}

impl StartFailure {
    fn new(status: u8, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            status,
        }
    }

    fn system(what: &str) -> impl Fn(io::Error) -> Self {
        move |error| Self::new(71, format!("{what}: {error}"))
    }
}

impl Master {
    /// Opens all that `config` asks for: pid file, listeners, logs, roots and
    /// the control socket, in the order in which a second instance would be
    /// noticed first. Afterwards the process is the master.
    ///
    /// # Errors
    /// The first thing that fails, with the exit status for it.
    pub fn start(config: Config, source: Source, services: Services) -> Result<Self, StartFailure> {
        Self::start_with(config, source, services, Activation::take())
    }

    /// As [`Master::start`], with what the service manager passed to this process
    /// or, before it went to the background, to the one that it was.
    ///
    /// # Errors
    /// As there.
    pub fn start_with(
        config: Config,
        source: Source,
        services: Services,
        activation: Activation,
    ) -> Result<Self, StartFailure> {
        let settings = settings(&config);
        let mut predecessor = Predecessor::find().map_err(StartFailure::system("upgrade"))?;
        let pid_file = match &config.master.pid_file {
            Some(path) => {
                let inherited = predecessor.as_mut().and_then(|one| one.pid_file(path));
                Some(inherited.map_or_else(|| lock_pid_file(path), Ok)?)
            }
            None => None,
        };
        // A descriptor a connection: what the hard limit grants, is used.
        let before = predecessor.as_ref().and_then(Predecessor::descriptors);
        if let Err(errno) = process::raise_descriptors(before) {
            log::warn!("RLIMIT_NOFILE: {errno}");
        }
        // Handlers before the first fork: a worker's death must not be missed.
        let signals = Signals::new().map_err(StartFailure::system("signal handlers"))?;
        // The children of a dead worker become ours, to be reaped.
        if let Err(errno) = nix::sys::prctl::set_child_subreaper(true) {
            log::warn!("PR_SET_CHILD_SUBREAPER: {errno}");
        }
        let before = predecessor.as_ref().and_then(Predecessor::table);
        let mut crew = Crew::new(before).map_err(StartFailure::system("scoreboard"))?;
        crew.recall(predecessor.as_ref().map_or(&[], Predecessor::deaths));
        let nothing = ListenerSet::activated(activation);
        let old = predecessor
            .as_ref()
            .map_or(&nothing, Predecessor::listeners);
        let number = predecessor.as_ref().map_or(0, Predecessor::generation) + 1;
        let mut first = Generation::open(number, config, old, &services)
            .map_err(|failure| StartFailure::new(failure.exit_status(), failure.to_string()))?;
        // What comes from another master may have been kept for a later reload.
        if predecessor.is_none() {
            for line in first.listeners.close_unused() {
                log::warn!("{line}");
            }
        }
        let control = match &first.config.master.control_socket {
            Some(path) => {
                let group = first.config.master.control_group;
                let inherited = predecessor.as_mut();
                let inherited = inherited.and_then(|one| one.control(path, group));
                Some(inherited.map_or_else(|| listen_for_control(path, group), Ok)?)
            }
            None => None,
        };
        let title = Title::new()
            .inspect_err(|error| log::info!("no process titles: {error}"))
            .ok();
        if let Some(title) = title {
            title.set(standing::TITLE.as_bytes());
        }
        let title = title.filter(|_| first.config.master.process_titles);
        crew.set_title(title);
        let seed = u64::from(std::process::id()) << 32 ^ Instant::now().elapsed().as_nanos() as u64;
        let mut master = Self {
            source,
            services,
            signals: Some(signals),
            supervisor: Supervisor::new(settings, seed),
            crew,
            control,
            pid_file,
            generations: BTreeMap::new(),
            current: 0,
            newest: number,
            next_cohort: 1,
            stopping: false,
            succession: Succession::new(predecessor),
            on_serving: None,
            count_due: Instant::now(),
            count_wanted: false,
            waiting: Waiting::default(),
            held: Vec::new(),
            scaling: Scaling::default(),
            looked: Instant::now(),
            lead_due: false,
            forget_due: false,
            last_death: None,
            standing: Standing::new(title),
            publishing: Publishing::new(before.map(|table| table.master())),
            ending: None,
        };
        if master.succession.predecessor.is_some() {
            // The service is: it goes on. How it is tells the old master.
            let table = master.crew.scoreboard().table();
            table.proclaim(Readiness::Ready);
            table.set_elsewhere(true);
            master.standing.notifier.wait();
        }
        if let Some(pid_file) = &mut master.pid_file
            && master.succession.predecessor.is_none()
        {
            pid_file.write().map_err(StartFailure::system("pid file"))?;
        }
        let event = master
            .admit(first)
            .map_err(StartFailure::system("scoreboard"))?;
        master.supervisor.handle(Instant::now(), event);
        Ok(master)
    }
}

fn lock_pid_file(path: &Path) -> Result<PidFile, StartFailure> {
    PidFile::lock(path).map_err(|error| match error {
        PidFileError::Running(Some(pid)) => StartFailure::new(
            69,
            format!("pid file {}: already running as pid {pid}", path.display()),
        ),
        PidFileError::Running(None) => StartFailure::new(
            69,
            format!("pid file {}: held by a running master", path.display()),
        ),
        PidFileError::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            StartFailure::new(
                77,
                format!("pid file {}: permission denied", path.display()),
            )
        }
        PidFileError::Io(error) => {
            StartFailure::new(71, format!("pid file {}: {error}", path.display()))
        }
    })
}

fn listen_for_control(path: &Path, group: Option<u32>) -> Result<Control, StartFailure> {
    Control::listen(path, group).map_err(|error| {
        StartFailure::new(
            control::exit_status(&error),
            format!("control socket {}: {error}", path.display()),
        )
    })
}
