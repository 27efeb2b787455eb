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
}
