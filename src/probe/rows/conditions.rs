//! Rows 80 to 91 and 103: conditions.

use super::super::Level::{Must, Own, Should};
use super::super::answer::Answer;
use super::super::site::Site;
use super::super::{Case, Check, Codes, Need, Row, case};
use super::{OK, rule};
use std::time::Duration;

const UNCHANGED: Codes = Codes::Of(&[304]);
const FAILED: Codes = Codes::Of(&[412]);
const TAG: &[Need] = &[Need::Tag];
const DATE: &[Need] = &[Need::Date];
const BOTH: &[Need] = &[Need::Tag, Need::Date];
/// Long before any file.
const BEFORE: &str = "Sat, 05 Nov 1983 08:49:37 GMT";

fn tag(site: &Site) -> &str {
    site.tag.as_deref().unwrap_or_default()
}

fn modified(site: &Site) -> &str {
    site.modified.as_deref().unwrap_or_default()
}

/// A GET with these fields, and the answer to it.
fn one(site: &Site, fields: &str, codes: Codes) -> Case {
    let all = case(site.get(&format!("{fields}\r\n")));
    match codes {
        // Whether an error ends the connection is a server's own affair.
        FAILED => all.either(&[FAILED]),
        Codes::Any | Codes::Of(_) | Codes::Not(_) => all.kept(&[codes]),
    }
}

/// A date a minute after another one, if that is not in the future.
fn later(site: &Site) -> Option<String> {
    let read = |text: &str| httpdate::parse_http_date(text).ok();
    let later = read(modified(site))? + Duration::from_secs(60);
    let now = read(site.date.as_deref()?)?;
    (later <= now).then(|| httpdate::fmt_http_date(later))
}

/// A date in the forms of RFC 850 and of asctime (RFC 9110 §5.6.7).
fn old_forms(date: &str) -> Option<[String; 2]> {
    const DAYS: [&str; 7] = [
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
    ];
    // Sun, 06 Nov 1994 08:49:37 GMT
    let words: Vec<&str> = date
        .split([' ', ','])
        .filter(|word| !word.is_empty())
        .collect();
    let [short, day, month, year, time, "GMT"] = words[..] else {
        return None;
    };
    let long = DAYS.iter().find(|long| long.starts_with(short))?;
    let century = year.get(2..)?;
    let padded = day
        .strip_prefix('0')
        .map_or(day.to_owned(), |digit| format!(" {digit}"));
    Some([
        format!("{long}, {day}-{month}-{century} {time} GMT"),
        format!("{short} {month} {padded} {time} {year}"),
    ])
}

/// What is said of a file does not depend on how much of it is sent.
pub(super) fn same_fields(_: &Site, answers: &[Answer]) -> Result<(), String> {
    for name in ["ETag", "Vary", "Cache-Control", "Content-Location"] {
        let values: Vec<_> = answers.iter().map(|answer| answer.field(name)).collect();
        if values.windows(2).any(|two| two[0] != two[1]) {
            return Err(format!("{name} is not the same in both"));
        }
    }
    // It may be counted from the time of the answer.
    let expires: Vec<_> = answers
        .iter()
        .map(|answer| answer.field("Expires"))
        .collect();
    if expires
        .windows(2)
        .any(|two| two[0].is_some() != two[1].is_some())
    {
        return Err("Expires is not in both".to_owned());
    }
    Ok(())
}

pub(super) const ROWS: &[Row] = &[
    rule(
        80,
        "If-None-Match compares weakly",
        "RFC 9110 §13.1.2",
        Must,
        |site| {
            vec![one(
                site,
                &format!("If-None-Match: W/{}", tag(site)),
                UNCHANGED,
            )]
        },
    )
    .needs(TAG),
    rule(
        81,
        "If-None-Match: a list, and *",
        "RFC 9110 §13.1.2",
        Must,
        |site| {
            let tag = tag(site);
            vec![
                one(site, &format!("If-None-Match: \"a\", {tag}"), UNCHANGED),
                one(
                    site,
                    &format!("If-None-Match: \"a\",,W/\"b\" ,\t{tag}"),
                    UNCHANGED,
                ),
                one(
                    site,
                    &format!("If-None-Match: \"a\"\r\nIf-None-Match: {tag}"),
                    UNCHANGED,
                ),
                one(site, "If-None-Match: *", UNCHANGED),
                one(site, "If-None-Match: \"a\", \"b\"", OK),
            ]
        },
    )
    .needs(TAG),
    rule(
        82,
        "If-None-Match is 304 for GET and HEAD alone",
        "RFC 9110 §13.1.2",
        Must,
        |site| {
            let condition = format!("If-None-Match: {}\r\nContent-Length: 0\r\n", tag(site));
            let post = case(site.by("POST", &condition));
            let head = site.by("HEAD", &format!("If-None-Match: {}\r\n", tag(site)));
            vec![
                post.either(&[Codes::Not(&[304])]),
                case(head).kept(&[UNCHANGED]).to_head(),
            ]
        },
    )
    .needs(TAG),
    rule(
        83,
        "no condition where the answer is an error",
        "RFC 9110 §13.2.1",
        Must,
        |site| {
            let nothing = site.ask(site.nothing(), "If-Match: *\r\n");
            let mut all = vec![case(nothing).either(&[Codes::Not(&[304])])];
            if site.post >= 400 {
                let condition = format!("If-None-Match: {}\r\nContent-Length: 0\r\n", tag(site));
                let post = case(site.by("POST", &condition));
                all.push(post.either(&[Codes::Not(&[200, 304, 412])]));
            }
            all
        },
    )
    .needs(TAG),
    rule(
        84,
        "If-None-Match before If-Modified-Since",
        "RFC 9110 §13.1.3",
        Must,
        |site| {
            let both = format!(
                "If-None-Match: {}\r\nIf-Modified-Since: {BEFORE}",
                tag(site)
            );
            vec![one(site, &both, UNCHANGED)]
        },
    )
    .needs(BOTH),
    rule(
        85,
        "another tag and the same date",
        "RFC 9110 §13.1.3",
        Must,
        |site| {
            let both = format!(
                "If-None-Match: \"a\"\r\nIf-Modified-Since: {}",
                modified(site)
            );
            vec![one(site, &both, OK)]
        },
    )
    .needs(BOTH),
    rule(
        86,
        "unchanged since a date",
        "RFC 9110 §13.1.3",
        Should,
        |site| {
            let since = |date: &str| format!("If-Modified-Since: {date}");
            let mut all = vec![
                one(site, &since(modified(site)), UNCHANGED),
                one(site, &since(BEFORE), OK),
            ];
            if let Some(later) = later(site) {
                all.push(one(site, &since(&later), UNCHANGED));
            }
            all
        },
    )
    .needs(DATE),
    rule(
        87,
        "If-Match before If-Unmodified-Since",
        "RFC 9110 §13.1.4",
        Must,
        |site| {
            let both = format!("If-Match: {}\r\nIf-Unmodified-Since: {BEFORE}", tag(site));
            vec![
                one(site, &both, OK),
                one(site, &format!("If-Unmodified-Since: {BEFORE}"), FAILED),
            ]
        },
    )
    .needs(BOTH),
    rule(
        88,
        "dates that are none are ignored",
        "RFC 9110 §13.1.4",
        Must,
        |site| {
            ["soon", "Sun, 32 Nov 1994 08:49:37 GMT", "784111777"]
                .iter()
                .flat_map(|date| {
                    ["If-Unmodified-Since", "If-Modified-Since"]
                        .map(|name| one(site, &format!("{name}: {date}"), OK))
                })
                .collect()
        },
    )
    .needs(DATE),
    rule(
        89,
        "If-Match compares strongly",
        "RFC 9110 §13.1.1",
        Must,
        |site| {
            let tag = tag(site);
            vec![
                one(site, &format!("If-Match: W/{tag}"), FAILED),
                one(site, &format!("If-Match: \"a\", {tag}"), OK),
                one(site, "If-Match: *", OK),
                one(site, "If-Match: \"a\"", FAILED),
            ]
        },
    )
    .needs(TAG),
    rule(
        90,
        "dates in their old forms",
        "RFC 9110 §5.6.7",
        Must,
        |site| {
            let forms = old_forms(modified(site)).into_iter().flatten();
            let since = |date: String| format!("If-Modified-Since: {date}");
            forms
                .map(|date| one(site, &since(date), UNCHANGED))
                .collect()
        },
    )
    .needs(DATE),
    rule(
        91,
        "304 has the fields of 200",
        "RFC 9110 §15.4.5",
        Must,
        |site| {
            let condition = format!("If-None-Match: {}\r\n", tag(site));
            let both = case(site.get("") + &site.get(&condition)).kept(&[OK, UNCHANGED]);
            vec![
                both.check(Check::Judge(same_fields))
                    .check(Check::Field("Date")),
            ]
        },
    )
    .needs(TAG),
    rule(
        103,
        "a condition before a range",
        "RFC 9110 §14.2",
        Own,
        |site| {
            let both = format!("If-None-Match: {}\r\nRange: bytes=0-1", tag(site));
            vec![one(site, &both, UNCHANGED)]
        },
    )
    .needs(&[Need::Tag, Need::Ranges]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_its_old_forms() {
        let forms = old_forms("Sun, 06 Nov 1994 08:49:37 GMT");
        let old = ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"];
        assert_eq!(forms, Some(old.map(str::to_owned)));
        for form in old {
            let same = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT");
            assert_eq!(httpdate::parse_http_date(form).ok(), same.ok());
        }
        assert_eq!(old_forms("soon"), None);
    }

    #[test]
    fn a_later_date_is_not_in_the_future() {
        let mut site = Site {
            modified: Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),
            date: Some("Sun, 06 Nov 1994 08:50:36 GMT".to_owned()),
            ..Site::new("a", "/")
        };
        assert_eq!(later(&site), None);
        site.date = Some("Sun, 06 Nov 1994 08:50:37 GMT".to_owned());
        assert_eq!(later(&site), site.date);
    }
}
