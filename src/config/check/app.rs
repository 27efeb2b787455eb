//! The service app: whether the program is there, and which keys of the pool
//! mean nothing where a program has the connections.

use super::Checker;
use crate::config::app::{App, MEANINGLESS, Ready};
use crate::config::defaults;
use crate::config::file::PoolTable;
use crate::config::file::app::AppTable;
use crate::config::mistake::Span;
use crate::config::system::reason;
use crate::config::table::Entry;
use crate::config::units::format_duration;
use std::path::{Path, PathBuf};

impl Checker<'_> {
    pub(super) fn app(&mut self, pool: &PoolTable, header: &Span) -> Option<App> {
        self.meaningless(pool, MEANINGLESS, "with service = \"app\"");
        if pool.app.given.is_none() {
            let expected = "add a table [pool.NAME.app] with `command`";
            self.error(header, "the service app needs its own table", expected);
        }
        let table = pool.app.value.as_ref()?;
        let at = pool.app.span(header);
        if table.command.given.is_none() {
            let expected = "add command = [\"the program\", \"its arguments\"]";
            self.error(&at, "`command` is missing", expected);
        }
        if let Ready::Alive(time) = table.ready.value
            && time >= pool.spawn_timeout.value
        {
            let expected = format!(
                "expected less than `spawn_timeout`, {}",
                format_duration(pool.spawn_timeout.value)
            );
            let message = "`ready` comes too late: the program is killed before";
            self.error(&table.ready.span(&at), message, expected);
        }
        let (names, places) = (&table.fd_names, pool.listen.value.len());
        if let Some(given) = &names.value
            && given.len() != places
        {
            let message = format!("`fd_names` has {} names for {places} places", given.len());
            let expected = "expected a name for each item of `listen`";
            self.error(&names.span(&at), message, expected);
        }
        let directory = self.app_directory(&table.directory, &at);
        let (program, command) = self.program(table, &at)?;
        Some(App {
            program,
            command,
            ..defaults::app(directory, table)
        })
    }

    fn app_directory(&mut self, entry: &Entry<Option<PathBuf>>, at: &Span) -> PathBuf {
        let Some(given) = &entry.value else {
            return self.resolve(Path::new(""));
        };
        let directory = self.resolve(given);
        let why = match self.system.is_directory(&directory) {
            Ok(true) => return directory,
            Ok(false) => "this is no directory".to_owned(),
            Err(error) => reason(&error),
        };
        let message = format!("the directory {}: {why}", directory.display());
        self.error(&entry.span(at), message, "expected a directory");
        directory
    }

    /// The program's file, and its arguments: where the name has a slash, it is
    /// a path from here, as every other one.
    fn program(&mut self, table: &AppTable, at: &Span) -> Option<(PathBuf, Vec<String>)> {
        let mut command = table.command.value.clone()?;
        let name = command.first_mut()?;
        if name.contains('/') {
            *name = self.resolve(Path::new(name)).to_string_lossy().into_owned();
        }
        let assigned = |one: &String| one.strip_prefix("PATH=").map(str::to_owned);
        let path = table.environment.value.iter().rev().find_map(assigned);
        match self.system.find_program(name, path.as_deref()) {
            Ok(program) => Some((program, command)),
            Err(error) => {
                let message = format!("the program {name}: {}", reason(&error));
                let expected = "expected a file that may be executed";
                self.error(&table.command.span(at), message, expected);
                None
            }
        }
    }
}
