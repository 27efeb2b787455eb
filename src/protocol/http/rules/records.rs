//! What is told of a request besides its answer: counts, its log line, its title, and
//! the name that it has in them.

use super::*;

#[test]
fn answers_are_counted_by_their_class() {
    let continued = with(
        "POST /a HTTP/1.1",
        &format!("Content-Length: 1\r\n{EXPECT}"),
    ) + "x";
    let requests = of("/a").repeat(2) + &of("/dir") + &of("/nothing") + "?\r\n\r\n";
    let seen = world().run(&[continued.as_bytes()], Finale::Finish);
    assert_eq!(split(&seen.output, false).len(), 1);
    assert_eq!(seen.answers, [0, 0, 0, 1, 0], "405 is certain: no 100");
    let seen = world().run(&[requests.as_bytes()], Finale::Finish);
    assert_eq!(seen.answers, [0, 2, 1, 2, 0]);
    let seen = world().run(
        &[
            get(&format!("Content-Length: 1\r\n{EXPECT}")).as_bytes(),
            b"x",
        ],
        Finale::Finish,
    );
    assert_eq!(seen.answers, [1, 1, 0, 0, 0]);
}

#[test]
fn a_break_in_a_file_is_logged_with_what_was_sent() {
    let world = world().breaks_in_file(1234);
    let seen = world.run(&[of("/large").as_bytes()], Finale::Finish);
    assert_eq!(seen.ending.reason, CloseReason::Reset);
    assert!(seen.log.contains("\"GET /large HTTP/1.1\" 200 1234 "));
}

#[test]
fn without_a_log_no_line_is_written() {
    let world = world_with(Http {
        access_log: LogTarget::Off,
        ..settings()
    });
    let seen = world.run(&[of("/a").as_bytes(), b"\r\n\0"], Finale::Finish);
    assert_eq!(split(&seen.output, false).len(), 2);
    assert!(seen.log.is_empty());
    let seen = world.run(&[of("/dir?q").as_bytes()], Finale::Finish);
    assert!(String::from_utf8_lossy(&seen.output).contains("Location: /dir/?q\r\n"));
}

#[test]
fn the_log_and_the_title_name_the_request() {
    let request = get("Referer: r\"\r\nUser-Agent: curl/8\r\n");
    let seen = world().run(&[request.as_bytes()], Finale::Finish);
    assert_eq!(
        seen.log,
        "203.0.113.9 - - [01/Jul/2026:12:30:05 +0200] \"GET /a HTTP/1.1\" 200 4 \
         \"r\\x22\" \"curl/8\"\n"
    );
    assert_eq!(seen.activity, b"GET /a");
    assert_eq!(seen.opened, ["a"]);
}

#[test]
fn the_client_hears_the_name_if_it_may() {
    let world = world_with(Http {
        request_id: true,
        ..settings()
    });
    let requests = of("/a") + &of("/nothing") + "get / HTTP/1.1\r\nHost: a\r\n\r\n";
    let seen = world.run(&[requests.as_bytes()], Finale::Finish);
    let answers = split(&seen.output, false);
    for (number, (_, head)) in (1..).zip(&answers) {
        let field = format!("\r\nX-Request-ID: {number:016x}\r\n");
        assert!(head.contains(&field), "{head}");
    }
    assert_eq!(answers.len(), 3);
    // What a client calls itself does not matter.
    let request = get("X-Request-ID: forged\r\n");
    let seen = super::super::pretend::world().run(&[request.as_bytes()], Finale::Finish);
    assert!(!String::from_utf8_lossy(&seen.output).contains("X-Request-ID"));
}
