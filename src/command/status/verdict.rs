//! Whether the master runs, by its control socket and its pid file: the exit
//! status that LSB gives the `status` of an init script.
//!
//! The socket tells most. Where it tells nothing the pid file decides, by its
//! lock and not by the number in it, which may be anybody's by now.

use crate::master::pidfile::{self, Holder};
use std::io;
use std::path::Path;

/// The master runs.
pub(super) const RUNNING: u8 = 0;
/// It is dead, and its pid file is left.
pub(super) const DEAD: u8 = 1;
/// It does not run.
pub(super) const STOPPED: u8 = 3;
/// Nobody can tell.
pub(super) const UNKNOWN: u8 = 4;

/// What was heard at the control socket, where it was no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// There is none to ask at.
    NoSocket,
    /// Nobody listens there, for this reason.
    Nobody(String),
    /// We may not ask, for this reason.
    Barred(String),
    /// Somebody listens and does not answer as a master would.
    Mute(String),
}

impl Silence {
    /// What an error of the exchange means.
    pub(super) fn of(error: &io::Error) -> Self {
        let reason = error.to_string();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Self::Nobody(reason),
            io::ErrorKind::PermissionDenied => Self::Barred(reason),
            _ => Self::Mute(reason),
        }
    }

    /// The same in a few words.
    pub(super) fn brief(&self) -> String {
        match self {
            Self::NoSocket => String::from("no control socket"),
            Self::Nobody(reason) | Self::Barred(reason) | Self::Mute(reason) => reason.clone(),
        }
    }

    /// Why there is no answer; `path` is the socket.
    fn reason(&self, path: &str) -> String {
        match self {
            Self::NoSocket => String::from("no control socket is configured"),
            Self::Nobody(reason) => {
                format!("nobody listens on the control socket {path}: {reason}")
            }
            Self::Barred(reason) => {
                format!("no permission to ask at the control socket {path}: {reason}")
            }
            Self::Mute(reason) => {
                format!("it does not answer on the control socket {path}: {reason}")
            }
        }
    }
}

/// What there is to say of a master that has not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The exit status.
    pub(super) status: u8,
    /// The master's process id, where that is known.
    pub(super) pid: Option<u32>,
    /// A sentence.
    pub(super) text: String,
}

/// Puts together what the socket at `control` and the pid file say.
pub(super) fn judge(silence: &Silence, control: Option<&Path>, pid_file: Option<&Path>) -> Verdict {
    let look = pid_file.map(|path| (path, pidfile::look(path)));
    let path = control.map_or_else(String::new, |path| path.display().to_string());
    decide(silence, &path, look)
}

fn decide(silence: &Silence, path: &str, look: Option<(&Path, io::Result<Holder>)>) -> Verdict {
    let reason = silence.reason(path);
    let verdict = |status, pid, text| Verdict { status, pid, text };
    let unknown = |text| verdict(UNKNOWN, None, text);
    let Some((file, look)) = look else {
        return match silence {
            Silence::NoSocket => unknown(format!("unknown: {reason}, and no pid file")),
            Silence::Nobody(_) => verdict(STOPPED, None, format!("not running: {reason}")),
            Silence::Barred(_) | Silence::Mute(_) => unknown(format!("unknown: {reason}")),
        };
    };
    let file = file.display();
    match (look, silence) {
        (Ok(Holder::Alive(Some(pid))), _) => {
            let text = format!("running, pid {pid}; {reason}");
            verdict(RUNNING, Some(pid), text)
        }
        (Ok(Holder::Alive(None)), _) => {
            let text = format!("running, for the pid file {file} is locked; {reason}");
            verdict(RUNNING, None, text)
        }
        // Somebody listens, though by the pid file there is nobody.
        (Ok(Holder::Absent | Holder::Stale(_)), Silence::Mute(_)) => unknown(format!(
            "unknown: nobody has the pid file {file}, but somebody listens; {reason}"
        )),
        (Ok(Holder::Stale(pid)), _) => {
            let pid = pid.map_or_else(String::new, |pid| format!(" of process {pid}"));
            let text = format!("dead, and its pid file {file}{pid} is left; {reason}");
            verdict(DEAD, None, text)
        }
        (Ok(Holder::Absent), _) => {
            let text = format!("not running: there is no pid file {file}; {reason}");
            verdict(STOPPED, None, text)
        }
        (Err(error), _) => unknown(format!("unknown: pid file {file}: {error}; {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_socket_and_every_pid_file_has_its_exit_status() {
        let text = || String::from("so");
        let silences = [
            Silence::NoSocket,
            Silence::Nobody(text()),
            Silence::Barred(text()),
            Silence::Mute(text()),
        ];
        type Look = Option<fn() -> io::Result<Holder>>;
        let looks: [(Look, [u8; 4]); 7] = [
            (None, [4, 3, 4, 4]),
            (Some(|| Ok(Holder::Absent)), [3, 3, 3, 4]),
            (Some(|| Ok(Holder::Stale(Some(1)))), [1, 1, 1, 4]),
            (Some(|| Ok(Holder::Stale(None))), [1, 1, 1, 4]),
            (Some(|| Ok(Holder::Alive(Some(7)))), [0, 0, 0, 0]),
            (Some(|| Ok(Holder::Alive(None))), [0, 0, 0, 0]),
            (Some(|| Err(io::Error::other("no"))), [4, 4, 4, 4]),
        ];
        for (look, expected) in looks {
            let found = silences.each_ref().map(|silence| {
                let look = look.map(|look| (Path::new("/pid"), look()));
                decide(silence, "/control", look).status
            });
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_living_process_that_only_has_the_number_is_no_master() {
        let verdict = decide(
            &Silence::NoSocket,
            "",
            Some((Path::new("/pid"), Ok(Holder::Stale(Some(1))))),
        );
        assert_eq!(verdict.pid, None);
        assert_eq!(
            verdict.text,
            "dead, and its pid file /pid of process 1 is left; no control socket is configured"
        );
    }
}
