use super::bounds::seconds;
use crate::{
    config::{
        TokenFailures, TokenRequests,
        cursor::{At, Written},
        problem::Problems,
        raw,
    },
    limit::Rate,
    trust::QuestionRates,
};

/// The rate, with the burst that stands beside it; without one, all its events may come at once.
pub(super) fn with_burst(rate: Written<Rate>, burst: Written<u64>, problems: &mut Problems) -> Option<Rate> {
    let is_absent = rate.is_absent();
    let rate = usable(rate, problems);
    let Some(At { place, value }) = burst.given() else { return rate };
    if is_absent {
        problems.push(place, "`burst` belongs to a `rate`, and there is none");
    }
    if let Ok(burst @ 1..=MOST) = u32::try_from(value) {
        return rate.map(|rate| Rate { burst, ..rate });
    }
    problems.push(place, "`burst` must be 1 to 1000000");
    rate
}

pub(super) fn token_failures(raw: raw::TokenRates, problems: &mut Problems) -> TokenFailures {
    let raw::TokenRates { per_client, per_address } = raw;
    TokenFailures {
        per_client: usable(per_client, problems).unwrap_or(Rate::new(10, seconds(60))),
        per_address: usable(per_address, problems).unwrap_or(Rate::new(60, seconds(60))),
    }
}

pub(super) fn token_requests(raw: raw::TokenRates, problems: &mut Problems) -> TokenRequests {
    let raw::TokenRates { per_client, per_address } = raw;
    TokenRequests { per_client: usable(per_client, problems), per_address: usable(per_address, problems) }
}

/// How often an issuer is asked about tokens that nobody knows.
pub(super) fn questions(
    failures_per_address: Written<Rate>,
    all: Written<Rate>,
    problems: &mut Problems,
) -> QuestionRates {
    QuestionRates {
        failures_per_address: usable(failures_per_address, problems).unwrap_or(Rate::new(60, seconds(60))),
        all: usable(all, problems).unwrap_or(Rate::new(500, seconds(1))),
    }
}

fn usable(written: Written<Rate>, problems: &mut Problems) -> Option<Rate> {
    let At { place, value } = written.given()?;
    if !(1..=MOST).contains(&value.count) {
        problems.push(place, "a rate must allow 1 to 1000000 events");
    }
    if !(seconds(1)..=seconds(86_400)).contains(&value.period) {
        problems.push(place, "a rate's period must be 1s to 24h");
    }
    Some(value)
}

/// Most events of a rate.
const MOST: u32 = 1_000_000;
