//! Verified tokens, kept by a keyed digest of the whole token; the token itself is not kept.
//!
//! The cache saves the signature check and nothing else: whether a principal still stands is asked on every hit, and
//! scope and binding are decided on each request. moka's own expiry only frees memory.

use std::{
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use moka::{Expiry, notification::RemovalCause, sync::Cache};

use crate::{
    domain::{Principal, Reason, Timestamp, random_bytes},
    trust::{Cleared, Memory, Verification},
};

/// Bounds of a [`TokenCache`].
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Most verified tokens kept.
    pub entries: u64,
    /// Most memory used for them, in bytes.
    pub memory: u64,
    /// Most refused tokens remembered; they never push out verified ones.
    pub negative_entries: u64,
    /// How long a refusal is remembered.
    pub negative_ttl: Duration,
}

/// How a token came by its principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// It was verified before.
    Hit,
    /// It was verified, or refused, just now.
    Miss,
}

/// What is known of a token.
#[derive(Debug)]
pub enum Known {
    /// It was verified or refused before, and this is what it is worth now.
    Before(Result<Arc<Principal>, Reason>),
    /// Nothing: it is to be verified, and the outcome kept under its digest.
    Nothing(Digest),
}

/// The cache of verified tokens and, apart from it, of lately refused ones.
pub struct TokenCache {
    digest_key: hmac::Key,
    verified: Cache<Digest, Arc<Entry>, PassThrough>,
    /// Verified tokens pushed out by others.
    evicted: Arc<AtomicU64>,
    refused: Cache<Digest, Reason, PassThrough>,
}

struct Entry {
    principal: Arc<Principal>,
    /// When it was last found not to be revoked.
    cleared: Cleared,
    /// What it weighs against the memory bound, in bytes.
    weight: u32,
    /// When it may be forgotten, counted from its verification.
    lives_for: Duration,
}

impl TokenCache {
    /// An empty cache under a fresh digest key.
    pub fn new(bounds: Bounds) -> Self {
        // Each entry weighs at least its share, so that the weight bounds the entries as well.
        let share = u32::try_from(bounds.memory / bounds.entries.max(1)).unwrap_or(u32::MAX);
        let evicted = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&evicted);
        let count = move |_, _, cause| {
            if cause == RemovalCause::Size {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        };
        let verified = Cache::builder()
            .max_capacity(bounds.memory)
            .eviction_listener(count)
            .weigher(move |_: &Digest, entry: &Arc<Entry>| entry.weight.max(share))
            .expire_after(UntilExpired)
            .build_with_hasher(PassThrough::default());
        let refused = Cache::builder()
            .max_capacity(bounds.negative_entries)
            .time_to_live(bounds.negative_ttl)
            .build_with_hasher(PassThrough::default());
        Self { digest_key: hmac::Key::new(hmac::HMAC_SHA256, &random_bytes::<32>()), verified, evicted, refused }
    }

    /// What is known of `token`: a principal that was kept, and then asked of `recheck`, or a refusal.
    pub fn find(
        &self,
        token: &[u8],
        now: Timestamp,
        recheck: impl FnOnce(&Principal, &Cleared) -> Result<(), Reason>,
    ) -> Known {
        let digest = self.digest(token);
        let over = |entry: &Arc<Entry>| entry.principal.asked_again_at.is_some_and(|moment| moment <= now);
        if let Some(entry) = self.verified.get(&digest).filter(|entry| !over(entry)) {
            let stands = recheck(&entry.principal, &entry.cleared);
            return Known::Before(stands.map(|()| Arc::clone(&entry.principal)));
        }
        match self.refused.get(&digest) {
            Some(reason) => Known::Before(Err(reason)),
            None => Known::Nothing(digest),
        }
    }

    /// Keeps what came of a token of which nothing was known: a principal until it expires, a refusal for a moment.
    pub fn keep(&self, token: Digest, verification: Verification, now: Timestamp) -> Result<Arc<Principal>, Reason> {
        let outcome = verification.outcome.map(Arc::new);
        match (&outcome, verification.memory) {
            (Ok(principal), _) => self.verified.insert(token, Arc::new(Entry::of(principal, now))),
            (Err(reason), Memory::Lasting) => {
                // What its issuer said of it before is over.
                self.verified.invalidate(&token);
                self.refused.insert(token, *reason);
            }
            (Err(_), Memory::Fleeting) => {}
        }
        outcome
    }

    /// Forgets refusals: a key they were missing may be there now.
    pub fn forget_refusals(&self) {
        self.refused.invalidate_all();
    }

    /// How many verified tokens are kept, give or take those not yet swept out.
    pub fn entries(&self) -> u64 {
        self.verified.entry_count()
    }

    /// How many verified tokens were pushed out by others since the start.
    pub fn evictions(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    fn digest(&self, token: &[u8]) -> Digest {
        let tag = hmac::sign(&self.digest_key, token);
        let mut digest = [0; 32];
        digest.copy_from_slice(tag.as_ref());
        Digest(digest)
    }
}

impl Entry {
    fn of(principal: &Arc<Principal>, now: Timestamp) -> Self {
        let texts = principal.client.as_bytes().len()
            + principal.customer.as_bytes().len()
            + principal.issuer_name.as_bytes().len()
            + principal.scope_text.len()
            + principal.application.as_ref().map_or(0, |application| application.as_bytes().len())
            + principal.token.as_ref().map_or(0, |token| token.as_bytes().len());
        let weight = size_of::<Principal>() + size_of::<Self>() + texts + OVERHEAD;
        Self {
            principal: Arc::clone(principal),
            cleared: Cleared::default(),
            weight: u32::try_from(weight).unwrap_or(u32::MAX),
            lives_for: Duration::from_secs(principal.expires_at.since(now) + GRACE),
        }
    }
}

/// What one entry costs beside its own values: moka's key, deque nodes and timers, reference counts and the allocator's
/// rounding. An estimate on the safe side, so that the memory bound errs towards fewer entries.
const OVERHEAD: usize = 512;

/// Seconds an entry is kept beyond `exp`: clock skew is judged on the hit, not here.
const GRACE: u64 = 300;

struct UntilExpired;

impl Expiry<Digest, Arc<Entry>> for UntilExpired {
    fn expire_after_create(&self, _: &Digest, entry: &Arc<Entry>, _: Instant) -> Option<Duration> {
        Some(entry.lives_for)
    }
}

/// HMAC-SHA-256 of a token under a key of this process: nobody outside can choose where an entry lands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (first, _) = self.0.split_first_chunk().expect("a digest has 32 bytes");
        state.write_u64(u64::from_le_bytes(*first));
    }
}

/// Hands on the digest's first bytes: they are as good as any hash of them.
type PassThrough = BuildHasherDefault<FirstBytes>;

#[derive(Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a Digest writes one u64");
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use http::HeaderValue;

    use super::*;
    use crate::domain::{ClientId, CustomerId, IssuerId, IssuerName, ScopeSet};

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

    fn cache(entries: u64) -> TokenCache {
        let negative_ttl = Duration::from_secs(5);
        TokenCache::new(Bounds { entries, memory: entries * 1024, negative_entries: 10, negative_ttl })
    }

    fn principal() -> Principal {
        Principal {
            client: ClientId::parse("client").unwrap(),
            customer: CustomerId::parse("customer").unwrap(),
            scopes: ScopeSet::EMPTY,
            scope_text: HeaderValue::from_static("application"),
            application: None,
            token: None,
            issuer: IssuerId::OWN,
            issuer_name: IssuerName::parse("https://issuer").unwrap(),
            key: None,
            issued_at: None,
            not_before: None,
            expires_at: NOW.plus(3600),
            asked_again_at: None,
        }
    }

    /// Looks a token up at `now` and, if nothing is known of it, keeps what `verify` says. True if something was known.
    fn ask(
        cache: &TokenCache,
        token: &str,
        now: Timestamp,
        recheck: Result<(), Reason>,
        verify: impl FnOnce() -> Verification,
    ) -> (bool, Result<Arc<Principal>, Reason>) {
        match cache.find(token.as_bytes(), now, |_, _| recheck) {
            Known::Before(outcome) => (true, outcome),
            Known::Nothing(digest) => (false, cache.keep(digest, verify(), now)),
        }
    }

    fn verified(principal: Principal) -> Verification {
        Verification { issuer: Some(IssuerId::OWN), outcome: Ok(principal), memory: Memory::Fleeting }
    }

    fn refused(reason: Reason, memory: Memory) -> Verification {
        Verification { issuer: None, outcome: Err(reason), memory }
    }

    #[test]
    fn a_token_is_verified_once_and_rechecked_on_every_hit() {
        let cache = cache(10);
        let known = |token| ask(&cache, token, NOW, Ok(()), || verified(principal())).0;
        assert_eq!([known("a"), known("a"), known("b"), known("a")], [false, true, false, true]);
        let rechecked = Cell::new(0);
        let recheck = |_: &Principal, _: &Cleared| {
            rechecked.set(rechecked.get() + 1);
            Ok(())
        };
        assert!(matches!(cache.find(b"a", NOW, recheck), Known::Before(Ok(_))));
        assert_eq!(rechecked.get(), 1);
    }

    #[test]
    fn a_hit_that_no_longer_stands_is_refused() {
        let cache = cache(10);
        ask(&cache, "a", NOW, Ok(()), || verified(principal())).1.unwrap();
        for reason in [Reason::Expired, Reason::Revoked, Reason::UnknownKey] {
            let verify = || unreachable!("the token is kept");
            assert_eq!(ask(&cache, "a", NOW, Err(reason), verify), (true, Err(reason)));
        }
    }

    #[test]
    fn what_an_issuer_said_counts_until_it_is_to_be_asked_again() {
        let cache = cache(10);
        let told = || verified(Principal { asked_again_at: Some(NOW.plus(60)), ..principal() });
        for (now, known) in [(NOW, false), (NOW.plus(59), true), (NOW.plus(60), false), (NOW.plus(61), false)] {
            assert_eq!(ask(&cache, "a", now, Ok(()), told).0, known, "{now}");
        }
        ask(&cache, "a", NOW.plus(62), Ok(()), || refused(Reason::KeysUnavailable, Memory::Fleeting)).1.unwrap_err();
        assert!(!ask(&cache, "a", NOW.plus(63), Ok(()), told).0, "an old answer does not come back");
    }

    #[test]
    fn a_token_that_was_good_and_is_refused_is_asked_about_no_more() {
        let cache = cache(10);
        let told = || verified(Principal { asked_again_at: Some(NOW.plus(60)), ..principal() });
        assert!(!ask(&cache, "a", NOW, Ok(()), told).0);
        let revoked = || refused(Reason::Revoked, Memory::Lasting);
        for (now, known) in [(NOW.plus(60), false), (NOW.plus(61), true), (NOW.plus(62), true)] {
            assert_eq!(ask(&cache, "a", now, Ok(()), revoked), (known, Err(Reason::Revoked)));
        }
        cache.forget_refusals();
        assert!(!ask(&cache, "a", NOW.plus(10), Ok(()), told).0, "the old answer came back");
    }

    #[test]
    fn only_lasting_refusals_are_remembered_and_all_can_be_forgotten() {
        for (memory, remembered) in [(Memory::Lasting, true), (Memory::Fleeting, false)] {
            let cache = cache(10);
            let known = || ask(&cache, "a", NOW, Ok(()), || refused(Reason::Signature, memory));
            assert_eq!(known(), (false, Err(Reason::Signature)));
            assert_eq!(known(), (remembered, Err(Reason::Signature)));
            cache.forget_refusals();
            assert!(ask(&cache, "a", NOW, Ok(()), || verified(principal())).1.is_ok(), "{memory:?}");
        }
    }

    #[test]
    fn entries_are_bounded_and_refusals_do_not_push_them_out() {
        let cache = cache(100);
        for n in 0..1000 {
            ask(&cache, &format!("good{n}"), NOW, Ok(()), || verified(principal())).1.unwrap();
        }
        cache.verified.run_pending_tasks();
        assert!((1..=100).contains(&cache.entries()), "{}", cache.entries());
        let kept = cache.entries();
        for n in 0..1000 {
            let _ = ask(&cache, &format!("bad{n}"), NOW, Ok(()), || refused(Reason::Malformed, Memory::Lasting));
        }
        cache.verified.run_pending_tasks();
        cache.refused.run_pending_tasks();
        assert_eq!(cache.entries(), kept);
        assert!(cache.refused.entry_count() <= 10);
    }
}
