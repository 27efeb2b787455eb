//! The program of the service exec: where it is, and that it can be run; and of
//! any service that runs one.

use std::path::{Path, PathBuf};

use super::Checker;
use crate::config::Listen;
use crate::config::command;
use crate::config::defaults;
use crate::config::endpoint::Endpoint;
use crate::config::exec::{Exec, IDLE_ON_UNIX, is_local};
use crate::config::file::PoolTable;
use crate::config::file::exec::ExecTable;
use crate::config::mistake::{Mistake, Span};
use crate::config::system::reason;
use crate::config::table::Entry;

impl Checker<'_> {
    pub(super) fn exec(&mut self, table: &ExecTable, header: &Span) -> Option<Exec> {
        let (directory, at) = (&table.directory, table.directory.span(header));
        let directory = if directory.is_sound() {
            self.place(&directory.value, &at)
        } else {
            self.resolve(&directory.value)
        };
        if table.command.value.is_none() {
            if table.command.given.is_none() {
                let expected = "add command = [\"/path/of/the/program\", \"argument\"]";
                self.error(header, "`command` is missing", expected);
            }
            return None;
        }
        let variables = (&table.environment, &table.pass);
        let (program, command) = self.program(&table.command, variables, header)?;
        Some(defaults::exec(program, command, directory, table))
    }

    /// A deadline of silence that nobody can keep is not promised.
    pub(super) fn silence(&mut self, table: &PoolTable, listen: &[Endpoint]) {
        if is_local(listen) {
            return self.meaningless(table, IDLE_ON_UNIX, "here");
        }
        let unix = |one: &&Endpoint| matches!(one.listen, Listen::Unix { .. });
        if let (Some(given), Some(one)) = (&table.idle_timeout.given, listen.iter().find(unix)) {
            let message = format!("`idle_timeout` has no effect on {}", one.listen);
            let expected = "use `timeout` of [pool.NAME.exec], which holds on each of its sockets";
            let warning = Mistake::warning(given.key.clone(), message, expected);
            self.found.push(warning);
        }
    }

    /// The program's file, and its arguments: where the name has a slash, it is
    /// a path from here, as every other one.
    pub(super) fn program(
        &mut self,
        entry: &Entry<Option<Vec<String>>>,
        (environment, pass): (&Entry<Vec<String>>, &Entry<Vec<String>>),
        header: &Span,
    ) -> Option<(PathBuf, Vec<String>)> {
        let servers = self.system.variable("PATH");
        let path = command::path_of(&environment.value, &pass.value, servers);
        let found = command::find(entry.value.clone()?, &path, self.base, self.system);
        match found {
            Ok(found) => Some(found),
            Err((message, expected)) => {
                self.error(&entry.span(header), message, expected);
                None
            }
        }
    }

    /// Where a program runs.
    pub(super) fn place(&mut self, given: &Path, at: &Span) -> PathBuf {
        let directory = self.resolve(given);
        let expected = "expected a directory";
        match self.system.is_directory(&directory) {
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
        directory
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
                "command=['nope']",
                "there is no program \"nope\" in PATH=/bin:/usr/bin",
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
    fn silence_on_a_unix_socket_is_no_deadline() {
        let text = |listen: &str, keys: &str| {
            format!(
                "[pool.p]\nservice='exec'\nlisten={listen}\n{keys}\n[pool.p.exec]\ncommand=['cat']"
            )
        };
        let refused = load(&text("'unix:/run/s'", "idle_timeout='5s'")).unwrap_err();
        let expected = "4:1: error: `idle_timeout` has no effect here; nobody can tell how long";
        same("one", &refused, &[expected]);
        let both = load(&text("['81','unix:/run/s']", "idle_timeout='5s'")).unwrap();
        let found: Vec<String> = both.warnings.lines().collect();
        let expected = "4:1: warning: `idle_timeout` has no effect on unix:/run/s; use `timeout`";
        same("both", &found, &[expected]);
        let fine = load(&text("['81']", "idle_timeout='5s'")).unwrap();
        assert!(fine.warnings.is_empty());
        // What nobody asked for is nobody's mistake, and is not shown as if it held.
        let usual = load(&text("'unix:/run/s'", "")).unwrap();
        assert!(usual.warnings.is_empty());
        let shown = usual.config.to_string();
        assert!(
            shown.contains("# idle_timeout: no effect: nobody"),
            "{shown}"
        );
        assert_eq!(load(&shown).unwrap().config, usual.config);
    }

    #[test]
    fn a_loop_holds_as_many_processes_as_a_forking_worker() {
        let text = format!("[pool.p]\nmodel='event'\n{POOL}command=['cat']");
        let pool = load(&text).unwrap().config.pools.remove(0);
        assert_eq!(pool.max_connections, 256);
    }
}
