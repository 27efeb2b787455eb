//! One connection: what the client of a case wishes next, from what has come so
//! far.
//!
//! ```text
//! Stepping ──steps done──▶ Awaiting ──answers had──▶ Following ──sent──▶ Ending
//!     │                       │                          │                 │
//!     └───────────────────────┴──the connection ends, or silence──────────▶ Done
//! ```
//!
//! Behind the answers that a case awaits the client sends another request, the
//! follow-up: HEAD with `Connection: close`. If the connection stays it is
//! answered, and answered right, so that no octet of the case was left over or
//! missing; if the connection ends it is not. So whether it stays is never a
//! matter of time.

use super::answer::{Answer, Parsed, parse};
use super::site::Site;
use super::{Case, Codes, Expected, MOST_TAKEN, Right, Split, Step};
use std::collections::VecDeque;
use std::time::Duration;

/// What a proxy says before all else (the PROXY protocol, §2.1); the addresses
/// are for documentation (RFC 5737).
const HEADER: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 50000 80\r\n";
/// Between two segments, so that the first may be taken by itself.
const BETWEEN: Duration = Duration::from_millis(10);
/// From here on even octet by octet is sent in one piece.
const SINGLE: usize = 1200;

/// What the client wishes.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish<'e> {
    /// To send some of this, and to hear what comes meanwhile.
    Send(&'e [u8]),
    /// To hear for so long.
    Pause(Duration),
    /// To say that it sends no more.
    Finish,
    /// To hear, up to the end or the end of its patience.
    Hear,
    /// Not to read, and to learn when the connection is gone.
    Watch,
    /// Nothing: it is over.
    Nothing,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By FIN.
    Orderly,
    /// By RST.
    Reset,
    /// It did not, in all the time that there was.
    Silence,
    /// It did not: nobody reads more than this.
    Enough,
    /// It did not: what came is no answer, so nothing that still comes is right.
    Broken,
}

/// What a case brought.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The answers to the case, interim ones included.
    pub answers: Vec<Answer>,
    /// Whether the follow-up was answered as it should be.
    pub followed: bool,
    /// How the connection ended.
    pub ended: Ended,
    /// What came that is no answer, or not all of one.
    pub fault: Option<String>,
    /// All that was sent of the case.
    pub sent: Vec<u8>,
    /// All that came.
    pub octets: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Stepping,
    Awaiting,
    Following,
    Ending,
    Done(Ended),
}

/// One connection.
#[derive(Debug)]
pub struct Exchange<'c> {
    case: &'c Case,
    /// What is still to be done; the first may be done in part.
    steps: VecDeque<Step>,
    /// How much of the octets at hand is sent.
    at: usize,
    state: State,
    /// So many octets go before those of the case: a header of a proxy's.
    preface: usize,
    follow_up: Vec<u8>,
    usual: u16,
    finished: bool,
    sent: Vec<u8>,
    octets: Vec<u8>,
    /// `octets` are taken apart up to here.
    parsed: usize,
    answers: Vec<Answer>,
    /// How many of them came before the follow-up was sent.
    before: Option<usize>,
    fault: Option<String>,
}

impl<'c> Exchange<'c> {
    /// A connection on which nothing was said yet.
    pub fn new(case: &'c Case, site: &Site, split: Split) -> Self {
        let preface = match site.is_proxied && !case.is_bare {
            true => HEADER,
            false => b"",
        };
        let header = (!preface.is_empty()).then(|| Step::Send(preface.to_vec()));
        let steps = header.iter().chain(&case.steps);
        let mut exchange = Self {
            case,
            steps: steps.flat_map(|step| pieces(step, split)).collect(),
            preface: preface.len(),
            at: 0,
            state: State::Stepping,
            follow_up: site.follow_up().into_bytes(),
            usual: site.usual,
            finished: false,
            sent: Vec::new(),
            octets: Vec::new(),
            parsed: 0,
            answers: Vec::new(),
            before: None,
            fault: None,
        };
        exchange.advance();
        exchange
    }

    /// What is to be done now.
    pub fn wish(&self) -> Wish<'_> {
        match self.state {
            State::Stepping => match self.steps.front() {
                Some(Step::Send(octets)) => Wish::Send(&octets[self.at..]),
                Some(Step::Pause(time)) => Wish::Pause(*time),
                Some(Step::Finish) => Wish::Finish,
                Some(Step::Answers(_)) | None => Wish::Hear,
            },
            State::Following => Wish::Send(&self.follow_up[self.at..]),
            State::Awaiting | State::Ending if self.case.reads => Wish::Hear,
            State::Awaiting | State::Ending => Wish::Watch,
            State::Done(_) => Wish::Nothing,
        }
    }

    /// So many octets of those to be sent are sent.
    pub fn sent(&mut self, count: usize) {
        let Wish::Send(octets) = self.wish() else {
            return;
        };
        let (all, sent) = (octets.len(), octets[..count.min(octets.len())].to_vec());
        if self.state == State::Stepping {
            self.sent.extend_from_slice(&sent);
        }
        self.at += sent.len();
        if count >= all {
            self.step();
        }
    }

    /// The other side takes no more: what it has said may still be heard.
    pub fn refused(&mut self) {
        self.steps.clear();
        self.at = 0;
        self.state = match self.state {
            State::Stepping | State::Awaiting => State::Awaiting,
            State::Following | State::Ending => State::Ending,
            State::Done(ended) => State::Done(ended),
        };
        // Nothing can follow on it.
        self.finished = true;
        self.advance();
    }

    /// The pause is over.
    pub fn paused(&mut self) {
        self.step();
    }

    /// It is said that nothing follows.
    pub fn finished(&mut self) {
        self.finished = true;
        self.step();
    }

    /// Octets have come.
    pub fn received(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
        if let Expected::Octets { enough, .. } = &self.case.expected {
            let most = enough.unwrap_or(MOST_TAKEN);
            if self.octets.len() >= most {
                self.ended(Ended::Enough);
            }
            return;
        }
        if self.octets.len() > MOST_TAKEN {
            self.ended(Ended::Enough);
            return;
        }
        self.take_apart();
        if self.fault.is_some() {
            self.ended(Ended::Broken);
        }
        self.advance();
    }

    /// The connection has ended, or nothing came in all the time.
    pub fn ended(&mut self, how: Ended) {
        if matches!(self.state, State::Done(_)) {
            return;
        }
        let rest = &self.octets[self.parsed..];
        if matches!(self.case.expected, Expected::Answers(_))
            && !rest.is_empty()
            && self.fault.is_none()
        {
            match (parse(rest, self.is_to_head()), how) {
                // Its end is the end of the connection.
                (Parsed::Part(Some(answer)), Ended::Orderly) => self.answers.push(answer),
                (Parsed::Malformed(fault), _) => self.fault = Some(fault),
                (Parsed::Whole(_) | Parsed::Part(_), _) => {
                    self.fault = Some("an answer is not whole".to_owned());
                }
            }
        }
        self.state = State::Done(how);
    }

    /// What came of it.
    pub fn seen(mut self) -> Seen {
        let State::Done(ended) = self.state else {
            return Self {
                state: State::Done(Ended::Silence),
                ..self
            }
            .seen();
        };
        let mut answers = self.answers;
        let after = self.before.map(|before| answers.split_off(before));
        let followed = match after.as_deref() {
            Some([only]) => only.status == self.usual && self.fault.is_none(),
            Some(_) | None => false,
        };
        // What else came there belongs to the case: it was not expected.
        if !followed {
            answers.extend(after.unwrap_or_default());
        }
        Seen {
            answers,
            followed,
            ended,
            fault: self.fault,
            sent: self.sent.split_off(self.preface.min(self.sent.len())),
            octets: self.octets,
        }
    }

    /// Whether the answer that comes next is to HEAD.
    fn is_to_head(&self) -> bool {
        match self.before {
            Some(before) => self.answers.len() >= before,
            None => self.case.to_head,
        }
    }

    fn take_apart(&mut self) {
        while self.fault.is_none() && self.parsed < self.octets.len() {
            match parse(&self.octets[self.parsed..], self.is_to_head()) {
                Parsed::Whole(answer) => {
                    self.parsed += answer.length;
                    self.answers.push(answer);
                }
                Parsed::Part(_) => return,
                Parsed::Malformed(fault) => self.fault = Some(fault),
            }
        }
    }

    /// The step at hand is done.
    fn step(&mut self) {
        self.at = 0;
        if self.state == State::Following {
            self.state = State::Ending;
        } else {
            self.steps.pop_front();
            self.advance();
        }
    }

    /// Goes on where nothing is left to be waited for.
    fn advance(&mut self) {
        while let (State::Stepping, Some(Step::Answers(count))) = (&self.state, self.steps.front())
        {
            if self.answers.len() < *count {
                return;
            }
            self.steps.pop_front();
        }
        if self.state == State::Stepping && self.steps.is_empty() {
            self.state = State::Awaiting;
        }
        let Expected::Answers(rights) = &self.case.expected else {
            return;
        };
        let finals = self.answers.iter().filter(|answer| !answer.is_interim());
        let wanted = rights.iter().map(finals_of).max().unwrap_or(0);
        if self.state == State::Awaiting && wanted > 0 && finals.count() >= wanted {
            self.state = State::Ending;
            if !self.finished {
                self.state = State::Following;
                self.before = Some(self.answers.len());
            }
        }
    }
}

/// How many answers are final ones.
fn finals_of(right: &Right) -> usize {
    let interim = |codes: &&Codes| match codes {
        Codes::Of(statuses) => statuses.iter().all(|status| (100..200).contains(status)),
        Codes::Any | Codes::Not(_) => false,
    };
    right.answers.len() - right.answers.iter().filter(interim).count()
}

fn pieces(step: &Step, split: Split) -> Vec<Step> {
    let Step::Send(octets) = step else {
        return vec![step.clone()];
    };
    match split {
        Split::Whole => vec![step.clone()],
        Split::Two => {
            let cut = memchr::memchr(b'\r', octets).map_or(1, |at| at + 1);
            let (first, second) = octets.split_at(cut.min(octets.len()));
            if second.is_empty() {
                return vec![step.clone()];
            }
            let (first, second) = (first.to_vec(), second.to_vec());
            vec![Step::Send(first), Step::Pause(BETWEEN), Step::Send(second)]
        }
        Split::Bytes => {
            let (first, rest) = octets.split_at(octets.len().min(SINGLE));
            let pieces = first.chunks(1).chain([rest]);
            let pieces = pieces.filter(|piece| !piece.is_empty());
            pieces.map(|piece| Step::Send(piece.to_vec())).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{USUAL, case, doing};
    use super::*;

    const OK: Codes = Codes::Of(&[USUAL]);
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
    const TO_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n";

    fn site() -> Site {
        Site {
            usual: 200,
            ..Site::new("a", "/")
        }
    }

    /// Sends all that it wishes to send now; answers how many pieces that were.
    fn send(exchange: &mut Exchange<'_>) -> usize {
        let mut count = 0;
        loop {
            match exchange.wish() {
                Wish::Send(octets) => {
                    let length = octets.len();
                    exchange.sent(length);
                }
                Wish::Pause(_) => exchange.paused(),
                Wish::Finish => exchange.finished(),
                Wish::Hear | Wish::Watch | Wish::Nothing => return count,
            }
            count += 1;
        }
    }

    #[test]
    fn a_connection_that_stays_answers_the_follow_up() {
        let case = case("GET / HTTP/1.1\r\n\r\n").kept(&[OK]);
        for split in Split::ALL {
            let mut exchange = Exchange::new(&case, &site(), split);
            let pieces = send(&mut exchange);
            assert_eq!(
                pieces,
                match split {
                    Split::Whole => 1,
                    Split::Two => 3,
                    Split::Bytes => 18,
                }
            );
            for byte in ANSWER {
                assert_eq!(exchange.wish(), Wish::Hear);
                exchange.received(&[*byte]);
            }
            assert!(
                matches!(exchange.wish(), Wish::Send(octets) if octets.starts_with(b"HEAD / "))
            );
            send(&mut exchange);
            exchange.received(TO_HEAD);
            exchange.ended(Ended::Orderly);
            assert_eq!(exchange.wish(), Wish::Nothing);
            let seen = exchange.seen();
            assert!(seen.followed && seen.fault.is_none(), "{seen:?}");
            assert_eq!(seen.answers.len(), 1);
            assert_eq!(seen.sent, b"GET / HTTP/1.1\r\n\r\n");
        }
    }

    #[test]
    fn a_connection_that_ends_does_not() {
        let case = case("x").refused(&[400]);
        let mut exchange = Exchange::new(&case, &site(), Split::Whole);
        send(&mut exchange);
        exchange.received(ANSWER);
        send(&mut exchange);
        exchange.ended(Ended::Reset);
        let seen = exchange.seen();
        assert!(!seen.followed && seen.answers.len() == 1 && seen.fault.is_none());
    }

    /// An answer that nobody asked for is not taken for the follow-up's.
    #[test]
    fn what_comes_besides_is_seen() {
        let case = case("x").kept(&[OK]);
        for extra in [ANSWER, TO_HEAD] {
            let mut exchange = Exchange::new(&case, &site(), Split::Whole);
            send(&mut exchange);
            exchange.received(ANSWER);
            send(&mut exchange);
            exchange.received(extra);
            exchange.received(TO_HEAD);
            exchange.ended(Ended::Orderly);
            let seen = exchange.seen();
            assert!(!seen.followed, "{seen:?}");
        }
    }

    #[test]
    fn steps_wait_for_answers_and_an_end_ends_them() {
        let steps = vec![
            Step::Send(b"a".to_vec()),
            Step::Answers(1),
            Step::Send(b"b".to_vec()),
            Step::Finish,
        ];
        let continued = doing(steps).closed(&[Codes::Of(&[100]), OK]);
        let mut exchange = Exchange::new(&continued, &site(), Split::Whole);
        assert_eq!(send(&mut exchange), 1);
        exchange.received(b"HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(send(&mut exchange), 2);
        exchange.received(ANSWER);
        assert_eq!(exchange.wish(), Wish::Hear, "nothing follows a half-close");
        exchange.ended(Ended::Orderly);
        assert_eq!(exchange.seen().answers.len(), 2);

        let mut exchange = Exchange::new(&continued, &site(), Split::Whole);
        exchange.refused();
        assert_eq!(exchange.wish(), Wish::Hear);
        exchange.received(b"HTTP/1.1 200 OK\r\n\r\nup to the e");
        exchange.ended(Ended::Orderly);
        let seen = exchange.seen();
        assert_eq!(seen.answers[0].content, b"up to the e");
        assert!(seen.sent.is_empty());
    }

    #[test]
    fn what_is_no_answer_ends_it_at_once() {
        let case = case("x").refused(&[400]);
        let mut exchange = Exchange::new(&case, &site(), Split::Whole);
        send(&mut exchange);
        exchange.received(b"HTTP/1.1 200 OK\r\nno field\r\n\r\n");
        assert_eq!(exchange.wish(), Wish::Nothing);
        let seen = exchange.seen();
        assert_eq!(seen.ended, Ended::Broken);
        assert!(seen.fault.is_some());
    }

    #[test]
    fn behind_a_proxy_its_header_goes_first() {
        let behind = Site {
            is_proxied: true,
            ..site()
        };
        let plain = case("x").kept(&[OK]);
        for (case, all) in [
            (plain.clone(), [HEADER, b"x"].concat()),
            (plain.bare(), b"x".to_vec()),
        ] {
            for split in Split::ALL {
                let mut exchange = Exchange::new(&case, &behind, split);
                let mut sent = Vec::new();
                loop {
                    match exchange.wish() {
                        Wish::Send(octets) => {
                            sent.extend_from_slice(octets);
                            let length = octets.len();
                            exchange.sent(length);
                        }
                        Wish::Pause(_) => exchange.paused(),
                        Wish::Finish | Wish::Hear | Wish::Watch | Wish::Nothing => break,
                    }
                }
                assert_eq!(sent, all);
                // It is no part of what an echo returns.
                assert_eq!(exchange.seen().sent, b"x");
            }
        }
    }

    #[test]
    fn octets_are_taken_as_they_are() {
        let case = case("x").octets(Some(3), |_, _| Ok(()));
        let mut exchange = Exchange::new(&case, &site(), Split::Whole);
        send(&mut exchange);
        exchange.received(b"ab");
        assert_eq!(exchange.wish(), Wish::Hear);
        exchange.received(b"c");
        assert_eq!(exchange.wish(), Wish::Nothing);
        assert_eq!(exchange.seen().ended, Ended::Enough);
    }
}
