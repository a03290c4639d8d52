use std::fmt;

use http::HeaderValue;

use super::{
    clock::Timestamp,
    id::{ApplicationId, ClientId, CustomerId, IssuerName, TokenId},
    scope::ScopeSet,
};

/// A claim that a scope can demand of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequiredClaim {
    /// `application_id`
    ApplicationId,
    /// `workflow_id`
    WorkflowId,
    /// `redirect_url`
    RedirectUrl,
}

impl RequiredClaim {
    /// Every claim a scope can demand.
    pub const ALL: [Self; 3] = [Self::ApplicationId, Self::WorkflowId, Self::RedirectUrl];

    /// The claim's name in a token and in the token request's form.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApplicationId => "application_id",
            Self::WorkflowId => "workflow_id",
            Self::RedirectUrl => "redirect_url",
        }
    }
}

/// Which issuer's tokens: our own, or an entry of `trust`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IssuerId(u16);

impl IssuerId {
    /// Our own.
    pub const OWN: Self = Self(0);

    /// That of the entry of `trust` at this place, counted from 0.
    pub const fn trusted(place: u16) -> Self {
        Self(place + 1)
    }

    /// Its place in tables that begin with our own.
    pub const fn place(self) -> usize {
        self.0 as usize
    }
}

/// Tells one key from all others of this process, and tells nothing of a secret one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyFingerprint([u8; 16]);

impl KeyFingerprint {
    /// The fingerprint of these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyFingerprint(…)")
    }
}

/// The verified claims of one token: who calls, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The credentials the token was issued to.
    pub client: ClientId,
    /// The account that owns them.
    pub customer: CustomerId,
    /// The scopes it grants, implied ones included.
    pub scopes: ScopeSet,
    /// The scope claim as one space-separated list, ready to be stated upstream.
    pub scope_text: HeaderValue,
    /// The application it is for, if it carries a bound scope.
    pub application: Option<ApplicationId>,
    /// Its `jti`, if it has one.
    pub token: Option<TokenId>,
    /// Whose token it is: the entry.
    pub issuer: IssuerId,
    /// Whose token it is: the name. It tells apart the identities of several issuers, and of the tenants of one entry.
    pub issuer_name: IssuerName,
    /// The key that verified it; `None` if its issuer was asked instead.
    pub key: Option<KeyFingerprint>,
    /// When it was issued (`iat`), if it says so.
    pub issued_at: Option<Timestamp>,
    /// Valid from this moment on (`nbf`), if it says so.
    pub not_before: Option<Timestamp>,
    /// No longer valid from this moment on (`exp`).
    pub expires_at: Timestamp,
    /// When its issuer must be asked again, if it was asked.
    pub asked_again_at: Option<Timestamp>,
}
