use http::{HeaderMap, header};

use super::reply::TokenError;
use crate::policy::decode_form;

/// Most parameters that a form may have.
const MAX_PARAMETERS: usize = 100;
/// Longest value of a parameter that we read, in bytes. A token may be longer: what it may be is asked where it is read.
const MAX_VALUE: usize = 4096;
/// What we read beside `token`. What we do not, we do not judge either (RFC 6749 section 3.2).
const BOUNDED: [&str; 7] =
    ["grant_type", "scope", "client_id", "client_secret", "application_id", "workflow_id", "redirect_url"];

/// The parameters of a token request: each name once (RFC 6749 section 3.2), those without a value left out.
pub(super) struct Form<'a>(Vec<(std::borrow::Cow<'a, str>, std::borrow::Cow<'a, str>)>);

impl<'a> Form<'a> {
    /// Reads `application/x-www-form-urlencoded` in UTF-8.
    pub(super) fn parse(headers: &HeaderMap, body: &'a [u8]) -> Result<Self, TokenError> {
        check_kind(headers)?;
        let invalid = TokenError::InvalidRequest;
        let text = std::str::from_utf8(body).map_err(|_| invalid("the form is not UTF-8"))?;
        let mut parameters = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = decode_form(name).zip(decode_form(value));
            let (name, value) = decoded.ok_or(invalid("the form has a broken percent-encoding or is not UTF-8"))?;
            if value.len() > MAX_VALUE && BOUNDED.contains(&&*name) {
                return Err(invalid("a parameter is too long"));
            }
            if parameters.len() == MAX_PARAMETERS {
                return Err(invalid("the form has too many parameters"));
            }
            if parameters.iter().any(|(earlier, _)| *earlier == name) {
                return Err(invalid("a parameter is repeated"));
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// The value of parameter `name`, if it has one.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| &**value).filter(|value| !value.is_empty())
    }
}

fn check_kind(headers: &HeaderMap) -> Result<(), TokenError> {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let kind = match (kinds.next(), kinds.next()) {
        (Some(kind), None) => kind.to_str().ok(),
        _ => None,
    };
    let essence = kind.map(|kind| kind.split_once(';').map_or(kind, |(essence, _)| essence).trim());
    let is_form = essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/x-www-form-urlencoded"));
    if is_form && !headers.contains_key(header::CONTENT_ENCODING) {
        return Ok(());
    }
    Err(TokenError::InvalidRequest("the content type must be application/x-www-form-urlencoded"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn parse(kind: &str, body: &str) -> Result<Option<String>, TokenError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
        Form::parse(&headers, body.as_bytes()).map(|form| form.value("grant_type").map(str::to_owned))
    }

    const FORM: &str = "application/x-www-form-urlencoded";

    #[test]
    fn a_parameter_is_found_however_it_is_encoded() {
        for (kind, body, expected) in [
            (FORM, "grant_type=a", Some("a")),
            ("Application/X-WWW-Form-Urlencoded; charset=UTF-8", "x=1&&grant_type=a+b%2B", Some("a b+")),
            (FORM, "%67rant_type=a", Some("a")),
            (FORM, "grant_type=", None),
            (FORM, "grant_type", None),
            (FORM, "", None),
        ] {
            assert_eq!(parse(kind, body), Ok(expected.map(str::to_owned)), "{body}");
        }
    }

    #[test]
    fn a_parameter_that_we_read_is_bounded_in_length() {
        let long = "a".repeat(MAX_VALUE + 1);
        for (name, length, expected) in [
            ("grant_type", MAX_VALUE, true),
            ("grant_type", MAX_VALUE + 1, false),
            ("scope", MAX_VALUE + 1, false),
            ("redirect_url", MAX_VALUE + 1, false),
            ("client%5Fid", MAX_VALUE + 1, false),
            ("token", MAX_VALUE + 1, true),
            ("unknown", MAX_VALUE + 1, true),
        ] {
            let form = format!("{name}={}", &long[..length]);
            assert_eq!(parse(FORM, &form).is_ok(), expected, "{name} {length}");
        }
        assert!(parse(FORM, &format!("scope={}", "%20".repeat(MAX_VALUE))).is_ok(), "as decoded");
    }

    #[test]
    fn a_form_that_can_be_read_twice_is_refused() {
        let many = (0..101).map(|n| format!("a{n}=1")).collect::<Vec<_>>().join("&");
        for (kind, body) in [
            (FORM, "grant_type=a&grant_type=a"),
            (FORM, "grant_type=a&%67rant_type=b"),
            (FORM, "grant_type=%zz"),
            (FORM, "grant_type=%ff"),
            (FORM, many.as_str()),
            ("application/json", "grant_type=a"),
            ("application/x-www-form-urlencoded, text/plain", "grant_type=a"),
            ("multipart/form-data; boundary=x", "grant_type=a"),
        ] {
            assert!(parse(kind, body).is_err(), "{kind} {body}");
        }
    }
}
