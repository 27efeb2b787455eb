//! One lane of a worker: the clock, the row, the title and the access log of
//! whoever serves one connection at a time, or of an event loop.

use super::Duty;
use super::complaints::{Who, report};
use super::gate::Partings;
use super::journal::Lines;
use crate::calendar::Wall;
use crate::mix::mix_in;
use crate::protocol::{Activity, CloseReason, Input, Output, Peer};
use crate::scoreboard::{Counter, Row, RowState};
use crate::sys::{clock, random};
use std::io::Write;
use std::time::{Duration, Instant};

/// What a driver's loop carries along. Not shared: each thread has its own.
pub struct Lane<'d> {
    /// What the worker gave us.
    pub duty: &'d Duty,
    /// This lane's row.
    pub row: Row,
    /// When this turn began.
    pub now: Instant,
    /// What is being worked on, as the protocol tells it.
    pub activity: Activity,
    /// Access-log lines not yet written.
    pub lines: Lines,
    /// Buffers that no connection needs now.
    pub spares: Spares,
    /// Its number among those of the worker that have one connection at a time.
    pub(super) entry: usize,
    pub(super) partings: Partings,
    /// For what chance decides.
    pub(super) dice: u64,
    wall: Wall,
    face: Face,
}

/// How much of a connection the row and the title show.
enum Face {
    /// This lane has one connection at a time: all of it.
    Full {
        /// The title up to the peer; `None` where it is not this lane's to write.
        title: Option<Vec<u8>>,
        peer: String,
        state: RowState,
        since: Instant,
        /// Whether the title says that the worker drains, once it says
        /// anything of this lane.
        draining: Option<bool>,
    },
    /// Many connections: their number is all that fits.
    Summary,
}

/// Buffers between two uses: an idle connection has none, and a busy one need
/// not ask the allocator.
#[derive(Debug, Default)]
pub struct Spares {
    inputs: Vec<Input>,
    outputs: Vec<Output>,
}

impl Spares {
    /// How many of each are kept.
    const MOST: usize = 64;
    /// Room for an answer of the usual length, in octets.
    const FIRST_OUTPUT: usize = 4096;

    /// Gives memory to a buffer that has none.
    pub fn lend_input(&mut self, buffer: &mut Input) {
        if buffer.is_bare()
            && let Some(spare) = self.inputs.pop()
        {
            *buffer = spare;
        }
    }

    /// As [`Spares::lend_input`].
    pub fn lend_output(&mut self, buffer: &mut Output) {
        if buffer.is_bare()
            && let Some(spare) = self.outputs.pop()
        {
            *buffer = spare;
        }
    }

    /// Has one of each at hand, with memory.
    pub fn stock_up(&mut self) {
        let (mut input, mut output) = (Input::default(), Output::default());
        input.room();
        output.tail().reserve(Self::FIRST_OUTPUT);
        self.take_back_input(&mut input);
        self.take_back_output(&mut output);
    }

    /// Takes the memory of an empty buffer.
    pub fn take_back_input(&mut self, buffer: &mut Input) {
        let mut buffer = std::mem::take(buffer);
        buffer.reset();
        if !buffer.is_bare() && self.inputs.len() < Self::MOST {
            self.inputs.push(buffer);
        }
    }

    /// As [`Spares::take_back_input`].
    pub fn take_back_output(&mut self, buffer: &mut Output) {
        let mut buffer = std::mem::take(buffer);
        buffer.reset();
        if !buffer.is_bare() && self.outputs.len() < Self::MOST {
            self.outputs.push(buffer);
        }
    }
}

impl<'d> Lane<'d> {
    /// A lane that has one connection at a time. `titled` if the process
    /// title is its own to write.
    pub fn single(duty: &'d Duty, row: Row, titled: bool) -> Self {
        let title = duty
            .title
            .filter(|_| titled)
            .map(|_| Vec::with_capacity(256));
        let now = Instant::now();
        let face = Face::Full {
            title,
            peer: String::new(),
            state: RowState::Idle,
            since: now,
            draining: None,
        };
        Self::new(duty, row, face)
    }

    /// In a worker that forks: this lane, which `worker` keeps for the purpose,
    /// will be that of the next child, which serves connection `number`. Each
    /// number has request names of its own, four thousand million of them.
    pub fn become_childs(&mut self, worker: &Self, row: Row, number: u64) {
        self.row = row;
        self.now = worker.now;
        self.wall = worker.wall;
        self.dice = worker.dice;
        self.activity = worker.activity.counting_apart(number << 32);
    }

    /// A lane that has many.
    pub fn many(duty: &'d Duty, row: Row) -> Self {
        Self::new(duty, row, Face::Summary)
    }

    fn new(duty: &'d Duty, row: Row, face: Face) -> Self {
        // Without chance, two workers might name requests alike.
        let number = random::number().unwrap_or_default();
        Self {
            duty,
            row,
            now: Instant::now(),
            activity: Activity::counting_from(number),
            entry: 0,
            partings: Partings::default(),
            // From a request's name nobody must know what comes next.
            dice: mix_in(number, b"dice"),
            lines: Lines::default(),
            spares: Spares::default(),
            wall: clock::wall(),
            face,
        }
    }

    /// Looks at the clocks; the local calendar is worked out once a second.
    pub fn look_at_clock(&mut self) {
        self.now = Instant::now();
        let since = clock::since_1970();
        let unix = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        self.wall.nanoseconds = since.subsec_nanos();
        if unix != self.wall.unix {
            self.wall.unix = unix;
            self.wall.local = clock::local(unix);
        }
    }

    /// The time of day of this turn.
    pub fn wall(&self) -> &Wall {
        &self.wall
    }

    /// Wall and the parts that a protocol writes to, at once.
    pub fn parts(&mut self) -> (&Wall, &mut Vec<u8>, &mut Activity) {
        (&self.wall, &mut self.lines.text, &mut self.activity)
    }

    /// A connection begins.
    pub fn begin(&mut self, peer: &Peer) {
        self.row.add(Counter::Connections, 1);
        self.show(peer);
    }

    /// A connection that was counted before.
    pub fn show(&mut self, peer: &Peer) {
        self.activity.clear();
        if let Face::Full {
            peer: shown, title, ..
        } = &mut self.face
        {
            self.row.set_peer(peer.remote);
            self.row.set_active(1);
            self.row.set_text_aside();
            if title.is_some() {
                shown.clear();
                // Writing to a String cannot fail.
                let _ = std::fmt::write(shown, format_args!("{peer}"));
            }
        }
    }

    /// The client of the connection is another one than was shown so far.
    pub fn meet(&mut self, client: &Peer) {
        self.show(client);
        if let Face::Full { draining, .. } = &mut self.face {
            // So that the title is written again.
            *draining = None;
        }
    }

    /// A connection has ended: it is counted, and told where that is news.
    pub(super) fn end(&self, who: Who<'_>, reason: CloseReason) {
        report(&self.duty.complaints, who, reason, self.now);
        self.row.add(counter(reason), 1);
    }

    /// The protocol may have answered requests.
    pub fn count_answers(&mut self) {
        if let Some(answers) = self.activity.take_answers() {
            for (class, count) in Counter::ANSWERS.iter().zip(answers) {
                if count > 0 {
                    self.row.add(*class, u64::from(count));
                }
            }
            let probes = self.activity.take_probes();
            if probes > 0 {
                self.row.add(Counter::Probes, u64::from(probes));
            }
        }
    }

    /// What the lane does from now on, before anything that may take its time:
    /// an answer from memory to a client that takes it at once is not worth a
    /// line. Only a change is written, and how long a client is served, by us or by
    /// the program that has it.
    pub fn set_state(&mut self, new: RowState) {
        let retired = self.duty.is_retired();
        let Face::Full {
            title,
            peer,
            state,
            since,
            draining,
        } = &mut self.face
        else {
            return;
        };
        if *state != new {
            *state = new;
            *since = self.now;
            self.row.set_state(new, self.now);
        } else if !matches!(new, RowState::Writing | RowState::Session)
            && *draining == Some(retired)
        {
            return;
        }
        let (Some(line), Some(area)) = (title, self.duty.title) else {
            return;
        };
        *draining = Some(retired);
        line.clear();
        line.extend_from_slice(self.duty.title_prefix.as_bytes());
        if retired {
            line.extend_from_slice(b" draining,");
        }
        match new {
            RowState::Idle => line.extend_from_slice(b" idle"),
            RowState::Reading
            | RowState::KeepAlive
            | RowState::Closing
            | RowState::Serving
            | RowState::Program => {
                for part in [" ", new.name(), " ", peer] {
                    line.extend_from_slice(part.as_bytes());
                }
            }
            RowState::Writing => {
                for part in [b" serving ", peer.as_bytes(), b" ", self.activity.text()] {
                    line.extend_from_slice(part);
                }
                write_seconds(line, self.now.saturating_duration_since(*since));
            }
            // The text names the client.
            RowState::Session => {
                line.extend_from_slice(b" serving ");
                line.extend_from_slice(self.activity.text());
                write_seconds(line, self.now.saturating_duration_since(*since));
            }
        }
        area.set(line);
    }

    /// Until when what the lane waits for may take.
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        if let Face::Full { .. } = self.face {
            self.row.set_deadline(deadline);
        }
    }

    /// The protocol described a request: show it.
    pub fn show_activity(&self) {
        self.row.set_text(self.activity.text());
    }

    /// The lane waits for a connection.
    pub fn idle(&mut self) {
        if let Face::Full { .. } = self.face {
            self.row.set_active(0);
            self.row.set_deadline(None);
        }
        self.activity.clear();
        self.set_state(RowState::Idle);
    }

    /// Shows `text` behind the prefix of the title.
    pub fn show_summary(&self, text: &str) {
        if let Some(area) = self.duty.title {
            area.set(format!("{} {text}", self.duty.title_prefix).as_bytes());
        }
    }

    /// What a protocol wrote for the access log is noted; a good amount of it
    /// goes out.
    pub fn note_log(&mut self) {
        self.lines.note(self.now);
        if self.lines.is_enough() {
            self.write_log();
        }
    }

    /// Before a wait of at most [`Lines::HELD`]: writes access-log lines that
    /// may not wait so long.
    pub fn write_log_if_due(&mut self) {
        if self.lines.are_due(self.now, &self.duty.access_log) {
            self.write_log();
        }
        self.duty.complaints.settle(self.now);
        crate::log::tick(self.now);
    }

    /// Until when a wait may take that should end at `deadline`, for the sake
    /// of access-log lines that wait as well.
    pub fn until(&self, deadline: Instant) -> Instant {
        match self.lines.due() {
            Some(_) => deadline.min(self.now + Lines::HELD),
            None => deadline,
        }
    }

    /// Writes the access-log lines out.
    pub fn write_log(&mut self) {
        let written = self.lines.write(&self.duty.access_log);
        if written > 0 {
            self.row.add(Counter::Logged, written);
        }
    }
}

impl Drop for Lane<'_> {
    /// Whatever a lane ends for, what it answered is in the log.
    fn drop(&mut self) {
        self.write_log();
    }
}

/// How long it has been, from one second on.
fn write_seconds(line: &mut Vec<u8>, time: Duration) {
    let seconds = time.as_secs();
    if seconds > 0 {
        // Writing to a Vec cannot fail.
        let _ = write!(line, " {seconds}s");
    }
}

/// Where a reason is counted.
fn counter(reason: CloseReason) -> Counter {
    match reason {
        CloseReason::Complete => Counter::Complete,
        CloseReason::PeerClosed => Counter::PeerClosed,
        CloseReason::CutShort => Counter::CutShort,
        CloseReason::Idle => Counter::Idle,
        CloseReason::RequestTimeout => Counter::RequestTimeout,
        CloseReason::BodyTimeout => Counter::BodyTimeout,
        CloseReason::SlowBody => Counter::SlowBody,
        CloseReason::WriteStalled => Counter::WriteStalled,
        CloseReason::SlowReader => Counter::SlowReader,
        CloseReason::Reset => Counter::Reset,
        CloseReason::Refused(_) => Counter::Refused,
        CloseReason::RequestLimit => Counter::RequestLimit,
        CloseReason::Draining => Counter::Draining,
        CloseReason::Truncated => Counter::Truncated,
        CloseReason::Overflow => Counter::Overflow,
        CloseReason::Program(_) => Counter::Program,
        CloseReason::Internal => Counter::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_counted_under_its_own_name() {
        let reasons = [
            CloseReason::Complete,
            CloseReason::PeerClosed,
            CloseReason::CutShort,
            CloseReason::Idle,
            CloseReason::RequestTimeout,
            CloseReason::BodyTimeout,
            CloseReason::SlowBody,
            CloseReason::WriteStalled,
            CloseReason::SlowReader,
            CloseReason::Reset,
            CloseReason::Refused("rule"),
            CloseReason::RequestLimit,
            CloseReason::Draining,
            CloseReason::Truncated,
            CloseReason::Overflow,
            CloseReason::Program("rule"),
            CloseReason::Internal,
        ];
        for reason in reasons {
            assert_eq!(counter(reason).name(), reason.name());
        }
        // The one more is what no process can say of itself.
        let counters = reasons.map(counter).into_iter().chain([Counter::Killed]);
        assert!(counters.eq(Counter::CLOSES.iter().copied()));
    }
}
