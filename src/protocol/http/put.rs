//! Values as they stand in a head, written straight into the buffer.
//!
//! `write!` can do it all, and costs some 200 instructions a value and 800 a
//! date: a third of all that a small file costs outside the kernel, and a line of
//! the access log as much again. So what is in every answer, and in every line,
//! writes itself.

use std::io::Write;
use std::net::IpAddr;

use crate::protocol::{Civil, utc_date};

/// A value that writes itself.
pub(super) trait Put {
    /// Appends it.
    fn put(self, out: &mut Vec<u8>);
}

impl Put for &str {
    #[inline]
    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

/// In decimal.
impl Put for u64 {
    fn put(self, out: &mut Vec<u8>) {
        let mut digits = [0; 20];
        let mut begin = digits.len();
        let mut rest = self;
        loop {
            begin -= 1;
            digits[begin] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        out.extend_from_slice(&digits[begin..]);
    }
}

impl Put for IpAddr {
    fn put(self, out: &mut Vec<u8>) {
        match self {
            Self::V4(address) => {
                let [first, rest @ ..] = address.octets();
                u64::from(first).put(out);
                for octet in rest {
                    out.push(b'.');
                    u64::from(octet).put(out);
                }
            }
            // Writing to a buffer in memory cannot fail.
            Self::V6(address) => drop(write!(out, "{address}")),
        }
    }
}

/// Sixteen hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hex(pub(super) u64);

impl Hex {
    pub(super) fn digits(self) -> [u8; 16] {
        let digit = |place: usize| b"0123456789abcdef"[(self.0 >> (4 * place)) as usize % 16];
        std::array::from_fn(|place| digit(15 - place))
    }
}

/// A moment, in seconds since 1970, as an IMF-fixdate (RFC 9110 §5.6.7). What
/// lies before 1970 or after the year 9999 is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Date(pub(super) i64);

impl Put for Date {
    fn put(self, out: &mut Vec<u8>) {
        const LAST: i64 = 253_402_300_799;
        const DAYS: &[u8; 21] = b"ThuFriSatSunMonTueWed";
        const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
        let seconds = self.0.clamp(0, LAST);
        let (days, second) = ((seconds / 86_400) as usize, seconds % 86_400);
        let (year, month, day) = utc_date(seconds);
        let mut text = *b"Day, 00 Mon 0000 00:00:00 GMT";
        let weekday = days % 7;
        text[..3].copy_from_slice(&DAYS[weekday * 3..][..3]);
        text[8..11].copy_from_slice(&MONTHS[usize::from(month - 1) * 3..][..3]);
        for (at, number) in [
            (5, i64::from(day)),
            (12, year / 100),
            (14, year % 100),
            (17, second / 3600),
            (20, second / 60 % 60),
            (23, second % 60),
        ] {
            text[at] = b'0' + (number / 10) as u8;
            text[at + 1] = b'0' + (number % 10) as u8;
        }
        out.extend_from_slice(&text);
    }
}

/// A moment of the local calendar, as `01/Jul/2026:12:30:05 +0200`. The years
/// 0 to 9999 are written right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp<'a>(pub(super) &'a Civil);

impl Put for Stamp<'_> {
    fn put(self, out: &mut Vec<u8>) {
        let Self(local) = self;
        let year = local.year.clamp(0, 9999);
        let east = local.offset_minutes.unsigned_abs() % 6000;
        let mut text = *b"00/Mon/0000:00:00:00 +0000";
        text[3..6].copy_from_slice(local.month_name().as_bytes());
        if local.offset_minutes < 0 {
            text[21] = b'-';
        }
        for (at, number) in [
            (0, local.day),
            (7, (year / 100) as u8),
            (9, (year % 100) as u8),
            (12, local.hour),
            (15, local.minute),
            (18, local.second),
            (22, (east / 60) as u8),
            (24, (east % 60) as u8),
        ] {
            text[at] = b'0' + number / 10 % 10;
            text[at + 1] = b'0' + number % 10;
        }
        out.extend_from_slice(&text);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn text(value: impl Put) -> String {
        let mut out = b"before ".to_vec();
        value.put(&mut out);
        String::from_utf8(out.split_off(7)).unwrap()
    }

    #[test]
    fn numbers_have_all_their_digits() {
        for number in [0, 7, 10, 99, 100, 612, 1 << 32, u64::MAX] {
            assert_eq!(text(number), number.to_string());
            assert_eq!(Hex(number).digits(), format!("{number:016x}").as_bytes());
        }
    }

    #[test]
    fn dates_are_those_of_the_library() {
        let last = 253_402_300_799_u64;
        // 5 days and some, so that every day of the week and month comes.
        for seconds in (0..last).step_by(450_127).chain([last]) {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            let expected = httpdate::fmt_http_date(time);
            assert_eq!(text(Date(seconds as i64)), expected);
        }
    }

    #[test]
    fn addresses_are_those_of_the_library() {
        for address in [
            "0.0.0.0",
            "203.0.113.9",
            "255.255.255.255",
            "::1",
            "2001:db8::a",
        ] {
            assert_eq!(text(address.parse::<IpAddr>().unwrap()), address);
        }
    }

    #[test]
    fn stamps_are_those_of_logs() {
        let mut local = crate::protocol::harness::WALL.local;
        assert_eq!(text(Stamp(&local)), "01/Jul/2026:12:30:05 +0200");
        local.offset_minutes = -210;
        (local.day, local.hour, local.second) = (31, 0, 60);
        assert_eq!(text(Stamp(&local)), "31/Jul/2026:00:30:60 -0330");
    }

    #[test]
    fn dates_beyond_the_calendar_are_cut() {
        assert_eq!(text(Date(-5)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(text(Date(i64::MAX)), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
