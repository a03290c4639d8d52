//! The OAuth endpoints as functions from a request value to a reply value. No pingora, no store: clients and keys come
//! from a [`Directory`] in memory that [`crate::app`] replaces when the store changes.

mod basic;
mod client_auth;
mod client_credentials;
mod failures;
mod form;
mod metadata;
mod reply;
mod session;

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, Method};

pub use client_credentials::is_allowed_redirect;
pub use failures::{FailureLimits, Rate};
pub use reply::{Reply, TokenResult, form_too_large};
pub use session::Session;

use crate::{
    domain::{Catalogue, ClientId, CustomerId, HashingKey, Principal, ScopeSet, SecretHash, Timestamp},
    policy::Unminted,
    token::{SigningKey, VerifyingKey},
};

/// Longest form accepted at the token endpoint, in bytes.
pub const MAX_FORM: usize = 64 * 1024;

/// One of the gateway's own paths. Each is served with and without `/v1` before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// RFC 6749 section 3.2
    Token,
    /// Who owns a token.
    UserInfo,
    /// RFC 7517 section 5
    KeySet,
    /// RFC 8414, also where OpenID Connect Discovery looks for it.
    ServerMetadata,
    /// RFC 9728
    ResourceMetadata,
}

impl Endpoint {
    /// The endpoint at `path`.
    pub fn find(path: &str) -> Option<Self> {
        let path = path.strip_prefix("/v1").unwrap_or(path);
        Some(match path {
            "/oauth2/token" => Self::Token,
            "/oauth2/userinfo" => Self::UserInfo,
            "/.well-known/jwks.json" => Self::KeySet,
            "/.well-known/oauth-authorization-server" | "/.well-known/openid-configuration" => Self::ServerMetadata,
            "/.well-known/oauth-protected-resource" => Self::ResourceMetadata,
            _ => return None,
        })
    }

    /// Its name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "oauth2.token",
            Self::UserInfo => "oauth2.userinfo",
            Self::KeySet => "jwks",
            Self::ServerMetadata => "oauth-authorization-server",
            Self::ResourceMetadata => "oauth-protected-resource",
        }
    }

    /// Whether it is asked with `method`.
    pub fn takes(self, method: &Method) -> bool {
        match self {
            Self::Token => method == Method::POST,
            Self::UserInfo | Self::KeySet | Self::ServerMetadata | Self::ResourceMetadata => {
                method == Method::GET || method == Method::HEAD
            }
        }
    }

    /// The methods for `Allow`.
    pub const fn allow(self) -> &'static str {
        match self {
            Self::Token => "POST",
            Self::UserInfo | Self::KeySet | Self::ServerMetadata | Self::ResourceMetadata => "GET, HEAD",
        }
    }
}

/// What the issuer says of itself and puts into its tokens.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its identifier, the `iss` of its tokens.
    pub url: String,
    /// The `aud` of its tokens.
    pub audience: String,
    /// How long its tokens live, in seconds.
    pub lifetime: u64,
    /// How clients may show their secret.
    pub authentication: Authentication,
}

/// How clients may show their secret (RFC 6749 section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// `client_secret_basic` only.
    Basic,
    /// `client_secret_post` too.
    BasicOrPost,
}

/// One client as the token endpoint sees it.
#[derive(Debug)]
pub struct Client {
    /// Who owns it.
    pub customer: CustomerId,
    /// The scopes it may ask for, implied ones included.
    pub scopes: ScopeSet,
    /// The scopes it gets if it asks for none.
    pub default_scopes: ScopeSet,
    /// Where its session tokens may lead; empty: anywhere.
    pub redirect_urls: Vec<String>,
    /// The hashes of its live secrets.
    pub secrets: Vec<SecretHash>,
}

/// The clients and keys of one moment.
#[derive(Debug)]
pub struct Directory {
    /// Every client that may authenticate.
    pub clients: HashMap<ClientId, Client>,
    /// The key that secrets are hashed under.
    pub hashing_key: HashingKey,
    /// What new tokens are signed with.
    pub signing_key: SigningKey,
    /// Every key to publish.
    pub published: Vec<VerifyingKey>,
}

/// A request to the token endpoint.
#[derive(Debug)]
pub struct TokenRequest<'a> {
    /// The query of its target.
    pub query: Option<&'a str>,
    /// Its header fields.
    pub headers: &'a HeaderMap,
    /// Its body, at most [`MAX_FORM`] bytes.
    pub form: &'a [u8],
    /// Who sent it.
    pub address: IpAddr,
    /// When, by the clock tokens go by.
    pub now: Timestamp,
    /// When, by the clock that never jumps.
    pub instant: Instant,
}

/// Our own issuer.
pub struct Issuer {
    settings: Settings,
    catalogue: Arc<Catalogue>,
    failures: FailureLimits,
    state: ArcSwap<State>,
}

struct State {
    directory: Directory,
    /// The published keys as the bytes of a reply.
    key_set: Bytes,
}

impl Issuer {
    /// An issuer with the clients and keys of `directory`.
    pub fn new(settings: Settings, catalogue: Arc<Catalogue>, failures: FailureLimits, directory: Directory) -> Self {
        Self { settings, catalogue, failures, state: ArcSwap::from_pointee(State::of(directory)) }
    }

    /// From now on serves `directory`.
    pub fn replace(&self, directory: Directory) {
        self.state.store(Arc::new(State::of(directory)));
    }

    /// `POST /v1/oauth2/token`
    pub fn token(&self, request: &TokenRequest<'_>) -> Reply {
        let state = self.state.load();
        match self.try_token(&state.directory, request) {
            Ok(reply) => reply,
            Err(error) => error.into_reply(),
        }
    }

    fn try_token(&self, directory: &Directory, request: &TokenRequest<'_>) -> Result<Reply, reply::TokenError> {
        let form = form::Form::parse(request.headers, request.form)?;
        client_auth::refuse_query(request.query)?;
        let credentials = client_auth::credentials(request.headers, &form, self.settings.authentication)?;
        let (id, client) = client_auth::authenticate(directory, &credentials, &self.failures, request)?;
        client_credentials::issue(self, directory, id, client, &form, request.now)
    }

    /// A session token for the caller's own client, once its application was created.
    pub fn session_token(
        &self,
        principal: &Principal,
        session: &Session<'_>,
        now: Timestamp,
    ) -> Result<String, Unminted> {
        session::token(self, &self.state.load().directory, principal, session, now)
    }

    /// `GET /oauth2/userinfo`, once its token was verified.
    pub fn user_info(&self, principal: &Principal) -> Reply {
        metadata::user_info(principal)
    }

    /// `GET /.well-known/jwks.json`
    pub fn key_set(&self) -> Reply {
        metadata::key_set(self.state.load().key_set.clone())
    }

    /// `GET /.well-known/oauth-authorization-server`
    pub fn server_metadata(&self) -> Reply {
        metadata::server(&self.settings, &self.catalogue)
    }

    /// `GET /.well-known/oauth-protected-resource`
    pub fn resource_metadata(&self) -> Reply {
        metadata::resource(&self.settings, &self.catalogue)
    }

    /// The realm of challenges (RFC 9110 section 11.5).
    pub fn realm(&self) -> &str {
        &self.settings.audience
    }
}

impl State {
    fn of(directory: Directory) -> Self {
        let key_set = metadata::encode_key_set(&directory.published);
        Self { directory, key_set }
    }
}
