//! Durations and sizes as an administrator writes them: `"1m30s"`, `"64KiB"`.
//!
//! Owes exact arithmetic and an error that names the fix. Never guesses a unit:
//! a bare number of what is how a minute becomes a millisecond.

use std::time::Duration;

/// The units of a duration, largest first, with their length in milliseconds.
const DURATION_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The units of a size, smallest first, with their length in octets.
const SIZE_UNITS: [(&str, u64); 10] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

/// Reads a duration: whole numbers with the units `h`, `m`, `s` and `ms`,
/// largest first, each at most once, such as `"30s"` or `"1m30s"`.
///
/// # Errors
///
/// Says in words what is wrong with the text.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut units = DURATION_UNITS.iter();
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    while !rest.is_empty() {
        let (number, unit, after) = number_and_unit(rest)?;
        if unit.is_empty() {
            return Err(format!(
                "{number} has no unit: write \"{text}s\" for seconds"
            ));
        }
        if !DURATION_UNITS.iter().any(|(name, _)| *name == unit) {
            return Err(format!("{unit:?} is not a unit: use h, m, s or ms"));
        }
        // The iterator only moves on, so a unit that is repeated or too large
        // for its place is no longer found.
        let Some((_, length)) = units.find(|(name, _)| *name == unit) else {
            return Err("units go from large to small, each once".to_owned());
        };
        total = number
            .checked_mul(*length)
            .and_then(|part| total.checked_add(part))
            .ok_or("it is too large")?;
        rest = after;
    }
    Ok(Duration::from_millis(total))
}

/// Writes a duration so that [`parse_duration`] reads it back, to the
/// millisecond. What is shorter than two minutes is in seconds, as people say it.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let largest = if rest < 120_000 { 1_000 } else { u64::MAX };
    let mut text = String::new();
    for (unit, length) in DURATION_UNITS {
        if rest >= length && length <= largest {
            text.push_str(&format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    text
}

/// Reads a size in octets: a whole number with a unit, decimal (`kB`, `MB`,
/// `GB`, `TB`) or binary (`KiB`, `MiB`, `GiB`, `TiB`), or `B`.
///
/// # Errors
///
/// Says in words what is wrong with the text.
pub fn parse_size(text: &str) -> Result<u64, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let (number, unit, after) = number_and_unit(text)?;
    if !after.is_empty() {
        return Err("a size has one number and one unit".to_owned());
    }
    if unit.is_empty() {
        return Err(format!(
            "{number} has no unit: write \"{number}B\" for octets"
        ));
    }
    let Some((_, length)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!(
            "{unit:?} is not a unit: use B, kB, KiB, MB, MiB, GB, GiB, TB or TiB"
        ));
    };
    number
        .checked_mul(*length)
        .ok_or_else(|| "it is too large".to_owned())
}

/// Writes a size with the largest binary unit that loses nothing.
pub fn format_size(octets: u64) -> String {
    let fits = |(unit, length): &(&str, u64)| {
        (unit.ends_with("iB") || *unit == "B")
            && octets >= *length
            && octets.is_multiple_of(*length)
    };
    match SIZE_UNITS.iter().rev().find(|unit| fits(unit)) {
        Some((unit, length)) => format!("{}{unit}", octets / length),
        None => format!("{octets}B"),
    }
}

/// Splits `12abc34…` into 12, `abc` and `34…`.
fn number_and_unit(text: &str) -> Result<(u64, &str, &str), String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = text.split_at(digits);
    if number.is_empty() {
        return Err("it does not begin with a whole number".to_owned());
    }
    let Ok(number) = number.parse() else {
        return Err("it is too large".to_owned());
    };
    if rest.starts_with(['.', ',']) {
        return Err("only whole numbers: write \"1500ms\", not \"1.5s\"".to_owned());
    }
    let unit = rest
        .find(|c: char| c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (unit, after) = rest.split_at(unit);
    Ok((number, unit, after))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("1m30s", 90_000),
            ("1h0m1s1ms", 3_601_001),
            ("0s", 0),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(ms)),
                "{text}"
            );
        }
    }

    #[test]
    fn durations_are_shown_as_people_say_them() {
        for (ms, text) in [
            (0, "0s"),
            (250, "250ms"),
            (60_000, "60s"),
            (90_500, "90s500ms"),
            (120_000, "2m"),
            (3_660_000, "1h1m"),
            (86_400_000, "24h"),
        ] {
            assert_eq!(format_duration(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn a_bad_duration_says_what_to_write() {
        for (text, part) in [
            ("", "empty"),
            ("30", "write \"30s\""),
            ("1m30", "write \"1m30s\""),
            ("1.5s", "whole numbers"),
            ("-1s", "does not begin"),
            ("s", "does not begin"),
            ("30 s", "\" s\" is not a unit"),
            ("30sec", "\"sec\" is not a unit"),
            ("1d", "use h, m, s or ms"),
            ("30s1m", "large to small"),
            ("1s1s", "each once"),
            ("99999999999999999999s", "too large"),
            ("18446744073709551615h", "too large"),
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn sizes() {
        for (text, octets) in [
            ("512B", 512),
            ("1kB", 1000),
            ("1KB", 1000),
            ("64KiB", 65536),
            ("1MiB", 1 << 20),
            ("2GB", 2_000_000_000),
            ("2GiB", 2 << 30),
            ("1TiB", 1 << 40),
            ("0B", 0),
        ] {
            assert_eq!(parse_size(text), Ok(octets), "{text}");
        }
        for (text, part) in [
            ("", "empty"),
            ("64", "write \"64B\""),
            ("64K", "use B, kB"),
            ("KiB", "does not begin"),
            ("1KiB1B", "one number"),
            ("99999999999999GiB", "too large"),
        ] {
            let error = parse_size(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(n in 0u64..1 << 40) {
            let duration = Duration::from_millis(n);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
            prop_assert_eq!(parse_size(&format_size(n)), Ok(n));
        }
    }
}
