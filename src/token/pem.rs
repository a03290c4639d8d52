//! Other issuers' public keys in PEM files (RFC 7468): bare, or in certificates.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    JwsAlgorithm, KeyKind, KeySetError, VerifyingKey, VerifyingKeyError,
    key_set::{MOST_KEYS, drop_repeated},
    rsa::RsaPublicKey,
};

/// The keys of a PEM file that check signatures with one of `algorithms`. They have no `kid`.
///
/// A section is a `PUBLIC KEY` (RFC 5280), an `RSA PUBLIC KEY` (PKCS#1, RFC 8017 appendix A.1.1) or a `CERTIFICATE`, of which
/// the key alone counts: a certificate pins its key here, whoever signed it and until whenever it is good. What stands
/// around sections is a comment. Private keys and anything else refuse the file.
pub fn parse_pem(text: &[u8], algorithms: &[JwsAlgorithm]) -> Result<Vec<VerifyingKey>, KeySetError> {
    let text = std::str::from_utf8(text).map_err(|_| KeySetError::NotPem)?;
    let sections = sections(text).filter(|sections| (1..=MOST_KEYS).contains(&sections.len()));
    let sections = sections.ok_or(KeySetError::NotPem)?;
    if let Some(place) = sections.iter().position(|section| section.label.ends_with("PRIVATE KEY")) {
        return Err(KeySetError::Private(place));
    }
    let mut keys = Vec::new();
    for (place, Section { label, content }) in sections.iter().enumerate() {
        let der = STANDARD.decode(content).map_err(|_| KeySetError::NotPem)?;
        let found = match *label {
            "PUBLIC KEY" => spki_keys(&der, algorithms),
            "RSA PUBLIC KEY" => RsaPublicKey::from_pkcs1(&der).map_or(Ok(Vec::new()), |key| rsa_keys(&key, algorithms)),
            "CERTIFICATE" | "X509 CERTIFICATE" => {
                let (_, certificate) = x509_parser::parse_x509_certificate(&der).map_err(|_| KeySetError::NotPem)?;
                spki_keys(certificate.public_key().raw, algorithms)
            }
            _ => return Err(KeySetError::NotPem),
        };
        keys.extend(found.map_err(|error| KeySetError::Key(place, error))?);
    }
    drop_repeated(&mut keys);
    if keys.is_empty() { Err(KeySetError::NoUsableKey(Vec::new())) } else { Ok(keys) }
}

/// What stands between two of its lines.
struct Section<'a> {
    label: &'a str,
    /// Base64.
    content: String,
}

/// `None` if a section does not end, or not as it begins.
fn sections(text: &str) -> Option<Vec<Section<'_>>> {
    let (mut sections, mut open): (Vec<Section<'_>>, Option<Section<'_>>) = (Vec::new(), None);
    for line in text.trim_start_matches('\u{feff}').lines().map(str::trim) {
        let label = |start| line.strip_prefix(start).and_then(|rest: &str| rest.strip_suffix("-----"));
        match (label("-----BEGIN "), label("-----END "), open.take()) {
            (Some(label), _, None) => open = Some(Section { label, content: String::new() }),
            (_, Some(label), Some(section)) if section.label == label => sections.push(section),
            (None, None, Some(mut section)) => {
                section.content.push_str(line);
                open = Some(section);
            }
            (None, None, None) => {}
            (Some(_), _, Some(_)) | (None, Some(_), _) => return None,
        }
    }
    open.is_none().then_some(sections)
}

/// The key of a `SubjectPublicKeyInfo`, once for each of `algorithms` that it fits.
fn spki_keys(der: &[u8], algorithms: &[JwsAlgorithm]) -> Result<Vec<VerifyingKey>, VerifyingKeyError> {
    if let Some(rsa) = RsaPublicKey::from_spki(der) {
        return rsa_keys(&rsa, algorithms);
    }
    let point = |algorithm: JwsAlgorithm| match algorithm.key_kind() {
        KeyKind::P256 => der.strip_prefix(P256_PREFIX),
        KeyKind::P384 => der.strip_prefix(P384_PREFIX),
        KeyKind::Ed25519 => der.strip_prefix(ED25519_PREFIX),
        KeyKind::Rsa | KeyKind::Shared => None,
    };
    let fitting = algorithms.iter().filter_map(|algorithm| Some((*algorithm, point(*algorithm)?)));
    fitting.map(|(algorithm, point)| VerifyingKey::curve(algorithm, point)).collect()
}

fn rsa_keys(key: &RsaPublicKey<'_>, algorithms: &[JwsAlgorithm]) -> Result<Vec<VerifyingKey>, VerifyingKeyError> {
    let fitting = algorithms.iter().filter(|algorithm| algorithm.key_kind() == KeyKind::Rsa);
    fitting.map(|algorithm| VerifyingKey::rsa(*algorithm, key)).collect()
}

/// What stands before the key in a `SubjectPublicKeyInfo` (RFC 5480 section 2, RFC 8410 section 4), whose length is fixed.
const P256_PREFIX: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1,
    7, 0x03, 0x42, 0,
];
const P384_PREFIX: &[u8] = &[
    0x30, 0x76, 0x30, 0x10, 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 5, 0x2b, 0x81, 4, 0, 0x22, 0x03, 0x62, 0,
];
const ED25519_PREFIX: &[u8] = &[0x30, 0x2a, 0x30, 5, 0x06, 3, 0x2b, 0x65, 0x70, 0x03, 0x21, 0];

#[cfg(test)]
mod tests;
