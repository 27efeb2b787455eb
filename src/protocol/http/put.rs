//! Values as they stand in a head, written straight into the buffer.
//!
//! `write!` can do it all, and costs some 200 instructions a value and 800 a
//! date: a third of all that a small file costs outside the kernel. So what is
//! in every answer writes itself.

/// A value that writes itself.
pub(super) trait Put {
    /// Appends it.
    fn put(self, out: &mut Vec<u8>);
}

impl Put for &str {
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
        const MONTHS: &[u8; 36] = b"MarAprMayJunJulAugSepOctNovDecJanFeb";
        let seconds = self.0.clamp(0, LAST) as u64;
        let (days, second) = ((seconds / 86_400) as u32, (seconds % 86_400) as u32);
        let (year, month, day) = civil(days);
        let mut text = *b"Day, 00 Mon 0000 00:00:00 GMT";
        let weekday = days as usize % 7;
        text[..3].copy_from_slice(&DAYS[weekday * 3..][..3]);
        text[8..11].copy_from_slice(&MONTHS[month as usize * 3..][..3]);
        for (at, number) in [
            (5, day),
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

/// Year, month from March as 0, and day from 1, of a day after 1970-01-01.
///
/// A year that begins in March has its leap day at the end, so that months are
/// where they are in every year; 400 years have 146,097 days.
fn civil(days: u32) -> (u32, u32, u32) {
    /// From 0000-03-01 to 1970-01-01.
    const EPOCH: u32 = 719_468;
    let days = days + EPOCH;
    let (cycle, day) = (days / 146_097, days % 146_097);
    // Without the leap days that lie before it, all years have 365 days.
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // From March on, five months have 153 days, again and again.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = 400 * cycle + year + u32::from(month >= 10);
    (year, month, day)
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
    fn every_day_of_a_cycle_follows_the_one_before() {
        let mut before = civil(0);
        for day in 1..=146_097 {
            let (year, month, day) = civil(day);
            let next_day = (year, month, day) == (before.0, before.1, before.2 + 1);
            let next_month = day == 1 && (28..=31).contains(&before.2) && {
                let months = |(year, month, _): (u32, u32, u32)| year * 12 + (month + 2) % 12;
                months((year, month, day)) == months(before) + 1
            };
            assert!(
                next_day || next_month,
                "{before:?} {:?}",
                (year, month, day)
            );
            before = (year, month, day);
        }
        assert_eq!(before, (2370, 10, 1));
    }

    #[test]
    fn dates_beyond_the_calendar_are_cut() {
        assert_eq!(text(Date(-5)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(text(Date(i64::MAX)), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
