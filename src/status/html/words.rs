//! How the page writes texts, numbers, octets and times.
//!
//! Texts come from whoever connects. Nothing in them may become a tag, an entity
//! or an attribute, nor turn round what stands beside it.

use crate::escape;
use std::fmt::{self, Display, Formatter, Write};

/// A text in the page, between tags or in an attribute's double quotes.
pub(super) struct Text<'t>(pub(super) &'t str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut plain = 0;
        for (at, sign) in self.0.char_indices() {
            let instead = match sign {
                '&' => "&amp;",
                '<' => "&lt;",
                '>' => "&gt;",
                '"' => "&quot;",
                '\'' => "&#39;",
                // What would show itself in others' places, and what has no look
                // of its own.
                sign if sign == '\u{feff}' || escape::is_unruly(sign) => "\u{fffd}",
                _ => continue,
            };
            f.write_str(&self.0[plain..at])?;
            f.write_str(instead)?;
            plain = at + sign.len_utf8();
        }
        f.write_str(&self.0[plain..])
    }
}

/// A number with its thousands apart: `1,234,567`.
pub(super) struct Number(pub(super) u64);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                f.write_char(',')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}

/// Octets, or octets a second, to three digits: `17.3 MiB`.
pub(super) struct Octets(pub(super) f64);

impl Display for Octets {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
        let (mut amount, mut unit) = (self.0, 0);
        while amount >= 999.5 && unit + 1 < UNITS.len() {
            amount /= 1024.0;
            unit += 1;
        }
        let places = match amount {
            _ if unit == 0 => 0,
            small if small < 9.995 => 2,
            small if small < 99.95 => 1,
            _ => 0,
        };
        write!(f, "{amount:.places$} {}", UNITS[unit])
    }
}

/// How often a second, to three digits.
pub(super) struct Rate(pub(super) f64);

impl Display for Rate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            rate if rate >= 99.95 => Number(rate.round() as u64).fmt(f),
            rate if rate >= 9.995 || rate == 0.0 => write!(f, "{rate:.1}"),
            rate => write!(f, "{rate:.2}"),
        }
    }
}

/// Seconds, in the two largest units: `3d 4h`, `5m 12s`, `0.4s`.
pub(super) struct Span(pub(super) f64);

impl Display for Span {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0 < 0.0 {
            return write!(f, "-{}", Self(-self.0));
        }
        if self.0 < 9.95 {
            return write!(f, "{:.1}s", self.0);
        }
        let seconds = self.0.round() as u64;
        let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
        let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{rest}s"),
            (0, 0, _) => write!(f, "{minutes}m {rest}s"),
            (0, _, _) => write!(f, "{hours}h {minutes}m"),
            (_, _, _) => write!(f, "{days}d {hours}h"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_anything_else() {
        for (text, expected) in [
            ("", ""),
            ("GET /a b", "GET /a b"),
            ("<script>", "&lt;script&gt;"),
            ("a\"b'c&amp;", "a&quot;b&#39;c&amp;amp;"),
            ("\u{0}\n\u{7f}\u{85}", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
            ("/\u{202e}fdp.exe", "/\u{fffd}fdp.exe"),
            ("\u{61c}\u{feff}", "\u{fffd}\u{fffd}"),
            ("b\u{fc}cher", "b\u{fc}cher"),
        ] {
            assert_eq!(Text(text).to_string(), expected);
        }
    }

    #[test]
    fn numbers_octets_rates_and_times() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(Number(number).to_string(), expected);
        }
        for (octets, expected) in [
            (0.0, "0 B"),
            (999.0, "999 B"),
            (1024.0, "1.00 KiB"),
            (1_048_576.0 * 17.3, "17.3 MiB"),
            (1e30, "888178419700125 PiB"),
        ] {
            assert_eq!(Octets(octets).to_string(), expected);
        }
        for (rate, expected) in [
            (0.0, "0.0"),
            (0.25, "0.25"),
            (12.34, "12.3"),
            (12345.6, "12,346"),
        ] {
            assert_eq!(Rate(rate).to_string(), expected);
        }
        for (seconds, expected) in [
            (0.04, "0.0s"),
            (9.9, "9.9s"),
            (59.9, "1m 0s"),
            (312.0, "5m 12s"),
            (7260.0, "2h 1m"),
            (273_600.0, "3d 4h"),
            (-2.0, "-2.0s"),
        ] {
            assert_eq!(Span(seconds).to_string(), expected);
        }
    }
}
