use std::{
    fmt::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::domain::{DateTime, Timestamp};

/// Appends `moment` in RFC 3339 form with milliseconds, UTC.
pub fn rfc3339(moment: SystemTime, out: &mut String) {
    let since_epoch = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    let second = DateTime::of(Timestamp::from_seconds(since_epoch.as_secs()));
    let _ = write!(out, "{second}.{:03}Z", since_epoch.subsec_millis());
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
