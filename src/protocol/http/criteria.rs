//! The fields by which a client says on what condition, and which part of a
//! file it wants (RFC 9110 §13.1, §14.2): kept from the head until the file is
//! known.
//!
//! A line each, a letter for the field and its value: a value has no line feed
//! in it, the head was checked. Several lines of one field are one list
//! (RFC 9110 §5.3), in their order. Here nothing is judged.

/// One of these fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Criterion {
    IfMatch,
    IfNoneMatch,
    IfModifiedSince,
    IfUnmodifiedSince,
    IfRange,
    Range,
}

impl Criterion {
    /// The field of this name, if it is one of them.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        // The length rules most names out before a letter is compared.
        Some(match name.len() {
            5 if is("range") => Self::Range,
            8 if is("if-match") => Self::IfMatch,
            8 if is("if-range") => Self::IfRange,
            13 if is("if-none-match") => Self::IfNoneMatch,
            17 if is("if-modified-since") => Self::IfModifiedSince,
            19 if is("if-unmodified-since") => Self::IfUnmodifiedSince,
            _ => return None,
        })
    }

    const fn letter(self) -> u8 {
        match self {
            Self::IfMatch => b'm',
            Self::IfNoneMatch => b'n',
            Self::IfModifiedSince => b's',
            Self::IfUnmodifiedSince => b'u',
            Self::IfRange => b'i',
            Self::Range => b'r',
        }
    }
}

/// Appends those fields of a checked field section to `out`.
pub(super) fn note(section: &[u8], out: &mut Vec<u8>) {
    for line in section.split(|&byte| byte == b'\n') {
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if let Some(criterion) = Criterion::of(name) {
            out.push(criterion.letter());
            out.extend_from_slice(value.trim_ascii());
            out.push(b'\n');
        }
    }
}

/// What was noted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Criteria<'a>(&'a [u8]);

/// The value of a field that is to stand at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Single<'a> {
    Absent,
    Once(&'a [u8]),
    Repeated,
}

impl<'a> Criteria<'a> {
    /// Takes what [`note`] wrote.
    pub(super) fn new(noted: &'a [u8]) -> Self {
        Self(noted)
    }

    /// Whether the request has none of these fields, as most have.
    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Whether the request has this field.
    pub(super) fn has(self, criterion: Criterion) -> bool {
        self.values(criterion).next().is_some()
    }

    /// The values of its lines, in their order.
    pub(super) fn values(self, criterion: Criterion) -> impl Iterator<Item = &'a [u8]> + Clone {
        let lines = self.0.split(|&byte| byte == b'\n');
        lines.filter_map(move |line| line.strip_prefix(&[criterion.letter()]))
    }

    /// The value of a field that is no list.
    pub(super) fn single(self, criterion: Criterion) -> Single<'a> {
        let mut values = self.values(criterion);
        match (values.next(), values.next()) {
            (None, _) => Single::Absent,
            (Some(value), None) => Single::Once(value),
            (Some(_), Some(_)) => Single::Repeated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTION: &[u8] = b"Host: a\r\nif-none-match:\"a\" \r\nRANGE: bytes=0-1\r\n\
        If-None-Match: \"b\", \"c\"\r\nRanges: x\r\nIf-Match:\r\n\r\n";

    #[test]
    fn fields_are_told_apart_and_keep_their_order() {
        let mut noted = Vec::new();
        note(SECTION, &mut noted);
        let criteria = Criteria::new(&noted);
        let values: Vec<&[u8]> = criteria.values(Criterion::IfNoneMatch).collect();
        assert_eq!(values, [&b"\"a\""[..], b"\"b\", \"c\""]);
        assert_eq!(
            criteria.single(Criterion::Range),
            Single::Once(b"bytes=0-1")
        );
        assert_eq!(criteria.single(Criterion::IfMatch), Single::Once(b""));
        assert_eq!(criteria.single(Criterion::IfNoneMatch), Single::Repeated);
        assert_eq!(criteria.single(Criterion::IfRange), Single::Absent);
        assert!(criteria.has(Criterion::IfMatch) && !criteria.has(Criterion::IfRange));
    }

    #[test]
    fn every_field_has_a_letter_of_its_own() {
        let names = [
            "If-Match",
            "If-None-Match",
            "If-Modified-Since",
            "If-Unmodified-Since",
            "If-Range",
            "Range",
        ];
        let mut letters: Vec<u8> = names
            .iter()
            .filter_map(|name| Criterion::of(name.as_bytes()))
            .map(Criterion::letter)
            .collect();
        letters.sort_unstable();
        letters.dedup();
        assert_eq!(letters.len(), names.len());
        assert_eq!(Criterion::of(b"If-Matched"), None);
    }
}
