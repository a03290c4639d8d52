use std::path::PathBuf;

use rustls::pki_types::ServerName;

use super::{
    Surroundings,
    application::told,
    servers::Placed,
    tls::{check_pair, file},
};
use crate::{
    config::{
        ServerProof, UpstreamTls,
        cursor::{At, Written},
        problem::{Place, Problems, show},
        raw,
    },
    tls::{ClientFiles, Pair, read_authorities},
};

/// What the files say, and the name that each server's certificate must be for.
pub(super) fn check(
    written: Option<At<raw::Tls>>,
    servers: &mut [Placed],
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Option<UpstreamTls> {
    let Some(At { place, value: raw::Tls { ca, certificate, key, sni, verify } }) = written else {
        for placed in servers {
            placed.server.tls_name.clear();
        }
        return None;
    };
    name_servers(place, sni, servers, problems);
    let verify = match verify.given() {
        Some(At { value: false, place }) => {
            if let Written::Is(ca) = &ca {
                problems.push(ca.place, format!("`ca` says nothing beside `verify: false` in line {}", place.line));
            }
            ServerProof::Waived
        }
        Some(At { value: true, .. }) | None => ServerProof::Required,
    };
    let files = ClientFiles {
        authorities: ca.given().and_then(|at| authorities(&at, surroundings, problems)),
        identity: identity(place, certificate, key, surroundings, problems),
    };
    match files.read(surroundings.now) {
        Ok(credentials) => Some(UpstreamTls { files, credentials, verify }),
        // Told above with its place, unless a file changed since: without it, the system's authorities would count.
        Err(error) => {
            if problems.iter().next().is_none() {
                problems.push(place, error.to_string());
            }
            None
        }
    }
}

/// A server without a name would not be verified at all.
fn name_servers(place: Place, sni: Written<String>, servers: &mut [Placed], problems: &mut Problems) {
    let absent = sni.is_absent();
    let name = sni.given().and_then(|at| told(&at, tls_name, problems));
    for placed in servers {
        match &name {
            Some(name) => placed.server.tls_name.clone_from(name),
            None if !absent => {}
            None if placed.server.tls_name.is_empty() => {
                problems.push(place, "a Unix socket has no name that a certificate could be for: set `sni`");
            }
            None => {
                let host = placed.server.tls_name.clone();
                let _ = told(&At { place: placed.at.place, value: host }, tls_name, problems);
            }
        }
    }
}

fn tls_name(text: &str) -> Result<String, String> {
    let refused = || format!("{} is no name that a certificate could be for", show(text));
    ServerName::try_from(text).map(|_| text.to_owned()).map_err(|_| refused())
}

fn authorities(ca: &At<String>, surroundings: &Surroundings, problems: &mut Problems) -> Option<PathBuf> {
    let path = file(ca, surroundings, problems)?;
    if let Err(error) = read_authorities(&path) {
        problems.push(ca.place, error.to_string());
    }
    Some(path)
}

/// Both or neither, and the one belongs to the other.
fn identity(
    place: Place,
    certificate: Written<String>,
    key: Written<String>,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Option<Pair> {
    if certificate.is_absent() != key.is_absent() {
        problems.push(place, "`certificate` and `key` belong together");
        return None;
    }
    check_pair(&(certificate.given()?, key.given()?), surroundings, problems)
}
