//! The table of a pool's own log. What it leaves out is the master's.

use log::LevelFilter;

use super::{FACILITIES, LEVELS, LOG_FORMATS};
use crate::config::kind::{Optional, Tag, Word};
use crate::config::place::{Target, TargetKind};
use crate::config::table::table;
use crate::config::{Facility, LogFormat};

pub(super) const POOL_LOG: &str =
    "\"stderr\", \"syslog\", \"off\", a path, or a table { to = …, level = …, tag = … }";

const MASTERS: &str = "that of [master]";
const MASTERS_SYSLOG: &str = "that of [master]; only for syslog";

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
