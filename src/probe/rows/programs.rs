//! Rows 116 to 128: programs (CGI), as far as one shows what it gets.

use super::super::Level::{Must, Own, Should};
use super::super::site::Site;
use super::super::{Case, Check, Codes, Need, Row, case};
use super::{rule, unseen};

const PROGRAM: &[Need] = &[Need::Program];
const INSIDE: &[Need] = &[Need::Inside];
const FINE: Codes = Codes::Of(&[200]);

fn program(site: &Site, query: &str, fields: &str) -> Case {
    let program = site.program.as_deref().unwrap_or_default();
    case(site.ask(&format!("{program}{query}"), fields)).kept(&[FINE])
}

fn has(text: &str) -> Check {
    Check::Text(text.to_owned())
}

pub(super) const ROWS: &[Row] = &[
    unseen(
        116,
        "a file that shrinks while it is sent",
        "RFC 9112 §6.3",
        Own,
        INSIDE,
    ),
    rule(
        117,
        "no HTTP_PROXY by a field",
        "RFC 9110 §17.10",
        Own,
        |site| vec![program(site, "", "Proxy: x\r\n").check(Check::NoText("HTTP_PROXY="))],
    )
    .needs(PROGRAM),
    rule(
        118,
        "X_Auth is not X-Auth",
        "RFC 9110 §17.10",
        Own,
        |site| {
            let alone = program(site, "", "X_Auth: usurped\r\n");
            let beside = program(site, "", "X_Auth: usurped\r\nX-Auth: right\r\n");
            vec![
                alone.check(Check::NoText("usurped")),
                beside
                    .check(Check::NoText("usurped"))
                    .check(has("HTTP_X_AUTH=right")),
            ]
        },
    )
    .needs(PROGRAM),
    rule(
        119,
        "the variables that each program gets",
        "RFC 3875 §4.1",
        Must,
        |site| {
            let mut all = program(site, "", "");
            for name in [
                "GATEWAY_INTERFACE=CGI/1.1",
                "QUERY_STRING=",
                "REMOTE_ADDR=",
                "REQUEST_METHOD=GET",
                "SCRIPT_NAME=",
                "SERVER_NAME=",
                "SERVER_PORT=",
                "SERVER_PROTOCOL=HTTP/1.1",
                "SERVER_SOFTWARE=",
            ] {
                all = all.check(has(name));
            }
            vec![
                all,
                program(site, "?a=b&c", "").check(has("QUERY_STRING=a=b&c")),
            ]
        },
    )
    .needs(PROGRAM),
    rule(
        120,
        "content in chunks has a length, or is refused",
        "RFC 3875 §4.2",
        Must,
        |site| {
            let path = site.program.as_deref().unwrap_or_default();
            let line = format!("POST {path} HTTP/1.1");
            let head = site.with(&line, "Transfer-Encoding: chunked\r\n");
            let all = case(head + "3\r\nabc\r\n0\r\n\r\n").kept(&[FINE]);
            vec![
                all.check(has("CONTENT_LENGTH=3"))
                    .check(has("abc"))
                    .either(&[Codes::Of(&[400, 411, 501])]),
            ]
        },
    )
    .needs(PROGRAM),
    rule(
        121,
        "no Authorization for programs",
        "RFC 3875 §4.1.18",
        Should,
        |site| {
            let all = program(site, "", "Authorization: Basic c2VjcmV0OnNlY3JldA==\r\n");
            vec![all.check(Check::NoText("c2VjcmV0"))]
        },
    )
    .needs(PROGRAM),
    rule(
        122,
        "a field twice is one variable",
        "RFC 3875 §4.1.18",
        Must,
        |site| {
            let all = program(site, "", "X-Twice: a\r\nX-Twice: b\r\n");
            vec![all.check(Check::Judge(|_, answers| {
                let content = String::from_utf8_lossy(&answers[0].content);
                let lines: Vec<&str> = content
                    .lines()
                    .filter(|line| line.starts_with("HTTP_X_TWICE="))
                    .collect();
                let joined = ["HTTP_X_TWICE=a, b", "HTTP_X_TWICE=a,b"];
                let right = lines.len() == 1 && joined.contains(&lines[0]);
                right.then_some(()).ok_or(format!("{lines:?}"))
            }))]
        },
    )
    .needs(PROGRAM),
    unseen(
        123,
        "LF and Status of a program",
        "RFC 3875 §6.3",
        Must,
        INSIDE,
    ),
    unseen(124, "Location of a program", "RFC 3875 §6.2", Must, INSIDE),
    unseen(
        125,
        "content for HEAD, and bad fields",
        "RFC 3875 §4.3.3",
        Must,
        INSIDE,
    ),
    unseen(
        126,
        "a program that says nothing, or hangs",
        "RFC 3875 §6.1",
        Own,
        INSIDE,
    ),
    unseen(
        127,
        "a program that does not read",
        "RFC 3875 §4.2",
        Own,
        INSIDE,
    ),
    unseen(
        128,
        "a program whose client vanishes",
        "RFC 3875 §3.4",
        Own,
        INSIDE,
    ),
];
