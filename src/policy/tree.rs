use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::{
    letters::bare,
    pattern::{PathPattern, Rest, Segment},
};

/// The keys are the configuration's, so a caller cannot make them collide, and a fast hash serves.
pub(super) type Map<V> = HashMap<Box<str>, V, RandomState>;

/// Path patterns by their segments: the time of a look-up does not grow with their number.
#[derive(Debug)]
pub(super) struct Tree<T> {
    literals: Map<Tree<T>>,
    prefixes: Map<Tree<T>>,
    /// The lengths that keys of `prefixes` have.
    prefix_lengths: Vec<usize>,
    name: Option<Box<Tree<T>>>,
    here: Vec<T>,
    rest: Vec<T>,
    /// How many patterns end here and below.
    size: usize,
}

/// How a path's segments are compared with literals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// Byte by byte.
    Exact,
    /// As servers may that drop what ends a segment on Windows, and add or drop a final slash. Both sides are folded.
    Alike,
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self {
            literals: Map::default(),
            prefixes: Map::default(),
            prefix_lengths: Vec::new(),
            name: None,
            here: Vec::new(),
            rest: Vec::new(),
            size: 0,
        }
    }
}

impl<T> Tree<T> {
    pub(super) fn insert(&mut self, pattern: &PathPattern, value: T) {
        let mut node = self;
        node.size += 1;
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
            node.size += 1;
        }
        match pattern.rest {
            Rest::None => node.here.push(value),
            Rest::Any => node.rest.push(value),
        }
    }

    /// Calls `visit` with everything that means `path`, which stands without its first slash; `None` is its end.
    pub(super) fn visit<'a>(&'a self, path: Option<&str>, how: Comparison, visit: &mut impl FnMut(&'a T)) {
        if path.is_some() || how == Comparison::Alike {
            self.rest.iter().for_each(&mut *visit);
        }
        let Some(path) = path else { return self.here.iter().for_each(visit) };
        let (segment, below) = match memchr::memchr(b'/', path.as_bytes()) {
            Some(slash) => (&path[..slash], Some(&path[slash + 1..])),
            None => (path, None),
        };
        let name = if how == Comparison::Alike { bare(segment) } else { segment };
        if let Some(node) = self.literals.get(name) {
            node.visit(below, how, visit);
        }
        if segment.is_empty() {
            return;
        }
        // A length may end inside a character; no prefix of ours does.
        let lengths = self.prefix_lengths.iter().filter(|length| **length < segment.len());
        for prefix in lengths.filter_map(|length| segment.get(..*length)) {
            if let Some(node) = self.prefixes.get(prefix) {
                node.visit(below, how, visit);
            }
        }
        if let Some(node) = &self.name {
            node.visit(below, how, visit);
        }
    }

    /// Whether nothing but `pattern` itself, and what is less specific, can mean a path that `pattern` means. Looks at
    /// its leading literals only, so it may say no where yes is true.
    pub(super) fn is_alone(&self, pattern: &PathPattern) -> bool {
        let mut node = self;
        for segment in &pattern.segments {
            let Segment::Literal(text) = segment else { break };
            let overlaps = node.name.is_some() || node.prefixes.keys().any(|prefix| text.starts_with(&**prefix));
            match node.literals.get(text) {
                Some(below) if !overlaps => node = below,
                Some(_) | None => return false,
            }
        }
        node.size == 1
    }
}
