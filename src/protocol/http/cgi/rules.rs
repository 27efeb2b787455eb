//! The rules for clients that are about programs, each by its number, however
//! the octets of the client and those of the program arrive.

use super::super::pretend::sites::site_of_programs;
use super::super::pretend::split;
use super::super::{HttpService, pretend};
use crate::config::{ErrorPage, Header, Http, Pattern};
use crate::protocol::harness::{Entry, Finale, Seen, World};
use crate::protocol::{CloseReason, Manner, ProgramEnd};
use proptest::prelude::*;
use std::time::Duration;

const FINE: Option<ProgramEnd> = Some(ProgramEnd::Exited(0));
const PLAIN: &str = "Content-Type: text/plain\n\nhello";

fn site() -> World {
    site_with(site_of_programs())
}

fn site_with(settings: Http) -> World {
    World::new(HttpService::new(settings))
        .with_program("1:e", PLAIN, FINE)
        .with_program("a.cgi", PLAIN, FINE)
        .with("1:", Entry::Directory)
        .with("1:d", Entry::Directory)
        .with_program("1:d/e", PLAIN, FINE)
        .with("d", Entry::Directory)
        .with_program("d/index.cgi", PLAIN, FINE)
        .with("p", Entry::Directory)
        .with("p/index.html", Entry::File(b"page".to_vec(), 0))
        .with("file", Entry::File(b"of file".to_vec(), 0))
}

/// A request for a program `x` that writes `output`, and what came of it,
/// however its octets arrive.
fn answer(method: &str, output: &str, end: Option<ProgramEnd>) -> Seen {
    let world = site().with_program("1:x", output, end);
    let request = format!("{method} /cgi-bin/x HTTP/1.1\r\nHost: a\r\n\r\n");
    let whole = world.run(&[request.as_bytes()], Finale::Finish);
    world.every_way(request.as_bytes(), Finale::Finish, |seen| {
        assert_eq!(text(seen), text(&whole));
        assert_eq!(seen.ending.reason, whole.ending.reason);
        assert_eq!(seen.ran, whole.ran);
    });
    whole
}

fn text(seen: &Seen) -> String {
    String::from_utf8_lossy(&seen.output).into_owned()
}

fn status(seen: &Seen) -> u16 {
    text(seen)[9..12].parse().expect("a status line")
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[test]
fn rule_120_chunked_content_is_decoded_and_counted() {
    let request = "POST /cgi-bin/e HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3;x=y\r\nabc\r\n4\r\ndefg\r\n0\r\nT: u\r\n\r\n";
    let next = format!("{request}{}", get("/file"));
    site().every_way(next.as_bytes(), Finale::Finish, |seen| {
        assert_eq!(seen.ran.len(), 1);
        assert_eq!(seen.ran[0].content, b"abcdefg");
        assert_eq!(seen.ran[0].variable("CONTENT_LENGTH"), Some("7"));
        assert!(text(seen).contains("5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK"));
        assert!(text(seen).ends_with("of file"));
    });
}

#[test]
fn rule_113_content_over_the_limit_is_refused_before_the_program_runs() {
    for fields in [
        "Content-Length: 100001\r\n\r\n".to_owned(),
        format!(
            "Transfer-Encoding: chunked\r\n\r\n186a1\r\n{}",
            "x".repeat(200)
        ),
    ] {
        let request = format!("POST /cgi-bin/e HTTP/1.1\r\nHost: a\r\n{fields}");
        let seen = site().run(&[request.as_bytes()], Finale::Finish);
        assert_eq!((status(&seen), seen.ran.len()), (413, 0));
    }
}

#[test]
fn rule_58_content_is_asked_for_before_the_program_runs() {
    let request = "POST /cgi-bin/e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\
                   Content-Length: 2\r\n\r\n";
    let seen = site().run(&[request.as_bytes()], Finale::Silence);
    assert!(text(&seen).starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 408 "));
    assert_eq!(seen.ran.len(), 0);
    let seen = site().run(&[request.as_bytes(), b"ab"], Finale::Finish);
    assert_eq!(seen.ran[0].content, b"ab");
    assert_eq!(seen.ran[0].variable("HTTP_EXPECT"), None);
}

#[test]
fn content_that_waits_is_bounded_over_the_worker() {
    let mut settings = site_of_programs();
    settings.cgi.max_children = 1;
    settings.max_body = 4;
    let request = "POST /cgi-bin/busy HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd";
    let world = site_with(settings).with("1:busy", Entry::File(b"x".to_vec(), 0));
    let seen = world.run(&[request.as_bytes()], Finale::Finish);
    assert_eq!(status(&seen), 503, "as many run as may");
    assert!(text(&seen).contains("Retry-After: "));
}

#[test]
fn rule_123_lines_end_with_crlf_and_the_status_is_the_programs() {
    for output in [
        "Status: 404 Not Here\nContent-Type: a/b\nX-A: b\n\nno",
        "Status: 404 Not Here\r\nContent-Type: a/b\r\nX-A: b\r\n\r\nno",
    ] {
        for write in [1, 2, 7, usize::MAX] {
            let world = site().with_program("1:x", output, FINE).writing(write);
            let seen = world.run(&[get("/cgi-bin/x").as_bytes()], Finale::Finish);
            let text = text(&seen);
            assert!(
                text.starts_with("HTTP/1.1 404 Not Here\r\nDate: "),
                "{text}"
            );
            assert!(
                text.contains("\r\nContent-Type: a/b\r\nX-A: b\r\n"),
                "{text}"
            );
            assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
            assert!(seen.log.contains("\" 404 2 "), "{}", seen.log);
        }
    }
}

#[test]
fn rule_124_local_redirects() {
    let sent = |location: &str| {
        let output = format!("Location: {location}\n\n");
        answer("GET", &output, FINE)
    };
    let seen = sent("/file");
    assert_eq!(
        (status(&seen), seen.opened),
        (200, vec!["1:x".to_owned(), "file".to_owned()])
    );
    let seen = sent("/cgi-bin/e/info?q=2");
    assert_eq!(status(&seen), 200);
    let second = &seen.ran[1];
    assert_eq!(second.variable("QUERY_STRING"), Some("q=2"));
    assert_eq!(second.variable("PATH_INFO"), Some("/info"));
    assert_eq!(second.variable("REQUEST_URI"), Some("/cgi-bin/x"));
    assert_eq!(second.variable("SCRIPT_NAME"), Some("/cgi-bin/e"));
    assert_eq!(second.variable("SERVER_NAME"), Some("a"));
    assert_eq!(second.variable("REMOTE_ADDR"), Some("203.0.113.9"));
    assert_eq!(status(&sent("/nothing")), 404);
    assert_eq!(status(&sent("/../../etc/passwd")), 404);
    assert_eq!(status(&sent("/%00")), 500);
    let directory = sent("/d?q=3");
    assert!(text(&directory).contains("Location: /d/?q=3\r\n"));
    // A circle has an end.
    let seen = sent("/cgi-bin/x");
    assert_eq!((status(&seen), seen.ran.len()), (500, 6));
}

#[test]
fn rule_124_a_redirected_post_is_a_get_without_content() {
    let world = site().with_program("1:x", "Location: /cgi-bin/e\n\n", FINE);
    let request = "POST /cgi-bin/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\
                   Content-Type: a/b\r\nX: y\r\n\r\nabc";
    world.every_way(request.as_bytes(), Finale::Finish, |seen| {
        assert_eq!(seen.ran[0].content, b"abc");
        let second = &seen.ran[1];
        assert_eq!(second.content, b"");
        assert_eq!(second.variable("REQUEST_METHOD"), Some("GET"));
        assert_eq!(second.variable("CONTENT_LENGTH"), None);
        assert_eq!(second.variable("CONTENT_TYPE"), None);
        assert_eq!(second.variable("HTTP_X"), Some("y"));
        assert!(seen.log.contains("\"POST /cgi-bin/x HTTP/1.1\" 200 5 "));
    });
}

#[test]
fn rule_124_other_redirects() {
    let seen = answer("GET", "Location: http://b/c#d\n\n", FINE);
    let found = text(&seen);
    assert!(found.starts_with("HTTP/1.1 302 Found\r\n"), "{found}");
    assert!(found.contains("\r\nLocation: http://b/c#d\r\nContent-Length: 0\r\n\r\n"));
    let output = "Status: 301 Moved\nLocation: /file\nContent-Type: a/b\n\nthere";
    let seen = answer("GET", output, FINE);
    assert!(text(&seen).starts_with("HTTP/1.1 301 Moved\r\n"));
    assert!(text(&seen).ends_with("5\r\nthere\r\n0\r\n\r\n"));
    assert_eq!(seen.ran.len(), 1);
}

#[test]
fn rule_125_what_a_program_may_not_say_is_dropped() {
    let output = "Content-Type: a/b\nConnection: keep-alive\nTransfer-Encoding: gzip\n\
                  Content-Length: 5\nContent-Length: 6\n\nhello";
    let seen = answer("GET", output, FINE);
    let found = text(&seen);
    assert!(found.contains("Transfer-Encoding: chunked\r\n"));
    assert!(!found.contains("gzip") && !found.contains("keep-alive") && !found.contains("Length"));
    let seen = answer("HEAD", output, FINE);
    assert!(text(&seen).ends_with("\r\n\r\n") && !text(&seen).contains("hello"));
    assert_eq!(seen.ran[0].variable("REQUEST_METHOD"), Some("HEAD"));
    let promise = "Content-Type: a/b\nContent-Length: 4\n\n";
    let seen = answer("GET", &format!("{promise}hello"), FINE);
    assert!(
        text(&seen).ends_with("Content-Length: 4\r\n\r\nhell"),
        "no octet more"
    );
    let seen = answer("GET", &format!("{promise}hel"), FINE);
    assert!(matches!(seen.ending.reason, CloseReason::Program(_)));
    let seen = answer("HEAD", promise, FINE);
    assert!(text(&seen).contains("Content-Length: 4\r\n"));
    for output in ["Status: 204\n\n", "Status: 304\nContent-Type: a/b\n\nx"] {
        let found = text(&answer("GET", output, FINE));
        assert!(found.ends_with("\r\n\r\n"), "{found}");
        assert!(
            !found.contains("Content-Length") && !found.contains("chunked"),
            "{found}"
        );
    }
}

#[test]
fn a_client_that_may_be_sending_can_read_that_a_program_failed() {
    for (fields, manner) in [
        ("", Manner::Linger),
        ("Connection: close\r\n", Manner::AtOnce),
    ] {
        let request = format!("GET /cgi-bin/x HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let seen = site()
            .with_program("1:x", "", FINE)
            .run(&[request.as_bytes()], Finale::Silence);
        assert!(text(&seen).starts_with("HTTP/1.1 500 "), "{}", text(&seen));
        assert_eq!(seen.ending.manner, manner, "{fields}");
    }
}

#[test]
fn a_program_that_does_not_stop_is_not_listened_to_for_ever() {
    let endless = "x".repeat(2 << 20);
    for (method, head) in [
        ("HEAD", "Content-Type: a/b\n\n"),
        ("GET", "Content-Type: a/b\nContent-Length: 3\n\n"),
    ] {
        let seen = answer(method, &format!("{head}{endless}"), None);
        let reason = seen.ending.reason;
        let expected = CloseReason::Program("rfc3875-6.4 more than is sent");
        assert_eq!(reason, expected, "{method}");
        let content = if method == "GET" { "xxx" } else { "" };
        assert!(text(&seen).ends_with(&format!("\r\n\r\n{content}")));
        // What is a little more is dropped, and the program may end as it likes.
        let seen = answer(method, &format!("{head}{}", &endless[..1 << 19]), FINE);
        assert_eq!(seen.ending.reason, CloseReason::PeerClosed, "{method}");
    }
}

#[test]
fn rule_126_what_a_program_does_wrong_is_said() {
    let killed = Some(ProgramEnd::Killed(11));
    let failed = Some(ProgramEnd::Exited(1));
    for (output, end) in [
        ("", FINE),
        ("", failed),
        ("", killed),
        ("hello\n\n", FINE),
        ("X: y\n\nhello", FINE),
        ("Status: 200\n\nhello", FINE),
        ("Content-Type: a/b\n", FINE),
        ("HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\n", FINE),
        (&format!("X: {}\n\n", "y".repeat(40_000)), FINE),
    ] {
        let seen = answer("GET", output, end);
        assert_eq!(status(&seen), 500, "{output:.50}");
        let CloseReason::Program(rule) = seen.ending.reason else {
            panic!("{:?}", seen.ending);
        };
        assert!(!text(&seen).contains(rule), "the log's affair");
        assert_eq!(seen.log.lines().count(), 1);
        assert_eq!(seen.answers, [0, 0, 0, 0, 1], "{output:.50}");
    }
    // What was whole stays whole, with a bad end too.
    let seen = answer("GET", PLAIN, failed);
    assert!(text(&seen).ends_with("0\r\n\r\n"));
    let seen = answer("GET", PLAIN, killed);
    assert!(!text(&seen).ends_with("0\r\n\r\n"), "a client can tell");
    assert!(matches!(seen.ending.reason, CloseReason::Program(_)));
    assert_eq!(status(&answer("GET", "Status: 503\n\n", FINE)), 503);
}

#[test]
fn rule_126_a_program_that_hangs_gets_a_504() {
    let seen = answer("GET", "", None);
    assert_eq!(status(&seen), 504);
    assert_eq!(seen.answers, [0, 0, 0, 0, 1]);
    assert!(seen.left_running, "it is the driver's to end");
    assert_eq!(seen.elapsed, Duration::from_secs(60));
    assert_eq!(
        seen.ending.reason,
        CloseReason::Program("no answer in time")
    );
    let seen = answer("GET", PLAIN, None);
    assert_eq!(status(&seen), 200);
    assert_eq!(seen.answers, [0, 1, 0, 0, 0]);
    assert!(!text(&seen).ends_with("0\r\n\r\n"), "cut short");
}

#[test]
fn rule_128_a_client_that_goes_while_it_sends_starts_no_program() {
    let request = "POST /cgi-bin/e HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc";
    let seen = site().run(&[request.as_bytes()], Finale::Finish);
    assert_eq!(
        (seen.ran.len(), seen.ending.reason),
        (0, CloseReason::CutShort)
    );
}

#[test]
fn rule_66_an_old_client_gets_no_chunks() {
    let world = site();
    let request = "GET /cgi-bin/e HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let seen = world.run(&[request.as_bytes()], Finale::Finish);
    assert!(text(&seen).contains("\r\nConnection: close\r\n"));
    assert!(text(&seen).ends_with("\r\n\r\nhello"));
    let world = site().with_program("1:x", "Content-Type: a/b\nContent-Length: 2\n\nab", FINE);
    let request = "GET /cgi-bin/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let seen = world.run(&[request.as_bytes()], Finale::Finish);
    assert!(text(&seen).contains("\r\nConnection: keep-alive\r\n"));
}

#[test]
fn where_programs_are() {
    for (target, ran, expected) in [
        ("/cgi-bin/e", Some("1:e"), 200),
        ("/cgi-bin/e/x/y", Some("1:e"), 200),
        ("/cgi-bin/%65", Some("1:e"), 200),
        ("/cgi-bin/d/e/x", Some("1:d/e"), 200),
        ("/cgi-bin/d", None, 301),
        ("/cgi-bin/d/", None, 403),
        ("/cgi-bin/", None, 403),
        ("/cgi-bin/none", None, 404),
        ("/cgi-bin/nph-x", None, 501),
        ("/cgi-bin/.e", None, 404),
        ("/a.cgi", Some("a.cgi"), 200),
        ("/a.cgi/x", Some("a.cgi"), 200),
        ("/d/", Some("d/index.cgi"), 200),
        ("/p/", None, 200),
        ("/file", None, 200),
    ] {
        let seen = site().run(&[get(target).as_bytes()], Finale::Finish);
        let found = seen.ran.first().map(|one| one.path.as_str());
        assert_eq!((found, status(&seen)), (ran, expected), "{target}");
        assert!(!text(&seen).contains("source"), "{target}");
    }
}

#[test]
fn nothing_of_a_program_is_sent_in_its_place() {
    let ask = |settings: Http, target: &str, fields: &str| {
        let source = || Entry::File(b"source".to_vec(), 784_111_777);
        let world = site_with(settings)
            .with("a.cgi.gz", source())
            .with("d/index.cgi.gz", source())
            .with("file.gz", source());
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        world.run(&[request.as_bytes()], Finale::Finish)
    };
    for fields in [
        "Accept-Encoding: gzip\r\n",
        "Range: bytes=0-2\r\n",
        "Range: bytes=0-1,3-4\r\n",
        "Range: bytes=9-\r\n",
        "If-None-Match: *\r\n",
        "If-Match: \"a\"\r\n",
        "If-Modified-Since: Fri, 31 Dec 2100 23:59:59 GMT\r\n",
    ] {
        for target in ["/cgi-bin/e", "/a.cgi", "/d/", "/d/index.cgi"] {
            let seen = ask(site_of_programs(), target, fields);
            assert_eq!((status(&seen), seen.ran.len()), (200, 1), "{fields}");
            assert!(text(&seen).contains("hello"));
            assert!(!text(&seen).contains("source") && !text(&seen).contains("ETag"));
        }
    }
    // What is a program under its own name is no coding of another file …
    let fields = "Accept-Encoding: gzip\r\n";
    let sent = ask(site_of_programs(), "/file", fields);
    assert!(text(&sent).ends_with("source"));
    let mut settings = site_of_programs();
    settings.paths[1].pattern = Pattern::parse("*.gz").expect("a pattern");
    let sent = ask(settings, "/file", fields);
    assert!(text(&sent).ends_with("of file") && sent.ran.is_empty());
    // … and none is the page of an error.
    let mut settings = site_of_programs();
    settings.error_pages = vec![ErrorPage {
        status: 404,
        path: "/a.cgi".to_owned(),
    }];
    let seen = ask(settings, "/nothing", fields);
    assert_eq!((status(&seen), seen.ran.len()), (404, 0));
    assert!(!text(&seen).contains("source"));
}

#[test]
fn a_file_that_a_program_sends_us_to_has_parts_and_conditions() {
    let ask = |method: &str, fields: &str| {
        let world = site().with_program("1:x", "Location: /file\n\n", FINE);
        let request = format!("{method} /cgi-bin/x HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        world.run(&[request.as_bytes()], Finale::Finish)
    };
    for (method, fields, expected) in [
        ("GET", "", 200),
        ("GET", "Range: bytes=0-1\r\n", 206),
        ("GET", "If-None-Match: *\r\n", 304),
        ("POST", "Range: bytes=0-1\r\n", 200),
        ("POST", "If-None-Match: *\r\n", 200),
    ] {
        let seen = ask(method, fields);
        assert_eq!(
            (status(&seen), seen.ran.len()),
            (expected, 1),
            "{method} {fields}"
        );
    }
}

#[test]
fn methods_are_the_programs_affair() {
    for (method, target, ran, expected) in [
        ("OPTIONS", "/cgi-bin/e", 1, 200),
        ("DELETE", "/a.cgi", 1, 200),
        ("POST", "/d/", 1, 200),
        ("POST", "/p/", 0, 405),
        ("POST", "/l/", 0, 405),
        ("POST", "/file", 0, 405),
        ("TRACE", "/cgi-bin/e", 0, 405),
    ] {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut settings = site_of_programs();
        settings.paths.push(pretend::sites::listed("/l/"));
        let world = site_with(settings).with("l", Entry::Directory);
        let seen = world.run(&[request.as_bytes()], Finale::Finish);
        assert_eq!(
            (seen.ran.len(), status(&seen)),
            (ran, expected),
            "{request}"
        );
    }
}

#[test]
fn the_rules_of_the_path_hold_for_programs() {
    let mut settings = site_of_programs();
    settings.paths[0].scope.headers = vec![Header {
        name: "X-H".to_owned(),
        value: "h".to_owned(),
    }];
    let seen = site_with(settings).run(&[get("/cgi-bin/e").as_bytes()], Finale::Finish);
    assert!(text(&seen).contains("\r\nX-H: h\r\n"));
    // A host without programs runs none.
    let world = pretend::world();
    let seen = world.run(&[get("/a").as_bytes()], Finale::Finish);
    assert!(seen.ran.is_empty());
}

#[test]
fn rule_121_who_said_a_right_password_is_named() {
    let mut settings = site_of_programs();
    settings.paths[0].scope.auth = pretend::sites::locked("/cgi-bin/").scope.auth;
    let world = site_with(settings).with_program("a.cgi", "Location: /cgi-bin/e\n\n", FINE);
    let ask = |target: &str, fields: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        world.run(&[request.as_bytes()], Finale::Finish)
    };
    let fields = "Authorization: Basic YWRhOm9wZW4=\r\n";
    for target in ["/cgi-bin/e", "/a.cgi"] {
        let seen = ask(target, fields);
        assert_eq!(status(&seen), 200, "{target}");
        let last = seen.ran.last().expect("it ran");
        assert_eq!(last.variable("REMOTE_USER"), Some("ada"));
        assert_eq!(last.variable("AUTH_TYPE"), Some("Basic"));
        assert_eq!(last.variable("HTTP_AUTHORIZATION"), None);
        // A local redirect is no way round a password.
        let seen = ask(target, "");
        assert_eq!(status(&seen), 401, "{target}");
        assert!(seen.ran.iter().all(|one| one.path != "1:e"));
    }
    assert_eq!(ask("/a.cgi", fields).ran[0].variable("REMOTE_USER"), None);
}

#[test]
fn what_a_program_did_wrong_is_counted() {
    for (output, end) in [("", FINE), ("hello\n\n", FINE), ("X: y\n", None)] {
        let world = site().with_program("1:x", output, end);
        let seen = world.run(&[get("/cgi-bin/x").as_bytes()], Finale::Finish);
        assert!(matches!(status(&seen), 500 | 504), "{output:?}");
        assert_eq!(seen.answers, [0, 0, 0, 0, 1], "{output:?}");
    }
}

#[test]
fn a_pipeline_through_programs() {
    let requests = get("/cgi-bin/e") + &get("/file") + &get("/a.cgi");
    site().every_way(requests.as_bytes(), Finale::Finish, |seen| {
        assert_eq!((seen.ran.len(), seen.log.lines().count()), (2, 3));
        assert_eq!(text(seen).matches("HTTP/1.1 200 OK\r\n").count(), 3);
    });
    let all = site().run(&[get("/file").as_bytes()], Finale::Finish);
    assert_eq!(split(&all.output, false).len(), 1);
}

/// Octets that a client has in the end, without the framing of their chunks.
fn content(output: &[u8]) -> (String, Vec<u8>) {
    let text = String::from_utf8_lossy(output).into_owned();
    let Some((head, mut rest)) = text.split_once("\r\n\r\n") else {
        return (text, Vec::new());
    };
    if !head.contains("\r\nTransfer-Encoding: chunked") {
        return (head.to_owned(), rest.as_bytes().to_vec());
    }
    let mut content = Vec::new();
    while let Some((size, tail)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        content.extend_from_slice(&tail.as_bytes()[..size]);
        rest = &tail[size + 2..];
    }
    (head.to_owned(), content)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn how_a_program_writes_changes_nothing(
        output in prop_oneof![
            "(Status: [0-9]{3}( [a-z]{0,3})?|Content-Type: a/b|Location: /file|X: y|Content-Length: [0-9]){0,3}(\r\n|\n){0,3}[a-c\n]{0,40}",
            "Content-Type: a/b\nX: y\r\n\r?\n[a-z]{0,60}",
        ],
        write in 1usize..9,
        end in prop_oneof![Just(FINE), Just(Some(ProgramEnd::Killed(9)))],
    ) {
        let request = get("/cgi-bin/x");
        let world = |write| site().with_program("1:x", &output, end).writing(write);
        let whole = world(usize::MAX).run(&[request.as_bytes()], Finale::Finish);
        let parts = world(write).run(&[request.as_bytes()], Finale::Finish);
        prop_assert_eq!(content(&whole.output), content(&parts.output));
        prop_assert_eq!(whole.ending.reason, parts.ending.reason);
        prop_assert_eq!(whole.log, parts.log);
    }
}

#[test]
fn a_program_and_its_client_hear_the_same_name_once() {
    let settings = Http {
        request_id: true,
        ..site_of_programs()
    };
    let output = "Content-Type: a/b\nX-Request-ID: forged\n\nhello";
    let world = site_with(settings)
        .with_program("1:x", output, FINE)
        .with_program("1:sent", "Location: /cgi-bin/x\n\n", FINE);
    let seen = world.run(&[get("/cgi-bin/sent").as_bytes()], Finale::Finish);
    let names: Vec<_> = seen
        .ran
        .iter()
        .map(|ran| ran.variable("UNIQUE_ID"))
        .collect();
    // Whoever is sent elsewhere is still the same request.
    assert_eq!(names, [Some("0000000000000001"); 2]);
    let field = "\r\nX-Request-ID: 0000000000000001\r\n";
    assert_eq!(text(&seen).matches("\r\nX-Request-ID: ").count(), 1);
    assert!(text(&seen).contains(field), "{}", text(&seen));
}
