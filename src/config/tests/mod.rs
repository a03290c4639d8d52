mod application;
mod routes;
mod sections;
mod spellings;
mod upstreams;

use std::{io, net::SocketAddr};

use proptest::prelude::*;

use super::*;
use crate::policy::{
    Access, EncodedDelimiters, Enforcement, JsonPointer, LetterCase, Mint, MintSource, TokenForwarding,
};

const UPSTREAM: &str = "upstreams: {a: {servers: ['127.0.0.1:9000']}}";
const ROUTE: &str = "routes: [{match: GET /x, public: true}]";
const LEAST: &str = "upstreams: {a: {servers: ['127.0.0.1:9000']}}\nroutes: [{match: POST /v1/applications.create, scope: application}]\n";
const ROOT: &str = include_str!("../../../gateway.yaml");

/// A resolver of its own: these tests ask nobody.
fn resolve(server: &str) -> io::Result<Vec<SocketAddr>> {
    match server {
        "both.test:80" => Ok(vec![address("[::1]:80"), address("192.0.2.2:80"), address("192.0.2.1:80")]),
        "six.test:80" => Ok(vec![address("[::1]:80")]),
        "none.test:80" => Ok(Vec::new()),
        _ => Err(io::Error::other("no such name")),
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn parsed(text: &str) -> Result<Config, Problems> {
    parse_with(text, Path::new("etc/gateway.yaml"), resolve)
}

/// Compares each text's problems, `line:column: message`. `$U` stands for good `upstreams`, `$R` for good `routes`.
fn assert_told(cases: &[(&str, &[&str])]) {
    for (written, expected) in cases {
        let text = written.trim_start().replace("$U", UPSTREAM).replace("$R", ROUTE);
        assert_eq!(problems(&text), expected.join("\n"), "{text}");
    }
}

/// Every problem without the file's name, `ok` if there is none.
fn problems(text: &str) -> String {
    parsed(text).map_or_else(|problems| problems.to_string().replace("etc/gateway.yaml:", ""), |_| "ok".to_owned())
}

#[test]
fn the_file_in_the_root_states_the_defaults() {
    let (root, least) = (parsed(ROOT).unwrap(), parsed(LEAST).unwrap());
    let all = |config: &Config| {
        let Config { listen, admin, issuer, store, store_key, threads, catalogue, cache, limits, .. } = config;
        format!("{listen:?} {admin:?} {issuer:?} {store:?} {store_key:?} {threads} {catalogue:?} {cache:?} {limits:?}")
    };
    assert_eq!(all(&root), all(&least));
    let groups = [&root, &least].map(|config| Upstream { name: "a".into(), ..config.upstreams[0].clone() });
    assert_eq!(format!("{:?}", groups[0]), format!("{:?}", groups[1]));
    assert_eq!((root.routes.routes().len(), root.upstreams.len()), (6, 1));
}

#[test]
fn the_defaults_are_those_of_the_manual() {
    let config = parsed(LEAST).unwrap();
    let plain = Listener {
        address: ListenAddress::Tcp(address("127.0.0.1:8080")),
        tls: None,
        cleartext: Http2::Refused,
        proxy_header: ProxyHeader::Absent,
    };
    assert_eq!(config.listen, [plain]);
    assert!(config.trusted_proxies.is_empty());
    assert_eq!((config.admin.address, &config.admin.token), (address("127.0.0.1:9090"), &None));
    assert_eq!(config.issuer.url, "http://127.0.0.1:8080");
    assert_eq!(config.issuer.algorithm, Algorithm::Es256);
    assert_eq!(config.issuer.client_secret_post, SecretPost::Refused);
    assert!(matches!(&config.store, StoreLocation::Sqlite(path) if path == Path::new("etc/var/scopegate.db")));
    assert_eq!(config.store_key, StoreKey::Sources(vec![SecretSource::File("etc/var/scopegate.key".into())]));
    assert_eq!(config.issuer.rotate_every, Some(Duration::from_secs(30 * 86_400)));
    assert_eq!(config.limits.headers, 32 * 1024);
    assert_eq!(config.limits.body_timeout, Duration::from_secs(30));
    assert_eq!(config.upstreams[0].timeouts.connect, Duration::from_millis(500));
    assert!(config.threads >= 1);
    let route = &config.routes.routes()[0];
    assert_eq!(&*route.name, "POST /v1/applications.create");
    assert_eq!((route.enforcement, route.token), (Enforcement::Enforce, TokenForwarding::Remove));
    assert_eq!((config.limits.rate, route.rate), (None, None));
    assert_eq!(&*config.upstream(route.upstream).name, "a");
}

#[test]
fn every_key_of_a_route_reaches_it() {
    let route = "routes: [{match: 'GET /a/{id}', id: one, scope: [application.session, application], upstream: b, \
                 application_id: {path: id, query: app, header: X-App, body: /a/b}, enforce: report, forward_token: true, rate: 5/1m, burst: 9, encoded: allowed}]\n\
                 upstreams: {a: {servers: ['127.0.0.1:1']}, b: {servers: ['127.0.0.1:2'], case: sensitive}}\n";
    let config = parsed(route).unwrap();
    let route = &config.routes.routes()[0];
    assert_eq!((&*route.name, &*config.upstream(route.upstream).name), ("one", "b"));
    assert_eq!((route.enforcement, route.token), (Enforcement::Report, TokenForwarding::Forward));
    let find = |name| config.catalogue.find(name).unwrap();
    assert_eq!(route.access, Access::AnyOf(find("application").union(find("application.session"))));
    assert_eq!(route.rate, Some(Rate { burst: 9, ..Rate::new(5, Duration::from_secs(60)) }));
    assert_eq!((route.encoded, route.letter_case), (EncodedDelimiters::Allowed, LetterCase::Sensitive));
    assert_eq!(route.application.path, Some(1));
    assert_eq!(route.application.query.as_deref(), Some("app"));
    assert_eq!(route.application.header.as_ref().map(http::HeaderName::as_str), Some("x-app"));
    assert_eq!(route.application.body.as_ref().map(ToString::to_string).as_deref(), Some("/a/b"));
}

#[test]
fn a_minting_route_knows_its_places() {
    let text = LEAST.replace(
        "scope: application}",
        "scope: application, session_token: {application_id: /id, workflow_id: 'request:/workflowId', \
         redirect_url: request:/a/url, into: /data/sessionToken}}",
    );
    let config = parsed(&text).unwrap();
    let mint = config.routes.routes()[0].mint.clone().unwrap();
    let pointer = |text| JsonPointer::parse(text).unwrap();
    let expected = Mint {
        application: MintSource::Reply(pointer("/id")),
        workflow: MintSource::Request(pointer("/workflowId")),
        redirect_url: MintSource::Request(pointer("/a/url")),
        into: pointer("/data/sessionToken"),
    };
    assert_eq!(mint, expected);
    assert_eq!(parsed(LEAST).unwrap().routes.routes()[0].mint, None);
}

#[test]
fn declared_scopes_join_the_built_in_ones() {
    let text = "scopes: [{name: reports, implies: [reports.read]}, {name: reports.read},\n\
                {name: reports.one, required_claims: [application_id, workflow_id], bound_to: application_id}]\n";
    let config = parsed(&(text.to_owned() + LEAST)).unwrap();
    assert_eq!(config.catalogue.scopes().len(), 6);
    assert!(config.catalogue.granted(["reports"]).contains(config.catalogue.find("reports.read").unwrap()));
    assert!(config.catalogue.bound().contains(config.catalogue.find("reports.one").unwrap()));
}

#[test]
fn secrets_and_stores_are_found_beside_the_file() {
    let file = |path: &str| SecretSource::File(path.into());
    let variable = |name: &str| SecretSource::Environment(name.to_owned());
    for (text, store, key) in [
        ("store: memory\n", "Memory", StoreKey::Ephemeral),
        ("store: memory\nstore_key: env:KEY_1\n", "Memory", StoreKey::Sources(vec![variable("KEY_1")])),
        (
            "store: sqlite:/srv/s.db\nstore_key: [file:k, env:OLD]\n",
            "Sqlite(\"/srv/s.db\")",
            StoreKey::Sources(vec![file("etc/k"), variable("OLD")]),
        ),
        (
            "store: postgres://me@db/gate?sslmode=verify-full\nstore_key: file:k\n",
            "Postgres(PostgresAddress(…))",
            StoreKey::Sources(vec![file("etc/k")]),
        ),
        (
            "store: env:DATABASE_URL\nstore_key: file:k\n",
            "PostgresAt(Environment(\"DATABASE_URL\"))",
            StoreKey::Sources(vec![file("etc/k")]),
        ),
        (
            "store: file:database.url\nstore_key: file:k\n",
            "PostgresAt(File(\"etc/database.url\"))",
            StoreKey::Sources(vec![file("etc/k")]),
        ),
    ] {
        let config = parsed(&(text.to_owned() + LEAST)).unwrap();
        assert_eq!((format!("{:?}", config.store).as_str(), config.store_key), (store, key), "{text}");
    }
}

#[test]
fn line_ends_and_a_byte_order_mark_change_nothing() {
    assert!(parsed(&LEAST.replace('\n', "\r\n")).is_ok());
    assert!(parsed(&format!("\u{feff}{LEAST}")).is_ok());
    assert!(parsed(&format!("%YAML 1.1\n---\n{LEAST}")).is_err());
}

#[test]
fn a_refused_secret_is_never_echoed() {
    for line in [
        "store_key: hunter2",
        "store_key: [hunter2]",
        "store_key: {hunter2: 1}",
        "store_key: 'env:hunter2!'",
        "store: mysql://me:hunter2@db",
        "store: postgres://me:hunter2@db",
        "store: sqlite://hunter2",
        "admin: {token: hunter2}",
        "issuer: {url: 'https://me:hunter2@a/'}",
        "store_key: \"hunter2",
    ] {
        let told = problems(&format!("{LEAST}{line}\n"));
        assert!(told.starts_with('3') && !told.contains("hunter2"), "{line}: {told}");
    }
}

#[test]
fn ten_thousand_routes_are_checked() {
    let route = |n| format!("- {{match: POST /v1/r{n}, scope: application}}\n");
    let routes: String = (0..10_000).map(route).collect();
    let config = parsed(&format!("upstreams: {{a: {{servers: ['127.0.0.1:9000']}}}}\nroutes:\n{routes}")).unwrap();
    assert_eq!(config.routes.routes().len(), 10_000);
}

proptest! {
    #[test]
    fn no_text_panics(text in "(?s).{0,200}") {
        let _ = parsed(&text);
    }

    #[test]
    fn no_change_to_a_good_file_panics(start in 0..ROOT.len(), length in 0..60_usize, patch in "(?s)[-\\[\\]{}:,#&*!|>'\" \n\ta-z0-9/]{0,12}|.{0,4}") {
        let end = (start + length).min(ROOT.len());
        let (Some(before), Some(after)) = (ROOT.get(..start), ROOT.get(end..)) else { return Ok(()) };
        let text = format!("{before}{patch}{after}");
        if let Err(problems) = parsed(&text) {
            let lines = text.lines().count() + 1;
            prop_assert!(problems.iter().next().is_some());
            for problem in problems.iter() {
                prop_assert!(!problem.message.contains('\n'), "{problem:?}");
                prop_assert!(problem.place.is_none_or(|place| (1..=lines).contains(&place.line)), "{problem:?}");
            }
        }
    }
}
