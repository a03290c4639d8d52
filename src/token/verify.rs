use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{claims, json::Object, keys::VerifyingKey};
use crate::domain::{Catalogue, KeyId, Principal, Reason, Timestamp};

/// Longest token looked at, in bytes.
pub const MAX_TOKEN_LENGTH: usize = 8 * 1024;

/// What an issuer's tokens must say.
#[derive(Clone, Copy, Debug)]
pub struct Expectations<'a> {
    /// The `aud` that is ours.
    pub audience: &'a str,
    /// How far clocks may differ, in seconds.
    pub clock_skew: u64,
    /// The scopes there are.
    pub catalogue: &'a Catalogue,
}

/// A well-formed token nobody has vouched for yet: its parts are read, its signature is not checked.
///
/// It serves to find the keys to check it with; nothing in it may be believed before [`Unverified::verify`].
#[derive(Debug)]
pub struct Unverified<'a> {
    algorithm: String,
    key: Option<KeyId>,
    issuer: String,
    claims: Object,
    signed: &'a str,
    signature: &'a str,
}

impl<'a> Unverified<'a> {
    /// Reads a JWS in compact serialization (RFC 7515 section 7.1) with JSON claims.
    pub fn parse(token: &'a str) -> Result<Self, Reason> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(Reason::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Reason::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Reason::Malformed)?;
        if signature.is_empty() || payload.contains('.') || decode(signature).is_none() {
            return Err(Reason::Malformed);
        }
        let header = decode(header).and_then(|json| Object::parse(&json)).ok_or(Reason::Malformed)?;
        let claims = decode(payload).and_then(|json| Object::parse(&json)).ok_or(Reason::Malformed)?;
        check_header(&header)?;
        let algorithm = header.member("alg").and_then(Value::as_str).ok_or(Reason::Algorithm)?.to_owned();
        let issuer = claims.member("iss").and_then(Value::as_str).ok_or(Reason::Issuer)?.to_owned();
        let key = header.member("kid").map(key_id).transpose()?;
        Ok(Self { algorithm, key, issuer, claims, signed, signature })
    }

    /// The issuer it claims to come from.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The key it claims to be signed with.
    pub const fn key(&self) -> Option<&KeyId> {
        self.key.as_ref()
    }

    /// Checks the signature with `key`, whose algorithm counts and not the header's, then every claim.
    pub fn verify(&self, key: &VerifyingKey, expected: &Expectations<'_>, now: Timestamp) -> Result<Principal, Reason> {
        if self.algorithm != key.algorithm().name() {
            return Err(Reason::Algorithm);
        }
        if !key.verifies(self.signed.as_bytes(), self.signature) {
            return Err(Reason::Signature);
        }
        claims::check(&self.claims, key.id(), expected, now)
    }
}

/// Whether a principal verified before is still within its times.
pub fn check_times(principal: &Principal, clock_skew: u64, now: Timestamp) -> Result<(), Reason> {
    claims::check_times(principal.expires_at, principal.not_before, clock_skew, now)
}

/// Canonical base64url without padding (RFC 7515 section 2); nothing empty.
fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok().filter(|bytes| !bytes.is_empty())
}

/// The header rules that hold for every key. Members that name keys (`jwk`, `jku`, `x5c`, `x5u`) are never looked at.
fn check_header(header: &Object) -> Result<(), Reason> {
    // RFC 7515 section 4.1.11: we understand no extension, so a token that depends on one is refused. RFC 7797: `b64`.
    if ["crit", "b64", "zip"].iter().any(|name| header.member(name).is_some()) {
        return Err(Reason::Malformed);
    }
    let kind = match header.member("typ") {
        None => return Ok(()),
        Some(kind) => kind.as_str().ok_or(Reason::Malformed)?,
    };
    // RFC 9068 section 4 and RFC 7515 section 4.1.9: media types compare without case, `application/` may be left out.
    let known = ["JWT", "at+jwt", "application/at+jwt"].iter().any(|known| kind.eq_ignore_ascii_case(known));
    if known { Ok(()) } else { Err(Reason::Malformed) }
}

fn key_id(value: &Value) -> Result<KeyId, Reason> {
    let text = value.as_str().ok_or(Reason::Malformed)?;
    KeyId::parse(text).map_err(|_| Reason::UnknownKey)
}
