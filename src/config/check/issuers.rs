//! Which issuers the entries of `trust` are for.

use crate::{
    config::{
        Issuer,
        cursor::{At, Written},
        problem::{Place, Problems, show},
        raw,
    },
    token::{IssuerNames, TenantPattern},
};

/// The names of one entry's issuer. An `iss` is any text (RFC 7519 section 4.1.1); white space in it is a slip of the pen.
pub(super) fn check(entry: &raw::Trust, problems: &mut Problems) -> Option<IssuerNames> {
    let At { place, value } = entry.issuer.as_ref()?;
    let names = IssuerNames::parse(value).map_err(|error| problems.push(*place, format!("`issuer` {error}"))).ok()?;
    let tenants = match &entry.tenants {
        Written::Is(At { place, .. }) if !names.is_template() => {
            problems.push(*place, "`tenants` needs an `issuer` with `{tenant}` in it");
            return None;
        }
        Written::Is(At { value, .. }) => value.iter().filter_map(|at| tenant(at, problems)).collect(),
        Written::Absent if names.is_template() => {
            problems.push(*place, "an `issuer` with `{tenant}` needs `tenants`: their names, or patterns with one `*`");
            return None;
        }
        Written::Absent | Written::Broken => Vec::new(),
    };
    refuse_single_sources(entry, &names, problems);
    Some(names.with_tenants(tenants))
}

fn tenant(written: &At<String>, problems: &mut Problems) -> Option<TenantPattern> {
    let pattern = TenantPattern::parse(&written.value);
    if pattern.is_none() {
        let message = "is no tenant: letters, digits and `-._~`, with at most one `*`";
        problems.push(written.place, format!("{} {message}", show(&written.value)));
    }
    pattern
}

/// What is had from one issuer's own metadata, or by its word, is not that of its tenants.
fn refuse_single_sources(entry: &raw::Trust, names: &IssuerNames, problems: &mut Problems) {
    if !names.is_template() {
        return;
    }
    if let Written::Is(At { place, value: true }) = entry.discovery {
        problems.push(place, "each tenant has metadata of its own; name the keys of all with `key_set`");
    }
    if let Written::Is(At { place, .. }) = entry.introspection {
        problems
            .push(place, "an answer says of no tenant that the token is its; an `issuer` with `{tenant}` needs keys");
    }
}

/// A token is tried against the one entry that its `iss` names, and one that names none against the one that is asked.
pub(super) fn refuse_overlaps(
    entries: &[At<raw::Trust>],
    names: &[Option<IssuerNames>],
    own: &Issuer,
    problems: &mut Problems,
) {
    let written: Vec<(Place, &IssuerNames)> = entries
        .iter()
        .zip(names)
        .filter_map(|(entry, names)| Some((entry.value.issuer.as_ref()?.place, names.as_ref()?)))
        .collect();
    for (at, (place, names)) in written.iter().enumerate() {
        if names.include(&own.url) {
            problems.push(*place, "this is our own issuer, whose tokens are accepted anyway");
        }
        let Some((first, other)) = written[..at].iter().find(|(_, other)| other.overlap(names)) else { continue };
        let message = if other.is_template() || names.is_template() {
            format!("a token could be meant for this entry and for the one in line {}", first.line)
        } else {
            format!("this issuer has an entry in line {} already", first.line)
        };
        problems.push(*place, message);
    }
    let asked = entries.iter().filter_map(|entry| match &entry.value.introspection {
        Written::Is(at) => Some(at.place),
        Written::Absent | Written::Broken => None,
    });
    let asked: Vec<Place> = asked.collect();
    for second in asked.iter().skip(1) {
        let message = format!("only one entry can be asked about tokens that name nobody; line {} is", asked[0].line);
        problems.push(*second, message);
    }
}
