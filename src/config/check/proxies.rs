use crate::{
    config::{
        cursor::{At, Written},
        problem::{Problems, show},
    },
    domain::{Network, NetworkError, TrustedPeers, UnixPeers},
};

/// Whose word counts about where requests come from.
pub(super) fn check(written: Written<Vec<At<String>>>, problems: &mut Problems) -> TrustedPeers {
    let mut trusted = TrustedPeers::default();
    for At { place, value } in written.given().map(|at| at.value).unwrap_or_default() {
        if value == "unix" {
            trusted.unix = UnixPeers::Trusted;
            continue;
        }
        let shown = show(&value);
        match value.parse::<Network>() {
            Ok(network) => trusted.networks.push(network),
            Err(error @ (NetworkError::HostBits | NetworkError::Nobody)) => {
                problems.push(place, format!("{shown} {error}"));
            }
            Err(NetworkError::Form) => {
                problems.push(place, format!("{shown} is not a network such as `10.0.0.0/8`, an address, or `unix`"));
            }
        }
    }
    trusted
}
