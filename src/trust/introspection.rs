//! Tokens that say nothing themselves: their issuer is asked (RFC 7662).

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::digest;
use reqwest::{Url, header::HeaderValue};
use tokio::{
    sync::{OnceCell, Semaphore},
    time::timeout,
};

use super::fetch::{FetchError, Outbound};
use crate::{
    domain::{Principal, Reason, Timestamp},
    limit::{Ledger, Quota, Rate, network},
    token::{Expectations, principal_of_introspection},
};

/// Whom to ask, and for how long an answer counts.
pub struct Introspection {
    /// How the server is reached.
    pub outbound: Outbound,
    /// Its introspection endpoint.
    pub url: Url,
    /// Our credentials there, as the value of `Authorization`.
    pub authorization: HeaderValue,
    /// Seconds that an answer is relied on at most.
    pub cap: u64,
    /// How much may be asked.
    pub rates: QuestionRates,
    /// Since when questions are counted.
    pub start: Instant,
}

/// How often an issuer is asked: anybody can send tokens that nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuestionRates {
    /// Questions from one address (IPv6: one /64) that are answered by a refusal.
    pub failures_per_address: Rate,
    /// All questions.
    pub all: Rate,
}

/// Whose request brings a token.
#[derive(Clone, Copy, Debug)]
pub struct Requester {
    /// Where it comes from.
    pub address: IpAddr,
    /// When it arrived.
    pub instant: Instant,
}

/// Asks, each question once at a time, and not too many at once.
#[derive(Debug)]
pub(super) struct Asker {
    introspection: Introspection,
    allowance: Allowance,
    slots: Semaphore,
    /// The questions that are under way, by the digest of their token.
    open: Mutex<Open>,
    failing: AtomicBool,
}

type Open = HashMap<Question, Arc<OnceCell<Answer>>>;
type Question = [u8; 32];
type Answer = Result<Principal, Reason>;

impl Asker {
    pub(super) fn new(introspection: Introspection) -> Self {
        Self {
            allowance: Allowance::new(introspection.rates, introspection.start),
            introspection,
            slots: Semaphore::new(MOST_AT_ONCE),
            open: Mutex::default(),
            failing: AtomicBool::new(false),
        }
    }

    /// Who may use the token, by its issuer's word. Requests with one token wait for one answer.
    pub(super) async fn ask(
        &self,
        token: &str,
        requester: Requester,
        issuer: &str,
        rules: &Expectations,
        now: Timestamp,
    ) -> Answer {
        let Some(asked) = Asked::join(&self.open, question(token)) else { return Err(Reason::KeysUnavailable) };
        // If whoever asks gives up, the next one that waits goes on in its place.
        asked.answer.get_or_init(|| self.ask_within_bounds(token, requester, issuer, rules, now)).await.clone()
    }

    /// What is over a bound is not asked: nobody knows then what the token is worth, and it is let in nowhere.
    async fn ask_within_bounds(
        &self,
        token: &str,
        requester: Requester,
        issuer: &str,
        rules: &Expectations,
        now: Timestamp,
    ) -> Answer {
        if !self.allowance.take(requester) {
            return Err(Reason::KeysUnavailable);
        }
        let answer = self.ask_now(token, issuer, rules, now).await;
        match &answer {
            // Neither a good token nor a server that is down is the requester's fault.
            Ok(_) | Err(Reason::KeysUnavailable) => self.allowance.give_back(requester),
            Err(_) => {}
        }
        answer
    }

    async fn ask_now(&self, token: &str, issuer: &str, rules: &Expectations, now: Timestamp) -> Answer {
        let slot = timeout(PATIENCE, self.slots.acquire()).await;
        let Ok(Ok(_slot)) = slot else { return Err(Reason::KeysUnavailable) };
        let Introspection { outbound, url, authorization, cap, rates: _, start: _ } = &self.introspection;
        let form = [("token", token), ("token_type_hint", "access_token")];
        let answer = outbound.post(url, authorization.clone(), &form).await;
        self.note(issuer, answer.as_ref().err());
        let answer = answer.map_err(|_| Reason::KeysUnavailable)?;
        principal_of_introspection(&answer, issuer, rules, now.plus(*cap), now)
    }

    /// Tells the log when asking begins to fail and when it works again: one line each, however many requests ask.
    fn note(&self, issuer: &str, error: Option<&FetchError>) {
        let failed_before = self.failing.swap(error.is_some(), Ordering::Relaxed);
        match error {
            Some(error) if !failed_before => tracing::warn!(issuer, %error, "it cannot be asked about its tokens"),
            None if failed_before => tracing::info!(issuer, "it can be asked about its tokens again"),
            Some(_) | None => {}
        }
    }
}

/// What is left to ask. It is charged before a question, so that those under way count.
struct Allowance {
    ledger: Ledger,
    failures_per_address: Quota,
    all: Quota,
}

impl Allowance {
    fn new(rates: QuestionRates, start: Instant) -> Self {
        Self {
            ledger: Ledger::new(start),
            failures_per_address: Quota::of(rates.failures_per_address),
            all: Quota::of(rates.all),
        }
    }

    fn take(&self, Requester { address, instant }: Requester) -> bool {
        let account = self.ledger.account(network(address));
        let own = self.ledger.take(self.failures_per_address, account, instant);
        let taken = own.is_ok() && self.ledger.take(self.all, self.ledger.account("all"), instant).is_ok();
        if own.is_ok() && !taken {
            self.ledger.give_back(self.failures_per_address, account);
        }
        taken
    }

    fn give_back(&self, requester: Requester) {
        self.ledger.give_back(self.failures_per_address, self.ledger.account(network(requester.address)));
    }
}

impl fmt::Debug for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allowance").finish_non_exhaustive()
    }
}

/// A place among those who wait for one answer. The last one to leave closes the question, and so does the first one after
/// the answer: it is as old as its asking.
struct Asked<'a> {
    open: &'a Mutex<Open>,
    question: Question,
    answer: Arc<OnceCell<Answer>>,
}

impl<'a> Asked<'a> {
    /// `None` if too many questions are open already.
    fn join(open: &'a Mutex<Open>, question: Question) -> Option<Self> {
        let mut all = locked(open);
        if all.len() >= MOST_OPEN && !all.contains_key(&question) {
            return None;
        }
        let answer = Arc::clone(all.entry(question).or_default());
        Some(Self { open, question, answer })
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut open = locked(self.open);
        let current = open.get(&self.question).is_some_and(|current| Arc::ptr_eq(current, &self.answer));
        // One is counted for the map and one for this place.
        let last = Arc::strong_count(&self.answer) <= 2;
        if current && (last || self.answer.initialized()) {
            open.remove(&self.question);
        }
    }
}

fn locked(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection").field("url", &self.url.as_str()).field("cap", &self.cap).finish_non_exhaustive()
    }
}

fn question(token: &str) -> Question {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    *digest.as_ref().first_chunk().expect("the digest has 32 bytes")
}

/// So many tokens are asked about at once; further ones wait for their turn.
const MOST_AT_ONCE: usize = 64;
/// So many may be open, those that wait for their turn included.
const MOST_OPEN: usize = 1_000;
/// How long one waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_uses_up_its_own_questions_and_no_others() {
        let minute = Duration::from_secs(60);
        let rates = QuestionRates { failures_per_address: Rate::new(3, minute), all: Rate::new(8, minute) };
        #[expect(clippy::disallowed_methods, reason = "a test's own start of time")]
        let instant = Instant::now();
        let allowance = Allowance::new(rates, instant);
        let from = |address: &str| Requester { address: address.parse().unwrap(), instant };
        let taken = |address: &str| (0..5).filter(|_| allowance.take(from(address))).count();
        assert_eq!([taken("192.0.2.1"), taken("2001:db8::1"), taken("2001:db8::2")], [3, 3, 0]);
        allowance.give_back(from("192.0.2.1"));
        assert_eq!(taken("192.0.2.1"), 1, "an answer that was good costs its address nothing");
        assert_eq!(taken("192.0.2.3"), 1, "in all there are eight");
        let later = Requester { instant: instant + minute, ..from("192.0.2.1") };
        assert!(allowance.take(later));
    }

    #[test]
    fn open_questions_have_a_bound() {
        let open = Mutex::default();
        let question = |number: usize| {
            let mut question = [0; 32];
            question[..8].copy_from_slice(&number.to_be_bytes());
            question
        };
        let held: Vec<_> = (0..MOST_OPEN).map(|number| Asked::join(&open, question(number)).unwrap()).collect();
        assert!(Asked::join(&open, question(MOST_OPEN)).is_none());
        assert!(Asked::join(&open, question(0)).is_some(), "one that is asked already");
        drop(held);
        assert!(Asked::join(&open, question(MOST_OPEN)).is_some());
    }

    #[test]
    fn a_question_is_closed_by_its_answer_or_by_the_last_who_gives_up() {
        let open = Mutex::default();
        let count = || locked(&open).len();
        let join = |question| Asked::join(&open, question).unwrap();
        let (one, two) = (join([1; 32]), join([1; 32]));
        let other = join([2; 32]);
        assert_eq!(count(), 2);
        drop(one);
        assert_eq!(count(), 2, "another one waits for the same answer");
        drop(two);
        assert_eq!(count(), 1, "nobody waits any more");
        let late = join([2; 32]);
        other.answer.set(Err(Reason::Revoked)).unwrap();
        drop(other);
        assert_eq!(count(), 0, "whoever comes next asks anew");
        let next = join([2; 32]);
        drop(late);
        assert_eq!((count(), next.answer.initialized()), (1, false), "the old answer closes no new question");
    }
}
