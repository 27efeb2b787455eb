//! Rows 93 to 102 and 104 to 107: ranges and codings.

use super::super::Level::{Must, Own, Should};
use super::super::answer::Answer;
use super::super::site::Site;
use super::super::{Case, Check, Codes, Need, Row, case};
use super::conditions::same_fields;
use super::{OK, rule, unseen};

const PART: Codes = Codes::Of(&[206]);
const BEYOND: Codes = Codes::Of(&[416]);
const RANGES: &[Need] = &[Need::Ranges];
const GZIP: &[Need] = &[Need::Gzip];

/// A GET with this Range, and the answer to it.
fn range(site: &Site, value: &str, codes: Codes) -> Case {
    case(site.get(&format!("Range: {value}\r\n"))).kept(&[codes])
}

fn whole(site: &Site) -> Check {
    Check::Content(site.content.clone())
}

/// One part, from `first` to `last`.
fn part(case: Case, site: &Site, first: usize, last: usize) -> Case {
    let content = site.content.get(first..=last).unwrap_or_default();
    let place = format!("bytes {first}-{last}/{}", site.content.len());
    case.check(Check::Value("Content-Range", place))
        .check(Check::Content(content.to_vec()))
        .check(Check::Judge(is_single))
}

fn is_single(_: &Site, answers: &[Answer]) -> Result<(), String> {
    let kind = answers
        .iter()
        .find_map(|answer| answer.field("Content-Type"));
    let kind = kind.filter(|kind| kind.starts_with("multipart/"));
    kind.map_or(Ok(()), |kind| Err(format!("one range as {kind}")))
}

/// RFC 9110 §15.3.7.2: the fields are in each part, and not in the head.
fn are_parts(site: &Site, answers: &[Answer]) -> Result<(), String> {
    let answer = answers.first().ok_or_else(|| "no answer".to_owned())?;
    if answer.status != 206 {
        return Ok(());
    }
    let kind = answer.field("Content-Type").unwrap_or_default();
    if !kind.starts_with("multipart/byteranges") {
        return Err(format!("Content-Type: {kind}"));
    }
    if answer.field("Content-Range").is_some() {
        return Err("Content-Range in the head".to_owned());
    }
    let content = String::from_utf8_lossy(&answer.content).to_lowercase();
    for place in ["bytes 0-1/", "bytes 4-5/"] {
        let place = format!("content-range: {place}{}", site.content.len());
        if !content.contains(&place) {
            return Err(format!("no part with {place}"));
        }
    }
    Ok(())
}

/// No more is sent than what was asked for could be.
fn is_bounded(site: &Site, answers: &[Answer]) -> Result<(), String> {
    let sent: usize = answers.iter().map(|answer| answer.content.len()).sum();
    // Two of it, and the heads of parts.
    let most = 2 * site.content.len() + 64 * 1024;
    (sent <= most).then_some(()).ok_or(format!(
        "{sent} octets for a file of {}",
        site.content.len()
    ))
}

fn if_range(site: &Site, condition: &str) -> Case {
    case(site.get(&format!("Range: bytes=2-3\r\nIf-Range: {condition}\r\n")))
}

fn accepting(site: &Site, codings: &str, more: &str) -> Case {
    case(site.get(&format!("Accept-Encoding: {codings}\r\n{more}")))
}

fn coded_tag(site: &Site) -> String {
    site.coded
        .as_ref()
        .map(|(tag, _)| tag.clone())
        .unwrap_or_default()
}

fn varies(_: &Site, answers: &[Answer]) -> Result<(), String> {
    let varies =
        |answer: &Answer| answer.lists("Vary", "Accept-Encoding") || answer.lists("Vary", "*");
    answers
        .iter()
        .all(varies)
        .then_some(())
        .ok_or("no Vary: Accept-Encoding".to_owned())
}

pub(super) const ROWS: &[Row] = &[
    rule(
        93,
        "first octet, from, the last ones",
        "RFC 9110 §14",
        Own,
        |site| {
            let end = site.content.len() - 1;
            vec![
                part(range(site, "bytes=0-0", PART), site, 0, 0),
                part(
                    range(site, &format!("bytes={}-", end - 4), PART),
                    site,
                    end - 4,
                    end,
                ),
                part(range(site, "bytes=-5", PART), site, end - 4, end),
                part(
                    range(site, &format!("bytes=3-{}", end + 9), PART),
                    site,
                    3,
                    end,
                ),
            ]
        },
    )
    .needs(RANGES),
    rule(
        94,
        "more last ones than there are",
        "RFC 9110 §14.1.2",
        Own,
        |site| {
            let value = format!("bytes=-{}", site.content.len() + 9);
            let all = range(site, &value, PART).check(whole(site));
            vec![all.kept(&[OK]).check(whole(site))]
        },
    )
    .needs(RANGES),
    rule(
        95,
        "a range behind the end",
        "RFC 9110 §14.4",
        Should,
        |site| {
            let size = format!("bytes */{}", site.content.len());
            [
                format!("bytes={}-", site.content.len()),
                "bytes=-0".to_owned(),
            ]
            .iter()
            .map(|value| {
                let all = range(site, value, BEYOND);
                all.check(Check::Value("Content-Range", size.clone()))
            })
            .collect()
        },
    )
    .needs(RANGES),
    rule(96, "a range that is none", "RFC 9110 §14.2", Own, |site| {
        [
            "bytes=5-2",
            "bytes=x",
            "bytes=",
            "bytes=-",
            "bytes=0-1-2",
            "bytes 0-1",
        ]
        .iter()
        .map(|value| range(site, value, OK).check(whole(site)).kept(&[BEYOND]))
        .collect()
    })
    .needs(RANGES),
    rule(
        97,
        "other units; units in any case",
        "RFC 9110 §14.2",
        Must,
        |site| {
            vec![
                range(site, "items=0-1", OK).check(whole(site)),
                part(range(site, "BYTES=2-3", PART), site, 2, 3).level(Own),
            ]
        },
    )
    .needs(RANGES),
    rule(98, "several ranges", "RFC 9110 §15.3.7.2", Must, |site| {
        let all = range(site, "bytes=0-1,4-5", Codes::Of(&[200, 206]));
        vec![all.check(Check::Judge(are_parts))]
    })
    .needs(RANGES),
    rule(
        99,
        "one range is no multipart",
        "RFC 9110 §15.3.7.2",
        Must,
        |site| vec![part(range(site, "bytes=2-3", PART), site, 2, 3)],
    )
    .needs(RANGES),
    rule(100, "a thousand ranges", "RFC 9110 §14.2", Own, |site| {
        let value = format!("bytes={}", vec!["0-"; 1000].join(","));
        let all = case(site.get(&format!("Range: {value}\r\n")));
        vec![
            all.either(&[Codes::Of(&[200, 206, 400, 416, 431])])
                .check(Check::Judge(is_bounded)),
        ]
    })
    .needs(RANGES),
    unseen(
        101,
        "a range of an empty file",
        "RFC 9110 §14.1.2",
        Own,
        &[Need::Inside],
    ),
    rule(102, "If-Range", "RFC 9110 §13.1.5", Must, |site| {
        let tag = site.tag.as_deref().unwrap_or_default();
        let mut all = vec![
            part(if_range(site, tag).kept(&[PART]), site, 2, 3).level(Own),
            if_range(site, &format!("W/{tag}"))
                .kept(&[OK])
                .check(whole(site)),
            if_range(site, "\"a\"").kept(&[OK]).check(whole(site)),
            case(site.get("If-Range: \"a\"\r\n"))
                .kept(&[OK])
                .check(whole(site)),
        ];
        if let Some(date) = &site.modified {
            all.push(if_range(site, date).kept(&[PART]).level(Own));
            let before = "Sat, 05 Nov 1983 08:49:37 GMT";
            all.push(if_range(site, before).kept(&[OK]).check(whole(site)));
        }
        all
    })
    .needs(&[Need::Ranges, Need::Tag]),
    rule(
        104,
        "206 has the fields of 200",
        "RFC 9110 §15.3.7",
        Must,
        |site| {
            let both = case(site.get("") + &site.get("Range: bytes=0-1\r\n")).kept(&[OK, PART]);
            vec![
                both.check(Check::Judge(same_fields))
                    .check(Check::Field("Date")),
            ]
        },
    )
    .needs(RANGES),
    rule(
        105,
        "a range of what is coded",
        "RFC 9110 §14.1.2",
        Own,
        |site| {
            let all = accepting(site, "gzip", "Range: bytes=1-4\r\n");
            vec![
                all.kept(&[Codes::Of(&[200, 206])])
                    .check(Check::Judge(|site, answers| {
                        let (tag, length) = site.coded.clone().unwrap_or_default();
                        let answer = &answers[0];
                        let place = answer.field("Content-Range").unwrap_or_default();
                        // Either of the forms, with its own length and its own tag.
                        let (size, own) = if answer.field("Content-Encoding") == Some("gzip") {
                            (length, Some(tag.as_str()))
                        } else {
                            (site.content.len(), site.tag.as_deref())
                        };
                        let right = answer.field("ETag") == own
                            && (answer.status == 200 || place == format!("bytes 1-4/{size}"));
                        right
                            .then_some(())
                            .ok_or(format!("Content-Range: {place}, of {size}"))
                    })),
            ]
        },
    )
    .needs(&[Need::Gzip, Need::Ranges]),
    rule(
        106,
        "codings that are not wanted",
        "RFC 9110 §12.5.3",
        Own,
        |site| {
            let plain = |codings: &str| {
                let all = accepting(site, codings, "").kept(&[OK]);
                all.check(Check::Without("Content-Encoding"))
                    .check(whole(site))
            };
            vec![
                plain("gzip;q=0"),
                plain("*;q=0"),
                plain("identity"),
                accepting(site, "preforkd;q=0.5, gzip", "")
                    .kept(&[OK])
                    .check(Check::Value("Content-Encoding", "gzip".to_owned())),
            ]
        },
    )
    .needs(GZIP),
    rule(
        107,
        "each coding has its tag, and Vary",
        "RFC 9110 §12.5.5",
        Own,
        |site| {
            let coded = coded_tag(site);
            let distinct = accepting(site, "gzip", "")
                .kept(&[OK])
                .check(Check::Judge(varies));
            let distinct = distinct.check(Check::Judge(|site, _| {
                let coded = site.coded.as_ref().map(|(tag, _)| tag);
                (coded != site.tag.as_ref())
                    .then_some(())
                    .ok_or("the same strong tag for both codings".to_owned())
            }));
            vec![
                distinct,
                case(site.get("")).kept(&[OK]).check(Check::Judge(varies)),
                accepting(site, "gzip", &format!("If-None-Match: {coded}\r\n"))
                    .kept(&[Codes::Of(&[304])])
                    .check(Check::Judge(varies)),
                case(site.get(&format!("If-None-Match: {coded}\r\n"))).kept(&[OK]),
            ]
        },
    )
    .needs(GZIP),
];
