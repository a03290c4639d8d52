//! What the upstream may see: first everything is taken out that a client could use to speak in our name, then we speak.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Version, header, request::Parts};
use pingora::{ErrorType::InvalidHTTPHeader, OrErr, Result, http::RequestHeader, proxy::Session};

use super::{
    context::{Admitted, BodyState, RequestId},
    grpc,
    link::Link,
    origin,
};
use crate::{
    domain::{Principal, push_address},
    policy::{FieldOwner, TokenForwarding, field_owner},
};

/// Forgets how the client spelt the names of its header fields; upstreams get them in lower case, as in HTTP/2.
///
/// The spelling is a second map as large as the first, which every step from here on would copy, search and keep in
/// order. The target stays, byte for byte: the path check let only targets pass that a URI holds as they are.
pub(super) fn forget_spelling(session: &mut Session) {
    let header = session.req_header_mut();
    *header = RequestHeader::from(take(header));
}

/// Takes out, then states. Called once per try on a fresh copy of the client's header.
pub(super) fn prepare(
    session: &Session,
    upstream: &mut RequestHeader,
    admitted: &Admitted,
    id: &RequestId,
) -> Result<()> {
    let mut parts = take(upstream);
    let headers = &mut parts.headers;
    let sender = if origin::told(session).is_some() { FieldOwner::TrustedProxy } else { FieldOwner::Anyone };
    strip(headers, sender, admitted.route.token);
    if admitted.body == BodyState::Judged {
        // The body was read, so the client was told to go on already.
        headers.remove(header::EXPECT);
    }
    headers.reserve(MOST_STATED);
    if let Some(principal) = &admitted.principal {
        state_identity(headers, principal);
    }
    headers.insert(X_REQUEST_ID, id.header_value());
    state_origin(session, headers)?;
    let request = &session.req_header().headers;
    // Of one connection like others, but gRPC asks it of every call, and some servers refuse those without.
    if parts.version == Version::HTTP_2 && grpc::is_call(request) && grpc::takes_trailers(request) {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    *upstream = parts.into();
    Ok(())
}

/// The parts of a header, which leave it empty.
fn take(header: &mut RequestHeader) -> Parts {
    let (empty, ()) = Request::new(()).into_parts();
    std::mem::replace(header, empty.into()).into()
}

/// Header fields that one request can be given.
const MOST_STATED: usize = 12;
const X_CUSTOMER_ID: HeaderName = HeaderName::from_static("x-customer-id");
const X_CLIENT_ID: HeaderName = HeaderName::from_static("x-client-id");
const X_SCOPE: HeaderName = HeaderName::from_static("x-scope");
const X_APPLICATION_ID: HeaderName = HeaderName::from_static("x-application-id");
const X_TOKEN_ID: HeaderName = HeaderName::from_static("x-token-id");
const X_TOKEN_ISSUER: HeaderName = HeaderName::from_static("x-token-issuer");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_CLIENT_CERT_SUBJECT: HeaderName = HeaderName::from_static("x-client-cert-subject");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Takes out what nobody of less standing than `sender` may say.
fn strip(headers: &mut HeaderMap, sender: FieldOwner, token: TokenForwarding) {
    let forged: Vec<HeaderName> = headers.keys().filter(|name| field_owner(name.as_str()) > sender).cloned().collect();
    for name in &forged {
        headers.remove(name);
    }
    if token == TokenForwarding::Remove {
        headers.remove(header::AUTHORIZATION);
    }
}

fn state_identity(headers: &mut HeaderMap, principal: &Principal) {
    headers.insert(X_CUSTOMER_ID, principal.customer.header_value().clone());
    headers.insert(X_CLIENT_ID, principal.client.header_value().clone());
    headers.insert(X_TOKEN_ISSUER, principal.issuer_name.header_value().clone());
    headers.insert(X_SCOPE, principal.scope_text.clone());
    if let Some(application) = &principal.application {
        headers.insert(X_APPLICATION_ID, application.header_value().clone());
    }
    if let Some(token) = &principal.token {
        headers.insert(X_TOKEN_ID, token.header_value().clone());
    }
}

/// Who sent a request; one without an address counts as nobody in particular.
pub(super) fn client_address(session: &Session) -> IpAddr {
    let told = origin::told(session).and_then(|origin| origin.client);
    told.or_else(|| origin::peer(session)).unwrap_or(NOBODY)
}

/// Who asked whom, and how: what we see, behind what a trusted peer told.
fn state_origin(session: &Session, headers: &mut HeaderMap) -> Result<()> {
    let origin = origin::told(session);
    let peer = origin::peer(session);
    let mut way = String::with_capacity(LONGEST_ADDRESS);
    match (origin.and_then(|origin| origin.way.as_deref()), peer) {
        (Some(before), None) => way.push_str(before),
        (Some(before), Some(peer)) => {
            way.push_str(before);
            way.push_str(", ");
            push_address(&mut way, peer);
        }
        (None, peer) => push_address(&mut way, peer.unwrap_or(NOBODY)),
    }
    headers.insert(X_FORWARDED_FOR, visible(way)?);
    if let Some(before) = origin.and_then(|origin| origin.forwarded.as_deref()) {
        let peer = match peer {
            Some(IpAddr::V4(peer)) => peer.to_string(),
            Some(IpAddr::V6(peer)) => format!("\"[{peer}]\""),
            None => "unknown".to_owned(),
        };
        let separator = if before.is_empty() { "" } else { ", " };
        headers.insert(header::FORWARDED, visible(format!("{before}{separator}for={peer}"))?);
    }
    let digest = session.digest();
    let tls = digest.is_some_and(|digest| digest.ssl_digest.is_some());
    let seen = HeaderValue::from_static(if tls { "https" } else { "http" });
    headers.insert(X_FORWARDED_PROTO, origin.and_then(|origin| origin.scheme.clone()).unwrap_or(seen));
    let host = origin.and_then(|origin| origin.host.as_ref()).or(session.req_header().headers.get(header::HOST));
    if let Some(host) = host {
        headers.insert(X_FORWARDED_HOST, host.clone());
    }
    if let Some(port) = origin.and_then(|origin| origin.port.as_ref()) {
        headers.insert(X_FORWARDED_PORT, port.clone());
    }
    if let Some(prefix) = origin.and_then(|origin| origin.prefix.as_ref()) {
        headers.insert(X_FORWARDED_PREFIX, prefix.clone());
    }
    if let Some(name) = Link::of(digest).and_then(Link::client) {
        headers.insert(X_CLIENT_CERT_SUBJECT, name.clone());
    }
    Ok(())
}

fn visible(text: String) -> Result<HeaderValue> {
    HeaderValue::try_from(text).or_err(InvalidHTTPHeader, "addresses are visible ASCII")
}

const LONGEST_ADDRESS: usize = 45;
/// A peer without an IP address.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
