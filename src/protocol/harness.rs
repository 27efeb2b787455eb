//! A pretend driver for tests: bytes in segments, files in a map, a clock that
//! moves only when somebody waits. It carries out actions as a real driver
//! does, and checks on the way what every protocol promises.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::Entry as Row;
use super::{
    Action, Activity, Civil, CloseReason, Content, Ending, Facts, FileKind, Input, OpenError,
    Outcome, Output, Patience, Peer, ProgramEnd, ProgramNews, Readiness, RunError, Service,
    SessionEnd, Turn, Wall,
};

/// Half a minute.
pub(crate) const PATIENCE: Patience = Patience {
    idle: Duration::from_secs(30),
};

/// 2026-07-01T10:30:05Z, seen from two hours east.
pub(crate) const WALL: Wall = Wall {
    unix: 1_782_901_805,
    nanoseconds: 250_000_000,
    local: Civil {
        year: 2026,
        month: 7,
        day: 1,
        hour: 12,
        minute: 30,
        second: 5,
        weekday: 3,
        offset_minutes: 120,
    },
};

/// Who connects.
pub(crate) const PEER: Peer = Peer {
    remote: Some(SocketAddr::new(
        IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)),
        40_000,
    )),
    local: Some(SocketAddr::new(
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        8080,
    )),
};

/// A line of what is reported, which is more than a buffer full.
const REPORT: &str = "VIEW ................................................................\n";

/// What the client does after its last segment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Finale {
    /// Sends FIN.
    Finish,
    /// Stays, and says nothing.
    Silence,
}

/// What the pretend file system has at a path.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    File(Vec<u8>, i64),
    Directory,
    Other,
    Fails(OpenError),
}

/// A program that was run, and what it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) path: String,
    pub(crate) environment: Vec<String>,
    pub(crate) content: Vec<u8>,
}

impl Ran {
    /// The value of a variable.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.environment
            .iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }
}

/// What a pretend program does.
#[derive(Clone, Debug)]
struct Script {
    output: Vec<u8>,
    /// `None`: it hangs.
    end: Option<ProgramEnd>,
}

/// A service and the world around it.
pub(crate) struct World {
    service: Box<dyn Service>,
    entries: HashMap<Vec<u8>, Entry>,
    scripts: HashMap<String, Script>,
    /// So many octets a program writes at once.
    write: usize,
    session: Option<SessionEnd>,
    flushes_before_break: usize,
    file_breaks_at: Option<u64>,
    resumes_before_drain: usize,
    reads_late: bool,
    computes: usize,
    readiness: Readiness,
    pause: Duration,
    /// Nobody is welcome whom a proxy names.
    unwelcoming: bool,
}

/// Everything that could be seen of a connection.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) output: Vec<u8>,
    pub(crate) ending: Ending,
    pub(crate) log: String,
    pub(crate) requests: u64,
    pub(crate) probes: u64,
    pub(crate) activity: Vec<u8>,
    /// Answers, 1xx to 5xx.
    pub(crate) answers: [u32; 5],
    /// The paths that were opened, in order.
    pub(crate) opened: Vec<String>,
    /// The most octets that waited in the output at once.
    pub(crate) deepest: usize,
    pub(crate) flushes: usize,
    /// How often work was asked for.
    pub(crate) computed: usize,
    /// How far the clock moved.
    pub(crate) elapsed: Duration,
    /// The programs that were run, in order.
    pub(crate) ran: Vec<Ran>,
    /// One of them was still running at the end.
    pub(crate) left_running: bool,
    /// Whom a proxy named.
    pub(crate) met: Option<Peer>,
    /// What was taken off the socket and not consumed.
    pub(crate) unread: Vec<u8>,
    /// How many octets were still on the socket.
    pub(crate) untaken: usize,
}

impl World {
    pub(crate) fn new(service: impl Service + 'static) -> Self {
        Self {
            service: Box::new(service),
            entries: HashMap::new(),
            scripts: HashMap::new(),
            write: usize::MAX,
            session: None,
            flushes_before_break: usize::MAX,
            file_breaks_at: None,
            resumes_before_drain: usize::MAX,
            reads_late: false,
            computes: usize::MAX,
            readiness: Readiness::Ready,
            pause: Duration::ZERO,
            unwelcoming: false,
        }
    }

    pub(crate) fn with(mut self, path: &str, entry: Entry) -> Self {
        self.entries.insert(path.as_bytes().to_vec(), entry);
        self
    }

    /// A file that is a program as well: it writes this, and ends so, or hangs.
    pub(crate) fn with_program(
        mut self,
        path: &str,
        output: impl AsRef<[u8]>,
        end: Option<ProgramEnd>,
    ) -> Self {
        let output = output.as_ref().to_vec();
        self.scripts.insert(path.to_owned(), Script { output, end });
        self.with(path, Entry::File(b"source".to_vec(), 0))
    }

    /// A program that gets the connection ends so.
    pub(crate) fn with_session(mut self, end: SessionEnd) -> Self {
        self.session = Some(end);
        self
    }

    /// Programs write so many octets at once.
    pub(crate) fn writing(mut self, octets: usize) -> Self {
        self.write = octets;
        self
    }

    /// The peer resets the connection after so many flushes.
    pub(crate) fn breaks_after(mut self, flushes: usize) -> Self {
        self.flushes_before_break = flushes;
        self
    }

    /// The peer resets the connection after so many octets of a file.
    pub(crate) fn breaks_in_file(mut self, octets: u64) -> Self {
        self.file_breaks_at = Some(octets);
        self
    }

    /// The worker drains from the call of this number on, counted from 0.
    pub(crate) fn drains_after(mut self, resumes: usize) -> Self {
        self.resumes_before_drain = resumes;
        self
    }

    /// The client reads nothing before it has sent everything.
    pub(crate) fn reads_late(mut self) -> Self {
        self.reads_late = true;
        self
    }

    /// So long passes before each segment, unless the deadline comes first.
    pub(crate) fn pausing(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// There is too much work after so much of it.
    pub(crate) fn computes(mut self, computes: usize) -> Self {
        self.computes = computes;
        self
    }

    /// Nobody is welcome whom a proxy names.
    pub(crate) fn unwelcoming(mut self) -> Self {
        self.unwelcoming = true;
        self
    }

    /// So it stands with new clients.
    pub(crate) fn being(mut self, readiness: Readiness) -> Self {
        self.readiness = readiness;
        self
    }

    /// Runs a connection on `bytes` whole, in two segments at every point, and
    /// one octet at a time.
    pub(crate) fn every_way(&self, bytes: &[u8], finale: Finale, check: impl Fn(&Seen)) {
        check(&self.run(&[bytes], finale));
        for point in 1..bytes.len() {
            check(&self.run(&[&bytes[..point], &bytes[point..]], finale));
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        check(&self.run(&single, finale));
    }

    /// Runs one connection until the protocol closes it.
    pub(crate) fn run(&self, segments: &[&[u8]], finale: Finale) -> Seen {
        let begin = Instant::now();
        let mut now = begin;
        let mut segments = segments.iter().copied().filter(|part| !part.is_empty());
        let mut pending: &[u8] = &[];
        let (mut peer, mut met) = (PEER, None);
        let mut machine = self.service.connection(&PEER);
        let (mut input, mut output) = (Input::default(), Output::default());
        let (mut log, mut activity) = (Vec::new(), Activity::default());
        let (mut sent, mut opened) = (Vec::new(), Vec::new());
        let (mut deepest, mut flushes, mut file) = (0, 0, Vec::new());
        let (mut entries, mut directory) = (Vec::new(), Vec::new());
        let (mut computed, mut report) = (0, Vec::new());
        let (mut content, mut program) = (Content::default(), Input::default());
        let (mut ran, mut running): (Vec<Ran>, Option<Script>) = (Vec::new(), None);
        let mut outcome = Outcome::Connected;
        // When the next segment arrives.
        let mut due = None;
        for call in 0.. {
            assert!(call < 1_000_000, "the protocol does not end");
            let mut turn = Turn {
                peer: &peer,
                now,
                wall: &WALL,
                draining: call >= self.resumes_before_drain,
                readiness: self.readiness,
                input: &mut input,
                output: &mut output,
                entries: &mut entries,
                content: &mut content,
                program: &mut program,
                report: &mut report,
                access_log: &mut log,
                activity: &mut activity,
            };
            let action = machine.resume(outcome, &mut turn);
            deepest = deepest.max(output.len());
            let most = if let Action::ReceiveAtMost { most, .. } = action {
                most
            } else {
                usize::MAX
            };
            outcome = match action {
                Action::Meet(client) => {
                    (peer, met) = (client, Some(client));
                    if self.unwelcoming {
                        let reason = CloseReason::Refused("not welcome");
                        Outcome::Broken { sent: 0, reason }
                    } else {
                        Outcome::Connected
                    }
                }
                Action::Receive { deadline, .. } | Action::ReceiveAtMost { deadline, .. } => {
                    if pending.is_empty() {
                        let arrives = *due.get_or_insert(now + self.pause);
                        if arrives > deadline {
                            now = now.max(deadline);
                            outcome = Outcome::TimedOut;
                            continue;
                        }
                        (now, due) = (now.max(arrives), None);
                        pending = segments.next().unwrap_or_default();
                    }
                    if !self.reads_late || pending.is_empty() {
                        drain(&mut output, &mut sent);
                    }
                    if pending.is_empty() {
                        match finale {
                            Finale::Finish => Outcome::PeerFinished,
                            Finale::Silence => {
                                now = now.max(deadline);
                                Outcome::TimedOut
                            }
                        }
                    } else {
                        let taken = input.push(&pending[..pending.len().min(most)]);
                        assert!(taken > 0, "asked for more with a full input");
                        pending = &pending[taken..];
                        Outcome::Received
                    }
                }
                Action::Flush => {
                    drain(&mut output, &mut sent);
                    flushes += 1;
                    if flushes >= self.flushes_before_break {
                        Outcome::Broken {
                            sent: 0,
                            reason: CloseReason::Reset,
                        }
                    } else {
                        Outcome::Flushed
                    }
                }
                Action::Open { root, path } => {
                    assert_is_inside(path);
                    let text = named(root, path);
                    opened.push(text.clone());
                    directory = self.names_in(&text);
                    match root {
                        0 => self.open(path, &mut file),
                        _ => self.open(text.as_bytes(), &mut file),
                    }
                }
                Action::Read { offset, into } => {
                    let from = offset as usize;
                    into.copy_from_slice(&file[from..from + into.len()]);
                    Outcome::Read
                }
                Action::SendFile { offset, length } => {
                    let (from, count) = (offset as usize, length as usize);
                    let part = &file[from..from + count];
                    match self.file_breaks_at {
                        Some(octets) if octets < length => {
                            output.push(&part[..octets as usize]);
                            Outcome::Broken {
                                sent: octets,
                                reason: CloseReason::Reset,
                            }
                        }
                        Some(_) | None => {
                            output.push(part);
                            Outcome::Sent
                        }
                    }
                }
                Action::Compute(work) => {
                    computed += 1;
                    if computed > self.computes {
                        Outcome::Overloaded
                    } else {
                        Outcome::Computed(work.run())
                    }
                }
                Action::Report(view) => {
                    computed += 1;
                    if computed > self.computes {
                        Outcome::Overloaded
                    } else {
                        report = REPORT
                            .repeat(1500)
                            .replace("VIEW", &format!("{view:?}"))
                            .into();
                        Outcome::Reported
                    }
                }
                Action::List { path, .. } => {
                    assert_is_inside(path);
                    // Few at a time, so that there are several times.
                    let rest = directory.split_off(directory.len().min(2));
                    entries.extend(std::mem::replace(&mut directory, rest));
                    Outcome::Listed {
                        more: !directory.is_empty(),
                    }
                }
                Action::Run(wanted) => {
                    assert!(running.is_none(), "two programs at once");
                    assert_is_inside(wanted.path);
                    let path = named(wanted.root, wanted.path);
                    let lines = wanted.environment.split(|&byte| byte == 0);
                    let lines = lines.map(|line| String::from_utf8_lossy(line).into_owned());
                    ran.push(Ran {
                        path: path.clone(),
                        environment: lines.filter(|line| !line.is_empty()).collect(),
                        content: content.held().to_vec(),
                    });
                    running = self.scripts.get(&path).cloned();
                    if running.is_some() {
                        content.clear();
                    }
                    Outcome::Program(match running {
                        Some(_) => ProgramNews::Started,
                        None if path.ends_with("busy") => ProgramNews::NotStarted(RunError::Busy),
                        None => ProgramNews::NotStarted(RunError::Denied),
                    })
                }
                Action::HandOver(wanted) => {
                    drain(&mut output, &mut sent);
                    assert!(input.is_empty(), "octets would be lost to the program");
                    let lines = wanted.environment.split(|&byte| byte == 0);
                    let lines = lines.map(|line| String::from_utf8_lossy(line).into_owned());
                    ran.push(Ran {
                        path: wanted.program.to_string_lossy().into_owned(),
                        environment: lines.filter(|line| !line.is_empty()).collect(),
                        content: Vec::new(),
                    });
                    Outcome::HandedOver(self.session.expect("nobody expects a session"))
                }
                Action::Hear { deadline } => {
                    drain(&mut output, &mut sent);
                    let script = running.as_mut().expect("a program runs");
                    match (script.output.is_empty(), script.end) {
                        (false, _) => {
                            let count = script.output.len().min(self.write).min(64 * 1024);
                            let rest = script.output.split_off(count);
                            let part = std::mem::replace(&mut script.output, rest);
                            assert_eq!(program.push(&part), count, "it was not consumed");
                            Outcome::Program(ProgramNews::Wrote)
                        }
                        (true, Some(end)) => {
                            running = None;
                            Outcome::Program(ProgramNews::Ended(end))
                        }
                        (true, None) => {
                            now = now.max(deadline);
                            Outcome::TimedOut
                        }
                    }
                }
                Action::Close(ending) => {
                    drain(&mut output, &mut sent);
                    return Seen {
                        output: sent,
                        ending,
                        log: String::from_utf8(log).expect("the log is ASCII"),
                        requests: activity.requests,
                        probes: activity.take_probes().into(),
                        activity: activity.text().to_vec(),
                        answers: activity.take_answers().unwrap_or_default(),
                        opened,
                        deepest,
                        flushes,
                        computed,
                        elapsed: now - begin,
                        ran,
                        left_running: running.is_some(),
                        met,
                        unread: input.unread().to_vec(),
                        untaken: pending.len() + segments.map(<[u8]>::len).sum::<usize>(),
                    };
                }
            };
        }
        unreachable!("the loop has no other end");
    }

    /// What stands in a directory, in the order of names.
    fn names_in(&self, directory: &str) -> Vec<Row> {
        let prefix = match directory {
            "" => String::new(),
            root if root.ends_with(':') => root.to_owned(),
            directory => format!("{directory}/"),
        };
        let row = |(path, entry): (&Vec<u8>, &Entry)| {
            let name = path.strip_prefix(prefix.as_bytes())?;
            if name.is_empty() || name.contains(&b'/') || name.contains(&b':') {
                return None;
            }
            let (kind, length, mtime) = match entry {
                Entry::File(content, mtime) => (FileKind::File, content.len() as u64, *mtime),
                Entry::Directory => (FileKind::Directory, 0, 0),
                Entry::Other => (FileKind::Other, 0, 0),
                Entry::Fails(_) => return None,
            };
            let name = name.to_vec();
            Some(Row {
                name,
                kind,
                length,
                mtime,
            })
        };
        let mut rows: Vec<Row> = self.entries.iter().filter_map(row).collect();
        rows.sort_by(|one, other| one.name.cmp(&other.name));
        rows
    }

    fn open(&self, path: &[u8], file: &mut Vec<u8>) -> Outcome {
        let (kind, mtime) = match self.entries.get(path) {
            Some(Entry::File(content, mtime)) => {
                file.clone_from(content);
                (FileKind::File, *mtime)
            }
            Some(Entry::Directory) => (FileKind::Directory, 0),
            Some(Entry::Other) => (FileKind::Other, 0),
            Some(Entry::Fails(error)) => return Outcome::Missing(*error),
            None if path.is_empty() => (FileKind::Directory, 0),
            None => return Outcome::Missing(OpenError::NotFound),
        };
        Outcome::Found(Facts {
            kind,
            length: file.len() as u64,
            mtime,
            mtime_nanoseconds: 0,
            identity: identity(path),
        })
    }
}

/// A name is its own inode here.
pub(crate) fn identity(path: &[u8]) -> (u64, u64) {
    let octets = path.iter().map(|byte| u64::from(*byte));
    (
        1,
        octets.fold(0, |sum: u64, byte| sum.wrapping_mul(257) ^ byte),
    )
}

/// A path of the pretend files: those of other roots have their number in front.
fn named(root: usize, path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path).into_owned();
    match root {
        0 => text,
        root => format!("{root}:{text}"),
    }
}

fn drain(output: &mut Output, sent: &mut Vec<u8>) {
    sent.extend_from_slice(output.unsent());
    output.advance(usize::MAX);
}

/// What the contract promises of every path that is asked for.
fn assert_is_inside(path: &[u8]) {
    let text = String::from_utf8_lossy(path);
    assert!(!path.contains(&0), "NUL in {text:?}");
    assert!(!path.starts_with(b"/"), "absolute path {text:?}");
    for segment in path.split(|&byte| byte == b'/') {
        assert!(
            segment != b".." && segment != b".",
            "dot segment in {text:?}"
        );
    }
}
