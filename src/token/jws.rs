use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{JwsAlgorithm, VerifyingKey, json::Object};
use crate::domain::{KeyId, Reason};

/// Longest token that a configuration may let pass, in bytes.
pub const MAX_TOKEN_LENGTH: usize = 32 * 1024;

/// A well-formed JWS (RFC 7515) whose signature nobody has checked yet.
#[derive(Debug)]
pub struct Jws<'a> {
    algorithm: JwsAlgorithm,
    key: Option<KeyId>,
    payload: Vec<u8>,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Reads a compact serialization (section 7.1) and checks the header.
    pub fn parse(token: &'a [u8]) -> Result<Self, Reason> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(Reason::Malformed);
        }
        let token = std::str::from_utf8(token).map_err(|_| Reason::Malformed)?;
        let (signed, signature) = token.rsplit_once('.').ok_or(Reason::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Reason::Malformed)?;
        // A dot that is left over is no character of base64url.
        let signature = decode(signature).ok_or(Reason::Malformed)?;
        let payload = decode(payload).ok_or(Reason::Malformed)?;
        let header = decode(header).and_then(|json| Object::parse(&json)).ok_or(Reason::Malformed)?;
        check_header(&header)?;
        let algorithm = header.member("alg").and_then(Value::as_str).and_then(JwsAlgorithm::from_name);
        let algorithm = algorithm.ok_or(Reason::Algorithm)?;
        let key = match header.stated("kid") {
            None => None,
            Some(Value::String(name)) => Some(KeyId::new(name)),
            Some(_) => return Err(Reason::Malformed),
        };
        Ok(Self { algorithm, key, payload, signed, signature })
    }

    /// The algorithm it claims to be signed with.
    pub const fn algorithm(&self) -> JwsAlgorithm {
        self.algorithm
    }

    /// The key it claims to be signed with.
    pub const fn key(&self) -> Option<&KeyId> {
        self.key.as_ref()
    }

    /// What it says, to be believed only once [`Self::check_signature`] has passed.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Checks the signature with `key`, whose algorithm counts and not the header's.
    pub fn check_signature(&self, key: &VerifyingKey) -> Result<(), Reason> {
        if self.algorithm != key.algorithm() {
            return Err(Reason::Algorithm);
        }
        if key.verifies(self.signed.as_bytes(), &self.signature) { Ok(()) } else { Err(Reason::Signature) }
    }
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
    let kind = match header.stated("typ") {
        None => return Ok(()),
        Some(kind) => kind.as_str().ok_or(Reason::Malformed)?,
    };
    // RFC 9068 section 4 and RFC 7515 section 4.1.9: media types compare without case, `application/` may be left out.
    let (start, rest) = kind.split_at_checked("application/".len()).unwrap_or(("", kind));
    let kind = if start.eq_ignore_ascii_case("application/") { rest } else { kind };
    let known = ["JWT", "at+jwt"].iter().any(|known| kind.eq_ignore_ascii_case(known));
    if known { Ok(()) } else { Err(Reason::Malformed) }
}
