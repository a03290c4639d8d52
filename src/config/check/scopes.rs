use std::sync::Arc;

use crate::{
    config::{
        cursor::{At, Written},
        problem::{Place, Problems, show},
        raw,
        suggest::unknown,
    },
    domain::{Binding, Catalogue, CatalogueError, RequiredClaim, ScopeDefinition, ScopeName},
};

/// The scopes of a file.
pub(super) struct Scopes {
    pub(super) catalogue: Arc<Catalogue>,
    /// Every name that the file or we define, also where the definition is broken.
    pub(super) names: Vec<String>,
}

impl Scopes {
    /// Tells of a name that nobody defines.
    pub(super) fn refuse_unknown(&self, written: &At<String>, problems: &mut Problems) {
        if !self.names.contains(&written.value) {
            problems.push(written.place, unknown("scope", &written.value, self.names.iter().map(String::as_str)));
        }
    }
}

/// A definition and where its name stands.
type Declared = (Place, ScopeDefinition);

pub(super) fn check(scopes: Written<Vec<At<raw::Scope>>>, problems: &mut Problems) -> Scopes {
    let written = scopes.given().map(|at| at.value).unwrap_or_default();
    let built_in = Catalogue::default();
    let mut names: Vec<String> = built_in.scopes().iter().map(|scope| scope.name.to_string()).collect();
    for At { value: name, .. } in written.iter().filter_map(|at| at.value.name.as_ref()) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let mut scopes = Scopes { catalogue: Arc::new(built_in), names };
    let declared = written.into_iter().filter_map(|at| definition(at.value, &scopes, problems)).collect();
    scopes.catalogue = Arc::new(catalogue(declared, problems));
    scopes
}

fn definition(raw: raw::Scope, scopes: &Scopes, problems: &mut Problems) -> Option<Declared> {
    let raw::Scope { name, implies, required_claims, bound_to } = raw;
    let implies = implies.given().map(|at| at.value).unwrap_or_default();
    for implied in &implies {
        scopes.refuse_unknown(implied, problems);
    }
    let claims = required_claims.given().map(|at| at.value).unwrap_or_default();
    let required_claims = claims.iter().filter_map(|claim| required_claim(claim, problems)).collect();
    let binding = match bound_to.given() {
        None => Binding::Unbound,
        Some(At { value, .. }) if value == "application_id" => Binding::Application,
        Some(At { place, value }) => {
            problems.push(place, unknown("claim to bind to", &value, ["application_id"]));
            return None;
        }
    };
    let At { place, value } = name?;
    let name = scope_name(&value).map_err(|message| problems.push(place, message)).ok()?;
    // Unknown names have been told; the catalogue stops at the first.
    let implies = implies.iter().filter(|implied| scopes.names.contains(&implied.value));
    let implies = implies.filter_map(|implied| ScopeName::parse(&implied.value).ok()).collect();
    Some((place, ScopeDefinition { name, implies, required_claims, binding }))
}

fn scope_name(text: &str) -> Result<ScopeName, String> {
    ScopeName::parse(text).map_err(|error| format!("{} {error}", show(text)))
}

fn required_claim(written: &At<String>, problems: &mut Problems) -> Option<RequiredClaim> {
    let claim = RequiredClaim::ALL.into_iter().find(|claim| claim.name() == written.value);
    if claim.is_none() {
        let known = RequiredClaim::ALL.map(RequiredClaim::name);
        problems.push(written.place, unknown("claim", &written.value, known));
    }
    claim
}

/// Builds the catalogue, and again without the culprit for as long as there is one: so every culprit is told.
fn catalogue(mut declared: Vec<Declared>, problems: &mut Problems) -> Catalogue {
    let most = MOST_SCOPES - Catalogue::default().scopes().len();
    if let Some((place, _)) = declared.get(most) {
        problems.push(*place, CatalogueError::TooMany.to_string());
        declared.truncate(most);
    }
    loop {
        let definitions = declared.iter().map(|(_, definition)| definition.clone()).collect();
        let error = match Catalogue::new(definitions) {
            Ok(catalogue) => return catalogue,
            Err(error) => error,
        };
        let culprit = match &error {
            CatalogueError::Repeated(scope)
            | CatalogueError::BoundWithoutClaim(scope)
            | CatalogueError::BoundImpliesUnbound { scope, .. } => {
                declared.iter().rposition(|(_, definition)| definition.name == *scope)
            }
            // A definition that was left out above or in an earlier round, and told then.
            CatalogueError::UnknownImplied { implied, .. } => {
                for (_, definition) in &mut declared {
                    definition.implies.retain(|name| name != implied);
                }
                continue;
            }
            CatalogueError::TooMany => None,
        };
        let Some(culprit) = culprit else {
            return Catalogue::default();
        };
        let (place, _) = declared.remove(culprit);
        problems.push(place, error.to_string());
    }
}

/// As many as a [`crate::domain::ScopeSet`] has bits.
const MOST_SCOPES: usize = 64;
