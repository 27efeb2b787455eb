//! The service exec: which program, in which surroundings.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Listen;
use super::command::find_here;
use super::endpoint::Endpoint;
use super::system::System;

/// Keys of the pool that have no effect where all its sockets are unix ones, and
/// why: of TCP the kernel tells when the last octet passed (tcp_info of tcp(7)), of
/// a unix socket only what waits in it, and what was sent and read at once never did.
pub(crate) const IDLE_ON_UNIX: &[(&str, &str)] = &[(
    "idle_timeout",
    "nobody can tell how long a unix socket is silent; use `timeout` of [pool.NAME.exec]",
)];

/// Whether all of these are unix sockets.
pub(crate) fn is_local(listen: &[Endpoint]) -> bool {
    let mut all = listen.iter();
    !listen.is_empty() && all.all(|one| matches!(one.listen, Listen::Unix { .. }))
}

/// The `[pool.NAME.exec]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// The program that was found, absolute.
    pub program: PathBuf,
    /// The command as it was written, with a path made absolute; at least one,
    /// the program's own name first.
    pub command: Vec<String>,
    /// Where it runs, absolute.
    pub directory: PathBuf,
    /// Variables, `NAME=value`.
    pub environment: Vec<String>,
    /// Variables of the server's environment that are passed on.
    pub pass: Vec<String>,
    /// Where its standard error goes.
    pub stderr: StandardError,
    /// How long a session may take; zero is for ever.
    pub timeout: Duration,
    /// How long it has between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Permission bits that its files do not get, 0..=0o777.
    pub umask: u32,
    /// Added to the nice value, 0..=19.
    pub nice: u8,
    /// Address space of each process, in octets.
    pub memory: Option<u64>,
    /// Processor time of each process, in whole seconds.
    pub processor_time: Option<Duration>,
    /// Descriptors of each process.
    pub open_files: Option<u64>,
    /// Processes of its user.
    pub processes: Option<u64>,
    /// The largest file it may write, in octets.
    pub file_size: Option<u64>,
    /// The largest core file, in octets.
    pub core: u64,
}

impl Exec {
    /// `command` as a table with nothing else would have it, run in `base`, from
    /// where a relative path counts too.
    ///
    /// # Errors
    /// What is wrong with the program.
    pub fn of_command(
        command: Vec<String>,
        base: &Path,
        system: &dyn System,
    ) -> Result<Self, String> {
        let (program, command) = find_here(command, base, system)?;
        let mut exec = Self::with_defaults(program, command);
        exec.directory = base.to_owned();
        Ok(exec)
    }
}

/// Where the standard error of a program goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandardError {
    /// To the log.
    Log,
    /// To the client.
    Socket,
}

/// Who decides over a variable that nobody may set.
pub(crate) fn decided(name: &str) -> Option<&'static str> {
    const BY_CONNECTION: &[&str] = &["PROTO", "REMOTE_ADDR", "REMOTE_PORT"];
    if BY_CONNECTION.contains(&name) || name.starts_with("TCP") || name.starts_with("UNIX") {
        Some("the connection decides it")
    } else if name.starts_with("LISTEN_") || name == "NOTIFY_SOCKET" {
        Some("it is between the service manager and the server")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Assignments, Passed};
    use super::super::kind::Kind;
    use super::*;
    use toml::de::DeValue;

    fn mistakes(kind: &impl Kind<Vec<String>>, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        if let Ok(value) = DeValue::parse(text) {
            kind.read("key", &value, &mut found);
        }
        found.into_iter().map(|one| one.expected).collect()
    }

    #[test]
    fn nobody_sets_what_the_connection_decides() {
        for name in ["PROTO", "TCPREMOTEIP", "UNIXREMOTEPID", "REMOTE_ADDR"] {
            let why = ["the connection decides it"];
            assert_eq!(mistakes(&Passed(decided), &format!("['{name}']")), why);
            assert_eq!(
                mistakes(&Assignments(decided), &format!("['{name}=1']")),
                why
            );
        }
        for name in ["LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET"] {
            assert_eq!(mistakes(&Passed(decided), &format!("['{name}']")).len(), 1);
        }
        for text in [
            "['A']",
            "['1=2']",
            "['=x']",
            "['A=1', 'A=2']",
            "[\"A=\\u0000\"]",
        ] {
            assert_eq!(mistakes(&Assignments(decided), text).len(), 1, "{text}");
        }
        for text in ["['A=b']", "['']", "['a b']"] {
            assert_eq!(mistakes(&Passed(decided), text).len(), 1, "{text}");
        }
    }
}
