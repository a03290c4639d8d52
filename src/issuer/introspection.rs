use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    Client, Introspects,
    form::Form,
    reply::{Reply, TokenError, json_reply, no_store},
};
use crate::{
    domain::{IssuerId, Principal, Reason, RequiredClaim, Timestamp},
    token::Unverified,
    trust::{Requester, Trust},
};

/// Says what a token is good for (RFC 7662 section 2.2), to a client that may know. Of any other token, and to any other
/// client, it says the same: that it is not active.
pub(super) async fn introspect(
    client: &Client,
    form: &Form<'_>,
    trust: &Trust,
    requester: Requester,
    now: Timestamp,
) -> Result<Reply, TokenError> {
    let token = form.value("token").ok_or(TokenError::InvalidRequest("token is missing"))?.as_bytes();
    let told = match trust.verify(token, requester, now).await.outcome {
        Ok(principal) if may_know(client, &principal) => describe(token, &principal),
        Err(Reason::KeysUnavailable) => return Err(TokenError::Unavailable),
        Ok(_) | Err(_) => None,
    };
    let mut reply = json_reply(StatusCode::OK, &told.unwrap_or_else(|| json!({"active": false})));
    no_store(reply.response.headers_mut());
    Ok(reply)
}

fn may_know(client: &Client, principal: &Principal) -> bool {
    match client.introspects {
        Introspects::All => true,
        // What another issuer calls a customer of ours is its word, and what its tokens say is none of that customer's business.
        Introspects::OwnCustomer => principal.issuer == IssuerId::OWN && client.customer == principal.customer,
    }
}

/// What was verified, and beside it the claims of this very token that a principal does not keep, if it is a JWT.
pub(super) fn describe(token: &[u8], principal: &Principal) -> Option<Value> {
    let stated = Unverified::parse(token).ok();
    let mut told = Map::new();
    told.insert("active".to_owned(), true.into());
    told.insert("iss".to_owned(), principal.issuer_name.as_str().into());
    told.insert("scope".to_owned(), principal.scope_text.to_str().ok()?.into());
    told.insert("client_id".to_owned(), principal.client.as_str().into());
    told.insert("customer_id".to_owned(), principal.customer.as_str().into());
    told.insert("token_type".to_owned(), "Bearer".into());
    told.insert("exp".to_owned(), principal.expires_at.seconds().into());
    let of_session: &[RequiredClaim] = if principal.application.is_some() { &RequiredClaim::ALL } else { &[] };
    let names = STATED.into_iter().chain(of_session.iter().map(|claim| claim.name()));
    for name in names {
        if let Some(value) = stated.as_ref().and_then(|stated| stated.claim(name)) {
            told.insert(name.to_owned(), value.clone());
        }
    }
    Some(told.into())
}

/// RFC 7662 section 2.2
const STATED: [&str; 5] = ["iat", "nbf", "sub", "aud", "jti"];
