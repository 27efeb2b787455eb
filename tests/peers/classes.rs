//! Where we differ from nginx or Apache, and why: a closed list.

use super::requests::{Ranges, Request, Value, What};
use super::site::Page;
use super::wire::Answer;

/// Who else was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Other {
    Nginx,
    Apache,
}

/// Who is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// We are: the clause leaves no choice, or advises what we do.
    Ours,
    /// The clause leaves the choice.
    Both,
}

/// Differences that are known.
pub(crate) struct Class {
    pub(crate) name: &'static str,
    /// With whom: each of them must occur.
    pub(crate) with: &'static [Other],
    pub(crate) right: Right,
    /// Where it is said.
    pub(crate) clause: &'static str,
    /// What they do, beside what we do.
    pub(crate) why: &'static str,
    /// Whether it explains a difference.
    pub(crate) holds: fn(&Case<'_>) -> bool,
}

/// A difference.
pub(crate) struct Case<'a> {
    pub(crate) request: &'a Request,
    pub(crate) ours: &'a Answer,
    pub(crate) theirs: &'a Answer,
    /// To the same Accept-Encoding both send the same coding of the file.
    pub(crate) same_coding: bool,
}

impl Case<'_> {
    /// Whether ours and theirs are of these.
    fn is(&self, ours: &[u16], theirs: &[u16]) -> bool {
        ours.contains(&self.ours.status) && theirs.contains(&self.theirs.status)
    }

    fn has(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.request.has(name))
    }

    fn asks(&self, ranges: Ranges) -> bool {
        self.request.ranges == ranges
    }

    /// The method reads.
    fn reads(&self) -> bool {
        matches!(self.request.method, "GET" | "HEAD")
    }

    /// Where both carry all of the file, it is the same one.
    fn is_same_file(&self) -> bool {
        !self.is(&[200], &[200])
            || self.request.method == "HEAD"
            || self.ours.plain() == self.theirs.plain()
    }

    fn text<'s>(&'s self, name: &str) -> Option<&'s str> {
        self.request.values(name).find_map(|value| match value {
            Value::Text(text) => Some(text.as_str()),
            Value::Tags(_) | Value::Date(..) => None,
        })
    }

    fn page(&self) -> Option<&Page> {
        match self.request.what {
            What::Page(page) => Some(page),
            What::Directory
            | What::Hidden
            | What::Closed
            | What::Missing
            | What::TooLong
            | What::Server => None,
        }
    }
}

const NGINX: &[Other] = &[Other::Nginx];
const APACHE: &[Other] = &[Other::Apache];
const BOTH: &[Other] = &[Other::Nginx, Other::Apache];

/// The first that holds is the one that counts.
pub(crate) const CLASSES: &[Class] = &[
    // What is refused before the target is looked at.
    Class {
        name: "an empty Host",
        with: BOTH,
        right: Right::Both,
        clause: "RFC 9112 §3.2",
        why: "its syntax is valid, and says no host: 400, or the default host",
        holds: |case| case.text("host") == Some("") && case.theirs.status == 400,
    },
    Class {
        name: "dot segments that lead above the root",
        with: BOTH,
        right: Right::Both,
        clause: "RFC 3986 §5.2.4",
        why: "they refuse what the algorithm stops at the root",
        holds: |case| case.request.above && case.theirs.status == 400,
    },
    // Methods.
    Class {
        name: "OPTIONS",
        with: NGINX,
        right: Right::Ours,
        clause: "RFC 9110 §9.3.7",
        why: "it has none for files",
        holds: |case| case.request.method == "OPTIONS" && case.is(&[200, 204], &[400, 405]),
    },
    Class {
        name: "a method that nobody knows",
        with: NGINX,
        right: Right::Ours,
        clause: "RFC 9110 §9.1",
        why: "501 is for those, 405 for known ones",
        holds: |case| case.request.method == "BREW" && case.is(&[501], &[405]),
    },
    Class {
        name: "POST to a file",
        with: APACHE,
        right: Right::Both,
        clause: "RFC 9110 §9.3.3",
        why: "it sends the file as if it were a GET",
        holds: |case| {
            case.request.method == "POST"
                && case.page().is_some()
                && case.is(&[405], &[200, 206, 304, 412, 416])
        },
    },
    Class {
        name: "a wrong method for what is not there",
        with: BOTH,
        right: Right::Both,
        clause: "RFC 9110 §15.5.6",
        why: "whether the method or the target is looked at first",
        holds: |case| {
            !case.reads()
                && case.page().is_none()
                && case.is(&[200, 204, 405, 501], &[301, 403, 404])
        },
    },
    Class {
        name: "TRACE of what is hidden",
        with: NGINX,
        right: Right::Both,
        clause: "RFC 9110 §15.5.6",
        why: "the same, the other way round",
        holds: |case| case.request.method == "TRACE" && case.is(&[404], &[405]),
    },
    // Names.
    Class {
        name: "a name that is too long",
        with: APACHE,
        right: Right::Both,
        clause: "RFC 9110 §15.5.5",
        why: "there is no such file, and it says 403",
        holds: |case| matches!(case.request.what, What::TooLong) && case.is(&[404], &[403]),
    },
    Class {
        name: "a query of no octets",
        with: APACHE,
        right: Right::Both,
        clause: "RFC 3986 §6.2.3",
        why: "it keeps the question mark in Location",
        holds: |case| case.request.target.ends_with('?') && case.is(&[301], &[301]),
    },
    // Codings.
    Class {
        name: "no siblings",
        with: APACHE,
        right: Right::Both,
        clause: "RFC 9110 §12.5.3",
        why: "it looks for no compressed file beside the file",
        holds: |case| !case.same_coding && case.is_same_file(),
    },
    Class {
        name: "weights of codings",
        with: NGINX,
        right: Right::Ours,
        clause: "RFC 9110 §12.4.2",
        why: "it sends gzip to whom identity is worth more",
        holds: |case| !case.same_coding && case.is_same_file(),
    },
    Class {
        name: "parts of a sibling",
        with: NGINX,
        right: Right::Both,
        clause: "RFC 9110 §14.2",
        why: "it ignores Range for a compressed file, and we count the compressed octets",
        holds: |case| {
            case.has(&["range"])
                && case.theirs.field("content-encoding").is_some()
                && case.is(&[206, 416], &[200])
        },
    },
    // Conditions.
    Class {
        name: "If-Unmodified-Since beside If-Match",
        with: BOTH,
        right: Right::Ours,
        clause: "RFC 9110 §13.1.4",
        why: "they look at the date although there is a tag",
        holds: |case| {
            case.has(&["if-match", "if-unmodified-since"])
                && case.ours.status != 412
                && case.theirs.status == 412
        },
    },
    Class {
        name: "If-Unmodified-Since that is no date",
        with: NGINX,
        right: Right::Ours,
        clause: "RFC 9110 §13.1.4",
        why: "it fails what must be ignored",
        holds: |case| {
            case.text("if-unmodified-since").is_some()
                && case.ours.status != 412
                && case.theirs.status == 412
        },
    },
    Class {
        name: "If-Modified-Since beside If-None-Match",
        with: BOTH,
        right: Right::Ours,
        clause: "RFC 9110 §13.1.3",
        why: "they look at the date although the tag matches",
        holds: |case| {
            case.has(&["if-none-match", "if-modified-since"]) && case.is(&[304], &[200, 206, 416])
        },
    },
    Class {
        name: "If-None-Match after a condition that holds",
        with: APACHE,
        right: Right::Ours,
        clause: "RFC 9110 §13.2.2",
        why: "it stops at step 1 or 2",
        holds: |case| {
            (case.has(&["if-match"]) || case.has(&["if-unmodified-since"]))
                && (case.has(&["if-none-match"]) || case.has(&["if-modified-since"]))
                && case.is(&[304], &[200, 206, 416])
        },
    },
    Class {
        name: "a condition with Range",
        with: APACHE,
        right: Right::Ours,
        clause: "RFC 9110 §14.2",
        why: "it compares weak tags and later dates strictly then",
        holds: |case| {
            case.has(&["range"])
                && (case.has(&["if-modified-since"]) || case.has(&["if-none-match"]))
                && case.is(&[304], &[200, 206, 416])
        },
    },
    Class {
        name: "a file of the year 1970",
        with: BOTH,
        right: Right::Both,
        clause: "RFC 9110 §8.8.2",
        why: "an mtime of 0 is no date to us, and nothing is compared with it",
        holds: |case| {
            case.page().is_some_and(|page| page.modified == 0)
                && !case.has(&["if-none-match"])
                && case.is(&[200, 206, 416], &[206, 304, 412, 416])
        },
    },
    // Ranges.
    Class {
        name: "HEAD with Range",
        with: BOTH,
        right: Right::Ours,
        clause: "RFC 9110 §14.2",
        why: "Range is defined for GET alone",
        holds: |case| {
            case.request.method == "HEAD" && case.has(&["range"]) && case.is(&[200], &[206, 416])
        },
    },
    Class {
        name: "two hundred ranges",
        with: BOTH,
        right: Right::Both,
        clause: "RFC 9110 §14.2",
        why: "we send everything instead",
        holds: |case| case.asks(Ranges::Many) && case.is(&[200], &[206]),
    },
    Class {
        name: "the last position before the first",
        with: NGINX,
        right: Right::Both,
        clause: "RFC 9110 §14.1.1",
        why: "invalid: ignored, or refused",
        holds: |case| case.asks(Ranges::Reversed) && case.is(&[200], &[416]),
    },
    Class {
        name: "ranges that overlap",
        with: NGINX,
        right: Right::Both,
        clause: "RFC 9110 §14.2",
        why: "it sends everything, we make one part of them",
        holds: |case| case.asks(Ranges::Overlapping) && case.is(&[206], &[200]),
    },
    Class {
        name: "a range of an empty file",
        with: BOTH,
        right: Right::Both,
        clause: "RFC 9110 §14.1.2",
        why: "nothing of it is there: 416, or all of nothing",
        holds: |case| case.page().is_some_and(|page| page.length == 0) && case.is(&[416], &[200]),
    },
    Class {
        name: "white space beside a comma",
        with: BOTH,
        right: Right::Ours,
        clause: "RFC 9110 §5.6.1.1",
        why: "a list may have it",
        holds: |case| {
            case.text("range")
                .is_some_and(|text| text.contains([' ', '\t']))
                && case.is(&[206], &[200, 416])
        },
    },
    Class {
        name: "the last 0 octets",
        with: APACHE,
        right: Right::Ours,
        clause: "RFC 9110 §14.1.2",
        why: "a suffix of 0 can not be satisfied",
        holds: |case| case.asks(Ranges::ZeroSuffix) && case.is(&[416], &[200]),
    },
    Class {
        name: "416 without a length",
        with: APACHE,
        right: Right::Ours,
        clause: "RFC 9110 §15.5.17",
        why: "it does not say how long the file is",
        holds: |case| case.is(&[416], &[416]) && case.theirs.field("content-range").is_none(),
    },
    Class {
        name: "HEAD of an empty file",
        with: APACHE,
        right: Right::Both,
        clause: "RFC 9110 §8.6",
        why: "it leaves out the length of 0",
        holds: |case| {
            case.request.method == "HEAD"
                && case.page().is_some_and(|page| page.length == 0)
                && case.is(&[200], &[200])
        },
    },
];
