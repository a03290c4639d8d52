use std::{num::NonZero, ops::RangeInclusive, time::Duration};

use super::rates;
use crate::config::{Cache, Limits, cursor::Written, problem::Problems, raw};

/// The value, or `default` if it is absent or outside `range`, which `message` tells.
pub(super) fn within<T: PartialOrd>(
    written: Written<T>,
    default: T,
    range: RangeInclusive<T>,
    message: &str,
    problems: &mut Problems,
) -> T {
    match written.given() {
        Some(at) if range.contains(&at.value) => at.value,
        Some(at) => {
            problems.push(at.place, message);
            default
        }
        None => default,
    }
}

/// One thread per core unless the file says otherwise.
pub(super) fn threads(written: Written<u64>, problems: &mut Problems) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    count(written, cores, 1..=1024, "`threads` must be 1 to 1024", problems)
}

pub(super) fn cache(raw: raw::Cache, problems: &mut Problems) -> Cache {
    let raw::Cache { entries, memory, negative } = raw;
    let raw::Negative { entries: negative_entries, ttl } = negative.or_empty();
    Cache {
        entries: within(entries, 100_000, 1..=100_000_000, "`entries` must be 1 to 100000000", problems),
        memory: within(memory, 64 * MIB, MIB..=u64::MAX, "`memory` must be 1MiB or more", problems),
        negative_entries: within(
            negative_entries,
            20_000,
            0..=100_000_000,
            "`entries` must be 0 to 100000000",
            problems,
        ),
        negative_ttl: within(ttl, seconds(5), Duration::ZERO..=seconds(60), "`ttl` must be 0s to 60s", problems),
    }
}

pub(super) fn limits(raw: raw::Limits, problems: &mut Problems) -> Limits {
    let raw::Limits {
        headers,
        header_count,
        token,
        body,
        header_timeout,
        body_timeout,
        send_timeout,
        connections,
        connections_per_address,
        in_flight,
        in_flight_per_address,
        reply_buffer,
        rate,
        burst,
        token_failures,
        token_requests,
    } = raw;
    let headers = within(headers, 32 * KIB, KIB..=256 * KIB, "`headers` must be 1KiB to 256KiB", problems);
    let token = longest_token(token, headers, problems);
    Limits {
        headers: usize::try_from(headers).expect("at most 256 KiB"),
        header_count: count(header_count, 100, 1..=256, "`header_count` must be 1 to 256", problems),
        token,
        body: within(body, 10 * MIB, 0..=1 << 53, "`body` must be 8388608GiB or less", problems),
        header_timeout: within(
            header_timeout,
            seconds(10),
            seconds(1)..=seconds(300),
            "`header_timeout` must be 1s to 5m",
            problems,
        ),
        body_timeout: half_a_minute(body_timeout, "`body_timeout` must be 1s to 1h", problems),
        send_timeout: half_a_minute(send_timeout, "`send_timeout` must be 1s to 1h", problems),
        connections: of_all(connections, 20_000, "`connections` must be 1 to 1000000000", problems),
        connections_per_address: of_address(
            connections_per_address,
            "`connections_per_address` must be 1 to 1000000000",
            problems,
        ),
        in_flight: of_all(in_flight, 10_000, "`in_flight` must be 1 to 1000000000", problems),
        in_flight_per_address: of_address(
            in_flight_per_address,
            "`in_flight_per_address` must be 1 to 1000000000",
            problems,
        ),
        reply_buffer: usize::try_from(within(
            reply_buffer,
            256 * MIB,
            MIB..=1 << 40,
            "`reply_buffer` must be 1MiB to 1024GiB",
            problems,
        ))
        .unwrap_or(usize::MAX),
        rate: rates::with_burst(rate, burst, problems),
        token_failures: rates::token_failures(token_failures.or_empty(), problems),
        token_requests: rates::token_requests(token_requests.or_empty(), problems),
    }
}

/// The default gives way where the headers are short; a token that is written must fit in beside other headers.
fn longest_token(written: Written<u64>, headers: u64, problems: &mut Problems) -> usize {
    let default = headers.min(8 * KIB);
    let place = match &written {
        Written::Is(at) => Some(at.place),
        Written::Absent | Written::Broken => None,
    };
    let token = within(written, default, KIB..=32 * KIB, "`token` must be 1KiB to 32KiB", problems);
    if let Some(place) = place.filter(|_| token + KIB > headers) {
        problems.push(place, "`token` must be at least 1KiB less than `headers`: it comes in one of them");
    }
    usize::try_from(token).expect("at most 32 KiB")
}

/// Up to an hour; half a minute if the file does not say.
fn half_a_minute(written: Written<Duration>, message: &str, problems: &mut Problems) -> Duration {
    within(written, seconds(30), seconds(1)..=seconds(3600), message, problems)
}

/// How many may be there at one moment.
fn of_all(written: Written<u64>, default: usize, message: &str, problems: &mut Problems) -> usize {
    count(written, default, 1..=1_000_000_000, message, problems)
}

/// How many of them may be of one address, if the file says.
fn of_address(written: Written<u64>, message: &str, problems: &mut Problems) -> Option<usize> {
    let absent = written.is_absent();
    let most = of_all(written, 1, message, problems);
    (!absent).then_some(most)
}

/// [`within`] for a number of things.
pub(super) fn count(
    written: Written<u64>,
    default: usize,
    range: RangeInclusive<u64>,
    message: &str,
    problems: &mut Problems,
) -> usize {
    let value = within(written, default as u64, range, message, problems);
    usize::try_from(value).expect("every range of a count ends below 32 bits")
}

pub(super) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
