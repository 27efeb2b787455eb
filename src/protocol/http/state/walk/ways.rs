//! The ways through the diagram, one kind of answer each.

use super::*;

#[test]
fn the_way_round() {
    let mut walk = Walk::new();
    assert_eq!(walk.step(Outcome::Connected), Asked::Receive(HEADER, true));
    assert_eq!(walk.state(), "AwaitRequest");
    assert_eq!(walk.receive(&GET[..1]), Asked::Receive(HEADER, false));
    assert_eq!(walk.state(), "AwaitHead");
    assert_eq!(walk.receive(&GET[1..]), Asked::Open("a".to_owned()));
    assert_eq!(walk.state(), "AwaitFile");
    assert_eq!(walk.activity.text(), b"GET /a");
    assert_eq!(walk.step(Outcome::Found(FILE)), Asked::SendFile(7));
    assert_eq!(walk.state(), "AwaitSent");
    assert!(walk.log.is_empty());
    assert_eq!(walk.step(Outcome::Sent), Asked::Receive(KEEPALIVE, true));
    assert_eq!(walk.state(), "AwaitRequest");
    assert_eq!(walk.log.iter().filter(|&&byte| byte == b'\n').count(), 1);
    assert_eq!(
        walk.step(Outcome::PeerFinished),
        Asked::Close(CloseReason::PeerClosed, Manner::AtOnce)
    );
    assert_eq!(walk.state(), "Closed");
    assert_eq!(walk.activity.requests, 1);
}

#[test]
fn content_is_dropped_before_the_answer() {
    let mut walk = Walk::begun();
    assert_eq!(walk.receive(WITH_BODY), Asked::Receive(BODY, false));
    assert_eq!(walk.receive(b"abc"), Asked::Receive(BODY, false));
    assert_eq!(walk.state(), "AwaitBody");
    assert_eq!(walk.receive(b"de"), Asked::Open("a".to_owned()));
}

#[test]
fn candidates_follow_one_another() {
    let mut walk = Walk::begun();
    let asked = walk.receive(b"GET /d/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(asked, Asked::Open("d/index.html".to_owned()));
    let asked = walk.step(Outcome::Missing(OpenError::NotFound));
    assert_eq!(asked, Asked::Open("d/index.htm".to_owned()));
    let asked = walk.step(Outcome::Found(DIRECTORY));
    assert_eq!(asked, Asked::Open("d".to_owned()));
    let asked = walk.step(Outcome::Found(DIRECTORY));
    assert_eq!(asked, Asked::Receive(KEEPALIVE, true));
    assert_eq!(walk.status(), "403");
}

#[test]
fn siblings_are_looked_for_and_then_compressed() {
    let mut walk = Walk::begun();
    assert_eq!(walk.receive(TEXT), Asked::Open("t.txt".to_owned()));
    let asked = walk.step(Outcome::Found(OLD));
    assert_eq!(asked, Asked::Open("t.txt.gz".to_owned()));
    let asked = walk.step(Outcome::Missing(OpenError::NotFound));
    assert_eq!(asked, Asked::Read(300_000));
    walk.fill();
    let mut pieces = 0;
    let mut asked = walk.step(Outcome::Read);
    while asked == Asked::Flush {
        assert!(walk.output.len() <= Output::ENOUGH + 1000);
        walk.output.advance(usize::MAX);
        pieces += 1;
        asked = walk.step(Outcome::Flushed);
    }
    assert_eq!(asked, Asked::Receive(KEEPALIVE, true));
    assert!((2..4).contains(&pieces), "{pieces}");
    // Within the same second nothing is looked for, and it is not made again.
    walk.output.advance(usize::MAX);
    assert_eq!(walk.receive(TEXT), Asked::Open("t.txt".to_owned()));
    assert_eq!(walk.step(Outcome::Found(OLD)), Asked::Flush);
}

#[test]
fn absent_siblings_are_those_of_one_root() {
    let mut walk = Walk::begun();
    let ask = |host: &str| {
        format!("GET /t HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: br\r\n\r\n").into_bytes()
    };
    // The same file is below both roots.
    for host in ["a", "other.example"] {
        assert_eq!(walk.receive(&ask(host)), Asked::Open("t".to_owned()));
        assert_eq!(
            walk.step(Outcome::Found(FILE)),
            Asked::Open("t.br".to_owned())
        );
        walk.step(Outcome::Missing(OpenError::NotFound));
        walk.step(Outcome::Sent);
    }
    walk.receive(&ask("a"));
    assert_eq!(walk.step(Outcome::Found(FILE)), Asked::SendFile(7));
}

#[test]
fn a_sibling_that_does_not_fit_is_put_back() {
    let mut walk = at("AwaitSibling");
    let asked = walk.step(Outcome::Found(Facts { mtime: 7, ..OLD }));
    assert_eq!(asked, Asked::Open("t.txt".to_owned()));
    assert_eq!(walk.state(), "AwaitFile");
    assert_eq!(walk.step(Outcome::Found(OLD)), Asked::SendFile(300_000));
    let mut walk = at("AwaitSibling");
    let sibling = Facts { length: 9, ..OLD };
    assert_eq!(walk.step(Outcome::Found(sibling)), Asked::SendFile(9));
    let head = String::from_utf8_lossy(walk.output.unsent()).into_owned();
    assert!(head.contains("Content-Encoding: gzip\r\n") && head.contains("text/plain"));
}

#[test]
fn parts_follow_one_another() {
    let mut walk = Walk::begun();
    walk.receive(PARTS);
    assert_eq!(walk.step(Outcome::Found(FILE)), Asked::SendFile(1));
    assert_eq!(walk.state(), "AwaitPart");
    assert_eq!(walk.step(Outcome::Sent), Asked::SendFile(2));
    assert_eq!(walk.step(Outcome::Sent), Asked::Receive(KEEPALIVE, true));
    assert_eq!(walk.status(), "206");
    assert_eq!(walk.log.iter().filter(|&&byte| byte == b'\n').count(), 1);
}

#[test]
fn a_password_is_asked_about_before_anything_is_opened() {
    let mut walk = Walk::begun();
    assert_eq!(walk.receive(LOCKED), Asked::Compute);
    assert_eq!(walk.state(), "AwaitVerdict");
    assert_eq!(
        walk.step(Outcome::Computed(true)),
        Asked::Open("locked/a".to_owned())
    );
    walk.step(Outcome::Found(FILE));
    assert_eq!(walk.step(Outcome::Sent), Asked::Receive(KEEPALIVE, true));
    // It is remembered, for a minute.
    assert_eq!(walk.receive(LOCKED), Asked::Open("locked/a".to_owned()));
    walk.step(Outcome::Missing(OpenError::NotFound));
    walk.now += 60 * SECOND;
    assert_eq!(walk.receive(LOCKED), Asked::Compute);
    walk.output.advance(usize::MAX);
    assert_eq!(
        walk.step(Outcome::Computed(false)),
        Asked::Receive(KEEPALIVE, true)
    );
    assert_eq!(walk.status(), "401");
    assert_eq!(walk.receive(LOCKED), Asked::Compute);
    walk.output.advance(usize::MAX);
    let asked = walk.step(Outcome::Overloaded);
    assert_eq!(asked, Asked::Close(CloseReason::Complete, Manner::Linger));
    assert_eq!(walk.status(), "503");
}

#[test]
fn a_directory_is_listed_piece_by_piece() {
    let mut walk = at("AwaitEntries");
    walk.entries.push(ENTRY);
    let asked = walk.step(Outcome::Listed { more: true });
    assert_eq!(asked, Asked::List("listed".to_owned()));
    assert!(walk.output.is_empty(), "sorting needs all of them");
    let asked = walk.step(Outcome::Listed { more: false });
    assert_eq!(asked, Asked::Receive(KEEPALIVE, true));
    assert_eq!(walk.status(), "200");

    let mut walk = at("AwaitRoom");
    assert!(walk.log.is_empty());
    walk.output.advance(usize::MAX);
    let asked = walk.step(Outcome::Flushed);
    assert_eq!(asked, Asked::Receive(KEEPALIVE, true));
    assert_eq!(walk.log.iter().filter(|&&byte| byte == b'\n').count(), 1);

    // What cannot be read on is not taken for the whole.
    let mut walk = at("AwaitEntries");
    let asked = walk.step(Outcome::Missing(OpenError::Failed));
    assert_eq!(asked, Asked::Close(CloseReason::Internal, Manner::Linger));
    assert_eq!(walk.status(), "500");
    let mut walk = at("AwaitEntries");
    walk.step(Outcome::Missing(OpenError::Exhausted));
    assert_eq!(walk.status(), "503");
}

#[test]
fn a_report_is_sent_in_pieces_and_forgotten() {
    let mut walk = Walk::begun();
    let view = View::Page { refresh: None };
    assert_eq!(walk.receive(STATUS), Asked::Report(view));
    assert_eq!(walk.state(), "AwaitReport");
    walk.report = vec![b'x'; 2 * Output::ENOUGH + 1];
    let mut pieces = 0;
    let mut asked = walk.step(Outcome::Reported);
    while walk.state() == "AwaitPiece" {
        assert_eq!(asked, Asked::Flush);
        assert!(walk.output.len() <= Output::ENOUGH + 1000);
        walk.output.advance(usize::MAX);
        pieces += 1;
        asked = walk.step(Outcome::Flushed);
    }
    assert_eq!((pieces, asked), (2, Asked::Receive(KEEPALIVE, true)));
    assert!(walk.report.is_empty() && matches!(walk.connection.held, Held::Nothing));
    assert!(String::from_utf8_lossy(&walk.log).contains("\" 200 131073 "));

    let mut walk = at("AwaitReport");
    let asked = walk.step(Outcome::Overloaded);
    assert_eq!(asked, Asked::Close(CloseReason::Complete, Manner::Linger));
    assert_eq!(walk.status(), "503");
}

#[test]
fn the_way_through_a_program() {
    let mut walk = Walk::begun();
    assert_eq!(walk.receive(PROGRAM), Asked::Open("a".to_owned()));
    assert_eq!(walk.state(), "AwaitScript");
    let asked = walk.step(Outcome::Found(DIRECTORY));
    assert_eq!(asked, Asked::Open("a/b".to_owned()));
    assert_eq!(
        walk.step(Outcome::Found(FILE)),
        Asked::Run("a/b".to_owned())
    );
    assert_eq!(walk.state(), "AwaitStart");
    let started = Outcome::Program(ProgramNews::Started);
    assert_eq!(walk.step(started), Asked::Hear(SILENCE));
    assert_eq!(walk.state(), "AwaitAnswer");
    assert_eq!(walk.write(&ANSWER[..8]), Asked::Hear(SILENCE));
    walk.now += SECOND;
    assert_eq!(walk.write(&ANSWER[8..]), Asked::Hear(SILENCE));
    assert_eq!((walk.state(), walk.status()), ("AwaitOutput", "200"));
    walk.now += Duration::from_secs(295);
    assert_eq!(walk.write(b"d"), Asked::Hear(4 * SECOND), "300 in all");
    assert!(walk.log.is_empty());
    assert_eq!(
        walk.end(ProgramEnd::Exited(0)),
        Asked::Receive(KEEPALIVE, true)
    );
    assert_eq!(walk.state(), "AwaitRequest");
    assert!(String::from_utf8_lossy(&walk.log).contains("\" 200 4 "));
    assert!(walk.connection.errand.is_none());
}

#[test]
fn a_program_that_cannot_be_run() {
    for (outcome, status) in [
        (Outcome::Missing(OpenError::NotFound), "404"),
        (Outcome::Missing(OpenError::Escapes), "403"),
        (Outcome::Missing(OpenError::Exhausted), "503"),
        (Outcome::Missing(OpenError::Failed), "500"),
    ] {
        let mut walk = at("AwaitScript");
        walk.step(outcome);
        assert_eq!(walk.status(), status, "{outcome:?}");
    }
    // What cannot be read may still be run.
    let asked = at("AwaitScript").step(Outcome::Missing(OpenError::Denied));
    assert_eq!(asked, Asked::Run("a".to_owned()));
    for (error, status) in [
        (RunError::NotFound, "404"),
        (RunError::Denied, "403"),
        (RunError::Escapes, "403"),
        (RunError::Busy, "503"),
        (RunError::Exhausted, "503"),
        (RunError::Late, "504"),
        (RunError::Failed, "500"),
    ] {
        let mut walk = at("AwaitStart");
        walk.step(Outcome::Program(ProgramNews::NotStarted(error)));
        assert_eq!(walk.status(), status, "{error:?}");
        let head = String::from_utf8_lossy(walk.output.unsent()).into_owned();
        assert_eq!(head.contains("Retry-After: "), status == "503");
    }
}

#[test]
fn long_output_is_flushed_before_the_next_request() {
    let mut walk = Walk::begun();
    walk.output.push(&[0; Output::ENOUGH]);
    walk.input.push(OPTIONS);
    assert_eq!(walk.receive(GET), Asked::Flush);
    assert_eq!(walk.state(), "AwaitFlush");
    assert_eq!(walk.activity.requests, 1);
    walk.output.advance(usize::MAX);
    assert_eq!(walk.step(Outcome::Flushed), Asked::Open("a".to_owned()));
}

#[test]
fn a_refused_head_says_nothing_of_the_request_before() {
    let mut walk = at("AwaitEntries");
    walk.step(Outcome::Listed { more: false });
    let listing = String::from_utf8_lossy(walk.output.unsent()).into_owned();
    assert!(listing.contains("\r\nVary: Accept\r\n"), "{listing}");
    walk.output.advance(usize::MAX);
    walk.receive(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(walk.status(), "400");
    let refusal = String::from_utf8_lossy(walk.output.unsent()).into_owned();
    assert!(!refusal.contains("\r\nVary: "), "{refusal}");
}
