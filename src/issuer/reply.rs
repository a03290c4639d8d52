use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::throttle::{TokenLimit, UsedUp};

/// What an endpoint answers.
#[derive(Debug)]
pub struct Reply {
    /// Status, header fields and body.
    pub response: Response<Bytes>,
    /// What a request of a client came to; `None` where it has no name in metrics.
    pub result: Option<TokenResult>,
    /// The scopes of a token that was issued, space-separated.
    pub issued: Option<String>,
    /// The limit that was used up, if one was.
    pub limit: Option<TokenLimit>,
}

/// What a token request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenResult {
    /// A token was issued.
    Issued,
    /// The request breaks RFC 6749 section 3.2.
    InvalidRequest,
    /// The client is unknown, disabled, or showed a wrong secret.
    InvalidClient,
    /// Another grant than client credentials.
    UnsupportedGrantType,
    /// A scope that is unknown or not granted to the client.
    InvalidScope,
    /// Too many failures or requests before.
    RateLimited,
    /// Too many secrets wait to be checked.
    Unavailable,
}

impl TokenResult {
    /// Every result, for metrics that start at zero.
    pub const ALL: [Self; 7] = [
        Self::Issued,
        Self::InvalidRequest,
        Self::InvalidClient,
        Self::UnsupportedGrantType,
        Self::InvalidScope,
        Self::RateLimited,
        Self::Unavailable,
    ];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Why a request of a client fails (RFC 6749 section 5.2, RFC 7009 section 2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenError {
    /// What is wrong with the request.
    InvalidRequest(&'static str),
    /// The same for every cause.
    InvalidClient,
    UnsupportedGrantType,
    InvalidScope,
    /// The token to revoke is another client's.
    UnauthorizedClient,
    /// The token to revoke has no ID to revoke it by.
    UnsupportedTokenType,
    /// Ask again later.
    RateLimited(UsedUp),
    /// Ask again soon.
    Unavailable,
}

impl TokenError {
    pub(super) fn into_reply(self) -> Reply {
        let (status, error, what) = self.meaning();
        let mut reply = json_reply(status, &json!({"error": error, "error_description": what}));
        reply.result = self.result();
        reply.limit = self.limit();
        let headers = reply.response.headers_mut();
        no_store(headers);
        if self == Self::InvalidClient {
            let challenge = HeaderValue::from_static("Basic realm=\"oauth2\", charset=\"UTF-8\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        reply
    }

    const fn meaning(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::InvalidRequest(what) => (StatusCode::BAD_REQUEST, "invalid_request", what),
            Self::InvalidClient => (StatusCode::UNAUTHORIZED, "invalid_client", "client authentication failed"),
            Self::UnsupportedGrantType => {
                (StatusCode::BAD_REQUEST, "unsupported_grant_type", "only client_credentials is supported")
            }
            Self::InvalidScope => {
                (StatusCode::BAD_REQUEST, "invalid_scope", "a scope is unknown or not granted to this client")
            }
            Self::UnauthorizedClient => {
                (StatusCode::BAD_REQUEST, "unauthorized_client", "the token was issued to another client")
            }
            Self::UnsupportedTokenType => {
                (StatusCode::BAD_REQUEST, "unsupported_token_type", "a token without jti cannot be revoked")
            }
            Self::RateLimited(UsedUp { limit, .. }) => {
                (StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", too_many(limit))
            }
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "this cannot be done at the moment")
            }
        }
    }

    const fn result(self) -> Option<TokenResult> {
        match self {
            Self::InvalidRequest(_) => Some(TokenResult::InvalidRequest),
            Self::InvalidClient => Some(TokenResult::InvalidClient),
            Self::UnsupportedGrantType => Some(TokenResult::UnsupportedGrantType),
            Self::InvalidScope => Some(TokenResult::InvalidScope),
            // Of revocation alone.
            Self::UnauthorizedClient | Self::UnsupportedTokenType => None,
            Self::RateLimited(_) => Some(TokenResult::RateLimited),
            Self::Unavailable => Some(TokenResult::Unavailable),
        }
    }

    const fn limit(self) -> Option<TokenLimit> {
        let Self::RateLimited(UsedUp { limit, .. }) = self else { return None };
        Some(limit)
    }

    /// Seconds.
    const fn retry_after(self) -> Option<u64> {
        match self {
            Self::RateLimited(UsedUp { wait, .. }) => Some(wait.seconds()),
            Self::Unavailable => Some(1),
            Self::InvalidRequest(_)
            | Self::InvalidClient
            | Self::UnsupportedGrantType
            | Self::InvalidScope
            | Self::UnauthorizedClient
            | Self::UnsupportedTokenType => None,
        }
    }
}

impl From<UsedUp> for TokenError {
    fn from(used_up: UsedUp) -> Self {
        Self::RateLimited(used_up)
    }
}

const fn too_many(limit: TokenLimit) -> &'static str {
    match limit {
        TokenLimit::Failures => "too many failed attempts",
        TokenLimit::Client | TokenLimit::Address => "too many token requests",
        TokenLimit::Checks => "too many secrets wait to be checked",
    }
}

/// The reply to a form over [`super::MAX_FORM`].
pub fn form_too_large() -> Reply {
    let mut reply = TokenError::InvalidRequest("the form is too large").into_reply();
    *reply.response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    reply
}

pub(super) fn json_reply(status: StatusCode, body: &serde_json::Value) -> Reply {
    bytes_reply(status, Bytes::from(body.to_string()))
}

pub(super) fn bytes_reply(status: StatusCode, body: Bytes) -> Reply {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Reply { response, result: None, issued: None, limit: None }
}

/// RFC 6749 section 5.1: nothing with a token, or about one, may be stored.
pub(super) fn no_store(headers: &mut http::HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
}
