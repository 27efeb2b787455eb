//! Rows 1 to 37 and 112: request lines, fields, Host and targets.

use super::super::Level::{Must, Own, Should};
use super::super::site::Site;
use super::super::{Case, Check, Codes, Need, Row, Step, USUAL, case, doing};
use super::{OK, rule};

const NO: &[u16] = &[400];
/// A line end in mid-request is not waited for behind it.
const LONG: usize = 70_000;

/// A request line of this many octets is to be taken (RFC 9112 §3).
const RECOMMENDED: usize = 8000;

fn refused(requests: Vec<String>) -> Vec<Case> {
    requests
        .into_iter()
        .map(|text| case(text).refused(NO))
        .collect()
}

/// Refused, or taken for something harmless.
fn harmless(requests: Vec<String>) -> Vec<Case> {
    let either = |text| case(text).refused(NO).kept(&[OK]);
    requests.into_iter().map(either).collect()
}

fn host(site: &Site, value: &str) -> String {
    format!("GET {} HTTP/1.1\r\nHost: {value}\r\n\r\n", site.path)
}

fn fields(site: &Site, all: &[&str]) -> Vec<String> {
    all.iter()
        .map(|text| site.get(&format!("{text}\r\n")))
        .collect()
}

fn targets(site: &Site, all: &[&str]) -> Vec<String> {
    all.iter().map(|target| site.ask(target, "")).collect()
}

fn versions(site: &Site, all: &[&str]) -> Vec<String> {
    let line = |version: &&str| format!("GET {} {version}", site.path);
    all.iter().map(|one| site.with(&line(one), "")).collect()
}

/// Sends and says that nothing follows, for what has no end of its own.
fn last(octets: &str) -> Case {
    let octets = octets.chars().map(|letter| letter as u8).collect();
    doing(vec![Step::Send(octets), Step::Finish])
}

pub(super) const ROWS: &[Row] = &[
    rule(1, "bare LF for a line end", "RFC 9112 §2.2", Own, |site| {
        harmless(vec![
            site.get("").replace("\r\n", "\n"),
            site.get("X: a\nY: b\r\n"),
            site.get("X: a\r\n").replace("\r\n\r\n", "\r\n\n"),
        ])
    }),
    rule(
        2,
        "bare CR in a value is no line end",
        "RFC 9112 §2.2",
        Must,
        |site| {
            harmless(fields(
                site,
                &["X: a\rConnection: close", "X: a\rb", "X: a\r"],
            ))
        },
    ),
    rule(
        3,
        "an empty line before the request",
        "RFC 9112 §2.2",
        Should,
        |site| vec![case(format!("\r\n{}", site.get(""))).kept(&[OK])],
    ),
    rule(
        4,
        "white space before the first field",
        "RFC 9112 §2.2",
        Must,
        |site| {
            let begin = |blank| {
                let fields = format!("{blank}Connection: close\r\nHost: {}", site.host);
                format!("GET {} HTTP/1.1\r\n{fields}\r\n\r\n", site.path)
            };
            harmless(vec![begin(" "), begin("\t")])
        },
    ),
    rule(
        5,
        "white space before the colon",
        "RFC 9112 §5.1",
        Must,
        |site| {
            let line = format!("GET {} HTTP/1.1\r\nHost : {}\r\n\r\n", site.path, site.host);
            let mut all = fields(site, &["X : y", "X\t: y"]);
            all.push(line);
            refused(all)
        },
    ),
    rule(
        6,
        "obs-fold: a field that is continued",
        "RFC 9112 §5.2",
        Must,
        |site| harmless(fields(site, &["X: 1\r\n Connection: close", "X: 1\r\n\t"])),
    ),
    rule(
        7,
        "a field without a name, or a colon",
        "RFC 9112 §5",
        Should,
        |site| refused(fields(site, &[": x", "x"])),
    ),
    rule(8, "NUL in a value", "RFC 9110 §5.5", Must, |site| {
        harmless(fields(site, &["X: \0", "X: a\0b"]))
    }),
    rule(
        9,
        "another control character in a value",
        "RFC 9110 §5.5",
        Own,
        |site| refused(fields(site, &["X: \x01", "X: \x7f"])),
    ),
    rule(
        10,
        "octets from 0x80 on in a value",
        "RFC 9110 §5.5",
        Should,
        |site| vec![case(site.get("X: \u{e4}\u{80}\u{ff}\r\n")).kept(&[OK])],
    ),
    rule(
        11,
        "a name that is no token",
        "RFC 9110 §5.1",
        Should,
        |site| refused(fields(site, &["X[: 1", "X\": 1", "\u{ef}: 1"])),
    ),
    rule(
        12,
        "SP and HTAB around a value, and nothing else",
        "RFC 9112 §5.1",
        Must,
        |site| {
            let mut cases = vec![case(site.get("Connection:\t close \t\r\n")).closed(&[OK])];
            for other in ["\x0b", "\x0c", "\u{85}", "\u{a0}"] {
                let field = format!("Connection: {other}close\r\n");
                cases.push(case(site.get(&field)).refused(NO).kept(&[OK]));
            }
            cases
        },
    ),
    rule(
        13,
        "TLS, and random octets",
        "RFC 9112 §2.2",
        Should,
        |_| {
            ["\x16\x03\x01\x02\0\x01\0\x01\u{fc}", "\0\u{ff}junk"]
                .iter()
                .map(|text| last(text).refused(NO).closed(&[]))
                .collect()
        },
    ),
    rule(
        14,
        "methods are told by case",
        "RFC 9110 §9.1",
        Should,
        |site| vec![case(site.by("get", "")).either(&[Codes::Of(&[501])])],
    ),
    rule(15, "an unknown method", "RFC 9110 §9.1", Should, |site| {
        vec![case(site.by("ABC", "")).either(&[Codes::Of(&[501])])]
    }),
    rule(16, "a method of 100 kB", "RFC 9112 §3", Should, |_| {
        vec![last(&"A".repeat(100_000)).refused(&[400, 414, 431, 501])]
    }),
    rule(
        17,
        "other blanks in the request line",
        "RFC 9112 §3",
        Own,
        |site| {
            let path = &site.path;
            let lines = [
                format!("GET  {path} HTTP/1.1"),
                format!("GET\t{path}\tHTTP/1.1"),
                format!("GET {path}  HTTP/1.1"),
                format!("GET {path} HTTP/1.1 "),
                format!(" GET {path} HTTP/1.1"),
            ];
            refused(lines.iter().map(|line| site.with(line, "")).collect())
        },
    ),
    rule(
        18,
        "a blank in the target",
        "RFC 9112 §3.2",
        Should,
        |site| {
            let request = site.ask("/a b", "");
            vec![case(request).either(&[Codes::Of(&[301, 400])])]
        },
    ),
    rule(19, "a target that is none", "RFC 9112 §3.2", Own, |site| {
        refused(targets(site, &["/#f", "/\u{80}", "!"]))
    }),
    rule(
        20,
        "a request line of 8,000 octets",
        "RFC 9112 §3",
        Should,
        |site| {
            let rest = RECOMMENDED - "GET ? HTTP/1.1".len() - site.path.len().min(2000);
            let target = format!("{}?{}", site.path, "x".repeat(rest));
            vec![case(site.ask(&target, "")).kept(&[OK])]
        },
    ),
    rule(
        21,
        "a target that is too long",
        "RFC 9112 §3",
        Must,
        |site| {
            let target = format!("{}?{}", site.path, "x".repeat(LONG));
            let request = site.ask(&target, "");
            vec![case(request).either(&[Codes::Of(&[414, USUAL])])]
        },
    ),
    rule(
        22,
        "another major version",
        "RFC 9110 §15.6.6",
        Own,
        |site| {
            let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned();
            let requests = [site.with("GET / HTTP/2.0", ""), preface];
            requests
                .into_iter()
                .map(|text| case(text).refused(&[505]))
                .collect()
        },
    ),
    rule(
        23,
        "HTTP/1.2 is answered as 1.1",
        "RFC 9110 §2.5",
        Own,
        |site| {
            let requests = versions(site, &["HTTP/1.2", "HTTP/1.9"]);
            requests
                .into_iter()
                .map(|text| case(text).kept(&[OK]))
                .collect()
        },
    ),
    rule(24, "a version that is none", "RFC 9112 §2.3", Own, |site| {
        let all = [
            "http/1.1",
            "HTTP/1",
            "HTTP/01.1",
            "HTTP/1.10",
            "HTTP/ 1.1",
            "HTTP1.1",
        ];
        refused(versions(site, &all))
    }),
    rule(25, "HTTP/0.9", "RFC 9112 App. C.1", Own, |_| {
        vec![last("GET /\r\n").refused(NO)]
    }),
    rule(
        26,
        "the host of the target comes before Host",
        "RFC 9112 §3.2.2",
        Must,
        |site| {
            let line = format!("GET http://{}{} HTTP/1.1", site.host, site.path);
            let request = format!("{line}\r\nHost: elsewhere.invalid\r\n\r\n");
            vec![
                case(request)
                    .kept(&[OK])
                    .check(Check::Content(site.content.clone())),
            ]
        },
    )
    .needs(&[Need::Steady]),
    rule(
        27,
        "a host that is not served",
        "RFC 9110 §7.4",
        Own,
        |site| {
            let request = site.ask("http://elsewhere.invalid/", "");
            let right = Codes::Of(&[200, 301, 302, 307, 308, 400, 403, 404, 421, USUAL]);
            vec![case(request).either(&[right])]
        },
    ),
    rule(28, "GET *", "RFC 9112 §3.2.4", Own, |site| {
        vec![case(site.ask("*", "")).either(&[Codes::Of(NO)])]
    }),
    rule(29, "OPTIONS *", "RFC 9110 §9.3.7", Own, |site| {
        let request = site.with("OPTIONS * HTTP/1.1", "");
        vec![
            case(request)
                .kept(&[Codes::Of(&[200, 204])])
                .check(Check::Content(Vec::new())),
        ]
    }),
    rule(
        30,
        "CONNECT opens no tunnel",
        "RFC 9110 §9.3.6",
        Own,
        |_| {
            let request =
                "CONNECT elsewhere.invalid:443 HTTP/1.1\r\nHost: elsewhere.invalid:443\r\n\r\n";
            vec![case(request).either(&[Codes::Of(&[400, 403, 404, 405, 501])])]
        },
    ),
    rule(31, "TRACE tells nothing", "RFC 9110 §9.3.8", Own, |site| {
        let request = site.by("TRACE", "X-Secret: y\r\n");
        vec![
            case(request)
                .either(&[Codes::Of(&[403, 404, 405, 501])])
                .check(Check::NoText("X-Secret")),
        ]
    }),
    rule(32, "HTTP/1.1 without Host", "RFC 9112 §3.2", Must, |site| {
        let request = format!("GET {} HTTP/1.1\r\n\r\n", site.path);
        vec![case(request).either(&[Codes::Of(NO)])]
    }),
    rule(33, "Host twice", "RFC 9112 §3.2", Must, |site| {
        let again = format!("Host: {}\r\n", site.host);
        [site.get(&again), site.get("hOST: b\r\n")]
            .iter()
            .map(|text| case(text).either(&[Codes::Of(NO)]))
            .collect()
    }),
    rule(34, "a Host that is none", "RFC 9112 §3.2", Must, |site| {
        ["###", "a/b", "u@a", "a, b", "a:x", "a b", "[::1"]
            .iter()
            .map(|value| case(host(site, value)).either(&[Codes::Of(NO)]))
            .collect()
    }),
    rule(35, "an empty Host", "RFC 9112 §3.2", Own, |site| {
        let right = Codes::Of(&[USUAL, 301, 302, 308, 400, 404, 421]);
        vec![case(host(site, "")).either(&[right])]
    }),
    rule(36, "HTTP/1.0 without Host", "RFC 9112 §3.3", Own, |site| {
        let request = format!("GET {} HTTP/1.0\r\n\r\n", site.path);
        let right = Codes::Of(&[USUAL, 301, 302, 308, 404]);
        vec![case(request).closed(&[right])]
    }),
    rule(
        37,
        "Host in capitals, with port, with a dot",
        "RFC 9110 §4.2.3",
        Own,
        |site| {
            let name = site
                .host
                .rsplit_once(':')
                .map_or(&*site.host, |(name, _)| name);
            [
                name.to_uppercase(),
                format!("{name}:80"),
                format!("{name}."),
            ]
            .iter()
            .map(|value| case(host(site, value)).kept(&[OK]))
            .collect()
        },
    )
    .needs(&[Need::Name]),
    rule(112, "a head that is too long", "RFC 6585 §5", Own, |site| {
        let long = format!("X: {}\r\n", "x".repeat(LONG));
        [site.get(&long), site.get(&"X: y\r\n".repeat(2000))]
            .iter()
            .map(|text| case(text).refused(&[431]).kept(&[OK]))
            .collect()
    }),
];
