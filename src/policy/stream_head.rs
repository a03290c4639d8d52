//! The head of a request on a stream of HTTP/2 (RFC 9113 section 8.3), held to the rules of HTTP/1.1.
//!
//! A decoder has read it already, and refused what breaks the framing: upper-case names, fields of one connection,
//! pseudo-header fields that are unknown, repeated or missing.

use http::{HeaderMap, Method, header, request::Parts};

use super::{
    HeadLimits, Violation,
    head::{MAX_METHOD, MAX_TARGET, is_host, is_length, is_spelling},
};

/// Judges a head, and makes it one that reads as in HTTP/1.1: with the authority in `Host`, and one `Cookie`.
pub fn check_stream_head(parts: &mut Parts, limits: HeadLimits) -> Result<(), Violation> {
    check_method(&parts.method)?;
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    if target.len() > MAX_TARGET {
        return Err(Violation::TargetTooLong);
    }
    let origin_form = target.starts_with('/') || (target == "*" && parts.method == Method::OPTIONS);
    if !origin_form {
        return Err(Violation::Target);
    }
    check_size(parts, target.len(), limits)?;
    check_fields(&parts.headers)?;
    state_host(parts)?;
    join_cookies(&mut parts.headers);
    Ok(())
}

/// Holds a head to the limits that it would meet in HTTP/1.1, where the authority is a line, and all cookies are one.
fn check_size(parts: &Parts, target: usize, limits: HeadLimits) -> Result<(), Violation> {
    let first_line = parts.method.as_str().len() + target + REQUEST_LINE_OVERHEAD;
    let (mut lines, mut bytes) = (0, first_line + FINAL_LINE);
    let mut add = |name: usize, value: usize| {
        lines += 1;
        bytes += name + value + LINE_OVERHEAD;
    };
    if let Some(authority) = parts.uri.authority().filter(|_| !parts.headers.contains_key(header::HOST)) {
        add(header::HOST.as_str().len(), authority.as_str().len());
    }
    let mut crumbs = None;
    for (name, value) in &parts.headers {
        if name == header::COOKIE {
            crumbs = Some(crumbs.map_or(0, |length: usize| length + CRUMB_SEPARATOR.len()) + value.len());
        } else {
            add(name.as_str().len(), value.len());
        }
    }
    if let Some(cookie) = crumbs {
        add(header::COOKIE.as_str().len(), cookie);
    }
    if lines > limits.lines || bytes > limits.bytes { Err(Violation::TooLarge) } else { Ok(()) }
}

fn check_method(method: &Method) -> Result<(), Violation> {
    if method.as_str().len() > MAX_METHOD {
        return Err(Violation::Method);
    }
    if matches!(*method, Method::TRACE | Method::CONNECT) {
        return Err(Violation::MethodRefused);
    }
    Ok(())
}

fn check_fields(headers: &HeaderMap) -> Result<(), Violation> {
    for (name, value) in headers {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        match name.len() {
            14 if is_spelling(name, b"content-length") && name != b"content-length" => {
                return Err(Violation::ContentLength);
            }
            17 if is_spelling(name, b"transfer-encoding") => return Err(Violation::TransferEncoding),
            _ => {}
        }
        // RFC 9113 section 8.2.1.
        if value.trim_ascii().len() != value.len() {
            return Err(Violation::HeaderLine);
        }
    }
    let only = |name, violation| {
        let mut values = headers.get_all(name).iter();
        let first = values.next();
        if values.next().is_some() { Err(violation) } else { Ok(first.map(http::HeaderValue::as_bytes)) }
    };
    if only(header::CONTENT_LENGTH, Violation::ContentLength)?.is_some_and(|length| !is_length(length)) {
        return Err(Violation::ContentLength);
    }
    let expected = only(header::EXPECT, Violation::Expectation)?;
    if expected.is_some_and(|expected| !expected.eq_ignore_ascii_case(b"100-continue")) {
        return Err(Violation::Expectation);
    }
    Ok(())
}

/// `:authority` and `Host` must agree where both stand (RFC 9113 section 8.3.1); from here on `Host` says it.
fn state_host(parts: &mut Parts) -> Result<(), Violation> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() || host.is_some_and(|host| !is_host(host.as_bytes())) {
        return Err(Violation::Host);
    }
    let Some(authority) = parts.uri.authority() else {
        return if host.is_some() { Ok(()) } else { Err(Violation::Host) };
    };
    let authority = authority.as_str();
    if !is_host(authority.as_bytes())
        || host.is_some_and(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()))
    {
        return Err(Violation::Host);
    }
    let authority = authority.parse().map_err(|_| Violation::Host)?;
    parts.headers.insert(header::HOST, authority);
    Ok(())
}

/// A client may cut its cookies into several fields (RFC 9113 section 8.2.3); HTTP/1.1 knows one.
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(header::COOKIE).iter();
    if crumbs.next().is_none() || crumbs.next().is_none() {
        return;
    }
    let whole: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(http::HeaderValue::as_bytes).collect();
    let whole = http::HeaderValue::from_bytes(&whole.join(CRUMB_SEPARATOR)).expect("joined of values");
    headers.insert(header::COOKIE, whole);
}

/// A field's line in HTTP/1.1 beside name and value: colon, space, CR, LF.
const LINE_OVERHEAD: usize = 4;
/// The first line beside method and target: two spaces, the version, CR, LF.
const REQUEST_LINE_OVERHEAD: usize = 12;
/// CR and LF behind the last field.
const FINAL_LINE: usize = 2;
/// What stands between the crumbs of a cookie (RFC 9113 section 8.2.3).
const CRUMB_SEPARATOR: &[u8] = b"; ";

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const LIMITS: HeadLimits = HeadLimits { bytes: 4096, lines: 20 };

    /// Method, URI, fields, and what is wrong.
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], Violation);

    fn parts(method: &str, uri: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn each_broken_rule_is_named() {
        let long = format!("https://a/{}", "x".repeat(MAX_TARGET));
        let large = "y".repeat(4096);
        let cases: [Case; 19] = [
            ("CONNECT", "a:1", &[], Violation::MethodRefused),
            ("TRACE", "https://a/", &[], Violation::MethodRefused),
            ("MMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMM", "https://a/", &[], Violation::Method),
            ("GET", &long, &[], Violation::TargetTooLong),
            ("GET", "*", &[("host", "a")], Violation::Target),
            ("GET", "/", &[("x", &large)], Violation::TooLarge),
            ("GET", "/", &[("host", "a"), ("content_length", "1")], Violation::ContentLength),
            ("GET", "/", &[("host", "a"), ("content-length", "1"), ("content-length", "1")], Violation::ContentLength),
            ("GET", "/", &[("host", "a"), ("content-length", "+1")], Violation::ContentLength),
            ("GET", "/", &[("host", "a"), ("content-length", "9007199254740993")], Violation::ContentLength),
            ("GET", "/", &[("host", "a"), ("transfer-encoding", "chunked")], Violation::TransferEncoding),
            ("GET", "/", &[("host", "a"), ("transfer_encoding", "chunked")], Violation::TransferEncoding),
            ("GET", "/", &[("host", "a"), ("expect", "x")], Violation::Expectation),
            ("GET", "/", &[("host", "a"), ("x", " y")], Violation::HeaderLine),
            ("GET", "/", &[], Violation::Host),
            ("GET", "/", &[("host", "a"), ("host", "a")], Violation::Host),
            ("GET", "/", &[("host", "a/b")], Violation::Host),
            ("GET", "https://a/", &[("host", "b")], Violation::Host),
            ("GET", "https://u@a/", &[], Violation::Host),
        ];
        for (method, uri, fields, violation) in cases {
            let shown: String = format!("{method} {uri} {fields:?}").chars().take(100).collect();
            assert_eq!(check_stream_head(&mut parts(method, uri, fields), LIMITS), Err(violation), "{shown}");
        }
    }

    #[test]
    fn the_limits_hold_on_both_sides() {
        let of = |count: usize| {
            let names: Vec<String> = (0..count).map(|number| format!("x-{number}")).collect();
            let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "y")).collect();
            check_stream_head(&mut parts("GET", "https://a/", &fields), LIMITS)
        };
        // The authority is a line as well.
        assert_eq!((of(19), of(20)), (Ok(()), Err(Violation::TooLarge)));
        let crumbs =
            |count: usize| check_stream_head(&mut parts("GET", "https://a/", &vec![("cookie", "a=b"); count]), LIMITS);
        assert_eq!((crumbs(100), crumbs(1000)), (Ok(()), Err(Violation::TooLarge)));
    }

    #[test]
    fn a_head_is_as_long_as_it_is_in_http_1() {
        let as_in_http_1 =
            |value: &str| format!("GET / HTTP/1.1\r\nhost: a\r\nx: {value}\r\ncookie: a=b; c=d\r\n\r\n").len();
        let sized = |size: usize| {
            let value = "y".repeat(size - as_in_http_1(""));
            let fields = [("cookie", "a=b"), ("x", &value), ("cookie", "c=d")];
            assert_eq!(as_in_http_1(&value), size);
            let stated = [("host", "a"), fields[0], fields[1], fields[2]];
            let results = [check_stream_head(&mut parts("GET", "https://a/", &fields), LIMITS)];
            assert_eq!(results[0], check_stream_head(&mut parts("GET", "/", &stated), LIMITS));
            results[0]
        };
        assert_eq!((sized(4096), sized(4097)), (Ok(()), Err(Violation::TooLarge)));
    }

    #[test]
    fn a_sound_head_reads_as_in_http_1() {
        let crumbs = [("cookie", "a=b"), ("cookie", "c=d"), ("x", "y")];
        let mut head = parts("OPTIONS", "https://a.example:8443/x?y", &crumbs);
        assert_eq!(check_stream_head(&mut head, LIMITS), Ok(()));
        assert_eq!(head.headers[header::HOST], "a.example:8443");
        assert_eq!(head.headers.get_all(header::COOKIE).iter().collect::<Vec<_>>(), ["a=b; c=d"]);
        assert_eq!(check_stream_head(&mut parts("GET", "https://A/", &[("host", "a")]), LIMITS), Ok(()));
        assert_eq!(check_stream_head(&mut parts("GET", "/", &[("host", "a"), ("cookie", "a=b")]), LIMITS), Ok(()));
    }
}
