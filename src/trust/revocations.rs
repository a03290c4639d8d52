//! The set of revoked token IDs: asked on every request, changed now and then.
//!
//! Nobody who asks takes a lock. The set is two immutable sorted tables behind one pointer: a large one, and a small
//! one with what came since. A revocation copies the small table; only when that has outgrown its share of the large one
//! are the two made into a new large one, so that a million revoked tokens do not make the next one dear.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;

use crate::domain::{Timestamp, TokenId};

/// Revoked token IDs, each kept until its token has expired by itself.
///
/// An entry takes 21 bytes, index included. While a new large table is made the old one is still there, and the sort
/// takes half of it again: the peak is two and a half times as much, plus the 20 bytes of each ID that is being added.
/// The allocator may hold on to what was freed; `tests/revocations.rs` bounds what the process takes for a million.
pub(super) struct Revocations {
    hashers: [RandomState; 2],
    tables: ArcSwap<Tables>,
    /// Counts additions, from 1 on.
    additions: AtomicU64,
}

/// When a token was last looked up and not found, as a count of additions: until the next one it need not be looked up
/// again. Kept beside a principal.
#[derive(Debug, Default)]
pub struct Cleared(AtomicU64);

impl Revocations {
    /// The same as [`Self::contains`], which is asked only if something was added since `cleared`.
    pub(super) fn contains_now(&self, token: &TokenId, cleared: &Cleared) -> bool {
        // Read before the tables: what is added in between is looked up next time.
        let additions = self.additions.load(Ordering::Acquire);
        if cleared.0.load(Ordering::Relaxed) == additions {
            return false;
        }
        let revoked = self.contains(token);
        if !revoked {
            cleared.0.store(additions, Ordering::Relaxed);
        }
        revoked
    }

    /// Whether `token` is revoked. Where nothing is, that costs one load and one branch.
    pub(super) fn contains(&self, token: &TokenId) -> bool {
        let tables = self.tables.load();
        tables.len() > 0 && tables.contains(self.digest(token))
    }

    /// Adds tokens, each with the moment from which it need not be remembered. What is known already changes nothing.
    pub(super) fn add(&self, revoked: impl IntoIterator<Item = (TokenId, Timestamp)>, now: Timestamp) {
        let entry = |(token, until)| Entry::new(self.digest(&token), until);
        let added: Vec<Entry> = revoked.into_iter().map(entry).collect();
        self.tables.rcu(|tables| Tables::with(tables, &added, now));
        self.additions.fetch_add(1, Ordering::Release);
    }

    /// Gives back the memory of tokens that need not be remembered any longer.
    pub(super) fn forget_ended(&self, now: Timestamp) {
        self.tables.rcu(|tables| Tables::without_ended(tables, now));
    }

    /// How many are kept. One that was revoked again for longer may count twice for a while.
    pub(super) fn len(&self) -> usize {
        self.tables.load().len()
    }

    /// The token ID's digest under keys of this process, so that nobody outside can choose two IDs that collide.
    ///
    /// A collision could only refuse a token that nobody revoked, never let a revoked one pass. With a million revoked
    /// tokens that happens to one good token in 2^108.
    fn digest(&self, token: &TokenId) -> Digest {
        let [left, right] = &self.hashers;
        let halves = [left, right].map(|hasher| hasher.hash_one(token.as_bytes()));
        (u128::from(halves[0]) << 64 | u128::from(halves[1])).to_be_bytes()
    }
}

impl Default for Revocations {
    fn default() -> Self {
        let hashers = [RandomState::new(), RandomState::new()];
        Self { hashers, tables: ArcSwap::default(), additions: AtomicU64::new(1) }
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").field("tokens", &self.len()).finish_non_exhaustive()
    }
}

/// What is revoked at one moment.
#[derive(Default)]
struct Tables {
    base: Arc<Table>,
    recent: Table,
}

impl Tables {
    fn len(&self) -> usize {
        self.base.entries.len() + self.recent.entries.len()
    }

    fn contains(&self, digest: Digest) -> bool {
        self.base.find(digest).is_some() || self.recent.find(digest).is_some()
    }

    fn with(this: &Arc<Self>, added: &[Entry], now: Timestamp) -> Arc<Self> {
        let news = || added.iter().filter(|entry| entry.lasts(now) && !this.covers(entry));
        let count = news().count();
        if count == 0 {
            return Arc::clone(this);
        }
        let recent = || this.recent.entries.iter().chain(news());
        let few = this.recent.entries.len() + count;
        if few <= most_recent(this.base.entries.len()) {
            return Arc::new(Self { base: Arc::clone(&this.base), recent: Table::new(recent(), few, now) });
        }
        let everything = this.base.entries.iter().chain(recent());
        Arc::new(Self { base: Arc::new(Table::new(everything, this.len() + count, now)), recent: Table::default() })
    }

    fn without_ended(this: &Arc<Self>, now: Timestamp) -> Arc<Self> {
        let everything = || this.base.entries.iter().chain(&this.recent.entries);
        if everything().all(|entry| entry.lasts(now)) {
            return Arc::clone(this);
        }
        let base = Table::new(everything(), this.len(), now);
        Arc::new(Self { base: Arc::new(base), recent: Table::default() })
    }

    /// Whether `entry` is here, for as long or longer.
    fn covers(&self, entry: &Entry) -> bool {
        let covers = |table: &Table| table.find(entry.digest).is_some_and(|known| known.until >= entry.until);
        covers(&self.base) || covers(&self.recent)
    }
}

/// Entries in the order of their digests.
#[derive(Default)]
struct Table {
    entries: Box<[Entry]>,
    /// Where the entries of each bucket start, by the first bits of the digest, and where the last ones end.
    starts: Box<[usize]>,
}

impl Table {
    /// A table of those of `entries` that last; there are at most `most`.
    fn new<'e>(entries: impl Iterator<Item = &'e Entry>, most: usize, now: Timestamp) -> Self {
        let mut lasting = Vec::with_capacity(most);
        lasting.extend(entries.filter(|entry| entry.lasts(now)).copied());
        // What is here was sorted before, and this sort finds out: it merges the runs.
        lasting.sort();
        lasting.dedup_by(|later, kept| {
            let same = later.digest == kept.digest;
            if same {
                kept.until = later.until;
            }
            same
        });
        let entries = lasting.into_boxed_slice();
        Self { starts: starts(&entries), entries }
    }

    fn find(&self, digest: Digest) -> Option<&Entry> {
        let bits = self.starts.len().checked_sub(1)?.checked_ilog2()?;
        let bucket = bucket(digest, bits);
        self.entries[self.starts[bucket]..self.starts[bucket + 1]].iter().find(|entry| entry.digest == digest)
    }
}

/// A revoked token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    digest: Digest,
    /// Seconds since the epoch, which last until 2106; [`FOREVER`] stands for everything later.
    until: u32,
}

impl Entry {
    fn new(digest: Digest, until: Timestamp) -> Self {
        Self { digest, until: u32::try_from(until.seconds()).unwrap_or(FOREVER) }
    }

    fn lasts(&self, now: Timestamp) -> bool {
        self.until == FOREVER || now.seconds() < u64::from(self.until)
    }
}

const FOREVER: u32 = u32::MAX;

/// A keyed digest of a token ID, as bytes so that an entry needs no padding.
type Digest = [u8; 16];

/// Digests spread evenly, so their first bits say nearly where an entry is: among the about eight of its bucket.
fn starts(entries: &[Entry]) -> Box<[usize]> {
    if entries.is_empty() {
        return Box::default();
    }
    let bits = (entries.len() / BUCKET).checked_ilog2().unwrap_or(0).min(MOST_BITS);
    let mut starts = Vec::with_capacity((1 << bits) + 1);
    for (place, entry) in entries.iter().enumerate() {
        while starts.len() <= bucket(entry.digest, bits) {
            starts.push(place);
        }
    }
    starts.resize((1 << bits) + 1, entries.len());
    starts.into_boxed_slice()
}

/// The first `bits` bits of `digest`, at most [`MOST_BITS`].
fn bucket(digest: Digest, bits: u32) -> usize {
    let [first, second, third, fourth, ..] = digest;
    (u32::from_be_bytes([first, second, third, fourth]) >> 1 >> (MOST_BITS - bits)) as usize
}

/// How many entries the recent table holds at most beside a base of `base`.
fn most_recent(base: usize) -> usize {
    (base / 16).max(1024)
}

const BUCKET: usize = 8;
const MOST_BITS: u32 = 31;

#[cfg(test)]
mod tests;
