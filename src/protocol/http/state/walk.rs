//! A walk over the state diagram: every arrow once, and what is no arrow.
//!
//! Here is who walks, and one walk to each state; `ways` are those from a request to its
//! answer, `everywhere` is what may happen in any state, `ends` when a connection
//! ends, `lines` what the log has of it.

mod ends;
mod everywhere;
mod lines;
mod ways;

use std::time::{Duration, Instant};

use super::super::session::Session;
use super::super::{HttpService, pretend};
use super::*;
use crate::config::{Http, LineFormat};
use crate::protocol::harness::{PEER, WALL};
use crate::protocol::{
    Action, Activity, Content, Entry, FileKind, Input, Manner, OpenError, Output, ProgramEnd,
    Readiness, RunError,
};

/// A connection and the world it sees, without a driver.
struct Walk {
    connection: Connection,
    now: Instant,
    draining: bool,
    input: Input,
    output: Output,
    entries: Vec<Entry>,
    content: Content,
    program: Input,
    report: Vec<u8>,
    log: Vec<u8>,
    activity: Activity,
}

/// An action, without what it borrows.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Receive(Duration, bool),
    Flush,
    Open(String),
    SendFile(u64),
    Read(usize),
    Compute,
    Report(View),
    List(String),
    Run(String),
    Hear(Duration),
    Close(CloseReason, Manner),
}

const FILE: Facts = Facts {
    kind: FileKind::File,
    length: 7,
    mtime: 0,
    mtime_nanoseconds: 0,
    identity: (0, 0),
};
const DIRECTORY: Facts = Facts {
    kind: FileKind::Directory,
    ..FILE
};
const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
/// For a file that may be compressed, and is of a fitting size and age.
const TEXT: &[u8] = b"GET /t.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n";
const OLD: Facts = Facts {
    length: 300_000,
    mtime: 784_111_777,
    ..FILE
};
const PARTS: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\nRange: bytes=0-0,-2\r\n\r\n";
const OPTIONS: &[u8] = b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n";
const LOCKED: &[u8] =
    b"GET /locked/a HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YWRhOm9wZW4=\r\n\r\n";
const STATUS: &[u8] = b"GET /server-status HTTP/1.1\r\nHost: a\r\n\r\n";
const LISTED: &[u8] = b"GET /listed/ HTTP/1.1\r\nHost: a\r\n\r\n";
const ENTRY: Entry = Entry {
    name: Vec::new(),
    kind: FileKind::File,
    length: 1,
    mtime: 1,
};
const PROGRAM: &[u8] = b"GET /cgi-bin/a/b HTTP/1.1\r\nHost: a\r\n\r\n";
const ANSWER: &[u8] = b"Content-Type: a/b\n\nabc";
const WITH_BODY: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";

impl Walk {
    fn new() -> Self {
        Self::logging(LineFormat::Combined)
    }

    fn logging(access_log_format: LineFormat) -> Self {
        let service = HttpService::new(Http {
            access_log_format,
            gzip: true,
            status: Some(pretend::sites::status()),
            paths: [
                pretend::sites::site_of_programs().paths,
                vec![
                    pretend::sites::locked("/locked/"),
                    pretend::sites::listed("/listed/"),
                ],
            ]
            .concat(),
            hosts: vec![pretend::sites::host("other.example")],
            ..pretend::settings()
        });
        let mut connection = Connection::new(Arc::clone(&service.machines.site));
        connection.engage(Resting::default(), &PEER);
        Self {
            connection,
            now: Instant::now(),
            draining: false,
            input: Input::default(),
            output: Output::default(),
            entries: Vec::new(),
            content: Content::default(),
            program: Input::default(),
            report: Vec::new(),
            log: Vec::new(),
            activity: Activity::default(),
        }
    }

    /// A walk that is past Connected.
    fn begun() -> Self {
        let mut walk = Self::new();
        walk.step(Outcome::Connected);
        walk
    }

    /// A step; the kernel takes the end of an answer at once.
    fn step(&mut self, outcome: Outcome) -> Asked {
        let asked = self.one_step(outcome);
        if self.state() == "AwaitTaken" {
            assert_eq!(asked, Asked::Flush);
            return self.one_step(Outcome::Flushed);
        }
        asked
    }

    fn one_step(&mut self, outcome: Outcome) -> Asked {
        let mut turn = Turn {
            peer: &PEER,
            now: self.now,
            wall: &WALL,
            draining: self.draining,
            readiness: Readiness::Ready,
            input: &mut self.input,
            output: &mut self.output,
            entries: &mut self.entries,
            content: &mut self.content,
            program: &mut self.program,
            report: &mut self.report,
            access_log: &mut self.log,
            activity: &mut self.activity,
        };
        let wish = self.connection.decide(outcome, &mut turn);
        match self.connection.action(wish) {
            Action::Receive { deadline, idle } => Asked::Receive(deadline - self.now, idle),
            Action::Flush => Asked::Flush,
            Action::Open { path, .. } => Asked::Open(String::from_utf8_lossy(path).into_owned()),
            Action::SendFile { length, .. } => Asked::SendFile(length),
            Action::Read { into, .. } => Asked::Read(into.len()),
            Action::Compute(_) => Asked::Compute,
            Action::Report(view) => Asked::Report(view),
            Action::List { path, .. } => Asked::List(String::from_utf8_lossy(path).into_owned()),
            Action::Run(program) => Asked::Run(String::from_utf8_lossy(program.path).into_owned()),
            Action::Hear { deadline } => Asked::Hear(deadline - self.now),
            Action::ReceiveAtMost { .. } | Action::Meet(_) => {
                panic!("only what stands in front of a service asks for that")
            }
            Action::HandOver(wanted) => panic!("HTTP gives no connection away: {wanted:?}"),
            Action::Close(ending) => Asked::Close(ending.reason, ending.manner),
        }
    }

    fn receive(&mut self, bytes: &[u8]) -> Asked {
        self.input.push(bytes);
        self.step(Outcome::Received)
    }

    fn write(&mut self, bytes: &[u8]) -> Asked {
        self.program.push(bytes);
        self.step(Outcome::Program(ProgramNews::Wrote))
    }

    fn end(&mut self, end: ProgramEnd) -> Asked {
        self.step(Outcome::Program(ProgramNews::Ended(end)))
    }

    /// Does what a driver does with a Read: octets that get little smaller.
    fn fill(&mut self) {
        if let Held::Raw(room) = &mut self.connection.held {
            let mut number = 1u64;
            for byte in room {
                number = number
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                *byte = b'a' + (number >> 60) as u8;
            }
        }
    }

    /// The name of the state.
    fn state(&self) -> &'static str {
        match self.connection.state {
            State::New => "New",
            State::AwaitRequest { .. } => "AwaitRequest",
            State::AwaitHead { .. } => "AwaitHead",
            State::AwaitBody { .. } => "AwaitBody",
            State::AwaitVerdict { .. } => "AwaitVerdict",
            State::AwaitReport { .. } => "AwaitReport",
            State::AwaitFile { .. } => "AwaitFile",
            State::AwaitSibling(_) => "AwaitSibling",
            State::AwaitRead { .. } => "AwaitRead",
            State::AwaitSent { .. } => "AwaitSent",
            State::AwaitPart(_) => "AwaitPart",
            State::AwaitPiece { .. } => "AwaitPiece",
            State::AwaitEntries { .. } => "AwaitEntries",
            State::AwaitRoom { .. } => "AwaitRoom",
            State::AwaitScript { .. } => "AwaitScript",
            State::AwaitStart { .. } => "AwaitStart",
            State::AwaitAnswer { .. } => "AwaitAnswer",
            State::AwaitOutput { .. } => "AwaitOutput",
            State::AwaitRedirect { .. } => "AwaitRedirect",
            State::AwaitTaken { .. } => "AwaitTaken",
            State::AwaitFlush => "AwaitFlush",
            State::Closed => "Closed",
        }
    }

    /// What the last line says of how long it took, in microseconds.
    fn duration(&self) -> u64 {
        let log = String::from_utf8_lossy(&self.log).into_owned();
        let line = log.lines().last().expect("there is a line");
        let line: serde_json::Value = serde_json::from_str(line).expect("it is JSON");
        line["duration_us"].as_u64().expect("a number")
    }

    fn status(&self) -> &str {
        std::str::from_utf8(&self.output.unsent()[9..12]).unwrap_or_default()
    }
}

const SECOND: Duration = Duration::from_secs(1);
const HEADER: Duration = Duration::from_secs(20);
const KEEPALIVE: Duration = Duration::from_secs(5);
const BODY: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(60);

/// One walk for each state, to where it is entered.
fn at(state: &str) -> Walk {
    let mut walk = Walk::new();
    if state == "New" {
        return walk;
    }
    walk.step(Outcome::Connected);
    match state {
        "AwaitRequest" => {}
        "AwaitHead" => {
            walk.receive(b"G");
        }
        "AwaitBody" => {
            walk.receive(WITH_BODY);
        }
        "AwaitVerdict" => {
            walk.receive(LOCKED);
        }
        "AwaitReport" => {
            walk.receive(STATUS);
        }
        "AwaitFile" => {
            walk.receive(GET);
        }
        "AwaitEntries" => {
            walk.receive(LISTED);
            walk.step(Outcome::Missing(OpenError::NotFound));
            walk.step(Outcome::Missing(OpenError::NotFound));
            walk.step(Outcome::Found(DIRECTORY));
        }
        "AwaitRoom" => {
            walk = at("AwaitEntries");
            walk.output.push(&[0; Output::ENOUGH]);
            walk.entries.push(ENTRY);
            walk.step(Outcome::Listed { more: false });
        }
        "AwaitSent" => {
            walk.receive(GET);
            walk.step(Outcome::Found(FILE));
        }
        "AwaitSibling" => {
            walk.receive(TEXT);
            walk.step(Outcome::Found(OLD));
        }
        "AwaitRead" => {
            walk = at("AwaitSibling");
            walk.step(Outcome::Missing(OpenError::NotFound));
        }
        "AwaitPart" => {
            walk.receive(PARTS);
            walk.step(Outcome::Found(FILE));
        }
        "AwaitPiece" => {
            walk = at("AwaitRead");
            walk.fill();
            walk.step(Outcome::Read);
        }
        "AwaitScript" | "AwaitStart" | "AwaitAnswer" | "AwaitOutput" | "AwaitRedirect" => {
            walk.receive(PROGRAM);
            for step in ["AwaitStart", "AwaitAnswer"] {
                if walk.state() != state {
                    walk.step(match step {
                        "AwaitStart" => Outcome::Found(FILE),
                        _ => Outcome::Program(ProgramNews::Started),
                    });
                }
            }
            if walk.state() != state {
                let redirect = state == "AwaitRedirect";
                walk.write(if redirect {
                    b"Location: /a\n\n"
                } else {
                    ANSWER
                });
            }
        }
        "AwaitTaken" => {
            walk = at("AwaitSent");
            walk.output.push(b"of the file");
            walk.one_step(Outcome::Sent);
        }
        "AwaitFlush" => {
            walk.output.push(&[0; Output::ENOUGH]);
            walk.receive(OPTIONS);
        }
        _ => {
            walk.step(Outcome::PeerFinished);
        }
    }
    assert_eq!(walk.state(), state);
    walk
}

#[test]
fn a_connection_at_rest_is_small() {
    let size = size_of::<Session>();
    assert!(size <= 88, "{size} octets");
}
