//! When a connection ends that goes on otherwise: deadlines, and a worker that drains.

use super::*;

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
