//! What the upstream may see: first everything is taken out that a client could use to speak in our name, then we speak.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::{HeaderName, HeaderValue, header};
use pingora::{Result, http::RequestHeader, proxy::Session};

use super::context::{Admitted, BodyState, RequestId};
use crate::{domain::Principal, policy::TokenForwarding};

/// Takes out, then states. Called once per try on a fresh copy of the client's header.
pub(super) fn prepare(
    session: &Session,
    upstream: &mut RequestHeader,
    admitted: &Admitted,
    id: &RequestId,
) -> Result<()> {
    strip(upstream, admitted.route.token);
    if admitted.body == BodyState::Judged {
        // The body was read, so the client was told to go on already.
        upstream.remove_header(&header::EXPECT);
    }
    if let Some(principal) = &admitted.principal {
        state_identity(upstream, principal)?;
    }
    upstream.insert_header("X-Request-Id", id.header_value())?;
    state_origin(session, upstream)
}

fn strip(upstream: &mut RequestHeader, token: TokenForwarding) {
    let forged: Vec<HeaderName> =
        upstream.headers.keys().filter(|name| speaks_for_us(name.as_str())).cloned().collect();
    for name in &forged {
        upstream.remove_header(name);
    }
    if token == TokenForwarding::Remove {
        upstream.remove_header(&header::AUTHORIZATION);
    }
}

fn state_identity(upstream: &mut RequestHeader, principal: &Principal) -> Result<()> {
    upstream.insert_header("X-Customer-Id", principal.customer.header_value())?;
    upstream.insert_header("X-Client-Id", principal.client.header_value())?;
    upstream.insert_header("X-Scope", &principal.scope_text)?;
    if let Some(application) = &principal.application {
        upstream.insert_header("X-Application-Id", application.header_value())?;
    }
    if let Some(token) = &principal.token {
        upstream.insert_header("X-Token-Id", token.header_value())?;
    }
    Ok(())
}

/// Who sent a request; a peer without an address counts as nobody in particular.
pub(super) fn client_address(session: &Session) -> IpAddr {
    let address = session.client_addr().and_then(|address| address.as_inet());
    address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), SocketAddr::ip)
}

/// Who asked whom, and how.
fn state_origin(session: &Session, upstream: &mut RequestHeader) -> Result<()> {
    upstream.insert_header("X-Forwarded-For", client_address(session).to_string())?;
    upstream.insert_header("X-Forwarded-Proto", HeaderValue::from_static("http"))?;
    if let Some(host) = session.req_header().headers.get(header::HOST) {
        upstream.insert_header("X-Forwarded-Host", host)?;
    }
    Ok(())
}

/// Whether an upstream could take a header of this (lower-case) name for one of ours, or for an order to read another
/// path or method than the one that was judged. Servers that hand headers to CGI-like interfaces fold every character
/// but letters and digits into one, so names are compared that way.
fn speaks_for_us(name: &str) -> bool {
    // Nearly every name is told by its first letter.
    if !name.bytes().any(|byte| byte.is_ascii_alphanumeric()) {
        return true;
    }
    let name = name.trim_matches(|character: char| !character.is_ascii_alphanumeric());
    match name.as_bytes()[0] {
        b'x' => folds_to_any(name, &RESERVED_X) || folds_to_prefix(name, "x-forwarded-"),
        b'f' => name == "forwarded",
        b'p' => folds_to_any(name, &["proxy-authorization"]),
        // The header itself is dealt with by the route; what only looks like it has no business upstream.
        b'a' => name != "authorization" && folds_to_any(name, &["authorization"]),
        _ => false,
    }
}

fn folds_to_any(name: &str, reserved: &[&str]) -> bool {
    reserved.iter().any(|reserved| reserved.len() == name.len() && folds_to_prefix(name, reserved))
}

fn folds_to_prefix(name: &str, prefix: &str) -> bool {
    let fold = |byte: u8| if byte.is_ascii_alphanumeric() { byte } else { b'-' };
    name.len() >= prefix.len() && name.bytes().map(fold).zip(prefix.bytes()).all(|(one, two)| one == two)
}

/// Names that begin with `x`: ours, and those by which frameworks override what they were asked.
const RESERVED_X: [&str; 15] = [
    "x-customer-id",
    "x-client-id",
    "x-scope",
    "x-application-id",
    "x-token-id",
    "x-request-id",
    "x-gateway-assertion",
    "x-client-cert-subject",
    "x-real-ip",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_folds_to_a_name_of_ours_is_taken_out() {
        for name in [
            "x-customer-id",
            "x_customer_id",
            "x-customer_id",
            "x.customer.id",
            "x-customer-id_",
            "_x-customer-id",
            "x-scope",
            "x_forwarded_for",
            "x-forwarded-anything",
            "forwarded",
            "x-original-url",
            "x-http-method-override",
            "proxy-authorization",
            "authorization_",
            "-authorization-",
            "_",
        ] {
            assert!(speaks_for_us(name) || name.trim_matches(['-', '_']) == "authorization", "{name}");
        }
    }

    #[test]
    fn other_names_pass() {
        for name in [
            "accept",
            "x-customer",
            "x-customer-ids",
            "x-customers-id",
            "x-scopes",
            "x-forwarded",
            "authorization",
            "x-a",
            "x",
        ] {
            assert!(!speaks_for_us(name), "{name}");
        }
    }
}
