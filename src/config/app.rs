//! What the service app needs to know: a program that accepts for itself, and
//! how it is started, told to end, and believed to be ready; and the kinds of
//! value that only its table has.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::command::{find_here, texts};
use super::kind::{Kind, Shown, cannot_be, string};
use super::mistake::Mistake;
use super::system::System;
use super::units::{format_duration, parse_duration};
use super::wording::quote;

/// The `[pool.NAME.app]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// The program's file, absolute.
    pub program: PathBuf,
    /// Its arguments, the first of which is its own name; no shell reads them.
    pub command: Vec<String>,
    /// Where it runs, absolute.
    pub directory: PathBuf,
    /// `NAME=value`, beside PATH.
    pub environment: Vec<String>,
    /// Names of variables of the server's own environment that it gets.
    pub pass: Vec<String>,
    /// Its names for the listeners, one for each `listen` entry; empty: the
    /// pool's name for all of them.
    pub fd_names: Vec<String>,
    /// Its umask, 0..=0o777.
    pub umask: u32,
    /// What is added to its nice value, 0..=19.
    pub nice: u8,
    /// RLIMIT_AS, in octets.
    pub memory: Option<u64>,
    /// RLIMIT_CPU, in whole seconds.
    pub processor_time: Option<Duration>,
    /// RLIMIT_NOFILE.
    pub open_files: Option<u64>,
    /// When it counts as READY.
    pub ready: Ready,
    /// What has it finish and leave.
    pub stop_signal: ProgramSignal,
    /// What has it open its log files anew; `None`: nothing is sent.
    pub reopen_signal: Option<ProgramSignal>,
    /// What becomes of it when the master dies before it.
    pub when_orphaned: Orphaned,
    /// Where its standard output goes.
    pub stdout: Stream,
    /// Where its standard error goes.
    pub stderr: Stream,
}

impl App {
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
        Ok(Self::with_defaults(program, command, base.to_owned()))
    }
}

/// When a program counts as READY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// When it says so (sd_notify(3)).
    Notify,
    /// When it has lived for so long.
    Alive(Duration),
}

impl Ready {
    /// Whether the program is to speak to us.
    pub const fn is_told(self) -> bool {
        match self {
            Self::Notify => true,
            Self::Alive(_) => false,
        }
    }
}

/// Where a program's output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Line by line into the log of its pool.
    Log,
    /// Where the server's own goes.
    Inherit,
    /// Nowhere.
    Off,
}

/// What becomes of a program whose master has died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphaned {
    /// It is told to stop, by its `stop_signal`, and it is left to it whether it does.
    Told,
    /// It is ended at once.
    Killed,
}

/// A signal that a program may understand as an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramSignal {
    /// SIGTERM.
    Term,
    /// SIGQUIT.
    Quit,
    /// SIGINT.
    Int,
    /// SIGHUP.
    Hup,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
    /// SIGWINCH.
    Winch,
}

pub(crate) const SIGNALS: &[(&str, ProgramSignal)] = &[
    ("TERM", ProgramSignal::Term),
    ("QUIT", ProgramSignal::Quit),
    ("INT", ProgramSignal::Int),
    ("HUP", ProgramSignal::Hup),
    ("USR1", ProgramSignal::Usr1),
    ("USR2", ProgramSignal::Usr2),
    ("WINCH", ProgramSignal::Winch),
];

pub(crate) const ORPHANED: &[(&str, Orphaned)] =
    &[("stop", Orphaned::Told), ("kill", Orphaned::Killed)];

const UNTOLD: &str = "the program accepts for itself, and tells nobody of its connections";
const UNASKED: &str = "the program accepts for itself, and lets in whom it likes";
const OWN: &str = "the program decides how it spends itself";
const IDLE: &str = "nobody tells which program is idle; use `workers`";

/// Keys of the pool that somebody might count on in vain, and why.
pub(crate) const MEANINGLESS: &[(&str, &str)] = &[
    ("allow", UNASKED),
    ("deny", UNASKED),
    ("denied", UNASKED),
    ("limits", UNASKED),
    ("model", OWN),
    ("start_workers", IDLE),
    ("min_spare_workers", IDLE),
    ("max_spare_workers", IDLE),
    ("max_workers", IDLE),
    ("threads_per_worker", OWN),
    ("max_connections", UNTOLD),
    ("connections_per_worker", UNTOLD),
    ("requests_per_worker", UNTOLD),
    ("idle_timeout", UNTOLD),
    ("write_timeout", UNTOLD),
    ("send_min_rate", UNTOLD),
    ("linger_timeout", UNTOLD),
];

pub(crate) const STREAMS: &[(&str, Stream)] = &[
    ("log", Stream::Log),
    ("inherit", Stream::Inherit),
    ("off", Stream::Off),
];

/// `ready`: the word notify, or a time.
pub(crate) struct Readiness;

/// `fd_names`: what a program calls its listeners.
pub(crate) struct ListenerNames;

/// How long a program may have to live until it counts as READY.
const LONGEST: Duration = Duration::from_secs(3600);

impl Kind<Ready> for Readiness {
    fn expected(&self) -> String {
        "\"notify\", or a duration such as \"2s\", from 1ms to 1h".to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<Ready> {
        let text = string(name, value, || self.expected(), found)?;
        if text == "notify" {
            return Some(Ready::Notify);
        }
        let time = parse_duration(text).ok();
        match time.filter(|time| (Duration::from_millis(1)..=LONGEST).contains(time)) {
            Some(time) => Some(Ready::Alive(time)),
            None => {
                let expected = format!("expected {}", self.expected());
                cannot_be(name, value, text, expected, found)
            }
        }
    }

    fn show(&self, value: &Ready) -> Shown {
        Shown::Value(match value {
            Ready::Notify => quote("notify"),
            Ready::Alive(time) => quote(&format_duration(*time)),
        })
    }
}

impl Kind<Vec<String>> for ListenerNames {
    fn expected(&self) -> String {
        "an array of names without a colon such as [\"http\"]".to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<Vec<String>> {
        texts(name, value, &self.expected(), found, |text| {
            // sd_listen_fds(3): what LISTEN_FDNAMES can hold.
            let fits = |byte: u8| byte.is_ascii_graphic() && byte != b':';
            let right = (1..=255).contains(&text.len()) && text.bytes().all(fits);
            right
                .then_some(())
                .ok_or("expected 1 to 255 visible ASCII characters other than `:`")
        })
    }

    fn show(&self, value: &Vec<String>) -> Shown {
        Shown::array(value.iter().map(|word| quote(word)))
    }
}

/// Who decides over a variable that nobody may set.
pub(crate) fn decided(name: &str) -> Option<&'static str> {
    let decided = name.starts_with("LISTEN_")
        || name.starts_with("WATCHDOG_")
        || name.starts_with("PREFORKD_")
        || name == "NOTIFY_SOCKET";
    decided.then_some("the server decides it")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::command::{Assignments, Passed};
    use super::super::kind::tests::read;
    use super::*;

    #[test]
    fn readiness_is_a_word_or_a_time() {
        assert_eq!(read(&Readiness, "'notify'"), Ok(Ready::Notify));
        let two = Ready::Alive(Duration::from_secs(2));
        assert_eq!(read(&Readiness, "'2s'"), Ok(two));
        assert_eq!(Readiness.show(&two), Shown::Value(quote("2s")));
        for text in ["'0s'", "'2h'", "'yes'", "2", "''"] {
            assert!(read(&Readiness, text).is_err(), "{text}");
        }
    }

    #[test]
    fn variables_are_not_those_that_are_decided() {
        let set = read(&Assignments(decided), "['A=', '_b1=x=y z']").unwrap();
        assert_eq!(set, ["A=", "_b1=x=y z"]);
        for text in ["A", "=x", "1A=x", "A-B=x", "LISTEN_FDS=1", "NOTIFY_SOCKET="] {
            assert!(
                read(&Assignments(decided), &format!("'{text}'")).is_err(),
                "{text}"
            );
        }
        assert!(read(&Passed(decided), "['TZ', 'LANG']").is_ok());
        assert!(read(&Passed(decided), "'WATCHDOG_PID'").is_err());
    }

    #[test]
    fn a_listener_has_a_name_without_a_colon() {
        assert!(read(&ListenerNames, "['http', 'https-1']").is_ok());
        for text in ["''", "'a:b'", "'a b'"] {
            assert!(read(&ListenerNames, text).is_err(), "{text}");
        }
    }
}
