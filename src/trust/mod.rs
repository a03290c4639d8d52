//! Which keys a token is tried against, and whether what was verified still stands.
//!
//! For now there is one issuer, our own; its keys and clients are replaced as a whole when the store changes.

use std::{collections::HashSet, sync::Arc};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;

use crate::{
    domain::{Catalogue, ClientId, KeyId, Principal, Reason, Timestamp},
    token::{Expectations, Unverified, VerifyingKey, check_times},
};

/// A key tokens may be signed with, and until when.
#[derive(Clone, Debug)]
pub struct TrustedKey {
    /// The key.
    pub key: VerifyingKey,
    /// When its last token has expired; `None` while it is in use.
    pub until: Option<Timestamp>,
}

/// The state of the store that verification depends on.
#[derive(Debug, Default)]
pub struct Standing {
    /// Every key that is published or not yet dead.
    pub keys: Vec<TrustedKey>,
    /// Every client that may act.
    pub clients: HashSet<ClientId, RandomState>,
}

/// Verifies tokens of our own issuer.
#[derive(Debug)]
pub struct Trust {
    issuer: String,
    audience: String,
    clock_skew: u64,
    catalogue: Arc<Catalogue>,
    standing: ArcSwap<Standing>,
}

impl Trust {
    /// Trusts `issuer`'s tokens for `audience`, with clocks up to `clock_skew` seconds apart.
    pub fn new(issuer: String, audience: String, clock_skew: u64, catalogue: Arc<Catalogue>) -> Self {
        Self { issuer, audience, clock_skew, catalogue, standing: ArcSwap::default() }
    }

    /// From now on judges by `standing`.
    pub fn replace(&self, standing: Standing) {
        self.standing.store(Arc::new(standing));
    }

    /// Verifies a token seen for the first time.
    pub fn verify(&self, token: &[u8], now: Timestamp) -> Result<Principal, Reason> {
        let unverified = Unverified::parse(token)?;
        if unverified.issuer() != self.issuer {
            return Err(Reason::Issuer);
        }
        let standing = self.standing.load();
        let key = unverified.key().and_then(|id| standing.key(id, now)).ok_or(Reason::UnknownKey)?;
        let expected =
            Expectations { audience: &self.audience, clock_skew: self.clock_skew, catalogue: &self.catalogue };
        let principal = unverified.verify(key, &expected, now)?;
        standing.check(&principal)?;
        Ok(principal)
    }

    /// Whether a principal verified earlier still stands: its times, its key, its client. Made on every cache hit.
    pub fn recheck(&self, principal: &Principal, now: Timestamp) -> Result<(), Reason> {
        check_times(principal, self.clock_skew, now)?;
        let standing = self.standing.load();
        standing.key(&principal.key, now).ok_or(Reason::UnknownKey)?;
        standing.check(principal)
    }

    /// Seconds that an expired token is still accepted.
    pub const fn clock_skew(&self) -> u64 {
        self.clock_skew
    }
}

impl Standing {
    fn key(&self, id: &KeyId, now: Timestamp) -> Option<&VerifyingKey> {
        let trusted = self.keys.iter().find(|trusted| trusted.key.id() == id)?;
        trusted.until.is_none_or(|until| now < until).then_some(&trusted.key)
    }

    fn check(&self, principal: &Principal) -> Result<(), Reason> {
        if self.clients.contains(&principal.client) { Ok(()) } else { Err(Reason::Revoked) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{CustomerId, TokenId},
        token::{Algorithm, Grant, PrivateKey, SigningKey, issue},
    };

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

    fn client() -> ClientId {
        ClientId::parse("client").unwrap()
    }

    fn token(key: &SigningKey) -> Vec<u8> {
        let customer = CustomerId::parse("customer").unwrap();
        let grant = Grant {
            issuer: "https://issuer",
            audience: "api",
            client: &client(),
            customer: &customer,
            scope: "application",
            session: None,
            lifetime: 60,
        };
        issue(key, &grant, &TokenId::parse("jti").unwrap(), NOW).into_bytes()
    }

    fn trust() -> Trust {
        Trust::new("https://issuer".to_owned(), "api".to_owned(), 30, Arc::new(Catalogue::default()))
    }

    fn standing(key: &SigningKey, until: Option<Timestamp>, clients: &[ClientId]) -> Standing {
        let keys = vec![TrustedKey { key: key.public().clone(), until }];
        Standing { keys, clients: clients.iter().cloned().collect() }
    }

    #[test]
    fn what_was_verified_stands_until_time_key_or_client_end_it() {
        let key = SigningKey::new(&PrivateKey::generate(Algorithm::Es256)).unwrap();
        let trust = trust();
        trust.replace(standing(&key, None, &[client()]));
        let principal = trust.verify(&token(&key), NOW).unwrap();
        for (standing, now, expected) in [
            (standing(&key, None, &[client()]), NOW.plus(89), Ok(())),
            (standing(&key, None, &[client()]), NOW.plus(90), Err(Reason::Expired)),
            (standing(&key, Some(NOW.plus(1)), &[client()]), NOW, Ok(())),
            (standing(&key, Some(NOW), &[client()]), NOW, Err(Reason::UnknownKey)),
            (Standing::default(), NOW, Err(Reason::UnknownKey)),
            (standing(&key, None, &[]), NOW, Err(Reason::Revoked)),
        ] {
            trust.replace(standing);
            assert_eq!(trust.recheck(&principal, now), expected);
            assert_eq!(trust.verify(&token(&key), now).map(|_| ()), expected);
        }
    }

    #[test]
    fn a_token_of_another_issuer_or_key_is_refused() {
        let key = SigningKey::new(&PrivateKey::generate(Algorithm::EdDsa)).unwrap();
        let other = SigningKey::new(&PrivateKey::generate(Algorithm::EdDsa)).unwrap();
        let trust = trust();
        trust.replace(standing(&key, None, &[client()]));
        assert_eq!(trust.verify(&token(&other), NOW), Err(Reason::UnknownKey));
        let elsewhere = Trust::new("https://other".to_owned(), "api".to_owned(), 30, Arc::default());
        elsewhere.replace(standing(&key, None, &[client()]));
        assert_eq!(elsewhere.verify(&token(&key), NOW), Err(Reason::Issuer));
    }
}
