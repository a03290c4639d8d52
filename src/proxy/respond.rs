//! Reason -> status, challenge and body: the one place.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use pingora::{Result, http::ResponseHeader, proxy::Session};
use serde_json::json;

use super::{Gateway, admit::Refusal, body, context::RequestContext, grpc};
use crate::{
    domain::{Reason, ScopeName},
    policy::{Access, HandshakeError, Violation},
};

/// What went wrong with a request, from its first byte to its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It was refused.
    Refused(Reason),
    /// Its head breaks the rules of HTTP.
    Head(Violation),
    /// It asks for a WebSocket and opens none.
    Handshake(HandshakeError),
    /// Its body did not arrive in time.
    BodyTimeout,
    /// No server took it, or one answered with something that is no HTTP.
    UpstreamUnreachable,
    /// A server did not answer in time.
    UpstreamTimeout,
    /// No server can be asked at the moment.
    UpstreamUnavailable,
    /// We failed.
    Internal,
}

impl Failure {
    pub(super) const fn status(self) -> u16 {
        match self {
            Self::Refused(reason) => meaning(reason).status,
            Self::Head(violation) => violation.status(),
            Self::Handshake(error) => error.status(),
            Self::BodyTimeout => 408,
            Self::UpstreamUnreachable => 502,
            Self::UpstreamTimeout => 504,
            Self::UpstreamUnavailable => 503,
            Self::Internal => 500,
        }
    }

    /// The `code` member. Callers learn that a token is invalid, not which check it failed.
    const fn code(self) -> &'static str {
        match self {
            Self::Refused(reason) => match meaning(reason).told {
                Told::InvalidToken | Told::Expired => "invalid_token",
                Told::Nothing | Told::Bare | Told::InvalidRequest | Told::InsufficientScope => reason.code(),
            },
            Self::Head(violation) => violation.reason().code(),
            Self::Handshake(_) | Self::BodyTimeout => Reason::InvalidRequest.code(),
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::Internal => "internal",
        }
    }

    fn detail(self) -> String {
        match self {
            Self::Refused(reason) => meaning(reason).detail.to_owned(),
            Self::Head(violation) => violation.to_string(),
            Self::Handshake(error) => error.to_string(),
            Self::BodyTimeout => "the request's body did not arrive in time".to_owned(),
            Self::UpstreamUnreachable => "the service behind the gateway cannot be reached".to_owned(),
            Self::UpstreamTimeout => "the service behind the gateway did not answer in time".to_owned(),
            Self::UpstreamUnavailable => "the service behind the gateway is not available at the moment".to_owned(),
            Self::Internal => "the gateway failed".to_owned(),
        }
    }
}

impl Gateway {
    /// The reply to a request that was refused.
    pub(super) fn refuse(&self, refusal: &Refusal, ctx: &RequestContext) -> Response<Bytes> {
        let mut reply = problem(Failure::Refused(refusal.reason), ctx.id.as_str());
        let headers = reply.headers_mut();
        if let Some(challenge) = self.challenge(refusal) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(allow) = refusal.allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        if matches!(refusal.reason, Reason::Overloaded | Reason::RateLimited | Reason::KeysUnavailable) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        reply
    }

    /// The challenge of RFC 6750 section 3, if the refusal carries one.
    fn challenge(&self, refusal: &Refusal) -> Option<HeaderValue> {
        let realm = self.issuer.realm();
        let rest = match meaning(refusal.reason).told {
            Told::Nothing => return None,
            Told::Bare => String::new(),
            Told::InvalidRequest => ", error=\"invalid_request\"".to_owned(),
            Told::InvalidToken => ", error=\"invalid_token\"".to_owned(),
            Told::Expired => ", error=\"invalid_token\", error_description=\"the token has expired\"".to_owned(),
            Told::InsufficientScope => {
                format!(", error=\"insufficient_scope\", scope=\"{}\"", self.scopes_of(refusal))
            }
        };
        let text = format!("Bearer realm=\"{realm}\"{rest}");
        HeaderValue::from_str(&text).ok()
    }

    fn scopes_of(&self, refusal: &Refusal) -> String {
        match refusal.route.as_ref().map(|route| route.access) {
            Some(Access::AnyOf(scopes)) => {
                self.catalogue.names(scopes).map(ScopeName::as_str).collect::<Vec<_>>().join(" ")
            }
            Some(Access::Public) | None => String::new(),
        }
    }
}

/// A problem document (RFC 9457) that names no cause a caller could use against us.
pub(super) fn problem(failure: Failure, request_id: &str) -> Response<Bytes> {
    let status = StatusCode::from_u16(failure.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "code": failure.code(),
        "detail": failure.detail(),
        "request_id": request_id,
    });
    let mut reply = Response::new(Bytes::from(body.to_string()));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if failure == Failure::UpstreamUnavailable {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    reply
}

/// Sends a whole reply and leaves the connection in a state in which the next bytes are a request, or are none.
pub(super) async fn send(session: &mut Session, reply: Response<Bytes>, ctx: &RequestContext) -> Result<()> {
    body::drain(session).await;
    send_last(session, reply, ctx).await
}

/// The same where the connection ends after the reply: what is still to come of the body is not waited for first.
pub(super) async fn send_last(session: &mut Session, reply: Response<Bytes>, ctx: &RequestContext) -> Result<()> {
    let request = session.req_header();
    let (parts, body) = grpc::spoken(request.version, &request.headers, reply).into_parts();
    let mut header = ResponseHeader::build(parts.status, Some(parts.headers.len() + 3))?;
    for (name, value) in &parts.headers {
        header.append_header(name, value)?;
    }
    if parts.status != StatusCode::NO_CONTENT {
        header.insert_header(header::CONTENT_LENGTH, body.len())?;
    }
    ctx.state(&mut header)?;
    let without_body = body.is_empty() || session.req_header().method == http::Method::HEAD;
    session.write_response_header(Box::new(header), without_body).await?;
    if !without_body {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}

/// The same reply as bytes, for a connection that pingora never saw a request on; it is closed after them.
pub(super) fn encode(reply: &Response<Bytes>) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {}\r\n", reply.status()).into_bytes();
    for (name, value) in reply.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("content-length: {}\r\nconnection: close\r\n\r\n", reply.body().len()).as_bytes());
    bytes.extend_from_slice(reply.body());
    bytes
}

/// What a reason means to a caller.
struct Meaning {
    status: u16,
    told: Told,
    detail: &'static str,
}

/// What a challenge says (RFC 6750 section 3.1).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// There is none.
    Nothing,
    /// A token is needed.
    Bare,
    InvalidRequest,
    /// Not which check the token failed.
    InvalidToken,
    /// The one failure that is named.
    Expired,
    InsufficientScope,
}

const fn meaning(reason: Reason) -> Meaning {
    let (status, told, detail) = match reason {
        Reason::Path => (400, Told::Nothing, "the path can be read in more than one way"),
        Reason::InvalidRequest => (400, Told::InvalidRequest, "the request is malformed"),
        Reason::ApplicationAmbiguous => {
            (400, Told::Nothing, "the request names its application in a way that can be read twice")
        }
        Reason::MissingToken => (401, Told::Bare, "an access token is needed"),
        Reason::Expired => (401, Told::Expired, "the access token has expired"),
        Reason::Malformed
        | Reason::Algorithm
        | Reason::UnknownKey
        | Reason::Signature
        | Reason::NotYetValid
        | Reason::Issuer
        | Reason::Audience
        | Reason::Claims
        | Reason::Revoked => (401, Told::InvalidToken, "the access token is not valid"),
        Reason::InsufficientScope => (403, Told::InsufficientScope, "the access token does not cover this"),
        Reason::ApplicationMissing => {
            (403, Told::InsufficientScope, "the request does not name the application that the access token is for")
        }
        Reason::ApplicationMismatch => (403, Told::InsufficientScope, "the access token is for another application"),
        Reason::NoRoute => (404, Told::Nothing, "there is nothing here"),
        Reason::Method => (405, Told::Nothing, "the method is not allowed here"),
        Reason::BodyTooLarge => (413, Told::Nothing, "the request body is too large"),
        Reason::RateLimited => (429, Told::Nothing, "too many requests"),
        Reason::KeysUnavailable => (503, Told::Nothing, "access tokens cannot be verified at the moment"),
        Reason::Overloaded => (503, Told::Nothing, "the gateway is busy"),
    };
    Meaning { status, told, detail }
}
