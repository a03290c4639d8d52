//! Where a request comes from, as far as a trusted peer may tell (RFC 7239 and the `X-Forwarded-` fields before it).

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora::proxy::Session;

use super::{
    forwarded::{address, elements},
    link::{Link, Sender},
};
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
    /// The same as the peer tells it in `Forwarded`, from the first proxy that is trusted.
    pub(super) forwarded: Option<String>,
    /// How the first trusted proxy was asked.
    pub(super) scheme: Option<HeaderValue>,
    /// Whom the client asked.
    pub(super) host: Option<HeaderValue>,
    /// At which port.
    pub(super) port: Option<HeaderValue>,
    /// What stood before the path that proxies passed on.
    pub(super) prefix: Option<HeaderValue>,
}

/// Believes what the peer of this connection tells, if it is one of those who may. What it tells is kept with the
/// request; `None` if nothing counts but what we see. Where a balancer made the connection and did not say for whom, its
/// address is not that of the one who writes on it.
pub(super) fn believe(session: &mut Session, trusted: &TrustedPeers) {
    let unsaid = || Link::of(session.digest()).is_some_and(|link| link.sender() == Sender::Unsaid);
    if trusted.is_empty() || !trusted.contains(peer(session)) || unsaid() {
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
        // Where both stand, one may have come through unread by the peers that write the other.
        if LISTS.iter().any(|name| headers.contains_key(name)) {
            Self::told_in_lists(headers, trusted)
        } else {
            Self::told_by_standard(headers, trusted).unwrap_or_else(Self::untold)
        }
    }

    const fn untold() -> Self {
        Self { client: None, way: None, forwarded: None, scheme: None, host: None, port: None, prefix: None }
    }

    /// What the `X-Forwarded-` fields tell.
    fn told_in_lists(headers: &HeaderMap, trusted: &TrustedPeers) -> Self {
        let way = joined(headers, &X_FORWARDED_FOR);
        let steps: Vec<Option<IpAddr>> =
            way.as_deref().map(|way| way.split(',').map(|step| address(step.trim())).collect()).unwrap_or_default();
        let said = |name| {
            let values = joined(headers, name)?;
            Some(said_by_proxies(&values, &steps, trusted).to_owned())
        };
        Self {
            client: client(&steps, trusted),
            forwarded: None,
            scheme: said(&X_FORWARDED_PROTO).and_then(|scheme| known_scheme(&scheme)),
            host: said(&X_FORWARDED_HOST).and_then(|host| sound(host, is_host)),
            port: said(&X_FORWARDED_PORT).and_then(|port| sound(port, is_port)),
            prefix: said(&X_FORWARDED_PREFIX).and_then(|prefix| sound(prefix, is_prefix)),
            way,
        }
    }

    /// What `Forwarded` tells; `None` if it does not follow the grammar.
    fn told_by_standard(headers: &HeaderMap, trusted: &TrustedPeers) -> Option<Self> {
        let text = joined(headers, &header::FORWARDED)?;
        let elements = elements(&text)?;
        let steps: Vec<Option<IpAddr>> = elements.iter().map(|element| element.source).collect();
        let ours = &elements[stranger(&steps, trusted).unwrap_or(0)..];
        let scheme = ours.iter().find_map(|element| element.scheme.as_deref());
        let host = ours.iter().find_map(|element| element.host.clone());
        Some(Self {
            client: client(&steps, trusted),
            way: Some(spelt(&steps)),
            scheme: scheme.and_then(known_scheme),
            host: host.and_then(|host| sound(host, is_host)),
            // Servers read the first element for scheme and host: those that a stranger wrote stay out.
            forwarded: ours.first().map(|first| text[first.start..].trim_end().to_owned()),
            ..Self::untold()
        })
    }
}

/// The place of the last step that is not a trusted peer's; what stands before it might be anybody's invention.
fn stranger(steps: &[Option<IpAddr>], trusted: &TrustedPeers) -> Option<usize> {
    steps.iter().rposition(|step| step.is_none() || !trusted.contains(*step))
}

/// The last step that is not a trusted peer's, or the first of all. What is left of a step that nobody can read counts for
/// nothing.
fn client(steps: &[Option<IpAddr>], trusted: &TrustedPeers) -> Option<IpAddr> {
    match stranger(steps, trusted) {
        None => steps.first().copied().flatten(),
        Some(place) => steps[place].or_else(|| steps.get(place + 1).copied().flatten()),
    }
}

/// The value of a list that the first trusted proxy wrote, who knows best how it was asked. Each proxy adds one value to
/// each list, so that as many count as there are steps from the last stranger on.
fn said_by_proxies<'v>(values: &'v str, steps: &[Option<IpAddr>], trusted: &TrustedPeers) -> &'v str {
    let values: Vec<&str> = values.split(',').map(str::trim).collect();
    let counting = stranger(steps, trusted).map_or(values.len(), |place| steps.len() - place);
    values[values.len().saturating_sub(counting)]
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

/// A WebSocket is asked for over HTTP.
fn known_scheme(scheme: &str) -> Option<HeaderValue> {
    let known = [("http", "http"), ("https", "https"), ("ws", "http"), ("wss", "https")];
    let found = known.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(scheme));
    found.map(|(_, scheme)| HeaderValue::from_static(scheme))
}

fn sound(text: String, is_sound: impl Fn(&[u8]) -> bool) -> Option<HeaderValue> {
    if is_sound(text.as_bytes()) { HeaderValue::try_from(text).ok() } else { None }
}

fn is_port(text: &[u8]) -> bool {
    let digits = text.iter().all(u8::is_ascii_digit) && text.first().is_some_and(|first| *first != b'0');
    digits && std::str::from_utf8(text).is_ok_and(|text| text.parse::<u16>().is_ok())
}

/// A path that servers put before those of their links: no other host, no way up, nothing that ends a path.
fn is_prefix(text: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+=:@".contains(byte);
    let climbs = |segment: &[u8]| matches!(segment, b"." | b"..");
    text.starts_with(b"/")
        && text.len() <= LONGEST_PREFIX
        && text.iter().all(plain)
        && !text.windows(2).any(|pair| pair == b"//")
        && !text.split(|byte| *byte == b'/').any(climbs)
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The fields of proxies that do not write `Forwarded`.
const LISTS: [HeaderName; 5] =
    [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PREFIX];
/// In bytes.
const LONGEST_PREFIX: usize = 256;

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
        assert_eq!(both("wss", "a"), (Some("https".to_owned()), true));
        assert_eq!(both("ws", "[::1]:80"), (Some("http".to_owned()), true));
        let origin = told(&[("forwarded", "host=\"a.example:8\";proto=http")]);
        assert_eq!(origin.host, Some(HeaderValue::from_static("a.example:8")));
        assert_eq!(origin.scheme, Some(HeaderValue::from_static("http")));
    }

    /// What becomes of the five fields that are lists.
    fn lists(lines: &[(&'static str, &'static str)]) -> [Option<String>; 4] {
        let Origin { scheme, host, port, prefix, .. } = told(lines);
        [scheme, host, port, prefix].map(|value| value.map(|value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn of_a_list_the_value_of_the_first_trusted_proxy_counts() {
        let proto = "x-forwarded-proto";
        for (way, values, expected) in [
            // Nobody else is known of.
            ("", "https", Some("https")),
            ("", "https,http", Some("https")),
            ("10.1.1.1", "https, http", Some("https")),
            // A stranger asked the one proxy that we know, and may have written what stands before its value.
            ("192.0.2.1", "https", Some("https")),
            ("192.0.2.1", "https, http", Some("http")),
            ("6.6.6.6, 192.0.2.1", "https, http", Some("http")),
            // Over two proxies that we know.
            ("192.0.2.1, 10.1.1.1", "https, http", Some("https")),
            ("192.0.2.1, 10.1.1.1", "gopher, https, http", Some("https")),
            ("192.0.2.1, 10.1.1.1", "http, http, http", Some("http")),
            // One that overwrites the list.
            ("192.0.2.1, 10.1.1.1", "https", Some("https")),
            ("192.0.2.1, unknown, 10.1.1.1", "https, http, http", Some("http")),
            ("192.0.2.1", "https, gopher", None),
            ("192.0.2.1", "https, ", None),
        ] {
            let mut lines = vec![(proto, values)];
            if !way.is_empty() {
                lines.push(("x-forwarded-for", way));
            }
            assert_eq!(lists(&lines)[0].as_deref(), expected, "{way}: {values}");
        }
        let repeated =
            [(proto, "https"), (proto, "http"), ("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "10.1.1.1")];
        assert_eq!(lists(&repeated)[0].as_deref(), Some("https"));
    }

    #[test]
    fn host_port_and_prefix_are_told_alike() {
        let two = ("x-forwarded-for", "192.0.2.1, 10.1.1.1");
        let of = |one: &str| Some(one.to_owned());
        let lines = [
            two,
            ("x-forwarded-host", "evil.example, a.example, b.internal:80"),
            ("x-forwarded-port", "1, 443, 80"),
            ("x-forwarded-prefix", "//evil.example, /api, /v1"),
        ];
        assert_eq!(lists(&lines), [None, of("a.example"), of("443"), of("/api")]);
        for (port, prefix) in [
            ("0", "api"),
            ("65536", "//evil.example"),
            ("080", "/a/../b"),
            ("+80", "/a b"),
            ("80a", "/a?b"),
            ("", "/a\"b"),
            ("443.", "/a/./b"),
        ] {
            let lines = [two, ("x-forwarded-port", port), ("x-forwarded-prefix", prefix)];
            assert_eq!(lists(&lines)[2..], [None, None], "{port} {prefix}");
        }
    }

    #[test]
    fn what_a_stranger_wrote_in_forwarded_stays_out() {
        let forwarded = |text| {
            let Origin { forwarded, scheme, host, client, .. } = told(&[("forwarded", text)]);
            let text = |value: Option<HeaderValue>| value.map(|value| value.to_str().unwrap().to_owned());
            (client.map(|client| client.to_string()), forwarded, text(scheme), text(host))
        };
        let of = |one: &str| Some(one.to_owned());
        let evil = "for=6.6.6.6;proto=https;host=evil.example, ";
        let last = "for=192.0.2.1;proto=http;host=a.example";
        let seen = (of("192.0.2.1"), of(last), of("http"), of("a.example"));
        assert_eq!(forwarded(format!("{evil}{last}").leak()), seen);
        let two = format!("{last}, for=10.1.1.1;host=b.internal;proto=https");
        assert_eq!(forwarded(format!("{evil}{two} ").leak()), (of("192.0.2.1"), of(&two), of("http"), of("a.example")));
        let sparse = "for=192.0.2.1, for=10.1.1.1;proto=wss";
        assert_eq!(forwarded(sparse), (of("192.0.2.1"), of(sparse), of("https"), None));
        assert_eq!(forwarded("proto=https;host=a"), (None, of("proto=https;host=a"), of("https"), of("a")));
    }

    #[test]
    fn forwarded_beside_the_other_fields_may_be_anybodys() {
        for name in LISTS {
            let value = if name == X_FORWARDED_FOR { "192.0.2.1" } else { "http" };
            let mut headers = HeaderMap::new();
            headers.insert(name.clone(), HeaderValue::from_static(value));
            headers.insert(header::FORWARDED, HeaderValue::from_static("for=7.7.7.7;proto=https;host=evil.example"));
            let networks = vec!["10.0.0.0/8".parse().unwrap()];
            let origin = Origin::told(&headers, &TrustedPeers { networks, ..TrustedPeers::default() });
            assert_eq!(origin.forwarded, None, "{name}");
            assert!(origin.client.is_none_or(|client| client != IpAddr::from([7, 7, 7, 7])), "{name}");
            assert!(origin.host.is_none_or(|host| host != "evil.example"), "{name}");
        }
    }
}
