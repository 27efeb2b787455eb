//! What holds for every input: how octets are cut changes no answer, nothing
//! panics, and every answer is one that a client can read.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::{Index, subsequence};

use super::pretend::sites::{site_of_rules, world_of_rules};
use super::{fuzzing, pretend};
use crate::protocol::harness::{Finale, Seen, World};

/// Requests that go together in a pipeline, and some that end one.
const PIECES: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /dir?q HTTP/1.1\r\nHost: a\r\n\r\n",
    "HEAD /a HTTP/1.1\r\nHost: a\r\nConnection: x, y\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nGET / H",
    "GET /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: u\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
    "GET /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
    "\r\nOPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    "GET http://h/dir/./../%61 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /.secret HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
    "PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "GET /page.html HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip;q=0.5, x\r\nRange: bytes=1-2\r\n\r\n",
    "GET /digits HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1, -3,5-5\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
    "GET /digits HTTP/1.1\r\nHost: a\r\nIf-None-Match: W/\"a\", *\r\nIf-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n\r\n",
    "HEAD /a HTTP/1.1\r\nHost: a\r\nIf-Match: \"\r\nIf-None-Match: *\r\n\r\n",
    "GET /full HTTP/1.1\r\nHost: a\r\n\r\n",
    "BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /dl/../old?q HTTP/1.1\r\nHost: EXAMPLE.org.\r\n\r\n",
    "GET /moved//x/ HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
    "GET /hello HTTP/1.1\r\nHost: a.example.net\r\n\r\n",
    "GET /locked/a HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YWRhOm9wZW4=\r\n\r\n",
    "GET /listed/?sort=size HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n",
    "GET /app/view HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n",
    "GET /\r\n",
    "\0\x01\x02",
    "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
     5;a;b=\"c\";d=e\r\nhello\r\n00a ;x\r\n",
    "POST /cgi-bin/e HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
     5;a;b=\"c\"\r\nhello\r\n00a;\r\n0123456789\r\n000;z\r\nHost: b\r\nX:\r\nY: \tz\r\n\r\n",
    "POST /cgi-bin/e/x?y HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\
     Transfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n0\r\n\r\n",
    "POST /cgi-bin/d/e HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\nGET / HTTP/1",
    "POST /a.cgi HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\
     Content-Length: 3\r\n\r\nabc",
    "HEAD /cgi-bin/to HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /cgi-bin/e HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET /a HTTP/1.0\r\n\r\n",
    "GET /lone.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n",
    "POST /small/a HTTP/1.1\r\nHost: a\r\nContent-Length: 41\r\n\r\n",
];

/// Lines of a program's header section.
const LINES: &[&str] = &[
    "Content-Type: text/plain\n",
    "Content-type:a/b\r\n",
    "Status: 404 Not Here\n",
    "Status: 304\r\n",
    "Status: 205 x\n",
    "Location: /cgi-bin/e?x\n",
    "Location: /file\r\n",
    "Location: http://b/c#d\n",
    "Content-Length: 7\n",
    "Connection: close\n",
    "Transfer-Encoding: chunked\n",
    "Set-Cookie: a=b\n",
    "X-\u{e4}: c\n",
    "\n",
];

/// Sites with some of everything, and one with all of it.
static SITES: LazyLock<[World; 3]> = LazyLock::new(|| {
    [
        pretend::world(),
        world_of_rules(site_of_rules()),
        fuzzing::everything(),
    ]
});

/// Octets that mean something somewhere in a request.
const OCTETS: &[u8] = b"\r\n\0\t :;,/?%#.0159AZaz[]\"\\\x7f\x80\xff";

fn pipeline() -> impl Strategy<Value = Vec<u8>> {
    subsequence(PIECES, 1..6)
        .prop_shuffle()
        .prop_map(|pieces| pieces.concat().into_bytes())
}

#[derive(Clone, Debug)]
enum Edit {
    Replace(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Repeat(Index, Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let octet = || prop_oneof![prop::sample::select(OCTETS), any::<u8>()];
    prop_oneof![
        (any::<Index>(), octet()).prop_map(|(at, octet)| Edit::Replace(at, octet)),
        (any::<Index>(), octet()).prop_map(|(at, octet)| Edit::Insert(at, octet)),
        any::<Index>().prop_map(Edit::Remove),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Edit::Repeat(from, to)),
    ]
}

fn apply(bytes: &mut Vec<u8>, edit: &Edit) {
    if bytes.is_empty() {
        return;
    }
    match edit {
        Edit::Replace(at, octet) => {
            let at = at.index(bytes.len());
            bytes[at] = *octet;
        }
        Edit::Insert(at, octet) => bytes.insert(at.index(bytes.len()), *octet),
        Edit::Remove(at) => {
            bytes.remove(at.index(bytes.len()));
        }
        Edit::Repeat(from, to) => {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            bytes.extend_from_within(from.min(to)..from.max(to));
        }
    }
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    (pipeline(), prop::collection::vec(edit(), 1..8)).prop_map(|(mut bytes, edits)| {
        for edit in &edits {
            apply(&mut bytes, edit);
        }
        bytes
    })
}

/// One log line an answer, and nothing in it that could end it.
fn assert_log(seen: &Seen) -> Result<(), TestCaseError> {
    for line in seen.log.lines() {
        prop_assert!(
            line.bytes()
                .all(|byte| byte == b' ' || byte.is_ascii_graphic())
        );
        prop_assert_eq!(line.matches('"').count(), 6, "{}", line);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn cutting_changes_nothing(
        bytes in prop_oneof![pipeline(), mutated()],
        points in prop::collection::vec(any::<Index>(), 0..12),
        site in 0..SITES.len(),
    ) {
        let mut points: Vec<usize> = points.iter().map(|at| at.index(bytes.len() + 1)).collect();
        points.sort_unstable();
        fuzzing::assert_cuts_agree(&SITES[site], &bytes, &points);
        assert_log(&SITES[site].run(&[&bytes], Finale::Finish))?;
    }

    #[test]
    fn what_was_asked_before_changes_nothing(
        bytes in pipeline(),
        before in prop::collection::vec(pipeline(), 0..4),
    ) {
        let (new, used) = (pretend::world(), pretend::world());
        for octets in before.iter().chain([&bytes, &bytes]) {
            used.run(&[octets], Finale::Finish);
        }
        let (one, other) = (new.run(&[&bytes], Finale::Finish), used.run(&[&bytes], Finale::Finish));
        prop_assert_eq!(String::from_utf8_lossy(&one.output), String::from_utf8_lossy(&other.output));
        prop_assert_eq!(one.log, other.log);
        prop_assert_eq!(one.activity, other.activity);
        prop_assert_eq!(one.answers, other.answers);
        prop_assert_eq!(one.ending, other.ending);
    }

    #[test]
    fn the_end_may_come_anywhere(
        bytes in prop_oneof![pipeline(), mutated()],
        end in any::<Index>(),
        points in prop::collection::vec(any::<Index>(), 0..4),
    ) {
        let bytes = &bytes[..end.index(bytes.len() + 1)];
        let mut points: Vec<usize> = points.iter().map(|at| at.index(bytes.len() + 1)).collect();
        points.sort_unstable();
        fuzzing::assert_cuts_agree(&SITES[2], bytes, &points);
    }

    #[test]
    fn what_a_program_writes_may_be_cut(
        lines in subsequence(LINES, 0..6).prop_shuffle(),
        rest in prop::collection::vec(
            prop_oneof![prop::sample::select(OCTETS), any::<u8>()],
            0..40,
        ),
        edits in prop::collection::vec(edit(), 0..3),
    ) {
        let mut output = lines.concat().into_bytes();
        output.extend_from_slice(b"\n");
        output.extend_from_slice(&rest);
        for edit in &edits {
            apply(&mut output, edit);
        }
        fuzzing::cgi_output(&output);
    }

    #[test]
    fn nothing_panics(
        bytes in prop::collection::vec(
            prop_oneof![prop::sample::select(OCTETS), any::<u8>()],
            0..400,
        ),
        prefix in prop::sample::select(&["", "GET /", "GET / HTTP/1.1\r\nHost: a\r\n"][..]),
    ) {
        let mut request = prefix.as_bytes().to_vec();
        request.extend_from_slice(&bytes);
        let world = &SITES[0];
        for finale in [Finale::Finish, Finale::Silence] {
            let seen = world.run(&[&request], finale);
            assert_log(&seen)?;
        }
    }
}
