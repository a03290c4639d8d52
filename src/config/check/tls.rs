use std::path::PathBuf;

use super::Surroundings;
use crate::{
    config::{
        cursor::{At, Written},
        problem::{Place, Problems, show},
        raw,
        suggest::unknown,
    },
    tls::{Clients, Files, Need, Pair, TlsError, Version, check_authority, read_certificate},
};

/// The files of a listener, each read once to see whether it can be used.
pub(super) fn check(
    written: Written<raw::ListenTls>,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Option<Files> {
    let At { place, value } = written.given()?;
    let raw::ListenTls { certificate, key, certificates, min_version, client_ca, client_certificates } = value;
    let certificates = match (certificates, certificate, key) {
        (Written::Absent, certificate, key) => vec![single(place, certificate, key, problems)],
        (certificates, Written::Absent, Written::Absent) => {
            let pairs = certificates.given().map(|at| at.value).unwrap_or_default();
            pairs.into_iter().map(|At { value: raw::Pair { certificate, key }, .. }| certificate.zip(key)).collect()
        }
        _ => {
            problems.push(place, "`certificates` stands for several pairs: put `certificate` and `key` into it");
            Vec::new()
        }
    };
    let pairs = certificates.into_iter().flatten();
    Some(Files {
        certificates: pairs.filter_map(|pair| check_pair(&pair, surroundings, problems)).collect(),
        oldest: check_version(min_version, problems),
        clients: check_clients(client_ca, client_certificates, surroundings, problems),
    })
}

/// Both halves of the only pair; one that is missing is told.
fn single(
    place: Place,
    certificate: Written<String>,
    key: Written<String>,
    problems: &mut Problems,
) -> Option<(At<String>, At<String>)> {
    for (name, half) in [("certificate", &certificate), ("key", &key)] {
        if half.is_absent() {
            problems.push(place, format!("missing key `{name}`"));
        }
    }
    certificate.given().zip(key.given())
}

pub(super) fn check_pair(
    (certificate, key): &(At<String>, At<String>),
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Option<Pair> {
    let path = |written: &At<String>, problems: &mut Problems| file(written, surroundings, problems);
    let (certificate_path, key_path) = (path(certificate, problems), path(key, problems));
    let pair = Pair { certificate: certificate_path?, key: key_path? };
    if let Err(error) = read_certificate(&pair, surroundings.now) {
        let about_key = match &error {
            TlsError::NoKey(_) | TlsError::Mismatch { .. } => true,
            TlsError::Unreadable { path, .. } => *path == pair.key,
            TlsError::NoCertificate(_) | TlsError::Expired(_) | TlsError::NotYetValid(_) | TlsError::Unusable(_) => {
                false
            }
        };
        problems.push(if about_key { key.place } else { certificate.place }, error.to_string());
    }
    Some(pair)
}

/// A file is named, never quoted: what stands there may be the key itself.
pub(super) fn file(written: &At<String>, surroundings: &Surroundings, problems: &mut Problems) -> Option<PathBuf> {
    match written.value.strip_prefix("file:") {
        Some(path) if !path.is_empty() && !path.contains('\n') => Some(surroundings.folder.join(path)),
        _ => {
            problems.push(written.place, "write `file:PATH` of a PEM file");
            None
        }
    }
}

fn check_version(written: Written<String>, problems: &mut Problems) -> Version {
    match written.given() {
        None => Version::Tls12,
        Some(At { value, .. }) if value == "1.2" => Version::Tls12,
        Some(At { value, .. }) if value == "1.3" => Version::Tls13,
        Some(At { place, value }) => {
            problems.push(place, format!("{} is not a version of TLS spoken here: `1.2` or `1.3`", show(&value)));
            Version::Tls12
        }
    }
}

fn check_clients(
    authority: Written<String>,
    need: Written<String>,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Option<Clients> {
    if let (Written::Absent, Written::Is(need)) = (&authority, &need) {
        problems.push(need.place, "`client_certificates` needs `client_ca`: who signs them?");
    }
    let need = match need.given() {
        None => Need::Required,
        Some(At { value, .. }) if value == "required" => Need::Required,
        Some(At { value, .. }) if value == "optional" => Need::Optional,
        Some(At { place, value }) => {
            problems.push(place, unknown("need", &value, ["required", "optional"]));
            Need::Required
        }
    };
    let authority = authority.given()?;
    let clients = Clients { authority: file(&authority, surroundings, problems)?, need };
    if let Err(error) = check_authority(&clients) {
        problems.push(authority.place, error.to_string());
    }
    Some(clients)
}
