//! The time of day, and the local calendar (localtime_r(3)).

use crate::calendar::{Civil, Wall};
use nix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time since 1970 began; 0 where the clock is set before that.
pub fn since_1970() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}

/// What this process has had of its processors (clock_gettime(2),
/// CLOCK_PROCESS_CPUTIME_ID); 0 where the kernel has no such clock.
pub fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// The time of day now, with the local calendar worked out.
pub fn wall() -> Wall {
    let since = since_1970();
    let unix = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    Wall {
        unix,
        nanoseconds: since.subsec_nanos(),
        local: local(unix),
    }
}

/// The local calendar at `unix` seconds; UTC's first day where libc has no answer.
pub fn local(unix: i64) -> Civil {
    // SAFETY: `tm` is plain data for which all-zero bytes are a valid value.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live, aligned locals; localtime_r writes one `tm`.
    let known = unsafe { libc::localtime_r(&unix, &mut tm) };
    if known.is_null() {
        tm.tm_year = 70;
        tm.tm_mday = 1;
    }
    Civil {
        year: tm.tm_year + 1900,
        month: byte(tm.tm_mon + 1),
        day: byte(tm.tm_mday),
        hour: byte(tm.tm_hour),
        minute: byte(tm.tm_min),
        second: byte(tm.tm_sec),
        weekday: byte(tm.tm_wday),
        offset_minutes: (tm.tm_gmtoff / 60) as i32,
    }
}

fn byte(value: libc::c_int) -> u8 {
    u8::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_calendar_is_within_a_day_of_utc() {
        let civil = super::local(1_000_000_000); // 2001-09-09T01:46:40Z
        assert_eq!((civil.year, civil.month), (2001, 9));
        assert!((8..=9).contains(&civil.day));
        let shift = civil.offset_minutes.rem_euclid(60);
        assert_eq!((46 + shift) % 60, i32::from(civil.minute));
    }
}
