//! Media types by file name extension, from a file in Apache's format.
//!
//! A line is a type and the extensions that mean it, with white space between;
//! `#` begins a comment. A type without extensions says nothing. Where an
//! extension stands twice, the later line counts. Nothing gets through that
//! could not stand in a header field.

use std::path::PathBuf;
use std::sync::Arc;

/// A table of media types, and the file that it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaTypes {
    /// The file, absolute.
    pub path: PathBuf,
    /// Extension, in lower case and without its dot, and type; sorted by the
    /// first, each once.
    pub by_extension: Arc<Vec<(String, String)>>,
}

impl MediaTypes {
    /// The longest extension that can be entered, in octets.
    pub const LONGEST_EXTENSION: usize = 32;
    /// The longest type, in octets.
    const LONGEST_TYPE: usize = 127;

    /// Reads what the file at `path` holds.
    ///
    /// # Errors
    /// `FILE:LINE: what is wrong`, for the first line that is.
    pub fn parse(path: PathBuf, octets: &[u8]) -> Result<Self, String> {
        let mut table = Vec::new();
        for (index, line) in octets.split(|&byte| byte == b'\n').enumerate() {
            read_line(line, &mut table)
                .map_err(|wrong| format!("{}:{}: {wrong}", path.display(), index + 1))?;
        }
        // The last of several first, so that it is the one that stays.
        table.reverse();
        table.sort_by(|(one, _): &(String, _), (other, _)| one.cmp(other));
        table.dedup_by(|(later, _), (kept, _)| later == kept);
        Ok(Self {
            path,
            by_extension: Arc::new(table),
        })
    }
}

fn read_line(line: &[u8], table: &mut Vec<(String, String)>) -> Result<(), &'static str> {
    let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| "this is not UTF-8")?;
    let mut words = line.split_ascii_whitespace();
    let Some(media) = words.next() else {
        return Ok(());
    };
    if !is_media_type(media) {
        return Err("the first word is no media type");
    }
    for extension in words {
        if extension.len() > MediaTypes::LONGEST_EXTENSION {
            return Err("an extension has more than 32 octets");
        }
        table.push((extension.to_ascii_lowercase(), media.to_owned()));
    }
    Ok(())
}

/// type "/" subtype, both of the letters that RFC 6838 §4.2 allows.
fn is_media_type(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(fits);
    text.len() <= MediaTypes::LONGEST_TYPE
        && text
            .split_once('/')
            .is_some_and(|(kind, subtype)| is_name(kind) && is_name(subtype))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
        MediaTypes::parse("/m".into(), text.as_bytes()).map(|types| types.by_extension.to_vec())
    }

    fn pair(extension: &str, media: &str) -> (String, String) {
        (extension.to_owned(), media.to_owned())
    }

    #[test]
    fn lines_comments_and_repetitions() {
        let text = "# a comment\n\ntext/html\t html HTM # more\r\nimage/x-none\ntext/x-new html\n";
        assert_eq!(
            parse(text),
            Ok(vec![pair("htm", "text/html"), pair("html", "text/x-new")])
        );
        assert_eq!(parse(""), Ok(vec![]));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, expected) in [
            ("html", "/m:1: the first word is no media type"),
            (
                "a/b c\nhtml text/html\n",
                "/m:2: the first word is no media type",
            ),
            ("text/ html", "/m:1: the first word is no media type"),
            ("text/a/b html", "/m:1: the first word is no media type"),
            ("text/html;x html", "/m:1: the first word is no media type"),
        ] {
            assert_eq!(parse(text), Err(expected.to_owned()), "{text}");
        }
        let long = format!("a/b {}", "x".repeat(33));
        assert!(parse(&long).unwrap_err().contains("32 octets"));
        let wrong = MediaTypes::parse("/m".into(), b"a/b \xff").unwrap_err();
        assert_eq!(wrong, "/m:1: this is not UTF-8");
    }

    proptest! {
        #[test]
        fn what_comes_out_is_sorted_and_harmless(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(types) = MediaTypes::parse("/m".into(), &octets) {
                let table = &types.by_extension;
                prop_assert!(table.windows(2).all(|pair| pair[0].0 < pair[1].0));
                prop_assert!(table.iter().all(|(_, media)| media.bytes().all(|b| b.is_ascii_graphic())));
            }
        }
    }
}
