use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    path::Path,
};

use http::HeaderValue;

use super::{Surroundings, bounds};
use crate::{
    config::{
        HostHeader, ServerAddress, UpstreamServer,
        cursor::{At, Written},
        problem::{Problems, show},
        raw, usable_addresses,
    },
    policy::is_host as is_host_field,
};

/// From `host:port` to addresses.
pub type Resolve = fn(&str) -> io::Result<Vec<SocketAddr>>;

/// Asks the system's resolver.
pub(in crate::config) fn resolve(server: &str) -> io::Result<Vec<SocketAddr>> {
    server.to_socket_addrs().map(Iterator::collect)
}

/// A server, and where its address is written.
pub(super) struct Placed {
    pub(super) at: At<()>,
    pub(super) server: UpstreamServer,
}

/// The servers of one group.
pub(super) fn check(raw: Vec<At<raw::Server>>, surroundings: &Surroundings, problems: &mut Problems) -> Vec<Placed> {
    let mut placed: Vec<Placed> = Vec::with_capacity(raw.len());
    for At { value: raw::Server { address, weight }, .. } in raw {
        let weight = bounds::within(weight, 1, 1..=MOST_WEIGHT, "`weight` must be 1 to 100", problems);
        let Some(written) = address else { continue };
        let Some(address) = address_of(&written, surroundings, problems) else { continue };
        if let Some(first) = placed.iter().find(|other| *other.server.text == *written.value) {
            let (shown, line) = (show(&written.value), first.at.place.line);
            problems.push(written.place, format!("{shown} stands in line {line} already; give it a `weight` instead"));
        }
        placed.push(Placed {
            at: At { place: written.place, value: () },
            server: UpstreamServer {
                tls_name: host(&written.value).to_owned(),
                host: None,
                text: written.value.into(),
                address,
                weight: u16::try_from(weight).expect("at most 100"),
            },
        });
    }
    placed
}

/// What the servers are called in `Host`, once it is known what their certificates are for.
pub(super) fn name_all(servers: &mut [Placed], security: Security) {
    for Placed { server, .. } in servers {
        let (name, usual_port) = match security {
            Security::Tls => (&*server.tls_name, "443"),
            Security::None => (host(&server.text), "80"),
        };
        let name = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
        let port = server.text.rsplit_once(':').map(|(_, port)| port);
        let whole = match port.filter(|port| *port != usual_port && !server.text.starts_with(UNIX)) {
            Some(port) => format!("{name}:{port}"),
            None => name,
        };
        server.host = HeaderValue::try_from(whole).ok().filter(|host| !host.is_empty());
    }
}

/// Whether TLS is spoken with servers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    Tls,
    None,
}

/// What `host` says: how servers are called.
pub(super) fn check_host(written: Written<String>, servers: &[Placed], problems: &mut Problems) -> HostHeader {
    let Some(At { place, value }) = written.given() else { return HostHeader::Client };
    match value.as_str() {
        "client" => HostHeader::Client,
        "server" => {
            for Placed { at, server } in servers.iter().filter(|placed| placed.server.host.is_none()) {
                let shown = show(&server.text);
                problems.push(at.place, format!("{shown} has no name for `host: server`: write `host: NAME` instead"));
            }
            HostHeader::Server
        }
        name if is_host_field(name.as_bytes()) => match HeaderValue::from_str(name) {
            Ok(name) => HostHeader::Named(name),
            Err(_) => HostHeader::Client,
        },
        other => {
            let shown = show(other);
            problems.push(place, format!("{shown} is neither `client` nor `server` nor a name such as `api.internal`"));
            HostHeader::Client
        }
    }
}

/// The host of `host:port`, without the brackets of IPv6; nothing for a Unix socket.
fn host(text: &str) -> &str {
    if text.starts_with(UNIX) {
        return "";
    }
    let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn address_of(written: &At<String>, surroundings: &Surroundings, problems: &mut Problems) -> Option<ServerAddress> {
    match parse(&written.value, surroundings) {
        Ok(address) => Some(address),
        Err(message) => {
            problems.push(written.place, message);
            None
        }
    }
}

fn parse(text: &str, surroundings: &Surroundings) -> Result<ServerAddress, String> {
    if let Some(path) = text.strip_prefix(UNIX) {
        return socket(text, path);
    }
    let shown = show(text);
    let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("{shown} is not `host:port`"))?;
    match port_number(port).filter(|_| is_host(host)) {
        None => return Err(format!("{shown} is not `host:port`")),
        Some(0) => return Err("port 0 is no fixed address; pick a port".to_owned()),
        Some(_) => {}
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(ServerAddress::Fixed(address));
    }
    match (surroundings.resolve)(text) {
        Ok(found) if !found.is_empty() => {
            Ok(ServerAddress::Named { name: text.into(), found: usable_addresses(found) })
        }
        Ok(_) => Err(format!("{shown} does not resolve to an address")),
        Err(error) => Err(format!("{shown} does not resolve: {error}")),
    }
}

fn socket(text: &str, path: &str) -> Result<ServerAddress, String> {
    if !path.starts_with('/') || path.len() > LONGEST_SOCKET_PATH || path.contains('\0') {
        return Err(format!("{} is not `unix:` and an absolute path of at most 107 bytes", show(text)));
    }
    Ok(ServerAddress::Unix(Path::new(path).to_owned()))
}

fn port_number(text: &str) -> Option<u16> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// Whether a text may be a host's name or address; what the resolver makes of it is seen later.
fn is_host(text: &str) -> bool {
    // Without brackets it could not be told which colon is the port's.
    let plain = !text.is_empty() && !text.contains(['/', '@', ' ']);
    plain && (!text.contains(':') || text.starts_with('['))
}

const UNIX: &str = "unix:";
const MOST_WEIGHT: u64 = 100;
/// What the kernel takes (`sockaddr_un`).
const LONGEST_SOCKET_PATH: usize = 107;
