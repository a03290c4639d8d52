//! The opening handshake of WebSocket (RFC 6455 section 4), both halves of it: behind it nothing is judged any more.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, Method, Version, header};

/// Why a request that asks for a WebSocket opens none (RFC 6455 section 4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Another method, or another version of HTTP.
    #[error("a WebSocket is opened by GET and HTTP/1.1")]
    RequestLine,
    /// `Upgrade` does not name this protocol alone and once.
    #[error("the Upgrade header field must be `websocket`, once")]
    Upgrade,
    /// `Connection` does not say that `Upgrade` is meant for this hop.
    #[error("the Connection header field must name Upgrade")]
    Connection,
    /// No key, several, or one that is not 16 bytes in base64.
    #[error("the Sec-WebSocket-Key header field must be 16 bytes in base64, once")]
    Key,
    /// `Sec-WebSocket-Version` is missing or repeated.
    #[error("the Sec-WebSocket-Version header field must be `13`, once")]
    Version,
    /// `Sec-WebSocket-Version` is another one.
    #[error("only version 13 of the WebSocket protocol is spoken here")]
    OtherVersion,
    /// What follows the head would be a body to some, and frames to others.
    #[error("a request for a WebSocket has no body")]
    Body,
}

/// Why a server's reply opens no WebSocket (RFC 6455 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SwitchError {
    /// `Upgrade` or `Connection` does not say so.
    #[error("the reply does not switch to a WebSocket")]
    Protocol,
    /// `Sec-WebSocket-Accept` does not answer the request's key.
    #[error("the reply does not answer the WebSocket's key")]
    Accept,
    /// An extension or a subprotocol that was not asked for.
    #[error("the reply agrees to something about the WebSocket that nobody asked for")]
    Unasked,
}

impl HandshakeError {
    /// The status to answer with.
    pub const fn status(self) -> u16 {
        match self {
            Self::OtherVersion => 426,
            Self::RequestLine | Self::Upgrade | Self::Connection | Self::Key | Self::Version | Self::Body => 400,
        }
    }
}

/// Whether a request wants its connection to become a WebSocket, in whatever form.
pub fn asks_for_websocket(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE) && elements(headers, &header::UPGRADE).any(is_websocket)
}

/// Judges the request of a handshake.
pub fn check_handshake(method: &Method, version: Version, headers: &HeaderMap) -> Result<(), HandshakeError> {
    if *method != Method::GET || version != Version::HTTP_11 {
        return Err(HandshakeError::RequestLine);
    }
    if !only(headers, &header::UPGRADE).is_some_and(is_websocket) {
        return Err(HandshakeError::Upgrade);
    }
    if !names_upgrade(headers) {
        return Err(HandshakeError::Connection);
    }
    let length = headers.get_all(header::CONTENT_LENGTH).iter().all(|length| length == "0");
    if !length || headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(HandshakeError::Body);
    }
    let key = only(headers, &header::SEC_WEBSOCKET_KEY).and_then(|key| STANDARD.decode(key).ok());
    if key.is_none_or(|key| key.len() != KEY_LENGTH) {
        return Err(HandshakeError::Key);
    }
    match only(headers, &header::SEC_WEBSOCKET_VERSION) {
        Some("13") => Ok(()),
        Some(other) if !other.is_empty() && other.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(HandshakeError::OtherVersion)
        }
        Some(_) | None => Err(HandshakeError::Version),
    }
}

/// Judges the reply of a handshake whose request passed.
pub fn check_switch(request: &HeaderMap, reply: &HeaderMap) -> Result<(), SwitchError> {
    if !only(reply, &header::UPGRADE).is_some_and(is_websocket) || !names_upgrade(reply) {
        return Err(SwitchError::Protocol);
    }
    let key = only(request, &header::SEC_WEBSOCKET_KEY).unwrap_or_default();
    if only(reply, &header::SEC_WEBSOCKET_ACCEPT) != Some(&*accept(key)) {
        return Err(SwitchError::Accept);
    }
    let extension = |element: &str| element.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let asked: Vec<String> = elements(request, &header::SEC_WEBSOCKET_EXTENSIONS).map(extension).collect();
    if !elements(reply, &header::SEC_WEBSOCKET_EXTENSIONS).map(extension).all(|given| asked.contains(&given)) {
        return Err(SwitchError::Unasked);
    }
    if !reply.contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
        return Ok(());
    }
    let given = only(reply, &header::SEC_WEBSOCKET_PROTOCOL);
    let asked = |given| elements(request, &header::SEC_WEBSOCKET_PROTOCOL).any(|asked| asked == given);
    if given.is_some_and(asked) { Ok(()) } else { Err(SwitchError::Unasked) }
}

/// What a server answers a key with.
fn accept(key: &str) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{PROTOCOL_ID}").as_bytes()))
}

fn is_websocket(protocol: &str) -> bool {
    protocol.eq_ignore_ascii_case("websocket")
}

fn names_upgrade(headers: &HeaderMap) -> bool {
    elements(headers, &header::CONNECTION).any(|option| option.eq_ignore_ascii_case("upgrade"))
}

/// The elements of a list, over all lines of a field. A line that is no ASCII text is one that nobody asked for.
fn elements<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(name).into_iter().map(|line| line.to_str().unwrap_or("\u{fffd}"));
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// The value of a field that stands once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut lines = headers.get_all(name).iter();
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    line.to_str().ok().map(str::trim)
}

/// Of a key, in bytes.
const KEY_LENGTH: usize = 16;
/// RFC 6455 section 1.3.
const PROTOCOL_ID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    type Lines<'l> = &'l [(&'static str, &'l str)];

    fn map(lines: Lines) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    /// The example of RFC 6455 section 1.3, with other lines in place of those of the same names.
    fn changed(sound: Lines, lines: Lines) -> HeaderMap {
        let mut headers = map(sound);
        for (name, _) in lines {
            headers.remove(*name);
        }
        for (name, value) in lines.iter().filter(|(_, value)| *value != "-") {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    const REQUEST: [(&str, &str); 4] = [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ];
    const REPLY: [(&str, &str); 3] =
        [("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")];

    #[test]
    fn a_handshake_is_whole_or_none() {
        use HandshakeError::{Body, Connection, Key, OtherVersion, Upgrade, Version as NoVersion};
        let cases: [(Lines, Result<(), HandshakeError>); 26] = [
            (&[], Ok(())),
            (&[("upgrade", "WebSocket")], Ok(())),
            (&[("connection", "keep-alive, upgrade")], Ok(())),
            (&[("connection", "keep-alive"), ("connection", "Upgrade")], Ok(())),
            (&[("content-length", "0")], Ok(())),
            (&[("upgrade", "websocket"), ("upgrade", "websocket")], Err(Upgrade)),
            (&[("upgrade", "websocket"), ("upgrade", "h2c")], Err(Upgrade)),
            (&[("upgrade", "websocket, h2c")], Err(Upgrade)),
            (&[("upgrade", "-")], Err(Upgrade)),
            (&[("connection", "-")], Err(Connection)),
            (&[("connection", "close")], Err(Connection)),
            (&[("connection", "x-upgrade")], Err(Connection)),
            (&[("content-length", "5")], Err(Body)),
            (&[("transfer-encoding", "chunked")], Err(Body)),
            (&[("sec-websocket-key", "-")], Err(Key)),
            (&[("sec-websocket-key", "")], Err(Key)),
            (&[("sec-websocket-key", "c2hvcnQ=")], Err(Key)),
            (&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZSE=")], Err(Key)),
            (&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ")], Err(Key)),
            (
                &[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")],
                Err(Key),
            ),
            (&[("sec-websocket-key", "not base64 at all!!!!!!!")], Err(Key)),
            (&[("sec-websocket-version", "8")], Err(OtherVersion)),
            (&[("sec-websocket-version", "130")], Err(OtherVersion)),
            (&[("sec-websocket-version", "-")], Err(NoVersion)),
            (&[("sec-websocket-version", "13, 8")], Err(NoVersion)),
            (&[("sec-websocket-version", "13"), ("sec-websocket-version", "13")], Err(NoVersion)),
        ];
        for (lines, expected) in cases {
            let headers = changed(&REQUEST, lines);
            assert_eq!(check_handshake(&Method::GET, Version::HTTP_11, &headers), expected, "{lines:?}");
        }
        for (method, version) in [(Method::POST, Version::HTTP_11), (Method::GET, Version::HTTP_10)] {
            let refused = check_handshake(&method, version, &map(&REQUEST));
            assert_eq!(refused, Err(HandshakeError::RequestLine), "{method} {version:?}");
        }
    }

    #[test]
    fn whatever_names_the_protocol_asks_for_it() {
        let asks = |lines: Lines| asks_for_websocket(&map(lines));
        assert!(asks(&[("upgrade", "h2c, WEBSOCKET")]) && asks(&[("upgrade", "h2c"), ("upgrade", "websocket")]));
        assert!(!asks(&[]) && !asks(&[("upgrade", "h2c")]) && !asks(&[("upgrade", "websocket2")]));
    }

    #[test]
    fn a_reply_agrees_to_what_was_asked_for_and_to_nothing_else() {
        use SwitchError::{Accept, Protocol, Unasked};
        let asked = [
            ("sec-websocket-protocol", "chat, v2"),
            ("sec-websocket-extensions", "permessage-deflate; client_no_context_takeover"),
        ];
        let cases: [(Lines, Lines, Result<(), SwitchError>); 18] = [
            (&[], &[], Ok(())),
            (&[], &[("upgrade", "WebSocket"), ("connection", "keep-alive, upgrade")], Ok(())),
            (&asked, &[], Ok(())),
            (&asked, &[("sec-websocket-protocol", "v2")], Ok(())),
            (&asked, &[("sec-websocket-extensions", "Permessage-Deflate; server_no_context_takeover")], Ok(())),
            (&[], &[("upgrade", "-")], Err(Protocol)),
            (&[], &[("upgrade", "h2c")], Err(Protocol)),
            (&[], &[("upgrade", "websocket"), ("upgrade", "websocket")], Err(Protocol)),
            (&[], &[("connection", "-")], Err(Protocol)),
            (&[], &[("connection", "close")], Err(Protocol)),
            (&[], &[("sec-websocket-accept", "-")], Err(Accept)),
            (&[], &[("sec-websocket-accept", "S3pPLMBiTxaQ9kYGzzhZRbK+xOo=")], Err(Accept)),
            (
                &[],
                &[("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), ("sec-websocket-accept", "x")],
                Err(Accept),
            ),
            (&[], &[("sec-websocket-protocol", "chat")], Err(Unasked)),
            (&asked, &[("sec-websocket-protocol", "Chat")], Err(Unasked)),
            (&asked, &[("sec-websocket-protocol", "chat, v2")], Err(Unasked)),
            (&[], &[("sec-websocket-extensions", "permessage-deflate")], Err(Unasked)),
            (&asked, &[("sec-websocket-extensions", "permessage-deflate, x-other")], Err(Unasked)),
        ];
        for (asked, lines, expected) in cases {
            let request = changed(&REQUEST, asked);
            assert_eq!(check_switch(&request, &changed(&REPLY, lines)), expected, "{asked:?} {lines:?}");
        }
    }
}
