//! A connection of the service `http` without a driver: a path leads to a file
//! of 1,000 octets, and who waits for the client has answered.

use preforkd::config::{Http, LogTarget};
use preforkd::protocol::http::HttpService;
use preforkd::protocol::{
    Action, Activity, Civil, Content, Facts, FileKind, Input, Outcome, Output, Peer, Protocol,
    Readiness, Service, Turn, Wall,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

/// 2026-07-01T10:30:05Z.
const WALL: Wall = Wall {
    unix: 1_782_901_805,
    nanoseconds: 250_000_000,
    local: Civil {
        year: 2026,
        month: 7,
        day: 1,
        hour: 10,
        minute: 30,
        second: 5,
        weekday: 3,
        offset_minutes: 0,
    },
};
const FACTS: Facts = Facts {
    kind: FileKind::File,
    length: 1000,
    mtime: WALL.unix - 3600,
    mtime_nanoseconds: 0,
    identity: (1, 2),
};

pub(crate) struct Talk {
    peer: Peer,
    protocol: Box<dyn Protocol>,
    now: Instant,
    input: Input,
    output: Output,
    entries: Vec<preforkd::protocol::Entry>,
    content: Content,
    program: Input,
    access_log: Vec<u8>,
    activity: Activity,
}

/// What the protocol asked for, and has from the driver.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// For what the client says next.
    Client,
    /// For something that is given at once, with this outcome.
    Else(Outcome),
}

impl Talk {
    /// A client that has connected; lines for `log` are written and forgotten.
    pub(crate) fn new(log: LogTarget) -> Self {
        let mut settings = Http::with_defaults("/srv/www");
        settings.access_log = log;
        settings.keepalive_requests = 0;
        let remote = SocketAddr::from((Ipv4Addr::new(203, 0, 113, 9), 40_000));
        let peer = Peer {
            remote: Some(remote),
            local: None,
        };
        let mut talk = Self {
            protocol: HttpService::new(settings).connection(&peer),
            peer,
            now: Instant::now(),
            input: Input::default(),
            output: Output::default(),
            entries: Vec::new(),
            content: Content::default(),
            program: Input::default(),
            access_log: Vec::with_capacity(4096),
            activity: Activity::default(),
        };
        assert!(talk.resume(Outcome::Connected) == Asked::Client);
        talk
    }

    /// It sends `head`.
    pub(crate) fn hears(mut self, head: &str) -> Self {
        self.input.push(head.as_bytes());
        self
    }

    /// Reads the head, up to the path that is to be opened.
    pub(crate) fn decide(&mut self) {
        let asked = self.resume(Outcome::Received);
        assert!(asked == Asked::Else(Outcome::Found(FACTS)));
    }

    /// Writes the answer; how many octets it has.
    pub(crate) fn answer(&mut self) -> usize {
        let mut outcome = Outcome::Found(FACTS);
        while let Asked::Else(next) = self.resume(outcome) {
            outcome = next;
        }
        assert!(self.output.len() > FACTS.length as usize);
        self.output.len()
    }

    /// A request, and its answer taken.
    pub(crate) fn turn(&mut self, head: &str) -> usize {
        self.input.push(head.as_bytes());
        self.decide();
        let length = self.answer();
        self.output.advance(length);
        self.access_log.clear();
        length
    }

    fn resume(&mut self, outcome: Outcome) -> Asked {
        let mut turn = Turn {
            peer: &self.peer,
            now: self.now,
            wall: &WALL,
            draining: false,
            readiness: Readiness::Ready,
            input: &mut self.input,
            output: &mut self.output,
            entries: &mut self.entries,
            content: &mut self.content,
            program: &mut self.program,
            report: &mut Vec::new(),
            access_log: &mut self.access_log,
            activity: &mut self.activity,
        };
        match self.protocol.resume(outcome, &mut turn) {
            Action::Receive { .. } => Asked::Client,
            Action::Flush => Asked::Else(Outcome::Flushed),
            Action::Open { .. } => Asked::Else(Outcome::Found(FACTS)),
            Action::Read { into, .. } => {
                into.fill(b'x');
                Asked::Else(Outcome::Read)
            }
            Action::SendFile { length, .. } => {
                let part = vec![b'x'; usize::try_from(length).unwrap()];
                turn.output.push(&part);
                Asked::Else(Outcome::Sent)
            }
            other @ (Action::Compute(_)
            | Action::Report(_)
            | Action::List { .. }
            | Action::Run(_)
            | Action::ReceiveAtMost { .. }
            | Action::Meet(_)
            | Action::HandOver(_)
            | Action::Hear { .. }
            | Action::Close(_)) => panic!("nobody has a use for {other:?} here"),
        }
    }
}
