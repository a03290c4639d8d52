//! What the verifier says of a token, given keys as their owner would hand them out.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use scopegate::{
    domain::{KeyId, Reason},
    token::{Jws, JwsAlgorithm, KeyKind, KeySetError, VerifyingKey, VerifyingKeyError, parse_key_set},
};
use serde_json::{Value, json};

/// Why a vector is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The key set as a whole.
    KeySet(KeySetError),
    /// The shared secret.
    Secret(VerifyingKeyError),
    /// The token.
    Token(Reason),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeySet(_) => f.write_str("key_set"),
            Self::Secret(_) => f.write_str("secret"),
            Self::Token(reason) => f.write_str(reason.code()),
        }
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::Token(reason)
    }
}

/// The keys of a JWK or of a set: a set as it is published, one symmetric key as it is shared.
pub fn keys(jwk: &Value) -> Result<Vec<VerifyingKey>, Refusal> {
    let set = if jwk["keys"].is_array() { jwk.clone() } else { json!({ "keys": [jwk] }) };
    match super::list(&set["keys"]) {
        [secret] if secret["kty"] == "oct" => shared(secret),
        _ => published(&set),
    }
}

/// The keys of a set for an issuer that may use every algorithm.
pub fn published(set: &Value) -> Result<Vec<VerifyingKey>, Refusal> {
    let set = parse_key_set(set.to_string().as_bytes(), &JwsAlgorithm::ALL).map_err(Refusal::KeySet)?;
    Ok(set.keys)
}

/// A secret for its algorithm, or for all that it is long enough for.
fn shared(jwk: &Value) -> Result<Vec<VerifyingKey>, Refusal> {
    let secret = URL_SAFE_NO_PAD.decode(jwk["k"].as_str().unwrap()).unwrap();
    let algorithms = match jwk["alg"].as_str() {
        Some(name) => vec![JwsAlgorithm::from_name(name).ok_or(Refusal::Token(Reason::Algorithm))?],
        None => JwsAlgorithm::ALL.into_iter().filter(|algorithm| algorithm.key_kind() == KeyKind::Shared).collect(),
    };
    let id = jwk["kid"].as_str().map(KeyId::new);
    let key = |algorithm| Ok(VerifyingKey::shared(algorithm, &secret)?.named(id.clone()));
    algorithms.into_iter().map(key).collect::<Result<_, _>>().map_err(Refusal::Secret)
}

/// Checks a compact token with the keys that it names, or with all if it names none.
pub fn verify<'t>(token: &'t str, keys: &[VerifyingKey]) -> Result<Jws<'t>, Reason> {
    let jws = Jws::parse(token.as_bytes())?;
    let named = |key: &&VerifyingKey| jws.key().is_none() || key.id().is_none() || key.id() == jws.key();
    let mut outcome = Err(Reason::UnknownKey);
    for key in keys.iter().filter(named) {
        // A signature that is wrong says more than a key for something else.
        match (jws.check_signature(key), outcome) {
            (Ok(()), _) => return Ok(jws),
            (Err(Reason::Algorithm), Err(Reason::Signature)) => {}
            (refused, _) => outcome = refused,
        }
    }
    outcome.map(|()| jws)
}

/// What is said of a token when the keys come as `jwk` says.
pub fn judge(token: &str, jwk: &Value) -> Result<(), Refusal> {
    // A token that is none has no need of keys.
    Jws::parse(token.as_bytes())?;
    verify(token, &keys(jwk)?)?;
    Ok(())
}
