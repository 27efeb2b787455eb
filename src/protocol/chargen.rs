//! RFC 864: lines of characters without end.
//!
//! Each line is 72 of the 95 printing characters, begins one character later
//! than the line before and ends with CRLF. The machine makes one portion,
//! asks for [`Action::Flush`] and makes the next when that one has left, so
//! its memory is bounded however slowly the client reads. It must never wait
//! for input: what the client says is thrown away, and that it has gone is
//! learnt from the write that fails.
//!
//! Over UDP the answer has between 0 and 512 characters, see
//! [`ChargenDatagrams`].

use super::{
    Action, CloseReason, Ending, Manner, Outcome, Peer, Protocol, Responder, Service, Turn, Wall,
};

const FIRST: u8 = b' ';
const CHARACTERS: usize = 95;
const LINE: usize = 72;

/// The character generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChargenService;

impl ChargenService {
    /// The service; how long a client may stop reading is the driver's setting.
    pub fn new() -> Self {
        Self
    }
}

impl Service for ChargenService {
    fn connection(&self, _peer: &Peer) -> Box<dyn Protocol> {
        Box::new(Chargen)
    }
}

/// The character generator over UDP. RFC 864 has a random number of characters,
/// 0 to 512, in each answer, which makes of an empty datagram with a forged
/// address one of 256 octets for whom the address is (CVE-1999-0103). So here it
/// is the number of octets that came, and random only where that is wanted.
#[derive(Clone, Debug)]
pub struct ChargenDatagrams {
    text: Vec<u8>,
    /// How many characters answers have that may be larger than the request.
    length: Option<usize>,
}

/// The most characters in a datagram.
const MOST: usize = 512;

impl ChargenDatagrams {
    /// The service; with `amplify` as RFC 864 has it.
    pub fn new(amplify: bool) -> Self {
        let mut text = Vec::new();
        write_round(&mut text);
        text.truncate(MOST);
        Self {
            text,
            length: amplify.then_some(MOST),
        }
    }
}

impl Responder for ChargenDatagrams {
    fn begin(&mut self, wall: &Wall) {
        // Nobody gains by a guess, so the clock is chance enough.
        if let Some(length) = &mut self.length {
            *length = wall.nanoseconds as usize % (MOST + 1);
        }
    }

    fn answer<'a>(&'a self, request: &'a [u8]) -> Option<&'a [u8]> {
        let length = self.length.unwrap_or(request.len());
        self.text.get(..length.min(self.text.len()))
    }
}

struct Chargen;

impl Protocol for Chargen {
    fn resume(&mut self, outcome: Outcome, turn: &mut Turn<'_>) -> Action<'_> {
        let reason = match outcome {
            Outcome::Connected | Outcome::Flushed if turn.draining => CloseReason::Draining,
            Outcome::Connected | Outcome::Flushed => {
                turn.input.consume(usize::MAX);
                write_round(turn.output.tail());
                return Action::Flush;
            }
            Outcome::Broken { reason, .. } => reason,
            Outcome::Received
            | Outcome::PeerFinished
            | Outcome::TimedOut
            | Outcome::Found(_)
            | Outcome::Missing(_)
            | Outcome::Sent
            | Outcome::Read
            | Outcome::Computed(_)
            | Outcome::Reported
            | Outcome::Overloaded
            | Outcome::Program(_)
            | Outcome::HandedOver(_)
            | Outcome::Listed { .. } => CloseReason::Internal,
        };
        Action::Close(Ending {
            reason,
            manner: Manner::Linger,
        })
    }
}

/// One line from each of the 95 starting points, 7,030 octets: after it the
/// pattern begins anew, so no position has to be remembered.
fn write_round(out: &mut Vec<u8>) {
    for start in 0..CHARACTERS {
        // The remainder is below 95, so the sum stays below 127.
        out.extend((start..start + LINE).map(|at| FIRST + (at % CHARACTERS) as u8));
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::super::harness::{Finale, WALL, World};
    use super::*;

    #[test]
    fn lines_rotate_and_wrap() {
        let mut round = Vec::new();
        write_round(&mut round);
        let lines: Vec<&[u8]> = round.chunks(LINE + 2).collect();
        assert_eq!(lines.len(), CHARACTERS);
        assert!(lines[0].starts_with(b" !\"#$%&'()*+,-./0123456789"));
        assert!(lines[0].ends_with(b"cdefg\r\n"));
        assert!(lines[1].starts_with(b"!\"#") && lines[1].ends_with(b"defgh\r\n"));
        assert!(lines[94].starts_with(b"~ !\""));
        assert!(lines.iter().all(|line| line.len() == LINE + 2));
    }

    #[test]
    fn a_datagram_is_answered_with_no_more_than_it_had() {
        let service = ChargenDatagrams::new(false);
        for (length, answered) in [(0, 0), (1, 1), (511, 511), (65_507, 512)] {
            let request = vec![b'x'; length];
            assert_eq!(service.answer(&request).map(<[u8]>::len), Some(answered));
        }
        assert_eq!(service.answer(b"xxxx"), Some(&b" !\"#"[..]));
    }

    #[test]
    fn one_that_amplifies_answers_with_any_number_up_to_512() {
        let mut service = ChargenDatagrams::new(true);
        for (nanoseconds, answered) in [(0, 0), (512, 512), (513, 0), (999_999_999, 378)] {
            service.begin(&Wall {
                nanoseconds,
                ..WALL
            });
            assert_eq!(service.answer(b"x").map(<[u8]>::len), Some(answered));
        }
    }

    #[test]
    fn goes_on_until_the_peer_closes() {
        let world = World::new(ChargenService::new()).breaks_after(10);
        let seen = world.run(&[b"junk"], Finale::Silence);
        assert_eq!(seen.output.len(), 10 * CHARACTERS * (LINE + 2));
        assert_eq!(seen.deepest, CHARACTERS * (LINE + 2));
        assert_eq!(seen.ending.reason, CloseReason::Reset);
    }

    #[test]
    fn a_draining_worker_stops_at_a_line_end() {
        let seen = World::new(ChargenService::new())
            .drains_after(3)
            .run(&[], Finale::Silence);
        assert!(seen.output.ends_with(b"\r\n"));
        assert_eq!(seen.ending.reason, CloseReason::Draining);
    }
}
