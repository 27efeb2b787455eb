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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
