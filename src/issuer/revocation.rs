use std::net::IpAddr;

use async_trait::async_trait;
use bytes::Bytes;
use http::Response;

use super::{
    ClientRequest,
    client_auth::Caller,
    form::Form,
    reply::{Reply, TokenError, no_store},
};
use crate::{
    domain::{ClientId, Timestamp, TokenId},
    trust::Trust,
};

/// Where revocations are kept, so that every node hears of them.
#[async_trait]
pub trait Revoker: Send + Sync {
    /// From now until `until` no node accepts the token `token`. `client`, calling from `address`, is who wants it so.
    ///
    /// Once this returns, the node that was asked refuses the token.
    async fn revoke_token(
        &self,
        token: TokenId,
        until: Timestamp,
        client: &ClientId,
        address: IpAddr,
    ) -> Result<(), RevokerUnavailable>;
}

/// The revocation cannot be kept at the moment, and so was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("revocations cannot be kept at the moment")]
pub struct RevokerUnavailable;

/// Revokes the caller's own token (RFC 7009 section 2). One that nobody could use anyway needs no revocation: that it is
/// unknown, or of no use already, is as good as done (section 2.2).
pub(super) async fn revoke(
    caller: &Caller,
    form: &Form<'_>,
    request: &ClientRequest<'_>,
    trust: &Trust,
    revoker: &dyn Revoker,
) -> Result<Reply, TokenError> {
    let token = form.value("token").ok_or(TokenError::InvalidRequest("token is missing"))?;
    let Ok(principal) = trust.verify_own(token.as_bytes(), request.now) else { return Ok(done()) };
    if principal.client != *caller.id() {
        return Err(TokenError::UnauthorizedClient);
    }
    let id = principal.token.ok_or(TokenError::UnsupportedTokenType)?;
    // Until the last moment at which a verifier would accept it.
    let until = principal.expires_at.plus(trust.clock_skew());
    let kept = revoker.revoke_token(id, until, caller.id(), request.address).await;
    kept.map_err(|RevokerUnavailable| TokenError::Unavailable)?;
    Ok(done())
}

/// 200 and nothing in it: the status says it all (RFC 7009 section 2.2).
fn done() -> Reply {
    let mut response = Response::new(Bytes::new());
    no_store(response.headers_mut());
    Reply { response, result: None, issued: None, limit: None }
}
