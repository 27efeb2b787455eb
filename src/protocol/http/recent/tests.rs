#![allow(clippy::unwrap_used)]

use super::super::pretend::{settings, world, world_with};
use super::super::site::Map;
use super::*;
use crate::config::Http;
use crate::protocol::FileKind;
use crate::protocol::harness::{Entry, Finale, World};

const HEAD: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const FACTS: Facts = Facts {
    kind: FileKind::File,
    length: 4,
    mtime: 784_111_777,
    mtime_nanoseconds: 0,
    identity: (1, 2),
};

fn lead() -> Lead {
    Lead {
        described: 6,
        exchange: Exchange {
            version: super::super::request::Version::Http11,
            head_only: false,
            codings: super::super::coding::Codings::NONE,
            persistence: super::super::exchange::Persistence::Keep,
        },
        accept: Accept::default(),
        rule: Map::BARE,
        candidate: Candidate::Exact,
    }
}

fn notes(path: &[u8]) -> Notes {
    let mut notes = Notes::default();
    notes.replace_path(path);
    notes
}

fn recalls(recent: &Recent, input: &[u8]) -> bool {
    recent.recall(input, None, &mut Notes::default()).is_some()
}

/// The same head, but for its path.
fn head(number: usize) -> Vec<u8> {
    format!("GET /{number} HTTP/1.1\r\n\r\n").into_bytes()
}

#[test]
fn a_head_is_known_from_the_second_time_and_whole() {
    let recent = Recent::default();
    assert!(recent.note(HEAD, lead(), &notes(b"a")).is_none());
    assert!(!recalls(&recent, HEAD));
    let ticket = recent.note(HEAD, lead(), &notes(b"a")).unwrap();
    let mut found = notes(b"another");
    let input = [HEAD, b"GET /b"].concat();
    let known = recent.recall(&input, Some(ticket), &mut found).unwrap();
    assert_eq!((known.length, found.path()), (HEAD.len(), &b"a"[..]));
    for end in 0..HEAD.len() {
        assert!(!recalls(&recent, &HEAD[..end]), "{end} octets");
        let mut other = HEAD.to_vec();
        other[end] ^= 1;
        assert!(!recalls(&recent, &other), "octet {end}");
    }
}

#[test]
fn what_is_remembered_is_bounded() {
    let recent = Recent::default();
    let long = [&b"GET /a HTTP/1.1\r\nX: "[..], &[b'x'; LONGEST]].concat();
    for _ in 0..3 {
        assert!(recent.note(&long, lead(), &notes(b"a")).is_none());
    }
    let mut first = None;
    for number in 0..3 * MOST {
        for _ in 0..2 {
            let noted = recent.note(&head(number), lead(), &notes(b"a"));
            first = first.or(noted);
        }
    }
    let known = (0..3 * MOST).filter(|number| recalls(&recent, &head(*number)));
    assert!((1..=MOST).contains(&known.count()));
    // The place of the first is another's now.
    let (ticket, validity) = (first.unwrap(), validity(0));
    recent.learn(ticket, lead().exchange, validity, b"wrong");
    assert!(!recent.repeat(ticket, &validity, &mut Output::default()));
}

fn validity(second: i64) -> Validity {
    Validity {
        candidate: Candidate::Exact,
        rule: Map::BARE,
        facts: FACTS,
        second,
    }
}

#[test]
fn an_answer_is_the_same_only_if_all_else_is() {
    let recent = Recent::default();
    recent.note(HEAD, lead(), &notes(b"a"));
    let ticket = recent.note(HEAD, lead(), &notes(b"a")).unwrap();
    let index = Validity {
        candidate: Candidate::Index(0),
        ..validity(1)
    };
    // Where the search led is not where it began.
    recent.learn(ticket, lead().exchange, index, b"answer");
    let mut output = Output::default();
    assert!(!recent.repeat(ticket, &index, &mut output));
    // Nor where the codings that it wanted were given up on the way.
    let given_up = Exchange {
        head_only: true,
        ..lead().exchange
    };
    recent.learn(ticket, given_up, validity(1), b"answer");
    assert!(!recent.repeat(ticket, &validity(1), &mut output));
    recent.learn(ticket, lead().exchange, validity(1), b"answer");
    let younger = Facts {
        mtime_nanoseconds: 1,
        ..FACTS
    };
    let changed = Validity {
        facts: younger,
        ..validity(1)
    };
    for other in [index, changed, validity(2)] {
        assert!(!recent.repeat(ticket, &other, &mut output));
    }
    assert!(output.is_empty());
    assert!(recent.repeat(ticket, &validity(1), &mut output));
    assert_eq!(output.unsent(), b"answer");
}

#[test]
fn a_head_that_keeps_coming_keeps_its_place() {
    let recent = Recent::default();
    let hits = (0..100).map(|_| {
        let hits = (0..MOST + 1).filter(|&number| {
            let known = recalls(&recent, &head(number));
            if !known {
                recent.note(&head(number), lead(), &notes(b"a"));
            }
            known
        });
        hits.count()
    });
    // All of them would be too many: one more than places.
    assert!(hits.skip(3).all(|hits| hits >= MOST - 1));
}

#[test]
fn a_head_has_one_place() {
    let recent = Recent::default();
    for _ in 0..2 * MOST {
        recent.note(HEAD, lead(), &notes(b"a"));
    }
    assert_eq!(recent.0.lock().unwrap().places.len(), 1);
}

#[test]
fn nobody_waits_for_another_thread() {
    let recent = Recent::default();
    recent.note(HEAD, lead(), &notes(b"a"));
    recent.note(HEAD, lead(), &notes(b"a"));
    let busy = recent.0.lock().unwrap();
    assert!(!recalls(&recent, HEAD));
    drop(busy);
    assert!(recalls(&recent, HEAD));
}

/// What is answered to `HEAD`, so many times on a connection.
fn answers(world: &World, times: usize) -> String {
    let seen = world.run(&[&HEAD.repeat(times)], Finale::Finish);
    assert_eq!(seen.log.lines().count(), times.min(100));
    String::from_utf8(seen.output).unwrap()
}

#[test]
fn an_answer_that_is_repeated_is_that_of_now() {
    let file = |text: &str, mtime| Entry::File(text.as_bytes().to_vec(), mtime);
    let mut world = world();
    let first = answers(&world, 1);
    assert_eq!(answers(&world, 5), first.repeat(5));
    for (entry, expected) in [
        (file("new!", 784_111_778), "new!"),
        (file("longer text", 784_111_778), "longer text"),
        (Entry::Directory, "301"),
        (Entry::Fails(crate::protocol::OpenError::NotFound), "404"),
        (file("of a", 784_111_777), "of a"),
    ] {
        world = world.with("a", entry);
        let answers = answers(&world, 3);
        assert_eq!(answers.matches(expected).count() % 3, 0, "{answers}");
        assert!(answers.contains(expected), "{answers}");
    }
    assert_eq!(answers(&world, 5), first.repeat(5));
}

#[test]
fn the_last_answer_of_a_connection_says_so() {
    let world = world_with(Http {
        keepalive_requests: 4,
        ..settings()
    });
    for _ in 0..3 {
        let seen = world.run(&[&HEAD.repeat(4)], Finale::Finish);
        let output = String::from_utf8(seen.output).unwrap();
        assert_eq!(output.matches("HTTP/1.1 200").count(), 4);
        assert_eq!(output.matches("Connection: close").count(), 1);
    }
}
