use http::HeaderValue;
use serde_json::Value;

use super::{
    claim_path::ClaimPath,
    json::Object,
    verify::{Audiences, Expectations},
};
use crate::domain::{
    ApplicationId, ClientId, CustomerId, IssuerName, KeyFingerprint, Principal, Reason, RequiredClaim, ScopeName,
    ScopeSet, Timestamp, TokenId, WorkflowId,
};

/// The names under which issuers state scopes. The first one that is there counts; some state two of them, alike.
const SCOPE_CLAIMS: [&str; 3] = ["scope", "scp", "scopes"];

/// Checks the claims of a token that `key` has verified, or the issuer called `issuer_name` when it was asked, and makes them
/// a principal. They count until `expires_at`.
pub(super) fn check(
    claims: &Object,
    issuer_name: &str,
    expires_at: Timestamp,
    key: Option<KeyFingerprint>,
    expected: &Expectations,
    now: Timestamp,
) -> Result<Principal, Reason> {
    check_audience(claims, expected)?;
    check_use(claims)?;
    let not_before = moment(claims, "nbf")?;
    let issued_at = moment(claims, "iat")?;
    check_times(expires_at, not_before, expected.clock_skew, now)?;
    check_times(expires_at, issued_at, expected.clock_skew, now)?;
    check_life(expires_at, issued_at.unwrap_or(now), expected.longest_life)?;
    let names = scope_names(claims, expected);
    let scopes = expected.catalogue.granted(names.iter().map(ScopeName::as_str));
    Ok(Principal {
        issuer: expected.issuer,
        issuer_name: IssuerName::parse(issuer_name).map_err(|_| Reason::Issuer)?,
        client: ClientId::parse(required(claims, &expected.claims.client)?).map_err(|_| Reason::Claims)?,
        customer: CustomerId::parse(required(claims, &expected.claims.customer)?).map_err(|_| Reason::Claims)?,
        scopes,
        scope_text: scope_text(&names)?,
        application: bound_application(claims, expected, scopes)?,
        token: text(claims.stated("jti"))?.map(TokenId::parse).transpose().map_err(|_| Reason::Claims)?,
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
    text(claims.stated("sub"))?.map(|_| ()).ok_or(Reason::Claims)
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

/// An audience that is stated counts, whoever states it.
fn check_audience(claims: &Object, expected: &Expectations) -> Result<(), Reason> {
    let (ours, unstated) = match &expected.audiences {
        Audiences::OneOf(ours) => (ours, Err(Reason::Audience)),
        Audiences::OneOfIfStated(ours) => (ours, Ok(())),
    };
    // Hydra states a list of none for a token without audience.
    let stated =
        expected.claims.audience.find(claims).filter(|stated| stated.as_array().is_none_or(|all| !all.is_empty()));
    let Some(stated) = stated else { return unstated };
    let is_ours = |audience: &Value| ours.iter().any(|ours| audience == ours);
    let meant = match stated {
        audience @ Value::String(_) => is_ours(audience),
        Value::Array(audiences) => audiences.iter().all(Value::is_string) && audiences.iter().any(is_ours),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    };
    if meant { Ok(()) } else { Err(Reason::Audience) }
}

/// Some issuers say what a token is for (Cognito: `access` or `id`; Hydra, when asked: `access_token` or `refresh_token`): one
/// that is for something else than access admits nobody.
fn check_use(claims: &Object) -> Result<(), Reason> {
    match claims.stated("token_use") {
        None => Ok(()),
        Some(Value::String(used)) if matches!(used.as_str(), "access" | "access_token") => Ok(()),
        Some(_) => Err(Reason::Claims),
    }
}

fn required<'c>(claims: &'c Object, path: &ClaimPath) -> Result<&'c str, Reason> {
    text(path.find(claims))?.ok_or(Reason::Claims)
}

/// A claim that is a string if it is there.
fn text(claim: Option<&Value>) -> Result<Option<&str>, Reason> {
    claim.map(|value| value.as_str().ok_or(Reason::Claims)).transpose()
}

/// A `NumericDate` that is there, or not; fractions of a second are cut off.
pub(super) fn moment(claims: &Object, name: &str) -> Result<Option<Timestamp>, Reason> {
    let Some(value) = claims.stated(name) else { return Ok(None) };
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
fn scope_names(claims: &Object, expected: &Expectations) -> Vec<ScopeName> {
    let claim = match &expected.claims.scope {
        Some(path) => path.find(claims),
        None => SCOPE_CLAIMS.iter().find_map(|name| claims.stated(name)),
    };
    let tokens: Vec<&str> = match claim {
        Some(Value::String(list)) => list.split(' ').collect(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let names = tokens.into_iter().filter_map(|token| ScopeName::parse(token).ok());
    names.filter(|name| may_state(expected, name)).collect()
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
    let application = || required(claims, &expected.claims.application);
    for claim in expected.catalogue.required_claims(scopes) {
        let value = match claim {
            RequiredClaim::ApplicationId => application()?,
            RequiredClaim::WorkflowId | RequiredClaim::RedirectUrl => {
                text(claims.stated(claim.name()))?.ok_or(Reason::Claims)?
            }
        };
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
    ApplicationId::parse(application()?).map(Some).map_err(|_| Reason::Claims)
}
