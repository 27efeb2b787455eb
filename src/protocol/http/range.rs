//! Byte ranges (RFC 9110 §14): which parts of a file are asked for.
//!
//! ```text
//! Range            = range-unit "=" 1#range-spec      §14.2
//! range-spec       = int-range / suffix-range         §14.1.2
//! int-range        = first-pos "-" [ last-pos ]
//! suffix-range     = "-" suffix-length
//! ```
//!
//! The policy: what is malformed, is of another unit, has a last position
//! before the first, stands there twice or asks for more than [`MOST`] ranges
//! is ignored, and the whole file is sent. Among ranges that are well formed
//! those that lie outside of the file are left out; if none is left, that is
//! 416.
//!
//! The work is bounded (RFC 9110 §17.15, CVE-2011-3192): ranges that overlap or
//! touch become one, in the place of the first of them; and of a request for
//! more than [`FEW`] also those that become one with less than a part's head
//! between them. So no octet is sent twice, and an answer in parts is about as
//! long as the file, at most.

use std::num::NonZeroU64;

/// Ranges in a request; one that asks for more is sent everything.
pub(super) const MOST: usize = 64;
/// Up to so many ranges, each is a part of its own even if that is a waste.
const FEW: usize = 8;
/// Octets between two ranges that are cheaper sent than left out.
const GAP: u64 = 128;

/// A part of a file: at least one octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The first octet's position.
    pub(super) first: u64,
    /// How many octets.
    pub(super) length: NonZeroU64,
}

impl Span {
    /// The last octet's position.
    pub(super) fn last(self) -> u64 {
        self.first + (self.length.get() - 1)
    }

    /// From `first` to `last`; they are in order.
    fn between(first: u64, last: u64) -> Option<Self> {
        let length = NonZeroU64::new(last.checked_sub(first)?.saturating_add(1))?;
        Some(Self { first, length })
    }
}

/// The parts that are sent, in the order in which they were asked for: at least
/// one, no two of them with an octet in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spans {
    list: [Option<Span>; MOST],
    count: usize,
}

impl Spans {
    /// The part of this number, counted from 0.
    pub(super) fn get(&self, number: usize) -> Option<Span> {
        self.list.get(number).copied().flatten()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = Span> + '_ {
        self.list[..self.count].iter().copied().flatten()
    }

    /// The part, if it is the only one.
    pub(super) fn only(&self) -> Option<Span> {
        self.get(0).filter(|_| self.count == 1)
    }

    /// The place of one that becomes one with `span`.
    fn near(&self, span: Span, gap: u64) -> Option<usize> {
        self.iter().position(|other| is_near(span, other, gap))
    }

    /// Adds a span, and takes into it those that are closer than `gap`.
    fn add(&mut self, span: Span, gap: u64) {
        let mut span = span;
        let mut place = self.count;
        // Each pass leaves one less: what has grown may reach others.
        while let Some(near) = self.near(span, gap) {
            if let Some(other) = self.list[near] {
                span = hull(span, other);
            }
            self.list.copy_within(near + 1..self.count, near);
            self.count -= 1;
            place = place.min(near);
        }
        self.list.copy_within(place..self.count, place + 1);
        self.list[place] = Some(span);
        self.count += 1;
    }
}

/// Why no part is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// As if there were no Range: the whole file.
    Ignored,
    /// Nothing of it is in the file: 416.
    Unsatisfiable,
}

/// Reads a Range for a file of `length` octets.
pub(super) fn select(value: &[u8], length: u64) -> Result<Spans, Unfit> {
    let specs = strip_unit(value).ok_or(Unfit::Ignored)?;
    let members = || {
        let members = specs.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        members.filter(|member| !member.is_empty())
    };
    let asked = members().take(MOST + 1).count();
    if asked == 0 || asked > MOST {
        return Err(Unfit::Ignored);
    }
    let gap = if asked > FEW { GAP } else { 0 };
    let mut spans = Spans {
        list: [None; MOST],
        count: 0,
    };
    for member in members() {
        let spec = Spec::parse(member).ok_or(Unfit::Ignored)?;
        // An empty file has a last octet to nobody, and no Content-Range could
        // say so: its suffix is all of it (RFC 9110 §14.1.2).
        if length == 0 && matches!(spec, Spec::Suffix(1..)) {
            return Err(Unfit::Ignored);
        }
        if let Some(span) = spec.within(length) {
            spans.add(span, gap);
        }
    }
    if spans.count == 0 {
        return Err(Unfit::Unsatisfiable);
    }
    Ok(spans)
}

/// range-spec.
#[derive(Clone, Copy)]
enum Spec {
    /// From the first position, to the last if there is one.
    From(u64, Option<u64>),
    /// So many octets at the end.
    Suffix(u64),
}

impl Spec {
    fn parse(text: &[u8]) -> Option<Self> {
        let dash = memchr::memchr(b'-', text)?;
        let (first, last) = (&text[..dash], &text[dash + 1..]);
        if first.is_empty() {
            return Some(Self::Suffix(parse_number(last)?));
        }
        let first = parse_number(first)?;
        if last.is_empty() {
            return Some(Self::From(first, None));
        }
        let last = parse_number(last)?;
        (first <= last).then_some(Self::From(first, Some(last)))
    }

    /// What of it is in a file of this length.
    fn within(self, length: u64) -> Option<Span> {
        let end = length.checked_sub(1)?;
        match self {
            Self::From(first, last) => Span::between(first, last.unwrap_or(end).min(end)),
            Self::Suffix(0) => None,
            Self::Suffix(count) => Span::between(length.saturating_sub(count), end),
        }
    }
}

/// Units are compared without a care for case (RFC 9110 §14.1).
fn strip_unit(value: &[u8]) -> Option<&[u8]> {
    let (unit, rest) = value.split_at_checked(6)?;
    unit.eq_ignore_ascii_case(b"bytes=").then_some(rest)
}

/// Digits and nothing else. What is too large for us is larger than any file.
fn parse_number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = text.iter().map(|digit| u64::from(digit - b'0'));
    Some(digits.fold(0, |number: u64, digit| {
        number.saturating_mul(10).saturating_add(digit)
    }))
}

/// Whether two spans overlap, touch, or have less than `gap` between them.
fn is_near(one: Span, other: Span, gap: u64) -> bool {
    let reaches =
        |early: Span, late: Span| late.first <= early.last().saturating_add(1).saturating_add(gap);
    reaches(one, other) && reaches(other, one)
}

fn hull(one: Span, other: Span) -> Span {
    let (first, last) = (one.first.min(other.first), one.last().max(other.last()));
    Span::between(first, last).unwrap_or(one)
}

#[cfg(test)]
mod tests;
