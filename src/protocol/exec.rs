//! A program for each connection, as inetd has it: the socket is its standard
//! input and output, and all that this machine wants is to hand it over.
//!
//! ```text
//!   (new) ── Connected ─▶ HandOver ── HandedOver ─▶ Close
//! ```
//!
//! What the program is told of the connection are the variables of UCSPI
//! (tcp-environ(5)) and the two of systemd.socket(5). An address is in
//! `TCPREMOTEIP` whatever its family, and `PROTO` is `TCP` for both, as
//! s6-tcpserver(1) has it; an IPv4 client of an IPv6 socket has its IPv4
//! address. Must never pass on `LISTEN_*` or `NOTIFY_SOCKET`, which are the
//! server's own business.

use super::{
    Action, CloseReason, Ending, Errors, HandOver, Manner, Outcome, Peer, ProgramEnd, Protocol,
    RunError, Service, SessionCut, SessionEnd, SessionLimits, Turn,
};
use std::ffi::{CString, OsString};
use std::fmt::Display;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// Which program, and in which surroundings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program, an absolute path.
    pub program: CString,
    /// Where it runs, an absolute path.
    pub directory: CString,
    /// Its arguments, its own name first.
    pub arguments: Vec<CString>,
    /// Where its standard error goes.
    pub errors: Errors,
    /// What it may use, and for how long.
    pub limits: SessionLimits,
}

/// The service.
#[derive(Clone, Debug)]
pub struct ExecService(Arc<Prepared>);

/// What no connection changes.
#[derive(Debug)]
struct Prepared {
    command: Command,
    /// The arguments, each ended by NUL.
    arguments: Vec<u8>,
    /// Variables that every program gets, each ended by NUL.
    constant: Vec<u8>,
}

impl ExecService {
    /// A service that runs `command` for each connection. Its environment is
    /// `own`, of the form `NAME=value`, then those of `passed` that have no
    /// namesake before them. A value with NUL is left out.
    pub fn new<'n>(
        command: Command,
        own: &[String],
        passed: impl Iterator<Item = (&'n str, OsString)>,
    ) -> Self {
        let mut constant = Vec::new();
        let has = |block: &[u8], name: &str| {
            let mut lines = block.split(|&byte| byte == 0);
            lines.any(|line| {
                line.strip_prefix(name.as_bytes())
                    .is_some_and(|rest| rest.starts_with(b"="))
            })
        };
        for line in own.iter().filter(|line| !line.contains('\0')) {
            constant.extend_from_slice(line.as_bytes());
            constant.push(0);
        }
        for (name, value) in passed {
            if !has(&constant, name) && !value.as_bytes().contains(&0) {
                constant.extend_from_slice(name.as_bytes());
                constant.push(b'=');
                constant.extend_from_slice(value.as_bytes());
                constant.push(0);
            }
        }
        let arguments = command.arguments.iter();
        let arguments = arguments.flat_map(|one| one.to_bytes_with_nul()).copied();
        Self(Arc::new(Prepared {
            arguments: arguments.collect(),
            constant,
            command,
        }))
    }
}

impl Service for ExecService {
    fn connection(&self, peer: &Peer) -> Box<dyn Protocol> {
        let mut environment = Vec::with_capacity(self.0.constant.len() + 256);
        set_ends(&mut environment, peer);
        environment.extend_from_slice(&self.0.constant);
        Box::new(Exec {
            prepared: Arc::clone(&self.0),
            environment,
        })
    }

    fn wants_local(&self) -> bool {
        true
    }

    fn hands_over(&self) -> bool {
        true
    }
}

struct Exec {
    prepared: Arc<Prepared>,
    environment: Vec<u8>,
}

impl Protocol for Exec {
    fn resume(&mut self, outcome: Outcome, turn: &mut Turn<'_>) -> Action<'_> {
        match outcome {
            Outcome::Connected => {
                let client = turn.peer.to_string();
                let program = self.prepared.command.program.to_bytes();
                let parts = [b"exec ", program, b" for ", client.as_bytes()];
                turn.activity.describe(&parts);
                turn.activity.begin();
                self.hand_over()
            }
            // There was no process: the client has waited, and waits on.
            Outcome::HandedOver(SessionEnd::NotStarted(RunError::Busy)) if !turn.draining => {
                self.hand_over()
            }
            Outcome::HandedOver(SessionEnd::Ended(ProgramEnd::Killed(_))) => {
                close(CloseReason::Program("killed by a signal"))
            }
            Outcome::HandedOver(SessionEnd::Ended(ProgramEnd::Exited(_) | ProgramEnd::Stopped)) => {
                close(CloseReason::Complete)
            }
            Outcome::HandedOver(SessionEnd::Cut(SessionCut::Idle)) => close(CloseReason::Idle),
            Outcome::HandedOver(SessionEnd::Cut(SessionCut::Overdue)) => {
                close(CloseReason::Program("timeout"))
            }
            Outcome::HandedOver(SessionEnd::Cut(SessionCut::Draining)) => {
                close(CloseReason::Draining)
            }
            // The client may have sent something, and must still see an end.
            Outcome::HandedOver(SessionEnd::NotStarted(_)) => Action::Close(Ending {
                reason: CloseReason::Program("not started"),
                manner: Manner::Linger,
            }),
            Outcome::Broken { reason, .. } => close(reason),
            // None of these was asked for.
            Outcome::Received
            | Outcome::PeerFinished
            | Outcome::TimedOut
            | Outcome::Flushed
            | Outcome::Found(_)
            | Outcome::Missing(_)
            | Outcome::Sent
            | Outcome::Read
            | Outcome::Computed(_)
            | Outcome::Reported
            | Outcome::Overloaded
            | Outcome::Program(_)
            | Outcome::Listed { .. } => close(CloseReason::Internal),
        }
    }
}

impl Exec {
    fn hand_over(&self) -> Action<'_> {
        let command = &self.prepared.command;
        Action::HandOver(HandOver {
            program: &command.program,
            directory: &command.directory,
            arguments: &self.prepared.arguments,
            environment: &self.environment,
            errors: command.errors,
            limits: &command.limits,
        })
    }
}

fn close(reason: CloseReason) -> Action<'static> {
    Action::Close(Ending {
        reason,
        manner: Manner::AtOnce,
    })
}

/// What can be said of the two ends.
fn set_ends(block: &mut Vec<u8>, peer: &Peer) {
    let Some(remote) = peer.remote else {
        set(block, "PROTO", "UNIX");
        return;
    };
    set(block, "PROTO", "TCP");
    if let Some(local) = peer.local {
        set(block, "TCPLOCALIP", address(local));
        set(block, "TCPLOCALPORT", local.port());
    }
    for name in ["TCPREMOTEIP", "REMOTE_ADDR"] {
        set(block, name, address(remote));
    }
    for name in ["TCPREMOTEPORT", "REMOTE_PORT"] {
        set(block, name, remote.port());
    }
}

fn address(of: SocketAddr) -> std::net::IpAddr {
    of.ip().to_canonical()
}

fn set(block: &mut Vec<u8>, name: &str, value: impl Display) {
    // Writing to a Vec cannot fail.
    let _ = write!(block, "{name}={value}\0");
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::harness::{Finale, PEER, World};
    use super::*;
    use std::time::Duration;

    fn service(own: &[&str], passed: &[(&'static str, &str)]) -> ExecService {
        let own: Vec<String> = own.iter().map(|&line| line.to_owned()).collect();
        let passed = passed.iter().map(|&(name, value)| (name, value.into()));
        ExecService::new(
            Command {
                program: c"/bin/cat".into(),
                directory: c"/".into(),
                arguments: vec![c"cat".into(), c"-u".into()],
                errors: Errors::Log,
                limits: SessionLimits {
                    memory: None,
                    processor_time: None,
                    open_files: None,
                    processes: None,
                    file_size: None,
                    core: 0,
                    nice: 0,
                    umask: 0o022,
                    timeout: None,
                    idle: Duration::from_secs(60),
                    grace: Duration::from_secs(2),
                },
            },
            &own,
            passed,
        )
    }

    fn handed(service: ExecService, end: SessionEnd) -> (Vec<String>, Ending, String) {
        let seen = World::new(service)
            .with_session(end)
            .run(&[], Finale::Silence);
        let ran = seen.ran.into_iter().next().unwrap();
        let activity = String::from_utf8(seen.activity).unwrap();
        (ran.environment, seen.ending, activity)
    }

    #[test]
    fn the_program_is_told_of_both_ends_and_no_more() {
        let service = service(
            &["A=b", "TZ=x"],
            &[("TZ", "UTC"), ("LANG", "C"), ("LANG", "D")],
        );
        let (environment, ending, activity) =
            handed(service, SessionEnd::Ended(ProgramEnd::Exited(3)));
        let expected = [
            "PROTO=TCP",
            "TCPLOCALIP=192.0.2.1",
            "TCPLOCALPORT=8080",
            "TCPREMOTEIP=203.0.113.9",
            "REMOTE_ADDR=203.0.113.9",
            "TCPREMOTEPORT=40000",
            "REMOTE_PORT=40000",
            "A=b",
            "TZ=x",
            "LANG=C",
        ];
        assert_eq!(environment, expected);
        assert_eq!(ending.reason, CloseReason::Complete);
        assert_eq!(activity, format!("exec /bin/cat for {}", PEER));
    }

    #[test]
    fn mapped_addresses_are_those_of_ipv4_and_unix_has_none() {
        let peer = Peer {
            remote: Some("[::ffff:192.0.2.7]:5".parse().unwrap()),
            local: Some("[2001:db8::1]:6".parse().unwrap()),
        };
        let mut block = Vec::new();
        set_ends(&mut block, &peer);
        let text = String::from_utf8(block).unwrap();
        assert!(text.contains("TCPREMOTEIP=192.0.2.7\0"), "{text}");
        assert!(text.contains("TCPLOCALIP=2001:db8::1\0"), "{text}");
        let mut block = Vec::new();
        set_ends(&mut block, &Peer::default());
        assert_eq!(block, b"PROTO=UNIX\0");
    }

    #[test]
    fn each_end_has_its_reason() {
        let at_once = Manner::AtOnce;
        for (end, reason, manner) in [
            (
                SessionEnd::Ended(ProgramEnd::Killed(9)),
                CloseReason::Program("killed by a signal"),
                at_once,
            ),
            (
                SessionEnd::Cut(SessionCut::Idle),
                CloseReason::Idle,
                at_once,
            ),
            (
                SessionEnd::Cut(SessionCut::Overdue),
                CloseReason::Program("timeout"),
                at_once,
            ),
            (
                SessionEnd::Cut(SessionCut::Draining),
                CloseReason::Draining,
                at_once,
            ),
            (
                SessionEnd::NotStarted(RunError::NotFound),
                CloseReason::Program("not started"),
                Manner::Linger,
            ),
        ] {
            let (_, ending, _) = handed(service(&[], &[]), end);
            assert_eq!((ending.reason, ending.manner), (reason, manner));
        }
    }
}
