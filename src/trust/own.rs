//! Tokens that we issued ourselves: their keys and clients are those of the store.

use std::collections::HashMap;

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;

use crate::{
    domain::{ClientId, KeyId, Principal, Reason, Timestamp},
    store::Holder,
    token::{Expectations, Unverified, VerifyingKey},
};

/// A key tokens may be signed with, and until when.
#[derive(Clone, Debug)]
pub struct TrustedKey {
    /// The key, which has a name.
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
    /// Whose tokens issued up to and including that second are revoked, whoever issued them.
    pub revoked: HashMap<Holder, Timestamp, RandomState>,
}

/// Our own issuer, as verification sees it.
#[derive(Debug)]
pub(super) struct OwnIssuer {
    /// Its `iss`.
    pub(super) name: String,
    pub(super) rules: Expectations,
    pub(super) standing: ArcSwap<Standing>,
}

impl OwnIssuer {
    pub(super) fn verify(&self, token: &Unverified<'_>, now: Timestamp) -> Result<Principal, Reason> {
        let standing = self.standing.load();
        let key = token.key().and_then(|id| standing.key(id, now)).ok_or(Reason::UnknownKey)?;
        let principal = token.verify(key, &self.rules, now)?;
        standing.check_client(&principal)?;
        Ok(principal)
    }

    /// Whether key and client of a principal verified before still stand.
    pub(super) fn recheck(&self, principal: &Principal, now: Timestamp) -> Result<(), Reason> {
        let standing = self.standing.load();
        if !standing.keys.iter().any(|trusted| trusted.is(principal, now)) {
            return Err(Reason::UnknownKey);
        }
        standing.check_client(principal)
    }
}

impl TrustedKey {
    fn lives(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    fn is(&self, principal: &Principal, now: Timestamp) -> bool {
        principal.key == Some(self.key.fingerprint()) && self.lives(now)
    }
}

impl Standing {
    fn key(&self, id: &KeyId, now: Timestamp) -> Option<&VerifyingKey> {
        let trusted = self.keys.iter().find(|trusted| trusted.key.id() == Some(id))?;
        trusted.lives(now).then_some(&trusted.key)
    }

    /// Whether the principal's client may act, with tokens as old as this.
    fn check_client(&self, principal: &Principal) -> Result<(), Reason> {
        match self.clients.get(&principal.client) {
            Some(None) => Ok(()),
            Some(Some(up_to)) => issued_after(principal, *up_to),
            None => Err(Reason::Revoked),
        }
    }

    /// Whether another issuer's token was revoked by its customer: those are the same accounts for every issuer. A client of
    /// ours is disabled, or its tokens are revoked, without a word about another issuer's client that happens to be, or makes
    /// itself be, called the same.
    pub(super) fn check_customer(&self, principal: &Principal) -> Result<(), Reason> {
        if self.revoked.is_empty() {
            return Ok(());
        }
        let up_to = self.revoked.get(&Holder::Customer(principal.customer.clone()));
        up_to.map_or(Ok(()), |up_to| issued_after(principal, *up_to))
    }
}

/// One that does not say when it was issued counts as older than any revocation.
fn issued_after(principal: &Principal, up_to: Timestamp) -> Result<(), Reason> {
    if principal.issued_at.is_some_and(|issued| up_to < issued) { Ok(()) } else { Err(Reason::Revoked) }
}
