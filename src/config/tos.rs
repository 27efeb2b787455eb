//! The key `tos`: a class of traffic by its name, or as the octet it is.

use toml::Spanned;
use toml::de::DeValue;

use super::endpoint::Tos;
use super::kind::{Kind, Shown, cannot_be, wrong_type};
use super::mistake::Mistake;
use super::number::Count;
use super::wording::{nearest, quote};

/// `tos`.
pub(crate) struct TosKind;

/// RFC 2474 §4.2.2 (CS), RFC 2597 §6 (AF), RFC 3246 (EF), RFC 5865 (VA), RFC 8622
/// (LE): the code points.
const CLASSES: &[(&str, u8)] = &[
    ("CS0", 0),
    ("CS1", 8),
    ("CS2", 16),
    ("CS3", 24),
    ("CS4", 32),
    ("CS5", 40),
    ("CS6", 48),
    ("CS7", 56),
    ("AF11", 10),
    ("AF12", 12),
    ("AF13", 14),
    ("AF21", 18),
    ("AF22", 20),
    ("AF23", 22),
    ("AF31", 26),
    ("AF32", 28),
    ("AF33", 30),
    ("AF41", 34),
    ("AF42", 36),
    ("AF43", 38),
    ("EF", 46),
    ("VA", 44),
    ("LE", 1),
];

impl Kind<Tos> for TosKind {
    fn expected(&self) -> String {
        "a class such as \"AF21\", \"CS1\" or \"EF\", or the octet, a multiple of 4 up to 252"
            .to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<Tos> {
        let expected = format!("expected {}", self.expected());
        match value.get_ref() {
            DeValue::Integer(_) => {
                let octet = Count { min: 0u8, max: 255 }.read(name, value, found)?;
                if octet.is_multiple_of(4) {
                    return Some(Tos(octet));
                }
                // The kernel would clear them without a word (ip(7)).
                let message = format!("`{name}` sets bits that are the kernel's (RFC 3168)");
                found.push(Mistake::error(value.span(), message, expected));
                None
            }
            DeValue::String(text) => {
                let same = |(class, _): &&(&str, u8)| class.eq_ignore_ascii_case(text);
                if let Some((_, point)) = CLASSES.iter().find(same) {
                    return Some(Tos(point << 2));
                }
                let classes = CLASSES.iter().map(|(class, _)| *class);
                let why = match nearest(text, classes) {
                    Some(class) => format!("did you mean \"{class}\"? {expected}"),
                    None => expected,
                };
                cannot_be(name, value, text, why, found)
            }
            DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                found.push(wrong_type(name, value, &self.expected()));
                None
            }
        }
    }

    fn show(&self, value: &Tos) -> Shown {
        let point = value.octet() >> 2;
        Shown::Value(match CLASSES.iter().find(|(_, one)| *one == point) {
            Some((class, _)) => quote(class),
            None => value.octet().to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::kind::tests::read;

    #[test]
    fn classes_have_names_and_numbers() {
        for (text, octet, shown) in [
            ("'AF21'", 0x48, "\"AF21\""),
            ("'ef'", 0xb8, "\"EF\""),
            ("'LE'", 0x04, "\"LE\""),
            ("0x48", 0x48, "\"AF21\""),
            ("252", 252, "252"),
            ("0", 0, "\"CS0\""),
        ] {
            assert_eq!(read(&TosKind, text), Ok(Tos(octet)), "{text}");
            assert_eq!(TosKind.show(&Tos(octet)), Shown::Value(shown.to_owned()));
        }
        for (text, part) in [
            ("1", "bits that are the kernel's"),
            ("256", "out of range"),
            ("'AF24'", "did you mean \"AF2"),
            ("'lowdelay'", "expected a class such as"),
            ("true", "`key` is a boolean"),
        ] {
            let error = read(&TosKind, text).err().unwrap_or_default();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
