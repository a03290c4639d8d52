//! Sections 3 and 11: tokens of other issuers beside our own, each within what its entry of `trust` allows.

use std::fs;

use aws_lc_rs::hmac;
use scopegate::token::Algorithm;
use serde_json::{Value, json};

use crate::harness::{
    APP, CUSTOMER, Config, Forge, Gateway, Issuer, OTHER, REDIRECT, Request, WORKFLOW, await_that, b64_standard,
    claims_of, each_row, key, within,
};

const SECRET: &str = "a shared secret of thirty-two and more bytes";

fn read(token: &str) -> Request {
    Request::get("/v1/applications").bearer(token)
}

/// A gateway that trusts an issuer, whose entry has these further keys, and the issuer's key.
fn trusting(more: &str) -> (Gateway, Issuer, Forge) {
    let key = key(Algorithm::Rs256, "theirs");
    let issuer = Issuer::publishing(&[&key]);
    let gateway = Gateway::start(|config| issuer.trusted_by(config, more));
    (gateway, issuer, key)
}

#[test]
fn a_token_of_another_issuer_is_accepted_beside_our_own_and_states_its_principal() {
    let (gateway, issuer, key) = trusting("");
    gateway.send(&read(&gateway.token("application"))).assert_status(200);
    gateway.upstream().forget();
    gateway.send(&read(&issuer.token(&key))).assert_status(200);
    let seen = gateway.upstream().request();
    for (name, expected) in [
        ("x-customer-id", CUSTOMER),
        ("x-client-id", "their-client"),
        ("x-scope", "application"),
        ("x-token-issuer", "https://login.example.com"),
    ] {
        assert_eq!(seen.header(name), Some(expected), "{name}");
    }
    let told = gateway.send(&Request::get("/oauth2/userinfo").bearer(&issuer.token(&key)));
    told.assert_status(200);
    assert_eq!(told.json(), json!({"customerId": CUSTOMER, "sub": "their-client"}));
    let counted = |issuer: &str| {
        let labels = [("issuer", issuer), ("result", "verified")];
        gateway.metrics().value("scopegate_token_verifications_total", &labels)
    };
    for issuer in ["own", "https://login.example.com"] {
        assert!((0.5..1.5).contains(&counted(issuer)), "{issuer}: {}", counted(issuer));
    }
    assert_eq!(issuer.fetches(), 1, "one fetch, before the listener opened");
}

#[test]
fn identities_of_several_issuers_are_told_apart() {
    // H6: the other issuer's token is of a client that is called like one of ours.
    let key = key(Algorithm::Rs256, "theirs");
    let issuer = Issuer::publishing(&[&key]);
    let gateway = Gateway::start(|config| {
        issuer.trusted_by(config, "");
        config.limit("rate: 5/1h");
    });
    let own = gateway.url();
    let client = gateway.client("application application.read");
    let foreign = |changes: Value| issuer.token_with(&key, changes);
    let namesake = foreign(json!({"client_id": client.id, "sub": client.id}));
    let ours = gateway.issue(&client, "scope=application");
    for (token, of) in [(&ours, own.as_str()), (&namesake, "https://login.example.com")] {
        gateway.upstream().forget();
        let forged = read(token).header("X-Token-Issuer", "https://evil.example").header("x_token_issuer", &own);
        let reply = gateway.send(&forged);
        reply.assert_status(200);
        let seen = gateway.upstream().request();
        assert_eq!(seen.all("x-token-issuer"), [of]);
        assert_eq!((seen.header("x-client-id"), seen.header("x_token_issuer")), (Some(client.id.as_str()), None));
        let line = gateway.access_line(seen.header("x-request-id").unwrap());
        assert_eq!((line["token_issuer"].as_str(), line["client_id"].as_str()), (Some(of), Some(client.id.as_str())));
    }
    // `sub` stands for nobody's client where the entry does not say so.
    gateway.send(&read(&foreign(json!({"client_id": null, "sub": client.id})))).assert_refused(401, "invalid_token");
    gateway.send(&Request::get("/healthz").header("X-Token-Issuer", &own)).assert_status(200);
    assert_eq!(gateway.upstream().requests().last().unwrap().header("x-token-issuer"), None, "on a public route");
    // Four more use up what is left of theirs, and nothing of ours.
    let status = |token: &str| gateway.send(&read(token)).status;
    assert_eq!((0..5).map(|_| status(&namesake)).collect::<Vec<_>>(), [200, 200, 200, 200, 429]);
    assert_eq!(status(&ours), 200);
    // Its customer's clients are not told of what another issuer says of them; who may see all, is told whose word it is.
    let asked = |by: &crate::harness::Client, token: &str| {
        let form = format!("token={token}");
        gateway.send(&Request::post("/v1/oauth2/introspect").header("Authorization", &by.basic()).form(&form)).json()
    };
    assert_eq!(asked(&client, &namesake), json!({"active": false}));
    let told = asked(&client, &ours);
    assert_eq!((&told["active"], &told["iss"]), (&json!(true), &json!(own)));
    // Disabling and revoking ours ends ours alone.
    let other = foreign(json!({"client_id": client.id, "jti": "other"}));
    gateway.cli(&["client", "disable", &client.id]).assert_code(0);
    await_that("the end of our client", || status(&ours) == 401);
    assert_ne!(status(&other), 401, "a namesake was disabled");
    gateway.cli(&["token", "revoke", "--client", &client.id]).assert_code(0);
    gateway.cli(&["token", "revoke", "--jti", "unheard-of"]).assert_code(0);
    let reloaded = gateway.client("application");
    assert_eq!(status(&gateway.issue(&reloaded, "scope=application")), 200);
    assert_ne!(status(&other), 401, "a namesake was revoked");
}

#[test]
fn sub_stands_for_the_client_where_the_entry_says_so() {
    let (gateway, issuer, key) = trusting("claims: {client: sub}");
    gateway.send(&read(&issuer.token_with(&key, json!({"client_id": null})))).assert_status(200);
    assert_eq!(gateway.upstream().request().header("x-client-id"), Some("somebody"));
}

#[test]
fn customers_and_clients_may_have_any_name() {
    let (gateway, issuer, key) = trusting("");
    for (customer, client, seen_customer, seen_client) in [
        ("Acme, Inc", "m\u{fc}ller", "Acme, Inc", "m%C3%BCller"),
        ("\u{682a}\u{5f0f}\u{4f1a}\u{793e}", "auth0|5f7c", "%E6%A0%AA%E5%BC%8F%E4%BC%9A%E7%A4%BE", "auth0|5f7c"),
        ("a  b ", "m%C3%BCller", "a%20%20b%20", "m%25C3%25BCller"),
    ] {
        gateway.upstream().forget();
        let token = issuer.token_with(&key, json!({"customer_id": customer, "client_id": client, "jti": client}));
        gateway.send(&read(&token)).assert_status(200);
        let seen = gateway.upstream().request();
        assert_eq!(seen.header("x-customer-id"), Some(seen_customer));
        assert_eq!((seen.header("x-client-id"), seen.header("x-token-id")), (Some(seen_client), Some(seen_client)));
        let line = gateway.access_line(seen.header("x-request-id").unwrap());
        assert_eq!(
            (line["customer_id"].as_str(), line["client_id"].as_str()),
            (Some(seen_customer), Some(seen_client))
        );
    }
    for hostile in ["k\r\nX-Scope: all", "k\u{0}", "k\u{85}x", "\u{1b}[31m", "", &"k".repeat(513)] {
        let token = issuer.token_with(&key, json!({"customer_id": hostile}));
        gateway.send(&read(&token)).assert_refused(401, "invalid_token");
    }
}

#[test]
fn claims_are_judged_as_those_of_our_own_tokens_and_by_what_the_entry_says() {
    let (gateway, issuer, key) = trusting("audience: [one, two], clock_skew: 0s, max_lifetime: 10m");
    let now = scopegate::domain::Timestamp::now().seconds();
    let rows = [
        ("the first audience", json!({"aud": "one"}), 200),
        ("the second, among others", json!({"aud": ["x", "two"]}), 200),
        ("our own audience", json!({"aud": "applications-api"}), 401),
        ("no audience", json!({"aud": null}), 401),
        ("expired", json!({"aud": "one", "exp": now - 1, "iat": now - 60}), 401),
        ("not yet valid", json!({"aud": "one", "nbf": now + 60}), 401),
        ("issued in the future", json!({"aud": "one", "iat": now + 60}), 401),
        ("no expiry", json!({"aud": "one", "exp": null}), 401),
        ("as long-lived as it may be", json!({"aud": "one", "iat": now, "exp": now + 600}), 200),
        ("longer-lived than it may be", json!({"aud": "one", "iat": now, "exp": now + 601}), 401),
        ("longer-lived, and not saying since when", json!({"aud": "one", "iat": null, "exp": now + 660}), 401),
        ("no customer", json!({"aud": "one", "customer_id": null}), 401),
        ("no subject", json!({"aud": "one", "sub": null}), 401),
        ("another issuer's name", json!({"aud": "one", "iss": "https://login.example.com/"}), 401),
        ("our own name", json!({"aud": "one", "iss": gateway.url()}), 401),
        ("an issuer list", json!({"aud": "one", "iss": ["https://login.example.com"]}), 401),
        ("no scope", json!({"aud": "one", "scope": null}), 403),
        ("scopes under two names", json!({"aud": "one", "scp": ["application"]}), 200),
        ("more scopes under the second name", json!({"aud": "one", "scope": "x", "scp": ["application"]}), 403),
        ("an ID token", json!({"aud": "one", "token_use": "id"}), 401),
    ];
    each_row(
        &rows,
        |row| row.0.to_owned(),
        |(name, claims, status)| {
            let reply = gateway.send(&read(&issuer.token_with(&key, claims.clone())));
            assert_eq!(reply.status, *status, "{name}: {}", reply.summary());
        },
    );
}

#[test]
fn a_ceiling_keeps_an_issuer_from_granting_more_and_from_saying_so_upstream() {
    let (gateway, issuer, key) = trusting("scopes: [application.read]");
    let create = |scope: &str| {
        let token = issuer.token_with(&key, json!({"scope": scope}));
        gateway.send(&Request::post("/v1/applications.create").bearer(&token).json("{}")).status
    };
    let list = |scope: &str| gateway.send(&read(&issuer.token_with(&key, json!({"scope": scope})))).status;
    assert_eq!([list("application.read"), list("application"), list("application application.read")], [200, 403, 200]);
    assert_eq!([create("application"), create("application.read")], [403, 403]);
    gateway.upstream().forget();
    assert_eq!(list("admin application application.read openid"), 200);
    assert_eq!(gateway.upstream().request().header("x-scope"), Some("application.read"));
}

#[test]
fn claims_are_found_under_the_names_that_the_issuer_uses() {
    let names = "claims: {customer: org, client: azp, scope: permissions, application_id: app}";
    let (gateway, issuer, key) = trusting(names);
    let session = json!({
        "customer_id": null, "client_id": null, "scope": null, "org": CUSTOMER, "azp": "mapped",
        "permissions": ["application.session"], "app": APP, "workflow_id": WORKFLOW, "redirect_url": REDIRECT,
    });
    let token = issuer.token_with(&key, session.clone());
    let get = |application: &str, token: &str| {
        gateway.send(&Request::get(&format!("/v1/applications/{application}/x")).bearer(token)).status
    };
    assert_eq!([get(APP, &token), get(OTHER, &token)], [200, 403]);
    let seen = gateway.upstream().request();
    assert_eq!((seen.header("x-client-id"), seen.header("x-application-id")), (Some("mapped"), Some(APP)));
    for missing in ["org", "azp", "app"] {
        let mut claims = session.clone();
        claims[missing] = Value::Null;
        assert_eq!(get(APP, &issuer.token_with(&key, claims)), 401, "without {missing}");
    }
    let usual = issuer.token_with(&key, json!({"org": CUSTOMER, "azp": "mapped"}));
    gateway.send(&read(&usual)).assert_status(403);
}

#[test]
fn an_operator_can_end_tokens_of_another_issuer() {
    let (gateway, issuer, key) = trusting("");
    let other = "bits:customer::00000000-0000-4000-8000-000000000001";
    let one = issuer.token_with(&key, json!({"jti": "one"}));
    let two = issuer.token_with(&key, json!({"jti": "two"}));
    let theirs = issuer.token_with(&key, json!({"jti": "three", "customer_id": other}));
    let status = |token: &str| gateway.send(&read(token)).status;
    assert_eq!([status(&one), status(&two), status(&theirs)], [200, 200, 200]);
    gateway.cli(&["token", "revoke", "--jti", "one"]).assert_code(0);
    await_that("the revocation of one", || status(&one) == 401);
    assert_eq!([status(&two), status(&theirs)], [200, 200]);
    gateway.cli(&["token", "revoke", "--customer", CUSTOMER]).assert_code(0);
    await_that("the revocation of a customer", || status(&two) == 401);
    assert_eq!(status(&theirs), 200);
    assert_eq!(status(&issuer.token_with(&key, json!({"jti": "four"}))), 401, "a new token, dated before");
}

/// A gateway that trusts one issuer by what is in its folder when it starts.
fn with_file(name: &str, content: &[u8], entry: &str) -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    let entry = entry.replace("FILE", &format!("file:{}", path.display()));
    Gateway::start(|config: &mut Config| {
        config.section(&format!("trust:\n  - {{issuer: https://apps.internal, {entry}}}"));
    })
}

#[test]
fn a_shared_secret_verifies_hmac_tokens_and_nothing_else() {
    let gateway = with_file("secret", format!("{SECRET}\n").as_bytes(), "secret: FILE, algorithms: [HS256]");
    let payload = claims_of("https://apps.internal", json!({})).to_string();
    let signed = |hash, secret: &[u8], alg: &str| Forge::hmac(hash, secret, &format!(r#"{{"alg":"{alg}"}}"#), &payload);
    let status = |token: &str| gateway.send(&read(token)).status;
    assert_eq!(status(&signed(hmac::HMAC_SHA256, SECRET.as_bytes(), "HS256")), 200);
    assert_eq!(status(&signed(hmac::HMAC_SHA256, format!("{SECRET}\n").as_bytes(), "HS256")), 401);
    assert_eq!(status(&signed(hmac::HMAC_SHA512, SECRET.as_bytes(), "HS512")), 401);
    assert_eq!(status(&signed(hmac::HMAC_SHA256, b"", "HS256")), 401);
    let forge = key(Algorithm::Es256, "k");
    assert_eq!(status(&forge.token(&forge.header(), &payload)), 401);
    let both = [gateway.log(), gateway.metrics().0].concat();
    assert!(!both.contains(SECRET), "the secret was written");
}

#[test]
fn pem_files_verify_tokens_with_and_without_kid() {
    let (one, two, stranger) = (key(Algorithm::Es256, "1"), key(Algorithm::Es256, "2"), key(Algorithm::Es256, "1"));
    let pem =
        |key: &Forge| format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", b64_standard(key.spki()));
    let gateway = with_file("keys.pem", (pem(&one) + &pem(&two)).as_bytes(), "pem: FILE, algorithms: [ES256]");
    let payload = claims_of("https://apps.internal", json!({})).to_string();
    for (key, status) in [(&one, 200), (&two, 200), (&stranger, 401)] {
        for header in [key.header(), r#"{"alg":"ES256"}"#.to_owned()] {
            assert_eq!(gateway.send(&read(&key.token(&header, &payload))).status, status, "{header}");
        }
    }
    let rsa = key(Algorithm::Rs256, "rsa");
    let authority = crate::harness::Authority::new("theirs");
    let certificate = authority.issue_with(&["issuer.example"], |params: &mut rcgen::CertificateParams| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let pkcs1 =
        format!("-----BEGIN RSA PUBLIC KEY-----\n{}\n-----END RSA PUBLIC KEY-----\n", b64_standard(rsa.public()));
    let file = format!("{}{pkcs1}", certificate.certificate);
    let other = with_file("more.pem", file.as_bytes(), "pem: FILE, algorithms: [RS256]");
    other.send(&read(&rsa.token(&rsa.header(), &payload))).assert_status(200);
    other.send(&read(&one.token(&one.header(), &payload))).assert_refused(401, "invalid_token");
    let public_key_as_secret = Forge::hmac(hmac::HMAC_SHA256, pem(&one).as_bytes(), r#"{"alg":"HS256"}"#, &payload);
    gateway.send(&read(&public_key_as_secret)).assert_refused(401, "invalid_token");
}

#[test]
fn a_key_set_file_is_read_again_when_it_changes() {
    let (one, two) = (key(Algorithm::EdDsa, "1"), key(Algorithm::EdDsa, "2"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    fs::write(&path, crate::harness::key_set(&[&one])).unwrap();
    let gateway = Gateway::start(|config| {
        let entry = format!("issuer: https://apps.internal, key_set: \"file:{}\"", path.display());
        config.section(&format!("trust:\n  - {{{entry}, algorithms: [EdDSA], refresh: 1s}}"));
    });
    let payload = claims_of("https://apps.internal", json!({})).to_string();
    let (first, second) = (one.token(&one.header(), &payload), two.token(&two.header(), &payload));
    let status = |token: &str| gateway.send(&read(token)).status;
    assert_eq!([status(&first), status(&second)], [200, 401]);
    fs::write(&path, "half a f").unwrap();
    let failed = || gateway.metrics().value("scopegate_jwks_fetches_total", &[("result", "failed")]);
    await_that("a reading that failed", || failed() >= 1.0);
    assert_eq!(status(&first), 200, "what was known goes on counting");
    fs::write(&path, crate::harness::key_set(&[&two])).unwrap();
    await_that("the new key", || status(&second) == 200);
    assert_eq!(status(&first), 401, "the key that is gone has taken its cached token along");
}

#[test]
fn a_token_is_as_long_as_the_limit_says() {
    // R32
    let key = key(Algorithm::EdDsa, "theirs");
    let issuer = Issuer::publishing(&[&key]);
    let long = |bytes: usize| {
        let plain = issuer.token_with(&key, json!({"groups": ""})).len();
        let token = issuer.token_with(&key, json!({"groups": "g".repeat((bytes - plain) * 3 / 4)}));
        assert!((bytes - 4..=bytes).contains(&token.len()), "{}", token.len());
        token
    };
    for (limit, good, bad) in [("", 8 * 1024, 8 * 1024 + 10), ("token: 16KiB", 16 * 1024, 16 * 1024 + 10)] {
        let gateway = Gateway::start(|config| {
            issuer.trusted_by(config, "");
            config.limits.extend((!limit.is_empty()).then(|| limit.to_owned()));
        });
        gateway.send(&read(&long(good))).assert_status(200);
        gateway.send(&read(&long(bad))).assert_refused(401, "invalid_token");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of mistakes")]
fn mistakes_of_an_entry_are_told_with_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| fs::write(folder.path().join(name), content).unwrap();
    write("short", "too short");
    write("no.pem", "no key");
    write("private.json", r#"{"keys":[{"kty":"OKP","crv":"Ed25519","d":"AAAA"}]}"#);
    write("oct.json", r#"{"keys":[{"kty":"oct","k":"AAAA","kid":"a b"},{"kty":"RSA","use":"enc"}]}"#);
    let head = "upstreams: {a: {servers: ['127.0.0.1:9000']}}\nroutes: [{match: GET /x, public: true}]\ntrust:\n";
    for (entry, expected) in [
        ("{key_set: https://a/k, algorithms: [RS256]}", "4:5: missing key `issuer`"),
        ("{issuer: https://a, algorithms: [RS256]}", "4:5: an issuer needs exactly one of `key_set`"),
        (
            "{issuer: https://a, key_set: https://a/k, pem: file:k, algorithms: [RS256]}",
            "4:5: an issuer needs exactly one",
        ),
        ("{issuer: https://a, key_set: https://a/k}", "4:5: missing key `algorithms`"),
        (
            "{issuer: https://a, key_set: https://a/k, algorithms: [RS265]}",
            "unknown algorithm `RS265`; did you mean `RS256`?",
        ),
        ("{issuer: https://a, key_set: https://a/k, algorithms: [none]}", "unknown algorithm `none`"),
        (
            "{issuer: https://a, key_set: https://a/k, algorithms: [HS256]}",
            "HS256 works with a `secret`, not with public keys",
        ),
        ("{issuer: https://a, key_set: https://a/k, algorithms: [RS256, RS256]}", "RS256 is listed twice"),
        (
            "{issuer: https://a, secret: file:short, algorithms: [RS256]}",
            "RS256 works with public keys, not with a `secret`",
        ),
        (
            "{issuer: https://a, secret: file:short, algorithms: [HS256]}",
            "the secret is too short for HS256: 9 bytes, 32 are needed",
        ),
        (
            "{issuer: https://a, secret: abcdefgh, algorithms: [HS256]}",
            "the secret is a secret: write `file:PATH` or `env:NAME`",
        ),
        ("{issuer: https://a, secret: file:absent, algorithms: [HS256]}", "cannot be read"),
        ("{issuer: https://a, pem: file:no.pem, algorithms: [RS256]}", "the keys are refused: it is not a PEM file"),
        ("{issuer: https://a, pem: file:absent, algorithms: [RS256]}", "cannot be read"),
        ("{issuer: https://a, key_set: file:private.json, algorithms: [RS256]}", "key 0 holds a private member"),
        (
            "{issuer: https://a, key_set: file:oct.json, algorithms: [RS256]}",
            "the key set is refused: it has no key for the algorithms of this issuer: key 0 (\"a b\") symmetric, key 1 use",
        ),
        (
            "{issuer: https://a, key_set: https://a/k, algorithms: [RS256], claims: {scope: realm_access.roles}}",
            "names no claim: write `/realm_access/roles` for a member of an object",
        ),
        (
            "{issuer: 'https://a/{tenant}/v2.0', key_set: https://a/k, algorithms: [RS256]}",
            "an `issuer` with `{tenant}` needs `tenants`",
        ),
        (
            "{issuer: https://a, tenants: [x], key_set: https://a/k, algorithms: [RS256]}",
            "`tenants` needs an `issuer` with",
        ),
        (
            "{issuer: 'https://a/{tenantid}/v2.0', tenants: [x], key_set: https://a/k, algorithms: [RS256]}",
            "may hold `{tenant}` once, as a whole segment",
        ),
        (
            "{issuer: 'https://a/{tenant}', tenants: [x/y], key_set: https://a/k, algorithms: [RS256]}",
            "`x/y` is no tenant",
        ),
        ("{issuer: 'https://a/{tenant}', tenants: [x], discovery: true, algorithms: [RS256]}", "name the keys of all"),
        (
            "{issuer: https://a, key_set: https://a/k, algorithms: [RS256], proxy: 'http://u:p@proxy:3128'}",
            "`proxy` must not hold a user name or password",
        ),
        (
            "{issuer: https://a, key_set: https://a/k, algorithms: [RS256], proxy: 'socks5://proxy:1080'}",
            "`proxy` must be an http URL",
        ),
        (
            "{issuer: https://a, pem: file:no.pem, algorithms: [RS256], proxy: 'http://proxy:3128'}",
            "`proxy` has a meaning only where a server is asked",
        ),
        (
            "{issuer: https://a, pem: file:no.pem, algorithms: [RS256], insecure_http: true}",
            "`insecure_http` has a meaning only where a server is asked",
        ),
        (
            "{issuer: https://a, key_set: https://a/k, algorithms: [RS256], claims: {customer: /a//b}}",
            "is no JSON pointer (RFC 6901)",
        ),
        (
            "{issuer: https://a, key_set: https://a/k, algorithms: [RS256], claims: {audience: client_id}}",
            "beside `claims.audience` the entry needs `audience`",
        ),
        ("{issuer: https://a, key_set: http://a.example/k, algorithms: [RS256]}", "`key_set` must be an https URL"),
        (
            "{issuer: https://a, key_set: 'https://u:p@a/k', algorithms: [RS256]}",
            "must not hold a user name or password",
        ),
        ("{issuer: 'urn:a', discovery: true, algorithms: [RS256]}", "`issuer` must be an https URL"),
        ("{issuer: https://a, pem: file:no.pem, algorithms: [RS256], refresh: 1m}", "`refresh` has a meaning beside"),
        (
            "{issuer: https://a, pem: file:no.pem, algorithms: [RS256], ca: file:no.pem}",
            "`ca` has a meaning only where a server is asked",
        ),
        (
            "{issuer: https://a, key_set: https://a/k, algorithms: [RS256], ca: file:no.pem}",
            "without certificates in PEM",
        ),
        (
            "{issuer: https://a, key_set: https://a/k, algorithms: [RS256], scopes: [aplication]}",
            "unknown scope `aplication`; did you mean `application`?",
        ),
        (
            "{issuer: https://a, key_set: https://a/k, algorithms: [RS256], clock_skew: 301s}",
            "`clock_skew` must be 0s to 300s",
        ),
        (
            "{issuer: https://a, key_set: https://a/k, algorithms: [RS256], max_lifetime: 31d}",
            "`max_lifetime` must be 1s to 30d",
        ),
        (
            "{issuer: https://a, key_set: https://a/k, algorithms: [RS256], claims: {custommer: x}}",
            "unknown key `custommer`; did you mean `customer`?",
        ),
        ("{issuer: 'http://127.0.0.1:8080', key_set: https://a/k, algorithms: [RS256]}", "this is our own issuer"),
        (
            "{issuer: https://a, introspection: {url: http://a.example/i, client_id: a, client_secret: file:short}}",
            "`url` must be an https URL",
        ),
        (
            "{issuer: https://a, introspection: {url: https://a/i, client_id: a, client_secret: hunter2}}",
            "the client secret is a secret",
        ),
        (
            "{issuer: https://a, introspection: {url: https://a/i, client_id: a, client_secret: file:short}, algorithms: [RS256]}",
            "`algorithms` has no meaning beside `introspection`",
        ),
    ] {
        fs::write(folder.path().join("gateway.yaml"), format!("{head}  - {entry}\n")).unwrap();
        let output = crate::harness::run(folder.path(), &["check", "-c", "gateway.yaml"]);
        output.assert_code(1);
        let told = [output.stdout.as_str(), output.stderr.as_str()].concat();
        assert!(told.contains(expected) && told.contains("gateway.yaml:4:"), "{entry}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    let twice = "  - {issuer: https://a, key_set: https://a/k, algorithms: [RS256]}\n".repeat(2);
    fs::write(folder.path().join("gateway.yaml"), format!("{head}{twice}")).unwrap();
    let output = crate::harness::run(folder.path(), &["check", "-c", "gateway.yaml"]);
    assert!(format!("{output:?}").contains("this issuer has an entry in line 4 already"), "{output:?}");
    let both = "  - {issuer: https://a/x, key_set: https://a/k, algorithms: [RS256]}\n  - {issuer: 'https://a/{tenant}', tenants: ['*'], key_set: https://a/k, algorithms: [RS256]}\n";
    fs::write(folder.path().join("gateway.yaml"), format!("{head}{both}")).unwrap();
    let output = crate::harness::run(folder.path(), &["check", "-c", "gateway.yaml"]);
    assert!(format!("{output:?}").contains("meant for this entry and for the one in line 4"), "{output:?}");
    let limits = "limits: {headers: 16KiB, token: 16KiB}\n";
    fs::write(folder.path().join("gateway.yaml"), format!("{limits}{}", head.replace("trust:\n", ""))).unwrap();
    let output = crate::harness::run(folder.path(), &["check", "-c", "gateway.yaml"]);
    assert!(format!("{output:?}").contains("`token` must be at least 1KiB less than `headers`"), "{output:?}");
}

#[test]
fn a_secret_of_the_environment_is_needed_by_the_gateway_and_not_by_commands() {
    let start = |value: Option<&str>| {
        let mut gateway = Gateway::start(|_| {});
        let entry = "trust:\n  - {issuer: https://apps.internal, secret: env:THEIR_SECRET, algorithms: [HS256]}\n";
        let file = fs::read_to_string(gateway.file()).unwrap() + entry;
        fs::write(gateway.file(), file).unwrap();
        gateway.cli(&["client", "list"]).assert_code(0);
        gateway.cli(&["check", "-c", "gateway.yaml"]).assert_code(0);
        gateway.environment.extend(value.map(|value| ("THEIR_SECRET".to_owned(), value.to_owned())));
        gateway.restart_refused()
    };
    for (value, expected) in [
        (None, "the secret of https://apps.internal: the environment variable `THEIR_SECRET` is not set"),
        (Some("too short"), "the secret of https://apps.internal: is too short for HS256: 9 bytes, 32 are needed"),
    ] {
        let log = start(value);
        assert!(log.contains(expected) && !log.contains("too short\""), "{log}");
    }
}

#[test]
fn another_issuers_client_gets_no_session_token_of_ours() {
    let key = key(Algorithm::Es256, "theirs");
    let issuer = Issuer::publishing(&[&key]);
    let gateway = Gateway::start(|config| {
        issuer.trusted_by(config, "");
        config.routes.retain(|route| !route.contains("applications.create"));
        config.route("{match: POST /v1/applications.create, scope: application, session_token: {application_id: /id, workflow_id: \"request:/w\", redirect_url: \"request:/r\", into: /sessionToken}}");
    });
    let body = format!(r#"{{"w":"{WORKFLOW}","r":"{REDIRECT}"}}"#);
    let reply_of = |token: &str| {
        let answer = format!(r#"{{"id":"{APP}"}}"#);
        gateway.upstream().once(crate::harness::Answer::json(&answer));
        gateway.send(&Request::post("/v1/applications.create").bearer(token).json(&body)).json()
    };
    assert!(reply_of(&gateway.token("application"))["sessionToken"].is_string());
    // It says to be our own client, of our own customer.
    let named = issuer.token_with(&key, json!({"client_id": gateway.owner().id, "sub": gateway.owner().id}));
    assert_eq!(reply_of(&named)["sessionToken"], Value::Null);
    assert!(within(std::time::Duration::from_secs(2), || {
        let labels = [("result", "client_unknown")];
        gateway.metrics().value("scopegate_session_tokens_minted_total", &labels) > 0.5
    }));
}
