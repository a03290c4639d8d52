use std::collections::BTreeSet;

use http::{Method, uri::PathAndQuery};
use scopegate::policy::{
    Access, ApplicationPlaces, EncodedDelimiters, Enforcement, Found, LetterCase, MethodPattern, PathPattern,
    Repetition, RequestTarget, Route, RouteId, RouteTable, TokenForwarding, Twin, UpstreamId,
};
use url::Url;

use super::decode;

const METHODS: [Method; 4] = [Method::GET, Method::HEAD, Method::POST, Method::PUT];

/// A target that passes reads the same decoded, decoded again, normalised, and by two other parsers; and the route found
/// for it is the one that comparing it with every pattern gives, and that it gives to servers which fold. The first line
/// is the target, each other one a pattern.
pub fn path_and_route(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let target = lines.next().unwrap_or_default();
    let Ok(parsed) = RequestTarget::parse(target) else { return };
    assert_one_reading(target, parsed);
    let patterns: Vec<&str> = lines.filter_map(|line| std::str::from_utf8(line).ok()).take(MOST_PATTERNS).collect();
    assert_best_route(&patterns, parsed.path());
}

fn assert_one_reading(target: &[u8], parsed: RequestTarget<'_>) {
    let (path, query) = (parsed.path(), parsed.query());
    assert_eq!([path, query.map_or("", |_| "?"), query.unwrap_or_default()].concat().as_bytes(), target);
    let decoded = decode::percent(path.as_bytes());
    assert_eq!(decode::percent(&decoded), decoded, "it is encoded twice");
    let decoded = String::from_utf8(decoded).expect("a decoded path is UTF-8");
    assert_eq!(normalised(&decoded), decoded);
    assert_eq!(decoded.matches('/').count(), path.matches('/').count());
    assert!(!decoded.contains(|letter: char| letter.is_ascii_control()));
    for (place, segment) in decoded[1..].split('/').enumerate() {
        assert_eq!(parsed.segment(place).as_deref(), Some(segment));
    }
    let browser = Url::parse(&format!("http://host{path}?{}", query.unwrap_or_default())).expect("a URL");
    assert_eq!((browser.host_str(), browser.path(), browser.fragment()), (Some("host"), path, None));
    let unusual = target.iter().any(|byte| b"\\^`{|}".contains(byte));
    match PathAndQuery::try_from(target) {
        Ok(library) => assert_eq!((library.path(), library.query()), (path, query)),
        Err(_) => assert!(unusual, "the library refuses an ordinary target"),
    }
}

/// The path as the most eager of normalisers would have it: `\` is `/`, parameters go, slashes merge, dots are followed.
fn normalised(path: &str) -> String {
    let path = path.replace('\\', "/");
    let (_, rest) = path.split_once('/').expect("a path begins with a slash");
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = rest.split('/').collect();
    for (at, segment) in segments.iter().enumerate() {
        match segment.split(';').next().unwrap_or_default() {
            "." => {}
            ".." => drop(kept.pop()),
            "" if at + 1 < segments.len() => {}
            plain => kept.push(plain),
        }
    }
    format!("/{}", kept.join("/"))
}

fn assert_best_route(patterns: &[&str], path: &str) {
    let routes = |patterns: &[&str]| RouteTable::new(patterns.iter().enumerate().filter_map(route).collect(), &[]);
    let Ok(table) = routes(patterns) else { return };
    let backwards: Vec<&str> = patterns.iter().rev().copied().collect();
    let turned = routes(&backwards).expect("a conflict does not depend on the order");
    let meant: Vec<&str> = patterns.iter().copied().filter(|pattern| means(pattern, path)).collect();
    for method in METHODS {
        assert_no_likeness(patterns, path, &method, &table.find(&method, path));
        let found = name(table.find(&method, path));
        if found.starts_with("alike ") {
            continue;
        }
        assert_eq!(found, name(turned.find(&method, path)), "the order of the file counts");
        let mut taking: Vec<&str> = meant.iter().copied().filter(|pattern| takes(pattern, &method)).collect();
        taking.sort_by_key(|pattern| std::cmp::Reverse(rank(pattern)));
        match taking[..] {
            [] if meant.is_empty() => assert_eq!(found, "nothing"),
            [] => assert_eq!(found, format!("others {:?}", methods(&meant))),
            [best] => assert_eq!(found, best),
            [best, second, ..] => {
                assert!(rank(best) > rank(second), "{best} and {second} are equally good");
                assert_eq!(found, best);
            }
        }
    }
}

fn route((place, text): (usize, &&str)) -> Option<(MethodPattern, PathPattern, Route)> {
    let (method, path) = PathPattern::parse(text).ok()?;
    let route = Route {
        id: RouteId::new(place),
        name: (*text).into(),
        access: Access::Public,
        enforcement: Enforcement::Enforce,
        application: ApplicationPlaces::default(),
        token: TokenForwarding::Remove,
        mint: None,
        stream: scopegate::policy::Stream::default(),
        cors: None,
        rate: None,
        repetition: Repetition::ByMethod,
        encoded: EncodedDelimiters::Refused,
        letter_case: LetterCase::Insensitive,
        upstream: UpstreamId::new(0),
    };
    Some((method, path, route))
}

fn name(found: Found<'_>) -> String {
    match found {
        Found::Route(route) => route.name.to_string(),
        Found::Alike(Twin::Route(route)) => format!("alike {}", route.name),
        Found::Alike(Twin::Endpoint) => panic!("no endpoints were named"),
        Found::OtherMethods(methods) => {
            format!("others {:?}", methods.iter().map(ToString::to_string).collect::<BTreeSet<_>>())
        }
        Found::Nothing => "nothing".to_owned(),
    }
}

/// How some servers read a path, and the patterns of their own routes, from the strictest to the most lenient.
const READERS: [fn(&str) -> String; 5] = [
    |path| path.strip_suffix('/').unwrap_or(path).to_owned(),
    |path| path.to_ascii_lowercase(),
    |path| path.strip_suffix('/').unwrap_or(path).to_lowercase(),
    |path| path.to_uppercase(),
    |path| path.split('/').map(|name| name.trim_end_matches(['.', ' '])).collect::<Vec<_>>().join("/").to_lowercase(),
];

/// What only a pattern means is not, to any of the readers, a path of a route that comes before it; and what is refused
/// for that reason could have been admitted otherwise.
fn assert_no_likeness(patterns: &[&str], path: &str, method: &Method, found: &Found<'_>) {
    let sound =
        patterns.iter().copied().filter(|pattern| takes(pattern, method) && PathPattern::parse(pattern).is_ok());
    let meant = sound.clone().filter(|pattern| means(pattern, path)).map(rank).max();
    match found {
        Found::Route(route) => {
            let decoded = String::from_utf8(decode::percent(path.as_bytes())).expect("a decoded path is UTF-8");
            let own = rank(&route.name);
            for (at, read) in READERS.iter().enumerate().filter(|_| !own.0) {
                let stricter = sound.clone().find(|pattern| {
                    let (before, pattern_path) = (rank(pattern) > own, pattern.split_once(' ').expect("a pattern").1);
                    // A literal that a reader shortens has another precedence there.
                    before && same_length(pattern_path, *read) && means_path(&read(pattern_path), &read(&decoded))
                });
                assert_eq!(stricter, None, "reader {at} takes it for that one, not for {}", route.name);
            }
        }
        Found::Alike(Twin::Route(route)) => assert!(meant.is_some_and(|meant| !meant.0) && takes(&route.name, method)),
        Found::Alike(Twin::Endpoint) | Found::OtherMethods(_) | Found::Nothing => {}
    }
}

fn same_length(pattern: &str, read: fn(&str) -> String) -> bool {
    read(pattern).len() == pattern.len()
}

/// Whether a pattern means a path, segment by segment, as the manual says it.
fn means(pattern: &str, path: &str) -> bool {
    PathPattern::parse(pattern).is_ok() && pattern.split_once(' ').is_some_and(|(_, pattern)| means_path(pattern, path))
}

fn means_path(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    let (pattern, lengths_agree) = match pattern.split_last() {
        Some((&"**", before)) => (before, path.len() > before.len()),
        _ => (&pattern[..], path.len() == pattern.len()),
    };
    lengths_agree
        && pattern.iter().zip(path).all(|(wanted, segment)| match wanted.strip_suffix('*') {
            Some(prefix) => segment.len() > prefix.len() && segment.starts_with(prefix),
            None if wanted.starts_with('{') => !segment.is_empty(),
            None => *wanted == segment,
        })
}

fn takes(pattern: &str, method: &Method) -> bool {
    let own = pattern.split(' ').next().unwrap_or_default();
    own == "*" || own == method.as_str() || (own == "GET" && *method == Method::HEAD)
}

/// Exact beats pattern, then the longer literal wins.
fn rank(pattern: &str) -> (bool, usize) {
    let exact = segments(pattern).all(|segment| !segment.contains(['*', '{']));
    let literal = |segment: &str| if segment.starts_with('{') { 1 } else { 1 + segment.trim_end_matches('*').len() };
    (exact, segments(pattern).filter(|segment| *segment != "**").map(literal).sum())
}

fn segments(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split_once(' ').map_or("", |(_, path)| path).split('/')
}

/// What `Allow` says of these patterns.
fn methods(patterns: &[&str]) -> BTreeSet<String> {
    let own = patterns.iter().map(|pattern| pattern.split(' ').next().unwrap_or_default().to_owned());
    let mut methods: BTreeSet<String> = own.collect();
    if methods.contains("GET") {
        methods.insert("HEAD".to_owned());
    }
    methods
}

/// More find nothing that these do not, and each pair is compared.
const MOST_PATTERNS: usize = 12;
