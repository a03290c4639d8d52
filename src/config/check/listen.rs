use std::net::{Ipv4Addr, SocketAddr};

use super::{Surroundings, store, unsupported};
use crate::config::{
    Admin,
    cursor::{At, Written},
    problem::{Place, Problems, show},
    raw,
};

/// The addresses of both listeners.
pub(super) struct Listeners {
    /// At least one.
    pub(super) public: Vec<SocketAddr>,
    pub(super) admin: Admin,
}

/// An address, and where it was written if it is no default.
#[derive(Clone, Copy)]
struct Given {
    place: Option<Place>,
    address: SocketAddr,
}

pub(super) fn check(
    listen: Written<Vec<At<raw::Listen>>>,
    admin: Written<raw::Admin>,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Listeners {
    let public = public(listen, problems);
    let raw::Admin { address, token } = admin.or_empty();
    let has_token = !token.is_absent();
    let token = token.given().and_then(|token| store::secret("admin token", &token, surroundings, problems));
    let admin = address.given().and_then(|written| self::address(&written, problems));
    let admin = admin.unwrap_or(Given { place: None, address: (Ipv4Addr::LOCALHOST, 9090).into() });
    if let (Some(place), false, false) = (admin.place, admin.address.ip().is_loopback(), has_token) {
        problems.push(place, "an admin address that is not loopback needs `admin.token`");
    }
    for other in public.iter().filter(|other| clash(other.address, admin.address)) {
        let place = other.place.or(admin.place).expect("the two defaults differ");
        problems.push(place, format!("`listen` and `admin` both take {}", show(&other.address.to_string())));
    }
    let public = public.into_iter().map(|given| given.address).collect();
    Listeners { public, admin: Admin { address: admin.address, token } }
}

fn public(listen: Written<Vec<At<raw::Listen>>>, problems: &mut Problems) -> Vec<Given> {
    let mut public: Vec<Given> = Vec::new();
    for At { value: raw::Listen { address, tls }, .. } in listen.given().map(|at| at.value).unwrap_or_default() {
        unsupported("tls", tls, problems);
        let Some(given) = address.and_then(|written| self::address(&written, problems)) else {
            continue;
        };
        let twice = public.iter().find(|other| clash(other.address, given.address));
        if let (Some(Given { place: Some(first), .. }), Some(place)) = (twice, given.place) {
            let shown = show(&given.address.to_string());
            problems.push(place, format!("{shown} is taken by the address in line {}", first.line));
        }
        public.push(given);
    }
    if public.is_empty() {
        public.push(Given { place: None, address: (Ipv4Addr::LOCALHOST, 8080).into() });
    }
    public
}

fn address(written: &At<String>, problems: &mut Problems) -> Option<Given> {
    let Ok(address) = written.value.parse::<SocketAddr>() else {
        let shown = show(&written.value);
        problems.push(written.place, format!("{shown} is not an IP address with a port such as `127.0.0.1:8080`"));
        return None;
    };
    if address.port() == 0 {
        problems.push(written.place, "port 0 is no fixed address; pick a port");
    }
    Some(Given { place: Some(written.place), address })
}

/// Whether binding one keeps the other from being bound.
fn clash(one: SocketAddr, two: SocketAddr) -> bool {
    let covers = one.is_ipv4() == two.is_ipv4() && (one.ip().is_unspecified() || two.ip().is_unspecified());
    one.port() == two.port() && one.port() != 0 && (one.ip() == two.ip() || covers)
}
