//! What a client may see of an upstream's reply.

use http::{HeaderName, Method, StatusCode, Version, header};
use pingora::{Error, ErrorType::InvalidHTTPHeader, Result, http::ResponseHeader, proxy::Session};

use super::context::ReplyEnd;

/// What a client may see of a reply: one length at most, nothing that was meant for this hop (RFC 9110 section 7.6.1), and
/// our own version of the protocol (RFC 9110 section 2.5).
pub(super) fn check_reply(session: &Session, reply: &mut ResponseHeader) -> Result<()> {
    if reply.headers.get_all(header::CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(Error::explain(InvalidHTTPHeader, "the reply has more than one length").into_up());
    }
    for name in nominated(reply).iter().chain(&HOP_BY_HOP) {
        reply.remove_header(name);
    }
    fit_framing(&session.req_header().method, reply);
    reply.set_version(Version::HTTP_11);
    Ok(())
}

/// Leaves no field that says how a body ends where there is none: clients wait for it (RFC 9112 section 6.3).
fn fit_framing(method: &Method, reply: &mut ResponseHeader) {
    let bodiless =
        reply.status.is_informational() || matches!(reply.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if bodiless {
        reply.remove_header(&header::CONTENT_LENGTH);
    }
    let Some(coding) = reply.headers.get(header::TRANSFER_ENCODING) else { return };
    // The judge of the reply's bytes let one `chunked` pass, or `identity`, which means none.
    if bodiless || *method == Method::HEAD || coding.as_bytes().eq_ignore_ascii_case(b"identity") {
        reply.remove_header(&header::TRANSFER_ENCODING);
    }
}

/// A client that knows no chunks finds the end of such a reply at the end of the connection.
pub(super) fn lower_to_http10(session: &mut Session, reply: &mut ResponseHeader) -> ReplyEnd {
    if reply.remove_header(&header::TRANSFER_ENCODING).is_none() {
        return ReplyEnd::Whole;
    }
    session.set_keepalive(None);
    ReplyEnd::Unsaid
}

/// The fields that `Connection` names, but for those of framing, which is pingora's.
fn nominated(reply: &ResponseHeader) -> Vec<HeaderName> {
    let values = reply.headers.get_all(header::CONNECTION).iter();
    // What nearly every reply says names no field.
    let telling = values.filter(|value| *value != "keep-alive" && *value != "close");
    let names = telling.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let framing = [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
    names.filter_map(|name| name.trim().parse().ok()).filter(|name| !framing.contains(name)).collect()
}

/// Fields of a reply that concern one connection, named or not.
const HOP_BY_HOP: [HeaderName; 4] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRAILER,
    header::UPGRADE,
];
