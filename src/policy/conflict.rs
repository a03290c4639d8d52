use std::collections::{BTreeSet, HashMap};

use super::{
    letters::LetterCase,
    likeness::{folded, rank},
    pattern::{MethodPattern, PathPattern},
    route::{Route, RouteId},
};

/// Two routes of which it cannot be said which one a request means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteConflict {
    /// The one that stands later in the file.
    pub second: RouteId,
    /// The one that stands first.
    pub first: RouteId,
    /// What they have in common.
    pub common: Common,
}

/// What two routes have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Common {
    /// Some requests match both equally well.
    Matches,
    /// They differ only by what many servers overlook: letter case, what ends a segment, a spelling.
    Folded,
    /// They differ only by a final slash, which many servers overlook, and ask different things of callers.
    FinalSlash,
}

type Entry = (MethodPattern, PathPattern, Route);

/// Every pair in conflict, in the order of the file.
pub(super) fn find(routes: &[Entry]) -> Vec<RouteConflict> {
    let plain: Vec<PathPattern> = routes.iter().map(|(_, pattern, _)| pattern.clone()).collect();
    let alike: Vec<PathPattern> = plain.iter().map(|pattern| folded(pattern, LetterCase::Insensitive)).collect();
    let mut found = BTreeSet::new();
    let mut told = BTreeSet::new();
    for (patterns, judge) in [(&plain, matches as Judge), (&alike, folds as Judge)] {
        for (first, second) in equals(patterns) {
            let (one, two) = (&routes[first], &routes[second]);
            if let Some(common) = judge(one, two)
                && told.insert((first, second))
            {
                found.insert(RouteConflict { first: one.2.id, second: two.2.id, common });
            }
        }
    }
    found.into_iter().collect()
}

type Judge = fn(&Entry, &Entry) -> Option<Common>;

/// Every pair of places whose patterns have the same precedence: only they can be equally good.
fn equals(patterns: &[PathPattern]) -> impl Iterator<Item = (usize, usize)> {
    let mut alike: HashMap<_, Vec<usize>> = HashMap::new();
    let mut exact: HashMap<&PathPattern, Vec<usize>> = HashMap::new();
    for (place, pattern) in patterns.iter().enumerate() {
        if pattern.is_exact() {
            exact.entry(pattern).or_default().push(place);
        } else {
            alike.entry(rank(pattern)).or_default().push(place);
        }
    }
    let groups: Vec<Vec<usize>> = alike.into_values().chain(exact.into_values()).collect();
    groups.into_iter().flat_map(|group| {
        let pairs = |(at, first): (usize, &usize)| -> Vec<(usize, usize)> {
            group[at + 1..].iter().map(|second| (*first, *second)).collect()
        };
        group.iter().enumerate().flat_map(pairs).collect::<Vec<_>>()
    })
}

fn matches((method, path, _): &Entry, (other_method, other_path, _): &Entry) -> Option<Common> {
    (method.overlaps(other_method) && path.overlaps(other_path)).then_some(Common::Matches)
}

fn folds((method, path, route): &Entry, (other_method, other_path, other): &Entry) -> Option<Common> {
    let case = match (route.letter_case, other.letter_case) {
        (LetterCase::Sensitive, LetterCase::Sensitive) => LetterCase::Sensitive,
        (LetterCase::Insensitive, _) | (_, LetterCase::Insensitive) => LetterCase::Insensitive,
    };
    if !method.overlaps(other_method) || !folded(path, case).overlaps(&folded(other_path, case)) {
        return None;
    }
    let bare = |path: &PathPattern| PathPattern { segments: path.without_final_slash().to_vec(), rest: path.rest };
    if !bare(path).overlaps(&bare(other_path)) {
        return Some(Common::Folded);
    }
    (!route.asks_the_same_as(other)).then_some(Common::FinalSlash)
}
