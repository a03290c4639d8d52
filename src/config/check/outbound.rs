//! How the servers are reached that an entry of `trust` asks.

use std::net::IpAddr;

use url::{Host, Url};

use super::{Surroundings, keys::read};
use crate::config::{
    OutboundWay, SecretSource, Transport,
    cursor::{At, Written},
    problem::Problems,
};

pub(super) fn check(
    ca: Written<String>,
    proxy: Written<String>,
    insecure_http: Written<bool>,
    remote: bool,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> OutboundWay {
    let only_remote = |key: &str, place, problems: &mut Problems| {
        if !remote {
            problems.push(place, format!("`{key}` has a meaning only where a server is asked"));
        }
    };
    if let Written::Is(at) = &proxy {
        only_remote("proxy", at.place, problems);
    }
    let insecure = insecure_http.given().filter(|at| at.value);
    if let Some(at) = &insecure {
        only_remote("insecure_http", at.place, problems);
    }
    OutboundWay {
        authorities: check_authorities(ca, remote, surroundings, problems),
        proxy: check_proxy(proxy, problems),
        transport: if insecure.is_some() { Transport::InsecureHttp } else { Transport::Tls },
    }
}

/// A forward proxy sees whom we ask, and not what where that is https.
fn check_proxy(written: Written<String>, problems: &mut Problems) -> Option<Url> {
    let At { place, value } = written.given()?;
    let url = Url::parse(&value).ok().filter(|url| url.scheme() == "http" && url.has_host());
    let Some(url) = url else {
        problems.push(place, "`proxy` must be an http URL such as `http://proxy.example.com:3128`");
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        problems.push(place, "`proxy` must not hold a user name or password");
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        problems.push(place, "`proxy` is a host and a port alone");
    }
    Some(url)
}

fn check_authorities(
    written: Written<String>,
    remote: bool,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Option<Vec<u8>> {
    let At { place, value } = written.given()?;
    if !remote {
        problems.push(place, "`ca` has a meaning only where a server is asked");
    }
    let Some(path) = value.strip_prefix("file:") else {
        problems.push(place, "`ca` is `file:PATH`");
        return None;
    };
    let pem = read(&SecretSource::File(surroundings.folder.join(path)), place, problems)?;
    if !super::is_certificates(&pem) {
        problems.push(place, "`ca` names a file without certificates in PEM");
    }
    Some(pem)
}

/// A server that decides who is let in: over TLS, unless it is on this machine.
pub(super) fn server_url(
    key: &str,
    written: &At<String>,
    transport: Transport,
    problems: &mut Problems,
) -> Option<Url> {
    let At { place, value } = written;
    let place = *place;
    let plain = |url: &Url| url.scheme() == "http" && (transport == Transport::InsecureHttp || is_local(url));
    let url = Url::parse(value).ok().filter(|url| url.scheme() == "https" || plain(url));
    let Some(url) = url else {
        let also = if key == "key_set" { ", or `file:PATH`" } else { "" };
        problems.push(
            place,
            format!("`{key}` must be an https URL (http only on loopback, or with `insecure_http: true`){also}"),
        );
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        problems.push(place, format!("`{key}` must not hold a user name or password"));
        return None;
    }
    Some(url)
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}
