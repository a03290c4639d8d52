use std::{fs, io};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};

use super::{Surroundings, application::told, servers::Placed};
use crate::config::{
    ServerProof, TlsIdentity, UpstreamTls,
    cursor::{At, Written},
    problem::{Place, Problems, show},
    raw,
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
    let authorities = ca.given().and_then(|at| told(&at, |text| authorities(text, surroundings), problems));
    let identity = identity(place, certificate, key, surroundings, problems);
    Some(UpstreamTls { authorities: authorities.unwrap_or_default(), identity, verify })
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

fn authorities(text: &str, surroundings: &Surroundings) -> Result<Vec<Vec<u8>>, String> {
    let certificates = certificates(text, surroundings)?;
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        let added = store.add(CertificateDer::from_slice(certificate));
        added.map_err(|error| format!("{} holds no certificate of an authority: {error}", show(text)))?;
    }
    Ok(certificates)
}

/// Both or neither, and the one belongs to the other.
fn identity(
    place: Place,
    certificate: Written<String>,
    key: Written<String>,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Option<TlsIdentity> {
    if certificate.is_absent() != key.is_absent() {
        problems.push(place, "`certificate` and `key` belong together");
        return None;
    }
    let (certificate, key) = (certificate.given()?, key.given()?);
    let chain = told(&certificate, |text| certificates(text, surroundings), problems);
    let private = told(&key, |text| private_key(text, surroundings), problems);
    let identity = TlsIdentity { chain: chain?, key: private? };
    if let Err(error) = try_out(&identity) {
        problems.push(
            key.place,
            format!("the key does not go with the certificate in line {}: {error}", certificate.place.line),
        );
        return None;
    }
    Some(identity)
}

fn try_out(TlsIdentity { chain, key }: &TlsIdentity) -> Result<(), String> {
    let chain = chain.iter().map(|certificate| CertificateDer::from(certificate.clone())).collect();
    let key = PrivateKeyDer::try_from(key.clone()).map_err(ToOwned::to_owned)?;
    let provider = rustls::crypto::aws_lc_rs::default_provider().into();
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?.with_root_certificates(RootCertStore::empty());
    config.with_client_auth_cert(chain, key).map(drop).map_err(|error| error.to_string())
}

fn certificates(text: &str, surroundings: &Surroundings) -> Result<Vec<Vec<u8>>, String> {
    let pem = read(text, surroundings)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| format!("{} is no PEM file: {error}", show(text)))?;
    if found.is_empty() {
        return Err(format!("{} holds no certificate", show(text)));
    }
    Ok(found.iter().map(|certificate| certificate.to_vec()).collect())
}

fn private_key(text: &str, surroundings: &Surroundings) -> Result<Vec<u8>, String> {
    let pem = read(text, surroundings)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| format!("{} holds no private key as PEM", show(text)))?;
    Ok(key.secret_der().to_vec())
}

/// The bytes of `file:PATH`. The text is told in full: it is a path, never a secret.
fn read(text: &str, surroundings: &Surroundings) -> Result<Vec<u8>, String> {
    let path = text.strip_prefix("file:").filter(|path| !path.is_empty());
    let path = path.ok_or("certificates and keys stand in PEM files: write `file:PATH`")?;
    fs::read(surroundings.folder.join(path))
        .map_err(|error: io::Error| format!("{} cannot be read: {error}", show(text)))
}
