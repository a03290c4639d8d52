use super::{super::*, *};
use crate::domain::ScopeSet;

fn table(patterns: &[&str]) -> Result<RouteTable, Vec<RouteConflict>> {
    table_of(patterns, LetterCase::Insensitive)
}

/// Public routes, but for those whose pattern names something `prot`, of servers that read letters in this way.
fn table_of(patterns: &[&str], letter_case: LetterCase) -> Result<RouteTable, Vec<RouteConflict>> {
    let routes = patterns.iter().enumerate().map(|(place, text)| {
        let (method, path) = PathPattern::parse(text).unwrap();
        let route = Route {
            id: RouteId::new(place),
            name: (*text).into(),
            access: if text.contains("prot") { Access::AnyOf(ScopeSet::EMPTY) } else { Access::Public },
            enforcement: Enforcement::Enforce,
            application: ApplicationPlaces::default(),
            token: TokenForwarding::Remove,
            mint: None,
            stream: Stream::default(),
            cors: None,
            rate: None,
            upstream: UpstreamId::new(0),
            repetition: Repetition::ByMethod,
            encoded: EncodedDelimiters::Refused,
            letter_case,
        };
        (method, path, route)
    });
    RouteTable::new(routes.collect(), &["/v1/oauth2/token"])
}

fn find(table: &RouteTable, request: &str) -> String {
    let (method, path) = request.split_once(' ').unwrap();
    match table.find(&Method::from_bytes(method.as_bytes()).unwrap(), path) {
        Found::Route(route) => route.name.to_string(),
        Found::Alike(Twin::Route(route)) => format!("as {}", route.name),
        Found::Alike(Twin::Endpoint) => "as an endpoint".to_owned(),
        Found::OtherMethods(methods) => format!("405 {methods:?}"),
        Found::Nothing => "404".to_owned(),
    }
}

#[test]
fn exact_beats_pattern_and_longer_literal_beats_shorter() {
    let table = table(&[
        "POST /v1/applications.create",
        "POST /v1/applications.*",
        "POST /v1/app*",
        "POST /v1/{name}",
        "GET /v1/applications/{application_id}/**",
        "GET /v1/applications/{application_id}/files/{file}",
        "* /open/**",
        "GET /open/door",
    ])
    .unwrap();
    for (request, expected) in [
        ("POST /v1/applications.create", "POST /v1/applications.create"),
        ("POST /v1/applications.get", "POST /v1/applications.*"),
        ("POST /v1/applications.organization.get", "POST /v1/applications.*"),
        ("POST /v1/apple", "POST /v1/app*"),
        ("POST /v1/other", "POST /v1/{name}"),
        ("POST /v1/", "404"),
        ("POST /v1/applications.create/", "404"),
        ("POST /V1/applications.create", "404"),
        ("GET /v1/applications.create", "405 [POST]"),
        ("GET /v1/applications/a/x", "GET /v1/applications/{application_id}/**"),
        ("GET /v1/applications/a/", "GET /v1/applications/{application_id}/**"),
        ("GET /v1/applications/a", "404"),
        ("GET /v1/applications//x", "404"),
        ("GET /v1/applications/a/files/b", "GET /v1/applications/{application_id}/files/{file}"),
        ("GET /v1/applications/a/files/b/c", "GET /v1/applications/{application_id}/**"),
        ("HEAD /v1/applications/a/x", "GET /v1/applications/{application_id}/**"),
        ("DELETE /v1/applications/a/x", "405 [GET, HEAD]"),
        ("GET /open/door", "GET /open/door"),
        ("PUT /open/door", "* /open/**"),
        ("PUT /open", "404"),
        ("GET /", "404"),
    ] {
        assert_eq!(find(&table, request), expected, "{request}");
    }
}

#[test]
fn a_path_with_characters_of_several_bytes_is_looked_up_without_cutting_one() {
    let table = table(&["GET /ab*", "GET /a*"]).unwrap();
    assert_eq!(find(&table, "GET /a\u{e9}"), "GET /a*");
}

#[test]
fn another_spelling_of_a_more_specific_path_is_told() {
    let table = table(&[
        "POST /v1/things.create",
        "POST /v1/things.*",
        "* /v1/**",
        "GET /v1/prot",
        "GET /v1/Admin/**",
        "GET /v1/users/{id}",
        "GET /v1/users/me",
        "GET /v1/users/{id}/keys",
        "GET /v1/docs/",
        "GET /v1/Pre*",
        "GET /v1/stra+e",
        "GET /{any}/tail",
    ])
    .unwrap();
    for (request, expected) in [
        ("POST /v1/things.create", "POST /v1/things.create"),
        ("POST /v1/things.submit", "POST /v1/things.*"),
        ("POST /v1/things.Submit", "POST /v1/things.*"),
        ("POST /v1/things.CREATE", "as POST /v1/things.create"),
        ("POST /V1/things.create", "404"),
        ("POST /v1/things.create/", "as POST /v1/things.create"),
        ("POST /v1/THINGS.create", "as POST /v1/things.create"),
        ("POST /v1/things.create.", "as POST /v1/things.create"),
        ("POST /v1/things.create%20", "as POST /v1/things.create"),
        ("POST /v1/things.create+", "as POST /v1/things.create"),
        ("POST /v1/things.create%20./", "as POST /v1/things.create"),
        ("POST /v1/things.create/%20", "as POST /v1/things.create"),
        ("POST /v1/things.create::$DATA", "as POST /v1/things.create"),
        ("POST /v1/things.create:$I30:$INDEX_ALLOCATION", "as POST /v1/things.create"),
        ("POST /v1/things.cr%C3%A9ate", "as POST /v1/things.create"),
        ("POST /v1/things.cre%ef%bd%81te", "as POST /v1/things.create"),
        ("POST /v1/things.crea%E2%80%8Dte", "as POST /v1/things.create"),
        ("POST /v1/things.create/x", "* /v1/**"),
        ("post /v1/things.create", "as POST /v1/things.create"),
        ("Post /v1/THINGS.CREATE/", "as POST /v1/things.create"),
        ("GET /v1/things.CREATE", "* /v1/**"),
        ("GET /v1/PROT", "as GET /v1/prot"),
        ("HEAD /v1/PROT", "as GET /v1/prot"),
        ("PUT /v1/PROT", "* /v1/**"),
        ("GET /v1/prot/", "as GET /v1/prot"),
        ("GET /v1/Admin/x", "GET /v1/Admin/**"),
        ("GET /v1/ADMIN/x", "as GET /v1/Admin/**"),
        ("GET /v1/admin/x", "as GET /v1/Admin/**"),
        ("GET /v1/Admin", "as GET /v1/Admin/**"),
        ("GET /v1/admin", "as GET /v1/Admin/**"),
        ("GET /v1/administer", "* /v1/**"),
        ("GET /v1/users/Bob", "GET /v1/users/{id}"),
        ("GET /v1/users/me", "GET /v1/users/me"),
        ("GET /v1/users/ME", "as GET /v1/users/me"),
        ("GET /v1/users/Bob/", "as GET /v1/users/{id}"),
        ("GET /v1/users/Bob/KEYS", "as GET /v1/users/{id}/keys"),
        ("GET /v1/users/%20/KEYS", "as GET /v1/users/{id}/keys"),
        ("GET /v1/docs/", "GET /v1/docs/"),
        ("GET /v1/docs", "as GET /v1/docs/"),
        ("GET /v1/prefix", "as GET /v1/Pre*"),
        ("GET /v1/Prefix", "GET /v1/Pre*"),
        ("GET /v1/pre", "* /v1/**"),
        ("GET /v1/stra%20e", "as GET /v1/stra+e"),
        ("GET /v1/tail", "GET /{any}/tail"),
        ("GET /v1/TAIL", "as GET /{any}/tail"),
        ("GET /v1/OAUTH2/TOKEN", "as an endpoint"),
        ("PUT /v1/oauth2/token/", "as an endpoint"),
    ] {
        assert_eq!(find(&table, request), expected, "{request}");
    }
}

#[test]
fn where_servers_tell_letters_apart_only_other_spellings_are_told() {
    let table =
        table_of(&["GET /v1/things.create", "GET /v1/things.CREATE", "GET /v1/**"], LetterCase::Sensitive).unwrap();
    for (request, expected) in [
        ("GET /v1/things.create", "GET /v1/things.create"),
        ("GET /v1/things.CREATE", "GET /v1/things.CREATE"),
        ("GET /v1/things.Create", "GET /v1/**"),
        ("GET /v1/things.create/", "as GET /v1/things.create"),
        ("GET /v1/things.CREATE.", "as GET /v1/things.CREATE"),
        ("GET /v1/OAUTH2/token", "GET /v1/**"),
        ("GET /v1/oauth2/token/", "as an endpoint"),
    ] {
        assert_eq!(find(&table, request), expected, "{request}");
    }
}

#[test]
fn encoded_delimiters_end_a_path_for_servers_that_decode_first() {
    let table = table(&["GET /v1/prot", "GET /v1/{x}/prot", "GET /v1/**"]).unwrap();
    for (request, expected) in [
        ("GET /v1/PROT%3Fx", "as GET /v1/prot"),
        ("GET /v1/prot%23", "as GET /v1/prot"),
        ("GET /v1/prot/%3Fx", "as GET /v1/prot"),
        ("GET /v1/a%3Fb/PROT", "as GET /v1/{x}/prot"),
        ("GET /v1/100%25", "GET /v1/**"),
        ("GET /v1/who%3F", "GET /v1/**"),
    ] {
        assert_eq!(find(&table, request), expected, "{request}");
    }
}

#[test]
fn two_equal_matches_are_a_conflict() {
    let conflict = |first, second| RouteConflict {
        first: RouteId::new(first),
        second: RouteId::new(second),
        common: Common::Matches,
    };
    for (patterns, expected) in [
        (vec!["GET /a", "GET /a"], vec![conflict(0, 1)]),
        (vec!["GET /a", "* /a"], vec![conflict(0, 1)]),
        (vec!["GET /a", "HEAD /a"], vec![conflict(0, 1)]),
        (vec!["GET /a", "POST /a"], vec![]),
        (vec!["GET /{a}/b", "GET /{c}/b"], vec![conflict(0, 1)]),
        (vec!["GET /{a}/bc", "GET /ab/{c}"], vec![conflict(0, 1)]),
        (vec!["GET /a*", "GET /ab*"], vec![]),
        (vec!["GET /a/**", "GET /b/**"], vec![]),
    ] {
        assert_eq!(table(&patterns).err().unwrap_or_default(), expected, "{patterns:?}");
    }
}

#[test]
fn two_spellings_of_one_route_are_a_conflict() {
    let common = |patterns: &[&str], case| {
        table_of(patterns, case)
            .err()
            .map(|conflicts| conflicts.iter().map(|conflict| conflict.common).collect::<Vec<_>>())
    };
    for (patterns, expected, own_case) in [
        (["GET /a", "GET /A"], Some(Common::Folded), None),
        (["GET /a", "* /A"], Some(Common::Folded), None),
        (["GET /a", "POST /A"], None, None),
        (["GET /a", "GET /a."], Some(Common::Folded), Some(Common::Folded)),
        (["GET /a:b", "GET /a:$b"], None, None),
        (["GET /a/{x}", "GET /A/{y}"], Some(Common::Folded), None),
        (["GET /a/**", "GET /A/**"], Some(Common::Folded), None),
        (["GET /a/x*", "GET /a/X*"], Some(Common::Folded), None),
        (["GET /a/", "GET /a"], None, None),
        (["GET /prot/", "GET /prot"], None, None),
        (["GET /{a}/", "GET /{prot}"], Some(Common::FinalSlash), Some(Common::FinalSlash)),
        (["GET /a/{b}/", "GET /A/{b}"], Some(Common::Folded), None),
    ] {
        assert_eq!(common(&patterns, LetterCase::Insensitive), expected.map(|common| vec![common]), "{patterns:?}");
        assert_eq!(common(&patterns, LetterCase::Sensitive), own_case.map(|common| vec![common]), "{patterns:?}");
    }
}
