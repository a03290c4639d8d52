//! Other issuers' public keys as they publish them: JWK sets (RFC 7517 section 5).

use std::{collections::HashSet, fmt};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::Value;

use super::{
    JwsAlgorithm, KeyKind, VerifyingKey, VerifyingKeyError,
    json::{Item, Object},
    rsa::RsaPublicKey,
};
use crate::domain::KeyId;

/// The keys of a set that can be used, and the entries that cannot.
#[derive(Debug)]
pub struct KeySet {
    /// Keys that check signatures, at least one, no two of them alike.
    pub keys: Vec<VerifyingKey>,
    /// What was passed over, in the order of the set.
    pub unusable: Vec<Unusable>,
}

/// An entry of a set that is passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Its place in the set, counted from 0.
    pub place: usize,
    /// Its `kid`, if it has one.
    pub id: Option<KeyId>,
    /// Why.
    pub why: WhyUnusable,
}

/// Why an entry of a key set is passed over: one closed set for the metric and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyUnusable {
    /// A type or curve that we know nothing of.
    Type,
    /// It is for something else than checking signatures: `use`, `key_ops`.
    Use,
    /// It is for an algorithm that the issuer's entry does not list, or that does not fit its type.
    Algorithm,
    /// A member is missing, repeated or ill-formed, or together they make no key.
    Member,
    /// A key that nobody should rely on.
    Weak,
    /// A shared secret, which has no place in a published set.
    Symmetric,
}

impl WhyUnusable {
    /// Every reason, in the order of their places in tables.
    pub const ALL: [Self; 6] = [Self::Type, Self::Use, Self::Algorithm, Self::Member, Self::Weak, Self::Symmetric];

    /// Its name in the metric and the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Use => "use",
            Self::Algorithm => "algorithm",
            Self::Member => "member",
            Self::Weak => "weak",
            Self::Symmetric => "symmetric",
        }
    }
}

/// Why a set of keys is refused as a whole. What was trusted before goes on being trusted then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// It is no JSON object with a list of at most 100 entries under `keys`.
    #[error("it is not a JWK set of at most {MOST_KEYS} keys")]
    NotASet,
    /// No section of it is a public key or certificate, or one is something else.
    #[error("it is not a PEM file of at most {MOST_KEYS} public keys or certificates")]
    NotPem,
    /// Somebody published what must not be published: nobody should rely on any of it.
    #[error("key {0} holds a private member")]
    Private(usize),
    /// A key of a PEM file is no key, or a weak one.
    #[error("key {0} {1}")]
    Key(usize, VerifyingKeyError),
    /// Of its keys none is for checking signatures with one of the algorithms that the issuer may use.
    #[error("it has no key for the algorithms of this issuer{}", PassedOver(.0))]
    NoUsableKey(Vec<Unusable>),
}

/// Entries that are passed over, as the log tells of them: the first ones by name.
#[derive(Debug)]
pub struct PassedOver<'a>(pub &'a [Unusable]);

impl fmt::Display for PassedOver<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Unusable { place, id, why }) in self.0.iter().take(MOST_NAMED).enumerate() {
            write!(f, "{} key {place}", if number == 0 { ":" } else { "," })?;
            if let Some(id) = id {
                // Whoever publishes the set chose it: it is escaped, and cut where it is long.
                write!(f, " ({:?})", id.as_str().chars().take(64).collect::<String>())?;
            }
            write!(f, " {}", why.name())?;
        }
        match self.0.len().saturating_sub(MOST_NAMED) {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}

/// The keys of a JWK set that check signatures with one of `algorithms`.
///
/// Entries that cannot be used are passed over (RFC 7517 section 5): issuers publish keys for other purposes, of types yet
/// to come, and now and then a broken one, beside those that they sign with. A member that is null is absent. Keys may share
/// a `kid`; the same key twice counts once. A key that does not say its algorithm counts for each of `algorithms` that it
/// fits: those are what the configuration allows, so that a token's header still chooses nothing that was not chosen before.
///
/// A private member anywhere refuses the whole set, and so does a set without one usable key.
pub fn parse_key_set(json: &[u8], algorithms: &[JwsAlgorithm]) -> Result<KeySet, KeySetError> {
    let text = std::str::from_utf8(json).map_err(|_| KeySetError::NotASet)?;
    // The library would read a list as an object without names.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(KeySetError::NotASet);
    }
    let WrittenSet { keys: items } = serde_json::from_str(text).map_err(|_| KeySetError::NotASet)?;
    if items.len() > MOST_KEYS {
        return Err(KeySetError::NotASet);
    }
    let is_private =
        |item: &Item| matches!(item, Item::Object(object) if PRIVATE.iter().any(|name| object.states(name)));
    if let Some(place) = items.iter().position(is_private) {
        return Err(KeySetError::Private(place));
    }
    let (mut keys, mut unusable) = (Vec::with_capacity(items.len()), Vec::new());
    for (place, item) in items.iter().enumerate() {
        let found = match item {
            Item::Object(object) => Jwk(object).keys(algorithms),
            Item::Other => Err(WhyUnusable::Member),
        };
        match found {
            Ok(found) => keys.extend(found),
            Err(why) => unusable.push(Unusable { place, id: item.id(), why }),
        }
    }
    drop_repeated(&mut keys);
    if keys.is_empty() { Err(KeySetError::NoUsableKey(unusable)) } else { Ok(KeySet { keys, unusable }) }
}

/// Leaves of several equal keys of one name the first.
pub(super) fn drop_repeated(keys: &mut Vec<VerifyingKey>) {
    let mut seen = HashSet::new();
    keys.retain(|key| seen.insert((key.id().cloned(), key.issuer().map(ToOwned::to_owned), key.fingerprint())));
}

#[derive(Deserialize)]
struct WrittenSet {
    keys: Vec<Item>,
}

impl Item {
    fn id(&self) -> Option<KeyId> {
        match self {
            Self::Object(object) => object.stated("kid").and_then(Value::as_str).map(KeyId::new),
            Self::Other => None,
        }
    }
}

/// One member of `keys`.
struct Jwk<'a>(&'a Object);

impl<'a> Jwk<'a> {
    /// The key once for each of `algorithms` that it fits and allows, or why there is none.
    fn keys(&self, algorithms: &[JwsAlgorithm]) -> Result<Vec<VerifyingKey>, WhyUnusable> {
        // Which of two members counts would depend on who reads them (RFC 7517 section 4).
        if !self.0.is_unrepeated() {
            return Err(WhyUnusable::Member);
        }
        let kind = self.kind()?;
        if !self.is_for_verifying()? {
            return Err(WhyUnusable::Use);
        }
        let stated = self.text("alg")?;
        let id = self.text("kid")?.map(KeyId::new);
        let fits = |algorithm: &&JwsAlgorithm| {
            algorithm.key_kind() == kind && stated.is_none_or(|stated| stated == algorithm.name())
        };
        let keys = algorithms
            .iter()
            .filter(fits)
            .map(|algorithm| Ok(self.key(*algorithm)?.named(id.clone()).of_issuer(self.issuer())));
        let keys: Vec<VerifyingKey> = keys.collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(WhyUnusable::Algorithm) } else { Ok(keys) }
    }

    /// `kty` and `crv`.
    fn kind(&self) -> Result<KeyKind, WhyUnusable> {
        let kind = self.text("kty")?.ok_or(WhyUnusable::Member)?;
        // A shared secret that is published is none, whatever it says to be.
        if self.0.states("k") {
            return Err(WhyUnusable::Symmetric);
        }
        let curve = match kind {
            "RSA" => return Ok(KeyKind::Rsa),
            "oct" => return Err(WhyUnusable::Symmetric),
            "EC" | "OKP" => self.text("crv")?.ok_or(WhyUnusable::Member)?,
            _ => return Err(WhyUnusable::Type),
        };
        match (kind, curve) {
            ("EC", "P-256") => Ok(KeyKind::P256),
            ("EC", "P-384") => Ok(KeyKind::P384),
            ("OKP", "Ed25519") => Ok(KeyKind::Ed25519),
            _ => Err(WhyUnusable::Type),
        }
    }

    /// Entra names in one set the issuer of each key: a template that holds for every tenant, or one tenant's.
    fn issuer(&self) -> Option<&'a str> {
        let issuer = self.0.stated("issuer").and_then(Value::as_str)?;
        (issuer.starts_with("https://") && !issuer.contains('{')).then_some(issuer)
    }

    /// `use` and `key_ops` (RFC 7517 sections 4.2 and 4.3); a key that says neither is for anything.
    fn is_for_verifying(&self) -> Result<bool, WhyUnusable> {
        let for_signatures = self.text("use")?.is_none_or(|used| used == "sig");
        let operations = match self.0.stated("key_ops") {
            None => return Ok(for_signatures),
            Some(Value::Array(operations)) => operations,
            Some(_) => return Err(WhyUnusable::Member),
        };
        let named: Option<HashSet<&str>> = operations.iter().map(Value::as_str).collect();
        let named = named.filter(|named| named.len() == operations.len()).ok_or(WhyUnusable::Member)?;
        Ok(for_signatures && named.contains("verify"))
    }

    fn key(&self, algorithm: JwsAlgorithm) -> Result<VerifyingKey, WhyUnusable> {
        let key = match algorithm.key_kind() {
            KeyKind::Rsa => VerifyingKey::rsa(algorithm, &RsaPublicKey::new(&self.bytes("n")?, &self.bytes("e")?)),
            // Both coordinates have their full length (RFC 7518 section 6.2.1.2), so that a point is read in one way.
            KeyKind::P256 => VerifyingKey::curve(algorithm, &self.point(32)?),
            KeyKind::P384 => VerifyingKey::curve(algorithm, &self.point(48)?),
            KeyKind::Ed25519 => VerifyingKey::curve(algorithm, &self.bytes("x")?),
            KeyKind::Shared => return Err(WhyUnusable::Symmetric),
        };
        key.map_err(|error| match error {
            VerifyingKeyError::NoKey(_) => WhyUnusable::Member,
            VerifyingKeyError::Weak(_) | VerifyingKeyError::SmallOrder | VerifyingKeyError::Short { .. } => {
                WhyUnusable::Weak
            }
        })
    }

    /// The uncompressed point (SEC 1 section 2.3.3).
    fn point(&self, length: usize) -> Result<Vec<u8>, WhyUnusable> {
        let mut point = vec![4];
        for name in ["x", "y"] {
            let coordinate = self.bytes(name)?;
            if coordinate.len() != length {
                return Err(WhyUnusable::Member);
            }
            point.extend(coordinate);
        }
        Ok(point)
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, WhyUnusable> {
        let text = self.text(name)?;
        text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or(WhyUnusable::Member)
    }

    /// A member that is a text if it is there.
    fn text(&self, name: &str) -> Result<Option<&'a str>, WhyUnusable> {
        self.0.stated(name).map(|value| value.as_str().ok_or(WhyUnusable::Member)).transpose()
    }
}

/// What only the holder of a private key may know (RFC 7518 sections 6.2.2 and 6.3.2, RFC 8037 section 2; `priv`: the
/// post-quantum keys to come), whatever the key is for.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "priv"];
/// More keys than any issuer has at one time.
pub(super) const MOST_KEYS: usize = 100;
/// So many entries are named one by one.
const MOST_NAMED: usize = 10;

#[cfg(test)]
mod tests;
