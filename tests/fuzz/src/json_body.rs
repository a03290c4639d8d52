use http::{HeaderMap, HeaderValue, header};
use scopegate::{
    domain::{ApplicationId, Reason},
    policy::{Ambiguous, ApplicationPlaces, JsonPointer, Parts, RequestTarget, bind, find_string},
};

use super::{
    fold::FOLDS,
    json::{Found, Kind, Node, find, read},
};

/// Places of every shape; the names of one hold letters that other alphabets have a second form of.
const POINTERS: [(&str, &[&str]); 4] = [
    ("/applicationId", &["applicationId"]),
    ("/task/id", &["task", "id"]),
    ("/a~1b", &["a/b"]),
    ("/application/data/id", &["application", "data", "id"]),
];

/// Whatever the gateway reads in a body, every parser reads there: those that take the first of two names, the last, or
/// any that equals it but for case. Nor does it refuse a body that all of them read alike. The first line is a content
/// type: under one that leaves the body's reading open, it is not read.
pub fn json_body(data: &[u8]) {
    let newline = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (kind, body) = (&data[..newline], data.get(newline + 1..).unwrap_or_default());
    let document = read(body);
    for (pointer, names) in POINTERS {
        let found = find_string(body, &JsonPointer::parse(pointer).expect("a pointer"));
        assert_one_reading(found.as_ref(), document.as_ref(), names);
        let other =
            document.as_ref().is_some_and(|document| find_text(document, names, str::to_ascii_lowercase).is_ok());
        assert!(found.is_ok() || !other || !is_ascii(document.as_ref()), "{pointer} is refused for no reason");
    }
    assert_binds_what_is_read(kind, body, document.as_ref());
}

fn assert_one_reading(found: Result<&Option<String>, &Ambiguous>, document: Option<&Node>, names: &[&str]) {
    let Ok(found) = found else { return };
    let document = document.expect("what is not JSON is not read");
    for fold in FOLDS {
        assert_eq!(find_text(document, names, fold), Ok(found.as_deref()));
    }
}

fn find_text<'n>(document: &'n Node, names: &[&str], fold: fn(&str) -> String) -> Result<Option<&'n str>, Ambiguous> {
    match find(document, names, fold) {
        Found::Nothing => Ok(None),
        Found::One(Node { kind: Kind::Text(text), .. }) => Ok(Some(text)),
        Found::One(_) | Found::Ambiguous => Err(Ambiguous),
    }
}

/// Whether all letters of its names have two cases at most.
fn is_ascii(document: Option<&Node>) -> bool {
    document.is_some_and(|node| match &node.kind {
        Kind::Object(members) => members.iter().all(|(name, value)| name.is_ascii() && is_ascii(Some(value))),
        Kind::List(_) | Kind::Text(_) | Kind::Other => true,
    })
}

fn assert_binds_what_is_read(kind: &[u8], body: &[u8], document: Option<&Node>) {
    let Ok(kind) = HeaderValue::from_bytes(kind) else { return };
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind.clone())]);
    let target = RequestTarget::parse(b"/x").expect("a target");
    let places = ApplicationPlaces { body: JsonPointer::parse(POINTERS[0].0), ..ApplicationPlaces::default() };
    let application = ApplicationId::parse("ours").expect("an identifier");
    let bound = bind(&application, &places, &Parts { target, headers: &headers, body });
    let read = document.map_or(Err(Ambiguous), |document| find_text(document, POINTERS[0].1, str::to_ascii_lowercase));
    match bound {
        Ok(()) => assert!(is_plain_json(&kind) && read == Ok(Some("ours"))),
        Err(Reason::ApplicationMismatch) => assert!(read.is_ok_and(|text| text.is_some_and(|text| text != "ours"))),
        Err(Reason::ApplicationMissing) => assert!(body.is_empty() || read == Ok(None)),
        Err(reason) => assert_eq!(reason, Reason::ApplicationAmbiguous),
    }
}

/// Whether a content type leaves one reading: JSON, in UTF-8 if it names a charset in any form (RFC 2231 has two more).
fn is_plain_json(kind: &HeaderValue) -> bool {
    let kind = kind.to_str().expect("JSON is named in ASCII").to_ascii_lowercase();
    let mut parts = kind.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let charsets = parts.filter(|part| part.starts_with("charset"));
    let mut utf8 = charsets.map(|part| part.split('=').map(str::trim).collect::<Vec<_>>());
    (essence == "application/json" || essence.ends_with("+json"))
        && !kind.contains(',')
        && utf8.all(|parts| parts == ["charset", "utf-8"] || parts == ["charset", "\"utf-8\""])
}
