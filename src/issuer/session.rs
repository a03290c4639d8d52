//! Session tokens that nobody asked the token endpoint for: they go into the reply that tells of a new application.

use super::{
    Directory, Issuer,
    client_credentials::{check_redirect_url, fresh_id},
};
use crate::{
    domain::{APPLICATION_SESSION, ApplicationId, IssuerId, Principal, Timestamp, WorkflowId},
    policy::Unminted,
    token::{Grant, SessionClaims, issue},
};

/// What a session token is about, as a request and its reply name it.
#[derive(Clone, Copy, Debug)]
pub struct Session<'a> {
    /// `application_id`
    pub application: &'a str,
    /// `workflow_id`
    pub workflow: &'a str,
    /// `redirect_url`
    pub redirect_url: &'a str,
}

/// Signs a token with scope `application.session` alone. The same rules hold as at the token endpoint, but for the
/// client's scopes: that its callers get a session is what the route says.
pub(super) fn token(
    issuer: &Issuer,
    directory: &Directory,
    principal: &Principal,
    session: &Session<'_>,
    now: Timestamp,
) -> Result<String, Unminted> {
    // Another issuer's client may have the name of one of ours.
    let own = principal.issuer == IssuerId::OWN;
    let client = directory.clients.get(&principal.client).filter(|client| own && client.customer == principal.customer);
    let client = client.ok_or(Unminted::ClientUnknown)?;
    let Session { application, workflow, redirect_url } = *session;
    check_redirect_url(redirect_url, &client.redirect_urls).map_err(|_| Unminted::RedirectRefused)?;
    let claims = SessionClaims {
        application: ApplicationId::parse(application).map_err(|_| Unminted::ApplicationRefused)?,
        workflow: WorkflowId::parse(workflow).map_err(|_| Unminted::WorkflowRefused)?,
        redirect_url: redirect_url.to_owned(),
    };
    let issued_at = client.issued_at(now, issuer.settings.clock_skew);
    let grant = Grant {
        issuer: &issuer.settings.url,
        audience: &issuer.settings.audience,
        client: &principal.client,
        customer: &client.customer,
        scope: APPLICATION_SESSION,
        session: Some(&claims),
        lifetime: now.plus(issuer.settings.lifetime).since(issued_at),
    };
    Ok(issue(&directory.signing_key, &grant, &fresh_id(), issued_at))
}
