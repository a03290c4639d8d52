//! Micro-benchmarks of the steps that every request takes, and of the two that only some take: verify and issue.

#![expect(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::{hint::black_box, path::Path, sync::Arc, time::Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Method, header};
use scopegate::{
    cache::{Bounds, Known, TokenCache},
    config,
    domain::{Catalogue, ClientId, CustomerId, IssuerId, Principal, ScopeSet, Timestamp, TokenId},
    policy::{
        Access, ApplicationPlaces, EncodedDelimiters, Enforcement, Found, HeadLimits, JsonPointer, LetterCase, Parts,
        PathPattern, Repetition, RequestTarget, Route, RouteId, RouteTable, TokenForwarding, UpstreamId, check_head,
        decide, head_end,
    },
    token::{Algorithm, Expectations, Grant, PrivateKey, SessionClaims, SigningKey, bearer, issue},
    trust::{Cleared, Memory, Standing, Trust, TrustedKey, Verification},
    upstream::{Connection, Tried, Upstreams, client_number},
};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const BODY: &[u8] = br#"{"applicationId":"bits:application::7d444840-9dc0-41d1-9f2c-5ffdce740ad1","fields":["name","address","owners"],"locale":"sv-SE"}"#;

fn client() -> ClientId {
    ClientId::parse("OzhHovnR57fCek5Ix4Ckub3c").expect("visible ASCII")
}

fn token(key: &SigningKey, session: Option<&SessionClaims>) -> String {
    let customer = CustomerId::parse("bits:customer::e0d429f2-635b-418c-8b74-4a554f82c0bc").expect("visible ASCII");
    let grant = Grant {
        issuer: "https://api.example.com",
        audience: "applications-api",
        client: &client(),
        customer: &customer,
        scope: if session.is_some() { "application.session" } else { "application" },
        session,
        lifetime: 3600,
    };
    issue(key, &grant, &TokenId::parse("3-MEBvTgnUtAWEdxHbQRrg").expect("visible ASCII"), NOW)
}

fn trust(key: &SigningKey) -> Trust {
    let rules = Expectations::own("applications-api".into(), 30, Arc::default());
    let trust = Trust::new("https://api.example.com".into(), rules, Vec::new());
    let keys = vec![TrustedKey { key: key.public().clone(), until: None }];
    trust.replace(Standing { keys, clients: [(client(), None)].into_iter().collect(), ..Standing::default() });
    trust
}

fn session() -> SessionClaims {
    SessionClaims {
        application: scopegate::domain::ApplicationId::parse("bits:application::7d444840-9dc0-41d1-9f2c-5ffdce740ad1")
            .expect("visible ASCII"),
        workflow: scopegate::domain::WorkflowId::parse("bits:workflow::1").expect("visible ASCII"),
        redirect_url: "https://example.com/done".to_owned(),
    }
}

fn route(place: usize, places: ApplicationPlaces, scopes: ScopeSet) -> Route {
    Route {
        id: RouteId::new(place),
        name: "r".into(),
        access: Access::AnyOf(scopes),
        enforcement: Enforcement::Enforce,
        application: places,
        token: TokenForwarding::Remove,
        mint: None,
        stream: scopegate::policy::Stream::default(),
        cors: None,
        rate: None,
        upstream: UpstreamId::new(0),
        repetition: Repetition::ByMethod,
        encoded: EncodedDelimiters::Refused,
        letter_case: LetterCase::Insensitive,
    }
}

fn head(criterion: &mut Criterion) {
    let limits = HeadLimits { bytes: 32 * 1024, lines: 100 };
    let token = token(&SigningKey::new(&PrivateKey::generate(Algorithm::Es256)).expect("a fresh key"), None);
    let head = format!(
        "POST /v1/applications.get HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: bench\r\nAccept: */*\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 130\r\n\r\n"
    );
    criterion.bench_function("head/check", |bencher| {
        bencher.iter(|| {
            let end = head_end(black_box(head.as_bytes()), 0, limits).expect("sound").expect("whole");
            check_head(&head.as_bytes()[..end], limits)
        });
    });
    criterion.bench_function("path/parse", |bencher| {
        bencher.iter(|| RequestTarget::parse(black_box(b"/v1/applications.organization.get?expand=owners")));
    });
}

fn routes(criterion: &mut Criterion) {
    for count in [1, 100, 10_000] {
        let table = (0..count).map(|place| {
            let (method, pattern) = PathPattern::parse(&format!("POST /v1/resource{place}.get")).expect("a pattern");
            (method, pattern, route(place, ApplicationPlaces::default(), ScopeSet::EMPTY))
        });
        let table = RouteTable::new(table.collect(), &[]).expect("no two are alike");
        let path = format!("/v1/resource{}.get", count / 2);
        criterion.bench_function(&format!("route/find exact of {count}"), |bencher| {
            bencher.iter(|| matches!(table.find(&Method::POST, black_box(&path)), Found::Route(_)));
        });
        let table = (0..count).map(|place| {
            let text = format!("GET /v1/resource{place}/{{application_id}}/**");
            let (method, pattern) = PathPattern::parse(&text).expect("a pattern");
            (method, pattern, route(place, ApplicationPlaces::default(), ScopeSet::EMPTY))
        });
        let table = RouteTable::new(table.collect(), &[]).expect("no two are alike");
        let path = format!("/v1/resource{}/a/files/b", count / 2);
        criterion.bench_function(&format!("route/find pattern of {count}"), |bencher| {
            bencher.iter(|| matches!(table.find(&Method::GET, black_box(&path)), Found::Route(_)));
        });
    }
}

/// A pattern beside the literals that a server may take its paths for, and a path that must be folded to see it.
fn likenesses(criterion: &mut Criterion) {
    let patterns = ["POST /v1/applications.create", "POST /v1/applications.get", "POST /v1/applications.*"];
    let table = patterns.iter().enumerate().map(|(place, text)| {
        let (method, pattern) = PathPattern::parse(text).expect("a pattern");
        (method, pattern, route(place, ApplicationPlaces::default(), ScopeSet::EMPTY))
    });
    let table = RouteTable::new(table.collect(), &[]).expect("no two are alike");
    for (name, path) in [("plain", "/v1/applications.submit"), ("folded", "/v1/applications.submitAll")] {
        criterion.bench_function(&format!("route/find pattern beside literals, {name}"), |bencher| {
            bencher.iter(|| matches!(table.find(&Method::POST, black_box(path)), Found::Route(_)));
        });
    }
}

fn bearer_parse(criterion: &mut Criterion) {
    let token = token(&SigningKey::new(&PrivateKey::generate(Algorithm::Es256)).expect("a fresh key"), None);
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).expect("visible ASCII"));
    criterion.bench_function("bearer/parse", |bencher| bencher.iter(|| bearer(black_box(&headers), None)));
}

fn cache_hit(criterion: &mut Criterion) {
    let key = SigningKey::new(&PrivateKey::generate(Algorithm::Es256)).expect("a fresh key");
    let (trust, token) = (trust(&key), token(&key, None));
    let negative_ttl = std::time::Duration::from_secs(5);
    let cache = TokenCache::new(Bounds { entries: 100_000, memory: 64 << 20, negative_entries: 20_000, negative_ttl });
    let ask = || {
        let recheck = |principal: &Principal, cleared: &Cleared| trust.recheck(principal, cleared, NOW);
        cache.find(black_box(token.as_bytes()), NOW, recheck)
    };
    let Known::Nothing(digest) = ask() else { unreachable!("the cache is empty") };
    let outcome = trust.verify_own(token.as_bytes(), NOW);
    let verification = Verification { issuer: Some(IssuerId::OWN), outcome, memory: Memory::Fleeting };
    cache.keep(digest, verification, NOW).expect("the token is good");
    criterion.bench_function("cache/hit", |bencher| bencher.iter(ask));
}

/// Each principal in turn asks for a token ID of its own, so that nothing of the tables is at hand by chance.
fn recheck(criterion: &mut Criterion) {
    let id = |number: usize| TokenId::parse(&format!("{number:022}")).expect("visible ASCII");
    let key = SigningKey::new(&PrivateKey::generate(Algorithm::Es256)).expect("a fresh key");
    for count in [0, 1_000_000] {
        let trust = trust(&key);
        let principal = trust.verify_own(token(&key, None).as_bytes(), NOW).expect("the token is good");
        trust.revoke_tokens((0..count).map(|number| (id(number), principal.expires_at)), NOW);
        let good = |number| Principal { token: Some(id(count + number)), ..principal.clone() };
        let principals: Vec<(Principal, Cleared)> = (0..1 << 16).map(|n| (good(n), Cleared::default())).collect();
        for (what, kept) in [("first look", false), ("later", true)] {
            let mut next = principals.iter().cycle();
            criterion.bench_function(&format!("recheck/{what} with {count} revoked tokens"), |bencher| {
                bencher.iter(|| {
                    let (principal, cleared) = black_box(next.next().expect("a cycle has no end"));
                    let fresh = Cleared::default();
                    trust.recheck(principal, if kept { cleared } else { &fresh }, NOW).expect("it stands");
                });
            });
        }
    }
}

fn decision(criterion: &mut Criterion) {
    let key = SigningKey::new(&PrivateKey::generate(Algorithm::Es256)).expect("a fresh key");
    let catalogue = Catalogue::default();
    let (free, bound) = (token(&key, None), token(&key, Some(&session())));
    let verify = |token: &str| trust(&key).verify_own(token.as_bytes(), NOW).expect("the token is good");
    let scopes = catalogue.granted(["application.read", "application.session"]);
    let body = ApplicationPlaces { body: JsonPointer::parse("/applicationId"), ..ApplicationPlaces::default() };
    let route = route(0, body, scopes);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, principal) in [("decide/unbound", verify(&free)), ("decide/bound to a body", verify(&bound))] {
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                let target = RequestTarget::parse(b"/v1/applications.get").expect("one reading");
                decide(&route, &principal, &catalogue, &Parts { target, headers: &headers, body: black_box(BODY) })
            });
        });
    }
}

fn tokens(criterion: &mut Criterion) {
    for algorithm in Algorithm::ALL {
        let key = SigningKey::new(&PrivateKey::generate(algorithm)).expect("a fresh key");
        criterion.bench_function(&format!("token/issue {algorithm}"), |bencher| bencher.iter(|| token(&key, None)));
        let (trust, token) = (trust(&key), token(&key, None));
        criterion.bench_function(&format!("token/verify {algorithm}"), |bencher| {
            bencher.iter(|| trust.verify_own(black_box(token.as_bytes()), NOW));
        });
    }
}

/// The signature alone: by a key that was parsed once, and by the library, which parses it each time.
fn signatures(criterion: &mut Criterion) {
    for algorithm in Algorithm::ALL {
        let key = SigningKey::new(&PrivateKey::generate(algorithm)).expect("a fresh key");
        let token = token(&key, None);
        let (signed, signature) = token.rsplit_once('.').expect("a compact token");
        let bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        criterion.bench_function(&format!("signature/parsed key {algorithm}"), |bencher| {
            bencher.iter(|| key.public().verifies(black_box(signed.as_bytes()), &bytes));
        });
        let library = jsonwebtoken::DecodingKey::from_jwk(key.jwk()).expect("a published key");
        let name = algorithm.name().parse().expect("the library knows it");
        criterion.bench_function(&format!("signature/jsonwebtoken {algorithm}"), |bencher| {
            bencher.iter(|| jsonwebtoken::crypto::verify(signature, black_box(signed.as_bytes()), &library, name));
        });
    }
}

/// From the question to the peer that pingora connects to, and back when the request has ended.
#[expect(clippy::disallowed_methods, reason = "the proxy reads the clock once for each try")]
fn next_server(criterion: &mut Criterion) {
    let groups = [
        ("one server", 1, ""),
        ("round robin of 2", 2, ""),
        ("round robin of 16", 16, ""),
        ("least connections of 16", 16, ", balance: least_connections"),
        ("client hash of 16", 16, ", balance: client_hash"),
    ];
    for (name, count, keys) in groups {
        let servers: Vec<String> = (1..=count).map(|port| format!("'127.0.0.1:{port}'")).collect();
        let text = format!(
            "upstreams: {{a: {{servers: [{}]{keys}}}}}\nroutes: [{{match: GET /x, public: true}}]",
            servers.join(", ")
        );
        let config = config::parse(&text, Path::new("gateway.yaml")).expect("the file is sound");
        let now = Instant::now();
        let (upstreams, group) = (Upstreams::new(config.upstreams, now), UpstreamId::new(0));
        criterion.bench_function(&format!("next server/{name}"), |bencher| {
            bencher.iter(|| {
                let client = || client_number(black_box(b"OzhHovnR57fCek5Ix4Ckub3c"));
                let lease = upstreams.pick(group, now, &Tried::default(), client).expect("all are well");
                upstreams.answered(group, &lease, || now);
                upstreams.peer(group, &lease, Connection::Any)
            });
        });
    }
}

criterion_group!(
    benches,
    head,
    routes,
    likenesses,
    bearer_parse,
    cache_hit,
    recheck,
    decision,
    tokens,
    signatures,
    next_server
);
criterion_main!(benches);
