//! A walk over the state diagram: every arrow once, and what is no arrow.

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
fn the_way_round() {
    let mut walk = Walk::new();
    assert_eq!(walk.step(Outcome::Connected), Asked::Receive(HEADER, true));
    assert_eq!(walk.state(), "AwaitRequest");
    assert_eq!(walk.receive(&GET[..1]), Asked::Receive(HEADER, false));
    assert_eq!(walk.state(), "AwaitHead");
    assert_eq!(walk.receive(&GET[1..]), Asked::Open("a".to_owned()));
    assert_eq!(walk.state(), "AwaitFile");
    assert_eq!(walk.activity.text(), b"GET /a");
    assert_eq!(walk.step(Outcome::Found(FILE)), Asked::SendFile(7));
    assert_eq!(walk.state(), "AwaitSent");
    assert!(walk.log.is_empty());
    assert_eq!(walk.step(Outcome::Sent), Asked::Receive(KEEPALIVE, true));
    assert_eq!(walk.state(), "AwaitRequest");
    assert_eq!(walk.log.iter().filter(|&&byte| byte == b'\n').count(), 1);
    assert_eq!(
        walk.step(Outcome::PeerFinished),
        Asked::Close(CloseReason::PeerClosed, Manner::AtOnce)
    );
    assert_eq!(walk.state(), "Closed");
    assert_eq!(walk.activity.requests, 1);
}

#[test]
fn content_is_dropped_before_the_answer() {
    let mut walk = Walk::begun();
    assert_eq!(walk.receive(WITH_BODY), Asked::Receive(BODY, false));
    assert_eq!(walk.receive(b"abc"), Asked::Receive(BODY, false));
    assert_eq!(walk.state(), "AwaitBody");
    assert_eq!(walk.receive(b"de"), Asked::Open("a".to_owned()));
}

#[test]
fn candidates_follow_one_another() {
    let mut walk = Walk::begun();
    let asked = walk.receive(b"GET /d/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(asked, Asked::Open("d/index.html".to_owned()));
    let asked = walk.step(Outcome::Missing(OpenError::NotFound));
    assert_eq!(asked, Asked::Open("d/index.htm".to_owned()));
    let asked = walk.step(Outcome::Found(DIRECTORY));
    assert_eq!(asked, Asked::Open("d".to_owned()));
    let asked = walk.step(Outcome::Found(DIRECTORY));
    assert_eq!(asked, Asked::Receive(KEEPALIVE, true));
    assert_eq!(walk.status(), "403");
}

#[test]
fn siblings_are_looked_for_and_then_compressed() {
    let mut walk = Walk::begun();
    assert_eq!(walk.receive(TEXT), Asked::Open("t.txt".to_owned()));
    let asked = walk.step(Outcome::Found(OLD));
    assert_eq!(asked, Asked::Open("t.txt.gz".to_owned()));
    let asked = walk.step(Outcome::Missing(OpenError::NotFound));
    assert_eq!(asked, Asked::Read(300_000));
    walk.fill();
    let mut pieces = 0;
    let mut asked = walk.step(Outcome::Read);
    while asked == Asked::Flush {
        assert!(walk.output.len() <= Output::ENOUGH + 1000);
        walk.output.advance(usize::MAX);
        pieces += 1;
        asked = walk.step(Outcome::Flushed);
    }
    assert_eq!(asked, Asked::Receive(KEEPALIVE, true));
    assert!((2..4).contains(&pieces), "{pieces}");
    // Within the same second nothing is looked for, and it is not made again.
    walk.output.advance(usize::MAX);
    assert_eq!(walk.receive(TEXT), Asked::Open("t.txt".to_owned()));
    assert_eq!(walk.step(Outcome::Found(OLD)), Asked::Flush);
}

#[test]
fn absent_siblings_are_those_of_one_root() {
    let mut walk = Walk::begun();
    let ask = |host: &str| {
        format!("GET /t HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: br\r\n\r\n").into_bytes()
    };
    // The same file is below both roots.
    for host in ["a", "other.example"] {
        assert_eq!(walk.receive(&ask(host)), Asked::Open("t".to_owned()));
        assert_eq!(
            walk.step(Outcome::Found(FILE)),
            Asked::Open("t.br".to_owned())
        );
        walk.step(Outcome::Missing(OpenError::NotFound));
        walk.step(Outcome::Sent);
    }
    walk.receive(&ask("a"));
    assert_eq!(walk.step(Outcome::Found(FILE)), Asked::SendFile(7));
}

#[test]
fn a_sibling_that_does_not_fit_is_put_back() {
    let mut walk = at("AwaitSibling");
    let asked = walk.step(Outcome::Found(Facts { mtime: 7, ..OLD }));
    assert_eq!(asked, Asked::Open("t.txt".to_owned()));
    assert_eq!(walk.state(), "AwaitFile");
    assert_eq!(walk.step(Outcome::Found(OLD)), Asked::SendFile(300_000));
    let mut walk = at("AwaitSibling");
    let sibling = Facts { length: 9, ..OLD };
    assert_eq!(walk.step(Outcome::Found(sibling)), Asked::SendFile(9));
    let head = String::from_utf8_lossy(walk.output.unsent()).into_owned();
    assert!(head.contains("Content-Encoding: gzip\r\n") && head.contains("text/plain"));
}

#[test]
fn parts_follow_one_another() {
    let mut walk = Walk::begun();
    walk.receive(PARTS);
    assert_eq!(walk.step(Outcome::Found(FILE)), Asked::SendFile(1));
    assert_eq!(walk.state(), "AwaitPart");
    assert_eq!(walk.step(Outcome::Sent), Asked::SendFile(2));
    assert_eq!(walk.step(Outcome::Sent), Asked::Receive(KEEPALIVE, true));
    assert_eq!(walk.status(), "206");
    assert_eq!(walk.log.iter().filter(|&&byte| byte == b'\n').count(), 1);
}

#[test]
fn a_password_is_asked_about_before_anything_is_opened() {
    let mut walk = Walk::begun();
    assert_eq!(walk.receive(LOCKED), Asked::Compute);
    assert_eq!(walk.state(), "AwaitVerdict");
    assert_eq!(
        walk.step(Outcome::Computed(true)),
        Asked::Open("locked/a".to_owned())
    );
    walk.step(Outcome::Found(FILE));
    assert_eq!(walk.step(Outcome::Sent), Asked::Receive(KEEPALIVE, true));
    // It is remembered, for a minute.
    assert_eq!(walk.receive(LOCKED), Asked::Open("locked/a".to_owned()));
    walk.step(Outcome::Missing(OpenError::NotFound));
    walk.now += 60 * SECOND;
    assert_eq!(walk.receive(LOCKED), Asked::Compute);
    walk.output.advance(usize::MAX);
    assert_eq!(
        walk.step(Outcome::Computed(false)),
        Asked::Receive(KEEPALIVE, true)
    );
    assert_eq!(walk.status(), "401");
    assert_eq!(walk.receive(LOCKED), Asked::Compute);
    walk.output.advance(usize::MAX);
    let asked = walk.step(Outcome::Overloaded);
    assert_eq!(asked, Asked::Close(CloseReason::Complete, Manner::Linger));
    assert_eq!(walk.status(), "503");
}

#[test]
fn a_directory_is_listed_piece_by_piece() {
    let mut walk = at("AwaitEntries");
    walk.entries.push(ENTRY);
    let asked = walk.step(Outcome::Listed { more: true });
    assert_eq!(asked, Asked::List("listed".to_owned()));
    assert!(walk.output.is_empty(), "sorting needs all of them");
    let asked = walk.step(Outcome::Listed { more: false });
    assert_eq!(asked, Asked::Receive(KEEPALIVE, true));
    assert_eq!(walk.status(), "200");

    let mut walk = at("AwaitRoom");
    assert!(walk.log.is_empty());
    walk.output.advance(usize::MAX);
    let asked = walk.step(Outcome::Flushed);
    assert_eq!(asked, Asked::Receive(KEEPALIVE, true));
    assert_eq!(walk.log.iter().filter(|&&byte| byte == b'\n').count(), 1);

    // What cannot be read on is not taken for the whole.
    let mut walk = at("AwaitEntries");
    let asked = walk.step(Outcome::Missing(OpenError::Failed));
    assert_eq!(asked, Asked::Close(CloseReason::Internal, Manner::Linger));
    assert_eq!(walk.status(), "500");
    let mut walk = at("AwaitEntries");
    walk.step(Outcome::Missing(OpenError::Exhausted));
    assert_eq!(walk.status(), "503");
}

#[test]
fn a_header_deadline_is_not_renewed() {
    let mut walk = Walk::begun();
    walk.receive(b"G");
    walk.now += SECOND;
    assert_eq!(walk.receive(b"E"), Asked::Receive(HEADER - SECOND, false));
    walk.now += SECOND;
    assert_eq!(
        walk.receive(b"T"),
        Asked::Receive(HEADER - 2 * SECOND, false)
    );
    assert_eq!(
        walk.step(Outcome::TimedOut),
        Asked::Close(CloseReason::RequestTimeout, Manner::Linger)
    );
    assert_eq!(walk.status(), "408");
}

#[test]
fn an_empty_line_does_not_renew_the_idle_deadline() {
    let mut walk = Walk::begun();
    walk.now += SECOND;
    assert_eq!(walk.receive(b"\r"), Asked::Receive(HEADER - SECOND, true));
    assert_eq!(walk.receive(b"\n"), Asked::Receive(HEADER - SECOND, true));
    assert_eq!(
        walk.receive(b"\r"),
        Asked::Close(CloseReason::Refused("rfc9112-3 method"), Manner::Linger)
    );
}

#[test]
fn a_report_is_sent_in_pieces_and_forgotten() {
    let mut walk = Walk::begun();
    let view = View::Page { refresh: None };
    assert_eq!(walk.receive(STATUS), Asked::Report(view));
    assert_eq!(walk.state(), "AwaitReport");
    walk.report = vec![b'x'; 2 * Output::ENOUGH + 1];
    let mut pieces = 0;
    let mut asked = walk.step(Outcome::Reported);
    while walk.state() == "AwaitPiece" {
        assert_eq!(asked, Asked::Flush);
        assert!(walk.output.len() <= Output::ENOUGH + 1000);
        walk.output.advance(usize::MAX);
        pieces += 1;
        asked = walk.step(Outcome::Flushed);
    }
    assert_eq!((pieces, asked), (2, Asked::Receive(KEEPALIVE, true)));
    assert!(walk.report.is_empty() && matches!(walk.connection.held, Held::Nothing));
    assert!(String::from_utf8_lossy(&walk.log).contains("\" 200 131073 "));

    let mut walk = at("AwaitReport");
    let asked = walk.step(Outcome::Overloaded);
    assert_eq!(asked, Asked::Close(CloseReason::Complete, Manner::Linger));
    assert_eq!(walk.status(), "503");
}

const TOO_LONG: CloseReason = CloseReason::Program(program::TOO_LONG);

#[test]
fn the_way_through_a_program() {
    let mut walk = Walk::begun();
    assert_eq!(walk.receive(PROGRAM), Asked::Open("a".to_owned()));
    assert_eq!(walk.state(), "AwaitScript");
    let asked = walk.step(Outcome::Found(DIRECTORY));
    assert_eq!(asked, Asked::Open("a/b".to_owned()));
    assert_eq!(
        walk.step(Outcome::Found(FILE)),
        Asked::Run("a/b".to_owned())
    );
    assert_eq!(walk.state(), "AwaitStart");
    let started = Outcome::Program(ProgramNews::Started);
    assert_eq!(walk.step(started), Asked::Hear(SILENCE));
    assert_eq!(walk.state(), "AwaitAnswer");
    assert_eq!(walk.write(&ANSWER[..8]), Asked::Hear(SILENCE));
    walk.now += SECOND;
    assert_eq!(walk.write(&ANSWER[8..]), Asked::Hear(SILENCE));
    assert_eq!((walk.state(), walk.status()), ("AwaitOutput", "200"));
    walk.now += Duration::from_secs(295);
    assert_eq!(walk.write(b"d"), Asked::Hear(4 * SECOND), "300 in all");
    assert!(walk.log.is_empty());
    assert_eq!(
        walk.end(ProgramEnd::Exited(0)),
        Asked::Receive(KEEPALIVE, true)
    );
    assert_eq!(walk.state(), "AwaitRequest");
    assert!(String::from_utf8_lossy(&walk.log).contains("\" 200 4 "));
    assert!(walk.connection.errand.is_none());
}

#[test]
fn a_program_that_cannot_be_run() {
    for (outcome, status) in [
        (Outcome::Missing(OpenError::NotFound), "404"),
        (Outcome::Missing(OpenError::Escapes), "403"),
        (Outcome::Missing(OpenError::Exhausted), "503"),
        (Outcome::Missing(OpenError::Failed), "500"),
    ] {
        let mut walk = at("AwaitScript");
        walk.step(outcome);
        assert_eq!(walk.status(), status, "{outcome:?}");
    }
    // What cannot be read may still be run.
    let asked = at("AwaitScript").step(Outcome::Missing(OpenError::Denied));
    assert_eq!(asked, Asked::Run("a".to_owned()));
    for (error, status) in [
        (RunError::NotFound, "404"),
        (RunError::Denied, "403"),
        (RunError::Escapes, "403"),
        (RunError::Busy, "503"),
        (RunError::Exhausted, "503"),
        (RunError::Failed, "500"),
    ] {
        let mut walk = at("AwaitStart");
        walk.step(Outcome::Program(ProgramNews::NotStarted(error)));
        assert_eq!(walk.status(), status, "{error:?}");
        let head = String::from_utf8_lossy(walk.output.unsent()).into_owned();
        assert_eq!(head.contains("Retry-After: "), status == "503");
    }
}

#[test]
fn silence_in_each_state() {
    for (state, reason, status) in [
        ("AwaitRequest", CloseReason::Idle, ""),
        ("AwaitHead", CloseReason::RequestTimeout, "408"),
        ("AwaitBody", CloseReason::BodyTimeout, "408"),
        ("AwaitAnswer", TOO_LONG, "504"),
        ("AwaitRedirect", TOO_LONG, "504"),
        ("AwaitOutput", TOO_LONG, "200"),
    ] {
        let mut walk = at(state);
        let asked = walk.step(Outcome::TimedOut);
        assert!(matches!(asked, Asked::Close(found, _) if found == reason));
        assert_eq!(walk.output.is_empty(), status.is_empty());
        if !status.is_empty() {
            assert_eq!(walk.status(), status);
        }
    }
}

#[test]
fn the_peer_finishes_in_each_state() {
    for (state, reason) in [
        ("AwaitRequest", CloseReason::PeerClosed),
        ("AwaitHead", CloseReason::CutShort),
        ("AwaitBody", CloseReason::CutShort),
    ] {
        let mut walk = at(state);
        let asked = walk.step(Outcome::PeerFinished);
        assert_eq!(asked, Asked::Close(reason, Manner::AtOnce), "{state}");
        assert!(walk.output.is_empty(), "{state}");
    }
}

#[test]
fn long_output_is_flushed_before_the_next_request() {
    let mut walk = Walk::begun();
    walk.output.push(&[0; Output::ENOUGH]);
    walk.input.push(OPTIONS);
    assert_eq!(walk.receive(GET), Asked::Flush);
    assert_eq!(walk.state(), "AwaitFlush");
    assert_eq!(walk.activity.requests, 1);
    walk.output.advance(usize::MAX);
    assert_eq!(walk.step(Outcome::Flushed), Asked::Open("a".to_owned()));
}

/// Every state but Closed.
const STATES: &[&str] = &[
    "New",
    "AwaitRequest",
    "AwaitHead",
    "AwaitBody",
    "AwaitVerdict",
    "AwaitReport",
    "AwaitFile",
    "AwaitSibling",
    "AwaitRead",
    "AwaitSent",
    "AwaitPart",
    "AwaitPiece",
    "AwaitEntries",
    "AwaitRoom",
    "AwaitScript",
    "AwaitStart",
    "AwaitAnswer",
    "AwaitOutput",
    "AwaitRedirect",
    "AwaitTaken",
    "AwaitFlush",
];

#[test]
fn a_break_leads_to_closed_from_everywhere_and_is_logged_once() {
    for &state in STATES {
        let mut walk = at(state);
        let logged = walk.log.len();
        if state != "AwaitTaken" {
            walk.output.advance(usize::MAX);
        }
        let broken = Outcome::Broken {
            sent: 3,
            reason: CloseReason::WriteStalled,
        };
        assert_eq!(
            walk.step(broken),
            Asked::Close(CloseReason::WriteStalled, Manner::AtOnce)
        );
        assert_eq!(walk.state(), "Closed");
        let line = String::from_utf8_lossy(&walk.log[logged..]).into_owned();
        let under_way = !["New", "AwaitRequest", "AwaitFlush"].contains(&state);
        assert_eq!(
            line.lines().count(),
            usize::from(under_way),
            "{state}: {line}"
        );
        let status = match state {
            "AwaitSent" | "AwaitOutput" => "\" 200 3 ",
            "AwaitPart" => "\" 206 ",
            "AwaitPiece" | "AwaitRoom" => "\" 200 ",
            // Nothing of the content has left: it is still there.
            "AwaitTaken" => "\" 200 - ",
            _ if under_way => "\" 499 - ",
            _ => "",
        };
        assert!(line.contains(status), "{state}: {line}");
        // And no second one, whatever comes then.
        let logged = walk.log.len();
        walk.step(Outcome::TimedOut);
        assert_eq!(walk.log.len(), logged, "{state}");
    }
}

#[test]
fn what_a_broken_driver_leaves_is_logged_once_as_well() {
    for &state in STATES {
        let mut walk = at(state);
        let logged = walk.log.len();
        walk.step(Outcome::Connected);
        let line = String::from_utf8_lossy(&walk.log[logged..]).into_owned();
        let under_way = !["New", "AwaitRequest", "AwaitFlush"].contains(&state);
        assert_eq!(
            line.lines().count(),
            usize::from(under_way),
            "{state}: {line}"
        );
        assert!(!under_way || line.contains("\" 500 - "), "{state}: {line}");
    }
}

#[test]
fn each_request_has_a_line_and_a_name_of_its_own() {
    let mut walk = Walk::begun();
    assert_eq!(walk.connection.subject(), None);
    let mut names = Vec::new();
    for _ in 0..3 {
        walk.receive(OPTIONS);
        names.extend(walk.connection.subject());
        walk.output.advance(usize::MAX);
    }
    walk.receive(b"G");
    walk.step(Outcome::PeerFinished);
    names.extend(walk.connection.subject());
    names.dedup();
    assert_eq!((names.len(), walk.activity.requests), (4, 4));
    let log = String::from_utf8_lossy(&walk.log).into_owned();
    assert_eq!(log.lines().count(), 4);
    assert!(
        log.lines()
            .last()
            .is_some_and(|line| line.contains("\"G\" 499 - "))
    );
}

#[test]
fn a_refused_head_says_nothing_of_the_request_before() {
    let mut walk = at("AwaitEntries");
    walk.step(Outcome::Listed { more: false });
    let listing = String::from_utf8_lossy(walk.output.unsent()).into_owned();
    assert!(listing.contains("\r\nVary: Accept\r\n"), "{listing}");
    walk.output.advance(usize::MAX);
    walk.receive(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(walk.status(), "400");
    let refusal = String::from_utf8_lossy(walk.output.unsent()).into_owned();
    assert!(!refusal.contains("\r\nVary: "), "{refusal}");
}

#[test]
fn a_line_tells_what_took_how_long() {
    let mut walk = Walk::logging(LineFormat::Json);
    walk.step(Outcome::Connected);
    walk.receive(b"G");
    walk.now += SECOND;
    walk.receive(&GET[1..]);
    walk.step(Outcome::Found(FILE));
    walk.now += SECOND;
    assert_eq!(walk.one_step(Outcome::Sent), Asked::Flush);
    assert!(walk.log.is_empty(), "the kernel has not taken it");
    walk.now += SECOND;
    walk.one_step(Outcome::Flushed);
    assert_eq!(walk.duration(), 3_000_000);
    // The next one counts from its own first octet.
    walk.now += SECOND;
    walk.receive(OPTIONS);
    assert_eq!(walk.duration(), 0);
}

#[test]
fn an_answer_that_nobody_takes_keeps_its_reason() {
    let mut walk = Walk::logging(LineFormat::Json);
    walk.step(Outcome::Connected);
    walk.input.push(b"get / HTTP/1.1\r\n\r\n");
    assert_eq!(walk.one_step(Outcome::Received), Asked::Flush);
    let broken = Outcome::Broken {
        sent: 0,
        reason: CloseReason::Reset,
    };
    let refused = CloseReason::Refused("rfc9110-9.1 method");
    let asked = walk.step(broken);
    assert_eq!(asked, Asked::Close(refused, Manner::AtOnce));
    assert!(String::from_utf8_lossy(&walk.log).contains("\"rule\":\"rfc9110-9.1 method\""));
}

const STARTED: Outcome = Outcome::Program(ProgramNews::Started);
const WROTE: Outcome = Outcome::Program(ProgramNews::Wrote);
const ENDED: Outcome = Outcome::Program(ProgramNews::Ended(ProgramEnd::Exited(0)));

#[test]
fn an_outcome_nobody_asked_for_ends_the_connection() {
    let outcomes = [
        Outcome::Connected,
        Outcome::Received,
        Outcome::PeerFinished,
        Outcome::TimedOut,
        Outcome::Flushed,
        Outcome::Found(FILE),
        Outcome::Missing(OpenError::NotFound),
        Outcome::Sent,
        Outcome::Read,
        Outcome::Computed(true),
        Outcome::Overloaded,
        Outcome::Reported,
        Outcome::Listed { more: true },
        STARTED,
        WROTE,
        ENDED,
    ];
    let reading = [Outcome::Received, Outcome::PeerFinished, Outcome::TimedOut];
    for (state, fitting) in [
        ("New", &[Outcome::Connected][..]),
        ("AwaitRequest", &reading),
        ("AwaitHead", &reading),
        ("AwaitBody", &reading),
        (
            "AwaitFile",
            &[Outcome::Found(FILE), Outcome::Missing(OpenError::NotFound)],
        ),
        (
            "AwaitVerdict",
            &[Outcome::Computed(true), Outcome::Overloaded],
        ),
        ("AwaitReport", &[Outcome::Reported, Outcome::Overloaded]),
        (
            "AwaitSibling",
            &[Outcome::Found(FILE), Outcome::Missing(OpenError::NotFound)],
        ),
        ("AwaitRead", &[Outcome::Read]),
        ("AwaitSent", &[Outcome::Sent]),
        ("AwaitPart", &[Outcome::Sent]),
        ("AwaitPiece", &[Outcome::Flushed]),
        (
            "AwaitEntries",
            &[
                Outcome::Listed { more: true },
                Outcome::Missing(OpenError::NotFound),
            ],
        ),
        ("AwaitRoom", &[Outcome::Flushed]),
        (
            "AwaitScript",
            &[Outcome::Found(FILE), Outcome::Missing(OpenError::NotFound)],
        ),
        ("AwaitStart", &[STARTED]),
        ("AwaitAnswer", &[WROTE, ENDED, Outcome::TimedOut]),
        ("AwaitOutput", &[WROTE, ENDED, Outcome::TimedOut]),
        ("AwaitRedirect", &[WROTE, ENDED, Outcome::TimedOut]),
        ("AwaitTaken", &[Outcome::Flushed]),
        ("AwaitFlush", &[Outcome::Flushed]),
        ("Closed", &[]),
    ] {
        for outcome in outcomes {
            let asked = at(state).one_step(outcome);
            let internal = Asked::Close(CloseReason::Internal, Manner::AtOnce);
            assert_eq!(
                asked == internal,
                !fitting.contains(&outcome),
                "{outcome:?} in {state}: {asked:?}"
            );
        }
    }
}

#[test]
fn a_head_is_late_also_where_octets_never_cease() {
    // Rule 114.
    let mut walk = at("AwaitHead");
    walk.now += HEADER - SECOND;
    assert_eq!(walk.receive(b"E"), Asked::Receive(SECOND, false));
    walk.now += SECOND;
    assert_eq!(
        walk.receive(b"T"),
        Asked::Close(CloseReason::RequestTimeout, Manner::Linger)
    );
    assert_eq!(walk.status(), "408");
    // What is whole by then is answered.
    let mut walk = at("AwaitHead");
    walk.now += HEADER;
    assert_eq!(walk.receive(&GET[1..]), Asked::Open("a".to_owned()));
}

#[test]
fn a_draining_worker_answers_what_has_begun() {
    let mut walk = Walk::begun();
    walk.draining = true;
    assert_eq!(walk.receive(GET), Asked::Open("a".to_owned()));
    walk.step(Outcome::Found(FILE));
    assert!(String::from_utf8_lossy(walk.output.unsent()).contains("Connection: close\r\n"));
    assert_eq!(
        walk.step(Outcome::Sent),
        Asked::Close(CloseReason::Draining, Manner::Linger)
    );
    let mut idle = at("AwaitRequest");
    idle.draining = true;
    assert_eq!(
        idle.step(Outcome::TimedOut),
        Asked::Close(CloseReason::Draining, Manner::AtOnce)
    );
}

#[test]
fn unread_octets_make_the_close_careful() {
    let mut walk = Walk::begun();
    walk.input.push(b"GET /a HTTP/1.0\r\n\r\n");
    walk.receive(b"more");
    walk.step(Outcome::Found(FILE));
    assert_eq!(
        walk.step(Outcome::Sent),
        Asked::Close(CloseReason::Complete, Manner::Linger)
    );
}

#[test]
fn a_connection_at_rest_is_small() {
    let size = size_of::<Session>();
    assert!(size <= 88, "{size} octets");
}
