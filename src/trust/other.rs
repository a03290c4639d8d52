//! Tokens of another issuer: one entry of `trust`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    fetch::Fetch,
    introspection::{Asker, Introspection, Requester},
    key_ring::KeyRing,
    key_source::{KeySource, Outcome, Schedule, SourceReport},
};
use crate::{
    domain::{IssuerId, Principal, Reason, Timestamp},
    token::{Expectations, IssuerNames, JwsAlgorithm, MAX_TOKEN_LENGTH, Unverified, VerifyingKey, check_times},
};

/// An issuer whose tokens are accepted beside our own.
#[derive(Debug)]
pub struct TrustedIssuer {
    /// Its `iss`, byte for byte, or those of its tenants.
    pub names: IssuerNames,
    /// What its tokens must say.
    pub rules: Expectations,
    /// How they are verified.
    pub keys: Keys,
}

/// What an issuer's tokens are verified with.
#[derive(Debug)]
pub enum Keys {
    /// Keys that are known.
    Fixed(Vec<VerifyingKey>),
    /// A key set that somebody else publishes, for these algorithms.
    Followed(Fetch, Vec<JwsAlgorithm>, Schedule),
    /// The issuer's word.
    Asked(Introspection),
}

#[derive(Debug)]
pub(super) struct OtherIssuer {
    names: IssuerNames,
    rules: Expectations,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Fixed(KeyRing),
    Followed(Box<KeySource>),
    Asked(Box<Asker>),
}

impl OtherIssuer {
    pub(super) fn new(issuer: TrustedIssuer) -> Self {
        let TrustedIssuer { names, rules, keys } = issuer;
        let source = match keys {
            Keys::Fixed(keys) => Source::Fixed(KeyRing::of(keys)),
            Keys::Followed(fetch, algorithms, schedule) => {
                Source::Followed(Box::new(KeySource::new(fetch, algorithms, schedule)))
            }
            Keys::Asked(introspection) => Source::Asked(Box::new(Asker::new(introspection))),
        };
        Self { names, rules, source }
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.names.include(name)
    }

    pub(super) const fn id(&self) -> IssuerId {
        self.rules.issuer
    }

    pub(super) const fn clock_skew(&self) -> u64 {
        self.rules.clock_skew
    }

    /// Whether it is asked about its tokens, also those that are no JWT.
    pub(super) const fn is_asked(&self) -> bool {
        matches!(self.source, Source::Asked(_))
    }

    /// Verifies a JWT that names this issuer.
    pub(super) async fn verify(
        &self,
        parsed: &Unverified<'_>,
        token: &[u8],
        requester: Requester,
        now: Timestamp,
    ) -> Result<Principal, Reason> {
        let tenant = self.names.tenant(parsed.issuer());
        match &self.source {
            Source::Fixed(ring) => ring.verify(parsed, tenant, &self.rules, now),
            Source::Followed(source) => {
                let outcome = source.ring.verify(parsed, tenant, &self.rules, now);
                if !matches!(outcome, Err(Reason::UnknownKey | Reason::KeysUnavailable)) {
                    return outcome;
                }
                // Also where there was nothing to wait for: a fetch may have ended since.
                source.await_fetch().await;
                source.ring.verify(parsed, tenant, &self.rules, now)
            }
            Source::Asked(asker) => {
                // It may be forged to say so, which helps nobody.
                parsed.check_expiry(self.rules.clock_skew, now)?;
                let token = std::str::from_utf8(token).map_err(|_| Reason::Malformed)?;
                asker.ask(token, requester, self.names.as_str(), &self.rules, now).await
            }
        }
    }

    /// Asks about a token that is no JWT.
    pub(super) async fn ask(&self, token: &str, requester: Requester, now: Timestamp) -> Result<Principal, Reason> {
        match &self.source {
            Source::Asked(asker) => asker.ask(token, requester, self.names.as_str(), &self.rules, now).await,
            Source::Fixed(_) | Source::Followed(_) => Err(Reason::Malformed),
        }
    }

    /// Whether times and key of a principal verified before still stand.
    pub(super) fn recheck(&self, principal: &Principal, now: Timestamp) -> Result<(), Reason> {
        check_times(principal, self.rules.clock_skew, now)?;
        match (&self.source, principal.key) {
            (Source::Fixed(ring), Some(key)) => ring.recheck(key),
            (Source::Followed(source), Some(key)) => source.ring.recheck(key),
            (Source::Asked(_), None) => Ok(()),
            (Source::Asked(_), Some(_)) | (Source::Fixed(_) | Source::Followed(_), None) => Err(Reason::UnknownKey),
        }
    }

    pub(super) async fn fetch_keys(&self) {
        if let Source::Followed(source) = &self.source {
            source.refresh(self.names.as_str(), Outcome::Failed, &|| {}).await;
        }
    }

    pub(super) async fn follow_keys(&self, changed: &(dyn Fn() + Sync)) {
        if let Source::Followed(source) = &self.source {
            source.follow(self.names.as_str(), changed).await;
        }
    }

    pub(super) fn report(&self) -> Option<SourceReport> {
        match &self.source {
            Source::Followed(source) => Some(source.report()),
            Source::Fixed(_) | Source::Asked(_) => None,
        }
    }
}

/// A token that one could ask about: a `b64token` (RFC 6750 section 2.1) that does not begin as a JOSE header does. What
/// pretends to be a JWT is judged as one and told to nobody.
pub(super) fn opaque(token: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(token).ok().filter(|text| text.len() <= MAX_TOKEN_LENGTH)?;
    let body = text.trim_end_matches('=');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    if body.is_empty() || !body.bytes().all(plain) {
        return None;
    }
    let first = text.split('.').next().unwrap_or_default();
    let header = URL_SAFE_NO_PAD.decode(first.trim_end_matches('='));
    let jose = header.is_ok_and(|bytes| bytes.trim_ascii_start().starts_with(b"{"));
    if jose { None } else { Some(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_jwt_is_not_asked_about() {
        for (token, expected) in [
            ("2YotnFZFEjr1zCsicMWpAA", true),
            ("ya29.a0AfH6SMBx", true),
            ("v4.local.AAAA", true),
            ("a+b/c==", true),
            ("eyJhbGciOiJSUzI1NiJ9.e30.AAAA", false),
            ("eyJhbGciOiJSUzI1NiJ9", false),
            ("eyJhbGciOiJSUzI1NiJ9.", false),
            ("IHsiYWxnIjoiUlMyNTYifQ.e30.AAAA", false),
            ("e30.e30.", false),
            ("", false),
            ("==", false),
            ("a b", false),
            ("a\"b", false),
            ("{\"a\":1}", false),
            ("\u{e9}", false),
        ] {
            assert_eq!(opaque(token.as_bytes()).is_some(), expected, "{token}");
        }
        assert!(opaque(&vec![b'a'; MAX_TOKEN_LENGTH]).is_some());
        assert!(opaque(&vec![b'a'; MAX_TOKEN_LENGTH + 1]).is_none());
    }
}
