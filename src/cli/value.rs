//! Values that several commands take, and what they must be.

use std::time::Duration;

/// Reads a time that somebody is willing to wait: `2.5`, `2.5s`, `500ms`, `1m`;
/// from a millisecond to a day. A number alone is of seconds.
///
/// # Errors
/// What was expected.
pub fn patience(text: &str) -> Result<Duration, String> {
    let digits = text.len()
        - text
            .trim_start_matches(|sign: char| sign.is_ascii_digit() || sign == '.')
            .len();
    let (number, unit) = text.split_at(digits);
    let length = match unit {
        "" | "s" => Some(1.0),
        "ms" => Some(0.001),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    };
    let number: Option<f64> = number.parse().ok();
    let seconds = number.zip(length).map(|(number, length)| number * length);
    let seconds = seconds.filter(|seconds| (0.001..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| {
        String::from("a time was expected, such as 2.5, 2.5s, 500ms or 1m: from 1ms to 24h")
    })
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Octets(pub Vec<u8>);

/// Reads a text with escapes as C has them: `\r`, `\n`, `\t`, `\0`, `\\` and
/// `\xHH`.
///
/// # Errors
/// What was expected.
pub fn octets(text: &str) -> Result<Octets, String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'\\' {
            octets.push(first);
            continue;
        }
        let (octet, length) = match rest {
            [b'r', ..] => (b'\r', 1),
            [b'n', ..] => (b'\n', 1),
            [b't', ..] => (b'\t', 1),
            [b'0', ..] => (0, 1),
            [b'\\', ..] => (b'\\', 1),
            [b'x', high, low, ..] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, 3),
                (Some(_) | None, _) => return Err(String::from(ESCAPES)),
            },
            _ => return Err(String::from(ESCAPES)),
        };
        octets.push(octet);
        rest = &rest[length..];
    }
    Ok(Octets(octets))
}

const ESCAPES: &str = r"after a backslash comes r, n, t, 0, another one, or x and two digits";

fn digit(letter: u8) -> Option<u8> {
    let digit = char::from(letter).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_may_have_escapes() {
        for (text, expected) in [
            ("", &b""[..]),
            ("plain", b"plain"),
            (r"a\r\n\t\0\\b", b"a\r\n\t\0\\b"),
            (r"\x00\xfF\x4a4", b"\x00\xff\x4a4"),
            ("\u{e9}", "\u{e9}".as_bytes()),
        ] {
            assert_eq!(octets(text).unwrap().0, expected, "{text}");
        }
        for text in ["\\", r"\e", r"\x", r"\x1", r"\xg0", r"\x0g", r"\u{e9}"] {
            assert!(octets(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_has_decimals() {
        for (text, milliseconds) in [
            ("2.5", 2500),
            ("2.5s", 2500),
            ("500ms", 500),
            ("0.001", 1),
            ("1m", 60_000),
            ("24h", 86_400_000),
            (".5", 500),
        ] {
            assert_eq!(patience(text).unwrap().as_millis(), milliseconds, "{text}");
        }
        for text in [
            "", "s", "0", "-1", "1d", "1e3", "25h", "1.2.3", "inf", "NaN", "1 s",
        ] {
            assert!(patience(text).is_err(), "{text}");
        }
    }
}
