//! From a representation and what the client said of it to what is sent: all
//! of it, a part, parts, or an answer without it.
//!
//! Conditions come before ranges (RFC 9110 §13.2.2), and a Range counts for GET
//! alone (§14.2).

use super::conditional::{self, Verdict};
use super::criteria::{Criteria, Criterion, Single};
use super::range::{self, Span, Spans, Unfit};
use super::representation::Representation;
use crate::protocol::Wall;

/// What is sent of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// All of it: 200.
    Whole,
    /// One part of it: 206.
    Part(Span),
    /// The parts that [`spans`] has: 206.
    Parts,
    /// Nothing, for the client has it: 304.
    NotModified,
    /// Nothing, for a condition does not hold: 412.
    Refused,
    /// Nothing, for nothing of it was asked for: 416.
    Unsatisfiable,
}

/// Decides for a GET, or for a HEAD if `head_only`.
pub(super) fn decide(
    criteria: Criteria<'_>,
    file: &Representation,
    head_only: bool,
    wall: &Wall,
) -> Delivery {
    if criteria.is_empty() {
        return Delivery::Whole;
    }
    match conditional::judge(criteria, file, true, wall) {
        Verdict::NotModified => return Delivery::NotModified,
        Verdict::Failed => return Delivery::Refused,
        Verdict::Proceed => {}
    }
    if head_only || !file.in_parts || !conditional::range_holds(criteria, file, wall) {
        return Delivery::Whole;
    }
    match spans(criteria, file.length) {
        Ok(spans) => spans.only().map_or(Delivery::Parts, Delivery::Part),
        Err(Unfit::Ignored) => Delivery::Whole,
        Err(Unfit::Unsatisfiable) => Delivery::Unsatisfiable,
    }
}

/// The parts that are asked for of a file of `length` octets.
pub(super) fn spans(criteria: Criteria<'_>, length: u64) -> Result<Spans, Unfit> {
    match criteria.single(Criterion::Range) {
        Single::Once(value) => range::select(value, length),
        Single::Absent | Single::Repeated => Err(Unfit::Ignored),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::harness::WALL;
    use super::super::coding::Coding;
    use super::super::criteria;
    use super::super::mime::Media;
    use super::*;
    use crate::protocol::{Facts, FileKind};

    fn decided(fields: &str, head_only: bool, in_parts: bool) -> Delivery {
        let facts = Facts {
            kind: FileKind::File,
            length: 10,
            mtime: 784_111_777,
            mtime_nanoseconds: 0,
            identity: (1, 2),
        };
        let file = Representation {
            in_parts,
            ..Representation::of(&facts, Media::UNKNOWN, Coding::Identity, &WALL)
        };
        let mut noted = Vec::new();
        let fields = fields.replace("{x}", &file.tag.to_string());
        criteria::note(fields.as_bytes(), &mut noted);
        decide(Criteria::new(&noted), &file, head_only, &WALL)
    }

    #[test]
    fn conditions_come_before_ranges() {
        // Rules 73, 102 and 103.
        let range = "Range: bytes=0-1\r\n";
        let with = |field: &str| decided(&format!("{range}{field}\r\n"), false, true);
        assert!(matches!(decided(range, false, true), Delivery::Part(_)));
        assert_eq!(decided(range, true, true), Delivery::Whole);
        assert_eq!(decided(range, false, false), Delivery::Whole);
        assert_eq!(decided(&range.repeat(2), false, true), Delivery::Whole);
        assert_eq!(with("If-None-Match: {x}"), Delivery::NotModified);
        assert_eq!(with("If-Match: \"a\""), Delivery::Refused);
        assert!(matches!(with("If-Range: {x}"), Delivery::Part(_)));
        assert_eq!(with("If-Range: \"a\""), Delivery::Whole);
        assert_eq!(decided("If-Range: {x}\r\n", false, true), Delivery::Whole);
        let far = "Range: bytes=10-\r\n";
        assert_eq!(decided(far, false, true), Delivery::Unsatisfiable);
        assert_eq!(decided(far, true, true), Delivery::Whole);
        let parts = "Range: bytes=0-0,-1\r\n";
        assert_eq!(decided(parts, false, true), Delivery::Parts);
        assert_eq!(decided("", false, true), Delivery::Whole);
    }
}
