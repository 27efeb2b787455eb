//! Conditional requests (RFC 9110 §13): whether the answer is the file, 304 or
//! 412.
//!
//! ```text
//! If-Match            = "*" / #entity-tag       §13.1.1
//! If-None-Match       = "*" / #entity-tag       §13.1.2
//! If-Modified-Since   = HTTP-date               §13.1.3
//! If-Unmodified-Since = HTTP-date               §13.1.4
//! If-Range            = entity-tag / HTTP-date  §13.1.5
//! entity-tag          = [ "W/" ] DQUOTE *etagc DQUOTE
//! etagc               = %x21 / %x23-7E / obs-text
//! ```
//!
//! A member of a list that is no entity tag matches nothing. A date that cannot
//! be read, or that stands there twice, is ignored, where the rule says so.
//! Who calls has seen to it that without these fields the answer were a 2xx
//! (§13.2.1).

use std::time::UNIX_EPOCH;

use super::criteria::{Criteria, Criterion, Single};
use super::representation::Representation;
use crate::protocol::Wall;

/// What the conditions come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The request is carried out.
    Proceed,
    /// 304: the client has it.
    NotModified,
    /// 412.
    Failed,
}

/// Judges all conditions but If-Range, in the order of RFC 9110 §13.2.2.
/// `retrieves`: the method is GET or HEAD.
pub(super) fn judge(
    criteria: Criteria<'_>,
    file: &Representation,
    retrieves: bool,
    wall: &Wall,
) -> Verdict {
    // Steps 1 and 2.
    if criteria.has(Criterion::IfMatch) {
        if !matches_any(criteria, Criterion::IfMatch, |weak, tag| {
            file.tag.is_strongly(weak, tag)
        }) {
            return Verdict::Failed;
        }
    } else if let Single::Once(value) = criteria.single(Criterion::IfUnmodifiedSince)
        && let Some(date) = parse_date(value, wall)
        && file.last_modified.is_some_and(|modified| modified > date)
    {
        return Verdict::Failed;
    }
    // Steps 3 and 4.
    if criteria.has(Criterion::IfNoneMatch) {
        if matches_any(criteria, Criterion::IfNoneMatch, |_, tag| {
            file.tag.is_opaque(tag)
        }) {
            return if retrieves {
                Verdict::NotModified
            } else {
                Verdict::Failed
            };
        }
    } else if retrieves
        && let Single::Once(value) = criteria.single(Criterion::IfModifiedSince)
        && let Some(date) = parse_date(value, wall)
        && file.last_modified.is_some_and(|modified| modified <= date)
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// As [`judge`], for GET and HEAD of what is there, but has neither a tag nor a
/// date: only `*` fits it.
pub(super) fn judge_unmarked(criteria: Criteria<'_>) -> Verdict {
    let fits = |criterion| matches_any(criteria, criterion, |_, _| false);
    if criteria.has(Criterion::IfMatch) && !fits(Criterion::IfMatch) {
        Verdict::Failed
    } else if criteria.has(Criterion::IfNoneMatch) && fits(Criterion::IfNoneMatch) {
        Verdict::NotModified
    } else {
        Verdict::Proceed
    }
}

/// Step 5: whether a Range may be honoured (RFC 9110 §13.1.5). What is weak, a
/// date of a file that is too young included, does not say that the octets are
/// the same; nor does anything that cannot be read.
pub(super) fn range_holds(criteria: Criteria<'_>, file: &Representation, wall: &Wall) -> bool {
    match criteria.single(Criterion::IfRange) {
        Single::Absent => true,
        Single::Repeated => false,
        Single::Once(value) => match parse_tag(value) {
            Some((weak, tag, [])) => file.tag.is_strongly(weak, tag),
            Some(_) => false,
            None => {
                let date = parse_date(value, wall);
                date.is_some() && date == file.last_modified && file.is_settled()
            }
        },
    }
}

/// Whether a list of tags is `*`, or has one that `is_ours`. It is asked with
/// whether the tag is weak, and its opaque part.
fn matches_any(
    criteria: Criteria<'_>,
    criterion: Criterion,
    is_ours: impl Fn(bool, &[u8]) -> bool,
) -> bool {
    if criteria.single(criterion) == Single::Once(b"*") {
        return true;
    }
    let mut values = criteria.values(criterion);
    values.any(|value| {
        let mut rest = value;
        loop {
            rest = skip(rest);
            if rest.is_empty() {
                return false;
            }
            // What is no tag, or is followed by something else, is passed over.
            rest = match parse_tag(rest) {
                Some((weak, tag, after)) if matches!(skip_space(after), [] | [b',', ..]) => {
                    if is_ours(weak, tag) {
                        return true;
                    }
                    after
                }
                Some((_, _, after)) => past_comma(after),
                None => past_comma(rest),
            };
        }
    })
}

/// The tag that `text` begins with: whether it is weak, its opaque part with
/// the quotes, and what follows.
fn parse_tag(text: &[u8]) -> Option<(bool, &[u8], &[u8])> {
    let (weak, text) = match text.strip_prefix(b"W/") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let inner = text.strip_prefix(b"\"")?;
    let end = memchr::memchr(b'"', inner)?;
    let is_etagc = |byte: u8| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..);
    if !inner[..end].iter().copied().all(is_etagc) {
        return None;
    }
    let (tag, rest) = text.split_at(end + 2);
    Some((weak, tag, rest))
}

/// Without the commas and the white space at its beginning.
fn skip(text: &[u8]) -> &[u8] {
    let at = text
        .iter()
        .position(|byte| !matches!(byte, b',' | b' ' | b'\t'));
    &text[at.unwrap_or(text.len())..]
}

fn skip_space(text: &[u8]) -> &[u8] {
    let at = text.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
    &text[at.unwrap_or(text.len())..]
}

fn past_comma(text: &[u8]) -> &[u8] {
    let at = memchr::memchr(b',', text);
    at.map_or(&[], |at| &text[at + 1..])
}

/// Reads an HTTP-date in one of its three forms (RFC 9110 §5.6.7), as seconds
/// since 1970.
fn parse_date(text: &[u8], wall: &Wall) -> Option<i64> {
    let whole;
    let text = match full_year(text, wall) {
        Some(date) => {
            whole = date;
            &whole[..]
        }
        None => text,
    };
    let time = httpdate::parse_http_date(std::str::from_utf8(text).ok()?).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

/// RFC 850's form says the year with two digits: the one that is no more than
/// 50 years ahead (RFC 9110 §5.6.7). Answers the same date in the form of today.
///
/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn full_year(text: &[u8], wall: &Wall) -> Option<[u8; 29]> {
    const DAYS: [&[u8]; 7] = [
        b"Monday",
        b"Tuesday",
        b"Wednesday",
        b"Thursday",
        b"Friday",
        b"Saturday",
        b"Sunday",
    ];
    let comma = memchr::memchr(b',', text)?;
    let (name, rest) = text.split_at(comma);
    if !DAYS.contains(&name) {
        return None;
    }
    let [
        b',',
        b' ',
        d1,
        d2,
        b'-',
        m1,
        m2,
        m3,
        b'-',
        y1,
        y2,
        b' ',
        time @ ..,
    ] = rest
    else {
        return None;
    };
    let digits = [*y1, *y2];
    let (Ok(time), true) = (
        <[u8; 12]>::try_from(time),
        digits.iter().all(u8::is_ascii_digit),
    ) else {
        return None;
    };
    let short = i32::from(y1 - b'0') * 10 + i32::from(y2 - b'0');
    let this = wall.local.year;
    let mut year = this - this.rem_euclid(100) + short;
    if year > this + 50 {
        year -= 100;
    } else if year <= this - 50 {
        year += 100;
    }
    let digit = |of: i32| b'0' + of.rem_euclid(10) as u8;
    let mut date = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    date[..3].copy_from_slice(&name[..3]);
    date[5..7].copy_from_slice(&[*d1, *d2]);
    date[8..11].copy_from_slice(&[*m1, *m2, *m3]);
    date[12..16].copy_from_slice(&[
        digit(year / 1000),
        digit(year / 100),
        digit(year / 10),
        digit(year),
    ]);
    date[17..].copy_from_slice(&time);
    Some(date)
}

#[cfg(test)]
mod tests;
