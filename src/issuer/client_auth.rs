use http::{HeaderMap, header};

use super::{
    Authentication, Client, Directory, FailureLimits, TokenRequest,
    basic::{self, IdAndSecret},
    form::Form,
    reply::TokenError,
};
use crate::{
    domain::{ClientId, ClientSecret, SecretHash},
    token::names_parameter,
};

/// What a client shows: one reading of its credentials, or two.
pub(super) struct Shown(Vec<IdAndSecret>);

/// Refuses credentials in the URL, where proxies and logs would keep them (RFC 6749 section 2.3.1).
pub(super) fn refuse_query(query: Option<&str>) -> Result<(), TokenError> {
    let names_credentials =
        |query: &str| ["client_id", "client_secret"].iter().any(|name| names_parameter(query, name));
    if query.is_some_and(names_credentials) {
        return Err(TokenError::InvalidRequest("credentials may not stand in the URL"));
    }
    Ok(())
}

/// Finds the credentials of a request; exactly one way of showing them is allowed (RFC 6749 section 2.3).
pub(super) fn credentials(headers: &HeaderMap, form: &Form<'_>, allowed: Authentication) -> Result<Shown, TokenError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(TokenError::InvalidRequest("the Authorization header field is repeated"));
    }
    let (id, secret) = (form.value("client_id"), form.value("client_secret"));
    match (value, id, secret) {
        (Some(_), _, Some(_)) => Err(TokenError::InvalidRequest("credentials are shown in two ways")),
        (Some(value), _, None) => Ok(Shown(basic::parse(value.as_bytes()).unwrap_or_default())),
        (None, Some(id), Some(secret)) if allowed == Authentication::BasicOrPost => {
            Ok(Shown(vec![IdAndSecret { id: id.to_owned(), secret: secret.to_owned() }]))
        }
        (None, _, _) => Err(TokenError::InvalidClient),
    }
}

/// The client whose live secret was shown. An unknown client, a disabled one and a wrong secret cost the same work and
/// give the same answer.
pub(super) fn authenticate<'d>(
    directory: &'d Directory,
    shown: &Shown,
    failures: &FailureLimits,
    request: &TokenRequest<'_>,
) -> Result<(&'d ClientId, &'d Client), TokenError> {
    let ids = shown.0.iter().map(|reading| reading.id.as_str());
    failures
        .check(ids.clone(), request.address, request.instant)
        .map_err(|retry_after| TokenError::RateLimited { retry_after })?;
    let mut found = None;
    for reading in &shown.0 {
        // Both readings are always hashed and compared, so that the first one's success does not show in time.
        found = found.or(matching(directory, reading));
    }
    if found.is_none() {
        failures.count(ids, request.address, request.instant);
    }
    found.ok_or(TokenError::InvalidClient)
}

fn matching<'d>(directory: &'d Directory, shown: &IdAndSecret) -> Option<(&'d ClientId, &'d Client)> {
    let secret = ClientSecret::presented(shown.secret.clone());
    let hash = SecretHash::of(&directory.hashing_key, &secret);
    let client = ClientId::parse(&shown.id).ok().and_then(|id| directory.clients.get_key_value(&id));
    let nobody = [SecretHash::from_bytes([0; 32])];
    let secrets = client.map_or(&nobody[..], |(_, client)| &client.secrets);
    let mut matched = false;
    for own in secrets {
        matched |= own.matches(&hash);
    }
    client.filter(|_| matched)
}
