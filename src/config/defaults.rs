//! Values that nobody wrote: for the keys a file leaves out, and for a pool that
//! has no file.
//!
//! The fixed ones stand in the tables of `file`; here are those that depend on
//! other keys, and the way from a table to its part of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use super::file::app::AppTable;
use super::file::exec::ExecTable;
use super::file::http::HttpTable;
use super::file::limits::LimitsTable;
use super::file::logs::LogTable;
use super::file::site::{CgiTable, StatusTable};
use super::file::{MOST_WORKERS, MasterTable, PoolTable, UdpTable, Workers};
use super::system::System;
use super::{
    Accept, Access, App, Cgi, Datagrams, Exec, Http, Limits, Log, LogTarget, Master, Model, Pool,
    Rate, Service, Size, StatusPages, Trust,
};

/// The program's name in syslog lines.
pub(crate) const TAG: &str = "preforkd";

/// When a client that is turned away shall come back.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The pool size keys of a spare-driven pool, as far as they are given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spares {
    pub(crate) start: Option<u32>,
    pub(crate) min_spare: Option<u32>,
    pub(crate) max_spare: Option<u32>,
    pub(crate) max: Option<u32>,
}

impl Master {
    /// A master without a pid file or a control socket that logs to standard
    /// error, as an empty `[master]` table makes it.
    pub fn with_defaults() -> Self {
        master(&MasterTable::default())
    }
}

impl Pool {
    /// A pool on the model prefork that listens nowhere yet, with the defaults
    /// of a `[pool.NAME]` table. Its backlog is not clamped yet.
    pub fn with_defaults(name: impl Into<String>, service: Service) -> Self {
        pool(&name.into(), service, &PoolTable::default())
    }

    /// The pool on another model and kind of listener, with the usual size of
    /// the two, and with its backlog clamped to what `system` allows.
    #[must_use]
    pub fn on_model(self, model: Model, accept: Accept, system: &dyn System) -> Self {
        let backlog = match system.somaxconn() {
            Some(most) => self.backlog.min(most),
            None => self.backlog,
        };
        Self {
            model,
            accept,
            backlog,
            size: match &self.service {
                Service::App(_) => app_size(None, system.processors()),
                Service::Echo
                | Service::Discard
                | Service::Daytime
                | Service::Time
                | Service::Chargen
                | Service::Message(_)
                | Service::Http(_)
                | Service::Exec(_)
                | Service::Custom => {
                    size(model, accept, None, &Spares::default(), system.processors())
                }
            },
            max_connections: max_connections(model, self.threads_per_worker, &self.service),
            ..self
        }
    }
}

impl Pool {
    /// The pool with a worker a processor, as one for datagrams has it: none is
    /// ever busy for long, so none need be spare.
    #[must_use]
    pub fn one_a_processor(self, system: &dyn System) -> Self {
        let workers = Some(Workers::Auto);
        let none = Spares::default();
        let size = size(self.model, self.accept, workers, &none, system.processors());
        Self { size, ..self }
    }
}

impl App {
    /// The program `command`, found in `program`, with the defaults of a
    /// `[pool.NAME.app]` table; it runs in `directory`. Both paths are absolute.
    pub fn with_defaults(program: PathBuf, command: Vec<String>, directory: PathBuf) -> Self {
        Self {
            program,
            command,
            ..app(directory, &AppTable::default())
        }
    }
}

impl Http {
    /// The files below `root`, an absolute path, with the defaults of a
    /// `[pool.NAME.http]` table.
    pub fn with_defaults(root: impl Into<PathBuf>) -> Self {
        http(root.into(), &HttpTable::default())
    }
}

impl Exec {
    /// `command`, whose program was found at `program`, an absolute path, with
    /// the defaults of a `[pool.NAME.exec]` table.
    pub fn with_defaults(program: impl Into<PathBuf>, command: Vec<String>) -> Self {
        let table = ExecTable::default();
        let directory = table.directory.value.clone();
        exec(program.into(), command, directory, &table)
    }
}

/// The master of a table; paths and the log are left at their defaults.
pub(crate) fn master(table: &MasterTable) -> Master {
    Master {
        pid_file: None,
        control_socket: None,
        control_group: None,
        log: Log {
            to: LogTarget::Stderr,
            format: LogTable::default().format.value,
            level: LogTable::default().level.value,
        },
        graceful_timeout: table.graceful_timeout.value,
        drain_delay: table.drain_delay.value,
        upgrade_timeout: table.upgrade_timeout.value,
        max_generations: table.max_generations.value,
        breaker_exit_after: table.breaker_exit_after.value,
        process_titles: table.process_titles.value,
        once: false,
    }
}

/// The pool of a table; it listens nowhere, its size is the model's own, and
/// its workers stay who they are.
pub(crate) fn pool(name: &str, service: Service, table: &PoolTable) -> Pool {
    let model = table.model.value;
    let threads = table.threads_per_worker.value.unwrap_or(16);
    let connections = table.max_connections.value;
    let max_connections = connections.unwrap_or_else(|| max_connections(model, threads, &service));
    Pool {
        name: name.to_owned(),
        listen: Vec::new(),
        backlog: table.backlog.value,
        defer_accept: table.defer_accept.value,
        access: Access {
            allow: table.allow.value.clone(),
            deny: table.deny.value.clone(),
        },
        denied: table.denied.value,
        limits: table.limits.value.as_ref().map(limits),
        service,
        model,
        accept: table.accept.value,
        size: size(model, table.accept.value, None, &Spares::default(), 1),
        threads_per_worker: threads,
        max_connections,
        connections_per_worker: table.connections_per_worker.value,
        requests_per_worker: table.requests_per_worker.value,
        max_worker_memory: table.max_worker_memory.value,
        min_worker_lifetime: table.min_worker_lifetime.value,
        worker_timeout: table.worker_timeout.value,
        spawn_timeout: table.spawn_timeout.value,
        idle_timeout: table.idle_timeout.value,
        write_timeout: table.write_timeout.value,
        send_min_rate: table.send_min_rate.value,
        linger_timeout: table.linger_timeout.value,
        log: None,
        identity: None,
        datagrams: datagrams(&table.udp.value.clone().unwrap_or_default()),
    }
}

/// What holds for datagrams.
fn datagrams(table: &UdpTable) -> Datagrams {
    Datagrams {
        rate: table.rate.value,
        burst: table.burst.value,
        amplify: table.amplify.value,
    }
}

/// The program of a table, without what it is called.
pub(crate) fn app(directory: PathBuf, table: &AppTable) -> App {
    App {
        program: PathBuf::new(),
        command: Vec::new(),
        directory,
        environment: table.environment.value.clone(),
        pass: table.pass.value.clone(),
        fd_names: table.fd_names.value.clone().unwrap_or_default(),
        umask: table.umask.value,
        nice: table.nice.value,
        memory: table.memory.value,
        processor_time: table.processor_time.value,
        open_files: table.open_files.value,
        ready: table.ready.value,
        stop_signal: table.stop_signal.value,
        reopen_signal: table.reopen_signal.value,
        when_orphaned: table.when_orphaned.value,
        stdout: table.stdout.value,
        stderr: table.stderr.value,
    }
}

/// How many programs: nobody tells which of them is idle, so it is a number.
pub(crate) fn app_size(workers: Option<Workers>, processors: u32) -> Size {
    match workers {
        Some(Workers::Fixed(workers)) => Size::Fixed(workers),
        Some(Workers::Auto) | None => Size::Fixed(processors.clamp(1, MOST_WORKERS)),
    }
}

/// The limits of a table.
fn limits(table: &LimitsTable) -> Limits {
    let burst = table.burst.value;
    let rate = |rate: Rate| Rate {
        burst: burst.unwrap_or(rate.burst),
        ..rate
    };
    Limits {
        connections: table.connections.value,
        connections_per_address: table.connections_per_address.value,
        connections_per_network: table.connections_per_network.value,
        ipv4_network: table.ipv4_network.value,
        ipv6_network: table.ipv6_network.value,
        accept_rate: table.accept_rate.value.map(rate),
        random_early_drop: table.random_early_drop.value,
        exempt: table.exempt.value.clone(),
        full: table.full.value,
        over: table.over.value,
        banner: table.banner.value.clone(),
        retry_after: table.retry_after.value.unwrap_or(RETRY_AFTER),
        dry_run: table.dry_run.value,
    }
}

/// The HTTP service of a table, without an access log, media types, passwords,
/// hosts and paths.
pub(crate) fn http(root: PathBuf, table: &HttpTable) -> Http {
    Http {
        root,
        index: table.index.value.clone(),
        access_log: LogTarget::Off,
        access_log_format: table.access_log.value.format.value,
        request_id: table.request_id.value,
        dotfiles: table.dotfiles.value,
        mime_types: None,
        charset: table.charset.value.clone(),
        precompressed: table.precompressed.value,
        gzip: table.gzip.value,
        gzip_min_size: table.gzip_min_size.value,
        gzip_cache: table.gzip_cache.value,
        file_cache: table.file_cache.value,
        header_timeout: table.header_timeout.value,
        body_timeout: table.body_timeout.value,
        body_min_rate: table.body_min_rate.value,
        keepalive_timeout: table.keepalive_timeout.value,
        keepalive_requests: table.keepalive_requests.value,
        // A target cannot be longer than the head it stands in.
        max_target: table.max_target.value.min(table.max_header.value),
        max_header: table.max_header.value,
        max_fields: table.max_fields.value,
        max_body: table.max_body.value,
        symlinks: table.symlinks.value,
        listing: table.listing.value,
        fallback: table.fallback.value.clone(),
        error_pages: table.error_pages.value.clone(),
        headers: table.headers.value.clone(),
        access: Access {
            allow: table.allow.value.clone(),
            deny: table.deny.value.clone(),
        },
        auth: None,
        trust: Trust {
            proxies: table.trusted_proxies.value.clone(),
            field: table.forwarded.value,
        },
        strict_hosts: table.strict_hosts.value,
        paths: Vec::new(),
        hosts: Vec::new(),
        status: table.status.value.as_ref().map(status).map(Box::new),
        cgi: Box::new(cgi(&table.cgi.value)),
    }
}

/// The service exec of a table.
pub(crate) fn exec(
    program: PathBuf,
    command: Vec<String>,
    directory: PathBuf,
    table: &ExecTable,
) -> Exec {
    Exec {
        program,
        command,
        directory,
        environment: table.environment.value.clone(),
        pass: table.pass.value.clone(),
        stderr: table.stderr.value,
        timeout: table.timeout.value,
        grace: table.grace.value,
        umask: table.umask.value,
        nice: table.nice.value,
        memory: table.memory.value,
        processor_time: table.processor_time.value,
        open_files: table.open_files.value,
        processes: table.processes.value,
        file_size: table.file_size.value,
        core: table.core.value,
    }
}

fn status(table: &StatusTable) -> StatusPages {
    StatusPages {
        page: table.path.value.clone(),
        metrics: table.metrics.value.clone(),
        health: table.health.value.clone(),
        readiness: table.readiness.value.clone(),
        access: Access {
            allow: table.allow.value.clone(),
            deny: table.deny.value.clone(),
        },
    }
}

fn cgi(table: &CgiTable) -> Cgi {
    Cgi {
        timeout: table.timeout.value,
        silence_timeout: table.silence_timeout.value,
        grace: table.grace.value,
        max_children: table.max_children.value,
        memory: table.memory.value,
        processor_time: table.processor_time.value,
        nice: table.nice.value,
        pass: table.pass.value.clone(),
        authorization: table.authorization.value,
    }
}

/// The size of a pool. What is not given follows what is: a maximum of 3 means
/// that no more than 3 are spare.
pub(crate) fn size(
    model: Model,
    accept: Accept,
    workers: Option<Workers>,
    spares: &Spares,
    processors: u32,
) -> Size {
    let auto = Size::Fixed(processors.clamp(1, MOST_WORKERS));
    match (workers, model, accept) {
        (Some(Workers::Fixed(workers)), _, _) => Size::Fixed(workers),
        (Some(Workers::Auto), _, _) | (None, Model::Event | Model::Threads, _) => auto,
        (None, Model::Fork, _) => Size::Fixed(1),
        // Each slot has a socket of its own, and it must have a worker always.
        (None, Model::Prefork, Accept::Reuseport) => Size::Fixed(8),
        (None, Model::Prefork, Accept::Shared) => {
            let most_given = [spares.start, spares.min_spare, spares.max_spare];
            let most_given = most_given.into_iter().flatten().max().unwrap_or(1);
            let max = spares.max.unwrap_or(256.max(most_given));
            let least_given = spares.min_spare.unwrap_or(1);
            let max_spare = spares.max_spare.unwrap_or(16.max(least_given)).min(max);
            let min_spare = spares.min_spare.unwrap_or(4).min(max_spare);
            let start = spares.start.unwrap_or(8.clamp(min_spare, max_spare));
            Size::Spare {
                start: start.min(max),
                min_spare,
                max_spare,
                max,
            }
        }
    }
}

/// What one worker can hold if nothing is said: a blocking one as many as it has
/// threads. A program a connection is a process, on a loop as well.
fn max_connections(model: Model, threads: u32, service: &Service) -> u32 {
    match model {
        Model::Prefork => 1,
        Model::Threads => threads,
        Model::Event if service.exec().is_some() => 256,
        Model::Event => 10_240,
        Model::Fork => 256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spare(start: u32, min_spare: u32, max_spare: u32, max: u32) -> Size {
        Size::Spare {
            start,
            min_spare,
            max_spare,
            max,
        }
    }

    #[test]
    fn what_is_left_out_follows_what_is_given() {
        let prefork = |spares| size(Model::Prefork, Accept::Shared, None, &spares, 4);
        let none = Spares::default;
        assert_eq!(prefork(none()), spare(8, 4, 16, 256));
        assert_eq!(
            prefork(Spares {
                max: Some(3),
                ..none()
            }),
            spare(3, 3, 3, 3)
        );
        assert_eq!(
            prefork(Spares {
                max: Some(1),
                ..none()
            }),
            spare(1, 1, 1, 1)
        );
        assert_eq!(
            prefork(Spares {
                max_spare: Some(2),
                ..none()
            }),
            spare(2, 2, 2, 256)
        );
        assert_eq!(
            prefork(Spares {
                min_spare: Some(20),
                ..none()
            }),
            spare(20, 20, 20, 256)
        );
        assert_eq!(
            prefork(Spares {
                start: Some(64),
                ..none()
            }),
            spare(64, 4, 16, 256)
        );
        assert_eq!(
            prefork(Spares {
                start: Some(1000),
                ..none()
            }),
            spare(1000, 4, 16, 1000)
        );
    }

    #[test]
    fn each_model_has_its_usual_size() {
        let size = |model, workers| size(model, Accept::Shared, workers, &Spares::default(), 4);
        assert_eq!(size(Model::Event, None), Size::Fixed(4));
        assert_eq!(size(Model::Threads, None), Size::Fixed(4));
        assert_eq!(size(Model::Fork, None), Size::Fixed(1));
        assert_eq!(size(Model::Prefork, Some(Workers::Auto)), Size::Fixed(4));
        assert_eq!(size(Model::Fork, Some(Workers::Fixed(7))), Size::Fixed(7));
        let own_sockets = |workers| {
            super::size(
                Model::Prefork,
                Accept::Reuseport,
                workers,
                &Spares::default(),
                4,
            )
        };
        assert_eq!(own_sockets(None), Size::Fixed(8));
        assert_eq!(own_sockets(Some(Workers::Auto)), Size::Fixed(4));
    }

    #[test]
    fn a_pool_without_a_file_is_that_of_an_empty_table() {
        let pool = Pool::with_defaults("echo", Service::Echo);
        assert_eq!(pool.size, spare(8, 4, 16, 256));
        assert_eq!((pool.backlog, pool.threads_per_worker), (4096, 16));
        let system = crate::config::system::Pretend {
            somaxconn: Some(128),
            ..Default::default()
        };
        let pool = pool.on_model(Model::Event, Accept::Shared, &system);
        assert_eq!((pool.backlog, pool.max_connections), (128, 10_240));
        assert_eq!(pool.size, Size::Fixed(4));
        assert_eq!(Http::with_defaults("/srv").max_header, 32768);
        assert!(Master::with_defaults().process_titles);
    }
}
