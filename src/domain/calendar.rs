use std::fmt;

use super::Timestamp;

/// A moment in the Gregorian calendar, UTC. It reads as in RFC 3339 section 5.6, up to the second and without the zone:
/// what follows (a fraction, `Z`) is for whoever writes it.
#[derive(Clone, Copy, Debug)]
pub struct DateTime(Timestamp);

impl DateTime {
    /// The calendar's view of `moment`.
    pub const fn of(moment: Timestamp) -> Self {
        Self(moment)
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0.seconds() / 86_400, self.0.seconds() % 86_400);
        let (year, month, day) = date(days);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01.
///
/// Years are counted from March, so that the day that leap years add is their last; the calendar repeats every
/// 400 years.
const fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_TO_EPOCH: u64 = 719_468; // from 0000-03-01
    const DAYS_PER_CYCLE: u64 = 146_097; // 400 years
    let days = days + DAYS_TO_EPOCH;
    let (cycle, day) = (days / DAYS_PER_CYCLE, days % DAYS_PER_CYCLE);
    let leap_days = day / 1_460 + day / 146_096 - day / 36_524;
    let year = (day - leap_days) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Five months from March on, and five from August on, have 153 days.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = cycle * 400 + year;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_read_as_in_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_400, "2000-02-29T00:00:00"),
            (951_868_800, "2000-03-01T00:00:00"),
            (1_700_000_000, "2023-11-14T22:13:20"),
            (1_709_251_199, "2024-02-29T23:59:59"),
            (4_107_542_399, "2100-02-28T23:59:59"),
            (4_107_542_400, "2100-03-01T00:00:00"),
            (253_402_300_799, "9999-12-31T23:59:59"),
        ] {
            assert_eq!(DateTime::of(Timestamp::from_seconds(seconds)).to_string(), expected);
        }
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let mut before = date(0);
        for days in 1..200_000 {
            let (year, month, day) = date(days);
            let follows = (year, month, day) == (before.0, before.1, before.2 + 1)
                || (day == 1 && (year, month) == (before.0, before.1 + 1) && before.2 >= 28)
                || (day, month) == (1, 1) && (before.1, before.2) == (12, 31) && year == before.0 + 1;
            assert!(follows && (1..=31).contains(&day) && (1..=12).contains(&month), "{before:?} {year}-{month}-{day}");
            before = (year, month, day);
        }
    }
}
