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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::{load, same, wrong};
    use crate::config::{Exec, Service};
    use std::path::Path;

    const POOL: &str = "service='exec'\nlisten='127.0.0.1:80'\n[pool.p.exec]\n";

    fn exec(keys: &str) -> Exec {
        let config = load(&format!("[pool.p]\n{POOL}{keys}")).unwrap().config;
        let service = config.pools.into_iter().next().unwrap().service;
        let Service::Exec(exec) = service else {
            panic!("{service:?}");
        };
        exec
    }

    #[test]
    fn a_program_is_found_when_the_file_is_read() {
        let by_name = exec("command=['cat','x']");
        assert_eq!(by_name.program, Path::new("/usr/bin/cat"));
        assert_eq!(by_name.command, ["cat", "x"]);
        assert_eq!(by_name.directory, Path::new("/"));
        let own = exec("command=['prog']\nenvironment=['PATH=/srv']\ndirectory='/srv'");
        assert_eq!(own.program, Path::new("/srv/prog"));
        let by_path = exec("command=['/srv/./prog']\npass=[]");
        assert_eq!(by_path.program, Path::new("/srv/prog"));
        assert_eq!(by_path.command, ["/srv/prog"]);
    }

    #[test]
    fn a_program_that_cannot_be_run_is_a_mistake() {
        for (keys, expected) in [
            ("", "`command` is missing"),
            ("command=['/srv/none']", "the program /srv/none: "),
            ("command=['/srv/file']", "the program /srv/file: "),
            (
                "command=['prog']",
                "there is no program \"prog\" in PATH=/bin:/usr/bin",
            ),
            (
                "command=['cat']\npass=[]\nenvironment=['PATH=/x']",
                "in PATH=/x",
            ),
            (
                "command=['cat']\ndirectory='/srv/file'",
                "/srv/file is not a directory",
            ),
            (
                "command=['cat']\ndirectory='/none'",
                "the directory /none: ",
            ),
            (
                "command=['cat']\nenvironment=['LISTEN_FDS=3']",
                "`environment` cannot hold",
            ),
        ] {
            let found = wrong(&format!("{POOL}{keys}"));
            assert!(found[0].contains(expected), "{keys}: {found:?}");
        }
        let found = wrong("service='exec'\nlisten='127.0.0.1:80'");
        same(
            "no table",
            &found[..1],
            &["2:9: error: the service exec needs its own table"],
        );
        let found = wrong("service='echo'\nlisten='127.0.0.1:80'\n[pool.p.exec]\ncommand=['cat']");
        assert!(found[0].contains("`exec` has no effect here"), "{found:?}");
    }

    #[test]
    fn a_loop_holds_as_many_processes_as_a_forking_worker() {
        let text = format!("[pool.p]\nmodel='event'\n{POOL}command=['cat']");
        let pool = load(&text).unwrap().config.pools.remove(0);
        assert_eq!(pool.max_connections, 256);
    }
}
