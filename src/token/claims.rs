use http::HeaderValue;
use serde_json::Value;

use super::{
    json::Object,
    verify::{Audiences, ClaimNames, Expectations},
};
use crate::domain::{
    ApplicationId, ClientId, CustomerId, KeyFingerprint, Principal, Reason, RequiredClaim, ScopeName, ScopeSet,
    Timestamp, TokenId, WorkflowId,
};

/// The names under which issuers state scopes.
const SCOPE_CLAIMS: [&str; 3] = ["scope", "scp", "scopes"];

/// Checks the claims of a token that `key` has verified, or its issuer when it was asked, and makes them a principal. They
/// count until `expires_at`.
pub(super) fn check(
    claims: &Object,
    expires_at: Timestamp,
    key: Option<KeyFingerprint>,
    expected: &Expectations,
    now: Timestamp,
) -> Result<Principal, Reason> {
    check_audience(claims, &expected.audiences)?;
    let not_before = moment(claims, "nbf")?;
    let issued_at = moment(claims, "iat")?;
    check_times(expires_at, not_before, expected.clock_skew, now)?;
    check_times(expires_at, issued_at, expected.clock_skew, now)?;
    check_life(expires_at, issued_at.unwrap_or(now), expected.longest_life)?;
    let customer = text(claims, &expected.claims.customer)?.ok_or(Reason::Claims)?;
    let names = scope_names(claims, expected)?;
    let scopes = expected.catalogue.granted(names.iter().map(ScopeName::as_str));
    Ok(Principal {
        issuer: expected.issuer,
        client: ClientId::parse(client(claims, &expected.claims)?).map_err(|_| Reason::Claims)?,
        customer: CustomerId::parse(customer).map_err(|_| Reason::Claims)?,
        scopes,
        scope_text: scope_text(&names)?,
        application: bound_application(claims, expected, scopes)?,
        token: text(claims, "jti")?.map(TokenId::parse).transpose().map_err(|_| Reason::Claims)?,
        key,
        issued_at,
        not_before,
        expires_at,
        asked_again_at: None,
    })
}

/// `exp`, which every token must have.
pub(super) fn expiry(claims: &Object) -> Result<Timestamp, Reason> {
    moment(claims, "exp")?.ok_or(Reason::Claims)
}

/// `sub`, which every token must have.
pub(super) fn check_subject(claims: &Object) -> Result<(), Reason> {
    text(claims, "sub")?.map(|_| ()).ok_or(Reason::Claims)
}

/// The caller.
fn client<'c>(claims: &'c Object, names: &ClaimNames) -> Result<&'c str, Reason> {
    let client = match &names.client {
        Some(name) => text(claims, name)?,
        None => text(claims, "client_id")?.or(text(claims, "sub")?),
    };
    client.ok_or(Reason::Claims)
}

fn check_life(expires_at: Timestamp, from: Timestamp, longest: Option<u64>) -> Result<(), Reason> {
    if longest.is_some_and(|longest| expires_at.since(from) > longest) { Err(Reason::Claims) } else { Ok(()) }
}

/// Whether `now` lies from `from` up to `expires_at`, give or take `skew` seconds (RFC 7519 sections 4.1.4 and 4.1.5).
pub(super) fn check_times(
    expires_at: Timestamp,
    from: Option<Timestamp>,
    skew: u64,
    now: Timestamp,
) -> Result<(), Reason> {
    if now >= expires_at.plus(skew) {
        return Err(Reason::Expired);
    }
    if from.is_some_and(|from| from > now.plus(skew)) {
        return Err(Reason::NotYetValid);
    }
    Ok(())
}

fn check_audience(claims: &Object, ours: &Audiences) -> Result<(), Reason> {
    let Audiences::OneOf(ours) = ours else { return Ok(()) };
    let is_ours = |audience: &Value| ours.iter().any(|ours| audience == ours);
    let meant = match claims.member("aud").ok_or(Reason::Audience)? {
        audience @ Value::String(_) => is_ours(audience),
        Value::Array(audiences) => audiences.iter().all(Value::is_string) && audiences.iter().any(is_ours),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    };
    if meant { Ok(()) } else { Err(Reason::Audience) }
}

/// A claim that is a string if it is there.
fn text<'c>(claims: &'c Object, name: &str) -> Result<Option<&'c str>, Reason> {
    match claims.member(name) {
        None => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or(Reason::Claims),
    }
}

/// A `NumericDate` that is there, or not; fractions of a second are cut off.
pub(super) fn moment(claims: &Object, name: &str) -> Result<Option<Timestamp>, Reason> {
    let Some(value) = claims.member(name) else { return Ok(None) };
    let whole = value.as_u64().or_else(|| value.as_f64().and_then(whole_seconds));
    let seconds = whole.filter(|seconds| *seconds <= MAX_SECONDS).ok_or(Reason::Claims)?;
    Ok(Some(Timestamp::from_seconds(seconds)))
}

/// The last second of the year 9999: what lies beyond is a mistake, for example milliseconds.
const MAX_SECONDS: u64 = 253_402_300_799;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
fn whole_seconds(seconds: f64) -> Option<u64> {
    (0.0..=1e12).contains(&seconds).then_some(seconds as u64)
}

/// The scope tokens of the one scope claim, as far as the issuer may state them. A claim of another type states none, and
/// grants none.
fn scope_names(claims: &Object, expected: &Expectations) -> Result<Vec<ScopeName>, Reason> {
    let mut stated = SCOPE_CLAIMS.iter().filter_map(|name| claims.member(name));
    let (claim, another) = match &expected.claims.scope {
        Some(name) => (claims.member(name), None),
        None => (stated.next(), stated.next()),
    };
    if another.is_some() {
        return Err(Reason::Claims);
    }
    let tokens: Vec<&str> = match claim {
        Some(Value::String(list)) => list.split(' ').collect(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let names = tokens.into_iter().filter_map(|token| ScopeName::parse(token).ok());
    Ok(names.filter(|name| may_state(expected, name)).collect())
}

/// Under a ceiling only scopes that we know and that lie below it are stated, also to upstreams.
fn may_state(expected: &Expectations, name: &ScopeName) -> bool {
    let Some(ceiling) = expected.ceiling else { return true };
    expected.catalogue.find(name.as_str()).is_some_and(|scope| ceiling.contains(scope))
}

fn scope_text(names: &[ScopeName]) -> Result<HeaderValue, Reason> {
    let list = names.iter().map(ScopeName::as_str).collect::<Vec<_>>().join(" ");
    HeaderValue::try_from(list).map_err(|_| Reason::Claims)
}

/// The application that a bound scope among `scopes` is for, once every claim those scopes require is there.
fn bound_application(
    claims: &Object,
    expected: &Expectations,
    scopes: ScopeSet,
) -> Result<Option<ApplicationId>, Reason> {
    let name = |claim: RequiredClaim| match claim {
        RequiredClaim::ApplicationId => expected.claims.application.as_str(),
        RequiredClaim::WorkflowId | RequiredClaim::RedirectUrl => claim.name(),
    };
    for claim in expected.catalogue.required_claims(scopes) {
        let value = text(claims, name(claim))?.ok_or(Reason::Claims)?;
        let sound = match claim {
            RequiredClaim::ApplicationId => ApplicationId::parse(value).is_ok(),
            RequiredClaim::WorkflowId => WorkflowId::parse(value).is_ok(),
            RequiredClaim::RedirectUrl => !value.is_empty(),
        };
        if !sound {
            return Err(Reason::Claims);
        }
    }
    if !scopes.intersects(expected.catalogue.bound()) {
        return Ok(None);
    }
    let application = text(claims, name(RequiredClaim::ApplicationId))?.ok_or(Reason::Claims)?;
    ApplicationId::parse(application).map(Some).map_err(|_| Reason::Claims)
}
