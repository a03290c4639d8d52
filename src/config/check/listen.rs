use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use super::{Surroundings, store, tls};
use crate::{
    config::{
        Admin, Http2, ListenAddress, Listener, ProxyHeader,
        cursor::{At, Written},
        problem::{Place, Problems, show},
        raw,
    },
    domain::{Host, TrustedPeers},
};

/// Both kinds of listeners.
pub(super) struct Listeners {
    /// At least one.
    pub(super) public: Vec<Listener>,
    pub(super) admin: Admin,
}

impl Listeners {
    /// What clients on this machine reach the first of them at.
    pub(super) fn origin(&self) -> String {
        let tcp = |listener: &Listener| match &listener.address {
            ListenAddress::Tcp(address) if listener.tls.is_some() => Some(format!("https://{address}")),
            ListenAddress::Tcp(address) => Some(format!("http://{address}")),
            ListenAddress::Unix(_) => None,
        };
        self.public.iter().find_map(tcp).unwrap_or_else(|| "http://localhost".to_owned())
    }
}

/// An address, and where it was written if it is no default.
#[derive(Clone)]
struct Given {
    place: Option<Place>,
    address: ListenAddress,
}

pub(super) fn check(
    listen: Written<Vec<At<raw::Listen>>>,
    admin: Written<raw::Admin>,
    trusted: &TrustedPeers,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Listeners {
    let public = public(listen, trusted, surroundings, problems);
    let raw::Admin { address, hosts, token, tls } = admin.or_empty();
    let hosts = admin_hosts(hosts, problems);
    let tls = tls::check(tls, surroundings, problems);
    let has_token = !token.is_absent();
    let token = token.given().and_then(|token| store::secret("admin token", &token, surroundings, problems));
    let place = address.given().and_then(|written| Some((Some(written.place), tcp_address(&written, problems)?)));
    let (place, address) = place.unwrap_or((None, (Ipv4Addr::LOCALHOST, 9090).into()));
    if let (Some(place), false, false) = (place, address.ip().is_loopback(), has_token) {
        problems.push(place, "an admin address that is not loopback needs `admin.token`");
    }
    for (other, _) in public.iter().filter(|(other, _)| clash(&other.address, &ListenAddress::Tcp(address))) {
        let place = other.place.or(place).expect("the two defaults differ");
        problems.push(place, format!("`listen` and `admin` both take {}", show(&other.address.to_string())));
    }
    let public = public.into_iter().map(|(_, listener)| listener).collect();
    Listeners { public, admin: Admin { address, hosts, token, tls } }
}

/// Names are compared without their port: it is mapped on the way as often as not.
fn admin_hosts(written: Written<Vec<At<String>>>, problems: &mut Problems) -> Vec<Host> {
    let mut hosts = Vec::new();
    for At { place, value } in written.given().map(|at| at.value).unwrap_or_default() {
        match Host::parse(&value) {
            Ok(host) if hosts.contains(&host) => problems.push(place, format!("{} is listed twice", show(&value))),
            Ok(host) => hosts.push(host),
            Err(error) => problems.push(
                place,
                format!(
                    "{} {error}; write it alone, as `metrics.example.com`, without scheme, port and `*`",
                    show(&value)
                ),
            ),
        }
    }
    hosts
}

fn public(
    listen: Written<Vec<At<raw::Listen>>>,
    trusted: &TrustedPeers,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Vec<(Given, Listener)> {
    let mut public: Vec<(Given, Listener)> = Vec::new();
    for At { value, .. } in listen.given().map(|at| at.value).unwrap_or_default() {
        let raw::Listen { address, tls, h2c, proxy_protocol } = value;
        let cleartext = check_h2c(h2c, &tls, problems);
        let tls = tls::check(tls, surroundings, problems);
        let proxy_header = check_proxy_header(proxy_protocol, trusted, problems);
        let Some(given) = address.and_then(|written| self::address(&written, surroundings, problems)) else {
            continue;
        };
        let twice = public.iter().find(|(other, _)| clash(&other.address, &given.address));
        if let (Some((Given { place: Some(first), .. }, _)), Some(place)) = (twice, given.place) {
            let shown = show(&given.address.to_string());
            problems.push(place, format!("{shown} is taken by the address in line {}", first.line));
        }
        let listener = Listener { address: given.address.clone(), tls, cleartext, proxy_header };
        public.push((given, listener));
    }
    if public.is_empty() {
        let address = ListenAddress::Tcp((Ipv4Addr::LOCALHOST, 8080).into());
        let listener = Listener {
            address: address.clone(),
            tls: None,
            cleartext: Http2::Refused,
            proxy_header: ProxyHeader::Absent,
        };
        public.push((Given { place: None, address }, listener));
    }
    public
}

fn check_h2c(written: Written<bool>, tls: &Written<raw::ListenTls>, problems: &mut Problems) -> Http2 {
    match written.given() {
        Some(At { value: true, place }) => {
            if !tls.is_absent() {
                problems.push(place, "`h2c` is HTTP/2 without TLS; with `tls` HTTP/2 is spoken anyway");
            }
            Http2::Spoken
        }
        Some(At { value: false, .. }) | None => Http2::Refused,
    }
}

/// Whoever may write such a header chooses the address that requests seem to come from.
fn check_proxy_header(written: Written<String>, trusted: &TrustedPeers, problems: &mut Problems) -> ProxyHeader {
    let Some(At { place, value }) = written.given() else { return ProxyHeader::Absent };
    if value != "required" {
        problems.push(place, format!("{} is not `required`, the only way to have it", show(&value)));
    } else if trusted.is_empty() {
        problems.push(place, "`proxy_protocol` needs `trusted_proxies`: whose headers would count?");
    }
    ProxyHeader::Required
}

fn address(written: &At<String>, surroundings: &Surroundings, problems: &mut Problems) -> Option<Given> {
    let address = match written.value.strip_prefix("unix:") {
        Some(path) => ListenAddress::Unix(socket_path(path, written.place, surroundings, problems)?),
        None => ListenAddress::Tcp(tcp_address(written, problems)?),
    };
    Some(Given { place: Some(written.place), address })
}

fn socket_path(path: &str, place: Place, surroundings: &Surroundings, problems: &mut Problems) -> Option<PathBuf> {
    let full = surroundings.folder.join(path);
    if path.is_empty() || path.contains('\0') || full.as_os_str().len() > MAX_SOCKET_PATH {
        problems.push(place, format!("`unix:` needs a path of at most {MAX_SOCKET_PATH} bytes"));
        return None;
    }
    Some(full)
}

fn tcp_address(written: &At<String>, problems: &mut Problems) -> Option<SocketAddr> {
    let Ok(address) = written.value.parse::<SocketAddr>() else {
        let shown = show(&written.value);
        problems.push(written.place, format!("{shown} is not an IP address with a port such as `127.0.0.1:8080`"));
        return None;
    };
    if address.port() == 0 {
        problems.push(written.place, "port 0 is no fixed address; pick a port");
    }
    Some(address)
}

/// Whether binding one keeps the other from being bound.
fn clash(one: &ListenAddress, two: &ListenAddress) -> bool {
    let (one, two) = match (one, two) {
        (ListenAddress::Tcp(one), ListenAddress::Tcp(two)) => (one, two),
        (ListenAddress::Unix(one), ListenAddress::Unix(two)) => return one == two,
        (ListenAddress::Tcp(_), ListenAddress::Unix(_)) | (ListenAddress::Unix(_), ListenAddress::Tcp(_)) => {
            return false;
        }
    };
    let covers = one.is_ipv4() == two.is_ipv4() && (one.ip().is_unspecified() || two.ip().is_unspecified());
    one.port() == two.port() && one.port() != 0 && (one.ip() == two.ip() || covers)
}

/// What the kernel's `sun_path` holds, without the final NUL.
const MAX_SOCKET_PATH: usize = 107;
