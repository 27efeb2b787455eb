//! The kinds of value that are a number: counts, sizes, durations, modes, each
//! with the range it may have.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeInteger, DeValue};

use super::kind::{Kind, Shown, string, wrong_type};
use super::mistake::Mistake;
use super::units::{format_duration, format_size, parse_duration, parse_size};
use super::wording::quote;

/// A whole number in a range, ends included.
pub(crate) struct Count<T> {
    pub(crate) min: T,
    pub(crate) max: T,
}

/// A number of octets in a range, ends included: an integer, or text with a unit.
pub(crate) struct Size<T> {
    pub(crate) min: T,
    pub(crate) max: T,
}

/// A duration in a range, ends included.
pub(crate) struct Time {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

/// Permission bits: octal digits as text, or an octal integer.
pub(crate) struct Mode;

/// A whole number that fits the program's type for it.
pub(crate) trait Number: Copy + PartialOrd + Display + TryFrom<u64> + TryInto<u64> {}

impl<T: Copy + PartialOrd + Display + TryFrom<u64> + TryInto<u64>> Number for T {}

impl<T: Number> Kind<T> for Count<T> {
    fn expected(&self) -> String {
        let Self { min, max } = self;
        match (*max).try_into() {
            Ok(max) if max == NO_LIMIT => format!("a whole number of at least {min}"),
            Ok(_) | Err(_) => format!("a whole number from {min} to {max}"),
        }
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<T> {
        let expected = Kind::<T>::expected(self);
        let Some(written) = value.get_ref().as_integer() else {
            found.push(wrong_type(name, value, &expected));
            return None;
        };
        let number = integer(written).and_then(|number| T::try_from(number).ok());
        in_range(name, value, number, self.min..=self.max, &expected, found)
    }

    fn show(&self, value: &T) -> Shown {
        Shown::Value(value.to_string())
    }
}

/// The most that an integer of TOML can say; no key that allows it means it.
pub(crate) const NO_LIMIT: u64 = i64::MAX.unsigned_abs();

impl<T: Number> Size<T> {
    fn octets(value: T) -> u64 {
        value.try_into().unwrap_or(u64::MAX)
    }
}

impl<T: Number> Kind<T> for Size<T> {
    fn expected(&self) -> String {
        let min = format_size(Self::octets(self.min));
        let max = format_size(Self::octets(self.max));
        format!("a size such as \"64KiB\", from {min} to {max}")
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<T> {
        let expected = Kind::<T>::expected(self);
        let octets = match value.get_ref() {
            DeValue::Integer(written) => integer(written),
            DeValue::String(text) => match parse_size(text) {
                Ok(octets) => Some(octets),
                Err(why) => {
                    found.push(unreadable(name, "size", value, &why, &expected));
                    return None;
                }
            },
            DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                found.push(wrong_type(name, value, &expected));
                return None;
            }
        };
        let number = octets.and_then(|octets| T::try_from(octets).ok());
        in_range(name, value, number, self.min..=self.max, &expected, found)
    }

    fn show(&self, value: &T) -> Shown {
        Shown::Value(quote(&format_size(Self::octets(*value))))
    }
}

impl Kind<Duration> for Time {
    fn expected(&self) -> String {
        let (min, max) = (format_duration(self.min), format_duration(self.max));
        format!("a duration such as \"30s\", from {min} to {max}")
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<Duration> {
        let expected = self.expected();
        if let Some(number) = value.get_ref().as_integer() {
            let message = format!("`{name}` is a bare number");
            let expected = format!("write \"{number}s\" for seconds; expected {expected}");
            found.push(Mistake::error(value.span(), message, expected));
            return None;
        }
        let text = string(name, value, || expected.clone(), found)?;
        match parse_duration(text) {
            Ok(time) => in_range(
                name,
                value,
                Some(time),
                self.min..=self.max,
                &expected,
                found,
            ),
            Err(why) => {
                found.push(unreadable(name, "duration", value, &why, &expected));
                None
            }
        }
    }

    fn show(&self, value: &Duration) -> Shown {
        Shown::Value(quote(&format_duration(*value)))
    }
}

impl Kind<u32> for Mode {
    fn expected(&self) -> String {
        "permission bits in octal such as \"0660\", from \"0000\" to \"0777\"".to_owned()
    }

    fn read(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        found: &mut Vec<Mistake>,
    ) -> Option<u32> {
        let mode = match value.get_ref() {
            DeValue::Integer(written) if written.radix() == 8 => {
                u32::from_str_radix(written.as_str(), 8).ok()
            }
            DeValue::String(text) if text.bytes().all(|b| matches!(b, b'0'..=b'7')) => {
                u32::from_str_radix(text, 8).ok()
            }
            DeValue::Integer(_) | DeValue::String(_) => None,
            DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                found.push(wrong_type(name, value, &self.expected()));
                return None;
            }
        };
        in_range(name, value, mode, 0..=0o777, &self.expected(), found)
    }

    fn show(&self, value: &u32) -> Shown {
        Shown::Value(quote(&format!("{value:04o}")))
    }
}

/// An integer that is not negative and fits; TOML writes it in four radixes.
fn integer(written: &DeInteger<'_>) -> Option<u64> {
    let number = i64::from_str_radix(written.as_str(), written.radix()).ok()?;
    u64::try_from(number).ok()
}

/// The number if it is within the range, else a mistake that shows it as it
/// was written.
fn in_range<T: PartialOrd>(
    name: &str,
    value: &Spanned<DeValue<'_>>,
    number: Option<T>,
    range: RangeInclusive<T>,
    expected: &str,
    found: &mut Vec<Mistake>,
) -> Option<T> {
    let number = number.filter(|number| range.contains(number));
    if number.is_none() {
        let message = format!("`{name}` is out of range");
        found.push(Mistake::error(
            value.span(),
            message,
            format!("expected {expected}"),
        ));
    }
    number
}

/// The mistake of a text that is no duration, size …
fn unreadable(
    name: &str,
    what: &str,
    value: &Spanned<DeValue<'_>>,
    why: &str,
    expected: &str,
) -> Mistake {
    let message = format!("`{name}` is no {what}: {why}");
    Mistake::error(value.span(), message, format!("expected {expected}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::kind::tests::read;

    #[test]
    fn numbers() {
        let kind = Count { min: 1u32, max: 16 };
        assert_eq!(read(&kind, "0x10"), Ok(16));
        assert_eq!(read(&kind, "1_6"), Ok(16));
        for text in ["0", "17", "-1", "99999999999999999999"] {
            let expected = "`key` is out of range; expected a whole number from 1 to 16";
            assert_eq!(read(&kind, text), Err(expected.to_owned()), "{text}");
        }
        let expected = "`key` is a string; expected a whole number from 1 to 16";
        assert_eq!(read(&kind, "'1'"), Err(expected.to_owned()));
        let open = Count {
            min: 0u64,
            max: NO_LIMIT,
        };
        assert_eq!(open.expected(), "a whole number of at least 0");
    }

    #[test]
    fn durations_want_a_unit() {
        let kind = Time {
            min: Duration::from_millis(1),
            max: Duration::from_secs(60),
        };
        assert_eq!(read(&kind, "'1m'"), Ok(Duration::from_secs(60)));
        for (text, part) in [
            (
                "30",
                "`key` is a bare number; write \"30s\" for seconds; expected",
            ),
            (
                "'61s'",
                "out of range; expected a duration such as \"30s\", from 1ms to 60s",
            ),
            ("'0s'", "out of range"),
            ("'30'", "`key` is no duration: 30 has no unit"),
            ("true", "`key` is a boolean"),
        ] {
            let error = read(&kind, text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_are_text_or_octets() {
        let kind = Size {
            min: 1usize,
            max: 65536,
        };
        assert_eq!(read(&kind, "'64KiB'"), Ok(65536));
        assert_eq!(read(&kind, "512"), Ok(512));
        for (text, part) in [
            (
                "'65KiB'",
                "out of range; expected a size such as \"64KiB\", from 1B to 64KiB",
            ),
            ("'64K'", "is no size"),
            ("1.5", "is a float"),
        ] {
            let error = read(&kind, text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn modes_are_octal() {
        for (text, mode) in [
            ("'0666'", Ok(0o666)),
            ("0o660", Ok(0o660)),
            ("'600'", Ok(0o600)),
        ] {
            assert_eq!(read(&Mode, text), mode);
        }
        for text in ["'0888'", "'1000'", "''", "'+7'", "666", "0o1000"] {
            let error = read(&Mode, text).unwrap_err();
            assert!(
                error.contains("permission bits in octal"),
                "{text}: {error}"
            );
        }
    }
}
