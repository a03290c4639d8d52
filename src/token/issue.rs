use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use super::SigningKey;
use crate::domain::{ApplicationId, ClientId, CustomerId, Timestamp, TokenId, WorkflowId};

/// What a new token says.
#[derive(Debug)]
pub struct Grant<'a> {
    /// `iss`
    pub issuer: &'a str,
    /// `aud`
    pub audience: &'a str,
    /// `sub` and `client_id`
    pub client: &'a ClientId,
    /// `customer_id`
    pub customer: &'a CustomerId,
    /// `scope`, space-separated
    pub scope: &'a str,
    /// The claims of a session token.
    pub session: Option<&'a SessionClaims>,
    /// Seconds from `iat` to `exp`.
    pub lifetime: u64,
}

/// What a token with scope `application.session` says besides.
#[derive(Debug, PartialEq, Eq)]
pub struct SessionClaims {
    /// `application_id`
    pub application: ApplicationId,
    /// `workflow_id`
    pub workflow: WorkflowId,
    /// `redirect_url`
    pub redirect_url: String,
}

/// Signs a token (RFC 9068 section 2) that is valid from `now` for the grant's lifetime.
pub fn issue(key: &SigningKey, grant: &Grant<'_>, id: &TokenId, now: Timestamp) -> String {
    let claims = Claims {
        iss: grant.issuer,
        aud: grant.audience,
        sub: grant.client.as_str(),
        client_id: grant.client.as_str(),
        customer_id: grant.customer.as_str(),
        scope: grant.scope,
        iat: now.seconds(),
        exp: now.plus(grant.lifetime).seconds(),
        jti: id.as_str(),
        application_id: grant.session.map(|session| session.application.as_str()),
        workflow_id: grant.session.map(|session| session.workflow.as_str()),
        redirect_url: grant.session.map(|session| session.redirect_url.as_str()),
    };
    let claims = serde_json::to_vec(&claims).expect("strings and numbers are JSON");
    let mut token = String::with_capacity(key.encoded_header().len() + claims.len() * 4 / 3 + 400);
    token.push_str(key.encoded_header());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(&claims, &mut token);
    let signature = key.sign(&token);
    token.push('.');
    token.push_str(&signature);
    token
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    client_id: &'a str,
    customer_id: &'a str,
    scope: &'a str,
    iat: u64,
    exp: u64,
    jti: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    application_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect_url: Option<&'a str>,
}
