//! Text taken from a configuration and put into a message or back into a file.
//!
//! Owes that nothing an administrator sees was smuggled in by what is shown.

/// The text as a TOML basic string, on one line.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The text in quotes for a message, cut where it gets long.
pub(crate) fn abridged(text: &str) -> String {
    const ENOUGH: usize = 60;
    let mut shown: String = text.chars().take(ENOUGH).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("\"{}\"", printable(&shown))
}

/// The word that `text` was probably meant to be.
pub(crate) fn nearest<'w>(text: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    // A third of the letters may be wrong; more, and the guess is an insult.
    // Long texts are no slips of the hand, and not worth their square.
    if text.len() > 64 {
        return None;
    }
    words
        .map(|word| (edits(text, word), word))
        .filter(|(edits, word)| *edits * 3 <= word.len().max(3))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, word)| word)
}

/// How many octets must be put in, left out, replaced or swapped with their
/// neighbour to get from one to the other (optimal string alignment).
fn edits(from: &str, to: &str) -> usize {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    // row[j]: the distance from what has been read of `from` to the first j
    // octets of `to`; before and earlier are the rows of one and two octets less.
    let mut earlier = vec![0; to.len() + 1];
    let mut before: Vec<usize> = (0..=to.len()).collect();
    for i in 0..from.len() {
        let mut row = vec![i + 1];
        for j in 0..to.len() {
            let replaced = before[j] + usize::from(from[i] != to[j]);
            let mut least = replaced.min(before[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && from[i] == to[j - 1] && from[i - 1] == to[j] {
                least = least.min(earlier[j - 1] + 1);
            }
            row.push(least);
        }
        earlier = std::mem::replace(&mut before, row);
    }
    before[to.len()]
}

/// The text with nothing in it that a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use toml::de::DeValue;

    #[test]
    fn nearest_finds_slips_and_leaves_strangers() {
        let words = ["listen", "linger_timeout", "user"];
        assert_eq!(
            (edits("", "ab"), edits("ab", ""), edits("lgo", "log")),
            (2, 2, 1)
        );
        let nearest = |text| nearest(text, words.into_iter());
        assert_eq!(nearest("lisen"), Some("listen"));
        assert_eq!(nearest("lingertimeout"), Some("linger_timeout"));
        assert_eq!(nearest("suer"), Some("user"));
        assert_eq!(nearest("group"), None);
        assert_eq!(nearest(""), None);
    }

    proptest! {
        #[test]
        fn a_quoted_text_is_read_back(text in any::<String>()) {
            let quoted = quote(&text);
            prop_assert!(!quoted.contains('\n'));
            let value = DeValue::parse(&quoted).unwrap();
            prop_assert_eq!(value.get_ref().as_str(), Some(text.as_str()));
        }
    }
}
