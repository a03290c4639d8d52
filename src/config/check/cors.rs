use std::{collections::HashMap, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Method};

use super::bounds::{seconds, within};
use crate::{
    config::{
        cursor::{At, Named, Written},
        problem::{Place, Problems, show},
        raw,
        suggest::unknown,
    },
    policy::{Cors, Credentials, OriginPattern, Origins},
};

/// The sections of `cors` by name; broken ones are known too, and mean nothing.
pub(super) struct Policies(HashMap<String, Option<Arc<Cors>>>);

pub(super) fn check(written: Written<Vec<Named<raw::Cors>>>, problems: &mut Problems) -> Policies {
    let sections = written.given().map(|at| at.value).unwrap_or_default();
    let mut check_one = |section: Named<raw::Cors>| {
        let place = section.name.place;
        (section.name.value, section.value.and_then(|value| policy(value, place, problems)).map(Arc::new))
    };
    Policies(sections.into_iter().map(&mut check_one).collect())
}

impl Policies {
    /// What a route says of pages of other origins, by name or in its own words.
    pub(super) fn of_route(&self, written: Written<raw::RouteCors>, problems: &mut Problems) -> Option<Arc<Cors>> {
        let At { place, value } = written.given()?;
        let name = match value {
            raw::RouteCors::Named(name) => name,
            raw::RouteCors::Stated(value) => return policy(value, place, problems).map(Arc::new),
        };
        let found = self.0.get(&name);
        if found.is_none() {
            let mut known: Vec<&str> = self.0.keys().map(String::as_str).collect();
            known.sort_unstable();
            problems.push(place, unknown("section of `cors`", &name, known));
        }
        found.cloned().flatten()
    }
}

fn policy(raw: raw::Cors, place: Place, problems: &mut Problems) -> Option<Cors> {
    let raw::Cors { origins, methods, headers, expose, max_age, credentials } = raw;
    let origins = origins.map(|origins| check_origins(&origins.value, problems));
    let credentials = match credentials.given() {
        Some(At { value: true, .. }) => Credentials::Included,
        Some(At { value: false, .. }) | None => Credentials::Omitted,
    };
    if origins == Some(Origins::Any) && credentials == Credentials::Included {
        problems
            .push(place, "`credentials: true` needs a list of origins: with `*`, every page could act as its visitor");
    }
    let methods = methods.given().map(|methods| check_methods(&methods.value, problems)).unwrap_or_default();
    let longest = seconds(86_400);
    let max_age = within(max_age, seconds(600), Duration::ZERO..=longest, "`max_age` must be 0s to 24h", problems);
    Some(Cors {
        origins: origins?,
        methods_text: joined(methods.iter().map(Method::as_str)),
        methods,
        headers: names(headers, &HEADERS, problems),
        expose: names(expose, &EXPOSE, problems),
        max_age: HeaderValue::from(max_age.as_secs()),
        credentials,
    })
}

fn check_origins(written: &[At<String>], problems: &mut Problems) -> Origins {
    if let [At { value, .. }] = written
        && value == "*"
    {
        return Origins::Any;
    }
    let mut parse = |origin: &At<String>| {
        if origin.value == "*" {
            problems.push(origin.place, "`*` stands alone: it means every origin");
            return None;
        }
        let parsed = OriginPattern::parse(&origin.value);
        parsed.map_err(|error| problems.push(origin.place, format!("{} {error}", show(&origin.value)))).ok()
    };
    Origins::Listed(written.iter().filter_map(&mut parse).collect())
}

fn check_methods(written: &[At<String>], problems: &mut Problems) -> Vec<Method> {
    let mut parse = |method: &At<String>| {
        let upper =
            !method.value.is_empty() && method.value.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        let parsed = Method::from_bytes(method.value.as_bytes()).ok().filter(|_| upper);
        if parsed.is_none() {
            problems.push(method.place, format!("{} is not an HTTP method (upper case)", show(&method.value)));
        }
        parsed
    };
    written.iter().filter_map(&mut parse).collect()
}

/// A list of names of header fields, or the usual ones if there is none; `None` if it is empty.
fn names(written: Written<Vec<At<String>>>, usual: &[&str], problems: &mut Problems) -> Option<HeaderValue> {
    let Some(At { value, .. }) = written.given() else { return joined(usual.iter().copied()) };
    let mut parse = |name: &At<String>| {
        // Browsers take `*` for all names but `Authorization`, or with credentials for a name like any other.
        let parsed = HeaderName::from_bytes(name.value.as_bytes()).ok().filter(|_| name.value != "*");
        if parsed.is_none() {
            problems.push(name.place, format!("{} is not a header name; each must be named", show(&name.value)));
        }
        parsed
    };
    let names: Vec<HeaderName> = value.iter().filter_map(&mut parse).collect();
    joined(names.iter().map(HeaderName::as_str))
}

fn joined<'t>(texts: impl Iterator<Item = &'t str>) -> Option<HeaderValue> {
    let text = texts.collect::<Vec<_>>().join(", ");
    if text.is_empty() { None } else { HeaderValue::try_from(text).ok() }
}

/// What a page needs to set for a request with a token and a JSON body.
const HEADERS: [&str; 2] = ["authorization", "content-type"];
/// What a page needs to read to act on a refusal.
const EXPOSE: [&str; 4] = ["www-authenticate", "retry-after", "ratelimit", "ratelimit-policy"];
