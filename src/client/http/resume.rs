//! Whether an answer fits to the range that was asked for (RFC 9110 §14, §15.3.7).
//!
//! Nothing is kept of a file but the file itself, no entity tag above all: so
//! what was downloaded before is taken for the beginning of what is there now
//! if the server says that it begins where the file ends. A file that has
//! changed on the server in between is not noticed, unless it became shorter,
//! or the user adds an If-Range field of his own.

use super::head::Head;

/// Content-Range = range-unit SP ( range-resp / unsatisfied-range )
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentRange {
    /// These octets, both included, of so many if that is known.
    Part {
        /// The first one's position.
        first: u64,
        /// The last one's position.
        last: u64,
        /// The length of the whole.
        whole: Option<u64>,
    },
    /// None of them: the whole has so many.
    None(u64),
}

impl ContentRange {
    /// Reads the value of the field; `None` for one that breaks the grammar.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let (unit, rest) = text.split_once(' ')?;
        let (range, whole) = rest.split_once('/')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        if range == "*" {
            return number(whole).map(Self::None);
        }
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        let whole = match whole {
            "*" => None,
            whole => Some(number(whole)?),
        };
        let in_order = first <= last && whole.is_none_or(|whole| last < whole);
        in_order.then_some(Self::Part { first, last, whole })
    }

    fn of(head: &Head) -> Option<Self> {
        let mut values = head.values("content-range");
        let value = values.next()?;
        values.next().is_none().then(|| Self::parse(value))?
    }
}

/// How many octets of content the Content-Range of a 206 tells of; `None` where it
/// tells of none, as where there are several parts.
pub fn length(head: &Head) -> Option<u64> {
    match ContentRange::of(head).filter(|_| head.status() == 206) {
        // `last` is at least `first`.
        Some(ContentRange::Part { first, last, .. }) => (last - first).checked_add(1),
        Some(ContentRange::None(_)) | None => None,
    }
}

/// What becomes of a file that was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The content goes behind it.
    Append,
    /// The content is everything: it takes its place.
    Anew,
    /// It is complete as it is.
    Complete,
}

/// What an answer to `Range: bytes=HELD-` means for a file of `held` octets, at
/// least one.
///
/// # Errors
/// Why neither the file nor the content is to be trusted.
pub fn judge(held: u64, head: &Head) -> Result<Verdict, String> {
    let range = ContentRange::of(head);
    match head.status() {
        206 => match range {
            Some(ContentRange::Part { first, .. }) if first == held => Ok(Verdict::Append),
            Some(ContentRange::Part { first, .. }) => Err(format!(
                "octets from {held} on were asked for, and those from {first} on came"
            )),
            Some(ContentRange::None(_)) | None => Err(String::from(
                "a part came, and its Content-Range does not say which",
            )),
        },
        416 => match range {
            Some(ContentRange::None(whole)) if whole == held => Ok(Verdict::Complete),
            Some(ContentRange::None(whole)) => Err(format!(
                "the file has {held} octets, and what is there has {whole}: they are not the same"
            )),
            Some(ContentRange::Part { .. }) | None => Ok(Verdict::Anew),
        },
        _ => Ok(Verdict::Anew),
    }
}

/// Whether an answer of 206 is the part that `--range` asked for, where that is
/// a single range with a beginning.
///
/// # Errors
/// What came in its place.
pub fn check(range: &str, head: &Head) -> Result<(), String> {
    if head.status() != 206 || range.contains(',') {
        return Ok(());
    }
    let Some(ContentRange::Part { first, last, .. }) = ContentRange::of(head) else {
        return Err(String::from(
            "a part came, and its Content-Range does not say which",
        ));
    };
    let asked = range
        .strip_prefix("bytes=")
        .and_then(|one| one.split_once('-'));
    let (begin, end) = asked.unwrap_or_default();
    let begins = number(begin).is_none_or(|begin| begin == first);
    let ends = begin.is_empty() || number(end).is_none_or(|end| last <= end);
    if begins && ends {
        Ok(())
    } else {
        Err(format!("{range} was asked for, and {first}-{last} came"))
    }
}

/// 1*DIGIT, and no sign.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        let part = |first, last, whole| Some(ContentRange::Part { first, last, whole });
        for (text, expected) in [
            ("bytes 0-0/1", part(0, 0, Some(1))),
            ("Bytes 5-9/*", part(5, 9, None)),
            ("bytes */47", Some(ContentRange::None(47))),
            ("bytes 5-4/10", None),
            ("bytes 5-10/10", None),
            ("bytes 5-9", None),
            ("bytes */*", None),
            ("bytes=5-9/10", None),
            ("items 5-9/10", None),
            ("bytes +5-9/10", None),
            ("bytes 5 -9/10", None),
        ] {
            assert_eq!(ContentRange::parse(text.as_bytes()), expected, "{text}");
        }
    }

    fn head(status: u16, range: &str) -> Head {
        let field = match range {
            "" => String::new(),
            range => format!("Content-Range: {range}\r\n"),
        };
        Head::of(&format!("HTTP/1.1 {status} x\r\n{field}\r\n"))
    }

    #[test]
    fn a_file_is_continued_only_where_it_ends() {
        assert_eq!(judge(5, &head(206, "bytes 5-9/10")), Ok(Verdict::Append));
        assert_eq!(judge(5, &head(200, "")), Ok(Verdict::Anew));
        assert_eq!(judge(5, &head(404, "")), Ok(Verdict::Anew));
        assert_eq!(judge(10, &head(416, "bytes */10")), Ok(Verdict::Complete));
        assert_eq!(judge(11, &head(416, "")), Ok(Verdict::Anew));
        assert!(judge(11, &head(416, "bytes */10")).is_err());
        assert!(judge(5, &head(206, "bytes 4-9/10")).is_err());
        assert!(judge(5, &head(206, "")).is_err());
        assert!(judge(5, &head(206, "bytes 5-9/10\r\nContent-Range: bytes 0-1/2")).is_err());
    }

    #[test]
    fn a_part_is_as_long_as_it_says() {
        assert_eq!(length(&head(206, "bytes 5-9/10")), Some(5));
        let most = format!("bytes 0-{}/*", u64::MAX);
        for (status, range) in [
            (206, ""),
            (206, "bytes */9"),
            (206, &most),
            (200, "bytes 0-1/2"),
        ] {
            assert_eq!(length(&head(status, range)), None, "{status} {range}");
        }
    }

    #[test]
    fn a_part_is_the_one_that_was_asked_for() {
        for (range, answer, is_right) in [
            ("bytes=5-9", "bytes 5-9/10", true),
            ("bytes=5-99", "bytes 5-9/10", true),
            ("bytes=5-", "bytes 5-9/10", true),
            ("bytes=-5", "bytes 5-9/10", true),
            ("bytes=5-9", "bytes 0-9/10", false),
            ("bytes=5-6", "bytes 5-9/10", false),
            ("bytes=5-9", "", false),
            ("bytes=0-1,4-5", "", true),
        ] {
            let checked = check(range, &head(206, answer));
            assert_eq!(checked.is_ok(), is_right, "{range} {answer}: {checked:?}");
        }
        assert_eq!(check("bytes=5-9", &head(200, "")), Ok(()));
    }
}
