//! The program of the service exec: where it is, and that it can be run.

use std::path::PathBuf;

use super::Checker;
use crate::config::defaults;
use crate::config::exec::{self, Exec};
use crate::config::file::exec::ExecTable;
use crate::config::mistake::Span;
use crate::config::system::reason;
use crate::config::wording::abridged;

impl Checker<'_> {
    pub(super) fn exec(&mut self, table: &ExecTable, header: &Span) -> Option<Exec> {
        let directory = self.resolve(&table.directory.value);
        if table.directory.is_sound() {
            let at = table.directory.span(header);
            self.is_place(&directory, &at);
        }
        let Some(command) = &table.command.value else {
            if table.command.given.is_none() {
                let expected = "add command = [\"/path/of/the/program\", \"argument\"]";
                self.error(header, "`command` is missing", expected);
            }
            return None;
        };
        let at = table.command.span(header);
        let mut command = command.clone();
        let name = command.first()?.clone();
        let program = if name.contains('/') {
            let path = self.resolve(name.as_ref());
            if let Some(first) = command.first_mut() {
                *first = path.to_str()?.to_owned();
            }
            self.can_run(&path, &at);
            path
        } else {
            let servers = self.system.variable("PATH");
            let path = exec::path_of(&table.environment.value, &table.pass.value, servers);
            self.look_for(&name, &path, &at)?
        };
        Some(defaults::exec(program, command, directory, table))
    }

    fn is_place(&mut self, directory: &std::path::Path, at: &Span) {
        let expected = "expected a directory";
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

    fn can_run(&mut self, path: &std::path::Path, at: &Span) {
        if let Err(error) = self.system.is_program(path) {
            let message = format!("the program {}: {}", path.display(), reason(&error));
            self.error(at, message, "expected a file that can be executed");
        }
    }

    fn look_for(&mut self, name: &str, path: &str, at: &Span) -> Option<PathBuf> {
        let mut places = exec::places(name, path).into_iter();
        let found = places.find(|place| self.system.is_program(place).is_ok());
        if found.is_none() {
            let message = format!("there is no program {} in PATH={path}", abridged(name));
            self.error(at, message, "expected one of these, or a path with a slash");
        }
        found
    }
}
