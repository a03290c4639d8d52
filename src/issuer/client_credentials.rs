use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use serde_json::json;
use url::{Host, Url};

use super::{
    Client, Directory, Issuer,
    form::Form,
    reply::{Reply, TokenError, TokenResult, json_reply, no_store},
};
use crate::{
    domain::{ApplicationId, Catalogue, ClientId, ScopeName, ScopeSet, Timestamp, TokenId, WorkflowId, random_bytes},
    token::{Grant, SessionClaims, issue as sign},
};

/// Issues a token to an authenticated client (RFC 6749 section 4.4).
pub(super) fn issue(
    issuer: &Issuer,
    directory: &Directory,
    id: &ClientId,
    client: &Client,
    form: &Form<'_>,
    now: Timestamp,
) -> Result<Reply, TokenError> {
    match form.value("grant_type") {
        Some("client_credentials") => {}
        Some(_) => return Err(TokenError::UnsupportedGrantType),
        None => return Err(TokenError::InvalidRequest("grant_type is missing")),
    }
    let asked = form.value("scope");
    let scopes = granted(&issuer.catalogue, client, asked)?;
    let session = session_claims(&issuer.catalogue, client, scopes, form)?;
    let scope = names(&issuer.catalogue, scopes);
    let issued_at = client.issued_at(now, issuer.settings.clock_skew);
    let grant = Grant {
        issuer: &issuer.settings.url,
        audience: &issuer.settings.audience,
        client: id,
        customer: &client.customer,
        scope: &scope,
        session: session.as_ref(),
        lifetime: now.plus(issuer.settings.lifetime).since(issued_at),
    };
    let token = sign(&directory.signing_key, &grant, &fresh_id(), issued_at);
    let body = json!({
        "access_token": token,
        "token_type": "Bearer",
        "type": "Bearer",
        "expires_in": issuer.settings.lifetime,
        "scope": scope,
    });
    let mut reply = json_reply(StatusCode::OK, &body);
    no_store(reply.response.headers_mut());
    reply.result = Some(TokenResult::Issued);
    reply.issued = Some(scope);
    Ok(reply)
}

/// The scopes asked for, all of which the client must have; its default ones if it asks for none. Many clients join lists
/// of which some are empty, so spare spaces count for nothing, though RFC 6749 section 3.3 knows only single ones.
fn granted(catalogue: &Catalogue, client: &Client, asked: Option<&str>) -> Result<ScopeSet, TokenError> {
    let mut scopes = ScopeSet::EMPTY;
    for name in asked.unwrap_or_default().split(' ').filter(|name| !name.is_empty()) {
        let scope = catalogue.find(name).ok_or(TokenError::InvalidScope)?;
        if !client.scopes.contains(scope) {
            return Err(TokenError::InvalidScope);
        }
        scopes = scopes.union(scope);
    }
    let scopes = if scopes.is_empty() { client.default_scopes } else { scopes };
    if scopes.is_empty() { Err(TokenError::InvalidScope) } else { Ok(scopes) }
}

fn names(catalogue: &Catalogue, scopes: ScopeSet) -> String {
    catalogue.names(scopes).map(ScopeName::as_str).collect::<Vec<_>>().join(" ")
}

/// The claims that a scope among `scopes` requires, checked; `None` if none does.
fn session_claims(
    catalogue: &Catalogue,
    client: &Client,
    scopes: ScopeSet,
    form: &Form<'_>,
) -> Result<Option<SessionClaims>, TokenError> {
    if catalogue.required_claims(scopes).next().is_none() {
        return Ok(None);
    }
    let invalid = TokenError::InvalidRequest;
    let application = form.value("application_id").ok_or(invalid("application_id is missing"))?;
    let workflow = form.value("workflow_id").ok_or(invalid("workflow_id is missing"))?;
    let redirect_url = form.value("redirect_url").ok_or(invalid("redirect_url is missing"))?;
    check_redirect_url(redirect_url, &client.redirect_urls)?;
    Ok(Some(SessionClaims {
        application: ApplicationId::parse(application).map_err(|_| invalid("application_id is not an identifier"))?,
        workflow: WorkflowId::parse(workflow).map_err(|_| invalid("workflow_id is not an identifier"))?,
        redirect_url: redirect_url.to_owned(),
    }))
}

/// An absolute https URL without fragment or user, http for loopback hosts only; one of the client's if it lists any.
pub(super) fn check_redirect_url(text: &str, listed: &[String]) -> Result<(), TokenError> {
    if !is_allowed_redirect(text) {
        return Err(TokenError::InvalidRequest("redirect_url must be an absolute https URL"));
    }
    if !listed.is_empty() && listed.iter().all(|own| own != text) {
        return Err(TokenError::InvalidRequest("redirect_url is not one of the client's"));
    }
    Ok(())
}

/// Whether a session may lead to `text`.
///
/// The parser reads as browsers do: it drops line breaks, takes `\` for `/` and mends `https:///x`. Nothing of that
/// passes, since whoever follows the URL may read it otherwise.
pub fn is_allowed_redirect(text: &str) -> bool {
    let after_scheme = text.split_once("://").and_then(|(_, rest)| rest.bytes().next());
    let begins_with_host = after_scheme.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'[');
    let spelt_plainly = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let Ok(url) = Url::parse(text) else { return false };
    let plain = url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return false,
    };
    let scheme = url.scheme() == "https" || (url.scheme() == "http" && loopback);
    begins_with_host && spelt_plainly && plain && scheme && text.len() <= 2048
}

/// A `jti` of 128 random bits.
pub(super) fn fresh_id() -> TokenId {
    TokenId::parse(&URL_SAFE_NO_PAD.encode(random_bytes::<16>())).expect("base64url is visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_leads_to_https_or_to_this_machine() {
        for (url, expected) in [
            ("https://example.com/done?x=1", true),
            ("http://localhost:3000/done", true),
            ("http://127.0.0.1/", true),
            ("http://[::1]/", true),
            ("http://example.com/", false),
            ("http://127.0.0.1.example.com/", false),
            ("https://user@example.com/", false),
            ("https://example.com/#x", false),
            ("javascript:alert(1)", false),
            ("ftp://example.com/", false),
            ("/done", false),
            ("https://", false),
            ("https:///done", false),
            ("https:/example.com/", false),
            ("https://\\example.com/", false),
            ("https://example.com\\@evil.example/", false),
            ("https://example.com/\n", false),
            ("https://example.com/a b", false),
        ] {
            assert_eq!(is_allowed_redirect(url), expected, "{url}");
        }
    }
}
