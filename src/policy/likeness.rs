//! Deny by likeness: where only a pattern means a path, some server may mean a more specific route by it, which asks more
//! of callers. `/v1/things.CREATE` passes by `/v1/things.*` and reaches `/v1/things.create`. So the path is folded as the
//! most eager of servers would, and looked up among the folded routes.

use std::{borrow::Cow, sync::Arc};

use http::Method;

use super::{
    letters::{LetterCase, bare, fold},
    path::percent_decode,
    pattern::{MethodPattern, PathPattern, Rest, Segment},
    route::{Route, Twin},
    tree::{Comparison, Tree},
};

/// Every route and endpoint as a server may spell it that folds.
#[derive(Debug, Default)]
pub(super) struct Likenesses {
    any_case: Tree<Likeness>,
    /// For routes to servers that tell letters from their other case; empty if there are none.
    own_case: Tree<Likeness>,
    /// Whether the literals of all routes are as folding leaves them.
    literals: Literals,
    /// The precedence of the most specific route whose pattern ends in `/**`: servers may find it without the last slash.
    best_rest: Option<Rank>,
}

#[derive(Debug)]
struct Likeness {
    method: MethodPattern,
    rank: Rank,
    /// `None`: one of the gateway's own endpoints.
    route: Option<Arc<Route>>,
}

/// Precedence: exact beats pattern, the longer literal beats the shorter one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Rank {
    exactness: Exactness,
    literal_length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Exactness {
    Pattern,
    Exact,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Literals {
    #[default]
    Plain,
    Folded,
}

/// When a path that a pattern means is looked up among the likenesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scrutiny {
    /// Never: no other route can mean it.
    Never,
    /// When folding changes it: as it is, the look-up that found the pattern has seen every route.
    WhenFolded,
    /// Always.
    Always,
}

impl Likenesses {
    pub(super) fn new(routes: &[(MethodPattern, PathPattern, Arc<Route>)], endpoints: &[&str]) -> Self {
        let mut all = Self::default();
        let own_case = routes.iter().any(|(_, _, route)| route.letter_case == LetterCase::Sensitive);
        for (method, pattern, route) in routes {
            let alike = folded(pattern, LetterCase::Insensitive);
            if alike != *pattern {
                all.literals = Literals::Folded;
            }
            if alike.rest == Rest::Any {
                all.best_rest = all.best_rest.max(Some(rank(&alike)));
            }
            all.add(&alike, method, Some(route), LetterCase::Insensitive);
            if own_case {
                all.add(&folded(pattern, LetterCase::Sensitive), method, Some(route), LetterCase::Sensitive);
            }
        }
        for path in endpoints {
            let pattern = PathPattern::literal(path);
            all.add(&pattern, &MethodPattern::Any, None, LetterCase::Insensitive);
            all.add(&pattern, &MethodPattern::Any, None, LetterCase::Sensitive);
        }
        all
    }

    fn add(&mut self, pattern: &PathPattern, method: &MethodPattern, route: Option<&Arc<Route>>, case: LetterCase) {
        let likeness = Likeness { method: method.clone(), rank: rank(pattern), route: route.cloned() };
        match case {
            LetterCase::Insensitive => self.any_case.insert(pattern, likeness),
            LetterCase::Sensitive => self.own_case.insert(pattern, likeness),
        }
    }

    fn tree(&self, case: LetterCase) -> &Tree<Likeness> {
        match case {
            LetterCase::Insensitive => &self.any_case,
            LetterCase::Sensitive => &self.own_case,
        }
    }

    /// The precedence of a route's pattern among the likenesses, and when its paths are looked up there.
    pub(super) fn standing(&self, pattern: &PathPattern, case: LetterCase) -> (Rank, Scrutiny) {
        let pattern = folded(pattern, case);
        let rank = rank(&pattern);
        let scrutiny = if self.tree(case).is_alone(&pattern) {
            Scrutiny::Never
        } else if self.literals == Literals::Folded || self.best_rest > Some(rank) {
            Scrutiny::Always
        } else {
            Scrutiny::WhenFolded
        };
        (rank, scrutiny)
    }

    /// What a server may take `path` for, if that is more specific than the pattern of precedence `found` which means it.
    pub(super) fn more_specific(
        &self,
        found: Rank,
        scrutiny: Scrutiny,
        case: LetterCase,
        method: &Method,
        path: &str,
    ) -> Option<Twin<'_>> {
        let method = upper_case(method);
        let spelling = match (scrutiny, is_plain(path)) {
            (Scrutiny::Never, _) => return None,
            (Scrutiny::WhenFolded, true) if matches!(method, Cow::Borrowed(_)) => return None,
            (Scrutiny::WhenFolded | Scrutiny::Always, true) => Cow::Borrowed(&path[1..]),
            (Scrutiny::WhenFolded | Scrutiny::Always, false) => Cow::Owned(fold_path(path, case)),
        };
        let mut best: Option<&Likeness> = None;
        for reading in readings(&spelling) {
            self.tree(case).visit(reading, Comparison::Alike, &mut |likeness| {
                let better = likeness.rank > best.map_or(found, |best| best.rank);
                if better && likeness.method.matches(&method) {
                    best = Some(likeness);
                }
            });
        }
        best.map(|likeness| likeness.route.as_ref().map_or(Twin::Endpoint, Twin::Route))
    }
}

/// What a folded path may be to a server, each without its first slash; `None` is the root.
fn readings(path: &str) -> impl Iterator<Item = Option<&str>> {
    let without_end = without_blank_end(path);
    let whole = (without_end != Some(path)).then_some(Some(path));
    // Whoever decodes before looking for the query finds it here.
    let cut = path.find(['?', '#']).map(|end| without_blank_end(&path[..end]));
    [Some(without_end), whole, cut].into_iter().flatten()
}

/// Without a final slash, and without a last segment that is nothing to servers which trim it.
fn without_blank_end(path: &str) -> Option<&str> {
    match path.rsplit_once('/') {
        Some((before, last)) if bare(last).is_empty() => Some(before),
        None if bare(path).is_empty() => None,
        Some(_) | None => Some(path),
    }
}

/// `path` without its first slash, decoded and folded.
fn fold_path(path: &str, case: LetterCase) -> String {
    let decoded = percent_decode(path).expect("a request target decodes");
    let mut spelling = String::with_capacity(path.len());
    fold(&decoded[1..], case, &mut spelling);
    spelling
}

/// Whether folding leaves a path as it is.
fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    let folds = |byte: &u8| byte.is_ascii_uppercase() || matches!(byte, b'%' | b'+' | b'$');
    let ends = |at: usize| matches!(bytes.get(at + 1), None | Some(b'/'));
    !bytes.iter().any(folds) && !bytes.ends_with(b"/") && !memchr::memchr_iter(b'.', bytes).any(ends)
}

/// The method as frameworks read it that take `post` for `POST`.
fn upper_case(method: &Method) -> Cow<'_, Method> {
    let text = method.as_str();
    if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Cow::Borrowed(method);
    }
    Method::from_bytes(text.to_ascii_uppercase().as_bytes()).map_or(Cow::Borrowed(method), Cow::Owned)
}

pub(super) fn rank(pattern: &PathPattern) -> Rank {
    let exactness = if pattern.is_exact() { Exactness::Exact } else { Exactness::Pattern };
    Rank { exactness, literal_length: pattern.literal_length() }
}

impl PathPattern {
    /// Whether only one path is meant, and that is `path` to some server. `path` begins with `/` and is as folding leaves it.
    pub fn is_alike(&self, path: &str) -> bool {
        folded(self, LetterCase::Insensitive) == Self::literal(path)
    }
}

/// A pattern as the most eager of servers would have it.
pub(super) fn folded(pattern: &PathPattern, case: LetterCase) -> PathPattern {
    let fold = |text: &str| {
        let mut folded = String::with_capacity(text.len());
        fold(text, case, &mut folded);
        folded
    };
    let segment = |segment: &Segment| match segment {
        Segment::Literal(text) => Segment::Literal(bare(&fold(text)).into()),
        Segment::Prefix(text) => Segment::Prefix(fold(text).into()),
        Segment::Name(name) => Segment::Name(name.clone()),
    };
    let segments = pattern.without_final_slash().iter().map(segment).collect();
    PathPattern { segments, rest: pattern.rest }
}
