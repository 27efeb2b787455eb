//! Time of day as plain data. Protocols format it; only drivers read a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment of the day, with the local calendar already worked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wall {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix: i64,
    /// Nanoseconds within that second, 0..1_000_000_000.
    pub nanoseconds: u32,
    /// The same second in the local time zone.
    pub local: Civil,
}

/// A date and time in the local zone, as localtime_r(3) gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// The year, e.g. 2026.
    pub year: i32,
    /// 1..=12.
    pub month: u8,
    /// 1..=31.
    pub day: u8,
    /// 0..=23.
    pub hour: u8,
    /// 0..=59.
    pub minute: u8,
    /// 0..=60, a leap second included.
    pub second: u8,
    /// 0 is Sunday.
    pub weekday: u8,
    /// Minutes east of UTC.
    pub offset_minutes: i32,
}

impl Civil {
    const MONTHS: [&'static str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    const DAYS: [&'static str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

    /// The English three-letter month.
    pub fn month_name(&self) -> &'static str {
        Self::MONTHS[usize::from(self.month.saturating_sub(1)) % 12]
    }

    /// The English three-letter day of the week.
    pub fn day_name(&self) -> &'static str {
        Self::DAYS[usize::from(self.weekday) % 7]
    }

    /// The offset as sign, hours and minutes: `+0200`.
    pub fn offset(&self) -> String {
        let sign = if self.offset_minutes < 0 { '-' } else { '+' };
        let minutes = self.offset_minutes.unsigned_abs();
        format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
    }
}

impl Wall {
    /// The moment as std knows it; before 1970 it is 1970.
    pub fn system_time(&self) -> SystemTime {
        UNIX_EPOCH + Duration::new(u64::try_from(self.unix).unwrap_or(0), self.nanoseconds)
    }

    /// Year, month and day in UTC.
    pub fn utc_date(&self) -> (i64, u8, u8) {
        utc_date(self.unix)
    }
}

/// Year, month and day in UTC of a second, counted from 1970.
pub fn utc_date(unix: i64) -> (i64, u8, u8) {
    // Years that begin in March end with the day that only some of them have.
    const FIRST_OF_MARCH_0: i64 = -719_468;
    const FOUR_CENTURIES: i64 = 146_097;
    let days = unix.div_euclid(86_400) - FIRST_OF_MARCH_0;
    let era = days.div_euclid(FOUR_CENTURIES);
    // What is left fits, and small numbers are divided faster.
    let day = days.rem_euclid(FOUR_CENTURIES) as u32;
    // The last day of 400 years would begin a fifth century, and that of
    // four years a fifth year.
    let century = (day / 36_524).min(3);
    let day = day - century * 36_524;
    let cycle = day / 1461;
    let day = day - cycle * 1461;
    let year = (day / 365).min(3);
    let day = day - year * 365;
    // From March on the months have 31, 30, 31, 30, 31 days, and again.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = era * 400 + i64::from(century * 100 + cycle * 4 + year);
    // Both fit: a month has at most 31 days, and there are twelve.
    if month < 10 {
        (year, month as u8 + 3, day as u8)
    } else {
        (year + 1, month as u8 - 9, day as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_utc() {
        assert_eq!(utc_date(0), (1970, 1, 1));
        assert_eq!(utc_date(-1), (1969, 12, 31));
        assert_eq!(utc_date(951_782_399), (2000, 2, 28));
        assert_eq!(utc_date(951_782_400), (2000, 2, 29));
        assert_eq!(utc_date(951_868_800), (2000, 3, 1));
        assert_eq!(utc_date(1_782_901_805), (2026, 7, 1));
        assert_eq!(utc_date(4_107_542_400), (2100, 3, 1));
        assert_eq!(utc_date(4_107_542_399), (2100, 2, 28));
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let mut expected = (1970, 1, 1);
        for day in 0..200_000 {
            assert_eq!(utc_date(day * 86_400), expected, "day {day}");
            let (year, month, number) = expected;
            let length = match month {
                2 if is_leap(year) => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (month, number == length) {
                (_, false) => (year, month, number + 1),
                (12, true) => (year + 1, 1, 1),
                (_, true) => (year, month + 1, 1),
            };
        }
    }
}
