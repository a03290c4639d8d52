//! Sections 3 and 7: tokens and key sets in the shapes that well-known issuers give them, written from their documentation
//! and signed with keys of the test: each is accepted with the entry of `trust` beside it, and what comes from the same
//! issuer without being for us is not.

use scopegate::{domain::Timestamp, token::Algorithm};
use serde_json::{Value, json};

use crate::harness::{Answer, Config, Forge, Gateway, Request, Upstream, b64_standard, each_row, key};

const TENANT: &str = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490";
const OTHER_TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
/// The tenant of personal accounts, whose key stands in the common set.
const CONSUMERS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
const ENTRA_API: &str = "6e74172b-be56-4843-9ff4-e66a39bb12e3";
const COGNITO_CLIENT: &str = "1example23456789";
const COGNITO: &str = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Example";

/// An issuer with its key, the server that publishes it, and the rest of its entry.
struct Fixture {
    name: &'static str,
    key: Forge,
    server: Upstream,
    entry: String,
    header: Value,
    claims: Value,
    /// Customer, client, scopes and issuer, as the upstream is told.
    seen: [String; 4],
}

/// The public half with further members, and without those that are null here.
fn jwk(key: &Forge, members: Value) -> Value {
    let mut jwk: Value = serde_json::from_str(&key.jwk()).unwrap();
    let object = jwk.as_object_mut().unwrap();
    for (name, value) in members.as_object().unwrap() {
        object.insert(name.clone(), value.clone());
    }
    object.retain(|_, value| value != "absent");
    jwk
}

/// `changes` over `claims`; null takes a claim out.
fn with(claims: &Value, changes: Value) -> Value {
    let mut claims = claims.clone();
    let object = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        object.insert(name.clone(), value.clone());
    }
    object.retain(|_, value| !value.is_null());
    claims
}

fn now() -> u64 {
    Timestamp::now().seconds()
}

impl Fixture {
    fn new(
        name: &'static str,
        key: Forge,
        keys: &[Value],
        entry: &str,
        [header, claims]: [Value; 2],
        seen: [&str; 4],
    ) -> Self {
        let server = Upstream::start();
        server.always(Answer::json(&json!({ "keys": keys }).to_string()));
        let entry = entry.replace("KEYS", &format!("\"http://{}/keys\"", server.address));
        Self { name, key, server, entry, header, claims, seen: seen.map(ToOwned::to_owned) }
    }

    fn token(&self, changes: Value) -> String {
        self.key.token(&self.header.to_string(), with(&self.claims, changes).to_string())
    }
}

/// Keycloak: the realm's encryption key may have the `kid` of its signing key (keycloak#14794); roles stand inside.
fn keycloak() -> Fixture {
    let key = key(Algorithm::Rs256, "FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE");
    let certificate = json!({"x5c": [b64_standard(key.spki())], "x5t": "bXk", "x5t#S256": "bXk"});
    let encryption = crate::harness::key(Algorithm::Rs256, &key.kid);
    let keys = [jwk(&encryption, json!({"alg": "RSA-OAEP", "use": "enc", "x5c": ["AAAA"]})), jwk(&key, certificate)];
    let issuer = "https://sso.example.com/realms/shop";
    let claims = json!({
        "exp": now() + 300, "iat": now(), "jti": "trrtcc:1b7a4c0e-6f0e-4d6c-8f0a-2d0c1a5c1e55", "iss": issuer,
        "aud": ["applications-api", "account"], "sub": "0c7d4b8e-7e31-4b6e-9a58-b0d4e0c3b5a1", "typ": "Bearer",
        "azp": "shop-backend", "acr": "1", "allowed-origins": ["/*"],
        "realm_access": {"roles": ["default-roles-shop", "offline_access", "application"]},
        "resource_access": {"account": {"roles": ["manage-account", "view-profile"]}},
        "scope": "email profile", "clientHost": "172.18.0.1", "email_verified": false,
        "preferred_username": "service-account-shop-backend", "clientAddress": "172.18.0.1",
        "client_id": "shop-backend", "organization": {"acme": {"id": "42c3e46f-2477-44d7-a85b-d3b43f6b31fa"}},
    });
    Fixture::new(
        "Keycloak",
        key,
        &keys,
        &format!(
            "issuer: {issuer}, key_set: KEYS, algorithms: [RS256], claims: {{customer: /organization/acme/id, client: azp, scope: /realm_access/roles}}"
        ),
        [json!({"alg": "RS256", "typ": "JWT", "kid": "FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE"}), claims],
        [
            "42c3e46f-2477-44d7-a85b-d3b43f6b31fa",
            "shop-backend",
            "default-roles-shop offline_access application",
            issuer,
        ],
    )
}

/// The common key set of Entra: no `alg`, and each key says whose it is.
fn entra_keys(key: &Forge, consumers: &Forge) -> [Value; 2] {
    let of = |key: &Forge, tenant: &str| {
        let issuer = format!("https://login.microsoftonline.com/{tenant}/v2.0");
        let members = json!({
            "alg": "absent", "x5t": key.kid, "x5c": [b64_standard(key.spki())],
            "cloud_instance_name": "microsoftonline.com", "issuer": issuer,
        });
        jwk(key, members)
    };
    [of(consumers, CONSUMERS), of(key, "{tenantid}")]
}

fn entra_v2(consumers: &Forge) -> Fixture {
    let key = key(Algorithm::Rs256, "nOo3ZDrODXEK1jKWhXslHR_KXEg");
    let keys = entra_keys(&key, consumers);
    let issuer = format!("https://login.microsoftonline.com/{TENANT}/v2.0");
    let groups: Vec<String> = (0..150).map(|n| format!("{n:08x}-0c0a-4d4e-9d7b-0123456789ab")).collect();
    let claims = json!({
        "aud": ENTRA_API, "iss": issuer, "iat": now(), "nbf": now(), "exp": now() + 3899,
        "aio": "E2ZgYLjCGPDmkbdA6J1Z0nMKoo1GAA==", "azp": "11112222-bbbb-3333-cccc-4444dddd5555", "azpacr": "1",
        "groups": groups, "idtyp": "app", "oid": "aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb", "rh": "0.AAAA.",
        "roles": ["application"], "sub": "aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb", "tid": TENANT, "uti": "AAAA",
        "ver": "2.0", "xms_ftd": "AAAA",
    });
    Fixture::new(
        "Entra v2",
        key,
        &keys,
        &format!(
            "issuer: \"https://login.microsoftonline.com/{{tenant}}/v2.0\", tenants: [{TENANT}, {CONSUMERS}], key_set: KEYS, algorithms: [RS256], audience: {ENTRA_API}, claims: {{customer: tid, client: azp, scope: roles}}"
        ),
        [json!({"typ": "JWT", "alg": "RS256", "kid": "nOo3ZDrODXEK1jKWhXslHR_KXEg"}), claims],
        [TENANT, "11112222-bbbb-3333-cccc-4444dddd5555", "application", &issuer],
    )
}

fn entra_v1(consumers: &Forge) -> Fixture {
    let key = key(Algorithm::Rs256, "MGLqj98VNLoXaFfpJCBpgB4JaKs");
    let keys = entra_keys(&key, consumers);
    let issuer = format!("https://sts.windows.net/{TENANT}/");
    let claims = json!({
        "aud": "api://applications-api", "iss": issuer, "iat": now(), "nbf": now(), "exp": now() + 3899,
        "aio": "E2ZgYLjCGPDmkbdA6J1Z0nMKoo1GAA==", "appid": "11112222-bbbb-3333-cccc-4444dddd5555", "appidacr": "1",
        "idp": issuer, "oid": "aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb", "rh": "0.AAAA.", "roles": ["application"],
        "sub": "aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb", "tid": TENANT, "uti": "AAAA", "ver": "1.0",
    });
    let header = json!({
        "typ": "JWT", "alg": "RS256", "x5t": "MGLqj98VNLoXaFfpJCBpgB4JaKs", "kid": "MGLqj98VNLoXaFfpJCBpgB4JaKs",
    });
    Fixture::new(
        "Entra v1",
        key,
        &keys,
        &format!(
            "issuer: {issuer}, key_set: KEYS, algorithms: [RS256], audience: [\"api://applications-api\"], claims: {{customer: tid, client: appid, scope: roles}}"
        ),
        [header, claims],
        [TENANT, "11112222-bbbb-3333-cccc-4444dddd5555", "application", &issuer],
    )
}

/// Cognito: an access token has no `aud`, its client stands for that; scopes begin with the resource server's name.
fn cognito() -> Fixture {
    let key = key(Algorithm::Rs256, "1234example=");
    let keys = [jwk(&crate::harness::key(Algorithm::Rs256, "5678example="), json!({})), jwk(&key, json!({}))];
    let claims = json!({
        "sub": COGNITO_CLIENT, "token_use": "access", "scope": "applications-api/application", "auth_time": now(),
        "iss": COGNITO, "exp": now() + 3600, "iat": now(), "version": 2, "jti": "bb2a9c2d-5a4e-4f5c-9f5b-2c1f0d3e4a5b",
        "client_id": COGNITO_CLIENT,
    });
    Fixture::new(
        "Cognito",
        key,
        &keys,
        &format!(
            "issuer: {COGNITO}, key_set: KEYS, algorithms: [RS256], audience: {COGNITO_CLIENT}, claims: {{audience: client_id, customer: client_id}}"
        ),
        [json!({"kid": "1234example=", "alg": "RS256"}), claims],
        [COGNITO_CLIENT, COGNITO_CLIENT, "applications-api/application", COGNITO],
    )
}

/// Auth0: the issuer ends with a slash, and claims of one's own have the names of addresses.
fn auth0() -> Fixture {
    let key = key(Algorithm::Rs256, "NjVBRjY5MDlCMUIwNzU4RTA2QzZFMDQ4QzQ2MDAyQjVDNjk1RTM2Qg");
    let old = crate::harness::key(Algorithm::Rs256, "fLDxJ3gJcmAuw2DIsBKWk");
    let keys = [&key, &old].map(|key| jwk(key, json!({"x5t": key.kid, "x5c": [b64_standard(key.spki())]})));
    let (issuer, client) = ("https://dev-example.eu.auth0.com/", "mh1h6Yg3L5wM8b1R0pCkX2oN7sJ4dTqE");
    let claims = json!({
        "https://example.com/customer": "Acme, Inc", "iss": issuer, "sub": format!("{client}@clients"),
        "aud": ["https://api.example.com/", format!("{issuer}userinfo")], "iat": now(), "exp": now() + 86_400,
        "scope": "openid application", "gty": "client-credentials", "azp": client, "permissions": ["application"],
    });
    Fixture::new(
        "Auth0",
        key,
        &keys,
        &format!(
            "issuer: {issuer}, key_set: KEYS, algorithms: [RS256], audience: https://api.example.com/, claims: {{customer: https://example.com/customer, client: azp}}"
        ),
        [
            json!({"alg": "RS256", "typ": "at+jwt", "kid": "NjVBRjY5MDlCMUIwNzU4RTA2QzZFMDQ4QzQ2MDAyQjVDNjk1RTM2Qg"}),
            claims,
        ],
        ["Acme, Inc", client, "openid application", issuer],
    )
}

/// Hydra: scopes as list and, by configuration, as text beside it (hydra#3524).
fn hydra() -> Fixture {
    let key = key(Algorithm::Rs256, "1a3dd5b9-b1d1-4e3f-9f0e-9c0a1d7c3b11");
    let claims = json!({
        "aud": ["applications-api"], "client_id": "machine", "exp": now() + 3600, "ext": {"customer": "m\u{fc}ller"},
        "iat": now(), "iss": "https://hydra.example.com", "jti": "8fdf1a4e-5ae3-4d8a-8d5f-5f3e7d8f1b2c",
        "nbf": now(), "scope": "application", "scp": ["application"], "sub": "machine",
    });
    let keys = [jwk(&key, json!({}))];
    Fixture::new(
        "Hydra",
        key,
        &keys,
        "issuer: https://hydra.example.com, key_set: KEYS, algorithms: [RS256], claims: {customer: /ext/customer}",
        [json!({"alg": "RS256", "kid": "1a3dd5b9-b1d1-4e3f-9f0e-9c0a1d7c3b11", "typ": "JWT"}), claims],
        ["m%C3%BCller", "machine", "application", "https://hydra.example.com"],
    )
}

/// Okta, an authorization server of one's own: the client is `cid`.
fn okta() -> Fixture {
    let key = key(Algorithm::Rs256, "FJA0HGNtsuuda_Pl45J42kvQqcsu_0C4Fg7pbJLXTHY");
    let issuer = "https://example.okta.com/oauth2/default";
    let claims = json!({
        "ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE", "iss": issuer, "aud": "api://default",
        "iat": now(), "exp": now() + 3600, "cid": "0oaiqwr1", "scp": ["application"], "sub": "0oaiqwr1",
        "org": null,
    });
    let keys = [jwk(&key, json!({"x5c": null, "x5t": null}))];
    Fixture::new(
        "Okta",
        key,
        &keys,
        &format!(
            "issuer: {issuer}, key_set: KEYS, algorithms: [RS256], audience: \"api://default\", claims: {{customer: sub, client: cid}}"
        ),
        [json!({"kid": "FJA0HGNtsuuda_Pl45J42kvQqcsu_0C4Fg7pbJLXTHY", "alg": "RS256"}), claims],
        ["0oaiqwr1", "0oaiqwr1", "application", issuer],
    )
}

/// Hydra's opaque tokens, and what it says of them.
fn opaque_hydra() -> (Upstream, String) {
    let server = Upstream::start();
    let entry = format!(
        "issuer: https://opaque.example.com, introspection: {{url: \"http://{}/admin/oauth2/introspect\", client_id: gate, client_secret: env:THEIR_SECRET}}, claims: {{customer: /ext/customer}}",
        server.address
    );
    (server, entry)
}

fn told_by_hydra(changes: Value) -> Answer {
    let answer = json!({
        "active": true, "scope": "application", "client_id": "machine", "sub": "machine", "exp": now() + 3600,
        "iat": now(), "nbf": now(), "aud": [], "iss": "https://opaque.example.com", "token_type": "Bearer",
        "token_use": "access_token", "ext": {"customer": "acme"}, "username": null, "obfuscated_subject": null,
    });
    let mut answer = answer;
    answer.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    Answer::json(&answer.to_string())
}

fn trusting(fixtures: &[Fixture], opaque: &str) -> Gateway {
    Gateway::start(|config: &mut Config| {
        let entries = fixtures.iter().map(|fixture| fixture.entry.as_str()).chain([opaque]);
        let entries: String = entries.map(|entry| format!("  - {{{entry}}}\n")).collect();
        config.section(&format!("trust:\n{entries}"));
        config.section("scopes: [{name: applications-api/application, implies: [application]}]");
        config.limit("token: 16KiB");
        config.environment = vec![("THEIR_SECRET".to_owned(), "secret".to_owned())];
    })
}

fn read(token: &str) -> Request {
    Request::get("/v1/applications").bearer(token)
}

#[test]
fn tokens_of_well_known_issuers_are_accepted_with_the_entry_for_each() {
    let consumers = key(Algorithm::Rs256, "consumers");
    let fixtures = [keycloak(), entra_v2(&consumers), entra_v1(&consumers), cognito(), auth0(), hydra(), okta()];
    let (asked, entry) = opaque_hydra();
    asked.always(told_by_hydra(json!({})));
    let gateway = trusting(&fixtures, &entry);
    let assert_seen = |name: &str, token: &str, expected: &[&str; 4]| {
        gateway.upstream().forget();
        let reply = gateway.send(&read(token));
        assert_eq!(reply.status, 200, "{name}: {} {}", reply.summary(), gateway.log());
        let seen = gateway.upstream().request();
        let names = ["x-customer-id", "x-client-id", "x-scope", "x-token-issuer"];
        assert_eq!(names.map(|name| seen.header(name).unwrap_or_default()), *expected, "{name}");
    };
    for fixture in &fixtures {
        let token = fixture.token(json!({}));
        assert_seen(fixture.name, &token, &fixture.seen.each_ref().map(String::as_str));
        assert_eq!(fixture.server.requests().len(), 1, "{}", fixture.name);
    }
    assert!(fixtures[1].token(json!({})).len() > 8 * 1024, "Entra's groups make long tokens");
    assert_seen("Hydra, asked", "ory_at_AAAA.BBBB", &["acme", "machine", "application", "https://opaque.example.com"]);
    assert!(!gateway.log().contains("cannot be fetched"), "{}", gateway.log());

    let [keycloak, entra_v2, entra_v1, cognito, auth0, hydra, okta] = &fixtures;
    let v2 = |tenant: &str| json!({"iss": format!("https://login.microsoftonline.com/{tenant}/v2.0"), "tid": tenant});
    let by = |signer: &Forge, fixture: &Fixture, changes: Value| {
        let header = with(&fixture.header, json!({"kid": signer.kid}));
        signer.token(&header.to_string(), with(&fixture.claims, changes).to_string())
    };
    let rows = [
        ("Keycloak: for another client", keycloak.token(json!({"aud": "account"})), 401),
        ("Keycloak: another realm", keycloak.token(json!({"iss": "https://sso.example.com/realms/other"})), 401),
        ("Keycloak: without the role", keycloak.token(json!({"realm_access": {"roles": ["offline_access"]}})), 403),
        ("Entra: another tenant", entra_v2.token(v2(OTHER_TENANT)), 401),
        ("Entra: a v1 name", entra_v2.token(json!({"iss": format!("https://sts.windows.net/{TENANT}/")})), 401),
        ("Entra: a key of personal accounts", by(&consumers, entra_v2, json!({})), 401),
        ("Entra: the same for a personal account", by(&consumers, entra_v2, v2(CONSUMERS)), 200),
        ("Entra: for Graph", entra_v1.token(json!({"aud": "00000003-0000-0000-c000-000000000000"})), 401),
        (
            "Cognito: an ID token",
            cognito.token(json!({"token_use": "id", "aud": COGNITO_CLIENT, "client_id": null, "scope": null})),
            401,
        ),
        ("Cognito: an ID token with a client", cognito.token(json!({"token_use": "id"})), 401),
        ("Cognito: another client", cognito.token(json!({"client_id": "another"})), 401),
        ("Auth0: for userinfo alone", auth0.token(json!({"aud": "https://dev-example.eu.auth0.com/userinfo"})), 401),
        ("Auth0: the issuer without its slash", auth0.token(json!({"iss": "https://dev-example.eu.auth0.com"})), 401),
        ("Hydra: for nobody", hydra.token(json!({"aud": []})), 401),
        ("Okta: a key of another issuer", by(&hydra.key, okta, json!({})), 401),
    ];
    each_row(
        &rows,
        |row| row.0.to_owned(),
        |(name, token, status)| assert_eq!(gateway.send(&read(token)).status, *status, "{name}"),
    );
    for (name, changes, status) in [
        ("an audience that is ours", json!({"aud": ["applications-api"]}), 200),
        ("another audience", json!({"aud": ["https://other.example"]}), 401),
        ("a refresh token", json!({"token_use": "refresh_token"}), 401),
        ("another issuer's", json!({"iss": "https://hydra.example.com"}), 401),
    ] {
        asked.always(told_by_hydra(changes));
        assert_eq!(gateway.send(&read(&format!("ory_at_{}", name.replace([' ', '\''], "-")))).status, status, "{name}");
    }
}
