//! Which keys a token is tried against, and whether what was verified still stands.
//!
//! For now there is one issuer, our own; its keys and clients are replaced as a whole when the store changes.
//! Revoked token IDs may be a million and are added to instead.

mod revocations;

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;

pub use self::revocations::Cleared;
use self::revocations::Revocations;
use crate::{
    domain::{Catalogue, ClientId, KeyId, Principal, Reason, Timestamp, TokenId},
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
    /// Every client that may act. Of a client with a moment, tokens issued up to and including that second are revoked:
    /// by client, by its customer, or because it was disabled once.
    pub clients: HashMap<ClientId, Option<Timestamp>, RandomState>,
}

/// Verifies tokens of our own issuer.
#[derive(Debug)]
pub struct Trust {
    issuer: String,
    audience: String,
    clock_skew: u64,
    catalogue: Arc<Catalogue>,
    standing: ArcSwap<Standing>,
    revocations: Revocations,
}

impl Trust {
    /// Trusts `issuer`'s tokens for `audience`, with clocks up to `clock_skew` seconds apart.
    pub fn new(issuer: String, audience: String, clock_skew: u64, catalogue: Arc<Catalogue>) -> Self {
        let (standing, revocations) = (ArcSwap::default(), Revocations::default());
        Self { issuer, audience, clock_skew, catalogue, standing, revocations }
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
        check_revoked(&standing, &principal, |token: &TokenId| self.revocations.contains(token))?;
        Ok(principal)
    }

    /// Whether a principal verified earlier still stands: its times, its key, its client, its own revocation. Made on
    /// every cache hit.
    pub fn recheck(&self, principal: &Principal, cleared: &Cleared, now: Timestamp) -> Result<(), Reason> {
        check_times(principal, self.clock_skew, now)?;
        let standing = self.standing.load();
        standing.key(&principal.key, now).ok_or(Reason::UnknownKey)?;
        let revoked = |token: &TokenId| self.revocations.contains_now(token, cleared);
        check_revoked(&standing, principal, revoked)
    }

    /// From now on refuses the tokens with these IDs, each of which expires (`exp`) at the moment beside it.
    ///
    /// What is revoked already may be given again. The IDs are read one by one and not kept, so a long list can be
    /// streamed; a list costs less than its IDs one at a time.
    pub fn revoke_tokens(&self, revoked: impl IntoIterator<Item = (TokenId, Timestamp)>, now: Timestamp) {
        self.revocations.add(revoked, self.forgotten_at(now));
    }

    /// Frees the memory of revoked tokens that have expired. Revocations do that too, now and then.
    pub fn forget_ended(&self, now: Timestamp) {
        self.revocations.forget_ended(self.forgotten_at(now));
    }

    /// How many token IDs are kept as revoked. One that was revoked again for longer may count twice for a while.
    pub fn revoked_tokens(&self) -> usize {
        self.revocations.len()
    }

    /// Seconds that an expired token is still accepted.
    pub const fn clock_skew(&self) -> u64 {
        self.clock_skew
    }

    /// What expired up to this moment is refused for its time, whether it was revoked or not.
    fn forgotten_at(&self, now: Timestamp) -> Timestamp {
        now.minus(self.clock_skew)
    }
}

fn check_revoked(
    standing: &Standing,
    principal: &Principal,
    is_revoked: impl FnOnce(&TokenId) -> bool,
) -> Result<(), Reason> {
    if standing.ends(principal) || principal.token.as_ref().is_some_and(is_revoked) {
        return Err(Reason::Revoked);
    }
    Ok(())
}

impl Standing {
    fn key(&self, id: &KeyId, now: Timestamp) -> Option<&VerifyingKey> {
        let trusted = self.keys.iter().find(|trusted| trusted.key.id() == id)?;
        trusted.until.is_none_or(|until| now < until).then_some(&trusted.key)
    }

    /// Whether the principal's client may not act, or not with tokens as old as this. One that does not say when it was
    /// issued counts as older than any revocation.
    fn ends(&self, principal: &Principal) -> bool {
        let Some(client) = self.clients.get(&principal.client) else { return true };
        client.is_some_and(|revoked| principal.issued_at.is_none_or(|issued| issued <= revoked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::CustomerId,
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
        Standing { keys, clients: clients.iter().map(|client| (client.clone(), None)).collect() }
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
            assert_eq!(trust.recheck(&principal, &Cleared::default(), now), expected);
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
    #[test]
    fn revoking_a_client_ends_its_tokens_up_to_that_second() {
        let key = SigningKey::new(&PrivateKey::generate(Algorithm::Es256)).unwrap();
        let trust = trust();
        trust.replace(standing(&key, None, &[client()]));
        let dated = trust.verify(&token(&key), NOW).unwrap();
        let undated = Principal { issued_at: None, ..dated.clone() };
        for (revoked, of_dated, of_undated) in [
            (None, Ok(()), Ok(())),
            (Some(NOW.minus(1)), Ok(()), Err(Reason::Revoked)),
            (Some(NOW), Err(Reason::Revoked), Err(Reason::Revoked)),
            (Some(NOW.plus(1)), Err(Reason::Revoked), Err(Reason::Revoked)),
        ] {
            trust.replace(Standing {
                clients: [(client(), revoked)].into_iter().collect(),
                ..standing(&key, None, &[])
            });
            assert_eq!(trust.recheck(&dated, &Cleared::default(), NOW), of_dated, "{revoked:?}");
            assert_eq!(trust.recheck(&undated, &Cleared::default(), NOW), of_undated, "{revoked:?}");
            assert_eq!(trust.verify(&token(&key), NOW).map(|_| ()), of_dated, "{revoked:?}");
        }
    }

    #[test]
    fn a_revoked_token_is_refused_for_as_long_as_it_could_be_used() {
        let key = SigningKey::new(&PrivateKey::generate(Algorithm::Es256)).unwrap();
        let trust = trust();
        trust.replace(standing(&key, None, &[client()]));
        let revoked = trust.verify(&token(&key), NOW).unwrap();
        let other = Principal { token: Some(TokenId::parse("other").unwrap()), ..revoked.clone() };
        let nameless = Principal { token: None, ..revoked.clone() };
        trust.revoke_tokens([(TokenId::parse("jti").unwrap(), revoked.expires_at)], NOW);
        for (now, of_revoked, of_others, kept) in [
            (NOW, Err(Reason::Revoked), Ok(()), 1),
            (NOW.plus(89), Err(Reason::Revoked), Ok(()), 1),
            (NOW.plus(90), Err(Reason::Expired), Err(Reason::Expired), 0),
        ] {
            trust.forget_ended(now);
            assert_eq!(trust.recheck(&revoked, &Cleared::default(), now), of_revoked);
            assert_eq!(trust.verify(&token(&key), now).map(|_| ()), of_revoked);
            assert_eq!(trust.recheck(&other, &Cleared::default(), now), of_others);
            assert_eq!(trust.recheck(&nameless, &Cleared::default(), now), of_others);
            assert_eq!(trust.revoked_tokens(), kept);
        }
    }

    #[test]
    fn time_and_key_are_judged_before_revocation() {
        let key = SigningKey::new(&PrivateKey::generate(Algorithm::Es256)).unwrap();
        let trust = trust();
        trust.replace(standing(&key, None, &[client()]));
        let principal = trust.verify(&token(&key), NOW).unwrap();
        trust.revoke_tokens([(TokenId::parse("jti").unwrap(), principal.expires_at)], NOW);
        for (standing, now, expected) in [
            (standing(&key, None, &[client()]), NOW.plus(90), Reason::Expired),
            (standing(&key, Some(NOW), &[client()]), NOW, Reason::UnknownKey),
            (standing(&key, None, &[]), NOW, Reason::Revoked),
            (standing(&key, None, &[client()]), NOW, Reason::Revoked),
        ] {
            trust.replace(standing);
            assert_eq!(trust.recheck(&principal, &Cleared::default(), now), Err(expected));
            assert_eq!(trust.verify(&token(&key), now), Err(expected));
        }
    }

    #[test]
    fn what_was_cleared_is_looked_up_again_after_the_next_revocation() {
        let key = SigningKey::new(&PrivateKey::generate(Algorithm::Es256)).unwrap();
        let trust = trust();
        trust.replace(standing(&key, None, &[client()]));
        let principal = trust.verify(&token(&key), NOW).unwrap();
        let cleared = Cleared::default();
        let asked = || trust.recheck(&principal, &cleared, NOW);
        let revoke = |id: &str| trust.revoke_tokens([(TokenId::parse(id).unwrap(), principal.expires_at)], NOW);
        assert_eq!([asked(), asked()], [Ok(()), Ok(())]);
        revoke("another");
        assert_eq!([asked(), asked()], [Ok(()), Ok(())]);
        revoke(principal.token.as_ref().unwrap().as_str());
        assert_eq!([asked(), asked()], [Err(Reason::Revoked), Err(Reason::Revoked)]);
    }

    #[test]
    fn a_debug_text_names_no_revoked_token() {
        let trust = trust();
        trust.revoke_tokens([(TokenId::parse("telltale").unwrap(), NOW.plus(60))], NOW);
        let text = format!("{trust:?}");
        assert!(text.contains("Revocations { tokens: 1, .. }") && !text.contains("telltale"), "{text}");
    }
}
