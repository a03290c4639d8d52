use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;
use http::{HeaderName, Method};

use super::{
    cors::Cors,
    json::JsonPointer,
    mint::Mint,
    pattern::{MethodPattern, PathPattern, Rest, Segment},
    stream::Stream,
};
use crate::{domain::ScopeSet, limit::Rate};

/// A route's place in the configuration file, counted from 0: the index of its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteId(usize);

impl RouteId {
    /// The route at `place`.
    pub const fn new(place: usize) -> Self {
        Self(place)
    }

    /// The place, counted from 0.
    pub const fn place(self) -> usize {
        self.0
    }
}

/// An upstream's place in the configuration, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamId(usize);

impl UpstreamId {
    /// The upstream at `place`.
    pub const fn new(place: usize) -> Self {
        Self(place)
    }

    /// The place, counted from 0.
    pub const fn place(self) -> usize {
        self.0
    }
}

/// What a route asks of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: no token is looked at.
    Public,
    /// A token with one of these scopes.
    AnyOf(ScopeSet),
}

/// What becomes of a request that would be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// It is refused.
    Enforce,
    /// It passes as an anonymous one; the refusal is counted and logged.
    Report,
}

/// Whether the upstream sees the bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenForwarding {
    /// `Authorization` is removed.
    Remove,
    /// `Authorization` is forwarded.
    Forward,
}

/// Whether a request may be sent once more after its connection broke, not knowing how far the server came with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repetition {
    /// If its method says so (RFC 9110 section 9.2.2).
    ByMethod,
    /// Always: the operator knows that twice does what once does.
    Harmless,
}

/// Where a request names its application. Every place that is present must agree with the token.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ApplicationPlaces {
    /// The path segment at this place, counted from 0.
    pub path: Option<usize>,
    /// This query parameter.
    pub query: Option<Box<str>>,
    /// This header.
    pub header: Option<HeaderName>,
    /// This member of the JSON body.
    pub body: Option<JsonPointer>,
}

/// One entry of `routes`.
#[derive(Debug)]
pub struct Route {
    /// Its place in the file.
    pub id: RouteId,
    /// Its name in metrics and logs.
    pub name: Arc<str>,
    /// What it asks of a caller.
    pub access: Access,
    /// Whether refusals are carried out.
    pub enforcement: Enforcement,
    /// Where requests name their application.
    pub application: ApplicationPlaces,
    /// Whether the token goes upstream.
    pub token: TokenForwarding,
    /// The session token that goes into replies, if any does.
    pub mint: Option<Mint>,
    /// How long its exchanges may last, and what they may become.
    pub stream: Stream,
    /// Which pages of other origins may use it; `None`: of that nothing is said.
    pub cors: Option<Arc<Cors>>,
    /// How often one caller may use it; `None`: as often as they like.
    pub rate: Option<Rate>,
    /// Who answers.
    pub upstream: UpstreamId,
    /// Whether requests may reach the upstream twice.
    pub repetition: Repetition,
}

impl Route {
    /// Whether its callers are known by their tokens.
    pub fn asks_for_a_token(&self) -> bool {
        self.access != Access::Public
    }
}

/// What a look-up found.
#[derive(Debug)]
pub enum Found<'a> {
    /// The route to judge by.
    Route(&'a Arc<Route>),
    /// Routes for this path, none for this method. Holds the methods for `Allow`; empty means any.
    OtherMethods(Vec<Method>),
    /// No route for this path.
    Nothing,
}

/// Two routes that mean one request equally well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteConflict {
    /// The one that stands first in the file.
    pub first: RouteId,
    /// The other.
    pub second: RouteId,
}

/// Every route, compiled: exact paths in one hash map, patterns in a tree of segments.
///
/// The time of a look-up does not grow with the number of routes. Exact beats pattern, a longer literal beats a shorter one.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<Arc<Route>>,
    exact: Map<Vec<Choice>>,
    patterns: Node,
}

/// The keys are the configuration's, so a caller cannot make them collide, and a fast hash serves.
type Map<V> = HashMap<Box<str>, V, RandomState>;

#[derive(Clone, Debug)]
struct Choice {
    method: MethodPattern,
    literal_length: usize,
    route: Arc<Route>,
}

#[derive(Debug, Default)]
struct Node {
    literals: Map<Node>,
    prefixes: Map<Node>,
    /// The lengths that keys of `prefixes` have.
    prefix_lengths: Vec<usize>,
    name: Option<Box<Node>>,
    here: Vec<Choice>,
    rest: Vec<Choice>,
}

impl RouteTable {
    /// Compiles `routes`, which stand in the order of their [`RouteId`]s. Fails with every pair that is equally good for some request.
    pub fn new(routes: Vec<(MethodPattern, PathPattern, Route)>) -> Result<Self, Vec<RouteConflict>> {
        let conflicts = conflicts(&routes);
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        let mut table = Self::default();
        for (method, pattern, route) in routes {
            let route = Arc::new(route);
            table.routes.push(Arc::clone(&route));
            let choice = Choice { method, literal_length: pattern.literal_length(), route };
            if pattern.is_exact() {
                table.exact.entry(exact_path(&pattern).into()).or_default().push(choice);
                continue;
            }
            table.patterns.insert(&pattern, choice);
        }
        Ok(table)
    }

    /// Every route, in the order of the file.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The route for `method` and `path`; `path` begins with `/` and has passed [`super::RequestTarget::parse`].
    pub fn find(&self, method: &Method, path: &str) -> Found<'_> {
        let exact = self.exact.get(path).map_or(&[][..], Vec::as_slice);
        if let Some(choice) = exact.iter().find(|choice| choice.method.matches(method)) {
            return Found::Route(&choice.route);
        }
        let mut best = None;
        self.patterns.visit(&path[1..], &mut |choice| {
            let better = best.is_none_or(|best: &Choice| choice.literal_length > best.literal_length);
            if better && choice.method.matches(method) {
                best = Some(choice);
            }
        });
        match best {
            Some(choice) => Found::Route(&choice.route),
            None => self.other_methods(exact, path),
        }
    }

    /// What is known of a path for which no route takes the method.
    fn other_methods(&self, exact: &[Choice], path: &str) -> Found<'_> {
        let mut others = MethodsSeen::of(exact);
        self.patterns.visit(&path[1..], &mut |choice| others.add(choice));
        others.found()
    }
}

impl Node {
    fn insert(&mut self, pattern: &PathPattern, choice: Choice) {
        let mut node = self;
        for segment in &pattern.segments {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Name(_) => node.name.get_or_insert_default(),
                Segment::Prefix(text) => {
                    if !node.prefix_lengths.contains(&text.len()) {
                        node.prefix_lengths.push(text.len());
                    }
                    node.prefixes.entry(text.clone()).or_default()
                }
            };
        }
        match pattern.rest {
            Rest::None => node.here.push(choice),
            Rest::Any => node.rest.push(choice),
        }
    }

    /// Calls `visit` with every choice that means `path`, which stands without its first slash.
    fn visit<'a>(&'a self, path: &str, visit: &mut impl FnMut(&'a Choice)) {
        self.rest.iter().for_each(&mut *visit);
        let (segment, below) = match memchr::memchr(b'/', path.as_bytes()) {
            Some(slash) => (&path[..slash], Some(&path[slash + 1..])),
            None => (path, None),
        };
        if let Some(node) = self.literals.get(segment) {
            node.step(below, visit);
        }
        if segment.is_empty() {
            return;
        }
        // A length may end inside a character; no prefix of ours does.
        let lengths = self.prefix_lengths.iter().filter(|length| **length < segment.len());
        for prefix in lengths.filter_map(|length| segment.get(..*length)) {
            if let Some(node) = self.prefixes.get(prefix) {
                node.step(below, visit);
            }
        }
        if let Some(node) = &self.name {
            node.step(below, visit);
        }
    }

    fn step<'a>(&'a self, below: Option<&str>, visit: &mut impl FnMut(&'a Choice)) {
        match below {
            Some(below) => self.visit(below, visit),
            None => self.here.iter().for_each(visit),
        }
    }
}

/// The methods a path is known for.
#[derive(Default)]
struct MethodsSeen {
    known: bool,
    methods: Vec<Method>,
}

impl MethodsSeen {
    fn of(choices: &[Choice]) -> Self {
        let mut seen = Self::default();
        for choice in choices {
            seen.add(choice);
        }
        seen
    }

    fn add(&mut self, choice: &Choice) {
        self.known = true;
        if let MethodPattern::One(method) = &choice.method
            && !self.methods.contains(method)
        {
            self.methods.push(method.clone());
        }
    }

    fn found<'a>(mut self) -> Found<'a> {
        if !self.known {
            return Found::Nothing;
        }
        if self.methods.contains(&Method::GET) && !self.methods.contains(&Method::HEAD) {
            self.methods.push(Method::HEAD);
        }
        Found::OtherMethods(self.methods)
    }
}

fn exact_path(pattern: &PathPattern) -> String {
    let literal = |segment: &Segment| match segment {
        Segment::Literal(text) => format!("/{text}"),
        Segment::Prefix(_) | Segment::Name(_) => unreachable!("an exact pattern has literal segments only"),
    };
    pattern.segments.iter().map(literal).collect()
}

fn conflicts(routes: &[(MethodPattern, PathPattern, Route)]) -> Vec<RouteConflict> {
    // Only patterns of one literal length can be equally good, so only they are compared pair by pair.
    let mut alike: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut exact: HashMap<&PathPattern, Vec<usize>> = HashMap::new();
    for (place, (_, pattern, _)) in routes.iter().enumerate() {
        if pattern.is_exact() {
            exact.entry(pattern).or_default().push(place);
            continue;
        }
        alike.entry(pattern.literal_length()).or_default().push(place);
    }
    let mut found = Vec::new();
    for group in alike.values().chain(exact.values()) {
        for (at, first) in group.iter().enumerate() {
            for second in &group[at + 1..] {
                let ((method, path, one), (other_method, other_path, two)) = (&routes[*first], &routes[*second]);
                if method.overlaps(other_method) && path.overlaps(other_path) {
                    found.push(RouteConflict { first: one.id, second: two.id });
                }
            }
        }
    }
    found.sort_by_key(|conflict| (conflict.second.place(), conflict.first.place()));
    found
}

#[cfg(test)]
mod tests;
