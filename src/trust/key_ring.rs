//! Another issuer's keys: which of them a token may be signed with, and whether one is still there.

use arc_swap::ArcSwapOption;

use crate::{
    domain::{KeyFingerprint, Principal, Reason, Timestamp},
    token::{Expectations, Unverified, VerifyingKey},
};

/// The keys of one moment; none while they have not been had, or not for too long.
#[derive(Debug, Default)]
pub(super) struct KeyRing(ArcSwapOption<Vec<VerifyingKey>>);

impl KeyRing {
    pub(super) fn of(keys: Vec<VerifyingKey>) -> Self {
        Self(ArcSwapOption::from_pointee(keys))
    }

    /// From now on counts these keys and no others.
    pub(super) fn replace(&self, keys: Option<Vec<VerifyingKey>>) {
        self.0.store(keys.map(Into::into));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.load().is_none()
    }

    /// Whether other keys than `keys` are in it.
    pub(super) fn differs(&self, keys: &[VerifyingKey]) -> bool {
        let current = self.0.load();
        let current = current.as_ref().map_or(&[][..], |current| current.as_slice());
        let named = |key: &VerifyingKey| (key.id().cloned(), key.issuer().map(ToOwned::to_owned), key.fingerprint());
        current.iter().map(named).ne(keys.iter().map(named))
    }

    /// Whether the key that verified a token is still there.
    pub(super) fn recheck(&self, key: KeyFingerprint) -> Result<(), Reason> {
        let keys = self.0.load();
        let keys = keys.as_ref().ok_or(Reason::KeysUnavailable)?;
        if keys.iter().any(|own| own.fingerprint() == key) { Ok(()) } else { Err(Reason::UnknownKey) }
    }

    /// Tries the keys that the token of this tenant names, or may mean.
    pub(super) fn verify(
        &self,
        token: &Unverified<'_>,
        tenant: Option<&str>,
        rules: &Expectations,
        now: Timestamp,
    ) -> Result<Principal, Reason> {
        let keys = self.0.load();
        let keys = keys.as_ref().ok_or(Reason::KeysUnavailable)?;
        let mut outcome = Err(Reason::UnknownKey);
        for key in meant(keys, token, tenant)? {
            outcome = token.verify(key, rules, now);
            if outcome != Err(Reason::Signature) {
                break;
            }
        }
        outcome
    }
}

/// The keys that a token may be signed with, which are those of its algorithm: the ones it names, which may share that name,
/// and then those without a name; any, if it names none. Where one set is for several tenants, a key that is one tenant's
/// own signs for no other one. A few at most: each costs a signature check, and a token is nobody's
/// yet.
fn meant<'k>(
    keys: &'k [VerifyingKey],
    token: &Unverified<'_>,
    tenant: Option<&str>,
) -> Result<Vec<&'k VerifyingKey>, Reason> {
    let named = |key: &&VerifyingKey| key.id().is_some() && (token.key().is_none() || token.key() == key.id());
    let nameless = |key: &&VerifyingKey| key.id().is_none();
    let found = keys.iter().filter(named).chain(keys.iter().filter(nameless));
    let mut found = found.filter(|key| tenant.is_none_or(|tenant| key.is_of_tenant(tenant))).peekable();
    found.peek().ok_or(Reason::UnknownKey)?;
    let fitting: Vec<_> = found.filter(|key| key.algorithm() == token.algorithm()).take(MOST_TRIED + 1).collect();
    match fitting.len() {
        0 => Err(Reason::Algorithm),
        // It must say with which of so many it is signed.
        more if more > MOST_TRIED && token.key().is_none() => Err(Reason::UnknownKey),
        _ => Ok(fitting.into_iter().take(MOST_TRIED).collect()),
    }
}

/// So many keys are tried for one token.
const MOST_TRIED: usize = 4;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_lc_rs::hmac;
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;
    use crate::{domain::KeyId, token::JwsAlgorithm};

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const CLAIMS: &str = r#"{"iss":"i","aud":"api","sub":"c","client_id":"c","customer_id":"k","exp":1800003600}"#;

    /// What becomes of a token that is signed with the secret of this number and names `kid`.
    fn verify(ring: &KeyRing, secret: u8, kid: Option<&str>) -> Result<(), Reason> {
        let kid = kid.map(|kid| format!(r#","kid":"{kid}""#)).unwrap_or_default();
        let header = format!(r#"{{"alg":"HS256"{kid}}}"#);
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(CLAIMS));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[secret; 64]), signed.as_bytes());
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag));
        let rules = Expectations::own("api".to_owned(), 30, Arc::default());
        ring.verify(&Unverified::parse(token.as_bytes()).unwrap(), None, &rules, NOW).map(|_| ())
    }

    /// Keys of these secrets and names.
    fn ring(keys: &[(JwsAlgorithm, u8, Option<&str>)]) -> KeyRing {
        let key = |(algorithm, secret, kid): &(JwsAlgorithm, u8, Option<&str>)| {
            VerifyingKey::shared(*algorithm, &[*secret; 64]).unwrap().named(kid.map(KeyId::new))
        };
        KeyRing::of(keys.iter().map(key).collect())
    }

    #[test]
    fn keys_of_one_name_are_told_apart_by_algorithm_and_else_tried_in_turn() {
        let (hs256, hs384) = (JwsAlgorithm::Hs256, JwsAlgorithm::Hs384);
        let mut keys: Vec<_> = (0..5).map(|secret| (hs384, secret, Some("k"))).collect();
        keys.extend((0..5).map(|secret| (hs256, secret, Some("k"))));
        let ring = ring(&keys);
        for (secret, kid, expected) in [
            (0, Some("k"), Ok(())),
            (3, Some("k"), Ok(())),
            (4, Some("k"), Err(Reason::Signature)),
            (9, Some("k"), Err(Reason::Signature)),
            (0, Some("K"), Err(Reason::UnknownKey)),
            (0, None, Err(Reason::UnknownKey)),
        ] {
            assert_eq!(verify(&ring, secret, kid), expected, "{secret} {kid:?}");
        }
    }

    #[test]
    fn keys_without_a_name_come_after_those_that_are_named() {
        let hs256 = JwsAlgorithm::Hs256;
        let mut keys: Vec<_> = (0..4).map(|secret| (hs256, secret, None)).collect();
        keys.push((hs256, 4, Some("k")));
        let mixed = ring(&keys);
        assert_eq!(verify(&mixed, 4, Some("k")), Ok(()));
        assert_eq!(verify(&mixed, 0, Some("k")), Ok(()), "one without a name may be any");
        assert_eq!(verify(&mixed, 0, Some("other")), Ok(()));
        assert_eq!(verify(&mixed, 5, Some("k")), Err(Reason::Signature));
        assert_eq!(verify(&ring(&[(JwsAlgorithm::Hs512, 0, Some("k"))]), 0, Some("k")), Err(Reason::Algorithm));
    }
}
