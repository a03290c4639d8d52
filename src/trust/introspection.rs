//! Tokens that say nothing themselves: their issuer is asked (RFC 7662).

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
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
}

/// Asks, each question once at a time, and not too many at once.
#[derive(Debug)]
pub(super) struct Asker {
    introspection: Introspection,
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
            introspection,
            slots: Semaphore::new(MOST_AT_ONCE),
            open: Mutex::default(),
            failing: AtomicBool::new(false),
        }
    }

    /// Who may use the token, by its issuer's word. Requests with one token wait for one answer.
    pub(super) async fn ask(&self, token: &str, issuer: &str, rules: &Expectations, now: Timestamp) -> Answer {
        let asked = Asked::join(&self.open, question(token));
        // If whoever asks gives up, the next one that waits goes on in its place.
        asked.answer.get_or_init(|| self.ask_now(token, issuer, rules, now)).await.clone()
    }

    async fn ask_now(&self, token: &str, issuer: &str, rules: &Expectations, now: Timestamp) -> Answer {
        let slot = timeout(PATIENCE, self.slots.acquire()).await;
        let Ok(Ok(_slot)) = slot else { return Err(Reason::KeysUnavailable) };
        let Introspection { outbound, url, authorization, cap } = &self.introspection;
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

/// A place among those who wait for one answer. The last one to leave closes the question, and so does the first one after
/// the answer: it is as old as its asking.
struct Asked<'a> {
    open: &'a Mutex<Open>,
    question: Question,
    answer: Arc<OnceCell<Answer>>,
}

impl<'a> Asked<'a> {
    fn join(open: &'a Mutex<Open>, question: Question) -> Self {
        let answer = Arc::clone(locked(open).entry(question).or_default());
        Self { open, question, answer }
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
/// How long one waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_closed_by_its_answer_or_by_the_last_who_gives_up() {
        let open = Mutex::default();
        let count = || locked(&open).len();
        let (one, two) = (Asked::join(&open, [1; 32]), Asked::join(&open, [1; 32]));
        let other = Asked::join(&open, [2; 32]);
        assert_eq!(count(), 2);
        drop(one);
        assert_eq!(count(), 2, "another one waits for the same answer");
        drop(two);
        assert_eq!(count(), 1, "nobody waits any more");
        let late = Asked::join(&open, [2; 32]);
        other.answer.set(Err(Reason::Revoked)).unwrap();
        drop(other);
        assert_eq!(count(), 0, "whoever comes next asks anew");
        let next = Asked::join(&open, [2; 32]);
        drop(late);
        assert_eq!((count(), next.answer.initialized()), (1, false), "the old answer closes no new question");
    }
}
