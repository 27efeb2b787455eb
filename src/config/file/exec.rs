//! The table of the service exec.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::command::{Arguments, Assignments, Passed};
use crate::config::exec::{StandardError, decided};
use crate::config::kind::{FilePath, Optional, Word};
use crate::config::number::{Count, Mode, Size, Time};
use crate::config::table::table;

table! {
    /// `[pool.NAME.exec]`.
    ExecTable in "[pool.NAME.exec]" {
        command: Option<Vec<String>> = Optional(Arguments, "required"), None,
            "The program and its arguments; no shell reads them. A name without a slash is looked for in the PATH that the program will have, when this file is read.";
        directory: PathBuf = FilePath, PathBuf::from("/"),
            "Where the program runs.";
        environment: Vec<String> = Assignments(decided), Vec::new(),
            "Variables of the program, NAME=value, beside those that the connection decides.";
        pass: Vec<String> = Passed(decided), vec!["PATH".to_owned(), "TZ".to_owned()],
            "Variables of the server's own environment that programs get; without any PATH there is a usual one.";
        stderr: StandardError = Word(STANDARD_ERRORS), StandardError::Log,
            "Where its standard error goes: to the log, line by line, or to the client.";
        timeout: Duration = Time { min: Duration::ZERO, max: DAY }, Duration::ZERO,
            "How long a session may take in all; then the program gets SIGTERM. 0s is for ever.";
        grace: Duration = Time { min: Duration::from_millis(1), max: DAY }, Duration::from_secs(2),
            "How long the program and what it started have to end after SIGTERM, until SIGKILL.";
        umask: u32 = Mode, 0o022,
            "Permission bits that files of the program do not get.";
        nice: u8 = Count { min: 0, max: 19 }, 0,
            "What is added to the nice value of each program.";
        memory: Option<u64> = Optional(Size { min: 1 << 20, max: 1 << 50 }, SERVERS), None,
            "Address space of each process (RLIMIT_AS).";
        processor_time: Option<Duration> = Optional(
                Time { min: Duration::from_secs(1), max: DAY }, SERVERS), None,
            "Processor time of each process, in whole seconds (RLIMIT_CPU).";
        open_files: Option<u64> = Optional(Count { min: 3, max: 1 << 30 }, "what the server was started with"), None,
            "Descriptors of each process (RLIMIT_NOFILE).";
        processes: Option<u64> = Optional(Count { min: 1, max: 1 << 22 }, SERVERS), None,
            "Processes of the program's user, those of the server included (RLIMIT_NPROC); root has no such limit.";
        file_size: Option<u64> = Optional(Size { min: 0, max: 1 << 50 }, SERVERS), None,
            "The largest file that it may write (RLIMIT_FSIZE).";
        core: u64 = Size { min: 0, max: 1 << 50 }, 0,
            "The largest core file (RLIMIT_CORE).";
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);
const SERVERS: &str = "that of the server";

const STANDARD_ERRORS: &[(&str, StandardError)] = &[
    ("log", StandardError::Log),
    ("socket", StandardError::Socket),
];
