//! Conditions: the cases that the RFC names, and any combination against a
//! transcription of §13.2.2 that knows no bytes.

use proptest::prelude::*;
use proptest::sample::select;

use super::super::super::harness::WALL;
use super::super::coding::Coding;
use super::super::criteria;
use super::super::mime::Media;
use super::*;
use crate::protocol::{Facts, FileKind};

/// Sun, 06 Nov 1994 08:49:37 GMT.
const MODIFIED: i64 = 784_111_777;

fn file(mtime: i64) -> Representation {
    let facts = Facts {
        kind: FileKind::File,
        length: 3,
        mtime,
        mtime_nanoseconds: 0,
        identity: (1, 2),
    };
    Representation::of(&facts, Media::UNKNOWN, Coding::Identity, &WALL)
}

/// `{x}` in fields stands for the opaque tag of the file.
fn noted(fields: &str, file: &Representation) -> Vec<u8> {
    let tag = file.tag.to_string();
    let opaque = tag.trim_start_matches("W/");
    let mut out = Vec::new();
    criteria::note(fields.replace("{x}", opaque).as_bytes(), &mut out);
    out
}

fn judged(fields: &str, file: &Representation, retrieves: bool) -> Verdict {
    judge(Criteria::new(&noted(fields, file)), file, retrieves, &WALL)
}

#[test]
fn if_none_match() {
    // Rules 80 to 82.
    let file = file(MODIFIED);
    for (value, expected) in [
        ("{x}", Verdict::NotModified),
        ("W/{x}", Verdict::NotModified),
        ("\"a\", {x}", Verdict::NotModified),
        (",, \"a,b\" ,\t{x},", Verdict::NotModified),
        ("*", Verdict::NotModified),
        ("\"a\"", Verdict::Proceed),
        ("", Verdict::Proceed),
        ("*, \"a\"", Verdict::Proceed),
        ("w/{x}", Verdict::Proceed),
        ("W/ {x}", Verdict::Proceed),
        ("x{x}", Verdict::Proceed),
        ("{x}x", Verdict::Proceed),
        ("{x} {x}", Verdict::Proceed),
        ("a b, {x}", Verdict::NotModified),
        ("\"a\"b, {x}", Verdict::NotModified),
        ("\"open, {x}", Verdict::NotModified),
        ("\"a b\", {x}", Verdict::NotModified),
        ("\"\u{e4}\", {x}", Verdict::NotModified),
    ] {
        let field = format!("If-None-Match: {value}\r\n");
        assert_eq!(judged(&field, &file, true), expected, "{value}");
        let other = match expected {
            Verdict::NotModified => Verdict::Failed,
            Verdict::Proceed | Verdict::Failed => expected,
        };
        assert_eq!(judged(&field, &file, false), other, "{value}");
    }
    let two = "If-None-Match: \"a\"\r\nIf-None-Match: {x}\r\n";
    assert_eq!(judged(two, &file, true), Verdict::NotModified);
}

#[test]
fn if_match_is_strong() {
    // Rule 89.
    let settled = file(MODIFIED);
    let young = file(WALL.unix);
    for (value, file, expected) in [
        ("{x}", &settled, Verdict::Proceed),
        ("\"a\" , {x}", &settled, Verdict::Proceed),
        ("*", &settled, Verdict::Proceed),
        ("W/{x}", &settled, Verdict::Failed),
        ("\"a\"", &settled, Verdict::Failed),
        ("", &settled, Verdict::Failed),
        ("{x}", &young, Verdict::Failed),
        ("W/{x}", &young, Verdict::Failed),
        ("*", &young, Verdict::Proceed),
    ] {
        let field = format!("If-Match: {value}\r\n");
        assert_eq!(judged(&field, file, true), expected, "{value}");
    }
}

#[test]
fn dates_in_all_their_forms() {
    // Rules 86, 88 and 90.
    let file = file(MODIFIED);
    for (date, since, unmodified) in [
        ("Sun, 06 Nov 1994 08:49:37 GMT", true, true),
        ("Sunday, 06-Nov-94 08:49:37 GMT", true, true),
        ("Sun Nov  6 08:49:37 1994", true, true),
        ("Sun, 06 Nov 1994 08:49:38 GMT", true, true),
        ("Sun, 06 Nov 1994 08:49:36 GMT", false, false),
        ("Friday, 31-Dec-99 23:59:59 GMT", true, true),
        ("Wednesday, 01-Jul-26 10:30:05 GMT", true, true),
    ] {
        let field = format!("If-Modified-Since: {date}\r\n");
        assert_eq!(judged(&field, &file, true) == Verdict::NotModified, since);
        assert_eq!(judged(&field, &file, false), Verdict::Proceed);
        let field = format!("If-Unmodified-Since: {date}\r\n");
        assert_eq!(judged(&field, &file, true) == Verdict::Proceed, unmodified);
    }
    for unreadable in ["", "yesterday", "784111777", "Sun, 06 Nov 1994", "\u{e4}"] {
        for name in ["If-Modified-Since", "If-Unmodified-Since"] {
            let field = format!("{name}: {unreadable}\r\n");
            assert_eq!(judged(&field, &file, true), Verdict::Proceed);
        }
    }
    let twice = "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n".repeat(2);
    assert_eq!(judged(&twice, &file, true), Verdict::Proceed);
}

#[test]
fn years_of_two_digits_are_within_fifty() {
    for (short, year) in [(76, 2076), (77, 1977), (99, 1999), (0, 2000), (26, 2026)] {
        let text = format!("Sunday, 06-Nov-{short:02} 08:49:37 GMT");
        let full = full_year(text.as_bytes(), &WALL).map(|date| date[12..16].to_vec());
        assert_eq!(full, Some(year.to_string().into_bytes()));
    }
    for text in ["Sun, 06-Nov-94 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37"] {
        assert_eq!(full_year(text.as_bytes(), &WALL), None);
    }
}

#[test]
fn a_file_without_a_date_has_no_conditions_on_it() {
    let file = file(1);
    for field in [
        "If-Modified-Since: Sun, 06 Nov 2994 08:49:37 GMT\r\n",
        "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
    ] {
        assert_eq!(judged(field, &file, true), Verdict::Proceed);
    }
}

#[test]
fn if_range() {
    // Rule 102.
    let (settled, young) = (file(MODIFIED), file(WALL.unix));
    let exact = "Sun, 06 Nov 1994 08:49:37 GMT";
    let now = "Wed, 01 Jul 2026 10:30:05 GMT";
    for (value, file, holds) in [
        ("{x}", &settled, true),
        ("W/{x}", &settled, false),
        ("\"a\"", &settled, false),
        ("{x}, {x}", &settled, false),
        ("*", &settled, false),
        ("", &settled, false),
        (exact, &settled, true),
        ("Sunday, 06-Nov-94 08:49:37 GMT", &settled, true),
        ("Sun, 06 Nov 1994 08:49:38 GMT", &settled, false),
        ("Sun, 06 Nov 1994 08:49:36 GMT", &settled, false),
        ("{x}", &young, false),
        (now, &young, false),
    ] {
        let text = noted(&format!("If-Range: {value}\r\n"), file);
        let found = range_holds(Criteria::new(&text), file, &WALL);
        assert_eq!(found, holds, "{value}");
    }
    assert!(range_holds(Criteria::new(b""), &young, &WALL));
}

/// A field of a request, as the model sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tags {
    Absent,
    Any,
    Strong,
    Weak,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Date {
    Absent,
    Bad,
    Before,
    Same,
    After,
}

impl Tags {
    const ALL: [Self; 5] = [
        Self::Absent,
        Self::Any,
        Self::Strong,
        Self::Weak,
        Self::Other,
    ];

    fn field(self, name: &str) -> String {
        let value = match self {
            Self::Absent => return String::new(),
            Self::Any => "*",
            Self::Strong => "\"o\", {x}",
            Self::Weak => "W/\"o\" ,W/{x}",
            Self::Other => "\"o\"",
        };
        format!("{name}: {value}\r\n")
    }
}

impl Date {
    const ALL: [Self; 5] = [
        Self::Absent,
        Self::Bad,
        Self::Before,
        Self::Same,
        Self::After,
    ];

    fn field(self, name: &str) -> String {
        let value = match self {
            Self::Absent => return String::new(),
            Self::Bad => "soon",
            Self::Before => "Sun, 06 Nov 1994 08:49:36 GMT",
            Self::Same => "Sunday, 06-Nov-94 08:49:37 GMT",
            Self::After => "Sun Nov  6 08:49:38 1994",
        };
        format!("{name}: {value}\r\n")
    }
}

/// RFC 9110 §13.2.2, step by step, for a file with a strong tag.
fn model(im: Tags, inm: Tags, ims: Date, ius: Date, retrieves: bool) -> Verdict {
    let valid = |date| matches!(date, Date::Before | Date::Same | Date::After);
    if im != Tags::Absent {
        if !matches!(im, Tags::Any | Tags::Strong) {
            return Verdict::Failed;
        }
    } else if valid(ius) && ius == Date::Before {
        return Verdict::Failed;
    }
    if inm != Tags::Absent {
        if inm != Tags::Other {
            return if retrieves {
                Verdict::NotModified
            } else {
                Verdict::Failed
            };
        }
    } else if retrieves && valid(ims) && ims != Date::Before {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

#[test]
fn what_has_no_tag_fits_any_and_no_other() {
    for (fields, expected) in [
        ("", Verdict::Proceed),
        ("If-Match: *\r\n", Verdict::Proceed),
        ("If-Match: \"a\"\r\n", Verdict::Failed),
        ("If-Match: \"a\"\r\nIf-None-Match: *\r\n", Verdict::Failed),
        ("If-None-Match: *\r\n", Verdict::NotModified),
        ("If-None-Match: \"a\"\r\n", Verdict::Proceed),
        (
            "If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT\r\n",
            Verdict::Proceed,
        ),
        (
            "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
            Verdict::Proceed,
        ),
    ] {
        let text = noted(fields, &file(MODIFIED));
        assert_eq!(judge_unmarked(Criteria::new(&text)), expected, "{fields}");
    }
}

proptest! {
    #[test]
    fn any_combination_is_as_the_rfc_says(
        im in select(&Tags::ALL[..]),
        inm in select(&Tags::ALL[..]),
        ims in select(&Date::ALL[..]),
        ius in select(&Date::ALL[..]),
        retrieves: bool,
        order in Just([0, 1, 2, 3]).prop_shuffle(),
    ) {
        let fields = [
            im.field("If-Match"),
            inm.field("if-none-match"),
            ims.field("If-Modified-Since"),
            ius.field("IF-UNMODIFIED-SINCE"),
        ];
        let fields: String = order.map(|at: usize| fields[at].clone()).concat();
        let found = judged(&fields, &file(MODIFIED), retrieves);
        prop_assert_eq!(found, model(im, inm, ims, ius, retrieves), "{}", fields);
    }

    #[test]
    fn nothing_panics(value in "[\"W/*, \u{e4}a-z0-9:\\t]{0,40}", name in select(&[
        "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range",
    ][..])) {
        let file = file(MODIFIED);
        let text = noted(&format!("{name}: {value}\r\n"), &file);
        judge(Criteria::new(&text), &file, true, &WALL);
        range_holds(Criteria::new(&text), &file, &WALL);
    }
}
