use http::HeaderName;

use crate::{
    config::{
        cursor::{At, Written},
        problem::{Problems, show},
        raw,
    },
    policy::{
        ApplicationPlaces, FieldOwner, JsonPointer, PathPattern, field_owner, header_begins_alike, is_blank_parameter,
        is_header_alike, is_parameter_alike,
    },
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
    if is_blank_parameter(name)
        || name.contains(|letter: char| letter.is_whitespace() || "&;=+%#?\"<>\\".contains(letter))
    {
        return Err(format!(
            "no server reads a query parameter called {} in one way: use letters, digits, `_` and `-`, as in `applicationId`",
            show(name)
        ));
    }
    if CREDENTIALS.iter().any(|reserved| is_parameter_alike(name, reserved)) || KEPT_BY_SERVERS.contains(&name) {
        return Err(format!(
            "the query parameter {} is for credentials, or kept by servers for themselves: name the application in one of \
             its own, such as `applicationId`",
            show(name)
        ));
    }
    Ok(name.into())
}

/// Parameters with a token or secret (RFC 6749, RFC 6750).
const CREDENTIALS: [&str; 7] =
    ["access_token", "refresh_token", "id_token", "client_secret", "client_assertion", "assertion", "password"];

/// Parameters that servers follow or drop, whatever the application means by them: Rails and Laravel read a method, others
/// a charset, and no member is called like what every object of JavaScript has.
const KEPT_BY_SERVERS: [&str; 12] = [
    "_method",
    "_charset_",
    "utf8",
    "__proto__",
    "prototype",
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toString",
    "toLocaleString",
    "valueOf",
];

fn header_name(name: &str) -> Result<HeaderName, String> {
    let field = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{} is not a header name", show(name)))?;
    match taken_by(name) {
        Some(what) => Err(format!(
            "the header {} {what}: name the application in one of its own, such as `X-Chosen-Application`",
            show(name)
        )),
        None => Ok(field),
    }
}

/// What a header field is for that cannot name an application, in whatever spelling servers take for it.
fn taken_by(name: &str) -> Option<&'static str> {
    if !name.contains(|letter: char| letter.is_ascii_alphanumeric()) {
        return Some("has neither letter nor digit, by which servers tell fields apart");
    }
    let is_among = |taken: &&Taken| {
        taken.names.iter().any(|own| is_header_alike(name, own))
            || taken.starts.iter().any(|start| header_begins_alike(name, start))
    };
    if let Some(taken) = TAKEN.iter().find(is_among) {
        return Some(taken.what);
    }
    match field_owner(&name.to_ascii_lowercase()) {
        FieldOwner::Anyone => None,
        FieldOwner::TrustedProxy | FieldOwner::Gateway => {
            Some("is for the gateway and proxies to say, and is taken out of what clients send")
        }
    }
}

/// Header fields that have another purpose: these, and those whose names begin with some words.
struct Taken {
    what: &'static str,
    names: &'static [&'static str],
    starts: &'static [&'static str],
}

#[rustfmt::skip] // lists of words
const TAKEN: [Taken; 4] = [
    Taken {
        what: "carries credentials",
        names: &[
            "authorization", "proxy-authorization", "proxy-authenticate", "proxy-authentication-info", "www-authenticate",
            "authentication-info", "cookie", "cookie2", "set-cookie", "x-api-key",
        ],
        starts: &[],
    },
    Taken {
        what: "concerns one connection or the framing of a message, and may not reach the upstream",
        names: &[
            "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings", "expect", "host",
            "max-forwards", "date", "alt-used", "early-data",
        ],
        starts: &["proxy", "content"],
    },
    Taken {
        what: "is written by browsers and clients for a purpose of its own",
        names: &[
            "origin", "referer", "user-agent", "range", "cache-control", "pragma", "priority", "save-data", "dnt", "from",
            "upgrade-insecure-requests", "x-requested-with", "prefer", "idempotency-key", "last-event-id", "a-im",
        ],
        starts: &["accept", "access-control", "if", "sec", "x-csrf", "x-xsrf"],
    },
    Taken {
        what: "is written by whatever a request passes on its way",
        names: &["via", "b3", "baggage", "traceparent", "tracestate"],
        starts: &["x-b3", "x-amz", "x-amzn"],
    },
];

pub(super) fn json_pointer(text: &str) -> Result<JsonPointer, String> {
    JsonPointer::parse(text)
        .ok_or_else(|| format!("{} is not a JSON pointer such as `/applicationId` (RFC 6901)", show(text)))
}
