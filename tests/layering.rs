//! The rooms of src/ and the ways between them: who may use whom, where
//! `unsafe` may stand, and what the deciding modules must not touch.
//!
//! The source is read as text, without comments, literals and what is built for
//! tests alone. A way that the table does not name fails, and so does one that
//! the table names and nobody goes, so that the table stays the true picture.

#[path = "layering/source.rs"]
mod source;

use source::{Source, sources, tokens};
use std::collections::{BTreeMap, BTreeSet};

/// Each room, and the rooms that it may use. A room is a module with all below
/// it, except what has a row of its own.
const ROOMS: &[(&str, &[&str])] = &[
    ("main", &["command"]),
    (
        "lib",
        &["config", "master", "master::generation", "protocol"],
    ),
    ("cli", &["client::failure"]),
    (
        "command",
        &[
            "calendar",
            "cli",
            "client",
            "client::failure",
            "client::http",
            "client::visit",
            "config",
            "daemon",
            "escape",
            "log",
            "manual",
            "master",
            "master::control",
            "master::generation",
            "master::pidfile",
            "master::upgrade",
            "probe",
            "status",
            "sys",
        ],
    ),
    (
        "client",
        &["client::failure", "client::http", "client::race"],
    ),
    ("client::failure", &[]),
    ("client::http", &["escape", "protocol::http"]),
    ("client::race", &[]),
    ("client::visit", &["client", "client::failure", "probe"]),
    ("daemon", &["sys"]),
    ("admission", &["admission::decision", "mix", "sys"]),
    ("admission::decision", &["config", "mix"]),
    (
        "master",
        &[
            "config",
            "log",
            "master::control",
            "master::crew",
            "master::generation",
            "master::message",
            "master::pidfile",
            "master::pool",
            "master::signals",
            "master::supervisor",
            "master::upgrade",
            "net",
            "scoreboard",
            "status",
            "status::reading",
            "sys",
        ],
    ),
    ("master::control", &["status", "sys"]),
    (
        "master::crew",
        &[
            "admission",
            "admission::decision",
            "config",
            "log",
            "driver",
            "master::death",
            "master::generation",
            "master::message",
            "master::oom",
            "master::rates",
            "master::repeats",
            "master::wear",
            "net",
            "scoreboard",
            "status",
            "status::reading",
            "sys",
            "worker",
        ],
    ),
    (
        "master::generation",
        &["config", "driver", "log", "net", "protocol"],
    ),
    ("master::pidfile", &[]),
    (
        "master::death",
        &["master::cohort", "master::message", "scoreboard"],
    ),
    ("master::oom", &[]),
    ("master::repeats", &[]),
    ("master::signals", &["master::message"]),
    (
        "master::supervisor",
        &["master::cohort", "master::message", "status"],
    ),
    (
        "master::cohort",
        &[
            "config",
            "master::breaker",
            "master::message",
            "master::pool",
            "status",
        ],
    ),
    ("master::breaker", &["master::message"]),
    ("master::message", &["config", "status"]),
    ("master::pool", &["config"]),
    ("master::rates", &[]),
    ("master::wear", &["mix"]),
    (
        "master::upgrade",
        &[
            "master::control",
            "master::generation",
            "master::pidfile",
            "net",
            "scoreboard",
            "status",
            "sys",
        ],
    ),
    (
        "worker",
        &[
            "config",
            "daemon",
            "driver",
            "log",
            "net",
            "protocol",
            "protocol::http",
            "protocol::proxy",
            "protocol::simple",
            "scoreboard",
            "status",
            "status::reading",
            "sys",
        ],
    ),
    (
        "driver",
        &[
            "admission",
            "admission::decision",
            "calendar",
            "config",
            "escape",
            "log",
            "mix",
            "net",
            "protocol",
            "scoreboard",
            "sys",
        ],
    ),
    ("protocol::http", &["config", "escape", "mix", "protocol"]),
    ("protocol::proxy", &["config", "protocol"]),
    ("protocol::simple", &["protocol"]),
    ("protocol", &["calendar", "status"]),
    ("net", &["config", "escape", "sys"]),
    ("manual", &["cli", "config"]),
    ("scoreboard", &["status", "sys"]),
    ("status::reading", &["admission", "scoreboard", "status"]),
    ("status", &["calendar", "escape"]),
    (
        "log",
        &[
            "calendar",
            "config",
            "escape",
            "log::line",
            "log::repeats",
            "sys",
        ],
    ),
    ("log::line", &["calendar", "escape"]),
    ("log::repeats", &[]),
    ("escape", &[]),
    ("mix", &[]),
    ("probe", &[]),
    ("config", &[]),
    ("calendar", &[]),
    ("sys", &["calendar"]),
];

/// Modules that decide and do nothing: bytes, events and time are arguments.
const PURE: &[&str] = &[
    "admission::decision",
    "client::http",
    "client::race",
    "config",
    "manual",
    "escape",
    "log::line",
    "log::repeats",
    "protocol",
    "protocol::simple",
    "protocol::proxy",
    "protocol::http",
    "master::breaker",
    "master::cohort",
    "master::death",
    "master::message",
    "master::pool",
    "master::rates",
    "master::repeats",
    "master::supervisor",
    "master::wear",
    "mix",
    "probe",
    "status",
];

/// Files in pure rooms that are the way to what the room needs of the machine.
const DOORS: &[&str] = &["src/config/load.rs", "src/config/system.rs"];

/// Several modules that are one room.
const ALIASES: &[(&str, &str)] = &[
    ("admission::bucket", "admission::decision"),
    ("admission::episode", "admission::decision"),
    ("admission::source", "admission::decision"),
    ("admission::verdict", "admission::decision"),
    ("protocol::chargen", "protocol::simple"),
    ("protocol::daytime", "protocol::simple"),
    ("protocol::discard", "protocol::simple"),
    ("protocol::echo", "protocol::simple"),
    ("protocol::message", "protocol::simple"),
    ("protocol::time", "protocol::simple"),
];

#[test]
fn rooms_are_used_in_one_direction_only() {
    let sources = sources();
    let modules = sources.iter().map(|one| one.module.clone()).collect();
    let mut found: BTreeMap<(String, String), String> = BTreeMap::new();
    for source in &sources {
        let from = room(&source.module);
        for used in source.paths(&modules) {
            let Some(to) = used.target(&source.module) else {
                continue;
            };
            let to = room(&to);
            if from != to {
                let place = format!("{}:{}: {}", source.name, used.line, used.text());
                found.entry((from.clone(), to)).or_insert(place);
            }
        }
    }
    let allowed: BTreeSet<(String, String)> = ROOMS
        .iter()
        .flat_map(|(from, row)| row.iter().map(|to| ((*from).to_owned(), (*to).to_owned())))
        .collect();
    let mut complaints: Vec<String> = found
        .iter()
        .filter(|(way, _)| !allowed.contains(way))
        .map(|((from, to), place)| {
            format!("{place}\n    `{from}` may not use `{to}`. Can the caller hand in what it needs? If the way is right, add it to ROOMS in tests/layering.rs and to the picture in src/lib.rs")
        })
        .collect();
    complaints.extend(
        allowed
            .iter()
            .filter(|way| !found.contains_key(way))
            .map(|(from, to)| {
                format!("ROOMS lets `{from}` use `{to}`, which it does not: take that out")
            }),
    );
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn the_ways_make_no_circle() {
    // Whoever uses nobody that is still here, leaves; who cannot is in a circle.
    let mut rooms: BTreeMap<&str, BTreeSet<&str>> = ROOMS
        .iter()
        .map(|(room, uses)| (*room, uses.iter().copied().collect()))
        .collect();
    loop {
        let here: BTreeSet<&str> = rooms.keys().copied().collect();
        let before = rooms.len();
        rooms.retain(|_, uses| !uses.is_disjoint(&here));
        if rooms.len() == before {
            break;
        }
    }
    assert!(rooms.is_empty(), "in a circle, or above one: {rooms:?}");
}

#[test]
fn unsafe_stays_in_its_room() {
    let found = places(|source, word| !source.module.starts_with("sys") && word == "unsafe");
    assert!(
        found.is_empty(),
        "`unsafe` belongs to src/sys alone, one system call a function:\n{}",
        found.join("\n")
    );
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    let found: Vec<String> = sources()
        .iter()
        .flat_map(|source| source.lines_with(".unwrap()"))
        .collect();
    assert!(
        found.is_empty(),
        "say what to do without a value, or `expect` an invariant of the same function:\n{}",
        found.join("\n")
    );
}

#[test]
fn what_decides_touches_nothing() {
    let mut found = Vec::new();
    for source in sources() {
        let is_pure = PURE.contains(&room(&source.module).as_str());
        if !is_pure || DOORS.contains(&source.name.as_str()) {
            continue;
        }
        for clock in ["Instant::now", "SystemTime::now"] {
            found.extend(source.lines_with(clock));
        }
        for level in ["error!", "warn!", "info!", "debug!", "trace!"] {
            found.extend(source.lines_with(&format!("log::{level}")));
        }
        let paths = source.paths(&BTreeSet::new());
        found.extend(
            paths
                .iter()
                .filter(|used| touches_the_world(&used.segments))
                .map(|used| format!("{}:{}: {}", source.name, used.line, used.text())),
        );
    }
    assert!(
        found.is_empty(),
        "no socket, file, clock or log here: take it as an argument, or ask for it in an action or a command:\n{}",
        found.join("\n")
    );
}

/// Sockets, files, programs and whoever gives them; addresses are only data.
fn touches_the_world(path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["std", "net", what, ..] => {
            !what.starts_with("Ip") && !what.starts_with("Socket") && *what != "AddrParseError"
        }
        ["std", "os", "unix", "net", ..] => true,
        ["std", "fs" | "process" | "thread" | "env", ..] => true,
        ["nix" | "libc" | "socket2" | "signal_hook" | "syslog", ..] => true,
        _ => false,
    }
}

/// The room of a module: the longest name in the table that it begins with.
fn room(module: &str) -> String {
    let begins = |name: &str| {
        module
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    if let Some((_, room)) = ALIASES.iter().find(|(name, _)| begins(name)) {
        return (*room).to_owned();
    }
    let known = ROOMS.iter().map(|(name, _)| *name);
    let longest = known.filter(|name| begins(name)).max_by_key(|n| n.len());
    // A module that nobody has entered in the table is a room of that name.
    longest.unwrap_or(module).to_owned()
}

/// Where a word stands that `wrong` objects to.
fn places(wrong: impl Fn(&Source, &str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources() {
        for (line, word) in tokens(&source.code) {
            if wrong(&source, word) {
                found.push(format!("{}:{line}", source.name));
            }
        }
    }
    found
}
