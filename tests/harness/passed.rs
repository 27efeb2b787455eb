//! Sockets as a service manager passes them (sd_listen_fds(3)): the test is the
//! manager, and keeps what it passed as long as it likes.

use super::server::program;
use nix::fcntl::{FcntlArg, fcntl};
use std::os::fd::{AsFd, RawFd};
use std::process::{Command, Stdio};

/// What is passed: copies that programs inherit, under high numbers.
pub(crate) struct Passed {
    numbers: Vec<RawFd>,
    names: String,
}

impl Passed {
    pub(crate) fn new(sockets: &[(&str, &dyn AsFd)]) -> Self {
        let copy = |socket: &dyn AsFd| fcntl(socket.as_fd(), FcntlArg::F_DUPFD(500)).unwrap();
        let names: Vec<_> = sockets.iter().map(|(name, _)| *name).collect();
        Self {
            numbers: sockets.iter().map(|(_, socket)| copy(*socket)).collect(),
            names: names.join(":"),
        }
    }

    /// The program, started as systemd does it: descriptors from 3 on, and the
    /// variables, for the process `pid` (`$$`: the program itself).
    pub(crate) fn command(&self, pid: &str, arguments: &[&str]) -> Command {
        let numbers = self.numbers.iter().zip(3..);
        let moves: String = numbers
            .map(|(from, to)| format!(" {to}<&{from} {from}<&-"))
            .collect();
        let count = self.numbers.len();
        let script = format!(
            "exec{moves}; LISTEN_PID={pid} LISTEN_FDS={count} LISTEN_FDNAMES='{}' exec \"$@\"",
            self.names
        );
        let mut command = Command::new("bash");
        command.args(["-c", &script, "bash"]).arg(program());
        command.args(arguments).stdin(Stdio::null());
        command
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        for number in &self.numbers {
            nix::unistd::close(*number).unwrap();
        }
    }
}
