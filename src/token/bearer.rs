use http::{HeaderMap, header};

/// What a request offers as its token (RFC 6750 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials<'a> {
    /// No token: no `Authorization`, or one of another scheme.
    Absent,
    /// More than one `Authorization` header field, or a second token in the query.
    Repeated,
    /// The scheme is Bearer and nothing follows.
    Malformed,
    /// What follows the scheme, as sent. Its form is judged when it is verified for the first time; a token known to the
    /// cache was judged before.
    Token(&'a [u8]),
}

/// Finds the bearer token of a request: exactly one `Authorization: Bearer …`, and none in the query beside it.
///
/// A token that stands in the query alone is not looked at (RFC 6750 section 2.3 is not supported).
pub fn bearer<'a>(headers: &'a HeaderMap, query: Option<&str>) -> Credentials<'a> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Credentials::Absent;
    };
    if values.next().is_some() {
        return Credentials::Repeated;
    }
    let Some(token) = after_scheme(value.as_bytes(), "Bearer") else { return Credentials::Absent };
    if query.is_some_and(names_token) {
        return Credentials::Repeated;
    }
    if token.is_empty() { Credentials::Malformed } else { Credentials::Token(token) }
}

/// What follows `scheme` in a value of `Authorization`: `scheme 1*SP credentials` (RFC 9110 section 11.4), the scheme in
/// any case. `None` of another scheme; empty where nothing that can be read follows, as behind a tab.
pub fn after_scheme<'v>(value: &'v [u8], scheme: &str) -> Option<&'v [u8]> {
    let (own, rest) = value.split_at_checked(scheme.len())?;
    if !own.eq_ignore_ascii_case(scheme.as_bytes()) {
        return None;
    }
    match rest.first() {
        None | Some(b'\t') => Some(&[]),
        Some(b' ') => Some(&rest[rest.iter().take_while(|byte| **byte == b' ').count()..]),
        Some(_) => None,
    }
}

/// Whether form-encoded `text` (a query, a form body) has a parameter `access_token`.
pub fn names_token(text: &str) -> bool {
    names_parameter(text, "access_token")
}

/// Whether form-encoded `text` has a parameter called `name`.
pub fn names_parameter(text: &str, name: &str) -> bool {
    url::form_urlencoded::parse(text.as_bytes()).any(|(own, _)| own == name)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn exactly_one_bearer_token_counts() {
        for (values, query, expected) in [
            (&[][..], None, Credentials::Absent),
            (&[], Some("access_token=a"), Credentials::Absent),
            (&["Bearer a.b.c"], None, Credentials::Token(b"a.b.c")),
            (&["bearer a"], None, Credentials::Token(b"a")),
            (&["BEARER a-._~+/=="], Some("x=access_token"), Credentials::Token(b"a-._~+/==")),
            (&["Bearer a"], Some("access_token=a"), Credentials::Repeated),
            (&["Bearer a"], Some("x&access%5Ftoken"), Credentials::Repeated),
            (&["Bearer a", "Bearer a"], None, Credentials::Repeated),
            (&["Basic a", "Bearer a"], None, Credentials::Repeated),
            (&["Bearer"], None, Credentials::Malformed),
            (&["Bearer "], None, Credentials::Malformed),
            (&["Bearer  a"], None, Credentials::Token(b"a")),
            (&["beaREr      a"], None, Credentials::Token(b"a")),
            (&["Bearer  "], None, Credentials::Malformed),
            (&["Bearer  a"], Some("access_token=a"), Credentials::Repeated),
            (&["Bearer \ta"], None, Credentials::Token(b"\ta")),
            (&["Bearer\ta"], None, Credentials::Malformed),
            (&["Bearer\t a"], None, Credentials::Malformed),
            (&["Bearer a, Bearer b"], None, Credentials::Token(b"a, Bearer b")),
            (&["Bearer: a"], None, Credentials::Absent),
            (&["Bearera"], None, Credentials::Absent),
            (&["Basic a"], None, Credentials::Absent),
            (&["a.b.c"], None, Credentials::Absent),
            (&[""], None, Credentials::Absent),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(bearer(&headers, query), expected, "{values:?} {query:?}");
        }
    }
}
