//! Values that carry a unit: durations, sizes, rates.

use std::time::Duration;

use super::{
    cursor::text,
    problem::{Problems, show},
    yaml::Node,
};
use crate::limit::Rate;

/// Reads a duration such as `500ms`, `10s`, `1m`, `24h` or `30d`.
pub(super) fn duration(node: &Node, problems: &mut Problems) -> Option<Duration> {
    told(node, problems, parse_duration)
}

/// How often something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schedule {
    /// Not by itself.
    Never,
    /// Each time after so long.
    Every(Duration),
}

/// Reads a duration, or `never`.
pub(super) fn schedule(node: &Node, problems: &mut Problems) -> Option<Schedule> {
    let parse =
        |text: &str| if text == "never" { Ok(Schedule::Never) } else { parse_duration(text).map(Schedule::Every) };
    told(node, problems, parse)
}

/// The duration that `text` spells, for command lines.
pub fn duration_of(text: &str) -> Result<Duration, String> {
    parse_duration(text)
}

/// Reads a size such as `512B`, `64KiB`, `10MiB` or `1GiB`, in bytes.
pub(super) fn size(node: &Node, problems: &mut Problems) -> Option<u64> {
    told(node, problems, parse_size)
}

/// Reads a rate such as `10/1m`.
pub(super) fn rate(node: &Node, problems: &mut Problems) -> Option<Rate> {
    told(node, problems, parse_rate)
}

/// A whole number in decimal digits, without sign, separator or leading zero.
pub(super) fn digits(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

fn told<T>(node: &Node, problems: &mut Problems, parse: fn(&str) -> Result<T, String>) -> Option<T> {
    let text = text(node, problems)?;
    parse(&text).map_err(|message| problems.push(node.place, message)).ok()
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let number = digits(number).ok_or_else(|| format!("{} is not a duration such as `10s`", show(text)))?;
    let milliseconds = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        "" => return Err(format!("{} needs a unit: `ms`, `s`, `m`, `h` or `d`", show(text))),
        _ => None,
    };
    let milliseconds = milliseconds.ok_or_else(|| format!("{} is not a duration such as `10s`", show(text)))?;
    let total = number.checked_mul(milliseconds).ok_or_else(|| format!("{} is too long", show(text)))?;
    Ok(Duration::from_millis(total))
}

fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let number = digits(number).ok_or_else(|| format!("{} is not a size such as `64KiB`", show(text)))?;
    let bytes = match unit {
        "B" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        "" => return Err(format!("{} needs a unit: `B`, `KiB`, `MiB` or `GiB`", show(text))),
        _ => None,
    };
    let bytes: u64 = bytes.ok_or_else(|| format!("{} is not a size such as `64KiB`", show(text)))?;
    number.checked_mul(bytes).ok_or_else(|| format!("{} is too large", show(text)))
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    let refused = || format!("{} is not a rate such as `10/1m`", show(text));
    let (count, period) = text.split_once('/').ok_or_else(refused)?;
    let count = digits(count).and_then(|count| u32::try_from(count).ok()).ok_or_else(refused)?;
    Ok(Rate::new(count, parse_duration(period)?))
}

fn split(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_a_unit() {
        for (text, milliseconds) in
            [("500ms", 500), ("0s", 0), ("10s", 10_000), ("1m", 60_000), ("24h", 86_400_000), ("2d", 172_800_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "10 s", "1.5s", "-1s", "+1s", "010s", "1w", "10S", "1h30m", "\u{661}s", "\u{e9}"] {
            assert_eq!(parse_duration(text), Err(format!("`{text}` is not a duration such as `10s`")));
        }
        assert_eq!(parse_duration("30"), Err("`30` needs a unit: `ms`, `s`, `m`, `h` or `d`".to_owned()));
        assert_eq!(parse_duration("9999999999999999h"), Err("`9999999999999999h` is too long".to_owned()));
    }

    #[test]
    fn sizes_carry_a_binary_unit() {
        for (text, bytes) in [("0B", 0), ("512B", 512), ("64KiB", 65_536), ("10MiB", 10_485_760), ("1GiB", 1 << 30)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["64KB", "64k", "1.5MiB", "-1B", "B", ""] {
            assert_eq!(parse_size(text), Err(format!("`{text}` is not a size such as `64KiB`")));
        }
        assert_eq!(parse_size("64"), Err("`64` needs a unit: `B`, `KiB`, `MiB` or `GiB`".to_owned()));
        assert_eq!(parse_size("99999999999GiB"), Err("`99999999999GiB` is too large".to_owned()));
    }

    #[test]
    fn rates_are_a_count_over_a_duration() {
        assert_eq!(parse_rate("10/1m"), Ok(Rate::new(10, Duration::from_secs(60))));
        for text in ["10", "/1m", "10 / 1m", "4294967296/1m", "ten/1m"] {
            assert_eq!(parse_rate(text), Err(format!("`{text}` is not a rate such as `10/1m`")));
        }
        assert_eq!(parse_rate("10/m"), Err("`m` is not a duration such as `10s`".to_owned()));
        assert_eq!(parse_rate("10/60"), Err("`60` needs a unit: `ms`, `s`, `m`, `h` or `d`".to_owned()));
    }
}
