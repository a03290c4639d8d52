//! The house rules that a machine can hold: arrows between modules point downwards, files and functions stay small, and
//! each framework is named only where it lives.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Every module and its floor. A module may use lower floors, and its neighbours where that makes no circle.
const FLOORS: [(&str, u8); 18] = [
    ("main", 6),
    ("cli", 6),
    ("app", 5),
    ("proxy", 4),
    ("admin", 4),
    ("upstream", 3),
    ("telemetry", 3),
    ("issuer", 2),
    ("cache", 2),
    ("trust", 2),
    ("config", 2),
    ("policy", 1),
    ("limit", 1),
    ("token", 1),
    ("tls", 1),
    ("store", 1),
    ("domain", 0),
    ("lib", 0),
];
const MOST_LINES: usize = 400;
const MOST_MEDIAN_LINES: usize = 150;
const MOST_FUNCTION_LINES: usize = 60;
const MOST_MEDIAN_FUNCTION_LINES: usize = 10;

/// One source file below `src/`.
struct Source {
    /// Relative to `src/`.
    path: String,
    /// Its lines.
    text: String,
}

impl Source {
    /// The module of the map that the file belongs to.
    fn module(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap_or_default()
    }

    /// Whether the file holds tests alone.
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// Everything before the tests, without comments.
    fn code(&self) -> String {
        let before_tests = self.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let without_comment = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
        // A `//` within a text cuts more than a comment; what stands behind it is no path to a module.
        before_tests.lines().map(without_comment).collect::<Vec<_>>().join("\n")
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    let source = |path: PathBuf| Source {
        path: path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(),
        text: fs::read_to_string(path).unwrap(),
    };
    paths.into_iter().map(source).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// The modules of this crate that `code` names by `crate::…` or, in `main.rs`, by `scopegate::…`.
fn used(code: &str) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for prefix in ["crate::", "scopegate::"] {
        for (at, _) in code.match_indices(prefix) {
            let part_of_a_longer_name = code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
            if !part_of_a_longer_name {
                heads(&code[at + prefix.len()..], &mut modules);
            }
        }
    }
    modules
}

/// The first names of a path or of a group of paths.
fn heads(path: &str, modules: &mut BTreeSet<String>) {
    let Some(group) = path.strip_prefix('{') else {
        modules.extend(name(path));
        return;
    };
    let (mut depth, mut start) = (0, 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                modules.extend(name(group[start..at].trim()));
                return;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                modules.extend(name(group[start..at].trim()));
                start = at + 1;
            }
            _ => {}
        }
    }
}

fn name(path: &str) -> Option<String> {
    let end = path.find(|next: char| !next.is_alphanumeric() && next != '_').unwrap_or(path.len());
    Some(path[..end].to_owned()).filter(|name| !name.is_empty())
}

fn floor(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(own, _)| *own == module).map(|(_, floor)| *floor)
}

/// Which module uses which others.
fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let known =
            used(&source.code()).into_iter().filter(|module| floor(module).is_some() && module != source.module());
        arrows.entry(source.module().to_owned()).or_default().extend(known);
    }
    arrows
}

/// The functions of a text as rustfmt lays them out: name and number of lines.
fn functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(place) = line.find("fn ").filter(|place| starts_a_function(&line[..*place])) else { continue };
        let Some(opening) = lines[at..].iter().position(|line| line.ends_with(['{', ';', '}'])) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        let length = match lines[at + opening].chars().last() {
            Some('{') => lines[at..].iter().position(|line| line.strip_prefix(indent) == Some("}")),
            Some('}') => Some(opening),
            _ => None, // declared in a trait, without a body
        };
        found.extend(length.map(|length| (name(&line[place + 3..]).unwrap_or_default(), length + 1)));
    }
    found
}

fn starts_a_function(before: &str) -> bool {
    let word = |word: &str| matches!(word, "async" | "const") || word.starts_with("pub");
    before.split_whitespace().all(word) || before.trim().starts_with("pub(")
}

fn median(mut numbers: Vec<usize>) -> usize {
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

/// The lines of code that contain one of `words`, in files that `allowed` does not excuse.
fn naming(words: &[&str], allowed: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| !allowed(&source.path)) {
        for (number, line) in source.code().lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("src/{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    found
}

#[test]
fn every_module_has_a_floor() {
    let modules: BTreeSet<String> = sources().iter().map(|source| source.module().to_owned()).collect();
    let homeless: Vec<&String> = modules.iter().filter(|module| floor(module).is_none()).collect();
    assert!(homeless.is_empty(), "no floor for {homeless:?}");
}

#[test]
fn arrows_point_downwards() {
    let upwards: Vec<String> = arrows()
        .iter()
        .flat_map(|(from, to)| to.iter().map(move |to| (from.clone(), to.clone())))
        .filter(|(from, to)| floor(from) < floor(to))
        .map(|(from, to)| format!("{from} -> {to}"))
        .collect();
    assert!(upwards.is_empty(), "{upwards:?}");
}

#[test]
fn neighbours_make_no_circle() {
    let arrows = arrows();
    let reach = |from: &String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(module) = open.pop() {
            let next = arrows.get(&module).into_iter().flatten().filter(|to| floor(to) == floor(&module));
            open.extend(next.filter(|to| seen.insert((*to).clone())).cloned());
        }
        seen
    };
    let circular: Vec<&String> = arrows.keys().filter(|module| reach(module).contains(*module)).collect();
    assert!(circular.is_empty(), "{circular:?} use each other: {arrows:#?}");
}

#[test]
fn files_stay_small() {
    let lengths: Vec<(String, usize)> =
        sources().iter().map(|source| (source.path.clone(), source.text.lines().count())).collect();
    let long: Vec<_> = lengths.iter().filter(|(_, length)| *length > MOST_LINES).collect();
    assert!(long.is_empty(), "over {MOST_LINES} lines: {long:?}");
    let code =
        sources().iter().filter(|source| !source.is_test()).map(|source| source.code().lines().count()).collect();
    let median = median(code);
    assert!(median <= MOST_MEDIAN_LINES, "the median file has {median} lines before its tests");
}

#[test]
fn functions_stay_small() {
    let mut lengths = Vec::new();
    let mut long = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (name, length) in functions(&source.code()) {
            lengths.push(length);
            if length > MOST_FUNCTION_LINES {
                long.push(format!("src/{} {name}: {length}", source.path));
            }
        }
    }
    assert!(lengths.len() > 100, "only {} functions were recognised", lengths.len());
    assert!(long.is_empty(), "over {MOST_FUNCTION_LINES} lines: {long:#?}");
    let median = median(lengths);
    assert!(median <= MOST_MEDIAN_FUNCTION_LINES, "the median function has {median} lines");
}

#[test]
fn pingora_is_named_only_where_it_lives() {
    let home = |path: &str| ["proxy", "upstream", "admin", "app"].iter().any(|home| path.starts_with(home));
    let found = naming(&["pingora"], home);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn sqlx_is_named_only_in_the_store() {
    let found = naming(&["sqlx"], |path| path.starts_with("store"));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn nothing_is_left_undone() {
    let found = naming(&["todo!", "unimplemented!", "dbg!"], |_| false);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn clocks_are_read_at_the_edge() {
    // `proxy` reads the wall clock for one thing: when a request arrived, with the fraction of a second that a log wants.
    let wall = naming(&["SystemTime::now"], |path| path == "domain/clock.rs" || path.starts_with("proxy"));
    assert!(wall.is_empty(), "decisions take a Timestamp: {wall:#?}");
    // `trust` fetches keys in the background, on a schedule.
    let edge = |path: &str| {
        let edges = ["proxy", "telemetry", "admin", "app", "upstream", "trust/key_source.rs"];
        edges.iter().any(|edge| path.starts_with(edge))
    };
    let durations = naming(&["Instant::now"], edge);
    assert!(durations.is_empty(), "{durations:#?}");
}

#[test]
fn the_rules_see_what_they_should() {
    let code =
        "use crate::{\n    domain::{Timestamp, Reason},\n    policy::Route,\n};\nfn f() { crate::token::x(); }\n";
    assert_eq!(used(code).into_iter().collect::<Vec<_>>(), ["domain", "policy", "token"]);
    let code = "fn one() -> u8 {\n    1\n}\n\npub async fn two(\n    a: u8,\n) -> u8 {\n    a\n}\ntrait T {\n    fn three(&self);\n}\nfn four() {}\n";
    let lengths: Vec<usize> = functions(code).into_iter().map(|(_, length)| length).collect();
    assert_eq!(lengths, [3, 5, 1]);
}
