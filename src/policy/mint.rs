use super::json::JsonPointer;

/// How a route mints: what names the application that a reply is about, and where its session token goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mint {
    /// `application_id`
    pub application: MintSource,
    /// `workflow_id`
    pub workflow: MintSource,
    /// `redirect_url`
    pub redirect_url: MintSource,
    /// The member of the reply that becomes the token; its object must be there.
    pub into: JsonPointer,
}

/// Where a claim of the token stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MintSource {
    /// In the reply.
    Reply(JsonPointer),
    /// In the request that it answers.
    Request(JsonPointer),
}

impl Mint {
    /// Whether the request's body is needed.
    pub fn reads_request(&self) -> bool {
        let sources = [&self.application, &self.workflow, &self.redirect_url];
        sources.iter().any(|source| matches!(source, MintSource::Request(_)))
    }
}

/// Why a reply on a minting route went on as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unminted {
    /// The request passed without a principal, since its route only reports.
    NoCaller,
    /// No reply came, or it broke off.
    BrokenOff,
    /// The reply tells of no success, or holds a part of it only (206).
    NotSuccessful,
    /// There is no body to put a token into.
    NoContent,
    /// The client speaks HTTP/1.0, which knows no body of a length told later.
    OldProtocol,
    /// The reply is not JSON by its own account.
    NotJson,
    /// It is compressed or otherwise encoded.
    Encoded,
    /// It carries a digest, which would no longer be right.
    Digested,
    /// It is longer than what is held back.
    TooLarge,
    /// It is not one object that reads in one way.
    Ambiguous,
    /// The object that the token belongs into is not there.
    NoPlace,
    /// The request's body is longer than what is kept of it.
    RequestTooLarge,
    /// The request's body is not one JSON object that reads in one way.
    RequestAmbiguous,
    /// The reply came before the request had ended.
    RequestUnfinished,
    /// Nothing names the application.
    ApplicationMissing,
    /// What names it is no identifier, or another than the caller's token is bound to.
    ApplicationRefused,
    /// Nothing names the workflow.
    WorkflowMissing,
    /// What names it is no identifier.
    WorkflowRefused,
    /// Nothing names the URL to return to.
    RedirectMissing,
    /// A session may not lead there.
    RedirectRefused,
    /// The caller's client is none of ours, or is no longer enabled.
    ClientUnknown,
}

impl Unminted {
    /// Its name in metrics and logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoCaller => "no_caller",
            Self::BrokenOff => "broken_off",
            Self::NotSuccessful => "not_successful",
            Self::NoContent => "no_content",
            Self::OldProtocol => "old_protocol",
            Self::NotJson => "not_json",
            Self::Encoded => "encoded",
            Self::Digested => "digested",
            Self::TooLarge => "too_large",
            Self::Ambiguous => "ambiguous",
            Self::NoPlace => "no_place",
            Self::RequestTooLarge => "request_too_large",
            Self::RequestAmbiguous => "request_ambiguous",
            Self::RequestUnfinished => "request_unfinished",
            Self::ApplicationMissing => "application_missing",
            Self::ApplicationRefused => "application_refused",
            Self::WorkflowMissing => "workflow_missing",
            Self::WorkflowRefused => "workflow_refused",
            Self::RedirectMissing => "redirect_missing",
            Self::RedirectRefused => "redirect_refused",
            Self::ClientUnknown => "client_unknown",
        }
    }
}
