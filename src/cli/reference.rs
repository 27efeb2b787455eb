//! What no option says, once: the signals of the master, the exit statuses, the
//! variables of the environment and the files. The help and the manual are made
//! of it, and the tests hold README.md against it.
//!
//! In the texts what stands between backquotes is a word of the program.

use super::DEFAULT_CONFIG;

/// Signals that the master takes, and what it does at each.
#[derive(Clone, Copy, Debug)]
pub struct Signal {
    /// Their names, without SIG.
    pub names: &'static [&'static str],
    /// What the help says: a few words.
    pub brief: &'static str,
    /// What the manual says.
    pub meaning: &'static str,
}

/// A row of a table of the manual.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What the row is about: a variable, or a path.
    pub name: &'static str,
    /// What it means, in sentences.
    pub meaning: &'static str,
}

/// The signals of the master.
pub const SIGNALS: &[Signal] = &[
    Signal {
        names: &["TERM", "INT", "QUIT"],
        brief: "stop: finish what is open, at most graceful_timeout; again: at once",
        meaning: "graceful stop: no new clients, what is in the queues is served, open requests are answered, for `graceful_timeout` at most; with `drain_delay` it is announced first. A second one stops at once",
    },
    Signal {
        names: &["HUP"],
        brief: "reload the configuration and replace the workers",
        meaning: "reload: reads and checks the configuration and opens everything new; on any mistake all stays as it is and the log says why; else new workers, ready before the old ones drain",
    },
    Signal {
        names: &["USR1"],
        brief: "open the log files anew",
        meaning: "opens the log files anew, in the master and in every worker. `preforkd reopen --wait` returns when nobody writes to the old ones any more",
    },
    Signal {
        names: &["USR2"],
        brief: "start the program's file anew, on the same sockets, and leave to it",
        meaning: "upgrade: starts the program's file, as it is now, on the same sockets, and leaves when that one serves",
    },
    Signal {
        names: &["WINCH"],
        brief: "drain all workers and keep the master; HUP brings new ones",
        meaning: "drains all workers and keeps the master with its sockets; HUP brings new workers",
    },
    Signal {
        names: &["TTIN", "TTOU"],
        brief: "one worker more, one less, in pools of a fixed size",
        meaning: "one worker more, one less, in each pool of a fixed size",
    },
    Signal {
        names: &["CHLD"],
        brief: "reap the worker that ended, and fill its slot",
        meaning: "a worker ended: the master reaps it, says why it ended and fills its slot",
    },
];

/// The exit statuses: those of sysexits.h, and for `status` those of LSB.
pub const EXIT_STATUSES: &[(u8, &str)] = &[
    (0, "fine: stopped as asked; `status`: the master runs"),
    (1, "`status`: the master is dead, and its pid file is left"),
    (3, "`status`: nothing is running"),
    (
        4,
        "`status`: nobody can tell; the reason is on standard error",
    ),
    (64, "wrong usage"),
    (
        69,
        "not available: the address or the pid file is taken, or nothing is running",
    ),
    (70, "our fault"),
    (
        71,
        "the system refused: the call, the object and the error are in the message",
    ),
    (
        75,
        "workers keep dying: before they serve, or for longer than `breaker_exit_after`",
    ),
    (77, "no permission"),
    (78, "wrong configuration"),
];

/// The variables that the program reads.
pub const ENVIRONMENT: &[Row] = &[
    Row {
        name: "NOTIFY_SOCKET",
        meaning: "Where systemd(1) is told that the service is ready, reloads or stops, and how it is, see sd_notify(3). Workers and programs do not see it; a program of the service app with `ready = \"notify\"` gets one on which it tells the master.",
    },
    Row {
        name: "WATCHDOG_USEC",
        meaning: "After how many microseconds without a sign of life systemd takes the master for dead; it gives one at half of that time.",
    },
    Row {
        name: "WATCHDOG_PID",
        meaning: "Whom that is meant for; another process leaves it alone.",
    },
    Row {
        name: "LISTEN_PID",
        meaning: "Whom the sockets are meant for that the service manager passes; another process leaves them alone.",
    },
    Row {
        name: "LISTEN_FDS",
        meaning: "How many these are, from descriptor 3 on, see sd_listen_fds(3). `listen` takes them as `fd:NAME`. Workers and programs do not see these variables; a program of the service app gets its own.",
    },
    Row {
        name: "LISTEN_FDNAMES",
        meaning: "Their names, with colons between.",
    },
    Row {
        name: "JOURNAL_STREAM",
        meaning: "Whether standard error goes to the journal, see systemd.exec(5): then each line begins with its level, see sd-daemon(3).",
    },
    Row {
        name: "TERM",
        meaning: "The terminal; one that is `dumb` gets tables in place of a live view, and no editor of lines.",
    },
    Row {
        name: "NO_COLOR",
        meaning: "If it is set, messages have no colours on a terminal either.",
    },
    Row {
        name: "PATH",
        meaning: "Where an upgrade looks for the program, if it was started by a name without a slash. Programs (CGI, and those of the service exec) get the variables that `pass` names: this one and TZ, unless it says otherwise; those of the service app get this one always.",
    },
    Row {
        name: "PREFORKD_UPGRADE",
        meaning: "How a master that begins an upgrade hands its sockets to the next one. It is of no use to anybody else.",
    },
];

/// The files that the program knows by itself, and those that it usually has.
pub const FILES: &[Row] = &[
    Row {
        name: DEFAULT_CONFIG,
        meaning: "The configuration, unless `--config` names another one; see preforkd.toml(5).",
    },
    Row {
        name: "/run/preforkd/preforkd.pid",
        meaning: "Usually `pid_file`: the process id of the master, locked while it lives. There is none unless the configuration names it.",
    },
    Row {
        name: "/run/preforkd/control.sock",
        meaning: "Usually `control_socket`, where `preforkd status` and the like ask. There is none unless the configuration names it.",
    },
];

/// What stands at the end of the help.
pub(super) fn after_help() -> String {
    let mut text = String::from("Exit status:\n");
    for (status, meaning) in EXIT_STATUSES {
        text.push_str(&format!("  {status:<2}  {}\n", meaning.replace('`', "")));
    }
    text.push_str("\nSignals to the master:\n");
    for signal in SIGNALS {
        let names = signal.names.join(", ");
        text.push_str(&format!("  {names:<15}  {}\n", signal.brief));
    }
    text.push_str("\nMore is in preforkd(8) and preforkd.toml(5), or `preforkd generate man`.");
    text
}
