use std::sync::Arc;

use http::Method;

use super::{
    conflict::{self, RouteConflict},
    likeness::{Likenesses, Rank, Scrutiny},
    pattern::{MethodPattern, PathPattern, Segment},
    route::{Route, Twin},
    tree::{Comparison, Map, Tree},
};

/// What a look-up found.
#[derive(Debug)]
pub enum Found<'a> {
    /// The route to judge by.
    Route(&'a Arc<Route>),
    /// A pattern means this path, and so may a server mean something more specific by it: no route is to be judged by.
    Alike(Twin<'a>),
    /// Routes for this path, none for this method. Holds the methods for `Allow`; empty means any.
    OtherMethods(Vec<Method>),
    /// No route for this path.
    Nothing,
}

/// Every route, compiled: exact paths in one hash map, patterns in a tree of segments.
///
/// The time of a look-up does not grow with the number of routes. Exact beats pattern, a longer literal beats a shorter one.
/// What only a pattern means is looked up once more, folded, so that no other spelling of a path passes by its route.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<Arc<Route>>,
    exact: Map<Vec<Choice>>,
    patterns: Tree<Choice>,
    likenesses: Likenesses,
}

#[derive(Clone, Debug)]
struct Choice {
    method: MethodPattern,
    literal_length: usize,
    route: Arc<Route>,
    /// Its precedence among folded routes.
    rank: Rank,
    scrutiny: Scrutiny,
}

impl RouteTable {
    /// Compiles `routes`, which stand in the order of their [`RouteId`]s; `endpoints` are the gateway's own paths. Fails
    /// with every pair that is equally good for some request, or for a spelling of it.
    pub fn new(
        routes: Vec<(MethodPattern, PathPattern, Route)>,
        endpoints: &[&str],
    ) -> Result<Self, Vec<RouteConflict>> {
        let conflicts = conflict::find(&routes);
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        let routes: Vec<_> =
            routes.into_iter().map(|(method, pattern, route)| (method, pattern, Arc::new(route))).collect();
        let mut table = Self { likenesses: Likenesses::new(&routes, endpoints), ..Self::default() };
        for (method, pattern, route) in routes {
            table.routes.push(Arc::clone(&route));
            let (rank, scrutiny) = table.likenesses.standing(&pattern, route.letter_case);
            let choice = Choice { method, literal_length: pattern.literal_length(), route, rank, scrutiny };
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
        self.patterns.visit(Some(&path[1..]), Comparison::Exact, &mut |choice| {
            let better = best.is_none_or(|best: &Choice| choice.literal_length > best.literal_length);
            if better && choice.method.matches(method) {
                best = Some(choice);
            }
        });
        let Some(Choice { route, rank, scrutiny, .. }) = best else { return self.other_methods(exact, path) };
        match self.likenesses.more_specific(*rank, *scrutiny, route.letter_case, method, path) {
            Some(twin) => Found::Alike(twin),
            None => Found::Route(route),
        }
    }

    /// What is known of a path for which no route takes the method.
    fn other_methods(&self, exact: &[Choice], path: &str) -> Found<'_> {
        let mut others = MethodsSeen::of(exact);
        self.patterns.visit(Some(&path[1..]), Comparison::Exact, &mut |choice| others.add(choice));
        others.found()
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

#[cfg(test)]
mod tests;
