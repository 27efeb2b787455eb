//! The kinds of value a key can have: how each is read, what is said when it is
//! something else, and how it is written back.
//!
//! Owes every kind one sentence of what is expected, used by messages and the
//! manual alike. Never looks beyond the one value: what depends on other keys or
//! on the machine is checked later.

use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeValue;

use super::mistake::{Mistake, Span};
use super::wording::{abridged, nearest, quote};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

/// How a value looks in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// `key = this`.
    Value(String),
    /// There is none, and this is what holds instead.
    Unset(&'static str),
    /// A table of its own, under a header of its own.
    Apart,
}

impl Shown {
    /// An array of items that are shown already.
    pub(crate) fn array(items: impl IntoIterator<Item = String>) -> Self {
        let items: Vec<String> = items.into_iter().collect();
        Self::Value(format!("[{}]", items.join(", ")))
    }
}

/// A kind of value. `T` is what it is to the program.
pub(crate) trait Kind<T> {
    /// What a right value looks like, to follow the word "expected".
    fn expected(&self) -> String;

    /// Reads a value of the key `name`; `None` if it is wrong, and then at least
    /// one error has been added to `found`.
    fn read(&self, name: &str, value: &Spanned<DeValue<'_>>, found: &mut Vec<Mistake>)
    -> Option<T>;

    /// Writes a value so that `read` gives it back.
    fn show(&self, value: &T) -> Shown;
}

/// A key that may be left out; the text says what holds then.
pub(crate) struct Optional<K>(pub(crate) K, pub(crate) &'static str);

/// Text, up to so many octets, without NUL.
pub(crate) struct Text {
    pub(crate) max: usize,
    pub(crate) what: &'static str,
}

/// A path, absolute or relative to the configuration.
pub(crate) struct FilePath;

/// `true` or `false`.
pub(crate) struct Flag;

/// One of a few words.
pub(crate) struct Word<T: 'static>(pub(crate) &'static [(&'static str, T)]);

/// The name in front of syslog lines.
pub(crate) struct Tag;

/// The name of a charset, or "off".
pub(crate) struct Charset;

/// Names of files without a directory: an array, or one name.
pub(crate) struct FileNames;

impl<T, K: Kind<T>> Kind<Option<T>> for Optional<K> {
    fn expected(&self) -> String {
        self.0.expected()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<Option<T>> {
        self.0.read(name, value, found).map(Some)
    }

    fn show(&self, value: &Option<T>) -> Shown {
        match value {
            Some(value) => self.0.show(value),
            None => Shown::Unset(self.1),
        }
    }
}

impl Kind<String> for Text {
    fn expected(&self) -> String {
        self.what.to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<String> {
        let expected = || Kind::<String>::expected(self);
        let text = string(name, value, expected, found)?;
        let message = if text.len() > self.max {
            format!("`{name}` has {} octets", text.len())
        } else if text.contains('\0') {
            format!("`{name}` holds a NUL")
        } else if text.is_empty() {
            format!("`{name}` is empty")
        } else {
            return Some(text.to_owned());
        };
        let expected = format!("expected {}, at most {} octets", self.what, self.max);
        found.push(Mistake::error(value.span(), message, expected));
        None
    }

    fn show(&self, value: &String) -> Shown {
        Shown::Value(quote(value))
    }
}

impl Kind<PathBuf> for FilePath {
    fn expected(&self) -> String {
        "a path, absolute or relative to this file".to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<PathBuf> {
        let text = string(name, value, || self.expected(), found)?;
        if text.is_empty() || text.contains('\0') {
            let expected = format!("expected {}", self.expected());
            let message = format!("`{name}` is empty or holds a NUL");
            found.push(Mistake::error(value.span(), message, expected));
            return None;
        }
        Some(PathBuf::from(text))
    }

    fn show(&self, value: &PathBuf) -> Shown {
        Shown::Value(quote(&value.to_string_lossy()))
    }
}

impl Kind<bool> for Flag {
    fn expected(&self) -> String {
        "true or false".to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<bool> {
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            found.push(wrong_type(name, value, &self.expected()));
        }
        flag
    }

    fn show(&self, value: &bool) -> Shown {
        Shown::Value(value.to_string())
    }
}

impl<T: Copy + PartialEq> Kind<T> for Word<T> {
    fn expected(&self) -> String {
        let words: Vec<String> = self
            .0
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        match words.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            Some(_) | None => words.concat(),
        }
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<T> {
        let expected = Kind::<T>::expected(self);
        let text = string(name, value, || expected.clone(), found)?;
        if let Some((_, meaning)) = self.0.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let words = self.0.iter().map(|(word, _)| *word);
        let expected = match nearest(text, words) {
            Some(word) => format!("did you mean \"{word}\"? expected {expected}"),
            None => format!("expected {expected}"),
        };
        cannot_be(name, value, text, expected, found)
    }

    fn show(&self, value: &T) -> Shown {
        match self.0.iter().find(|(_, meaning)| meaning == value) {
            Some((word, _)) => Shown::Value(quote(word)),
            None => Shown::Unset("a value that only a program can set"),
        }
    }
}

impl Kind<String> for Tag {
    fn expected(&self) -> String {
        "1 to 32 visible ASCII characters other than `:`, `[` and `]`".to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<String> {
        let text = string(name, value, || self.expected(), found)?;
        // RFC 3164 §4.1.3: the tag ends where one of the others begins.
        let fits = |b: u8| b.is_ascii_graphic() && !matches!(b, b':' | b'[' | b']');
        if (1..=32).contains(&text.len()) && text.bytes().all(fits) {
            return Some(text.to_owned());
        }
        let expected = format!("expected {}", self.expected());
        cannot_be(name, value, text, expected, found)
    }

    fn show(&self, value: &String) -> Shown {
        Shown::Value(quote(value))
    }
}

impl Kind<Option<String>> for Charset {
    fn expected(&self) -> String {
        "the name of a charset, such as \"utf-8\", or \"off\"".to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<Option<String>> {
        let text = string(name, value, || self.expected(), found)?;
        // RFC 2978 §2.3: what a name is made of; no more fits a header field.
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'+-^_`{}~.:".contains(&b);
        if (1..=40).contains(&text.len()) && text.bytes().all(fits) {
            return Some((text != "off").then(|| text.to_owned()));
        }
        let expected = format!("expected {}", self.expected());
        cannot_be(name, value, text, expected, found)
    }

    fn show(&self, value: &Option<String>) -> Shown {
        Shown::Value(quote(value.as_deref().unwrap_or("off")))
    }
}

impl Kind<Vec<String>> for FileNames {
    fn expected(&self) -> String {
        "an array of file names without a directory, such as [\"index.html\"]".to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<Vec<String>> {
        each(name, value, &self.expected(), found, |text| {
            if matches!(text, "" | "." | "..") || text.contains(['/', '\0']) {
                let message = format!("`{name}` cannot hold {}", abridged(text));
                return Err((message, format!("expected {}", self.expected())));
            }
            Ok(text.to_owned())
        })
    }

    fn show(&self, value: &Vec<String>) -> Shown {
        Shown::array(value.iter().map(|name| quote(name)))
    }
}

/// The items of an array; a value that is none stands for an array of itself.
pub(crate) fn items<'v, 'i>(value: &'v Spanned<DeValue<'i>>) -> Vec<&'v Spanned<DeValue<'i>>> {
    match value.get_ref().as_array() {
        Some(array) => array.iter().collect(),
        None => vec![value],
    }
}

/// What `take` makes of each text of an array, or of one text; or it says what is wrong
/// with it, and what was expected. `None` if any is wrong, and all that are have been
/// added to `found`.
pub(crate) fn each<T, W: Into<String>>(
    name: &str,
    value: &Spanned<DeValue<'_>>,
    expected: &str,
    found: &mut Vec<Mistake>,
    take: impl Fn(&str) -> Result<T, (String, W)>,
) -> Option<Vec<T>> {
    let before = found.len();
    let mut all = Vec::new();
    for item in items(value) {
        let Some(text) = item.get_ref().as_str() else {
            found.push(wrong_type(name, item, expected));
            continue;
        };
        match take(text) {
            Ok(one) => all.push(one),
            Err((message, why)) => found.push(Mistake::error(item.span(), message, why)),
        }
    }
    (found.len() == before).then_some(all)
}

/// Says that a key cannot have this text, and why.
pub(crate) fn cannot_be<T>(
    name: &str,
    value: &Spanned<DeValue<'_>>,
    text: &str,
    why: impl Into<String>,
    found: &mut Vec<Mistake>,
) -> Option<T> {
    let message = format!("`{name}` cannot be {}", abridged(text));
    found.push(Mistake::error(value.span(), message, why));
    None
}

/// The text of a string, or a mistake.
pub(crate) fn string<'v>(
    name: &str,
    value: &'v Spanned<DeValue<'_>>,
    expected: impl FnOnce() -> String,
    found: &mut Vec<Mistake>,
) -> Option<&'v str> {
    let text = value.get_ref().as_str();
    if text.is_none() {
        found.push(wrong_type(name, value, &expected()));
    }
    text
}

/// The mistake of a value that is of another type.
pub(crate) fn wrong_type(name: &str, value: &Spanned<DeValue<'_>>, expected: &str) -> Mistake {
    let article = match value.get_ref() {
        DeValue::Integer(_) | DeValue::Array(_) => "an",
        DeValue::String(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Table(_) => "a",
    };
    let message = format!("`{name}` is {article} {}", value.get_ref().type_str());
    Mistake::error(value.span(), message, format!("expected {expected}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;

    /// Reads one value; `Err` is the message and what was expected.
    pub(crate) fn read<T>(kind: &impl Kind<T>, text: &str) -> Result<T, String> {
        let value = DeValue::parse(text).unwrap();
        let mut found = Vec::new();
        kind.read("key", &value, &mut found).ok_or_else(|| {
            let mistake = found.pop().unwrap();
            assert_eq!(mistake.span, value.span());
            format!("{}; {}", mistake.message, mistake.expected)
        })
    }

    #[test]
    fn words_are_guessed() {
        let kind = Word(&[("prefork", 1), ("event", 2)]);
        assert_eq!(read(&kind, "'event'"), Ok(2));
        let error = read(&kind, "'perfork'").unwrap_err();
        let expected = "`key` cannot be \"perfork\"; did you mean \"prefork\"? \
                        expected \"prefork\" or \"event\"";
        assert_eq!(error, expected);
        let error = read(&kind, "'select'").unwrap_err();
        assert!(!error.contains("did you mean"), "{error}");
    }

    #[test]
    fn tags_names_and_texts() {
        assert_eq!(read(&Tag, "'pre-fork'"), Ok("pre-fork".to_owned()));
        for text in ["''", "'a b'", "'a:'", "'a[1]'", "'é'"] {
            assert!(read(&Tag, text).is_err(), "{text}");
        }
        assert_eq!(
            read(&Charset, "'iso-8859-1'"),
            Ok(Some("iso-8859-1".to_owned()))
        );
        assert_eq!(read(&Charset, "'off'"), Ok(None));
        for text in ["''", "'a b'", "'a;b'", "'a\"'", "\"a\\r\\nb\""] {
            assert!(read(&Charset, text).is_err(), "{text}");
        }
        assert_eq!(read(&FileNames, "'a'"), Ok(vec!["a".to_owned()]));
        assert_eq!(read(&FileNames, "[]"), Ok(vec![]));
        assert!(read(&FilePath, "''").is_err());
        let text = Text {
            max: 3,
            what: "a text",
        };
        assert_eq!(read(&text, "'abc'"), Ok("abc".to_owned()));
        assert!(read(&text, "'abcd'").is_err());
        assert!(read(&text, "\"\\u0000\"").is_err());
    }
}
