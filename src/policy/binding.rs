use http::HeaderMap;

use super::{
    fields::{check_body_kind, check_charset, find_field, may_be_json},
    json::{JsonPointer, find_string},
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
    /// The whole body, if the route looks there, or if its place is the query and [`super::may_be_form`] or [`may_be_json`] says
    /// so of the body; else empty.
    pub body: &'a [u8],
}

/// Checks that the request names `application`, the token's own, in every one of `places` that is present, and in at least one.
pub fn bind(application: &ApplicationId, places: &ApplicationPlaces, parts: &Parts<'_>) -> Result<(), Reason> {
    let mut agreement = Agreement { application, seen: Seen::Nowhere };
    if let Some(place) = places.path {
        let segment = parts.target.segment(place).ok_or(Reason::ApplicationAmbiguous)?;
        agreement.add(Some(segment.as_bytes()))?;
    }
    if let Some(name) = &places.query {
        check_charset(parts.headers)?;
        let query = parts.target.query().unwrap_or_default();
        agreement.add(find_parameter(query, name)?.as_deref().map(str::as_bytes))?;
        if places.body.is_none() {
            if may_be_json(parts.headers) {
                agreement.check_json(parts, name)?;
            } else {
                agreement.check_form(parts.body, name)?;
            }
        }
    }
    if let Some(name) = &places.header {
        agreement.add_field(find_field(parts.headers, name)?)?;
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

    /// A list in a field is the field several times (RFC 9110 section 5.3).
    fn add_field(&mut self, named: Option<&[u8]>) -> Result<(), Reason> {
        let is_list = named.is_some_and(|value| value.contains(&b','));
        self.add(named).map_err(|reason| if is_list { Reason::ApplicationAmbiguous } else { reason })
    }

    /// Servers that lay the members of a JSON body over the query (Rails, Laravel) must not find another there either.
    fn check_json(&self, parts: &Parts<'_>, name: &str) -> Result<(), Reason> {
        if parts.body.is_empty() {
            return Ok(());
        }
        check_body_kind(parts.headers)?;
        match find_string(parts.body, &JsonPointer::member(name))? {
            Some(named) if named.as_bytes() != self.application.as_bytes() => Err(Reason::ApplicationMismatch),
            Some(_) | None => Ok(()),
        }
    }

    /// Servers that keep the parameters of query and form in one place (Rack, PHP, servlets) must not find another there.
    /// A form is no place that the route names, so it need not say anything.
    fn check_form(&self, form: &[u8], name: &str) -> Result<(), Reason> {
        let form = std::str::from_utf8(form).map_err(|_| Ambiguous)?;
        match find_parameter(form, name)? {
            Some(named) if named.as_bytes() != self.application.as_bytes() => Err(Reason::ApplicationMismatch),
            Some(_) | None => Ok(()),
        }
    }
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
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
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
            ("/x", vec![("x-application", "ours, ours")], "", Err(Reason::ApplicationAmbiguous)),
            ("/x", vec![("x-application", "ours,other")], "", Err(Reason::ApplicationAmbiguous)),
            ("/x", vec![("x-application", "")], "", Err(Reason::ApplicationMismatch)),
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
    fn a_field_that_a_server_may_take_for_another_makes_both_ambiguous() {
        let places = ApplicationPlaces { query: None, body: None, ..places() };
        for twin in
            ["x_application", "x.application", "X-Application-", "_x-application", "x--application", "x!application"]
        {
            for value in ["ours", "other"] {
                let headers = [("x-application", "ours"), (twin, value)];
                assert_eq!(check(&places, "/x", &headers, ""), Err(Reason::ApplicationAmbiguous), "{twin}");
            }
            assert_eq!(check(&places, "/x", &[(twin, "ours")], ""), Err(Reason::ApplicationAmbiguous), "{twin} alone");
        }
        for other in ["x-applications", "xapplication", "x-application-id", "application"] {
            assert_eq!(check(&places, "/x", &[("x-application", "ours"), (other, "other")], ""), Ok(()), "{other}");
        }
    }

    #[test]
    fn a_field_that_a_connection_nominates_is_ambiguous() {
        let places = ApplicationPlaces { query: None, body: None, ..places() };
        for (name, list) in [
            ("connection", "X-Application"),
            ("connection", "close,x_application"),
            ("connection", "close, \"X-Application\""),
            ("connection", "keep-alive;x-application"),
            ("connection", "close\tX-Application-"),
            ("connection_", "X-Application"),
            ("proxy-connection", "X-Application"),
        ] {
            let headers = [("x-application", "ours"), (name, list)];
            assert_eq!(check(&places, "/x", &headers, ""), Err(Reason::ApplicationAmbiguous), "{name}: {list}");
        }
        for list in ["close", "keep-alive, upgrade", "X-Applications", ""] {
            assert_eq!(check(&places, "/x", &[("x-application", "ours"), ("connection", list)], ""), Ok(()), "{list}");
        }
    }

    #[test]
    fn fields_that_say_how_a_judged_body_is_read_stand_alone() {
        let json = ("content-type", "application/json");
        for other in [
            ("content_type", "application/x-www-form-urlencoded"),
            ("content.type", "application/json"),
            ("content-type-", "text/plain"),
            ("_content_type", "text/plain"),
            ("content_encoding", "gzip"),
            ("content-encoding_", "identity"),
            ("content.length", "1"),
            ("transfer_encoding", "chunked"),
            ("connection", "Content-Type"),
            ("connection", "close, content_encoding"),
            ("connection", "Content-Length"),
            ("proxy-connection", "transfer-encoding"),
        ] {
            assert_eq!(check(&places(), "/x", &[json, other], OURS), Err(Reason::ApplicationAmbiguous), "{other:?}");
        }
        for other in [("content-language", "en"), ("connection", "close"), ("x-content-type", "text/plain")] {
            assert_eq!(check(&places(), "/x", &[json, other], OURS), Ok(()), "{other:?}");
        }
    }

    #[test]
    fn a_form_beside_the_query_names_no_other_application() {
        let places = ApplicationPlaces { header: None, body: None, ..places() };
        for (form, expected) in [
            ("", Ok(())),
            ("a=b", Ok(())),
            ("applicationId=ours", Ok(())),
            ("applicationId=other", Err(Reason::ApplicationMismatch)),
            ("applicationId=", Err(Reason::ApplicationMismatch)),
            ("applicationId[]=other", Err(Reason::ApplicationAmbiguous)),
            ("[applicationId]=other", Err(Reason::ApplicationAmbiguous)),
            ("ApplicationId=ours", Err(Reason::ApplicationAmbiguous)),
            ("a=b;applicationId=other", Err(Reason::ApplicationAmbiguous)),
        ] {
            assert_eq!(check(&places, "/x?applicationId=ours", &[], form), expected, "{form}");
        }
        assert_eq!(check(&places, "/x", &[], "applicationId=ours"), Err(Reason::ApplicationMissing));
    }

    #[test]
    fn a_charset_that_spells_names_in_other_bytes_makes_the_query_ambiguous() {
        let places = ApplicationPlaces { header: None, body: None, ..places() };
        for (kind, expected) in [
            ("text/plain", Ok(())),
            ("text/plain; charset=UTF-8", Ok(())),
            ("text/plain; Charset = \"iso-8859-1\"", Ok(())),
            ("text/plain; charset=windows-1252", Ok(())),
            ("text/plain; charset=ibm037", Err(())),
            ("text/plain; charset=utf-7", Err(())),
            ("text/plain; charset=utf-16le", Err(())),
            ("text/plain; charset=utf-8; charset=ibm037", Err(())),
            ("text/plain; charset*=utf-8''ibm037", Err(())),
        ] {
            for name in ["content-type", "content_type"] {
                let expected = expected.map_err(|()| Reason::ApplicationAmbiguous);
                assert_eq!(check(&places, "/x?applicationId=ours", &[(name, kind)], ""), expected, "{kind}");
            }
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
