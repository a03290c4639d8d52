//! Other issuers, and what their tokens must say.

use std::{sync::Arc, time::Duration};

use super::{
    Surroundings,
    bounds::within,
    issuers,
    keys::{Remote, WrittenSource, check_source, one_source},
    scopes::Scopes,
};
use crate::{
    config::{
        Issuer, TrustedIssuer,
        cursor::{At, Written},
        problem::{Place, Problems, show},
        raw,
        suggest::unknown,
    },
    domain::{IssuerId, ScopeSet},
    token::{Audiences, ClaimNames, ClaimPath, ClaimPathError, Expectations, IssuerNames, JwsAlgorithm, KeyKind},
};

/// What entries refer to.
pub(super) struct Context<'a> {
    pub(super) own: &'a Issuer,
    pub(super) scopes: &'a Scopes,
    pub(super) surroundings: &'a Surroundings<'a>,
}

pub(super) fn check(
    entries: Written<Vec<At<raw::Trust>>>,
    context: &Context,
    problems: &mut Problems,
) -> Vec<TrustedIssuer> {
    let entries = entries.given().map(|at| at.value).unwrap_or_default();
    if let Some(beyond) = entries.get(MOST_ENTRIES) {
        problems.push(beyond.place, format!("`trust` may have {MOST_ENTRIES} entries"));
    }
    let names: Vec<_> = entries.iter().map(|entry| issuers::check(&entry.value, problems)).collect();
    issuers::refuse_overlaps(&entries, &names, context.own, problems);
    let numbered = (0..).zip(entries.into_iter().zip(names));
    numbered
        .filter_map(|(place, (entry, names))| check_one(IssuerId::trusted(place), names, entry, context, problems))
        .collect()
}

fn check_one(
    id: IssuerId,
    names: Option<IssuerNames>,
    entry: At<raw::Trust>,
    context: &Context,
    problems: &mut Problems,
) -> Option<TrustedIssuer> {
    let At { place, value } = entry;
    let raw::Trust {
        issuer,
        tenants: _,
        key_set,
        discovery,
        pem,
        secret,
        introspection,
        algorithms,
        audience,
        scopes,
        claims,
        clock_skew,
        max_lifetime,
        ca,
        proxy,
        insecure_http,
        refresh,
        stale,
    } = value;
    let claims = claims.or_empty();
    if let (Written::Is(at), true) = (&claims.audience, audience.is_absent()) {
        problems
            .push(at.place, "beside `claims.audience` the entry needs `audience`: the values that are accepted there");
    }
    let source = one_source(place, key_set, discovery, pem, secret, introspection, problems);
    let asked = matches!(source, Some(WrittenSource::Introspection(_)));
    let algorithms = check_algorithms(place, algorithms, source.as_ref(), problems);
    let rules = Expectations {
        issuer: id,
        audiences: audiences(audience, asked, context.own, problems),
        clock_skew: skew(clock_skew, context.own, problems),
        longest_life: Some(longest_life(max_lifetime, problems)),
        catalogue: Arc::clone(&context.scopes.catalogue),
        ceiling: ceiling(scopes, context.scopes, problems),
        claims: claim_names(claims, problems),
    };
    let remote = Remote { ca, proxy, insecure_http, refresh, stale };
    let keys = check_source(source?, issuer.as_ref(), &algorithms, remote, context, problems);
    Some(TrustedIssuer { names: names?, rules, keys: keys? })
}

/// HMAC needs a secret, and whoever has a public key must not be able to use it as one (RFC 8725 section 2.1).
fn check_algorithms(
    place: Place,
    written: Written<Vec<At<String>>>,
    source: Option<&WrittenSource>,
    problems: &mut Problems,
) -> Vec<JwsAlgorithm> {
    let asked = matches!(source, Some(WrittenSource::Introspection(_)));
    let listed = match written {
        Written::Is(At { place, .. }) if asked => {
            problems.push(place, "`algorithms` has no meaning beside `introspection`: nothing is verified here");
            return Vec::new();
        }
        Written::Is(At { value, .. }) => value,
        Written::Absent if !asked && source.is_some() => {
            problems.push(place, "missing key `algorithms`");
            return Vec::new();
        }
        Written::Absent | Written::Broken => return Vec::new(),
    };
    let secret = matches!(source, Some(WrittenSource::Secret(_)));
    let mut known: Vec<JwsAlgorithm> = Vec::with_capacity(listed.len());
    for At { place, value } in listed {
        let Some(algorithm) = JwsAlgorithm::from_name(&value) else {
            problems.push(place, unknown("algorithm", &value, JwsAlgorithm::ALL.map(JwsAlgorithm::name)));
            continue;
        };
        match (secret, algorithm.key_kind() == KeyKind::Shared) {
            (true, false) => problems.push(place, format!("{algorithm} works with public keys, not with a `secret`")),
            (false, true) => problems.push(place, format!("{algorithm} works with a `secret`, not with public keys")),
            (true, true) | (false, false) if known.contains(&algorithm) => {
                problems.push(place, format!("{algorithm} is listed twice"));
            }
            (true, true) | (false, false) => known.push(algorithm),
        }
    }
    known
}

fn audiences(written: Written<Vec<At<String>>>, asked: bool, own: &Issuer, problems: &mut Problems) -> Audiences {
    let Some(At { value, .. }) = written.given() else {
        let ours = vec![own.audience.clone()];
        return if asked { Audiences::OneOfIfStated(ours) } else { Audiences::OneOf(ours) };
    };
    for At { place, value } in value.iter().filter(|at| at.value.is_empty()) {
        problems.push(*place, format!("{} is no audience", show(value)));
    }
    Audiences::OneOf(value.into_iter().map(|at| at.value).collect())
}

fn skew(written: Written<Duration>, own: &Issuer, problems: &mut Problems) -> u64 {
    let range = Duration::ZERO..=Duration::from_secs(300);
    within(written, own.clock_skew, range, "`clock_skew` must be 0s to 300s", problems).as_secs()
}

fn longest_life(written: Written<Duration>, problems: &mut Problems) -> u64 {
    let range = Duration::from_secs(1)..=DAY * 30;
    within(written, DAY, range, "`max_lifetime` must be 1s to 30d", problems).as_secs()
}

fn ceiling(written: Written<Vec<At<String>>>, scopes: &Scopes, problems: &mut Problems) -> Option<ScopeSet> {
    let At { value: names, .. } = written.given()?;
    for name in &names {
        scopes.refuse_unknown(name, problems);
    }
    Some(scopes.catalogue.granted(names.iter().map(|name| name.value.as_str())))
}

fn claim_names(raw: raw::Claims, problems: &mut Problems) -> ClaimNames {
    let raw::Claims { audience, customer, client, scope, application_id } = raw;
    let default = ClaimNames::default();
    ClaimNames {
        audience: claim(audience, problems).unwrap_or(default.audience),
        customer: claim(customer, problems).unwrap_or(default.customer),
        client: claim(client, problems).unwrap_or(default.client),
        scope: claim(scope, problems).or(default.scope),
        application: claim(application_id, problems).unwrap_or(default.application),
    }
}

fn claim(written: Written<String>, problems: &mut Problems) -> Option<ClaimPath> {
    let At { place, value } = written.given()?;
    let told = |error: ClaimPathError| match error {
        ClaimPathError::Text => error.to_string(),
        ClaimPathError::Pointer | ClaimPathError::Path(..) => format!("{} {error}", show(&value)),
    };
    ClaimPath::parse(&value).map_err(|error| problems.push(place, told(error))).ok()
}

pub(super) const DAY: Duration = Duration::from_secs(86_400);
/// Each is looked through for every token seen for the first time.
const MOST_ENTRIES: usize = 64;
