//! Rules 72, 73 and 80 to 107: representations, conditions, ranges, codings.

use super::super::super::harness::{WALL, World, identity};
use super::super::coding::Coding;
use super::super::mime::Media;
use super::super::representation::Representation;
use super::*;
use crate::protocol::{Facts, FileKind};
use proptest::prelude::*;

const MODIFIED: i64 = 784_111_777;
const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

/// The tag of a file of the pretend site.
fn tag(path: &str, length: u64, mtime: i64, coding: Coding) -> String {
    let facts = Facts {
        kind: FileKind::File,
        length,
        mtime,
        mtime_nanoseconds: 0,
        identity: identity(path.as_bytes()),
    };
    let file = Representation::of(&facts, Media::UNKNOWN, coding, &WALL);
    file.tag.to_string()
}

/// A request for ten digits; `{x}` is their tag.
fn digits(method: &str, fields: &str) -> String {
    let tag = tag("digits", 10, MODIFIED, Coding::Identity);
    let line = format!("{method} /digits HTTP/1.1");
    with(&line, &fields.replace("{x}", &tag))
}

fn ask(fields: &str) -> String {
    digits("GET", fields)
}

fn coded(path: &str, accepted: &str) -> String {
    let line = format!("GET {path} HTTP/1.1");
    with(&line, &format!("Accept-Encoding: {accepted}\r\n"))
}

fn run(world: &World, rows: &[Row]) {
    for row in rows {
        let bytes = latin1(&row.send);
        if bytes.len() < 1500 {
            world.every_way(&bytes, Finale::Finish, |seen| check(row, seen));
            continue;
        }
        for size in [bytes.len(), bytes.len() / 2 + 1, 1] {
            let segments: Vec<&[u8]> = bytes.chunks(size).collect();
            check(row, &world.run(&segments, Finale::Finish));
        }
    }
}

#[test]
fn conditions() {
    use End::Kept;
    let one = |rule, field: &str, status: &'static [u16]| {
        row(rule, ask(&format!("{field}\r\n")), status, Kept)
    };
    let two = |rule, first: &str, second: &str, status: &'static [u16]| {
        row(rule, ask(&format!("{first}\r\n{second}\r\n")), status, Kept)
    };
    let since = |date: &str| format!("If-Modified-Since: {date}");
    let unless = |date: &str| format!("If-Unmodified-Since: {date}");
    let mut rows = vec![
        one(80, "If-None-Match: W/{x}", &[304]).lacks(&["0123456789"]),
        one(81, "If-None-Match: \"a\", {x}", &[304]),
        one(81, "If-None-Match: *", &[304]),
        two(81, "If-None-Match: \"a\"", "If-None-Match: {x}", &[304]),
        row(82, digits("OPTIONS", "If-None-Match: *\r\n"), &[204], Kept),
        row(83, post("If-None-Match: *\r\n", ""), &[405], Kept),
        row(83, post("If-Match: \"a\"\r\n", ""), &[405], Kept),
        row(
            83,
            with("GET /no HTTP/1.1", "If-Match: *\r\n"),
            &[404],
            Kept,
        ),
        row(
            83,
            with("GET /dir HTTP/1.1", "If-None-Match: *\r\n"),
            &[301],
            Kept,
        ),
        two(84, "If-None-Match: {x}", &since(BEFORE), &[304]),
        two(85, "If-None-Match: \"a\"", &since(SAME), &[200]),
        one(86, &since(AFTER), &[304]),
        one(86, &since(SAME), &[304]),
        one(86, &since(BEFORE), &[200]),
        two(87, "If-Match: {x}", &unless(BEFORE), &[200]),
        one(87, &unless(BEFORE), &[412]),
        one(87, &unless(SAME), &[200]),
        one(88, &unless("soon"), &[200]),
        one(88, &since("soon"), &[200]),
        one(89, "If-Match: W/{x}", &[412]),
        one(89, "If-Match: {x}", &[200]),
        one(89, "If-Match: \"a\", {x}", &[200]),
        one(89, "If-Match: *", &[200]),
        one(90, &since("Sunday, 06-Nov-94 08:49:37 GMT"), &[304]),
        one(90, &since("Sun Nov  6 08:49:37 1994"), &[304]),
        one(91, "If-None-Match: {x}", &[304])
            .has(&[
                "\r\nDate: ",
                "\r\nETag: \"",
                "\r\nVary: Accept-Encoding\r\n",
            ])
            .lacks(&["Content-", "Last-Modified", "Accept-Ranges"]),
        one(103, "If-None-Match: {x}\r\nRange: bytes=0-1", &[304]),
        // Any answer after another on the same connection is its own.
        row(
            91,
            ask("If-None-Match: {x}\r\n") + &ask("") + &ask("If-Match: \"a\"\r\n") + &ask(""),
            &[304, 200, 412, 200],
            Kept,
        ),
    ];
    for field in ["If-None-Match: {x}", "If-None-Match: *", &since(SAME)] {
        let field = format!("{field}\r\n");
        rows.push(row(80, digits("HEAD", &field), &[304], Kept));
    }
    run(&world(), &rows);
}

#[test]
fn files_without_a_useful_date() {
    use End::Kept;
    let request = |path: &str, field: &str| with(&format!("GET {path} HTTP/1.1"), field);
    let later = "If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT\r\n";
    run(
        &world(),
        &[
            row(92, request("/future", ""), &[200], Kept).has(&[
                "Last-Modified: Wed, 01 Jul 2026 10:30:05 GMT\r\n",
                "ETag: W/\"",
            ]),
            row(0, request("/epoch", ""), &[200], Kept)
                .has(&["ETag: \""])
                .lacks(&["Last-Modified"]),
            row(0, request("/epoch", later), &[200], Kept),
        ],
    );
}

#[test]
fn single_ranges() {
    use End::{Closed, Kept};
    let range = |rule, value: &str, status: &'static [u16]| {
        row(rule, ask(&format!("Range: {value}\r\n")), status, Kept)
    };
    let with_if = |rule, condition: &str, status: &'static [u16]| {
        let fields = format!("Range: bytes=2-3\r\nIf-Range: {condition}\r\n");
        row(rule, ask(&fields), status, Kept)
    };
    let empty = |value: &str| with("GET /empty HTTP/1.1", &format!("Range: {value}\r\n"));
    let part = &["\r\nContent-Range: bytes 2-3/10\r\n", "\r\n\r\n23"];
    let whole = &["\r\n\r\n0123456789"];
    run(
        &world(),
        &[
            row(72, digits("HEAD", ""), &[200], Kept).has(&[
                "Content-Length: 10\r\n",
                "ETag: \"",
                "Accept-Ranges: bytes\r\n",
            ]),
            row(73, digits("HEAD", "Range: bytes=0-1\r\n"), &[200], Kept)
                .has(&["Content-Length: 10\r\n"])
                .lacks(&["Content-Range"]),
            row(73, digits("HEAD", "Range: bytes=99-\r\n"), &[200], Kept),
            row(73, post("Range: bytes=0-1\r\n", ""), &[405], Kept).lacks(&["Content-Range"]),
            range(93, "bytes=0-0", &[206]).has(&[
                "Content-Range: bytes 0-0/10\r\n",
                "Content-Length: 1\r\n",
                "\r\n\r\n0",
            ]),
            range(93, "bytes=5-", &[206]).has(&[
                "Content-Range: bytes 5-9/10\r\n",
                "Content-Length: 5\r\n",
                "\r\n\r\n56789",
            ]),
            range(93, "bytes=-5", &[206])
                .has(&["Content-Range: bytes 5-9/10\r\n", "\r\n\r\n56789"]),
            range(93, "bytes=3-99", &[206]).has(&["Content-Range: bytes 3-9/10\r\n"]),
            range(94, "bytes=-9999999", &[206])
                .has(&["Content-Range: bytes 0-9/10\r\n"])
                .has(whole),
            range(95, "bytes=10-", &[416]).has(&["Content-Range: bytes */10\r\n"]),
            range(95, "bytes=-0", &[416]).has(&["Content-Range: bytes */10\r\n"]),
            range(96, "bytes=5-2", &[200]).has(whole),
            range(96, "bytes=x", &[200]).has(whole),
            range(96, "bytes=0-1\r\nRange: bytes=2-3", &[200]).has(whole),
            range(97, "items=0-1", &[200]).has(whole),
            range(97, "BYTES=2-3", &[206]).has(part),
            range(99, "bytes=2-3", &[206])
                .has(part)
                .lacks(&["multipart"]),
            range(99, "bytes=2-2,3-3", &[206])
                .has(part)
                .lacks(&["multipart"]),
            row(101, empty("bytes=0-"), &[416], Kept).has(&["bytes */0\r\n"]),
            row(101, empty("bytes=-5"), &[200], Kept),
            with_if(102, "{x}", &[206]).has(part),
            with_if(102, "W/{x}", &[200]).has(whole),
            with_if(102, "\"a\"", &[200]).has(whole),
            with_if(102, SAME, &[206]).has(part),
            with_if(102, AFTER, &[200]).has(whole),
            with_if(102, BEFORE, &[200]).has(whole),
            row(102, ask("If-Range: \"a\"\r\n"), &[200], Kept).has(whole),
            range(104, "bytes=2-3", &[206]).has(&[
                "\r\nDate: ",
                "\r\nETag: \"",
                "\r\nVary: Accept-Encoding\r\n",
                "\r\nLast-Modified: ",
            ]),
            row(
                93,
                ask("Range: bytes=0-0\r\n") + &ask("Range: bytes=9-9\r\n") + &ask(""),
                &[206, 206, 200],
                Kept,
            ),
            row(
                93,
                "GET /digits HTTP/1.0\r\nRange: bytes=2-3\r\n\r\n",
                &[206],
                Closed,
            )
            .has(part),
        ],
    );
}

#[test]
fn several_ranges() {
    use End::Kept;
    let range = |rule, value: &str, status: &'static [u16]| {
        row(rule, ask(&format!("Range: {value}\r\n")), status, Kept)
    };
    let many = |count: usize| format!("bytes={}", vec!["0-"; count].join(","));
    run(
        &world(),
        &[
            range(98, "bytes=0-1,4-5", &[206]).has(&[
                "\r\nContent-Type: multipart/byteranges; boundary=",
                "\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n--",
                "\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes 4-5/10\r\n\r\n45\r\n--",
                "\r\nVary: Accept-Encoding\r\n",
            ]),
            range(98, "bytes=8-,0-0", &[206]).has(&["bytes 8-9/10\r\n\r\n89\r\n--"]),
            range(98, "bytes=0-1,4-5", &[206]).has(&["--\r\n"]),
            range(99, "bytes=0-1,99-", &[206]).lacks(&["multipart"]),
            range(100, &many(1000), &[200]).lacks(&["Content-Range"]),
            range(100, &many(64), &[206]).has(&["Content-Range: bytes 0-9/10\r\n"]),
        ],
    );
    let seen = world().run(
        &[ask("Range: bytes=0-1,4-5\r\n").as_bytes()],
        Finale::Finish,
    );
    let answer = String::from_utf8_lossy(&seen.output).into_owned();
    let (head, _) = answer.split_once("\r\n\r\n").expect("a head ends");
    assert!(!head.contains("Content-Range"), "rule 98: {head}");
    let octets = head
        .split("Content-Length: ")
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let octets = octets.expect("there is a length");
    assert!(
        seen.log.contains(&format!("\" 206 {octets} ")),
        "{}",
        seen.log
    );
}

#[test]
fn codings() {
    use End::Kept;
    let gzip = tag("page.html.gz", 12, MODIFIED, Coding::Gzip);
    let plain = tag("page.html", 5000, MODIFIED, Coding::Identity);
    let as_gzip = &["\r\nContent-Encoding: gzip\r\n", "(page, gzip)"];
    let as_plain = &["\r\n\r\npage page"];
    let page = |rule, accepted: &str| row(rule, coded("/page.html", accepted), &[200], Kept);
    let vary = &["\r\nVary: Accept-Encoding\r\n"];
    let fields = |more: &str| with("GET /page.html HTTP/1.1", more);
    let accept = "Accept-Encoding: gzip\r\n";
    run(
        &world(),
        &[
            page(106, "gzip;q=0").has(as_plain).lacks(&["Content-Encoding"]),
            page(106, "*;q=0").has(as_plain).lacks(&["Content-Encoding"]),
            page(106, "").has(as_plain).lacks(&["Content-Encoding"]),
            page(106, "br;q=0.5, gzip").has(as_gzip),
            page(106, "identity;q=0, deflate").has(as_plain),
            page(106, "gzip, br").has(&["Content-Encoding: br\r\n", "(page, br)"]),
            page(106, "zstd, x-gzip").has(as_gzip),
            page(106, "gzip\r\nAccept-Encoding: br;q=0").has(as_gzip),
            page(107, "gzip").has(vary).has(&["\r\nContent-Type: text/html; charset=utf-8\r\n"]),
            page(107, "identity").has(vary),
            row(107, fields(""), &[200], Kept).has(vary).has(as_plain),
            row(107, fields("Range: bytes=0-1\r\n"), &[206], Kept).has(vary),
            row(107, fields("If-None-Match: *\r\n"), &[304], Kept).has(vary),
            row(107, fields(&format!("If-None-Match: {plain}\r\n")), &[304], Kept),
            row(107, fields(&format!("{accept}If-None-Match: {plain}\r\n")), &[200], Kept),
            row(107, fields(&format!("{accept}If-None-Match: {gzip}\r\n")), &[304], Kept).has(vary),
            row(107, fields(&format!("If-None-Match: {gzip}\r\n")), &[200], Kept),
            // Offsets in the encoded octets, and the tag of that coding.
            row(105, fields(&format!("{accept}Range: bytes=1-4\r\n")), &[206], Kept).has(&[
                "\r\nContent-Range: bytes 1-4/12\r\n",
                "\r\nContent-Encoding: gzip\r\n",
                "-gzip\"\r\n",
                "\r\n\r\npage",
            ]),
            row(
                105,
                fields(&format!("{accept}Range: bytes=1-4\r\nIf-Range: {gzip}\r\n")),
                &[206],
                Kept,
            ),
            row(
                105,
                fields(&format!("{accept}Range: bytes=1-4\r\nIf-Range: {plain}\r\n")),
                &[200],
                Kept,
            ),
            row(
                105,
                fields(&format!("{accept}Range: bytes=0-0,4-5\r\n")),
                &[206],
                Kept,
            )
            .has(&[
                "\r\nContent-Type: text/html; charset=utf-8\r\nContent-Range: bytes 4-5/12\r\n\r\ne,",
            ]),
            // A sibling that is older, or no file, or out of reach, is none.
            row(0, coded("/stale.css", "gzip, br"), &[200], Kept).has(&["\r\n\r\na{}"]).has(vary),
            row(0, coded("/odd.css", "gzip, br"), &[200], Kept).has(&["\r\n\r\nb{}"]),
            row(0, coded("/picture.png", "gzip"), &[200], Kept)
                .has(&["pixels"])
                .lacks(&["Vary", "Content-Encoding"]),
            row(0, of("/page.html.gz"), &[200], Kept)
                .has(&["application/gzip"])
                .lacks(&["Content-Encoding", "Vary"]),
            row(72, with("HEAD /page.html HTTP/1.1", accept), &[200], Kept)
                .has(&["Content-Encoding: gzip\r\n", "Content-Length: 12\r\n"]),
        ],
    );
}

#[test]
fn siblings_are_looked_for_once_a_second() {
    let world = world();
    let request = coded("/lone.txt", "gzip, br, zstd");
    let seen = world.run(&[request.repeat(2).as_bytes()], Finale::Finish);
    let opened = [
        "lone.txt",
        "lone.txt.zst",
        "lone.txt.br",
        "lone.txt.gz",
        "lone.txt",
    ];
    assert_eq!(seen.opened, opened);
    let without = world_with(Http {
        precompressed: false,
        ..settings()
    });
    let seen = without.run(&[coded("/page.html", "gzip").as_bytes()], Finale::Finish);
    assert_eq!(seen.opened, ["page.html"]);
    assert!(!String::from_utf8_lossy(&seen.output).contains("Vary"));
}

#[test]
fn what_is_compressed_here() {
    use End::Kept;
    let world = world_with(Http {
        gzip: true,
        gzip_min_size: 1,
        ..settings()
    });
    let lone = tag("lone.txt", 6000, MODIFIED, Coding::Gzip);
    let fields = |more: &str| with("GET /lone.txt HTTP/1.1", more);
    let accept = "Accept-Encoding: gzip\r\n";
    let plain = &["\r\n\r\nalone alone"];
    run(
        &world,
        &[
            row(107, fields(accept), &[200], Kept).has(&[
                "\r\nContent-Encoding: gzip\r\n",
                "\r\nVary: Accept-Encoding\r\n",
                "-gzip\"\r\n",
                "\r\nAccept-Ranges: none\r\n",
            ]),
            row(107, fields(""), &[200], Kept).has(plain).has(&[
                "\r\nVary: Accept-Encoding\r\n",
                "\r\nAccept-Ranges: bytes\r\n",
            ]),
            row(
                107,
                fields(&format!("{accept}If-None-Match: {lone}\r\n")),
                &[304],
                Kept,
            ),
            row(72, with("HEAD /lone.txt HTTP/1.1", accept), &[200], Kept)
                .has(&["Content-Encoding: gzip\r\n"]),
            // Of what is made for one answer there are no parts.
            row(
                105,
                fields(&format!("{accept}Range: bytes=0-4\r\n")),
                &[206],
                Kept,
            )
            .has(&["\r\n\r\nalone", "bytes 0-4/6000\r\n"])
            .lacks(&["Content-Encoding"]),
            row(
                105,
                fields(&format!("{accept}Range: bytes=0-4\r\nIf-Range: {lone}\r\n")),
                &[200],
                Kept,
            )
            .has(plain),
            // What gets no smaller, or is no text, is sent as it is.
            row(0, coded("/noise.txt", "gzip"), &[200], Kept).has(&["\r\n\r\n?"]),
            row(0, coded("/a", "gzip"), &[200], Kept).has(&["of a"]),
            // A sibling comes first.
            row(0, coded("/page.html", "gzip"), &[200], Kept).has(&["(page, gzip)"]),
        ],
    );
    let seen = world.run(&[fields(accept).as_bytes()], Finale::Finish);
    let at = memchr::memmem::find(&seen.output, b"\r\n\r\n").expect("a head ends") + 4;
    let mut text = String::new();
    let mut reader = flate2::read::GzDecoder::new(&seen.output[at..]);
    std::io::Read::read_to_string(&mut reader, &mut text).expect("it is gzip");
    assert_eq!(text, "alone ".repeat(1000));
}

/// What comes back however `request` is cut; it must be the same each time.
fn answer(world: &World, request: &str, cut: usize) -> String {
    let bytes = request.as_bytes();
    let (before, after) = bytes.split_at(cut % bytes.len());
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    let ways = [vec![bytes], vec![before, after], single];
    let mut answers = ways.map(|segments| {
        let seen = world.run(&segments, Finale::Finish);
        String::from_utf8_lossy(&seen.output).into_owned()
    });
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    std::mem::take(&mut answers[0])
}

/// The octets of ten digits that an answer carries, in any form; each once.
fn carried(answer: &str) -> Vec<u8> {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head ends");
    let mut found: Vec<u8> = match head.split_once("boundary=") {
        None => body.bytes().collect(),
        Some((_, rest)) => {
            let boundary = rest.lines().next().unwrap_or_default();
            let delimiter = format!("--{boundary}");
            let parts = body.split(&delimiter).skip(1);
            let octets = parts.filter_map(|part| part.split_once("\r\n\r\n"));
            octets
                .flat_map(|(_, octets)| octets.trim_ascii_end().bytes())
                .collect()
        }
    };
    found.sort_unstable();
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_ranges_bring_what_was_asked(
        specs in proptest::collection::vec((0u8..14, 0u8..14, 0u8..4), 1..7),
        cut: usize,
    ) {
        let mut wanted = Vec::new();
        let mut valid = true;
        let list: Vec<String> = specs.iter().map(|&(first, second, kind)| match kind {
            0 => {
                wanted.extend(first..10);
                format!("{first}-")
            }
            1 => {
                wanted.extend(10 - first.min(10)..10);
                format!("-{first}")
            }
            _ => {
                valid &= first <= second;
                wanted.extend(first..(second + 1).min(10));
                format!("{first}-{second}")
            }
        }).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let octets: Vec<u8> = wanted.iter().map(|at| b'0' + at).collect();
        let value = list.join(", ");
        let answer = answer(&world(), &ask(&format!("Range: bytes={value}\r\n")), cut);
        if !valid {
            prop_assert!(answer.starts_with("HTTP/1.1 200 "), "{value}: {answer}");
        } else if octets.is_empty() {
            prop_assert!(answer.starts_with("HTTP/1.1 416 "), "{value}: {answer}");
        } else {
            prop_assert!(answer.starts_with("HTTP/1.1 206 "), "{value}: {answer}");
            prop_assert_eq!(carried(&answer), octets, "{}: {}", value, answer);
        }
    }

    #[test]
    fn nothing_comes_in_a_coding_that_was_refused(
        weights in proptest::array::uniform5(proptest::option::of(0u16..=10)),
        cut: usize,
    ) {
        let names = ["gzip", "br", "zstd", "identity", "*"];
        let member = |(name, weight): (&str, &Option<u16>)| {
            weight.map(|weight| match weight {
                10 => name.to_owned(),
                less => format!("{name};q=0.{less}"),
            })
        };
        let list: Vec<String> = names.into_iter().zip(&weights).filter_map(member).collect();
        let answer = answer(&world(), &coded("/page.html", &list.join(",")), cut);
        let coding = answer
            .split_once("\r\nContent-Encoding: ")
            .and_then(|(_, rest)| rest.lines().next());
        prop_assert!(answer.contains("\r\nVary: Accept-Encoding\r\n"));
        if let Some(coding) = coding {
            let at = names.iter().position(|name| *name == coding);
            let weight = at.and_then(|at| weights[at]).or(weights[4]);
            prop_assert!(weight.is_some_and(|weight| weight > 0), "{list:?}: {coding}");
            let identity = weights[3].or(weights[4]).unwrap_or(0);
            prop_assert!(weight >= Some(identity), "{list:?}: {coding}");
        }
    }
}
