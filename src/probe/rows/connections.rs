//! Rows 62 to 71, 114 and 115: several requests on a connection, and silence.

use super::super::Level::{Must, Own, Should};
use super::super::{Case, Check, Codes, Need, Row, Step, case, doing};
use super::{OK, rule};
use std::time::Duration;

/// Every server's deadline should be over in this time.
const DEADLINE: Duration = Duration::from_secs(75);
/// Between two octets of a trickle.
const TRICKLE: Duration = Duration::from_secs(5);
/// So many of them are longer than the deadline.
const DROPS: usize = 18;

/// What somebody gets who had begun: 408, or nothing more than the end.
fn is_cut(steps: Vec<Step>) -> Vec<Case> {
    let all = doing(steps).refused(&[408]).closed(&[]);
    vec![all.patience(DEADLINE)]
}

pub(super) const ROWS: &[Row] = &[
    rule(
        62,
        "requests in one segment, answers in order",
        "RFC 9112 §9.3.2",
        Must,
        |site| {
            let requests = site.get("") + &site.ask(site.nothing(), "") + &site.get("");
            let content = |case: Case| {
                if !site.steady {
                    return case;
                }
                let whole = || Check::Content(site.content.clone());
                case.check_at(0, whole()).check_at(2, whole())
            };
            vec![content(case(requests).kept(&[OK, Codes::Any, OK]))]
        },
    ),
    rule(
        63,
        "nothing is answered behind close",
        "RFC 9112 §9.6",
        Must,
        |site| {
            let requests = site.get("Connection: close\r\n") + &site.get("");
            vec![
                case(&requests).closed(&[OK]),
                // The answer says so (a SHOULD of the same section).
                case(&requests).told(&[OK]).level(Should),
            ]
        },
    ),
    rule(
        64,
        "close among other members",
        "RFC 9110 §7.6.1",
        Own,
        |site| {
            ["foo, Close", "foo\r\nConnection: ,\tCLOSE,"]
                .iter()
                .map(|value| {
                    let head = site.get(&format!("Connection: {value}\r\n"));
                    case(head + &site.get("")).closed(&[OK])
                })
                .collect()
        },
    ),
    rule(
        65,
        "HTTP/1.0 ends with its answer",
        "RFC 9112 §9.3",
        Own,
        |site| {
            let line = format!("GET {} HTTP/1.0", site.path);
            vec![case(site.with(&line, "")).closed(&[OK])]
        },
    ),
    rule(
        66,
        "HTTP/1.0 that stays is told so",
        "RFC 9112 §9.3",
        Must,
        |site| {
            let line = format!("GET {} HTTP/1.0", site.path);
            let request = site.with(&line, "Connection: keep-alive\r\n");
            vec![
                case(request)
                    .kept(&[OK])
                    .check(Check::Field("Content-Length"))
                    .check(Check::Without("Transfer-Encoding"))
                    .check(Check::Judge(|_, answers| {
                        let told = answers
                            .iter()
                            .any(|one| one.lists("Connection", "keep-alive"));
                        told.then_some(())
                            .ok_or("it is not told that the connection stays".to_owned())
                    }))
                    .closed(&[OK])
                    .check(Check::Without("Transfer-Encoding")),
            ]
        },
    ),
    rule(
        68,
        "who sends no more gets the whole answer",
        "RFC 9112 §9.6",
        Own,
        |site| {
            let requests = site.get("") + &site.get("");
            let steps = vec![Step::Send(requests.into_bytes()), Step::Finish];
            let mut all = doing(steps).closed(&[OK, OK]);
            if site.steady {
                all = all.check(Check::Content(site.content.clone()));
            }
            vec![all]
        },
    ),
    rule(
        69,
        "half a head, then silence",
        "RFC 9110 §15.5.9",
        Own,
        |site| {
            let half = site.get("");
            let half = &half.as_bytes()[..half.len() - 4];
            is_cut(vec![Step::Send(half.to_vec())])
        },
    )
    .needs(&[Need::Time]),
    rule(70, "silence from the beginning", "own choice", Own, |_| {
        is_cut(Vec::new())
    })
    .needs(&[Need::Time]),
    rule(
        71,
        "Upgrade is not followed",
        "RFC 9110 §7.8",
        Own,
        |site| {
            [
            "Upgrade: h2c\r\nConnection: upgrade\r\n",
            "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            "Upgrade: foo\r\n",
        ]
        .iter()
        .map(|fields| case(site.get(fields)).kept(&[OK]))
        .collect()
        },
    ),
    rule(
        114,
        "a head that comes drop by drop",
        "own choice",
        Own,
        |site| {
            let head = site.get("X: ").replace("\r\n\r\n", "\r\n");
            let mut steps = vec![Step::Send(
                head.trim_end_matches("\r\n").as_bytes().to_vec(),
            )];
            for _ in 0..DROPS {
                steps.push(Step::Pause(TRICKLE));
                steps.push(Step::Send(vec![b'x']));
            }
            is_cut(steps)
        },
    )
    .needs(&[Need::Time]),
    rule(
        115,
        "a reader that does not read is cut",
        "own choice",
        Own,
        |site| {
            let request = case(site.get("")).closed(&[]);
            vec![request.patience(DEADLINE).reading_nothing()]
        },
    )
    .needs(&[Need::Large]),
];
