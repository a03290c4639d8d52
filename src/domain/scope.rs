use std::fmt;

use super::principal::RequiredClaim;

/// Why a text is not a scope name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a scope name (RFC 6749 section 3.3: visible ASCII without space, quote and backslash)")]
pub struct ScopeNameError;

/// The built-in scope of a session token.
pub const APPLICATION_SESSION: &str = "application.session";

/// One scope token of RFC 6749 section 3.3.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeName(Box<str>);

impl ScopeName {
    /// Checks `text`; the only way in.
    pub fn parse(text: &str) -> Result<Self, ScopeNameError> {
        let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if text.is_empty() || text.len() > 128 || !text.bytes().all(allowed) {
            return Err(ScopeNameError);
        }
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ScopeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A set of scopes of one [`Catalogue`], one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ScopeSet(u64);

impl ScopeSet {
    /// No scope.
    pub const EMPTY: Self = Self(0);

    /// Whether the two sets share a scope.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The scopes in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The scopes in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The scopes in this set and not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether every scope of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    const fn bit(place: usize) -> Self {
        Self(1 << place)
    }
}

/// What a scope is tied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Grants wherever the route accepts it.
    Unbound,
    /// Grants only on the application that the token's `application_id` names.
    Application,
}

/// One scope as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeDefinition {
    /// Its name.
    pub name: ScopeName,
    /// Scopes it grants besides itself.
    pub implies: Vec<ScopeName>,
    /// Claims that a token with this scope must carry.
    pub required_claims: Vec<RequiredClaim>,
    /// Whether it is tied to one application.
    pub binding: Binding,
}

/// Why declared scopes do not make a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// Two scopes of one name, or a built-in one declared again.
    #[error("scope `{0}` is defined twice")]
    Repeated(ScopeName),
    /// `implies` names a scope that nobody defines.
    #[error("scope `{scope}` implies `{implied}`, which is not defined")]
    UnknownImplied {
        /// The scope with the bad reference.
        scope: ScopeName,
        /// The name it refers to.
        implied: ScopeName,
    },
    /// A bound scope that implies an unbound one would grant it on every application.
    #[error("scope `{scope}` is bound to an application and implies `{implied}`, which is not")]
    BoundImpliesUnbound {
        /// The bound scope.
        scope: ScopeName,
        /// The unbound one.
        implied: ScopeName,
    },
    /// A bound scope needs the claim it is bound to.
    #[error("scope `{0}` is bound to application_id and must require that claim")]
    BoundWithoutClaim(ScopeName),
    /// More scopes than a [`ScopeSet`] has bits.
    #[error("more than 64 scopes")]
    TooMany,
}

/// Every scope the gateway knows: three built in, more by configuration, at most 64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalogue {
    scopes: Vec<ScopeDefinition>,
    /// Beside each scope: itself and all it implies, directly or not.
    granted: Vec<ScopeSet>,
    bound: ScopeSet,
}

impl Catalogue {
    /// The built-in scopes and `declared` ones.
    pub fn new(declared: Vec<ScopeDefinition>) -> Result<Self, CatalogueError> {
        let mut scopes = built_in();
        scopes.extend(declared);
        if scopes.len() > 64 {
            return Err(CatalogueError::TooMany);
        }
        for (place, scope) in scopes.iter().enumerate() {
            check_definition(&scopes, place, scope)?;
        }
        let granted = closure(&scopes);
        let bits = scopes.iter().enumerate();
        let bound = bits
            .filter(|(_, scope)| scope.binding == Binding::Application)
            .fold(ScopeSet::EMPTY, |set, (place, _)| set.union(ScopeSet::bit(place)));
        for (place, scope) in scopes.iter().enumerate() {
            let beyond = granted[place].without(bound);
            if scope.binding == Binding::Application && !beyond.is_empty() {
                let implied = first_name(&scopes, beyond);
                return Err(CatalogueError::BoundImpliesUnbound { scope: scope.name.clone(), implied });
            }
        }
        Ok(Self { scopes, granted, bound })
    }

    /// The scope of this name alone, without what it implies.
    pub fn find(&self, name: &str) -> Option<ScopeSet> {
        self.place(name).map(ScopeSet::bit)
    }

    /// All that a token with these names may do: each known name and what it implies. Unknown names grant nothing.
    pub fn granted<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> ScopeSet {
        let places = names.into_iter().filter_map(|name| self.place(name));
        places.fold(ScopeSet::EMPTY, |set, place| set.union(self.granted[place]))
    }

    /// The scopes that are tied to one application.
    pub const fn bound(&self) -> ScopeSet {
        self.bound
    }

    /// The claims that a token with the scopes of `set` must carry.
    pub fn required_claims(&self, set: ScopeSet) -> impl Iterator<Item = RequiredClaim> + '_ {
        self.members(set).flat_map(|scope| scope.required_claims.iter().copied())
    }

    /// The names of the scopes in `set`, in catalogue order.
    pub fn names(&self, set: ScopeSet) -> impl Iterator<Item = &ScopeName> + '_ {
        self.members(set).map(|scope| &scope.name)
    }

    /// Every scope, in catalogue order.
    pub fn scopes(&self) -> &[ScopeDefinition] {
        &self.scopes
    }

    fn members(&self, set: ScopeSet) -> impl Iterator<Item = &ScopeDefinition> + '_ {
        let places = self.scopes.iter().enumerate();
        places.filter(move |(place, _)| set.intersects(ScopeSet::bit(*place))).map(|(_, scope)| scope)
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.scopes.iter().position(|scope| scope.name.as_str() == name)
    }
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::new(Vec::new()).expect("the built-in scopes are consistent")
    }
}

fn built_in() -> Vec<ScopeDefinition> {
    let name = |text| ScopeName::parse(text).expect("a literal scope name");
    let unbound = |text, implies| ScopeDefinition {
        name: name(text),
        implies,
        required_claims: Vec::new(),
        binding: Binding::Unbound,
    };
    vec![
        unbound("application", vec![name("application.read")]),
        unbound("application.read", Vec::new()),
        ScopeDefinition {
            name: name(APPLICATION_SESSION),
            implies: Vec::new(),
            required_claims: vec![RequiredClaim::ApplicationId, RequiredClaim::WorkflowId, RequiredClaim::RedirectUrl],
            binding: Binding::Application,
        },
    ]
}

fn check_definition(scopes: &[ScopeDefinition], place: usize, scope: &ScopeDefinition) -> Result<(), CatalogueError> {
    if scopes[..place].iter().any(|earlier| earlier.name == scope.name) {
        return Err(CatalogueError::Repeated(scope.name.clone()));
    }
    let unknown = scope.implies.iter().find(|implied| scopes.iter().all(|other| other.name != **implied));
    if let Some(implied) = unknown {
        return Err(CatalogueError::UnknownImplied { scope: scope.name.clone(), implied: implied.clone() });
    }
    let bound = scope.binding == Binding::Application;
    if bound && !scope.required_claims.contains(&RequiredClaim::ApplicationId) {
        return Err(CatalogueError::BoundWithoutClaim(scope.name.clone()));
    }
    Ok(())
}

/// Follows `implies` until nothing is added; 64 rounds suffice, since each adds at least one scope somewhere.
fn closure(scopes: &[ScopeDefinition]) -> Vec<ScopeSet> {
    let place = |name: &ScopeName| scopes.iter().position(|scope| scope.name == *name);
    let mut granted: Vec<ScopeSet> = (0..scopes.len()).map(ScopeSet::bit).collect();
    for _ in 0..scopes.len() {
        for (at, scope) in scopes.iter().enumerate() {
            let implied = scope.implies.iter().filter_map(place);
            granted[at] = implied.fold(granted[at], |set, other| set.union(granted[other]));
        }
    }
    granted
}

fn first_name(scopes: &[ScopeDefinition], set: ScopeSet) -> ScopeName {
    let mut places = scopes.iter().enumerate();
    let first = places.find(|(place, _)| set.intersects(ScopeSet::bit(*place)));
    first.expect("the set is not empty").1.name.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(name: &str, implies: &[&str], binding: Binding) -> ScopeDefinition {
        let required_claims = match binding {
            Binding::Unbound => Vec::new(),
            Binding::Application => vec![RequiredClaim::ApplicationId],
        };
        let implies = implies.iter().map(|name| ScopeName::parse(name).unwrap()).collect();
        ScopeDefinition { name: ScopeName::parse(name).unwrap(), implies, required_claims, binding }
    }

    #[test]
    fn application_implies_application_read_and_not_the_other_way_round() {
        let catalogue = Catalogue::default();
        let read = catalogue.find("application.read").unwrap();
        assert!(catalogue.granted(["application"]).contains(read));
        assert!(!catalogue.granted(["application.read"]).contains(catalogue.find("application").unwrap()));
    }

    #[test]
    fn unknown_misspelt_and_joined_names_grant_nothing() {
        let catalogue = Catalogue::default();
        for name in ["", "Application", "application.", "applicationx", "application,application.read", "app"] {
            assert!(catalogue.granted([name]).is_empty(), "{name}");
        }
    }

    #[test]
    fn implication_is_followed_through_several_scopes() {
        let catalogue = Catalogue::new(vec![
            declared("a", &["b"], Binding::Unbound),
            declared("b", &["c"], Binding::Unbound),
            declared("c", &[], Binding::Unbound),
        ]);
        let catalogue = catalogue.unwrap();
        assert_eq!(
            catalogue.names(catalogue.granted(["a"])).map(ScopeName::as_str).collect::<Vec<_>>(),
            ["a", "b", "c"]
        );
    }

    #[test]
    fn definitions_that_contradict_each_other_are_refused() {
        let name = |text| ScopeName::parse(text).unwrap();
        for (scopes, expected) in [
            (vec![declared("application", &[], Binding::Unbound)], CatalogueError::Repeated(name("application"))),
            (
                vec![declared("a", &["b"], Binding::Unbound)],
                CatalogueError::UnknownImplied { scope: name("a"), implied: name("b") },
            ),
            (
                vec![declared("a", &["application.read"], Binding::Application)],
                CatalogueError::BoundImpliesUnbound { scope: name("a"), implied: name("application.read") },
            ),
        ] {
            assert_eq!(Catalogue::new(scopes), Err(expected));
        }
        let many = (0..62).map(|n| declared(&format!("s{n}"), &[], Binding::Unbound)).collect();
        assert_eq!(Catalogue::new(many), Err(CatalogueError::TooMany));
    }
}
