use std::sync::Arc;

use http::{HeaderMap, header};

use super::{
    Authentication, Client, ClientRequest, Directory, Issuer, Secret, State,
    basic::{self, IdAndSecret},
    fair_queue::Asker,
    form::Form,
    reply::TokenError,
    slow_checks::{Guess, NotJudged},
    throttle::{Attempt, TokenLimit, UsedUp},
};
use crate::{
    domain::{Argon2idHash, ClientId, ClientSecret, SecretHash, Timestamp},
    limit::{Wait, network},
    token::names_parameter,
};

/// What a client shows: one reading of its credentials, or two.
struct Shown(Vec<IdAndSecret>);

impl Shown {
    fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|reading| reading.id.as_str())
    }
}

/// Refuses credentials in the URL, where proxies and logs would keep them (RFC 6749 section 2.3.1).
fn refuse_query(query: Option<&str>) -> Result<(), TokenError> {
    let names_credentials = |query: &str| CREDENTIALS.iter().any(|name| names_parameter(query, name));
    if query.is_some_and(names_credentials) {
        return Err(TokenError::InvalidRequest("credentials may not stand in the URL"));
    }
    Ok(())
}

/// Finds the credentials of a request; exactly one way of showing them is allowed (RFC 6749 section 2.3).
fn credentials(headers: &HeaderMap, form: &Form<'_>, allowed: Authentication) -> Result<Shown, TokenError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(TokenError::InvalidRequest("the Authorization header field is repeated"));
    }
    let (id, secret) = (form.value("client_id"), form.value("client_secret"));
    // RFC 7521 section 4.2: a way of its own, which is not supported here.
    let assertion = form.value("client_assertion").or(form.value("client_assertion_type"));
    if usize::from(value.is_some()) + usize::from(secret.is_some()) + usize::from(assertion.is_some()) > 1 {
        return Err(TokenError::InvalidRequest("credentials are shown in two ways"));
    }
    match (value, id, secret) {
        (Some(value), _, _) => Ok(Shown(basic::parse(value.as_bytes()).unwrap_or_default())),
        (None, Some(id), Some(secret)) if allowed == Authentication::BasicOrPost => {
            Ok(Shown(vec![IdAndSecret { id: id.to_owned(), secret: secret.to_owned() }]))
        }
        (None, _, _) => Err(TokenError::InvalidClient),
    }
}

/// The form says which client asks only once: by the credentials, or as they do (RFC 6749 section 3.2.1).
fn check_client_id(form: &Form<'_>, caller: &Caller) -> Result<(), TokenError> {
    match form.value("client_id") {
        Some(id) if id != caller.id.as_str() => {
            Err(TokenError::InvalidRequest("client_id is not the client that authenticated"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Parameters that must not stand in a URL.
const CREDENTIALS: [&str; 3] = ["client_id", "client_secret", "client_assertion"];

/// A client that showed a live secret of its own, and the directory in which it stands.
pub(super) struct Caller {
    state: Arc<State>,
    id: ClientId,
}

impl Caller {
    pub(super) fn directory(&self) -> &Directory {
        &self.state.directory
    }

    pub(super) const fn id(&self) -> &ClientId {
        &self.id
    }

    pub(super) fn client(&self) -> &Client {
        self.directory().clients.get(&self.id).expect("a caller was found in this very directory")
    }
}

impl Issuer {
    /// The client that a request comes from. An unknown client, a disabled one and a wrong secret cost the same work and
    /// give the same answer.
    pub(super) async fn authenticate(
        &self,
        form: &Form<'_>,
        request: &ClientRequest<'_>,
    ) -> Result<Caller, TokenError> {
        refuse_query(request.query)?;
        let shown = credentials(request.headers, form, self.settings.authentication)?;
        let caller = self.find(&shown, request).await?;
        check_client_id(form, &caller)?;
        Ok(caller)
    }

    /// A secret of our making is right whatever others at its client and address have failed at: who guesses at 256 bits
    /// learns nothing from being told so, and one stale job locks nobody out. One that was imported can be guessed, so
    /// its limit holds for right and wrong alike.
    async fn find(&self, shown: &Shown, request: &ClientRequest<'_>) -> Result<Caller, TokenError> {
        let state = self.state.load_full();
        let Some((id, secret)) = state.match_at_once(shown, request.now) else {
            return self.find_slowly(state, shown, request).await;
        };
        if secret.can_be_guessed() {
            self.throttle.check_failures(&self.attempt(shown, request), request.instant)?;
        }
        secret.note_use(request.now);
        let id = id.clone();
        Ok(Caller { state, id })
    }

    /// Counts the guesses as failed before they wait for their check: of those that come meanwhile, none is for free.
    async fn find_slowly(
        &self,
        state: Arc<State>,
        shown: &Shown,
        request: &ClientRequest<'_>,
    ) -> Result<Caller, TokenError> {
        let attempt = self.attempt(shown, request);
        self.throttle.take_failure(&attempt, request.instant)?;
        let found = self.check_slowly(&state, shown, request).await;
        if !matches!(found, Err(TokenError::InvalidClient)) {
            self.throttle.give_back_failure(&attempt);
        }
        found
    }

    async fn check_slowly(
        &self,
        state: &State,
        shown: &Shown,
        request: &ClientRequest<'_>,
    ) -> Result<Caller, TokenError> {
        let guesses = state.guesses(shown, request.now);
        if guesses.is_empty() {
            return Err(TokenError::InvalidClient);
        }
        let asker = Asker { network: network(request.address), ids: shown.ids().map(ToOwned::to_owned).collect() };
        let judged = self.slow_checks.judge(asker, guesses).await?;
        // A secret that was taken away while its check waited no longer counts.
        let state = self.state.load_full();
        let holder =
            |(reading, hash): (&IdAndSecret, Option<Argon2idHash>)| state.holder(&reading.id, &hash?, request.now);
        let id = shown.0.iter().zip(judged).find_map(holder).ok_or(TokenError::InvalidClient)?;
        Ok(Caller { state, id })
    }

    fn attempt(&self, shown: &Shown, request: &ClientRequest<'_>) -> Attempt {
        self.throttle.attempt(shown.ids(), request.address)
    }
}

impl From<NotJudged> for TokenError {
    fn from(not_judged: NotJudged) -> Self {
        match not_judged {
            NotJudged::OwnShare => Self::RateLimited(UsedUp { limit: TokenLimit::Checks, wait: Wait::SHORT }),
            NotJudged::Busy => Self::Unavailable,
        }
    }
}

impl State {
    /// The client that one of the readings names and shows a secret of, as far as that can be said without a slow check.
    fn match_at_once(&self, shown: &Shown, now: Timestamp) -> Option<(&ClientId, &Secret)> {
        let mut found = None;
        for reading in &shown.0 {
            // Both readings are always hashed and compared, so that the first one's success does not show in time.
            let matched = self.match_reading(reading, now);
            found = found.or(matched);
        }
        found
    }

    fn match_reading(&self, shown: &IdAndSecret, now: Timestamp) -> Option<(&ClientId, &Secret)> {
        let hash = SecretHash::of(&self.directory.hashing_key, &ClientSecret::presented(shown.secret.clone()));
        let entry = self.entry(&shown.id);
        let secrets = entry.map_or(&self.nobody[..], |(_, client)| &client.secrets);
        let mut matched = None;
        for own in secrets {
            // No short way out: how many secrets a client has, and which was shown, must not show either.
            let same = own.matches(&hash);
            matched = matched.or((same && own.is_live(now)).then_some(own));
        }
        entry.map(|(id, _)| id).zip(matched)
    }

    /// What must be checked slowly before the readings may be called wrong: each against as many hashes of each cost,
    /// whether its client is known or not. Nothing where no client has an imported secret.
    fn guesses(&self, shown: &Shown, now: Timestamp) -> Vec<Guess> {
        if self.slow_hashes.is_empty() {
            return Vec::new();
        }
        shown.0.iter().map(|reading| self.guess(reading, now)).collect()
    }

    fn guess(&self, reading: &IdAndSecret, now: Timestamp) -> Guess {
        let shown = ClientSecret::presented(reading.secret.clone());
        let keyed = SecretHash::of(&self.directory.hashing_key, &shown);
        let secrets = self.entry(&reading.id).map_or(&[][..], |(_, client)| &client.secrets);
        let live = secrets.iter().filter(|secret| secret.is_live(now));
        let imported = |secret: &Secret| Some((secret.argon2id()?.clone(), Arc::clone(&secret.proven)));
        let hashes: Vec<_> = live.filter_map(imported).collect();
        let mut stand_ins = self.slow_hashes.clone();
        remove_costs(&mut stand_ins, hashes.iter().map(|(hash, _)| hash));
        Guess { shown, keyed, hashes, stand_ins }
    }

    /// The client of this ID, if `hash` is still that of a live secret of it.
    fn holder(&self, id: &str, hash: &Argon2idHash, now: Timestamp) -> Option<ClientId> {
        let (id, client) = self.entry(id)?;
        let secret = client.secrets.iter().find(|own| own.argon2id() == Some(hash) && own.is_live(now))?;
        secret.note_use(now);
        Some(id.clone())
    }

    fn entry(&self, id: &str) -> Option<(&ClientId, &Client)> {
        ClientId::parse(id).ok().and_then(|id| self.directory.clients.get_key_value(&id))
    }
}

/// The fewest hashes among which every client finds its own costs: as many of each cost as one client has at most.
pub(super) fn slow_hashes<'c>(clients: impl Iterator<Item = &'c Client>) -> Vec<Argon2idHash> {
    let mut hashes: Vec<Argon2idHash> = Vec::new();
    for client in clients {
        let mut missing: Vec<_> = client.secrets.iter().filter_map(Secret::argon2id).cloned().collect();
        remove_costs(&mut missing, hashes.iter());
        hashes.append(&mut missing);
    }
    hashes
}

/// For each of `others` removes one hash that costs the same.
fn remove_costs<'h>(hashes: &mut Vec<Argon2idHash>, others: impl Iterator<Item = &'h Argon2idHash>) {
    for other in others {
        if let Some(place) = hashes.iter().position(|hash| hash.cost() == other.cost()) {
            hashes.swap_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuer::tests::{NOW, argon2id, client, directory, imported, keyed};

    fn costs(guess: &Guess) -> Vec<String> {
        let own = guess.hashes.iter().map(|(hash, _)| hash);
        let mut costs: Vec<_> = own.chain(&guess.stand_ins).map(|hash| format!("{:?}", hash.cost())).collect();
        costs.sort();
        costs
    }

    #[test]
    fn a_wrong_secret_costs_the_same_checks_whoever_it_is_said_to_be_of() {
        let ended = Secret { expires_at: Some(NOW), ..imported("old", 64) };
        let state = State::of(directory(vec![
            ("keyed", client("k", vec![keyed("a"), keyed("b")])),
            ("imported", client("k", vec![imported("a", 64)])),
            ("ended", client("k", vec![ended, keyed("a")])),
            ("twice", client("k", vec![imported("a", 64), imported("b", 64)])),
            ("costly", client("k", vec![imported("a", 128), keyed("b")])),
        ]));
        for (id, own) in
            [("keyed", 0), ("imported", 1), ("ended", 0), ("twice", 2), ("costly", 1), ("nobody", 0), ("not an id", 0)]
        {
            let readings = ["wrong", "wr%6fng"].map(|secret| IdAndSecret { id: id.into(), secret: secret.into() });
            let guesses = state.guesses(&Shown(readings.to_vec()), NOW);
            assert_eq!(guesses.len(), 2, "{id}");
            for guess in guesses {
                assert_eq!(guess.hashes.len(), own, "{id}");
                let cost = |memory| format!("{:?}", argon2id("x", memory).cost());
                assert_eq!(costs(&guess), [cost(128), cost(64), cost(64)], "{id}");
            }
        }
    }

    #[test]
    fn without_imported_secrets_nothing_is_checked_slowly() {
        let state = State::of(directory(vec![("keyed", client("k", vec![keyed("a")]))]));
        for id in ["keyed", "nobody"] {
            let reading = IdAndSecret { id: id.to_owned(), secret: "wrong".to_owned() };
            assert!(state.guesses(&Shown(vec![reading]), NOW).is_empty(), "{id}");
        }
    }
}
