use std::time::Duration;

use url::Url;

use super::bounds::within;
use crate::{
    config::{
        Issuer, SecretPost,
        cursor::{At, Written},
        problem::{Problems, show},
        raw,
        suggest::unknown,
        units::Schedule,
    },
    token::Algorithm,
};

pub(super) fn check(raw: raw::Issuer, origin: &str, problems: &mut Problems) -> Issuer {
    let raw::Issuer { url, audience, algorithm, lifetime, rotate_every, clock_skew, client_secret_post } = raw;
    let post = client_secret_post.given().is_some_and(|at| at.value);
    let second = Duration::from_secs;
    Issuer {
        url: checked(url, check_url, problems).unwrap_or_else(|| origin.to_owned()),
        audience: checked(audience, check_audience, problems).unwrap_or_else(|| "applications-api".to_owned()),
        algorithm: check_algorithm(algorithm, problems),
        lifetime: within(lifetime, second(3600), second(1)..=second(86_400), "`lifetime` must be 1s to 24h", problems),
        rotate_every: check_rotation(rotate_every, problems),
        clock_skew: within(
            clock_skew,
            second(30),
            Duration::ZERO..=second(300),
            "`clock_skew` must be 0s to 300s",
            problems,
        ),
        client_secret_post: if post { SecretPost::Allowed } else { SecretPost::Refused },
    }
}

fn checked(written: Written<String>, check: fn(&str) -> Result<(), String>, problems: &mut Problems) -> Option<String> {
    let At { place, value } = written.given()?;
    if let Err(message) = check(&value) {
        problems.push(place, message);
    }
    Some(value)
}

/// A key that signs for too short a time would leave a long row of retired ones.
fn check_rotation(written: Written<Schedule>, problems: &mut Problems) -> Option<Duration> {
    match written.given() {
        None => Some(DAY * 30),
        Some(At { value: Schedule::Never, .. }) => None,
        Some(At { place, value: Schedule::Every(every) }) => {
            if !(Duration::from_secs(60)..=DAY * 366).contains(&every) {
                problems.push(place, "`rotate_every` must be 1m to 366d, or `never`");
            }
            Some(every)
        }
    }
}

const DAY: Duration = Duration::from_secs(86_400);

/// An issuer is compared byte for byte (RFC 8414 section 3.3), so it must be written as every URL library would.
fn check_url(text: &str) -> Result<(), String> {
    let url = Url::parse(text).map_err(|_| "`url` must be an absolute http or https URL".to_owned())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("`url` must be an absolute http or https URL".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("`url` must not hold a user name or password".to_owned());
    }
    if text.contains(['?', '#']) {
        return Err("`url` must not have a query or fragment".to_owned());
    }
    let normal = url.as_str();
    let normal = normal.strip_suffix('/').unwrap_or(normal);
    if text.ends_with('/') {
        return Err(format!("`url` must not end with a slash; write {}", show(normal)));
    }
    if text != normal {
        return Err(format!("`url` has another normal form; write {}", show(normal)));
    }
    Ok(())
}

fn check_audience(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > 256 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("`audience` must be 1 to 256 visible ASCII characters without spaces".to_owned());
    }
    Ok(())
}

fn check_algorithm(written: Written<String>, problems: &mut Problems) -> Algorithm {
    let Some(At { place, value }) = written.given() else {
        return Algorithm::Es256;
    };
    Algorithm::from_name(&value).unwrap_or_else(|| {
        problems.push(place, unknown("algorithm", &value, Algorithm::ALL.map(Algorithm::name)));
        Algorithm::Es256
    })
}
