//! Which keys a token is tried against, and whether what was verified still stands.
//!
//! A token is tried against the one issuer that it names: our own, whose keys and clients come from the store, or an entry
//! of `trust`, whose keys come from elsewhere. A token that names none may be asked about where an entry says so.

mod fetch;
mod introspection;
mod key_ring;
mod key_source;
mod other;
mod own;
mod revocations;

use std::sync::Arc;

use arc_swap::ArcSwap;

pub use self::{
    fetch::{Fetch, FetchError, Outbound},
    introspection::{Introspection, QuestionRates, Requester},
    key_source::{Schedule, SourceReport},
    other::{Keys, TrustedIssuer},
    own::{Standing, TrustedKey},
    revocations::Cleared,
};
use self::{other::OtherIssuer, own::OwnIssuer, revocations::Revocations};
use crate::{
    domain::{IssuerId, Principal, Reason, Timestamp, TokenId},
    token::{Expectations, Unverified, check_times},
};

/// Verifies tokens of every issuer that is believed.
#[derive(Debug)]
pub struct Trust {
    own: OwnIssuer,
    others: Vec<OtherIssuer>,
    revocations: Revocations,
    longest_token: usize,
}

/// What came of a token seen for the first time.
#[derive(Debug)]
pub struct Verification {
    /// Whose token it is, or claims to be; `None` if it names nobody that is believed.
    pub issuer: Option<IssuerId>,
    /// Who may use it, or why nobody may.
    pub outcome: Result<Principal, Reason>,
    /// Whether a refusal may be remembered for a moment.
    pub memory: Memory,
}

/// Whether a refusal stays true for a moment. An expired token is told so each time, and a claim's time may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// It does.
    Lasting,
    /// It may not.
    Fleeting,
}

impl Trust {
    /// Trusts our own tokens, those of the issuer `own` that say what `rules` expect, and those of `others`, each with its
    /// place in this list as [`IssuerId::trusted`].
    pub fn new(own: String, rules: Expectations, others: Vec<TrustedIssuer>) -> Self {
        let own = OwnIssuer { name: own, rules, standing: ArcSwap::default() };
        let others = others.into_iter().map(OtherIssuer::new).collect();
        Self { own, others, revocations: Revocations::default(), longest_token: USUAL_LONGEST_TOKEN }
    }

    /// The same for tokens of up to `bytes` instead of 8 KiB.
    #[must_use]
    pub fn with_longest_token(self, bytes: usize) -> Self {
        Self { longest_token: bytes, ..self }
    }

    /// From now on judges by `standing`.
    pub fn replace(&self, standing: Standing) {
        self.own.standing.store(Arc::new(standing));
    }

    /// Verifies a token seen for the first time. Waits for the token's issuer where it must be asked, or may have new keys.
    /// How often it is asked on behalf of one `requester` has a bound.
    pub async fn verify(&self, token: &[u8], requester: Requester, now: Timestamp) -> Verification {
        if token.len() > self.longest_token {
            return Verification::of(None, Err(Reason::Malformed));
        }
        let parsed = match Unverified::parse(token) {
            Ok(parsed) => parsed,
            Err(Reason::Malformed) => return self.verify_opaque(token, requester, now).await,
            Err(reason) => return Verification::of(None, Err(reason)),
        };
        if parsed.issuer() == self.own.name {
            return Verification::of(Some(IssuerId::OWN), self.verify_parsed(&parsed, now));
        }
        let Some(issuer) = self.others.iter().find(|other| other.is(parsed.issuer())) else {
            return Verification::of(None, Err(Reason::Issuer));
        };
        let outcome = issuer.verify(&parsed, token, requester, now).await;
        let outcome = outcome.and_then(|principal| self.unless_revoked(principal));
        if issuer.is_asked() {
            Verification::of_asked(issuer.id(), outcome)
        } else {
            Verification::of(Some(issuer.id()), outcome)
        }
    }

    /// Verifies a token that must be our own: what its client may revoke, or be told of.
    pub fn verify_own(&self, token: &[u8], now: Timestamp) -> Result<Principal, Reason> {
        if token.len() > self.longest_token {
            return Err(Reason::Malformed);
        }
        let parsed = Unverified::parse(token)?;
        if parsed.issuer() != self.own.name {
            return Err(Reason::Issuer);
        }
        self.verify_parsed(&parsed, now)
    }

    fn verify_parsed(&self, own: &Unverified<'_>, now: Timestamp) -> Result<Principal, Reason> {
        let principal = self.own.verify(own, now)?;
        if principal.token.as_ref().is_some_and(|token| self.revocations.contains(token)) {
            return Err(Reason::Revoked);
        }
        Ok(principal)
    }

    /// A token that is no JWT, where somebody can be asked about such.
    async fn verify_opaque(&self, token: &[u8], requester: Requester, now: Timestamp) -> Verification {
        let opaque = other::opaque(token);
        let (Some(issuer), Some(token)) = (self.others.iter().find(|other| other.is_asked()), opaque) else {
            return Verification::of(None, Err(Reason::Malformed));
        };
        let outcome = issuer.ask(token, requester, now).await.and_then(|principal| self.unless_revoked(principal));
        Verification::of_asked(issuer.id(), outcome)
    }

    /// Another issuer's token that an operator has ended here.
    fn unless_revoked(&self, principal: Principal) -> Result<Principal, Reason> {
        self.own.standing.load().check_customer(&principal)?;
        if principal.token.as_ref().is_some_and(|token| self.revocations.contains(token)) {
            return Err(Reason::Revoked);
        }
        Ok(principal)
    }

    /// Whether a principal verified earlier still stands: its times, its key, its client, its own revocation. Made on
    /// every cache hit.
    pub fn recheck(&self, principal: &Principal, cleared: &Cleared, now: Timestamp) -> Result<(), Reason> {
        if principal.issuer == IssuerId::OWN {
            check_times(principal, self.own.rules.clock_skew, now)?;
            self.own.recheck(principal, now)?;
        } else {
            let issuer = self.others.get(principal.issuer.place() - 1).ok_or(Reason::Issuer)?;
            issuer.recheck(principal, now)?;
            self.own.standing.load().check_customer(principal)?;
        }
        if principal.token.as_ref().is_some_and(|token| self.revocations.contains_now(token, cleared)) {
            return Err(Reason::Revoked);
        }
        Ok(())
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

    /// Seconds that an expired token of our own is still accepted.
    pub const fn clock_skew(&self) -> u64 {
        self.own.rules.clock_skew
    }

    /// What expired up to this moment is refused for its time, whether it was revoked or not.
    fn forgotten_at(&self, now: Timestamp) -> Timestamp {
        let skews = self.others.iter().map(OtherIssuer::clock_skew);
        now.minus(skews.fold(self.clock_skew(), u64::max))
    }

    /// Fetches the keys of every issuer once. What cannot be had now is tried again later.
    pub async fn fetch_keys(&self) {
        let fetches = self.others.iter().map(OtherIssuer::fetch_keys);
        futures_util::future::join_all(fetches).await;
    }

    /// Keeps the keys of every issuer fresh, for ever. `changed` is called whenever other keys count than before.
    pub async fn follow_keys(&self, changed: &(dyn Fn() + Sync)) {
        let all = self.others.iter().map(|other| other.follow_keys(changed));
        futures_util::future::join_all(all).await;
    }

    /// How fetching went, for each issuer whose keys are fetched.
    pub fn sources(&self) -> impl Iterator<Item = (IssuerId, SourceReport)> + '_ {
        self.others.iter().filter_map(|other| Some((other.id(), other.report()?)))
    }
}

/// Longer ones are let in where the configuration says so.
const USUAL_LONGEST_TOKEN: usize = 8 * 1024;

impl Verification {
    fn of(issuer: Option<IssuerId>, outcome: Result<Principal, Reason>) -> Self {
        let lasting = [Reason::Malformed, Reason::Signature, Reason::UnknownKey];
        let lasts = outcome.as_ref().err().is_some_and(|reason| lasting.contains(reason));
        Self { issuer, outcome, memory: if lasts { Memory::Lasting } else { Memory::Fleeting } }
    }

    /// An issuer's word that a token is of no use is worth as much as a bad signature, and what it says of a token for
    /// somebody else is said again however often one asks. Only times pass.
    fn of_asked(issuer: IssuerId, outcome: Result<Principal, Reason>) -> Self {
        let lasting = [Reason::Revoked, Reason::Claims, Reason::Audience, Reason::Issuer];
        let lasts = outcome.as_ref().err().is_some_and(|reason| lasting.contains(reason));
        let memory = if lasts { Memory::Lasting } else { Memory::Fleeting };
        Self { issuer: Some(issuer), outcome, memory }
    }
}

#[cfg(test)]
mod tests;
