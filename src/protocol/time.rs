//! RFC 868: the seconds since 1900-01-01T00:00:00Z as four octets, most
//! significant first, then close.
//!
//! Like [`super::message`], it must never lose its answer to bytes the client
//! sent. Four octets wrap around in February 2036; the RFC has no answer to
//! that, and clients take the era nearest to their own clock.

use super::message::speak_once;
use super::{Action, Outcome, Peer, Protocol, Responder, Service, Turn, Wall};

/// Seconds from 1900 to 1970: seventy years, seventeen of them leap years.
const TO_UNIX: i64 = (70 * 365 + 17) * 86_400;

/// The time service.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeService;

impl TimeService {
    /// The service; it waits for nothing and so has no settings.
    pub fn new() -> Self {
        Self
    }
}

impl Service for TimeService {
    fn connection(&self, _peer: &Peer) -> Box<dyn Protocol> {
        Box::new(Time)
    }
}

/// The time service over UDP: a datagram with the four octets for each that
/// comes; those of an empty one are all that RFC 868 speaks of.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeDatagrams {
    octets: [u8; 4],
}

impl Responder for TimeDatagrams {
    fn begin(&mut self, wall: &Wall) {
        self.octets = since_1900(wall.unix);
    }

    fn answer<'a>(&'a self, _request: &'a [u8]) -> Option<&'a [u8]> {
        Some(&self.octets)
    }
}

struct Time;

impl Protocol for Time {
    fn resume(&mut self, outcome: Outcome, turn: &mut Turn<'_>) -> Action<'_> {
        speak_once(outcome, turn, |turn| {
            turn.output.push(&since_1900(turn.wall.unix));
        })
    }
}

fn since_1900(unix: i64) -> [u8; 4] {
    // Only the era is lost by the cut.
    (unix.wrapping_add(TO_UNIX) as u32).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::harness::{Finale, WALL, World};
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        assert_eq!(since_1900(0), 2_208_988_800u32.to_be_bytes());
        assert_eq!(since_1900(420_595_200), 2_629_584_000u32.to_be_bytes());
    }

    #[test]
    fn wraps_instead_of_failing() {
        assert_eq!(since_1900((1 << 32) - TO_UNIX), [0; 4]);
    }

    #[test]
    fn a_datagram_is_answered_with_the_time_of_its_batch() {
        let mut service = TimeDatagrams::default();
        for unix in [0, 420_595_200] {
            service.begin(&Wall { unix, ..WALL });
            assert_eq!(service.answer(b""), Some(&since_1900(unix)[..]));
        }
    }

    #[test]
    fn four_octets_then_close() {
        let seen = World::new(TimeService::new()).run(&[], Finale::Silence);
        assert_eq!(seen.output, since_1900(WALL.unix));
    }
}
