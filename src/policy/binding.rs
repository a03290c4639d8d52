use http::{HeaderMap, header};

use super::{
    json::find_string,
    name::Ambiguous,
    path::RequestTarget,
    query::find_parameter,
    route::ApplicationPlaces,
};
use crate::domain::{ApplicationId, Reason};

/// The parts of a request in which it can name its application.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// Path and query.
    pub target: RequestTarget<'a>,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// The whole body, if the route looks there; empty if there is none.
    pub body: &'a [u8],
}

/// Checks that the request names `application`, the token's own, in every one of `places` that is present, and in at least one.
pub fn bind(application: &ApplicationId, places: &ApplicationPlaces, parts: &Parts<'_>) -> Result<(), Reason> {
    let mut agreement = Agreement { application, seen: Seen::Nowhere };
    if let Some(place) = places.path {
        let segment = parts.target.segment(place).ok_or(Reason::ApplicationAmbiguous)?;
        agreement.add(Some(segment.as_bytes()))?;
    }
    if let (Some(name), Some(query)) = (&places.query, parts.target.query()) {
        agreement.add(find_parameter(query, name)?.as_deref().map(str::as_bytes))?;
    }
    if let Some(name) = &places.header {
        let mut values = parts.headers.get_all(name).iter();
        agreement.add(values.next().map(http::HeaderValue::as_bytes))?;
        if values.next().is_some() {
            return Err(Reason::ApplicationAmbiguous);
        }
    }
    if let Some(pointer) = &places.body
        && !parts.body.is_empty()
    {
        check_body_kind(parts.headers)?;
        agreement.add(find_string(parts.body, pointer)?.as_deref().map(str::as_bytes))?;
    }
    match agreement.seen {
        Seen::Somewhere => Ok(()),
        Seen::Nowhere => Err(Reason::ApplicationMissing),
    }
}

impl From<Ambiguous> for Reason {
    fn from(_: Ambiguous) -> Self {
        Self::ApplicationAmbiguous
    }
}

struct Agreement<'a> {
    application: &'a ApplicationId,
    seen: Seen,
}

enum Seen {
    Nowhere,
    Somewhere,
}

impl Agreement<'_> {
    fn add(&mut self, named: Option<&[u8]>) -> Result<(), Reason> {
        let Some(named) = named else { return Ok(()) };
        self.seen = Seen::Somewhere;
        if named == self.application.as_bytes() { Ok(()) } else { Err(Reason::ApplicationMismatch) }
    }
}

/// The body rule's outer half: one content type, `application/json` or `…+json`, UTF-8, nothing encoded.
fn check_body_kind(headers: &HeaderMap) -> Result<(), Reason> {
    if !names_json(headers) || headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Reason::ApplicationAmbiguous);
    }
    Ok(())
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
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::policy::JsonPointer;

    const OURS: &str = r#"{"applicationId":"ours"}"#;

    fn places() -> ApplicationPlaces {
        ApplicationPlaces {
            path: None,
            query: Some("applicationId".into()),
            header: Some(HeaderName::from_static("x-application")),
            body: JsonPointer::parse("/applicationId"),
        }
    }

    fn check(
        places: &ApplicationPlaces,
        target: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> Result<(), Reason> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let target = RequestTarget::parse(target.as_bytes()).unwrap();
        let parts = Parts { target, headers: &map, body: body.as_bytes() };
        bind(&ApplicationId::parse("ours").unwrap(), places, &parts)
    }

    #[test]
    fn every_place_that_is_present_must_agree() {
        let json = ("content-type", "application/json");
        for (target, headers, body, expected) in [
            ("/x?applicationId=ours", vec![], "", Ok(())),
            ("/x", vec![("x-application", "ours")], "", Ok(())),
            ("/x", vec![json], OURS, Ok(())),
            ("/x?applicationId=ours", vec![json, ("x-application", "ours")], OURS, Ok(())),
            ("/x", vec![json], "{}", Err(Reason::ApplicationMissing)),
            ("/x", vec![], "", Err(Reason::ApplicationMissing)),
            ("/x?applicationId=ours", vec![json], r#"{"applicationId":"other"}"#, Err(Reason::ApplicationMismatch)),
            ("/x?applicationId=other", vec![json], OURS, Err(Reason::ApplicationMismatch)),
            ("/x?applicationId=", vec![], "", Err(Reason::ApplicationMismatch)),
            ("/x?applicationId=ours&applicationId=other", vec![], "", Err(Reason::ApplicationAmbiguous)),
            ("/x", vec![("x-application", "ours"), ("x-application", "ours")], "", Err(Reason::ApplicationAmbiguous)),
            ("/x", vec![("x-application", "ours, ours")], "", Err(Reason::ApplicationMismatch)),
            ("/x", vec![json], "[]", Err(Reason::ApplicationAmbiguous)),
        ] {
            assert_eq!(check(&places(), target, &headers, body), expected, "{target} {headers:?} {body}");
        }
    }

    #[test]
    fn the_path_names_the_application_in_its_own_segment() {
        let places = ApplicationPlaces { path: Some(1), ..ApplicationPlaces::default() };
        for (target, expected) in [
            ("/applications/ours/x", Ok(())),
            ("/applications/other/ours", Err(Reason::ApplicationMismatch)),
            ("/applications/oursx/y", Err(Reason::ApplicationMismatch)),
        ] {
            assert_eq!(check(&places, target, &[], ""), expected, "{target}");
        }
    }

    #[test]
    fn only_plain_json_bodies_are_read() {
        for (kind, expected) in [
            (vec!["application/json"], Ok(())),
            (vec!["APPLICATION/JSON"], Ok(())),
            (vec!["application/json;charset=UTF-8"], Ok(())),
            (vec!["application/json; charset=\"utf-8\""], Ok(())),
            (vec!["application/json ; x=y"], Ok(())),
            (vec!["application/problem+json"], Ok(())),
            (vec![], Err(())),
            (vec!["application/json", "application/json"], Err(())),
            (vec!["application/json, text/plain"], Err(())),
            (vec!["application/json; x=y, text/plain"], Err(())),
            (vec!["application/json; charset=utf-16"], Err(())),
            (vec!["application/json; charset=\"utf-8"], Err(())),
            (vec!["application/json; charset*=utf-8''utf-16"], Err(())),
            (vec!["application/json; charset*0=utf-16"], Err(())),
            (vec!["application/json; charset"], Err(())),
            (vec!["text/json"], Err(())),
            (vec!["text/plain"], Err(())),
            (vec!["application/+json"], Err(())),
            (vec!["json"], Err(())),
        ] {
            let headers: Vec<_> = kind.iter().map(|kind| ("content-type", *kind)).collect();
            let expected = expected.map_err(|()| Reason::ApplicationAmbiguous);
            assert_eq!(check(&places(), "/x", &headers, OURS), expected, "{kind:?}");
        }
        let encoded = [("content-type", "application/json"), ("content-encoding", "identity")];
        assert_eq!(check(&places(), "/x", &encoded, OURS), Err(Reason::ApplicationAmbiguous));
    }
}
