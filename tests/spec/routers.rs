//! Section 4, steps 1 and 2, against the routers of real servers: of generated paths that the gateway admits by a public
//! wildcard, none of them takes one to a route that asks for a token.
//!
//! `SCOPEGATE_GENERATED` says how many requests are made (50,000 unless set), `SCOPEGATE_SEED` from which seed.

mod generate;
mod readers;

use std::{collections::BTreeMap, path::Path};

use http::Method;
use scopegate::{
    config,
    policy::{Access, Found, RequestTarget, RouteTable},
};

use self::{
    generate::{Generator, generated},
    readers::{Answers, Readers, Server, Taken},
};
use crate::harness::{Gateway, Request, http2::Http2Client};

const ROUTES: [&str; 13] = [
    "{match: GET /v1/prot, scope: application}",
    "{match: GET /v1/pub/prot, scope: application}",
    "{match: \"* /v1/pub/Admin/**\", scope: application}",
    "{match: \"* /v1/pub/**\", public: true}",
    "{match: POST /v1/things.create, scope: application}",
    "{match: \"POST /v1/things:delete\", scope: application}",
    "{match: POST /v1/things.*, public: true}",
    "{match: GET /v1/users/me, scope: application}",
    "{match: \"GET /v1/users/{id}/keys\", scope: application}",
    "{match: \"GET /v1/users/{id}\", public: true}",
    "{match: \"* /v1/**\", public: true, encoded: allowed}",
    "{match: GET /files/secret+plan, scope: application}",
    "{match: \"* /**\", public: true}",
];

/// A route that asks for a token.
pub struct Closed {
    name: String,
    method: String,
    path: String,
}

fn closed() -> Vec<Closed> {
    let texts = ROUTES.iter().filter(|route| route.contains("scope:"));
    let pattern = |route: &&str| route.replace('"', "").replace("{match: ", "").split(", ").next().unwrap().to_owned();
    texts
        .map(pattern)
        .map(|name| {
            let (method, path) = name.split_once(' ').unwrap();
            Closed { method: method.to_owned(), path: path.to_owned(), name: name.clone() }
        })
        .collect()
}

fn table() -> RouteTable {
    let routes: String = ROUTES.iter().map(|route| format!("  - {route}\n")).collect();
    let text = format!("upstreams: {{a: {{servers: ['127.0.0.1:9000']}}}}\nroutes:\n{routes}");
    config::parse(&text, Path::new("gateway.yaml")).unwrap().routes
}

/// What becomes of a request without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// A wildcard lets it in.
    Admitted,
    /// Some server may take it for another: 400.
    Refused,
    /// 401, 404, 405.
    Other,
}

fn judge(table: &RouteTable, (method, target): &(String, String)) -> Verdict {
    let Ok(target) = RequestTarget::parse(target.as_bytes()) else { return Verdict::Refused };
    match table.find(&Method::from_bytes(method.as_bytes()).unwrap(), target.path()) {
        Found::Route(route) if !route.takes(target.delimiters()) => Verdict::Refused,
        Found::Route(route) if route.access == Access::Public => Verdict::Admitted,
        Found::Alike(_) => Verdict::Refused,
        Found::Route(_) | Found::OtherMethods(_) | Found::Nothing => Verdict::Other,
    }
}

#[test]
fn the_routers_do_differ() {
    let Some(readers) = Readers::here() else { return };
    let closed = closed();
    let Some(nginx) = Server::nginx(&closed) else { return };
    let php = Server::php(&closed);
    let cases = [
        ("Express 4", "GET", "/v1/PROT/", "GET /v1/prot"),
        ("Express 4", "post", "/v1/things.create", "POST /v1/things.create"),
        ("Express 4 strict", "GET", "/v1/PROT", ""),
        ("Express 4 use", "PUT", "/v1/pub/ADMIN", "* /v1/pub/Admin/**"),
        ("Express 5", "GET", "/v1/users/a%20b/KEYS/", "GET /v1/users/{id}/keys"),
        ("Express 5 strict", "GET", "/v1/prot/", ""),
        ("wsgiref", "POST", "/v1/things%3Adelete", "POST /v1/things:delete"),
        ("wsgiref, folded", "GET", "/v1/pub%EF%BC%8Fp%E2%93%A1ot", "GET /v1/pub/prot"),
        ("Werkzeug, lenient", "GET", "/v1/prot/", "GET /v1/prot"),
        ("Werkzeug", "GET", "/v1/prot/", ""),
        ("decoded, then cut", "GET", "/v1/prot%3Fx", "GET /v1/prot"),
        ("Rack unescape", "GET", "/v1/pro%74", "GET /v1/prot"),
        ("Rack URLMap", "GET", "/v1//prot", "GET /v1/prot"),
        ("Sinatra", "GET", "/v1/Prot/", "GET /v1/prot"),
        ("rawurldecode", "get", "/v1/pub%2Fprot", "GET /v1/pub/prot"),
        ("trimmed", "GET", "/v1/prot%20", "GET /v1/prot"),
        ("nginx", "GET", "/V1//pub/x/../%70rot", "GET /v1/pub/prot"),
        ("PHP's server", "GET", "/v1/%70rot/", "GET /v1/prot"),
    ];
    let requests: Vec<_> =
        cases.iter().map(|(_, method, target, _)| ((*method).to_owned(), (*target).to_owned())).collect();
    let mut answers = readers.ask(&closed, &requests);
    answers.insert("nginx".to_owned(), nginx.ask(&requests));
    answers.insert("PHP's server".to_owned(), php.ask(&requests));
    for (at, (who, method, target, expected)) in cases.into_iter().enumerate() {
        let taken = answers[who][at].clone().unwrap_or_default().join(" ");
        assert_eq!(taken, expected, "{who}: {method} {target}");
    }
}

#[test]
fn no_router_takes_an_admitted_request_to_a_stricter_route() {
    let Some(readers) = Readers::here() else { return };
    let closed = closed();
    let (table, mut generator) = (table(), Generator::new());
    let requests: Vec<_> = (0..generated()).map(|_| generator.request()).collect();
    let of = |verdict| requests.iter().filter(|request| judge(&table, request) == verdict).cloned().collect::<Vec<_>>();
    let (admitted, refused) = (of(Verdict::Admitted), of(Verdict::Refused));
    println!("{generator}: {} admitted, {} refused of {}", admitted.len(), refused.len(), requests.len());
    assert!(admitted.len() > requests.len() / 50 && refused.len() > requests.len() / 5, "{generator}");
    let mut answers = readers.ask(&closed, &admitted);
    for (name, model) in models() {
        answers.insert(name.to_owned(), admitted.iter().map(|request| Some(taken(&closed, request, model))).collect());
    }
    if let Some(nginx) = Server::nginx(&closed) {
        answers.insert("nginx".to_owned(), nginx.ask(&admitted));
    }
    // It takes one connection for each.
    let some = &admitted[..admitted.len().min(2_000)];
    answers.insert("PHP's server".to_owned(), Server::php(&closed).ask(some));
    assert_none_is_taken(&answers, &closed, &admitted, &generator);
    // What was refused was refused for something: these routers would have run a closed route.
    let misread = readers.ask(&closed, &refused[..refused.len().min(5_000)]);
    let count =
        |taken: &[Taken]| taken.iter().filter(|taken| taken.as_ref().is_some_and(|names| !names.is_empty())).count();
    for (router, taken) in &misread {
        println!("{router}: {} of the refused", count(taken));
    }
    assert!(count(&misread["Express 4"]) > 0 && count(&misread["wsgiref"]) > 0, "{generator}");
}

fn assert_none_is_taken(answers: &Answers, closed: &[Closed], requests: &[(String, String)], generator: &Generator) {
    for (router, answers) in answers {
        for (taken, (method, target)) in answers.iter().zip(requests) {
            // Servers do not look at the method; frameworks do, in any case.
            let takes = |name: &&String| {
                let route =
                    closed.iter().find(|route| route.name == **name).unwrap_or_else(|| panic!("{router}: {name}"));
                let method = method.to_uppercase();
                route.method == "*" || route.method == method || (route.method == "GET" && method == "HEAD")
            };
            let wrong = taken.iter().flatten().find(takes);
            assert_eq!(wrong, None, "{router} takes {method} {target} there\n{generator}");
        }
    }
}

#[test]
fn the_gateway_judges_generated_paths_as_tested_here() {
    let gateway = Gateway::start(|config| {
        config.routes = ROUTES.map(ToOwned::to_owned).to_vec();
        config.plain("h2c: true");
    });
    let (table, mut generator) = (table(), Generator::new());
    let client = Http2Client::open(gateway.public);
    let mut seen = BTreeMap::new();
    for _ in 0..400 {
        let request = generator.request();
        let verdict = judge(&table, &request);
        let (method, target) = &request;
        *seen.entry(format!("{verdict:?}")).or_insert(0) += 1;
        gateway.upstream().forget();
        let reply = gateway.send(&Request::new(method, target));
        assert_status(reply.status, verdict, &format!("{method} {target}\n{generator}"));
        if verdict == Verdict::Admitted {
            assert_eq!(gateway.upstream().request().target, *target, "{generator}");
        }
        // What this client's library does not send as it is, other tests do.
        let sent = http::uri::PathAndQuery::try_from(target.as_str()).is_ok_and(|sent| sent.as_str() == target);
        if sent {
            gateway.upstream().forget();
            let reply = client.send(Http2Client::request(method, target, &[]), None).expect("a whole reply");
            assert_status(reply.status, verdict, &format!("HTTP/2 {method} {target}\n{generator}"));
            if verdict == Verdict::Admitted {
                assert_eq!(gateway.upstream().request().target, *target, "{generator}");
            }
        }
    }
    assert!(seen.len() == 3 && seen["Admitted"] > 40, "{seen:?} {generator}");
}

fn assert_status(status: u16, verdict: Verdict, what: &str) {
    match verdict {
        Verdict::Admitted => assert_eq!(status, 200, "{what}"),
        Verdict::Refused => assert_eq!(status, 400, "{what}"),
        Verdict::Other => assert!(matches!(status, 401 | 404 | 405), "{status}: {what}"),
    }
}

/// How a server that is not at hand reads the decoded path, and its own literals.
type Model = fn(&str) -> String;

/// As their documentation, or their source, has them.
fn models() -> [(&'static str, Model); 6] {
    [
        ("ASP.NET", |path| ordinal(path.strip_suffix('/').unwrap_or(path))),
        ("IIS", |path| {
            let names = path
                .split('/')
                .map(|name| name.split(":$").next().unwrap_or_default().trim_end_matches(['.', ' ', ':']));
            ordinal(&names.filter(|name| !name.is_empty()).map(|name| format!("/{name}")).collect::<String>())
        }),
        ("equalsIgnoreCase", |path| path.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()),
        ("toLowerCase", |path| path.to_lowercase()),
        ("merged slashes", |path| {
            path.split('/').filter(|name| !name.is_empty()).map(|name| format!("/{name}")).collect()
        }),
        ("trimmed names", |path| path.split('/').map(str::trim).collect::<Vec<_>>().join("/")),
    ]
}

/// `OrdinalIgnoreCase`: the upper case of each character where that is one.
fn ordinal(text: &str) -> String {
    let upper = |letter: char| {
        let mut upper = letter.to_uppercase();
        if upper.len() == 1 { upper.next().unwrap_or(letter) } else { letter }
    };
    text.chars().map(upper).collect()
}

fn taken(closed: &[Closed], (method, target): &(String, String), model: Model) -> Vec<String> {
    let path = target.split('?').next().unwrap_or_default();
    let decoded = percent_decoded(path);
    let method = method.to_uppercase();
    let means = |route: &&Closed| {
        let takes = route.method == "*" || route.method == method || (route.method == "GET" && method == "HEAD");
        takes && is_meant(&model(&route.path), &model(&decoded))
    };
    closed.iter().filter(means).map(|route| route.name.clone()).collect()
}

fn percent_decoded(path: &str) -> String {
    let query = format!("p={}", path.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(query.as_bytes()).next().map_or_else(String::new, |(_, value)| value.into_owned())
}

fn is_meant(pattern: &str, path: &str) -> bool {
    let (wanted, given): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    let (wanted, fits) = match wanted.split_last() {
        Some((&"**", before)) => (before, given.len() > before.len()),
        _ => (&wanted[..], given.len() == wanted.len()),
    };
    fits && wanted
        .iter()
        .zip(given)
        .all(|(name, text)| if name.starts_with('{') { !text.is_empty() } else { *name == text })
}
