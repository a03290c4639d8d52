use super::*;

fn table(patterns: &[&str]) -> Result<RouteTable, Vec<RouteConflict>> {
    let routes = patterns.iter().enumerate().map(|(place, text)| {
        let (method, path) = PathPattern::parse(text).unwrap();
        let route = Route {
            id: RouteId::new(place),
            name: (*text).into(),
            access: Access::Public,
            enforcement: Enforcement::Enforce,
            application: ApplicationPlaces::default(),
            token: TokenForwarding::Remove,
            mint: None,
            stream: Stream::default(),
            cors: None,
            rate: None,
            upstream: UpstreamId::new(0),
            repetition: Repetition::ByMethod,
        };
        (method, path, route)
    });
    RouteTable::new(routes.collect())
}

fn find(table: &RouteTable, request: &str) -> String {
    let (method, path) = request.split_once(' ').unwrap();
    match table.find(&Method::from_bytes(method.as_bytes()).unwrap(), path) {
        Found::Route(route) => route.name.to_string(),
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
fn two_equal_matches_are_a_conflict() {
    let conflict = |first, second| RouteConflict { first: RouteId::new(first), second: RouteId::new(second) };
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
