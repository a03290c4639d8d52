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
    open: Mutex<HashMap<Question, Arc<OnceCell<Answer>>>>,
    failing: AtomicBool,
}

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
        let question = question(token);
        let cell = Arc::clone(self.locked().entry(question).or_default());
        // If whoever asks gives up, the next one that waits goes on in its place.
        let answer = cell.get_or_init(|| self.ask_now(token, issuer, rules, now)).await.clone();
        let mut open = self.locked();
        if open.get(&question).is_some_and(|current| Arc::ptr_eq(current, &cell)) {
            open.remove(&question);
        }
        answer
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

    fn locked(&self) -> MutexGuard<'_, HashMap<Question, Arc<OnceCell<Answer>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
