use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
};

use super::{Surroundings, bounds, unsupported};
use crate::config::{
    Upstream,
    cursor::{At, Named},
    problem::{Problems, show},
    raw,
};

/// From `host:port` to addresses.
pub type Resolve = fn(&str) -> io::Result<Vec<SocketAddr>>;

/// Asks the system's resolver.
pub(in crate::config) fn resolve(server: &str) -> io::Result<Vec<SocketAddr>> {
    server.to_socket_addrs().map(Iterator::collect)
}

/// The names of all groups, broken ones too, and the groups in the same order.
pub(super) fn check(
    upstreams: Option<At<Vec<Named<raw::Upstream>>>>,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> (Vec<Arc<str>>, Vec<Upstream>) {
    let mut names = Vec::new();
    let mut checked = Vec::new();
    for Named { name, value } in upstreams.map(|at| at.value).unwrap_or_default() {
        if !is_name(&name.value) {
            let shown = show(&name.value);
            problems.push(name.place, format!("upstream name {shown} must be 1 to 64 of `A-Z a-z 0-9 _ -`"));
        }
        let name: Arc<str> = name.value.into();
        names.push(Arc::clone(&name));
        if let Some(value) = value {
            checked.push(check_one(name, value, surroundings, problems));
        }
    }
    (names, checked)
}

fn check_one(name: Arc<str>, raw: raw::Upstream, surroundings: &Surroundings, problems: &mut Problems) -> Upstream {
    let raw::Upstream { servers, timeouts, health } = raw;
    unsupported("health", health, problems);
    let servers = servers.map(|at| at.value).unwrap_or_default();
    let servers = servers.iter().flat_map(|server| check_server(server, surroundings, problems)).collect();
    Upstream { name, servers, timeouts: bounds::timeouts(timeouts.or_empty(), problems) }
}

fn check_server(server: &At<String>, surroundings: &Surroundings, problems: &mut Problems) -> Vec<SocketAddr> {
    let shown = show(&server.value);
    let port = server.value.rsplit_once(':').and_then(|(host, port)| {
        let usable = !host.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        if usable && !host.contains(['/', '@', ' ']) { port.parse::<u16>().ok() } else { None }
    });
    match port {
        None => {
            problems.push(server.place, format!("{shown} is not `host:port`"));
            return Vec::new();
        }
        Some(0) => {
            problems.push(server.place, "port 0 is no fixed address; pick a port");
            return Vec::new();
        }
        Some(_) => {}
    }
    if let Ok(address) = server.value.parse::<SocketAddr>() {
        return vec![address];
    }
    match (surroundings.resolve)(&server.value) {
        Ok(found) if !found.is_empty() => preferred(found),
        Ok(_) => {
            problems.push(server.place, format!("{shown} does not resolve to an address"));
            Vec::new()
        }
        Err(error) => {
            problems.push(server.place, format!("{shown} does not resolve: {error}"));
            Vec::new()
        }
    }
}

/// The IPv4 addresses if there are any: a name such as `localhost` often has an IPv6 address that nobody listens on.
fn preferred(mut found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if found.iter().any(SocketAddr::is_ipv4) {
        found.retain(SocketAddr::is_ipv4);
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn is_name(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    plain && (1..=64).contains(&name.len())
}
