//! From the file to a [`Config`]: what is required, what excludes what, what
//! depends on other keys, and what the machine has to say to it.
//!
//! Owes every mistake at once, each at the place where it can be mended. Never
//! changes anything on the machine and never binds: a check beside a running
//! server must not take its port, not even for a moment.

mod app;
mod datagrams;
mod exec;
mod identity;
mod limits;
mod listen;
mod site;

use std::path::{Path, PathBuf};

use identity::Who;

use super::defaults::{self, Spares};
use super::file::http::HttpTable;
use super::file::logs::{LogTable, PoolLogTable, facility_or_default};
use super::file::{File, MasterTable, PoolSection, PoolTable, ServiceName};
use super::mistake::{Mistake, Span};
use super::place::Target;
use super::system::{System, reason};
use super::table::{Entry, Table};
use super::units::format_size;
use super::{
    Accept, Config, Facility, Http, Listen, Log, LogTarget, Master, MediaTypes, Model, Pool,
    Service, Size,
};

/// Checks a file that has been read. The result means something only if `found`
/// holds no error afterwards.
///
/// Relative paths count from `base`.
pub(crate) fn check(
    file: &File,
    base: &Path,
    system: &dyn System,
    found: &mut Vec<Mistake>,
) -> Config {
    let mut checker = Checker {
        base,
        system,
        found,
        taken: Vec::new(),
    };
    let master = checker.master(&file.master);
    let who = checker.master_who(&file.master);
    let mut pools = Vec::new();
    for section in &file.pools {
        pools.extend(checker.pool(section, &who, &master.log));
    }
    checker.control_socket_apart(&file.master, &master);
    Config { master, pools }
}

struct Checker<'a> {
    base: &'a Path,
    system: &'a dyn System,
    found: &'a mut Vec<Mistake>,
    /// The addresses of the pools so far, and where they stand.
    taken: Vec<(Listen, Span)>,
}

impl Checker<'_> {
    fn master(&mut self, table: &MasterTable) -> Master {
        Master {
            pid_file: self.optional_file(&table.pid_file),
            control_socket: self.optional_file(&table.control_socket),
            control_group: self.control_group(table),
            log: self.log(&table.log.value),
            ..defaults::master(table)
        }
    }

    /// A pool, or nothing if it is not even known what it serves.
    fn pool(&mut self, section: &PoolSection, who: &Who, masters: &Log) -> Option<Pool> {
        let PoolSection { name, span, table } = section;
        let listen = self.listeners(table, span);
        let service = self.service(table, span);
        let datagrams = listen.iter().any(|one| one.listen.is_datagram());
        let size = if datagrams {
            self.datagrams(table, service.as_ref(), span)
        } else {
            let why = "only with an address that begins with udp:";
            self.misplaced(&table.udp, "udp", why);
            self.size(table)
        };
        if table.service.value == Some(ServiceName::Exec) {
            self.silence(table, &listen);
        }
        self.limits(table);
        let backlog = self.queue("backlog", &table.backlog);
        let identity = self.identity(table, who);
        let log = table.log.value.as_ref();
        let log = log.map(|own| self.pool_log(own, masters));
        let model = table.model.value;
        let ours = table.service.value != Some(ServiceName::App);
        if ours && model != Model::Threads && table.model.is_sound() {
            let why = "only with model = \"threads\"";
            self.misplaced(&table.threads_per_worker, "threads_per_worker", why);
        }
        if !datagrams
            && !table.defer_accept.value.is_zero()
            && is_first_to_speak(table.service.value)
        {
            let expected = "remove it: the client would wait for the server, and the server for it";
            let at = table.defer_accept.span(span);
            self.error(
                &at,
                "`defer_accept` with a service that speaks first",
                expected,
            );
        }
        if ours
            && !datagrams
            && !matches!(model, Model::Event | Model::Fork)
            && table.model.is_sound()
        {
            let why = "only with model = \"event\" or \"fork\"";
            self.misplaced(&table.max_connections, "max_connections", why);
        }
        Some(Pool {
            listen,
            size,
            backlog,
            identity,
            log,
            ..defaults::pool(name, service?, table)
        })
    }

    fn service(&mut self, table: &PoolTable, header: &Span) -> Option<Service> {
        let Some(service) = table.service.value else {
            if table.service.given.is_none() {
                let expected = "add service = \"http\", \"echo\" …";
                self.error(header, "`service` is missing", expected);
            }
            return None;
        };
        if service != ServiceName::Message {
            let why = "only with service = \"message\"";
            self.misplaced(&table.message, "message", why);
        }
        if service != ServiceName::Http {
            let why = "only with service = \"http\"";
            self.misplaced(&table.http, "http", why);
        }
        if service != ServiceName::App {
            let why = "only with service = \"app\"";
            self.misplaced(&table.app, "app", why);
        }
        if service != ServiceName::Exec {
            let why = "only with service = \"exec\"";
            self.misplaced(&table.exec, "exec", why);
        }
        let at = table.service.span(header);
        match service {
            ServiceName::Echo => Some(Service::Echo),
            ServiceName::Discard => Some(Service::Discard),
            ServiceName::Daytime => Some(Service::Daytime),
            ServiceName::Time => Some(Service::Time),
            ServiceName::Chargen => Some(Service::Chargen),
            ServiceName::Message => {
                if table.message.given.is_none() {
                    let expected = "add message = \"the text to send\"";
                    self.error(&at, "the service message needs `message`", expected);
                }
                let text = table.message.value.as_ref()?;
                Some(Service::Message(text.clone().into_bytes()))
            }
            ServiceName::Http => {
                if table.http.given.is_none() {
                    let expected = "add a table [pool.NAME.http] with `root`";
                    self.error(&at, "the service http needs its own table", expected);
                }
                let http = table.http.value.as_ref()?;
                self.http(http, &table.http.span(&at)).map(Service::Http)
            }
            ServiceName::App => self.app(table, &at).map(Box::new).map(Service::App),
            ServiceName::Exec => {
                if table.exec.given.is_none() {
                    let expected = "add a table [pool.NAME.exec] with `command`";
                    self.error(&at, "the service exec needs its own table", expected);
                }
                let exec = table.exec.value.as_ref()?;
                self.exec(exec, &table.exec.span(&at)).map(Service::Exec)
            }
        }
    }

    fn http(&mut self, table: &HttpTable, header: &Span) -> Option<Http> {
        let access_log = &table.access_log.value;
        let access_log = self.target(&access_log.to, &access_log.facility, &access_log.tag);
        let (target, header_octets) = (table.max_target.value, table.max_header.value);
        let judged = table.max_target.given.is_some() && table.max_header.is_sound();
        if judged && target > header_octets {
            let octets = u64::try_from(header_octets).unwrap_or(u64::MAX);
            let expected = format!("expected at most `max_header`, {}", format_size(octets));
            let message = "`max_target` is more than `max_header`";
            self.error(&table.max_target.span(header), message, expected);
        }
        let Some(root) = &table.root.value else {
            if table.root.given.is_none() {
                let expected = "add root = \"the directory to serve\"";
                self.error(header, "`root` is missing", expected);
            }
            return None;
        };
        let root = self.resolve(root);
        let at = table.root.span(header);
        match self.system.is_directory(&root) {
            Ok(true) => {}
            Ok(false) => {
                let message = format!("the root {} is not a directory", root.display());
                self.error(&at, message, "expected a directory");
            }
            Err(error) => {
                let message = format!("the root {}: {}", root.display(), reason(&error));
                self.error(&at, message, "expected a directory");
            }
        }
        let mime_types = self.media_types(&table.mime_types);
        self.status_paths(table);
        Some(Http {
            access_log,
            mime_types,
            auth: self.http_auth(table),
            paths: self.paths(&table.path.value),
            hosts: self.hosts(&table.host.value),
            ..defaults::http(root, table)
        })
    }

    /// The media types of a file, which is read here and now: what a worker
    /// uses was checked.
    fn media_types(&mut self, entry: &Entry<Option<PathBuf>>) -> Option<MediaTypes> {
        let path = self.resolve(entry.value.as_ref()?);
        let at = entry.span(&(0..0));
        let expected = "expected a file of lines such as \"text/html html htm\"";
        match self.system.contents(&path) {
            Ok(octets) => match MediaTypes::parse(path, &octets) {
                Ok(types) => return Some(types),
                Err(message) => self.error(&at, message, expected),
            },
            Err(error) => {
                let message = format!("read {}: {}", path.display(), reason(&error));
                self.error(&at, message, expected);
            }
        }
        None
    }

    fn size(&mut self, table: &PoolTable) -> Size {
        let given = [
            (&table.start_workers, "start_workers"),
            (&table.min_spare_workers, "min_spare_workers"),
            (&table.max_spare_workers, "max_spare_workers"),
            (&table.max_workers, "max_workers"),
        ];
        let [start, min_spare, max_spare, max] = given;
        let processors = self.system.processors();
        if table.service.value == Some(ServiceName::App) {
            // What these cannot be used for is said with the service.
            return defaults::app_size(table.workers.value, processors);
        }
        if !table.model.is_sound() {
            // Which keys go with it cannot be said.
        } else if table.model.value != Model::Prefork {
            for (entry, name) in given {
                self.misplaced(entry, name, "only with model = \"prefork\"; use `workers`");
            }
        } else if table.accept.value == Accept::Reuseport {
            // A socket of one's own without a worker would hold its clients
            // for ever, and a busy worker's clients cannot go to a spare one.
            for (entry, name) in given {
                self.misplaced(entry, name, "only with accept = \"shared\"; use `workers`");
            }
        } else if let Some(workers) = &table.workers.given {
            for (entry, name) in given {
                if let Some(spare) = &entry.given {
                    let message =
                        format!("`{name}` and a fixed number of workers exclude each other");
                    let expected = "leave out one of the two";
                    let mistake = Mistake::error(spare.key.clone(), message, expected);
                    self.found
                        .push(mistake.with(workers.key.clone(), "fixed here"));
                }
            }
        } else {
            self.ordered(min_spare, max_spare);
            self.ordered(max_spare, max);
            self.ordered(start, max);
            if max_spare.0.given.is_none() {
                self.ordered(min_spare, max);
            }
        }
        let spares = Spares {
            start: start.0.value,
            min_spare: min_spare.0.value,
            max_spare: max_spare.0.value,
            max: max.0.value,
        };
        let (model, accept) = (table.model.value, table.accept.value);
        defaults::size(model, accept, table.workers.value, &spares, processors)
    }

    /// The first of two keys must not be more than the second.
    fn ordered(
        &mut self,
        (less, less_name): (&Entry<Option<u32>>, &str),
        (more, more_name): (&Entry<Option<u32>>, &str),
    ) {
        if let (Some(less_value), Some(less_given)) = (less.value, &less.given)
            && let (Some(more_value), Some(more_given)) = (more.value, &more.given)
            && less_value > more_value
        {
            let message = format!("`{less_name}` is more than `{more_name}`");
            let expected = format!("expected at most {more_value}");
            let mistake = Mistake::error(less_given.value.clone(), message, expected);
            self.found
                .push(mistake.with(more_given.value.clone(), "the limit"));
        }
    }

    /// The kernel shortens a queue silently (listen(2)); we say so where one
    /// was asked for.
    fn queue(&mut self, name: &str, entry: &Entry<u32>) -> u32 {
        let Some(most) = self.system.somaxconn() else {
            return entry.value;
        };
        if let Some(given) = &entry.given
            && entry.value > most
        {
            let message = format!("`{name}` is cut to {most}, which is net.core.somaxconn");
            let expected = format!("raise it: sysctl net.core.somaxconn={}", entry.value);
            let warning = Mistake::warning(given.value.clone(), message, expected);
            self.found.push(warning);
        }
        entry.value.min(most)
    }

    fn log(&mut self, table: &LogTable) -> Log {
        Log {
            to: self.target(&table.to, &table.facility, &table.tag),
            format: table.format.value,
            level: table.level.value,
        }
    }

    /// The log of a pool: what it does not say is the master's.
    fn pool_log(&mut self, table: &PoolLogTable, master: &Log) -> Log {
        let (facility, tag) = (&table.facility, &table.tag);
        let mut to = match &table.to.value {
            Some(target) => {
                let to = Entry {
                    value: target.clone(),
                    given: table.to.given.clone(),
                };
                self.target(&to, facility, tag)
            }
            None => {
                if !matches!(master.to, LogTarget::Syslog { .. }) && table.to.is_sound() {
                    let why = "only with to = \"syslog\", here or in [master]";
                    self.misplaced(facility, "facility", why);
                    self.misplaced(tag, "tag", why);
                }
                master.to.clone()
            }
        };
        if let LogTarget::Syslog {
            facility: of_lines,
            tag: name,
        } = &mut to
        {
            if let LogTarget::Syslog { facility, tag } = &master.to {
                (*of_lines, *name) = (*facility, tag.clone());
            }
            *of_lines = facility.value.unwrap_or(*of_lines);
            *name = tag.value.clone().unwrap_or_else(|| name.clone());
        }
        Log {
            to,
            format: table.format.value.unwrap_or(master.format),
            level: table.level.value.unwrap_or(master.level),
        }
    }

    fn target(
        &mut self,
        to: &Entry<Target>,
        facility: &Entry<Option<Facility>>,
        tag: &Entry<Option<String>>,
    ) -> LogTarget {
        if to.value != Target::Syslog && to.is_sound() {
            let why = "only with to = \"syslog\"";
            self.misplaced(facility, "facility", why);
            self.misplaced(tag, "tag", why);
        }
        match &to.value {
            Target::Off => LogTarget::Off,
            Target::Stderr => LogTarget::Stderr,
            Target::Syslog => LogTarget::Syslog {
                facility: facility_or_default(facility.value),
                tag: tag
                    .value
                    .clone()
                    .unwrap_or_else(|| defaults::TAG.to_owned()),
            },
            Target::File(path) => {
                let path = self.resolve(path);
                self.can_hold(&path, &to.span(&(0..0)));
                LogTarget::File(path)
            }
        }
    }

    fn optional_file(&mut self, entry: &Entry<Option<PathBuf>>) -> Option<PathBuf> {
        let path = self.resolve(entry.value.as_ref()?);
        self.can_hold(&path, &entry.span(&(0..0)));
        Some(path)
    }

    /// An absolute path. `.` goes, `..` stays: what it means is up to the links
    /// before it.
    fn resolve(&self, path: &Path) -> PathBuf {
        self.base.join(path).components().collect()
    }

    /// A file that will be made: its directory is there, and it is none itself.
    fn can_hold(&mut self, path: &Path, at: &Span) {
        if self.system.is_directory(path).unwrap_or(false) {
            let message = format!("{} is a directory", path.display());
            self.error(at, message, "expected the path of a file");
            return;
        }
        let Some(directory) = path.parent() else {
            return;
        };
        let expected = "expected a directory that exists";
        match self.system.is_directory(directory) {
            Ok(true) => {}
            Ok(false) => {
                let message = format!("{} is not a directory", directory.display());
                self.error(at, message, expected);
            }
            Err(error) => {
                let message = format!("the directory {}: {}", directory.display(), reason(&error));
                self.error(at, message, expected);
            }
        }
    }

    /// A key that has no effect here is a mistake: somebody counts on it.
    fn misplaced<T>(&mut self, entry: &Entry<Option<T>>, name: &str, why: &str) {
        if let Some(given) = &entry.given {
            let key = given.key.clone();
            self.error(&key, format!("`{name}` has no effect here"), why);
        }
    }

    /// Keys of the pool that have no effect for what it is, and why.
    fn meaningless(&mut self, pool: &PoolTable, keys: &[(&str, &str)], here: &str) {
        for (name, why) in keys {
            if let Some(given) = pool.given(name) {
                let key = given.key.clone();
                self.error(&key, format!("`{name}` has no effect {here}"), *why);
            }
        }
    }

    fn error(&mut self, at: &Span, message: impl Into<String>, expected: impl Into<String>) {
        self.found
            .push(Mistake::error(at.clone(), message, expected));
    }
}

/// Whether a service sends before the client has.
fn is_first_to_speak(service: Option<ServiceName>) -> bool {
    match service {
        Some(
            ServiceName::Daytime | ServiceName::Time | ServiceName::Chargen | ServiceName::Message,
        ) => true,
        // Whether a program speaks first is not for us to say.
        Some(ServiceName::Http | ServiceName::Echo | ServiceName::Discard)
        | Some(ServiceName::App | ServiceName::Exec)
        | None => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
