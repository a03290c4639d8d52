//! Other issuers' public keys as they publish them: JWK sets (RFC 7517 section 5) and PEM files.

use std::collections::HashSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::pki_types::pem::{PemObject, SectionKind};
use serde::Deserialize;
use serde_json::Value;

use super::{JwsAlgorithm, KeyKind, VerifyingKey, VerifyingKeyError, json::Object, rsa::RsaPublicKey};
use crate::domain::KeyId;

/// Why a set of keys is refused as a whole. What was trusted before goes on being trusted then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// It is no JSON object with a list of at most 100 objects under `keys`.
    #[error("it is not a JWK set of at most {MOST_KEYS} keys")]
    NotASet,
    /// No section of it is a public key.
    #[error("it is not a PEM file of at most {MOST_KEYS} public keys")]
    NotPem,
    /// Somebody published what must not be published: nobody should rely on any of it.
    #[error("key {0} holds a private or symmetric member")]
    Private(usize),
    /// Two keys have one name, so that a token's `kid` means either.
    #[error("key {0} has the `kid` of an earlier one")]
    RepeatedKid(usize),
    /// A member is missing, of the wrong type, or contradicts another one.
    #[error("key {0} has no well-formed {1}")]
    Member(usize, &'static str),
    /// A key is no key, or a weak one.
    #[error("key {0} {1}")]
    Key(usize, VerifyingKeyError),
    /// Of its keys none is for checking signatures with one of the algorithms that the issuer may use.
    #[error("it has no key for the algorithms of this issuer")]
    NoUsableKey,
}

/// The keys of a JWK set that check signatures with one of `algorithms`.
///
/// Keys of other types, for another use or for another algorithm are passed over (RFC 7517 section 5). A key that does not
/// say its algorithm counts for each of `algorithms` that it fits: those are what the configuration allows, so that a token's
/// header still chooses nothing that was not chosen before. Anything that is wrong refuses the whole set.
pub fn parse_key_set(json: &[u8], algorithms: &[JwsAlgorithm]) -> Result<Vec<VerifyingKey>, KeySetError> {
    let text = std::str::from_utf8(json).map_err(|_| KeySetError::NotASet)?;
    // The library would read a list as an object without names.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(KeySetError::NotASet);
    }
    let KeySet { keys } = serde_json::from_str(text).map_err(|_| KeySetError::NotASet)?;
    if keys.len() > MOST_KEYS {
        return Err(KeySetError::NotASet);
    }
    let mut names = HashSet::new();
    let mut usable = Vec::with_capacity(keys.len());
    for (place, object) in keys.iter().enumerate() {
        let jwk = Jwk { place, object };
        jwk.check_public()?;
        if jwk.text("kid")?.is_some_and(|kid| !names.insert(kid)) {
            return Err(KeySetError::RepeatedKid(place));
        }
        if jwk.is_for_verifying()? {
            usable.extend(jwk.keys(algorithms)?);
        }
    }
    some(usable)
}

/// The keys of a PEM file that check signatures with one of `algorithms`. They have no `kid`.
pub fn parse_pem(text: &[u8], algorithms: &[JwsAlgorithm]) -> Result<Vec<VerifyingKey>, KeySetError> {
    let sections: Vec<(SectionKind, Vec<u8>)> =
        PemObject::pem_slice_iter(text).collect::<Result<_, _>>().map_err(|_| KeySetError::NotPem)?;
    if sections.is_empty() || sections.len() > MOST_KEYS {
        return Err(KeySetError::NotPem);
    }
    let mut usable = Vec::new();
    for (place, (kind, der)) in sections.iter().enumerate() {
        if matches!(kind, SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey) {
            return Err(KeySetError::Private(place));
        }
        if *kind != SectionKind::PublicKey {
            return Err(KeySetError::NotPem);
        }
        usable.extend(spki_keys(place, der, algorithms)?);
    }
    some(usable)
}

fn some(keys: Vec<VerifyingKey>) -> Result<Vec<VerifyingKey>, KeySetError> {
    if keys.is_empty() { Err(KeySetError::NoUsableKey) } else { Ok(keys) }
}

/// The key of a `SubjectPublicKeyInfo`, once for each of `algorithms` that it fits.
fn spki_keys(place: usize, der: &[u8], algorithms: &[JwsAlgorithm]) -> Result<Vec<VerifyingKey>, KeySetError> {
    let rsa = RsaPublicKey::from_spki(der);
    let key = |algorithm: JwsAlgorithm| match (algorithm.key_kind(), &rsa) {
        (KeyKind::Rsa, Some(rsa)) => Some(VerifyingKey::rsa(algorithm, rsa)),
        (KeyKind::P256, None) => Some(VerifyingKey::curve(algorithm, der.strip_prefix(P256_PREFIX)?)),
        (KeyKind::P384, None) => Some(VerifyingKey::curve(algorithm, der.strip_prefix(P384_PREFIX)?)),
        (KeyKind::Ed25519, None) => Some(VerifyingKey::curve(algorithm, der.strip_prefix(ED25519_PREFIX)?)),
        (KeyKind::Rsa | KeyKind::P256 | KeyKind::P384 | KeyKind::Ed25519 | KeyKind::Shared, _) => None,
    };
    let keys = algorithms.iter().filter_map(|algorithm| key(*algorithm));
    keys.collect::<Result<_, _>>().map_err(|error| KeySetError::Key(place, error))
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Object>,
}

/// One member of `keys`.
struct Jwk<'a> {
    place: usize,
    object: &'a Object,
}

impl<'a> Jwk<'a> {
    /// RFC 7518 sections 6.2.2, 6.3.2 and 6.4
    fn check_public(&self) -> Result<(), KeySetError> {
        let secret =
            ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|name| self.object.member(name).is_some());
        if secret || self.text("kty")? == Some("oct") { Err(KeySetError::Private(self.place)) } else { Ok(()) }
    }

    /// `use` and `key_ops` (RFC 7517 sections 4.2 and 4.3); a key that says neither is for anything.
    fn is_for_verifying(&self) -> Result<bool, KeySetError> {
        let for_signatures = self.text("use")?.is_none_or(|used| used == "sig");
        let operations = match self.object.member("key_ops") {
            None => return Ok(for_signatures),
            Some(Value::Array(operations)) => operations,
            Some(_) => return Err(self.malformed("key_ops")),
        };
        let named: Option<HashSet<&str>> = operations.iter().map(Value::as_str).collect();
        let named = named.filter(|named| named.len() == operations.len()).ok_or_else(|| self.malformed("key_ops"))?;
        Ok(for_signatures && named.contains("verify"))
    }

    /// The key once for each of `algorithms` that it fits and allows.
    fn keys(&self, algorithms: &[JwsAlgorithm]) -> Result<Vec<VerifyingKey>, KeySetError> {
        let Some(kind) = self.kind()? else { return Ok(Vec::new()) };
        let stated = self.text("alg")?;
        if stated.and_then(JwsAlgorithm::from_name).is_some_and(|stated| stated.key_kind() != kind) {
            return Err(self.malformed("alg"));
        }
        let id = match self.text("kid")?.map(KeyId::parse) {
            None => None,
            Some(Ok(id)) => Some(id),
            // No token can name it: our own identifiers are what a header can hold.
            Some(Err(_)) => return Ok(Vec::new()),
        };
        let fits = |algorithm: &&JwsAlgorithm| {
            algorithm.key_kind() == kind && stated.is_none_or(|stated| stated == algorithm.name())
        };
        algorithms.iter().filter(fits).map(|algorithm| Ok(self.key(*algorithm)?.named(id.clone()))).collect()
    }

    /// `kty` and `crv`; `None` is a type that we have no use for.
    fn kind(&self) -> Result<Option<KeyKind>, KeySetError> {
        let kind = self.text("kty")?.ok_or_else(|| self.malformed("kty"))?;
        let curve = match kind {
            "RSA" => return Ok(Some(KeyKind::Rsa)),
            "EC" | "OKP" => self.text("crv")?.ok_or_else(|| self.malformed("crv"))?,
            _ => return Ok(None),
        };
        Ok(match (kind, curve) {
            ("EC", "P-256") => Some(KeyKind::P256),
            ("EC", "P-384") => Some(KeyKind::P384),
            ("OKP", "Ed25519") => Some(KeyKind::Ed25519),
            _ => None,
        })
    }

    fn key(&self, algorithm: JwsAlgorithm) -> Result<VerifyingKey, KeySetError> {
        let key = match algorithm.key_kind() {
            KeyKind::Rsa => VerifyingKey::rsa(algorithm, &RsaPublicKey::new(&self.bytes("n")?, &self.bytes("e")?)),
            // Both coordinates have their full length (RFC 7518 section 6.2.1.2), so that a point is read in one way.
            KeyKind::P256 => VerifyingKey::curve(algorithm, &self.point(32)?),
            KeyKind::P384 => VerifyingKey::curve(algorithm, &self.point(48)?),
            KeyKind::Ed25519 => VerifyingKey::curve(algorithm, &self.bytes("x")?),
            KeyKind::Shared => return Err(KeySetError::Private(self.place)),
        };
        key.map_err(|error| KeySetError::Key(self.place, error))
    }

    /// The uncompressed point (SEC 1 section 2.3.3).
    fn point(&self, length: usize) -> Result<Vec<u8>, KeySetError> {
        let mut point = vec![4];
        for name in ["x", "y"] {
            let coordinate = self.bytes(name)?;
            if coordinate.len() != length {
                return Err(self.malformed(name));
            }
            point.extend(coordinate);
        }
        Ok(point)
    }

    fn bytes(&self, name: &'static str) -> Result<Vec<u8>, KeySetError> {
        let text = self.text(name)?;
        text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or_else(|| self.malformed(name))
    }

    /// A member that is a text if it is there.
    fn text(&self, name: &'static str) -> Result<Option<&'a str>, KeySetError> {
        match self.object.member(name) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or_else(|| self.malformed(name)),
        }
    }

    const fn malformed(&self, name: &'static str) -> KeySetError {
        KeySetError::Member(self.place, name)
    }
}

/// More keys than any issuer has at one time.
const MOST_KEYS: usize = 100;
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
