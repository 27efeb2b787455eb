//! Rows 72 to 79, 92 and 108 to 111: answers, and the paths that they are about.

use super::super::Level::{Must, Own, Should};
use super::super::answer::Answer;
use super::super::site::Site;
use super::super::{Case, Check, Codes, Need, Row, case};
use super::{OK, rule, unseen};

fn any_of(site: &Site, targets: &[&str]) -> Vec<Case> {
    let ask = |target: &&str| case(site.ask(target, "")).either(&[Codes::Any]);
    targets.iter().map(ask).collect()
}

/// Each has its place in a header section, and each answer to a HEAD the length
/// that the content would have, if it says any.
fn is_length_of(site: &Site, answers: &[Answer]) -> Result<(), String> {
    let told = answers
        .first()
        .and_then(|answer| answer.field("Content-Length"));
    match told {
        Some(length) if site.steady && length != site.content.len().to_string() => Err(format!(
            "Content-Length: {length}, and GET has {}",
            site.content.len()
        )),
        Some(_) | None => Ok(()),
    }
}

fn allow_with_405(_: &Site, answers: &[Answer]) -> Result<(), String> {
    let lacks = |answer: &Answer| answer.status == 405 && answer.field("Allow").is_none();
    if answers.iter().any(lacks) {
        return Err("405 without Allow".to_owned());
    }
    Ok(())
}

fn no_length_without_content(_: &Site, answers: &[Answer]) -> Result<(), String> {
    let bare = |answer: &&Answer| answer.is_interim() || answer.status == 204;
    for answer in answers.iter().filter(bare) {
        for name in ["Content-Length", "Transfer-Encoding"] {
            if answer.field(name).is_some() {
                return Err(format!("{} with {name}", answer.status));
            }
        }
    }
    Ok(())
}

/// RFC 9110 §5.6.7: IMF-fixdate, and no other form.
fn dated(_: &Site, answers: &[Answer]) -> Result<(), String> {
    for answer in answers
        .iter()
        .filter(|answer| (200..500).contains(&answer.status))
    {
        let date = answer.field("Date");
        let date = date.ok_or_else(|| format!("{} without Date", answer.status))?;
        let read = httpdate::parse_http_date(date).ok();
        if read.map(httpdate::fmt_http_date).as_deref() != Some(date) {
            return Err(format!("Date: {date}"));
        }
    }
    Ok(())
}

fn leads_to_no_other_host(_: &Site, answers: &[Answer]) -> Result<(), String> {
    let mut places = answers.iter().filter_map(|answer| answer.field("Location"));
    let away = places.find(|place| place.starts_with("//") || place.starts_with("/\\"));
    away.map_or(Ok(()), |place| Err(format!("Location: {place}")))
}

pub(super) const ROWS: &[Row] = &[
    rule(
        72,
        "HEAD is GET without content",
        "RFC 9110 §9.3.2",
        Must,
        |site| {
            let nothing = site.with(&format!("HEAD {} HTTP/1.1", site.nothing()), "");
            let requests = site.by("HEAD", "") + &nothing + &site.by("HEAD", "");
            let heads = case(requests).kept(&[OK, Codes::Any, OK]);
            vec![heads.check(Check::Judge(is_length_of)).to_head()]
        },
    ),
    rule(
        73,
        "Range is for GET alone",
        "RFC 9110 §14.2",
        Must,
        |site| {
            let head = case(site.by("HEAD", "Range: bytes=0-0\r\n"))
                .kept(&[OK])
                .to_head();
            let post = site.by("POST", "Range: bytes=0-0\r\nContent-Length: 0\r\n");
            vec![head, case(post).either(&[Codes::Not(&[206, 416])])]
        },
    )
    .needs(&[Need::Ranges]),
    rule(74, "405 has Allow", "RFC 9110 §15.5.6", Must, |site| {
        ["POST", "TRACE", "CONNECT"]
            .iter()
            .map(|method| {
                let request = site.by(method, "Content-Length: 0\r\n");
                case(request)
                    .either(&[Codes::Any])
                    .check(Check::Judge(allow_with_405))
            })
            .collect()
    }),
    rule(
        75,
        "OPTIONS tells the methods",
        "RFC 9110 §9.3.7",
        Should,
        |site| {
            let all = case(site.by("OPTIONS", "")).kept(&[Codes::Of(&[200, 204])]);
            vec![all.check(Check::Field("Allow"))]
        },
    ),
    rule(
        76,
        "204 and 1xx have no length",
        "RFC 9110 §8.6",
        Must,
        |site| {
            let expect = site.get("Expect: 100-continue\r\nContent-Length: 1\r\n") + "x";
            let no_length = || Check::Judge(no_length_without_content);
            vec![
                case(site.by("OPTIONS", ""))
                    .either(&[Codes::Any])
                    .check(no_length()),
                case(expect)
                    .either(&[Codes::Of(&[100]), Codes::Any])
                    .check(no_length())
                    .either(&[Codes::Any]),
            ]
        },
    ),
    rule(
        77,
        "Date, in its one form",
        "RFC 9110 §6.6.1",
        Must,
        |site| {
            let mut all = any_of(site, &[&site.path, site.nothing(), "*"]);
            all.push(case(site.by("OPTIONS", "")).either(&[Codes::Any]));
            all.into_iter()
                .map(|case| case.check(Check::Judge(dated)))
                .collect()
        },
    ),
    rule(
        78,
        "a directory keeps its query",
        "own choice",
        Own,
        |site| {
            let directory = site.directory.as_deref().unwrap_or_default();
            let all = case(site.ask(&format!("{directory}?q=1"), ""));
            vec![
                all.kept(&[Codes::Of(&[301, 302, 307, 308])])
                    .check(Check::Judge(|site, answers| {
                        let directory = site.directory.as_deref().unwrap_or_default();
                        let place = answers[0].field("Location").unwrap_or_default();
                        let right = place.ends_with(&format!("{directory}/?q=1"));
                        right.then_some(()).ok_or(format!("Location: {place}"))
                    })),
            ]
        },
    )
    .needs(&[Need::Directory]),
    rule(
        79,
        "no redirect leads to a host of the client's",
        "own choice",
        Own,
        |site| {
            let mut targets = vec![
                "//evil.example/..".to_owned(),
                "//evil.example".to_owned(),
                "/%2fevil.example".to_owned(),
                "/%5cevil.example".to_owned(),
            ];
            if let Some(directory) = &site.directory {
                targets.push(format!("/{directory}"));
                targets.push(format!("//evil.example/..{directory}"));
            }
            let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
            let all = any_of(site, &targets).into_iter();
            all.map(|case| case.check(Check::Judge(leads_to_no_other_host)))
                .collect()
        },
    ),
    unseen(
        92,
        "no change in the future",
        "RFC 9110 §8.8.2.1",
        Must,
        &[Need::Inside],
    ),
    rule(
        108,
        "nothing outside the root",
        "RFC 9110 §17.3",
        Must,
        |site| {
            [
                "/../../../../../../../../etc/passwd",
                "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
                "/..%2f..%2f..%2f..%2f..%2f..%2fetc/passwd",
                "/..%c0%af..%c0%af..%c0%af..%c0%afetc/passwd",
                "/..\\..\\..\\..\\..\\etc/passwd",
                "//etc/passwd",
            ]
            .iter()
            .map(|target| {
                let all = case(site.ask(target, "")).either(&[Codes::Any]);
                all.check(Check::NoText("root:x:"))
            })
            .collect()
        },
    ),
    rule(
        109,
        "nothing is injected by a target",
        "RFC 9110 §17",
        Must,
        |site| {
            let mut all: Vec<Case> = ["/%0d%0aX-Injected:%201", "/?%0d%0aX-Injected:%201"]
                .iter()
                .map(|target| {
                    let all = case(site.ask(target, "")).either(&[Codes::Any]);
                    all.check(Check::Without("X-Injected"))
                })
                .collect();
            for target in ["/%00", "/a%00.txt", "/%zz", "/%"] {
                all.push(
                    case(site.ask(target, ""))
                        .either(&[Codes::Of(&[400])])
                        .level(Own),
                );
            }
            all
        },
    ),
    rule(110, "paths are normalised", "own choice", Own, |site| {
        let path = &site.path;
        [
            format!("/{path}"),
            format!("/.{path}"),
            format!("/preforkd-probe/..{path}"),
        ]
        .iter()
        .map(|target| {
            let all = case(site.ask(target, "")).kept(&[OK]);
            all.check(Check::Content(site.content.clone()))
        })
        .collect()
    })
    .needs(&[Need::Steady]),
    unseen(
        111,
        "no link leads out of the root",
        "own choice",
        Own,
        &[Need::Inside],
    ),
];
