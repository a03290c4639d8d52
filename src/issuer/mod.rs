//! The OAuth endpoints as functions from a request value to a reply value. No pingora, no store: clients and keys come
//! from a [`Directory`] in memory that [`crate::app`] replaces when the store changes. The one thing that is written, a
//! revocation, goes through a [`Revoker`].

mod basic;
mod client_auth;
mod client_credentials;
mod fair_queue;
mod form;
mod introspection;
mod metadata;
mod reply;
mod revocation;
mod secret;
mod session;
mod slow_checks;
#[cfg(test)]
mod tests;
mod throttle;

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, Method};
use jsonwebtoken::jwk::Jwk;

pub use client_credentials::is_allowed_redirect;
pub use reply::{Reply, TokenResult, form_too_large};
pub use revocation::{Revoker, RevokerUnavailable};
pub use secret::{Proven, Secret};
pub use session::Session;
pub use throttle::{Rates, TokenLimit};

use crate::{
    domain::{
        Argon2idHash, Catalogue, ClientId, CustomerId, HashingKey, Principal, ScopeSet, SecretHash, SecretVerifier,
        Timestamp,
    },
    policy::Unminted,
    token::SigningKey,
    trust::{Requester, Trust},
};
use form::Form;
use reply::TokenError;
use slow_checks::SlowChecks;
use throttle::Throttle;

/// Longest form accepted of a client, in bytes.
pub const MAX_FORM: usize = 64 * 1024;

/// One of the gateway's own paths. Each is served with and without `/v1` before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// RFC 6749 section 3.2
    Token,
    /// RFC 7009
    Revoke,
    /// RFC 7662
    Introspect,
    /// Who owns a token; with the methods of OpenID Connect Core section 5.3.
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
            "/oauth2/revoke" => Self::Revoke,
            "/oauth2/introspect" => Self::Introspect,
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
            Self::Revoke => "oauth2.revoke",
            Self::Introspect => "oauth2.introspect",
            Self::UserInfo => "oauth2.userinfo",
            Self::KeySet => "jwks",
            Self::ServerMetadata => "oauth-authorization-server",
            Self::ResourceMetadata => "oauth-protected-resource",
        }
    }

    /// Whether it is asked with `method`.
    pub fn takes(self, method: &Method) -> bool {
        match self {
            Self::Token | Self::Revoke | Self::Introspect => method == Method::POST,
            Self::UserInfo => [Method::GET, Method::HEAD, Method::POST].contains(method),
            Self::KeySet | Self::ServerMetadata | Self::ResourceMetadata => {
                method == Method::GET || method == Method::HEAD
            }
        }
    }

    /// The methods for `Allow`.
    pub const fn allow(self) -> &'static str {
        match self {
            Self::Token | Self::Revoke | Self::Introspect => "POST",
            Self::UserInfo => "GET, HEAD, POST",
            Self::KeySet | Self::ServerMetadata | Self::ResourceMetadata => "GET, HEAD",
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
    /// How far clocks may differ, in seconds.
    pub clock_skew: u64,
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

/// Whose tokens a client may ask about (RFC 7662 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introspects {
    /// Those of its own customer.
    OwnCustomer,
    /// Everybody's: it is an API behind the gateway rather than a caller of it.
    All,
}

/// One client as the endpoints see it.
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
    /// Its secrets, of which those count that have not expired.
    pub secrets: Vec<Secret>,
    /// Whose tokens it may ask about.
    pub introspects: Introspects,
    /// Its tokens issued up to and including this second are revoked.
    pub tokens_end: Option<Timestamp>,
}

impl Client {
    /// The `iat` of a token that the client is given at `now`.
    ///
    /// It counts whole seconds (RFC 7519 section 2), and revoking a client's tokens means those of the whole second: a new
    /// token asked for within that second would be born dead. So it is dated a second ahead, which verifiers take for
    /// clocks that differ, but never further ahead than those may (`clock_skew`, in seconds).
    pub fn issued_at(&self, now: Timestamp, clock_skew: u64) -> Timestamp {
        let first = self.tokens_end.map_or(now, |end| end.plus(1)).max(now);
        if first <= now.plus(clock_skew) { first } else { now }
    }
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
    pub published: Vec<Jwk>,
}

/// A request to an endpoint that clients authenticate at.
#[derive(Debug)]
pub struct ClientRequest<'a> {
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
    throttle: Throttle,
    slow_checks: SlowChecks,
    state: ArcSwap<State>,
}

struct State {
    directory: Directory,
    /// What an unknown client's secret is compared with.
    nobody: [Secret; 1],
    /// What a wrong secret is checked against, whoever's it is said to be.
    slow_hashes: Vec<Argon2idHash>,
    /// The published keys as the bytes of a reply.
    key_set: Bytes,
}

impl Issuer {
    /// An issuer with the clients and keys of `directory`, to which nobody has come before `start`.
    pub fn new(
        settings: Settings,
        catalogue: Arc<Catalogue>,
        rates: Rates,
        directory: Directory,
        start: Instant,
    ) -> Self {
        let (slow_checks, state) = (SlowChecks::start(), ArcSwap::from_pointee(State::of(directory)));
        Self { settings, catalogue, throttle: Throttle::new(rates, start), slow_checks, state }
    }

    /// From now on serves `directory`.
    pub fn replace(&self, directory: Directory) {
        self.state.store(Arc::new(State::of(directory)));
    }

    /// `POST /v1/oauth2/token`
    pub async fn token(&self, request: &ClientRequest<'_>) -> Reply {
        self.try_token(request).await.unwrap_or_else(TokenError::into_reply)
    }

    async fn try_token(&self, request: &ClientRequest<'_>) -> Result<Reply, TokenError> {
        self.throttle.take_for_address(request.address, request.instant)?;
        let form = Form::parse(request.headers, request.form)?;
        let caller = self.authenticate(&form, request).await?;
        self.throttle.take_for_client(caller.id().as_str(), request.instant)?;
        client_credentials::issue(self, caller.directory(), caller.id(), caller.client(), &form, request.now)
    }

    /// `POST /v1/oauth2/revoke`
    pub async fn revoke(&self, request: &ClientRequest<'_>, trust: &Trust, revoker: &dyn Revoker) -> Reply {
        self.try_revoke(request, trust, revoker).await.unwrap_or_else(TokenError::into_reply)
    }

    async fn try_revoke(
        &self,
        request: &ClientRequest<'_>,
        trust: &Trust,
        revoker: &dyn Revoker,
    ) -> Result<Reply, TokenError> {
        let form = Form::parse(request.headers, request.form)?;
        let caller = self.authenticate(&form, request).await?;
        revocation::revoke(&caller, &form, request, trust, revoker).await
    }

    /// `POST /v1/oauth2/introspect`
    pub async fn introspect(&self, request: &ClientRequest<'_>, trust: &Trust) -> Reply {
        self.try_introspect(request, trust).await.unwrap_or_else(TokenError::into_reply)
    }

    async fn try_introspect(&self, request: &ClientRequest<'_>, trust: &Trust) -> Result<Reply, TokenError> {
        let form = Form::parse(request.headers, request.form)?;
        let caller = self.authenticate(&form, request).await?;
        let requester = Requester { address: request.address, instant: request.instant };
        introspection::introspect(caller.client(), &form, trust, requester, request.now).await
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

    /// `/oauth2/userinfo`, once its token was verified.
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
        let slow_hashes = client_auth::slow_hashes(directory.clients.values());
        let nobody = [Secret::new(SecretVerifier::Keyed(SecretHash::from_bytes([0; 32])), None, None)];
        Self { directory, nobody, slow_hashes, key_set }
    }
}
