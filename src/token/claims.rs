use http::HeaderValue;
use serde_json::Value;

use super::{json::Object, verify::Expectations};
use crate::domain::{
    ApplicationId, Catalogue, ClientId, CustomerId, KeyId, Principal, Reason, RequiredClaim, ScopeName, Timestamp,
    TokenId, WorkflowId,
};

/// The names under which issuers state scopes.
const SCOPE_CLAIMS: [&str; 3] = ["scope", "scp", "scopes"];

/// Checks the claims of a token whose signature was verified with `key`, and makes them a principal.
pub(super) fn check(
    claims: &Object,
    key: &KeyId,
    expected: &Expectations<'_>,
    now: Timestamp,
) -> Result<Principal, Reason> {
    check_audience(claims, expected.audience)?;
    let expires_at = moment(claims, "exp")?.ok_or(Reason::Claims)?;
    let not_before = moment(claims, "nbf")?;
    let issued_at = moment(claims, "iat")?;
    check_times(expires_at, not_before, expected.clock_skew, now)?;
    check_times(expires_at, issued_at, expected.clock_skew, now)?;
    let subject = text(claims, "sub")?.ok_or(Reason::Claims)?;
    let client = text(claims, "client_id")?.unwrap_or(subject);
    let customer = text(claims, "customer_id")?.ok_or(Reason::Claims)?;
    let names = scope_names(claims)?;
    let scopes = expected.catalogue.granted(names.iter().map(ScopeName::as_str));
    let application = bound_application(claims, expected.catalogue, scopes)?;
    Ok(Principal {
        client: ClientId::parse(client).map_err(|_| Reason::Claims)?,
        customer: CustomerId::parse(customer).map_err(|_| Reason::Claims)?,
        scopes,
        scope_text: scope_text(&names)?,
        application,
        token: text(claims, "jti")?.map(TokenId::parse).transpose().map_err(|_| Reason::Claims)?,
        key: key.clone(),
        issued_at,
        not_before,
        expires_at,
    })
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

fn check_audience(claims: &Object, expected: &str) -> Result<(), Reason> {
    let meant = match claims.member("aud").ok_or(Reason::Audience)? {
        Value::String(audience) => audience == expected,
        Value::Array(audiences) => {
            audiences.iter().all(Value::is_string) && audiences.iter().any(|audience| audience == expected)
        }
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
fn moment(claims: &Object, name: &str) -> Result<Option<Timestamp>, Reason> {
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

/// The scope tokens of the one scope claim. A claim of another type states none, and grants none.
fn scope_names(claims: &Object) -> Result<Vec<ScopeName>, Reason> {
    let mut stated = SCOPE_CLAIMS.iter().filter_map(|name| claims.member(name));
    let claim = stated.next();
    if stated.next().is_some() {
        return Err(Reason::Claims);
    }
    let tokens: Vec<&str> = match claim {
        Some(Value::String(list)) => list.split(' ').collect(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    Ok(tokens.into_iter().filter_map(|token| ScopeName::parse(token).ok()).collect())
}

fn scope_text(names: &[ScopeName]) -> Result<HeaderValue, Reason> {
    let list = names.iter().map(ScopeName::as_str).collect::<Vec<_>>().join(" ");
    HeaderValue::try_from(list).map_err(|_| Reason::Claims)
}

/// The application that a bound scope among `scopes` is for, once every claim those scopes require is there.
fn bound_application(
    claims: &Object,
    catalogue: &Catalogue,
    scopes: crate::domain::ScopeSet,
) -> Result<Option<ApplicationId>, Reason> {
    for claim in catalogue.required_claims(scopes) {
        let value = text(claims, claim.name())?.ok_or(Reason::Claims)?;
        let sound = match claim {
            RequiredClaim::ApplicationId => ApplicationId::parse(value).is_ok(),
            RequiredClaim::WorkflowId => WorkflowId::parse(value).is_ok(),
            RequiredClaim::RedirectUrl => !value.is_empty(),
        };
        if !sound {
            return Err(Reason::Claims);
        }
    }
    if !scopes.intersects(catalogue.bound()) {
        return Ok(None);
    }
    let application = text(claims, RequiredClaim::ApplicationId.name())?.ok_or(Reason::Claims)?;
    ApplicationId::parse(application).map(Some).map_err(|_| Reason::Claims)
}
