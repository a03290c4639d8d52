use http::HeaderValue;

use super::{
    clock::Timestamp,
    id::{ApplicationId, ClientId, CustomerId, KeyId, TokenId},
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
    /// The key that verified it.
    pub key: KeyId,
    /// When it was issued (`iat`), if it says so.
    pub issued_at: Option<Timestamp>,
    /// Valid from this moment on (`nbf`), if it says so.
    pub not_before: Option<Timestamp>,
    /// No longer valid from this moment on (`exp`).
    pub expires_at: Timestamp,
}
