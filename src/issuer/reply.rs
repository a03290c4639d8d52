use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

/// What an endpoint answers.
#[derive(Debug)]
pub struct Reply {
    /// Status, header fields and body.
    pub response: Response<Bytes>,
    /// What a token request came to; `None` at the other endpoints.
    pub result: Option<TokenResult>,
    /// The scopes of a token that was issued, space-separated.
    pub issued: Option<String>,
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
    /// Too many failures before.
    RateLimited,
}

impl TokenResult {
    /// Every result, for metrics that start at zero.
    pub const ALL: [Self; 6] = [
        Self::Issued,
        Self::InvalidRequest,
        Self::InvalidClient,
        Self::UnsupportedGrantType,
        Self::InvalidScope,
        Self::RateLimited,
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
        }
    }
}

/// Why a token request fails (RFC 6749 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenError {
    /// What is wrong with the request.
    InvalidRequest(&'static str),
    /// The same for every cause.
    InvalidClient,
    UnsupportedGrantType,
    InvalidScope,
    /// Ask again after so many seconds.
    RateLimited {
        retry_after: u64,
    },
}

impl TokenError {
    pub(super) fn into_reply(self) -> Reply {
        let (status, error, description, result) = match self {
            Self::InvalidRequest(what) => {
                (StatusCode::BAD_REQUEST, "invalid_request", Some(what), TokenResult::InvalidRequest)
            }
            Self::InvalidClient => {
                let what = "client authentication failed";
                (StatusCode::UNAUTHORIZED, "invalid_client", Some(what), TokenResult::InvalidClient)
            }
            Self::UnsupportedGrantType => {
                let what = "only client_credentials is supported";
                (StatusCode::BAD_REQUEST, "unsupported_grant_type", Some(what), TokenResult::UnsupportedGrantType)
            }
            Self::InvalidScope => {
                let what = "a scope is unknown or not granted to this client";
                (StatusCode::BAD_REQUEST, "invalid_scope", Some(what), TokenResult::InvalidScope)
            }
            Self::RateLimited { .. } => {
                let what = "too many failed attempts";
                (StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", Some(what), TokenResult::RateLimited)
            }
        };
        let mut reply = json_reply(status, &json!({"error": error, "error_description": description}));
        reply.result = Some(result);
        let headers = reply.response.headers_mut();
        no_store(headers);
        match self {
            Self::InvalidClient => {
                let challenge = HeaderValue::from_static("Basic realm=\"oauth2\", charset=\"UTF-8\"");
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            Self::RateLimited { retry_after } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after));
            }
            Self::InvalidRequest(_) | Self::UnsupportedGrantType | Self::InvalidScope => {}
        }
        reply
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
    Reply { response, result: None, issued: None }
}

/// RFC 6749 section 5.1: nothing with a token, or about one, may be stored.
pub(super) fn no_store(headers: &mut http::HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
}
