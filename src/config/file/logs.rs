//! The tables of the master's log and of a pool's own, and the words in them. What a
//! pool's leaves out is the master's.

use log::LevelFilter;

use crate::config::kind::{Optional, Tag, Word};
use crate::config::place::{Target, TargetKind};
use crate::config::table::table;
use crate::config::{Facility, LogFormat};

pub(super) const LOG: &str =
    "\"stderr\", \"syslog\", \"off\", a path, or a table { to = …, level = … }";

pub(super) const POOL_LOG: &str =
    "\"stderr\", \"syslog\", \"off\", a path, or a table { to = …, level = …, tag = … }";

const MASTERS: &str = "that of [master]";
const MASTERS_SYSLOG: &str = "that of [master]; only for syslog";

table! {
    /// `[master] log`.
    LogTable in "[master] log" {
        to: Target = TargetKind, Target::Stderr,
            "The destination.";
        level: LevelFilter = Word(LEVELS), LevelFilter::Info,
            "The least important level that is written.";
        format: LogFormat = Word(LOG_FORMATS), LogFormat::Text,
            "The form of a line.";
        facility: Option<Facility> = Optional(Word(FACILITIES), "\"daemon\"; only for syslog"), None,
            "The syslog facility, see syslog(3).";
        tag: Option<String> = Optional(Tag, "\"preforkd\"; only for syslog"), None,
            "The program's name in syslog lines.";
    }
}

table! {
    /// `[pool.NAME] log`.
    PoolLogTable in "[pool.NAME] log" {
        to: Option<Target> = Optional(TargetKind, MASTERS), None,
            "The destination.";
        level: Option<LevelFilter> = Optional(Word(LEVELS), MASTERS), None,
            "The least important level that is written.";
        format: Option<LogFormat> = Optional(Word(LOG_FORMATS), MASTERS), None,
            "The form of a line.";
        facility: Option<Facility> = Optional(Word(FACILITIES), MASTERS_SYSLOG), None,
            "The syslog facility, see syslog(3).";
        tag: Option<String> = Optional(Tag, MASTERS_SYSLOG), None,
            "The program's name in syslog lines.";
    }
}

const LOG_FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];

const LEVELS: &[(&str, LevelFilter)] = &[
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];

/// RFC 5424 §6.2.1; those without a name in syslog(3) are left out.
pub(super) const FACILITIES: &[(&str, Facility)] = &[
    ("kern", Facility(0)),
    ("user", Facility(1)),
    ("mail", Facility(2)),
    ("daemon", Facility(3)),
    ("auth", Facility(4)),
    ("syslog", Facility(5)),
    ("lpr", Facility(6)),
    ("news", Facility(7)),
    ("uucp", Facility(8)),
    ("cron", Facility(9)),
    ("authpriv", Facility(10)),
    ("ftp", Facility(11)),
    ("local0", Facility(16)),
    ("local1", Facility(17)),
    ("local2", Facility(18)),
    ("local3", Facility(19)),
    ("local4", Facility(20)),
    ("local5", Facility(21)),
    ("local6", Facility(22)),
    ("local7", Facility(23)),
];

/// The facility of syslog lines if none is given: daemon.
pub(crate) fn facility_or_default(given: Option<Facility>) -> Facility {
    given.unwrap_or(Facility(3))
}
