use std::{
    fmt::Write,
    time::{SystemTime, UNIX_EPOCH},
};

/// Appends `moment` in RFC 3339 form with milliseconds, UTC.
pub fn rfc3339(moment: SystemTime, out: &mut String) {
    let since_epoch = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since_epoch.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let of_day = seconds % 86_400;
    let _ = write!(
        out,
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60,
        since_epoch.subsec_millis()
    );
}

/// Year, month and day of a day counted from 1970-01-01. Years are taken to begin in March, so that the leap day is the
/// last of one, and four hundred of them are one period of the calendar.
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (period, day_of_period) = (shifted / 146_097, shifted % 146_097);
    let leap_corrected = day_of_period - day_of_period / 1460 + day_of_period / 36_524 - day_of_period / 146_096;
    let year_of_period = leap_corrected / 365;
    let day_of_year = day_of_period - (365 * year_of_period + year_of_period / 4 - year_of_period / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = period * 400 + year_of_period + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_are_written_as_the_calendar_has_them() {
        for (milliseconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            let mut text = String::new();
            rfc3339(UNIX_EPOCH + Duration::from_millis(milliseconds), &mut text);
            assert_eq!(text, expected);
        }
    }
}
