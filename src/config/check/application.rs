use http::HeaderName;

use crate::{
    config::{
        cursor::{At, Written},
        problem::{Problems, show},
        raw,
    },
    policy::{ApplicationPlaces, JsonPointer, PathPattern},
};

/// Where a route's requests name their application; `pattern` is `None` if it is broken, which has been told.
pub(super) fn check(
    written: Written<raw::ApplicationId>,
    pattern: Option<&PathPattern>,
    problems: &mut Problems,
) -> ApplicationPlaces {
    let Some(At { place, value: raw::ApplicationId { path, query, header, body } }) = written.given() else {
        return ApplicationPlaces::default();
    };
    if path.is_absent() && query.is_absent() && header.is_absent() && body.is_absent() {
        problems.push(place, "`application_id` must name a `path`, `query`, `header` or `body`");
    }
    ApplicationPlaces {
        path: path.given().and_then(|name| told(&name, |name| segment(name, pattern), problems)).flatten(),
        query: query.given().and_then(|name| told(&name, parameter, problems)),
        header: header.given().and_then(|name| told(&name, header_name, problems)),
        body: body.given().and_then(|pointer| told(&pointer, json_pointer, problems)),
    }
}

pub(super) fn told<T>(
    written: &At<String>,
    parse: impl FnOnce(&str) -> Result<T, String>,
    problems: &mut Problems,
) -> Option<T> {
    parse(&written.value).map_err(|message| problems.push(written.place, message)).ok()
}

fn segment(name: &str, pattern: Option<&PathPattern>) -> Result<Option<usize>, String> {
    let Some(pattern) = pattern else {
        return Ok(None);
    };
    let place = pattern.named_segment(name);
    place.map(Some).ok_or_else(|| format!("`match` has no segment {}", show(&format!("{{{name}}}"))))
}

fn parameter(name: &str) -> Result<Box<str>, String> {
    if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
        return Err("a query parameter's name must be 1 to 128 printable characters".to_owned());
    }
    Ok(name.into())
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{} is not a header name", show(name)))
}

pub(super) fn json_pointer(text: &str) -> Result<JsonPointer, String> {
    JsonPointer::parse(text)
        .ok_or_else(|| format!("{} is not a JSON pointer such as `/applicationId` (RFC 6901)", show(text)))
}
