//! Which file, and which part of it: conditions and ranges.

use super::super::coding::Coding;
use super::super::conditional::{self, Verdict};
use super::super::criteria::{self, Criteria, Criterion};
use super::super::mime::Media;
use super::super::range::{self, Unfit};
use super::super::representation::Representation;
use super::{first_line, shown};
use crate::protocol::harness::WALL;
use crate::protocol::{Facts, FileKind};

/// Of more ranges none is served.
const MOST: usize = 64;
/// Of more ranges those become one that have at most [`GAP`] between them.
const FEW: usize = 8;
const GAP: u128 = 128;

/// A length on the first line, then the value of a Range: what is sent is what
/// was asked for, in that order, and none of it twice.
pub fn range(octets: &[u8]) {
    let (line, value) = first_line(octets);
    let line = std::str::from_utf8(line).unwrap_or_default().trim();
    let length: u64 = line.parse().unwrap_or(1000);
    let selected = range::select(value, length);
    let Some(asked) = asked(value, length) else {
        assert_eq!(selected.err(), Some(Unfit::Ignored), "{}", shown(value));
        return;
    };
    let inside: Vec<(u128, u128)> = asked.iter().flatten().copied().collect();
    let Ok(spans) = selected else {
        assert_eq!(selected.err(), Some(Unfit::Unsatisfiable));
        assert!(inside.is_empty(), "{}", shown(value));
        return;
    };
    let found: Vec<(u128, u128)> = spans
        .iter()
        .map(|span| (u128::from(span.first), u128::from(span.last())))
        .collect();
    assert!(found.len() <= asked.len());
    assert_eq!(spans.only().is_some(), found.len() == 1);
    let gap = if asked.len() > FEW { GAP } else { 0 };
    let mut sorted = found.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, joined(&inside, gap), "{}", shown(value));
    // Each stands where the first of it was asked for.
    let first = |span: &(u128, u128)| {
        inside
            .iter()
            .position(|one| span.0 <= one.0 && one.1 <= span.1)
    };
    assert!(found.iter().map(first).is_sorted(), "{}", shown(value));
}

/// What the members of a Range are in a file, each `None` where it lies
/// outside; `None` for a field that is to be ignored.
fn asked(value: &[u8], length: u64) -> Option<Vec<Option<(u128, u128)>>> {
    let (unit, list) = value.split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let members: Vec<&[u8]> = list
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
        .collect();
    if members.is_empty() || members.len() > MOST {
        return None;
    }
    let length = u128::from(length);
    let mut asked = Vec::new();
    for member in members {
        let member = std::str::from_utf8(member).ok()?;
        let (first, last) = member.split_once('-')?;
        let number = |text: &str| -> Option<u128> {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let significant = text.trim_start_matches('0');
            // More than 20 digits are more than any length.
            (digits && !text.is_empty()).then(|| match significant.len() {
                0 => 0,
                1..=20 => significant.parse().unwrap_or(u128::MAX),
                _ => u128::from(u64::MAX),
            })
        };
        asked.push(if first.is_empty() {
            let count = number(last)?;
            if length == 0 && count > 0 {
                return None;
            }
            (count > 0 && length > 0).then(|| (length.saturating_sub(count), length - 1))
        } else {
            let first = number(first)?;
            let last = if last.is_empty() {
                u128::MAX
            } else {
                number(last)?
            };
            // Positions past 2^64 are all the same to us.
            let most = u128::from(u64::MAX);
            if first.min(most) > last.min(most) {
                return None;
            }
            (first < length).then(|| (first, last.min(length - 1)))
        });
    }
    Some(asked)
}

/// Intervals in their order, joined where at most `gap` lies between them.
fn joined(intervals: &[(u128, u128)], gap: u128) -> Vec<(u128, u128)> {
    let mut sorted = intervals.to_vec();
    sorted.sort_unstable();
    let mut joined: Vec<(u128, u128)> = Vec::new();
    for (first, last) in sorted {
        match joined.last_mut() {
            Some(before) if first <= before.1 + 1 + gap => before.1 = before.1.max(last),
            Some(_) | None => joined.push((first, last)),
        }
    }
    joined
}

/// Seconds, nanoseconds and length of a file on the first line, then field
/// lines, in which `@` is the opaque tag of that file.
pub fn conditional(octets: &[u8]) {
    let (line, rest) = first_line(octets);
    let mut numbers = std::str::from_utf8(line).unwrap_or_default().split(' ');
    let mut number = || {
        numbers
            .next()
            .and_then(|text| text.trim().parse::<i64>().ok())
    };
    let facts = Facts {
        kind: FileKind::File,
        mtime: number().unwrap_or(784_111_777),
        mtime_nanoseconds: number().unwrap_or(0).rem_euclid(1_000_000_000) as u32,
        length: number().unwrap_or(10).unsigned_abs(),
        identity: (1, 7),
    };
    let file = Representation::of(&facts, Media::UNKNOWN, Coding::Identity, &WALL);
    let tag = file.tag.to_string();
    let opaque = tag.trim_start_matches("W/").as_bytes();
    let section: Vec<u8> = rest
        .iter()
        .flat_map(|byte| {
            if *byte == b'@' {
                opaque
            } else {
                std::slice::from_ref(byte)
            }
        })
        .copied()
        .collect();
    // As in a head that was checked.
    let lines: Vec<&[u8]> = section
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| {
            line.iter()
                .all(|&byte| byte == b'\t' || !byte.is_ascii_control())
        })
        .collect();
    for retrieves in [true, false] {
        let verdict = judged(&lines, &file, retrieves, &[]);
        assert_consequent(&lines, &file, retrieves, verdict);
        if let Some(expected) = by_the_book(&lines, &file, retrieves) {
            assert_eq!(verdict, expected, "{}", shown(&section));
        }
    }
    let noted = noted(&lines, &[]);
    let criteria = Criteria::new(&noted);
    if conditional::range_holds(criteria, &file, &WALL) && criteria.has(Criterion::IfRange) {
        assert!(file.is_settled(), "a weak validator for a range");
    }
}

/// The fields as they are kept, without those of `left_out`.
fn noted(lines: &[&[u8]], left_out: &[Criterion]) -> Vec<u8> {
    let mut noted = Vec::new();
    for line in lines {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        if Criterion::of(name).is_none_or(|criterion| !left_out.contains(&criterion)) {
            criteria::note(line, &mut noted);
        }
    }
    noted
}

fn judged(
    lines: &[&[u8]],
    file: &Representation,
    retrieves: bool,
    without: &[Criterion],
) -> Verdict {
    conditional::judge(
        Criteria::new(&noted(lines, without)),
        file,
        retrieves,
        &WALL,
    )
}

/// What holds of every verdict (RFC 9110 §13.1, §13.2.2).
fn assert_consequent(lines: &[&[u8]], file: &Representation, retrieves: bool, verdict: Verdict) {
    use Criterion::{IfMatch, IfModifiedSince, IfNoneMatch, IfRange, IfUnmodifiedSince, Range};
    let noted = noted(lines, &[]);
    let criteria = Criteria::new(&noted);
    let without = |left_out: &[Criterion]| judged(lines, file, retrieves, left_out);
    assert!(
        retrieves || verdict != Verdict::NotModified,
        "304 to a change"
    );
    assert_eq!(without(&[IfRange, Range]), verdict, "of no concern yet");
    if criteria.has(IfMatch) {
        assert_eq!(without(&[IfUnmodifiedSince]), verdict, "§13.1.4");
        assert!(
            file.is_settled() || has_star(criteria) || verdict == Verdict::Failed,
            "§13.1.1"
        );
    }
    if criteria.has(IfNoneMatch) || !retrieves {
        assert_eq!(without(&[IfModifiedSince]), verdict, "§13.1.3");
    }
    let all = [IfMatch, IfModifiedSince, IfNoneMatch, IfUnmodifiedSince];
    assert_eq!(without(&all), Verdict::Proceed);
}

fn has_star(criteria: Criteria<'_>) -> bool {
    criteria
        .values(Criterion::IfMatch)
        .any(|value| value == b"*")
}

/// The order of RFC 9110 §13.2.2 for fields that are well-formed; `None` where
/// one is not.
fn by_the_book(lines: &[&[u8]], file: &Representation, retrieves: bool) -> Option<Verdict> {
    let noted = noted(lines, &[]);
    let criteria = Criteria::new(&noted);
    let tag = file.tag.to_string();
    let (weak, opaque) = match tag.strip_prefix("W/") {
        Some(opaque) => (true, opaque),
        None => (false, tag.as_str()),
    };
    let matches = |criterion, strong: bool| -> Option<Option<bool>> {
        let values: Vec<&[u8]> = criteria.values(criterion).collect();
        if values.is_empty() {
            return Some(None);
        }
        if values == [&b"*"[..]] {
            return Some(Some(true));
        }
        let tags = tags(&values.join(&b", "[..]))?;
        Some(Some(tags.iter().any(|(theirs, text)| {
            text.as_slice() == opaque.as_bytes() && !(strong && (*theirs || weak))
        })))
    };
    let date = |criterion| -> Option<Option<i64>> {
        let values: Vec<&[u8]> = criteria.values(criterion).collect();
        match values.as_slice() {
            [] => Some(None),
            [one] => imf_fixdate(one).map(Some),
            [..] => None,
        }
    };
    let modified = file.last_modified;
    let if_match = matches(Criterion::IfMatch, true)?;
    let if_none_match = matches(Criterion::IfNoneMatch, false)?;
    let unmodified_since = date(Criterion::IfUnmodifiedSince)?;
    let modified_since = date(Criterion::IfModifiedSince)?;
    let failed = match (if_match, unmodified_since, modified) {
        (Some(matches), _, _) => !matches,
        (None, Some(date), Some(modified)) => modified > date,
        (None, _, _) => false,
    };
    if failed {
        return Some(Verdict::Failed);
    }
    Some(match (if_none_match, modified_since, modified) {
        (Some(true), _, _) if retrieves => Verdict::NotModified,
        (Some(true), _, _) => Verdict::Failed,
        (None, Some(date), Some(modified)) if retrieves && modified <= date => Verdict::NotModified,
        (_, _, _) => Verdict::Proceed,
    })
}

/// #entity-tag without a fault; each with whether it is weak.
fn tags(list: &[u8]) -> Option<Vec<(bool, Vec<u8>)>> {
    let mut tags = Vec::new();
    let mut rest = list.iter().copied().peekable();
    loop {
        while rest
            .next_if(|byte| matches!(byte, b' ' | b'\t' | b','))
            .is_some()
        {}
        let Some(first) = rest.next() else {
            return Some(tags);
        };
        let weak = first == b'W';
        if weak && (rest.next() != Some(b'/') || rest.next() != Some(b'"'))
            || !weak && first != b'"'
        {
            return None;
        }
        let mut text = vec![b'"'];
        loop {
            match rest.next()? {
                b'"' => break,
                byte @ (0x21 | 0x23..=0x7e | 0x80..) => text.push(byte),
                _ => return None,
            }
        }
        text.push(b'"');
        tags.push((weak, text));
        while rest.next_if(|byte| matches!(byte, b' ' | b'\t')).is_some() {}
        if !matches!(rest.next(), Some(b',') | None) {
            return None;
        }
    }
}

/// A date in the one form that all should write, as all should write it.
fn imf_fixdate(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let time = httpdate::parse_http_date(text).ok()?;
    let is_today = httpdate::fmt_http_date(time) == text;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    is_today.then_some(since.as_secs() as i64)
}
