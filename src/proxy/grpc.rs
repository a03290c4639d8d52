//! What a caller of gRPC is told instead of a problem document: a status of its own protocol, without a body.

use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version, header};

/// The reply as the client of this request reads it: problem documents become trailers alone for gRPC ("Trailers-Only"
/// in the protocol's description), everything else stays. Over HTTP/1.1 there is no gRPC, whatever a request calls itself.
pub(super) fn spoken(version: Version, request: &HeaderMap, reply: Response<Bytes>) -> Response<Bytes> {
    if version != Version::HTTP_2 || !is_call(request) || !begins(reply.headers(), PROBLEM) {
        return reply;
    }
    let (mut parts, body) = reply.into_parts();
    let status = HeaderValue::from_static(grpc_status(parts.status));
    let detail = serde_json::from_slice::<serde_json::Value>(&body).ok();
    let detail = detail.as_ref().and_then(|problem| problem["detail"].as_str()).unwrap_or_default();
    let message = HeaderValue::try_from(percent_encoded(detail)).expect("percent-encoded text is visible ASCII");
    parts.status = StatusCode::OK;
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(GRPC));
    parts.headers.insert(GRPC_STATUS, status);
    parts.headers.insert(GRPC_MESSAGE, message);
    Response::from_parts(parts, Bytes::new())
}

/// Whether a request is a call of gRPC: of the protocol itself, not of what browsers speak in its place.
pub(super) fn is_call(request: &HeaderMap) -> bool {
    let rest = |kind: &HeaderValue| kind.as_bytes().get(GRPC.len()).copied();
    begins(request, GRPC) && matches!(request.get(header::CONTENT_TYPE).and_then(rest), None | Some(b'+' | b';' | b' '))
}

/// Whether a call's client takes trailers, which every one must.
pub(super) fn takes_trailers(request: &HeaderMap) -> bool {
    let lines = request.get_all(header::TE).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

fn begins(headers: &HeaderMap, kind: &str) -> bool {
    let start = headers.get(header::CONTENT_TYPE).and_then(|own| own.as_bytes().get(..kind.len()));
    start.is_some_and(|start| start.eq_ignore_ascii_case(kind.as_bytes()))
}

/// The nearest of gRPC's status codes.
const fn grpc_status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "16",            // UNAUTHENTICATED
        403 => "7",             // PERMISSION_DENIED
        404 | 405 => "12",      // UNIMPLEMENTED
        408 | 504 => "4",       // DEADLINE_EXCEEDED
        413 | 429 | 431 => "8", // RESOURCE_EXHAUSTED
        502 | 503 => "14",      // UNAVAILABLE
        400..=499 => "3",       // INVALID_ARGUMENT
        _ => "13",              // INTERNAL
    }
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

const GRPC: &str = "application/grpc";
const PROBLEM: &str = "application/problem+json";
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: &'static str, status: u16, reply_kind: &'static str, body: &'static str) -> Response<Bytes> {
        told_over(Version::HTTP_2, kind, status, reply_kind, body)
    }

    fn told_over(
        version: Version,
        kind: &'static str,
        status: u16,
        reply_kind: &'static str,
        body: &'static str,
    ) -> Response<Bytes> {
        let request = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
        let reply = Response::builder().status(status).header(header::CONTENT_TYPE, reply_kind);
        spoken(version, &request, reply.body(Bytes::from_static(body.as_bytes())).unwrap())
    }

    #[test]
    fn a_problem_becomes_a_status_of_grpc() {
        for (status, expected) in [
            (400, "3"),
            (401, "16"),
            (403, "7"),
            (404, "12"),
            (405, "12"),
            (408, "4"),
            (413, "8"),
            (417, "3"),
            (429, "8"),
            (500, "13"),
            (502, "14"),
            (503, "14"),
            (504, "4"),
        ] {
            let reply = told("application/grpc+proto", status, PROBLEM, r#"{"detail":"50 % \u00fc"}"#);
            assert_eq!((reply.status(), reply.body().len()), (StatusCode::OK, 0), "{status}");
            assert_eq!(reply.headers()[GRPC_STATUS], expected, "{status}");
            assert_eq!(reply.headers()[GRPC_MESSAGE], "50 %25 %C3%BC");
        }
    }

    #[test]
    fn everything_else_stays() {
        assert_eq!(told("application/json", 401, PROBLEM, "{}").status(), 401);
        assert_eq!(told("application/grpc", 401, "application/json", "{}").status(), 401);
        assert_eq!(told("application/grpc-web+proto", 401, PROBLEM, "{}").status(), 401);
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert_eq!(told_over(version, "application/grpc", 401, PROBLEM, "{}").status(), 401, "{version:?}");
        }
    }

    #[test]
    fn a_call_is_told_from_what_only_begins_like_one() {
        for (kind, expected) in [
            ("application/grpc", true),
            ("Application/GRPC+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/grpcx", false),
            ("application/json", false),
        ] {
            let request = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
            assert_eq!(is_call(&request), expected, "{kind}");
        }
        for (te, expected) in [("trailers", true), ("gzip, Trailers", true), ("gzip", false), ("trailers2", false)] {
            let request = HeaderMap::from_iter([(header::TE, HeaderValue::from_static(te))]);
            assert_eq!(takes_trailers(&request), expected, "{te}");
        }
    }
}
