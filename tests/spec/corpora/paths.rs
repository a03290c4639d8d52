use super::{fill, judge, rows, text};
use crate::harness::{Gateway, Request};

const ROUTES: [&str; 4] = [
    "{match: GET /prot/secret, scope: application}",
    "{match: GET /pub, public: true}",
    "{match: \"GET /applications/{application_id}/**\", scope: application.session, application_id: {path: application_id, query: applicationId}}",
    QUERY,
];

/// The same with wildcards: what is open stands for any path below it, and what is not has an open neighbour.
const BESIDE: [&str; 4] = [
    "{match: GET /v1/prot/secret, scope: application}",
    "{match: \"GET /v1/pub/**\", public: true}",
    "{match: \"GET /v1/prot/{name}/open/**\", public: true}",
    APPLICATIONS,
];
const BELOW: [&str; 4] =
    ["{match: GET /v1/prot/secret, scope: application}", "{match: \"* /**\", public: true}", APPLICATIONS, QUERY];
/// Rows whose paths no server takes for the closed one: a wildcard over everything opens them.
const OTHERS: [&str; 8] =
    ["suffix-ext", "prefix-extra", "health-suffix", "unicode-nfd", "colon", "at", "tilde", "appid-path-anywhere"];
const QUERY: &str = "{match: GET /x, scope: application.session, application_id: {query: applicationId}}";
const APPLICATIONS: &str = "{match: \"GET /applications/{application_id}/**\", scope: application.session, application_id: {path: application_id, query: applicationId}}";

#[test]
fn every_row_of_paths_holds() {
    run(&ROUTES, "", "pub", &[]);
}

#[test]
fn every_row_of_paths_holds_beside_wildcards() {
    run(&BESIDE, "v1/", "v1/pub/x", &[]);
}

#[test]
fn every_row_of_paths_holds_below_a_wildcard() {
    run(&BELOW, "v1/", "v1/pub/x", &OTHERS);
}

/// What is judged on an exact route is judged alike where only a pattern matches.
#[test]
fn every_row_with_a_query_holds_where_a_pattern_matches() {
    let Some(rows) = rows("paths/targets.jsonl") else { return };
    let gateway = Gateway::start(|config| config.routes = [QUERY, BEHIND].map(ToOwned::to_owned).to_vec());
    let session = gateway.session();
    let queries: Vec<_> = rows.into_iter().filter(|row| text(row, "target").starts_with("/x?")).collect();
    assert!(queries.len() > 5, "{} rows with a query", queries.len());
    for path in ["/x", "/x/y", "/x/y/z"] {
        judge(&queries, |row| {
            let target = text(row, "target").replacen("/x", path, 1);
            let reply = gateway.send(&Request::get(&fill(&target, &[])).bearer(&session));
            let untouched = gateway.upstream().raw().is_empty();
            gateway.upstream().forget();
            let refused = untouched && matches!(reply.status, 400 | 403);
            if refused { Ok(()) } else { Err(format!("on {path} saw {}", reply.summary())) }
        });
        let ours = fill("{{PATH}}?applicationId={{APP}}", &[("PATH", path)]);
        gateway.send(&Request::get(&ours).bearer(&session)).assert_status(200);
        gateway.upstream().forget();
    }
}

const BEHIND: &str = "{match: \"GET /x/**\", scope: application.session, application_id: {query: applicationId}}";

fn run(routes: &[&str], prefix: &str, open: &str, opened: &[&str]) {
    let Some(rows) = rows("paths/targets.jsonl") else { return };
    let gateway = Gateway::start(|config| config.routes = routes.iter().map(ToString::to_string).collect());
    let session = gateway.session();
    let host = gateway.public.to_string();
    let closed = format!("{prefix}prot/secret");
    let (upper, half) = (closed.to_uppercase(), format!("{prefix}prot"));
    let encoded = format!("{prefix}%70rot/secret");
    let values = [
        ("PROT1", closed.as_str()),
        ("PROT_A", half.as_str()),
        ("PROT_B", "secret"),
        ("PROT1_UPPER", upper.as_str()),
        ("PROT1_PCT", encoded.as_str()),
        ("PUB1", open),
        ("HOST", host.as_str()),
    ];
    judge(&rows, |row| {
        let mut request = Request::get(&fill(text(row, "target"), &values));
        if text(row, "name").starts_with("appid-") {
            request = request.bearer(&session);
        }
        let reply = gateway.connect().try_exchange(&request).map_err(|broken| format!("saw {broken:?}"))?;
        let touched = !gateway.upstream().raw().is_empty();
        gateway.upstream().forget();
        if opened.contains(&text(row, "name")) {
            return if touched { Ok(()) } else { Err(format!("saw {}", reply.summary())) };
        }
        if touched || !matches!(reply.status, 400 | 401 | 403 | 404) {
            return Err(format!("saw {}", reply.summary()));
        }
        Ok(())
    });
    // The same routes do let through what they should.
    let ours = fill("/applications/{{APP}}/x?applicationId={{APP}}", &[]);
    gateway.send(&Request::get(&ours).bearer(&session)).assert_status(200);
    gateway.send(&Request::get(&format!("/{closed}")).bearer(&gateway.token("application"))).assert_status(200);
    gateway.send(&Request::get(&format!("/{open}"))).assert_status(200);
}
