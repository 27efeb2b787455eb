//! RFC 867: date and time as a line of text, then close.
//!
//! The line is in the local time zone and names its offset from UTC:
//! `Wednesday, July 1, 2026 12:30:05 +0200`, one of the forms the RFC offers,
//! with the zone as digits because zone letters are ambiguous. Like
//! [`super::message`], it must never lose its line to bytes the client sent.

use std::io::Write;

use super::message::speak_once;
use super::{Action, Civil, Outcome, Peer, Protocol, Responder, Service, Turn, Wall};

/// The daytime service.
#[derive(Clone, Copy, Debug, Default)]
pub struct DaytimeService;

impl DaytimeService {
    /// The service; it waits for nothing and so has no settings.
    pub fn new() -> Self {
        Self
    }
}

impl Service for DaytimeService {
    fn connection(&self, _peer: &Peer) -> Box<dyn Protocol> {
        Box::new(Daytime)
    }
}

/// The daytime service over UDP: a datagram with the line for each that comes
/// (RFC 867). The line is made once a second.
#[derive(Clone, Debug, Default)]
pub struct DaytimeDatagrams {
    line: Vec<u8>,
    /// The second that it is of; `None` before the first.
    unix: Option<i64>,
}

impl Responder for DaytimeDatagrams {
    fn begin(&mut self, wall: &Wall) {
        if self.unix != Some(wall.unix) {
            self.unix = Some(wall.unix);
            self.line.clear();
            write_line(&mut self.line, &wall.local);
        }
    }

    fn answer<'a>(&'a self, _request: &'a [u8]) -> Option<&'a [u8]> {
        Some(&self.line)
    }
}

struct Daytime;

impl Protocol for Daytime {
    fn resume(&mut self, outcome: Outcome, turn: &mut Turn<'_>) -> Action<'_> {
        speak_once(outcome, turn, |turn| {
            write_line(turn.output, &turn.wall.local)
        })
    }
}

fn write_line(output: &mut impl Write, time: &Civil) {
    // Writing to a buffer in memory cannot fail.
    let _ = write!(
        output,
        "{}, {} {}, {} {:02}:{:02}:{:02} {}\r\n",
        weekday(time.weekday),
        month(time.month),
        time.day,
        time.year,
        time.hour,
        time.minute,
        time.second,
        time.offset(),
    );
}

fn weekday(day: u8) -> &'static str {
    const NAMES: [&str; 7] = [
        "Sunday",
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
    ];
    NAMES[usize::from(day) % 7]
}

fn month(month: u8) -> &'static str {
    const NAMES: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    NAMES[usize::from(month.saturating_sub(1)) % 12]
}

#[cfg(test)]
mod tests {
    use super::super::harness::{Finale, WALL, World};
    use super::super::{CloseReason, Manner};
    use super::*;

    #[test]
    fn one_line_with_the_local_time() {
        // Rule 133; the harness' pretend clock stands at this second.
        let seen = World::new(DaytimeService::new()).run(&[b"junk"], Finale::Silence);
        assert_eq!(seen.output, b"Wednesday, July 1, 2026 12:30:05 +0200\r\n");
        assert_eq!(seen.ending.reason, CloseReason::Complete);
        assert_eq!(seen.ending.manner, Manner::Linger);
    }

    #[test]
    fn a_datagram_is_answered_with_the_line_of_its_second() {
        // Rule 133.
        let mut service = DaytimeDatagrams::default();
        let line = b"Wednesday, July 1, 2026 12:30:05 +0200\r\n";
        service.begin(&WALL);
        assert_eq!(service.answer(b"junk"), Some(&line[..]));
        let mut later = WALL;
        (later.unix, later.local.second) = (WALL.unix + 1, 6);
        service.begin(&later);
        let line = b"Wednesday, July 1, 2026 12:30:06 +0200\r\n";
        assert_eq!(service.answer(b""), Some(&line[..]));
    }
}
