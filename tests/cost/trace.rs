//! What strace saw of the processes of a server.

use super::harness::log::Log;
use super::harness::{SOON, eventually, process};
use nix::sys::signal::Signal;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// strace, looking at a process and all that it forks.
pub(crate) struct Trace {
    strace: Child,
    directory: TempDir,
}

/// A system call, by who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) pid: u32,
    pub(crate) name: String,
}

impl Trace {
    /// Begins; from now on nothing is missed.
    pub(crate) fn begin(pid: u32) -> Self {
        let directory = TempDir::new().unwrap();
        let mut strace = Command::new("strace")
            .args(["-f", "-o"])
            .arg(directory.path().join("calls"))
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("strace: {error}"));
        let log = Log::default();
        log.follow(strace.stderr.take().unwrap());
        log.wait_for(" attached", SOON);
        Self { strace, directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("calls")
    }

    /// Ends, and tells what was called since the beginning.
    pub(crate) fn end(mut self) -> Vec<Call> {
        process::signal(self.strace.id(), Signal::SIGINT);
        eventually("strace ends", SOON, || self.strace.try_wait().unwrap());
        let text = std::fs::read_to_string(self.path()).unwrap();
        text.lines().filter_map(call).collect()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // It has been waited for, or the test has failed.
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

/// `PID NAME(…`; what begins otherwise is the rest of a call, a signal or an
/// end. A call that had begun before is none of ours.
fn call(line: &str) -> Option<Call> {
    let (pid, rest) = line.split_once(' ')?;
    let (name, arguments) = rest.trim_start().split_once('(')?;
    let whole = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let resumed = name == "restart_syscall" || arguments.starts_with("<... resuming");
    (whole && !resumed).then(|| Call {
        pid: pid.parse().unwrap(),
        name: name.to_owned(),
    })
}

#[test]
fn a_trace_is_read_call_by_call() {
    let text = "17 restart_syscall(<... resuming interrupted read ...>) = 0\n\
                17 accept4(3, {sa_family=AF_INET}, [128 => 16], SOCK_CLOEXEC <unfinished ...>\n\
                18    recvfrom(5, \"GET / (a)\", 8192, 0, NULL, NULL) = 9\n\
                17 <... accept4 resumed>) = 5\n\
                17 --- SIGCHLD {si_signo=SIGCHLD} ---\n18 +++ exited with 0 +++\n";
    let calls: Vec<_> = text.lines().filter_map(call).collect();
    let calls: Vec<_> = calls.iter().map(|one| (one.pid, &*one.name)).collect();
    assert_eq!(calls, [(17, "accept4"), (18, "recvfrom")]);
}
