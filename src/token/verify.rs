use std::sync::Arc;

use serde_json::Value;

use super::{ClaimPath, JwsAlgorithm, VerifyingKey, claims, json::Object, jws::Jws};
use crate::domain::{Catalogue, IssuerId, KeyId, Principal, Reason, ScopeSet, Timestamp};

/// What an issuer's tokens must say, and how they say it.
#[derive(Clone, Debug)]
pub struct Expectations {
    /// Whose tokens they are.
    pub issuer: IssuerId,
    /// The values of `aud` that are ours.
    pub audiences: Audiences,
    /// How far clocks may differ, in seconds.
    pub clock_skew: u64,
    /// Longest time from `iat` (or from now, without one) to `exp`, in seconds.
    pub longest_life: Option<u64>,
    /// The scopes there are.
    pub catalogue: Arc<Catalogue>,
    /// The scopes that the issuer may grant; others count as not stated. `None`: all of them.
    pub ceiling: Option<ScopeSet>,
    /// Under which names its claims stand.
    pub claims: ClaimNames,
}

impl Expectations {
    /// Of our own tokens.
    pub fn own(audience: String, clock_skew: u64, catalogue: Arc<Catalogue>) -> Self {
        Self {
            issuer: IssuerId::OWN,
            audiences: Audiences::OneOf(vec![audience]),
            clock_skew,
            longest_life: None,
            catalogue,
            ceiling: None,
            claims: ClaimNames::default(),
        }
    }
}

/// Whom a token must be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audiences {
    /// One of these.
    OneOf(Vec<String>),
    /// One of these if it says for whom: its issuer was asked, and knows who asks.
    OneOfIfStated(Vec<String>),
}

/// Where an issuer's tokens state what we need to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimNames {
    /// Whom it is for.
    pub audience: ClaimPath,
    /// The account that owns the caller.
    pub customer: ClaimPath,
    /// The caller. `sub` may be a person, or another issuer's name for anybody: it stands for the client only where an entry says so.
    pub client: ClaimPath,
    /// The scopes; `None`: the first of `scope`, `scp` and `scopes`.
    pub scope: Option<ClaimPath>,
    /// The application that a bound scope is for.
    pub application: ClaimPath,
}

impl Default for ClaimNames {
    /// The names in our own tokens.
    fn default() -> Self {
        Self {
            audience: ClaimPath::of("aud"),
            customer: ClaimPath::of("customer_id"),
            client: ClaimPath::of("client_id"),
            scope: None,
            application: ClaimPath::of("application_id"),
        }
    }
}

/// A well-formed token nobody has vouched for yet: its parts are read, its signature is not checked.
///
/// It serves to find the keys to check it with; nothing in it may be believed before [`Unverified::verify`].
#[derive(Debug)]
pub struct Unverified<'a> {
    jws: Jws<'a>,
    issuer: String,
    claims: Object,
}

impl<'a> Unverified<'a> {
    /// Reads a JWS whose payload is a claims set (RFC 7519 section 7.2).
    pub fn parse(token: &'a [u8]) -> Result<Self, Reason> {
        let jws = Jws::parse(token)?;
        let claims = Object::parse(jws.payload()).ok_or(Reason::Malformed)?;
        let issuer = claims.member("iss").and_then(Value::as_str).ok_or(Reason::Issuer)?.to_owned();
        Ok(Self { jws, issuer, claims })
    }

    /// The issuer it claims to come from.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The key it claims to be signed with.
    pub const fn key(&self) -> Option<&KeyId> {
        self.jws.key()
    }

    /// The algorithm it claims to be signed with.
    pub const fn algorithm(&self) -> JwsAlgorithm {
        self.jws.algorithm()
    }

    /// Whether it says itself that it is over: then nobody need be asked about it.
    pub fn check_expiry(&self, clock_skew: u64, now: Timestamp) -> Result<(), Reason> {
        claims::moment(&self.claims, "exp")?.map_or(Ok(()), |expiry| claims::check_times(expiry, None, clock_skew, now))
    }

    /// A claim as it stands in the token. To be believed only of a token whose very bytes were verified.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.member(name)
    }

    /// Checks the signature with `key`, whose algorithm counts and not the header's, then every claim.
    pub fn verify(&self, key: &VerifyingKey, expected: &Expectations, now: Timestamp) -> Result<Principal, Reason> {
        self.jws.check_signature(key)?;
        claims::check_subject(&self.claims)?;
        let expires_at = claims::expiry(&self.claims)?;
        claims::check(&self.claims, &self.issuer, expires_at, Some(key.fingerprint()), expected, now)
    }
}

/// Whether a principal verified before is still within its times.
pub fn check_times(principal: &Principal, clock_skew: u64, now: Timestamp) -> Result<(), Reason> {
    claims::check_times(principal.expires_at, principal.not_before, clock_skew, now)
}

#[cfg(test)]
mod tests;
