//! What header fields say, where a decision hangs on it: the value that names an application, and how a body is read.
//!
//! Servers differ in which fields they take for one, so a field that a decision hangs on stands alone.

use http::{HeaderMap, HeaderName, Method, header};

use super::name::{Ambiguous, is_header_alike};

/// The value of the field `name`, `None` if it does not stand there.
///
/// It must stand once; no other field may become the same variable on some server, and no `Connection` may nominate it:
/// what it nominates, the next hop takes out.
pub(super) fn find_field<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h [u8]>, Ambiguous> {
    let mut found = None;
    for (own, value) in headers {
        if own == name && found.is_none() {
            found = Some(value.as_bytes());
        } else if own == name || is_header_alike(own.as_str(), name.as_str()) {
            return Err(Ambiguous);
        }
    }
    if is_nominated(headers, &[name.as_str()]) { Err(Ambiguous) } else { Ok(found) }
}

/// Whether a `Connection` field, in whatever spelling of its name or list, nominates one of `names` (RFC 9110 section 7.6.1).
fn is_nominated(headers: &HeaderMap, names: &[&str]) -> bool {
    let nominates = |name: &HeaderName| CONNECTION.iter().any(|own| is_header_alike(name.as_str(), own));
    let lists = headers.iter().filter(|(name, _)| nominates(name)).map(|(_, list)| list.as_bytes());
    let words = |list: &'_ [u8]| String::from_utf8_lossy(list).into_owned();
    lists.map(words).any(|list| {
        list.split([',', ';', '"', '\'', ' ', '\t']).any(|word| names.iter().any(|name| is_header_alike(word, name)))
    })
}

const CONNECTION: [&str; 2] = ["connection", "proxy-connection"];

/// The body rule's outer half: one content type, `application/json` or `…+json`, UTF-8, nothing encoded; and no field that
/// a server may take for one of those that say so, or that will not reach it.
pub(super) fn check_body_kind(headers: &HeaderMap) -> Result<(), Ambiguous> {
    let is_twin =
        |own: &HeaderName| FRAMING.iter().any(|name| own.as_str() != *name && is_header_alike(own.as_str(), name));
    let plain = names_json(headers) && !headers.contains_key(header::CONTENT_ENCODING);
    if !plain || headers.keys().any(is_twin) || is_nominated(headers, &FRAMING) {
        return Err(Ambiguous);
    }
    Ok(())
}

/// The fields that tell where a body ends and how its bytes are read.
const FRAMING: [&str; 4] = ["content-type", "content-encoding", "content-length", "transfer-encoding"];

/// Whether a server may read the body as a form (`application/x-www-form-urlencoded`) and put its parameters beside those
/// of the query: a field says so that becomes its content type, or in a POST none does (Rack).
pub fn may_be_form(method: &Method, headers: &HeaderMap) -> bool {
    let mut types = content_types(headers).peekable();
    let untyped = types.peek().is_none() && *method == Method::POST;
    untyped || types.any(|kind| kind.contains("x-www-form-urlencoded"))
}

/// Whether a server may read the body as JSON, whose members some (Rails, Laravel) lay over the parameters of the query.
pub fn may_be_json(headers: &HeaderMap) -> bool {
    content_types(headers).any(|kind| kind.contains("json"))
}

/// Some servers decode the query, too, by the charset of the content type. In one that is no superset of ASCII other bytes
/// spell the parameter's name.
pub(super) fn check_charset(headers: &HeaderMap) -> Result<(), Ambiguous> {
    let harmless = |stated: &str| {
        let charset =
            stated.trim_start().strip_prefix('=').map(|charset| charset.trim_start_matches([' ', '\t', '"', '\'']));
        charset.is_some_and(|charset| SUPERSETS_OF_ASCII.iter().any(|start| charset.starts_with(start)))
    };
    let plain = |kind: &String| kind.match_indices(CHARSET).all(|(at, _)| harmless(&kind[at + CHARSET.len()..]));
    if content_types(headers).all(|kind| plain(&kind)) { Ok(()) } else { Err(Ambiguous) }
}

const CHARSET: &str = "charset";
/// How the names begin of charsets in which ASCII bytes are ASCII letters.
const SUPERSETS_OF_ASCII: [&str; 6] = ["utf-8", "utf8", "us-ascii", "iso-8859-", "latin", "windows-12"];

/// The values of every field that some server takes for `Content-Type`, in lower case.
fn content_types(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let is_type = |name: &HeaderName| is_header_alike(name.as_str(), header::CONTENT_TYPE.as_str());
    let types = headers.iter().filter(move |(name, _)| is_type(name));
    types.map(|(_, kind)| String::from_utf8_lossy(kind.as_bytes()).to_ascii_lowercase())
}

/// Whether a message states one content type, and that is `application/json` or `…+json` in UTF-8.
pub fn names_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(kind), None) = (types.next(), types.next()) else { return false };
    kind.to_str().is_ok_and(is_json)
}

fn is_json(content_type: &str) -> bool {
    let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let essence = essence.trim_end_matches([' ', '\t']).to_ascii_lowercase();
    let json = match essence.split_once('/') {
        Some(("application", "json")) => true,
        Some((kind, subtype)) => is_token(kind) && subtype.strip_suffix("+json").is_some_and(is_token),
        None => false,
    };
    json && parameters.split(';').all(is_harmless_parameter)
}

/// A charset other than UTF-8 would make the upstream read other characters than we do. RFC 2231 has more spellings of it
/// (`charset*`, `charset*0`), and nobody needs them to say UTF-8.
fn is_harmless_parameter(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_ascii_lowercase());
    if !name.starts_with("charset") {
        return !parameter.contains(',');
    }
    name == "charset" && matches!(value.as_str(), "utf-8" | "\"utf-8\"")
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_body_may_be_a_form_by_any_field_that_becomes_its_type() {
        for (method, headers, expected) in [
            (Method::POST, vec![], true),
            (Method::PUT, vec![], false),
            (Method::PUT, vec![("content-type", "Application/X-WWW-Form-Urlencoded; charset=utf-8")], true),
            (Method::GET, vec![("content_type", "application/x-www-form-urlencoded")], true),
            (
                Method::POST,
                vec![("content-type", "text/plain"), ("content-type", "application/x-www-form-urlencoded")],
                true,
            ),
            (Method::POST, vec![("content-type", "application/json")], false),
        ] {
            let headers =
                headers.iter().map(|(name, kind)| (HeaderName::from_static(name), HeaderValue::from_static(kind)));
            let mut map = HeaderMap::new();
            headers.for_each(|(name, kind)| {
                map.append(name, kind);
            });
            assert_eq!(may_be_form(&method, &map), expected, "{method} {map:?}");
        }
    }
}
