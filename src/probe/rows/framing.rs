//! Rows 38 to 61, 67 and 113: where a request ends, and what is expected.

use super::super::Level::{Must, Own, Should};
use super::super::site::Site;
use super::super::{Case, Codes, Row, Step, USUAL, case, doing};
use super::{OK, rule};

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const EXPECT: &str = "Expect: 100-continue\r\n";
const NO: &[u16] = &[400];
/// For a coding that is not the last, or that nobody knows.
const NO_CODING: &[u16] = &[400, 501];
/// What a server says that takes nothing from a client.
const NOT_TAKEN: Codes = Codes::Of(&[400, 401, 403, 404, 405, 411, 413, 415, 417, 501]);

fn length(site: &Site, value: &str) -> String {
    site.get(&format!("Content-Length: {value}\r\n"))
}

fn coding(site: &Site, value: &str) -> String {
    site.get(&format!("Transfer-Encoding: {value}\r\n"))
}

fn chunks(site: &Site, chunks: &str) -> String {
    site.get(CHUNKED) + chunks
}

/// Sends these in turn, each after an answer to the one before, then FIN if
/// `end`.
fn in_turn(parts: &[&str], end: bool) -> Case {
    let mut steps = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            steps.push(Step::Answers(at));
        }
        steps.push(Step::Send(part.as_bytes().to_vec()));
    }
    if end {
        steps.push(Step::Finish);
    }
    doing(steps)
}

/// Refused, or taken for a request with this content and another one behind it.
fn or_right(request: String) -> Case {
    case(request).refused(NO).kept(&[OK, OK])
}

pub(super) const ROWS: &[Row] = &[
    rule(
        38,
        "Content-Length and Transfer-Encoding",
        "RFC 9112 §6.1",
        Must,
        |site| {
            [
                site.get(&format!("Content-Length: 5\r\n{CHUNKED}")),
                site.get(&format!("{CHUNKED}Content-Length: 5\r\n")),
            ]
            .iter()
            .map(|head| case(format!("{head}0\r\n\r\n")).refused(NO).closed(&[OK]))
            .collect()
        },
    ),
    rule(
        39,
        "chunked is not the last coding",
        "RFC 9112 §6.3",
        Must,
        |site| {
            ["chunked, gzip", "gzip", "identity"]
                .iter()
                .map(|value| case(coding(site, value)).refused(NO_CODING))
                .collect()
        },
    ),
    rule(
        40,
        "an unknown coding before chunked",
        "RFC 9112 §6.1",
        Should,
        |site| vec![case(coding(site, "foo, chunked") + "0\r\n\r\n").refused(&[501])],
    ),
    rule(
        41,
        "what looks like chunked",
        "RFC 9112 §7.1",
        Own,
        |site| {
            ["xchunked", "chunked;q=1", "\x0bchunked"]
                .iter()
                .map(|value| case(coding(site, value) + "0\r\n\r\n").refused(NO_CODING))
                .collect()
        },
    ),
    rule(42, "chunked twice", "RFC 9112 §6.1", Must, |site| {
        [
            site.get(&CHUNKED.repeat(2)),
            coding(site, "chunked, chunked"),
        ]
        .iter()
        .map(|head| case(format!("{head}0\r\n\r\n")).refused(NO_CODING))
        .collect()
    }),
    rule(
        43,
        "an empty member before chunked",
        "RFC 9110 §5.6.1.2",
        Must,
        |site| {
            let request = coding(site, ",chunked") + "0\r\n\r\n";
            vec![case(request).refused(NO_CODING).kept(&[OK]).closed(&[OK])]
        },
    ),
    rule(
        44,
        "Transfer-Encoding in HTTP/1.0",
        "RFC 9112 §6.1",
        Must,
        |site| {
            let line = format!("GET {} HTTP/1.0", site.path);
            let head = site.with(&line, &format!("Connection: keep-alive\r\n{CHUNKED}"));
            vec![case(head + "0\r\n\r\n").refused(NO_CODING).closed(&[OK])]
        },
    ),
    rule(
        45,
        "a Content-Length that is no number",
        "RFC 9112 §6.3",
        Must,
        |site| {
            [
                "+5", "-1", "0x5", "1_0", "5a", "5 5", "", "5;", "5.0", "\u{b2}",
            ]
            .iter()
            .map(|value| case(length(site, value) + "hello").refused(NO))
            .collect()
        },
    ),
    rule(46, "two different lengths", "RFC 9112 §6.3", Must, |site| {
        ["5, 6", "5\r\nContent-Length: 6"]
            .iter()
            .map(|value| case(length(site, value) + "hello").refused(NO))
            .collect()
    }),
    rule(47, "the same length twice", "RFC 9110 §8.6", Own, |site| {
        ["5, 5", "5\r\nContent-Length: 5"]
            .iter()
            .map(|value| case(length(site, value) + "hello").refused(NO).kept(&[OK]))
            .collect()
    }),
    rule(
        48,
        "a length of 2^64 does not wrap",
        "RFC 9110 §8.6",
        Must,
        |site| {
            ["18446744073709551616", "18446744073709551621"]
                .iter()
                .map(|value| case(length(site, value) + "hello").refused(&[400, 413]))
                .collect()
        },
    ),
    rule(
        49,
        "a length of 0010 is ten",
        "RFC 9110 §8.6",
        Own,
        |site| {
            vec![or_right(
                length(site, "0010") + "0123456789" + &site.get(""),
            )]
        },
    ),
    rule(
        50,
        "POST without a length has no content",
        "RFC 9112 §6.3",
        Own,
        |site| {
            let request = site.by("POST", "") + &site.get("");
            vec![case(request).kept(&[Codes::Any, OK]).closed(&[Codes::Any])]
        },
    ),
    rule(
        51,
        "GET with content leaves nothing behind",
        "RFC 9112 §9.3",
        Must,
        |site| {
            let hidden = site.get("");
            let inside = length(site, &hidden.len().to_string()) + &hidden;
            vec![
                case(length(site, "5") + "hello" + &site.get(""))
                    .kept(&[OK, OK])
                    .closed(&[OK])
                    .refused(&[400, 413]),
                case(inside).kept(&[OK]).closed(&[OK]).refused(&[400, 413]),
            ]
        },
    ),
    rule(
        52,
        "a chunk size that is no number",
        "RFC 9112 §7.1",
        Own,
        |site| {
            ["0x5", "+5", "-5", "5_0", "", " 5", "g", ";x", "5\0"]
                .iter()
                .map(|size| {
                    case(chunks(site, &format!("{size}\r\nhello\r\n0\r\n\r\n"))).refused(NO)
                })
                .collect()
        },
    ),
    rule(
        53,
        "a chunk size of 17 digits",
        "RFC 9112 §7.1",
        Must,
        |site| vec![case(chunks(site, "10000000000000005\r\n")).refused(&[400, 413])],
    ),
    rule(54, "bare LF between chunks", "RFC 9112 §7.1", Own, |site| {
        [
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5;x=y\nhello\r\n0\r\n\r\n",
        ]
        .iter()
        .map(|text| case(chunks(site, text)).refused(NO))
        .collect()
    }),
    rule(55, "chunk extensions", "RFC 9112 §7.1.1", Must, |site| {
        let many = "1;0123456789\r\na\r\n".repeat(5000) + "0\r\n\r\n";
        vec![
            case(chunks(site, "A;x=y\r\n0123456789\r\n0\r\n\r\n")).kept(&[OK]),
            case(chunks(
                site,
                "a;x=\"; y\\\"\";z\r\n0123456789\r\n0;z\r\n\r\n",
            ))
            .kept(&[OK]),
            // Nobody need read without end what is ignored.
            case(chunks(site, &many)).refused(&[400, 413]).level(Own),
        ]
    }),
    rule(
        56,
        "trailers are not merged",
        "RFC 9112 §7.1.2",
        Must,
        |site| {
            let trailer = "Host: b\r\nConnection: close\r\nContent-Length: 9\r\n";
            vec![or_right(
                chunks(site, &format!("0\r\n{trailer}\r\n")) + &site.get(""),
            )]
        },
    ),
    rule(
        57,
        "an end before that of the content",
        "RFC 9112 §8",
        Own,
        |site| {
            [
                length(site, "5") + "hell",
                chunks(site, "5\r\nhello\r\n0\r\n"),
                chunks(site, "5\r\nhel"),
            ]
            .iter()
            .map(|text| {
                let send = Step::Send(text.as_bytes().to_vec());
                doing(vec![send, Step::Finish])
                    .closed(&[])
                    .refused(&[400, 408])
            })
            .collect()
        },
    ),
    rule(
        58,
        "content that waits is asked for",
        "RFC 9110 §10.1.1",
        Must,
        |site| {
            let head = site.get(&format!("Content-Length: 5\r\n{EXPECT}"));
            let chunked = site.get(&format!("{CHUNKED}{EXPECT}"));
            [(head, "hello"), (chunked, "5\r\nhello\r\n0\r\n\r\n")]
                .iter()
                .map(|(head, content)| {
                    in_turn(&[head, content], false)
                        .kept(&[Codes::Of(&[100]), OK])
                        .kept(&[OK])
                        .closed(&[OK])
                        .either(&[NOT_TAKEN])
                })
                .collect()
        },
    ),
    rule(
        59,
        "content that is refused is not asked for",
        "RFC 9110 §10.1.1",
        Own,
        |site| {
            let head = site.by("POST", &format!("Content-Length: 5\r\n{EXPECT}"));
            let post = in_turn(&[&head, "hello"], true);
            // Whoever takes POST may well ask for it.
            vec![if site.post < 400 {
                post.closed(&[Codes::Of(&[100]), Codes::Any])
                    .closed(&[Codes::Any])
            } else {
                post.closed(&[NOT_TAKEN])
            }]
        },
    ),
    rule(
        60,
        "HTTP/1.0 gets no interim answer",
        "RFC 9110 §15.2",
        Must,
        |site| {
            let line = format!("GET {} HTTP/1.0", site.path);
            vec![
                case(site.with(&line, &format!("Content-Length: 1\r\n{EXPECT}")) + "x")
                    .closed(&[OK]),
                case(site.with(&line, "Expect: foo\r\n"))
                    .closed(&[OK])
                    .level(Own),
            ]
        },
    ),
    rule(
        61,
        "an unknown expectation",
        "RFC 9110 §10.1.1",
        Own,
        |site| vec![case(site.get("Expect: foo\r\n")).either(&[Codes::Of(&[417, USUAL])])],
    ),
    rule(
        67,
        "a refusal is read by who still writes",
        "RFC 9112 §9.6",
        Own,
        |site| {
            let head = site.by("POST", "Content-Length: 10000000000\r\n");
            let steps = vec![
                Step::Send((head + &"x".repeat(1 << 20)).into_bytes()),
                Step::Answers(1),
                Step::Finish,
            ];
            vec![doing(steps).closed(&[NOT_TAKEN])]
        },
    ),
    rule(
        113,
        "content that is too long",
        "RFC 9110 §15.5.14",
        Own,
        |site| {
            let steps = vec![
                Step::Send(length(site, "1000000000000").into_bytes()),
                Step::Answers(1),
                Step::Finish,
            ];
            vec![doing(steps).refused(&[413])]
        },
    ),
];
