use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use scopegate::token::{Credentials, bearer};

use super::{
    decode,
    endpoint::{CLIENTS, ask},
};

const FORM: &str = "application/x-www-form-urlencoded";
const GRANT: &[u8] = b"grant_type=client_credentials";

/// Of a request's credentials there is one reading at most. Lines are `Authorization` fields; after `?` comes a query,
/// after `:` a client ID and secret that are yet to be encoded.
pub fn authorization(data: &[u8]) {
    let mut values = Vec::new();
    let mut query = None;
    for line in data.split(|byte| *byte == b'\n') {
        match line {
            [b'?', rest @ ..] => query = std::str::from_utf8(rest).ok(),
            [b':', rest @ ..] => values.extend(HeaderValue::try_from(format!("Basic {}", STANDARD.encode(rest)))),
            _ => values.extend(HeaderValue::from_bytes(line)),
        }
    }
    let headers = values.iter().map(|value| (header::AUTHORIZATION, value.clone())).collect();
    assert_bearer(&values, query, bearer(&headers, query));
    assert_basic(&values, headers);
}

/// The rules of RFC 6750 section 2, said anew.
fn assert_bearer(values: &[HeaderValue], query: Option<&str>, read: Credentials<'_>) {
    let expected = match values {
        [] => Credentials::Absent,
        [value] => {
            let value = value.as_bytes();
            let scheme = value.split(|byte| b" \t".contains(byte)).next().expect("splitting leaves one part");
            let token = value.strip_prefix(scheme).and_then(after_spaces);
            if !scheme.eq_ignore_ascii_case(b"Bearer") {
                Credentials::Absent
            } else if query.is_some_and(names_token) {
                Credentials::Repeated
            } else {
                token.filter(|token| !token.is_empty()).map_or(Credentials::Malformed, Credentials::Token)
            }
        }
        [_, _, ..] => Credentials::Repeated,
    };
    assert_eq!(read, expected);
}

fn names_token(query: &str) -> bool {
    query.split('&').any(|pair| decode::form(pair.split('=').next().unwrap_or_default()) == "access_token")
}

/// A token is given for the credentials of a client as they are, or form-encoded (RFC 6749 section 2.3.1), in Base64
/// spelt in its one way (RFC 7617), and for nothing else.
fn assert_basic(values: &[HeaderValue], mut headers: HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(FORM));
    let reply = ask(&headers, GRANT);
    let expected = match values {
        [value] if shown(value).is_some_and(|shown| is_a_clients(&shown)) => StatusCode::OK,
        [] | [_] => StatusCode::UNAUTHORIZED,
        [_, _, ..] => StatusCode::BAD_REQUEST,
    };
    assert_eq!(reply.response.status(), expected);
}

fn shown(value: &HeaderValue) -> Option<String> {
    let (scheme, rest) = value.as_bytes().split_at_checked(5)?;
    let encoded = after_spaces(rest)?;
    let decoded = STANDARD.decode(encoded).ok()?;
    let spelt_so = STANDARD.encode(&decoded).as_bytes() == encoded;
    (scheme.eq_ignore_ascii_case(b"basic") && spelt_so).then(|| String::from_utf8(decoded).ok())?
}

/// What follows one or more spaces (RFC 9110 section 11.4); `None` without any.
fn after_spaces(text: &[u8]) -> Option<&[u8]> {
    let spaces = text.iter().take_while(|byte| **byte == b' ').count();
    (spaces > 0).then(|| &text[spaces..])
}

fn is_a_clients(shown: &str) -> bool {
    let Some((id, secret)) = shown.split_once(':') else { return false };
    let whole = [id, secret].iter().all(|half| {
        let spaced = half.replace('+', " ");
        decode::is_whole(spaced.as_bytes()) && String::from_utf8(decode::percent(spaced.as_bytes())).is_ok()
    });
    let (decoded_id, decoded_secret) = (decode::form(id), decode::form(secret));
    CLIENTS.iter().any(|(own, secret_of_own)| {
        (id, secret) == (*own, *secret_of_own)
            || (whole && (decoded_id.as_str(), decoded_secret.as_str()) == (*own, *secret_of_own))
    })
}
