//! Where a request comes from, as far as a trusted peer may tell (RFC 7239 and the `X-Forwarded-` fields before it).

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora::proxy::Session;

use crate::{
    domain::{TrustedPeers, push_address},
    policy::is_host,
};

/// What a trusted peer told of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// Who sent it: the last address on its way that is not a trusted peer's.
    pub(super) client: Option<IpAddr>,
    /// The way up to the peer, without the peer.
    pub(super) way: Option<String>,
    /// The same as the peer tells it in `Forwarded`.
    pub(super) forwarded: Option<String>,
    /// How the first peer was asked.
    pub(super) scheme: Option<HeaderValue>,
    /// Whom the client asked.
    pub(super) host: Option<HeaderValue>,
}

/// Believes what the peer of this connection tells, if it is one of those who may. What it tells is kept with the
/// request; `None` if nothing counts but what we see.
pub(super) fn believe(session: &mut Session, trusted: &TrustedPeers) {
    if trusted.is_empty() || !trusted.contains(peer(session)) {
        return;
    }
    let origin = Origin::told(&session.req_header().headers, trusted);
    session.req_header_mut().extensions_mut().insert(origin);
}

/// What was believed of this request.
pub(super) fn told(session: &Session) -> Option<&Origin> {
    session.req_header().extensions.get()
}

/// Who made this connection, or in whose name it was made; `None` without an IP address.
pub(super) fn peer(session: &Session) -> Option<IpAddr> {
    let address = session.client_addr().and_then(|address| address.as_inet());
    address.map(|address| SocketAddr::ip(address).to_canonical())
}

/// The name that a trusted peer gave a request: 1 to 128 visible ASCII characters, no comma, once.
pub(super) fn request_id(session: &Session) -> Option<&HeaderValue> {
    told(session)?;
    let id = only(&session.req_header().headers, &X_REQUEST_ID)?;
    let plain = id.as_bytes().iter().all(|byte| byte.is_ascii_graphic() && *byte != b',');
    ((1..=128).contains(&id.len()) && plain).then_some(id)
}

impl Origin {
    fn told(headers: &HeaderMap, trusted: &TrustedPeers) -> Self {
        let way = joined(headers, &X_FORWARDED_FOR);
        let forwarded = joined(headers, &header::FORWARDED);
        let elements: Vec<Element> = forwarded.as_deref().and_then(elements).unwrap_or_default();
        // Where both stand, one of them may have come through unread by the peers that write the other.
        let steps: Vec<Option<IpAddr>> = match &way {
            Some(way) => way.split(',').map(|step| address(step.trim())).collect(),
            None => elements.iter().map(|element| element.source).collect(),
        };
        let scheme = only(headers, &X_FORWARDED_PROTO).and_then(|scheme| scheme.to_str().ok());
        let scheme = scheme.or_else(|| elements.first().and_then(|first| first.scheme.as_deref()));
        let host = only(headers, &X_FORWARDED_HOST).map(HeaderValue::as_bytes);
        let host = host.or_else(|| elements.first().and_then(|first| first.host.as_deref()).map(str::as_bytes));
        let forwarded = forwarded.filter(|_| !elements.is_empty());
        Self {
            client: client(&steps, trusted),
            way: way.or_else(|| (!elements.is_empty()).then(|| spelt(&steps))),
            scheme: scheme.and_then(known_scheme),
            host: host.filter(|host| is_host(host)).and_then(|host| HeaderValue::from_bytes(host).ok()),
            forwarded,
        }
    }
}

/// The last step that is not a trusted peer's, or the first of all. What is left of a step that nobody can read might be
/// anybody's invention.
fn client(steps: &[Option<IpAddr>], trusted: &TrustedPeers) -> Option<IpAddr> {
    let mut nearest = None;
    for step in steps.iter().rev() {
        let Some(address) = step else { return nearest };
        nearest = Some(*address);
        if !trusted.contains(nearest) {
            break;
        }
    }
    nearest
}

fn spelt(steps: &[Option<IpAddr>]) -> String {
    let mut text = String::new();
    for step in steps {
        if !text.is_empty() {
            text.push_str(", ");
        }
        match step {
            Some(address) => push_address(&mut text, *address),
            None => text.push_str("unknown"),
        }
    }
    text
}

/// All values of a field as one; none if a value is no ASCII text, for then nothing of it can be relied on.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Option<Vec<&str>> = headers.get_all(name).iter().map(|value| value.to_str().ok()).collect();
    values.filter(|values| !values.is_empty()).map(|values| values.join(", "))
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn known_scheme(scheme: &str) -> Option<HeaderValue> {
    ["http", "https"].into_iter().find(|known| known.eq_ignore_ascii_case(scheme)).map(HeaderValue::from_static)
}

/// An address as peers write it: bare, with a port, or an IPv6 one in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// One step of `Forwarded`.
#[derive(Default)]
struct Element {
    source: Option<IpAddr>,
    scheme: Option<String>,
    host: Option<String>,
}

/// The elements of `Forwarded` (RFC 7239 section 4); `None` if it does not follow the grammar.
fn elements(text: &str) -> Option<Vec<Element>> {
    let mut elements = vec![Element::default()];
    let mut rest = text.trim();
    loop {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = value(after)?;
        let element = elements.last_mut().expect("there is one from the start");
        let place = match name.trim().to_ascii_lowercase().as_str() {
            "for" => {
                element.source = address(&value);
                None
            }
            "proto" => Some(&mut element.scheme),
            "host" => Some(&mut element.host),
            _ => None,
        };
        if let Some(place) = place {
            *place = Some(value);
        }
        let after = after.trim_start();
        match after.chars().next() {
            None => return Some(elements),
            Some(';') => {}
            Some(',') => elements.push(Element::default()),
            Some(_) => return None,
        }
        rest = after[1..].trim_start();
    }
}

/// A token or a quoted text at the beginning, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',', ' ', '\t']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[(&'static str, &'static str)]) -> Origin {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let networks = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        Origin::told(&headers, &TrustedPeers { networks, ..TrustedPeers::default() })
    }

    #[test]
    fn the_client_is_the_last_who_is_not_trusted() {
        for (name, value, client) in [
            ("x-forwarded-for", "192.0.2.1", Some("192.0.2.1")),
            ("x-forwarded-for", "6.6.6.6, 192.0.2.1", Some("192.0.2.1")),
            ("x-forwarded-for", "6.6.6.6, 192.0.2.1, 10.1.1.1,10.2.2.2", Some("192.0.2.1")),
            ("x-forwarded-for", "10.1.1.1, 10.2.2.2", Some("10.1.1.1")),
            ("x-forwarded-for", "192.0.2.1, unknown, 10.1.1.1", Some("10.1.1.1")),
            ("x-forwarded-for", "192.0.2.1, ", None),
            ("x-forwarded-for", "nonsense", None),
            ("x-forwarded-for", "192.0.2.1:4711", Some("192.0.2.1")),
            ("x-forwarded-for", "[2001:db9::1]:4711, 2001:db8::2", Some("2001:db9::1")),
            ("x-forwarded-for", "::ffff:192.0.2.1", Some("192.0.2.1")),
            ("forwarded", "for=192.0.2.1", Some("192.0.2.1")),
            ("forwarded", "for=6.6.6.6, For=\"192.0.2.1:80\";proto=https , for=10.1.1.1", Some("192.0.2.1")),
            ("forwarded", "for=\"[2001:db9::1]:80\"", Some("2001:db9::1")),
            ("forwarded", "for=192.0.2.1, for=_hidden, for=10.1.1.1", Some("10.1.1.1")),
            ("forwarded", "for=192.0.2.1 for=1.1.1.1", None),
            ("forwarded", "for=\"192.0.2.1", None),
            ("forwarded", "nonsense", None),
        ] {
            assert_eq!(told(&[(name, value)]).client, client.map(|client| client.parse().unwrap()), "{value}");
        }
    }

    #[test]
    fn several_lines_are_one_list_and_forwarded_for_goes_first() {
        let origin = told(&[
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "192.0.2.1"),
            ("forwarded", "for=7.7.7.7;host=a;proto=https"),
        ]);
        assert_eq!(origin.client, Some("192.0.2.1".parse().unwrap()));
        assert_eq!(origin.way.as_deref(), Some("6.6.6.6, 192.0.2.1"));
    }

    #[test]
    fn scheme_and_host_count_only_where_they_are_ones() {
        let both = |scheme, host| {
            let origin = told(&[("x-forwarded-proto", scheme), ("x-forwarded-host", host)]);
            (origin.scheme.map(|scheme| scheme.to_str().unwrap().to_owned()), origin.host.is_some())
        };
        assert_eq!(both("HTTPS", "a.example:443"), (Some("https".to_owned()), true));
        assert_eq!(both("gopher", "a/b"), (None, false));
        assert_eq!(both("https, http", "a, b"), (None, false));
        let origin = told(&[("forwarded", "host=\"a.example:8\";proto=http")]);
        assert_eq!(origin.host, Some(HeaderValue::from_static("a.example:8")));
        assert_eq!(origin.scheme, Some(HeaderValue::from_static("http")));
    }
}
