//! The table of the service app.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::app::{
    ListenerNames, ORPHANED, Orphaned, ProgramSignal, Readiness, Ready, SIGNALS, STREAMS, Stream,
    decided,
};
use crate::config::command::{Arguments, Assignments, Passed};
use crate::config::kind::{FilePath, Optional, Word};
use crate::config::number::{Count, Mode, Size, Time};
use crate::config::table::table;

table! {
    /// `[pool.NAME.app]`.
    AppTable in "[pool.NAME.app]" {
        command: Option<Vec<String>> = Optional(Arguments, "required"), None,
            "The program and its arguments; no shell reads them. A name without a slash is looked for in the PATH that the program will have, when this file is read.";
        directory: Option<PathBuf> = Optional(FilePath, "the directory of this file"), None,
            "Where the program runs.";
        environment: Vec<String> = Assignments(decided), Vec::new(),
            "Variables of the program, NAME=value, beside those that the server decides.";
        pass: Vec<String> = Passed(decided), vec!["PATH".to_owned(), "TZ".to_owned()],
            "Variables of the server's own environment that it gets; without any PATH there is a usual one.";
        fd_names: Option<Vec<String>> = Optional(ListenerNames, "the pool's name for each"), None,
            "What LISTEN_FDNAMES calls the listeners: a name for each item of `listen`.";
        umask: u32 = Mode, 0o022,
            "The permission bits that its new files do not get.";
        nice: u8 = Count { min: 0, max: 19 }, 0,
            "What is added to its nice value.";
        memory: Option<u64> = Optional(Size { min: 1 << 20, max: 1 << 50 }, "that of the server"), None,
            "Its address space (RLIMIT_AS).";
        processor_time: Option<Duration> = Optional(
                Time { min: Duration::from_secs(1), max: DAY }, "that of the server"), None,
            "Its processor time, in whole seconds (RLIMIT_CPU).";
        open_files: Option<u64> = Optional(Count { min: 16, max: 1 << 30 }, "what the server was started with"), None,
            "How many descriptors it may have (RLIMIT_NOFILE).";
        ready: Ready = Readiness, Ready::Alive(Duration::from_secs(1)),
            "When it counts as ready: when it says READY=1 (sd_notify(3)), or once it has lived for so long.";
        stop_signal: ProgramSignal = Word(SIGNALS), ProgramSignal::Term,
            "The signal at which it stops accepting, finishes what it has, and ends.";
        reopen_signal: Option<ProgramSignal> = Optional(Word(SIGNALS), "nothing is sent"), None,
            "The signal that it gets when logs are reopened.";
        when_orphaned: Orphaned = Word(ORPHANED), Orphaned::Told,
            "What becomes of it when the master dies before it: \"stop\" sends it `stop_signal`, which it may ignore, \"kill\" ends it at once.";
        stdout: Stream = Word(STREAMS), Stream::Log,
            "Where its standard output goes: line by line into the pool's log, to that of the server, or nowhere.";
        stderr: Stream = Word(STREAMS), Stream::Log,
            "Where its standard error goes.";
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);
