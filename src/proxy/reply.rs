//! What a client may see of an upstream's reply.

use http::{HeaderName, header};
use pingora::{Error, ErrorType::InvalidHTTPHeader, Result, http::ResponseHeader};

/// What a client may see of a reply: one length at most, and nothing that was meant for this hop (RFC 9110 section 7.6.1).
pub(super) fn check_reply(reply: &mut ResponseHeader) -> Result<()> {
    if reply.headers.get_all(header::CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(Error::explain(InvalidHTTPHeader, "the reply has more than one length").into_up());
    }
    for name in nominated(reply).iter().chain(&HOP_BY_HOP) {
        reply.remove_header(name);
    }
    Ok(())
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
