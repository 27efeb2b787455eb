//! What a walk leaves in the log: a line for each request, and how long it took.

use super::*;

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
