//! The service app: whether the program is there, and which keys of the pool
//! mean nothing where a program has the connections.

use super::Checker;
use crate::config::app::{App, MEANINGLESS, Ready};
use crate::config::defaults;
use crate::config::file::PoolTable;
use crate::config::mistake::Span;
use crate::config::units::format_duration;
use std::path::Path;

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
        let directory = match &table.directory.value {
            Some(directory) => self.place(directory, &table.directory.span(&at)),
            None => self.resolve(Path::new("")),
        };
        let (command, variables) = (&table.command, (&table.environment, &table.pass));
        let (program, command) = self.program(command, variables, &at)?;
        Some(App {
            program,
            command,
            ..defaults::app(directory, table)
        })
    }
}
