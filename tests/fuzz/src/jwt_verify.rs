use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{DecodingKey, EncodingKey, Validation, crypto};
use scopegate::{
    domain::{ApplicationId, Catalogue, ClientId, CustomerId, Principal, Reason, ScopeSet, Timestamp, TokenId},
    token::{Algorithm, Expectations, Grant, PrivateKey, SigningKey, Unverified, issue},
};
use serde_json::{Map, Value};

use super::json::{Kind, read};

const NOW: u64 = 1_800_000_000;
const SKEW: u64 = 30;

/// One of the gateway's keys, two tokens that it has signed, and the same key as the library holds it.
struct Key {
    own: SigningKey,
    tokens: [String; 2],
    library: EncodingKey,
    algorithm: jsonwebtoken::Algorithm,
}

static KEYS: LazyLock<[Key; 3]> =
    LazyLock::new(|| [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256].map(Key::generate));
static CATALOGUE: LazyLock<Arc<Catalogue>> = LazyLock::new(Arc::default);

/// No token but the very bytes that were signed verifies, whatever is edited in it or put together from others. And what
/// is signed well is still judged by its words: where it passes, it says each thing once, and the library takes it too.
///
/// The first byte picks one of the two, and a key. For edits there follow quadruples: what, where (two bytes), which
/// byte. For words, a line of header, in which `ALG` stands for the key's algorithm, and a line of claims.
pub fn jwt_verify(data: &[u8]) {
    match data {
        [choice @ b'a'..=b'c', edits @ ..] => assert_no_edit_verifies(&KEYS[usize::from(choice - b'a')], edits),
        [choice @ b'x'..=b'z', words @ ..] => assert_words_are_judged(usize::from(choice - b'x'), words),
        _ => {}
    }
}

fn assert_no_edit_verifies(key: &Key, edits: &[u8]) {
    let mut token = key.tokens[0].clone().into_bytes();
    for edit in edits.chunks_exact(4) {
        let place = usize::from(u16::from_be_bytes([edit[1], edit[2]]));
        edit_once(&mut token, key, edit[0], place, edit[3]);
    }
    let signed = key.tokens.iter().any(|own| own.as_bytes() == token);
    let verified = verify(key, &token);
    assert_eq!(verified.is_ok(), signed, "{verified:?} {}", token.escape_ascii());
}

fn edit_once(token: &mut Vec<u8>, key: &Key, what: u8, place: usize, byte: u8) {
    let at = place % token.len().max(1);
    match what % 7 {
        0 if !token.is_empty() => token[at] = byte,
        1 => token.insert(at, byte),
        2 if !token.is_empty() => drop(token.remove(at)),
        3 if !token.is_empty() => token[at] ^= 1 << (byte % 8),
        4 => token.truncate(at),
        5 => *token = exchange(token, place, &key.tokens[usize::from(byte % 2)]),
        6 => *token = exchange(token, place, &KEYS[usize::from(byte % 3)].tokens[0]),
        _ => {}
    }
}

/// `token` with one of its parts taken from `other`.
fn exchange(token: &[u8], place: usize, other: &str) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = token.split(|byte| *byte == b'.').collect();
    let place = place % parts.len();
    if let Some(part) = other.split('.').nth(place) {
        parts[place] = part.as_bytes();
    }
    parts.join(&b'.')
}

fn assert_words_are_judged(choice: usize, words: &[u8]) {
    let key = &KEYS[choice];
    let newline = words.iter().position(|byte| *byte == b'\n').unwrap_or(words.len());
    let (header, claims) = (&words[..newline], words.get(newline + 1..).unwrap_or_default());
    let name = key.own.algorithm().name();
    let header = std::str::from_utf8(header).map_or(header.to_vec(), |text| text.replace("ALG", name).into_bytes());
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(&header), URL_SAFE_NO_PAD.encode(claims));
    let signature = crypto::sign(signed.as_bytes(), &key.library, key.algorithm).expect("the key signs");
    let token = format!("{signed}.{signature}");
    for (place, other) in KEYS.iter().enumerate() {
        match verify(other, token.as_bytes()) {
            Ok(principal) => {
                assert_eq!(place, choice, "another key vouches for it");
                let header = members(&header);
                assert_header(&header, name);
                assert_claims(&members(claims), &principal);
                if header.keys().all(|name| ["alg", "typ", "kid"].contains(&name.as_str())) {
                    assert_library_agrees(key, &token);
                }
            }
            Err(reason) => assert!(place != choice || reason != Reason::Signature),
        }
    }
}

/// The members of an object that names each of them once.
fn members(json: &[u8]) -> Map<String, Value> {
    let Some(Kind::Object(members)) = read(json).map(|node| node.kind) else { panic!("no object") };
    let names: BTreeSet<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), members.len(), "a name stands there twice");
    serde_json::from_slice(json).expect("it was read before")
}

fn assert_header(header: &Map<String, Value>, algorithm: &str) {
    assert_eq!(header["alg"], algorithm);
    assert!(["crit", "b64", "zip"].iter().all(|name| !header.contains_key(*name)));
    let kind = header.get("typ").filter(|kind| !kind.is_null());
    let kind = kind.map_or("jwt", |kind| kind.as_str().expect("a text")).to_lowercase();
    assert!(["jwt", "at+jwt"].contains(&kind.strip_prefix("application/").unwrap_or(&kind)));
}

#[allow(clippy::cast_precision_loss, reason = "seconds up to the year 9999 are whole in 53 bits")]
fn assert_claims(claims: &Map<String, Value>, principal: &Principal) {
    let stated = |name: &str| claims.get(name).filter(|value| !value.is_null());
    let text = |name: &str| stated(name).map(|value| value.as_str().expect("a text"));
    let seconds = |name: &str| stated(name).map(|value| value.as_f64().expect("a number"));
    let whole = |moment: Option<Timestamp>| moment.map(|moment| moment.seconds() as f64);
    let expires_at = seconds("exp").expect("it ends");
    assert_eq!(whole(Some(principal.expires_at)), Some(expires_at.floor()));
    assert_eq!(whole(principal.not_before), seconds("nbf").map(f64::floor));
    assert_eq!(whole(principal.issued_at), seconds("iat").map(f64::floor));
    assert!(expires_at.floor() + SKEW as f64 > NOW as f64);
    assert!(["nbf", "iat"].into_iter().filter_map(seconds).all(|from| from.floor() <= (NOW + SKEW) as f64));
    assert!(claims["aud"] == "api" || claims["aud"].as_array().is_some_and(|list| list.iter().any(|aud| aud == "api")));
    assert!(text("iss").is_some() && text("sub").is_some());
    assert_eq!(Some(principal.client.as_str()), text("client_id"));
    assert_eq!(Some(principal.issuer_name.as_str()), text("iss"));
    assert_eq!(Some(principal.customer.as_str()), text("customer_id"));
    assert_eq!(principal.token.as_ref().map(TokenId::as_str), text("jti"));
    assert_scopes(claims, principal);
}

fn assert_scopes(claims: &Map<String, Value>, principal: &Principal) {
    let mut stated = ["scope", "scp", "scopes"].iter().filter_map(|name| claims.get(*name));
    let names: Vec<&str> = match stated.find(|claim| !claim.is_null()) {
        Some(Value::String(list)) => list.split(' ').collect(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let granted = |scope: &str| principal.scopes.contains(CATALOGUE.find(scope).unwrap_or(ScopeSet::EMPTY));
    let session = names.contains(&"application.session");
    assert_eq!(granted("application"), names.contains(&"application"));
    assert_eq!(granted("application.read"), names.contains(&"application.read") || names.contains(&"application"));
    assert_eq!(granted("application.session"), session);
    let bound = principal.application.as_ref().map(ApplicationId::as_str);
    assert_eq!(bound, claims.get("application_id").and_then(Value::as_str).filter(|_| session));
    let required = ["application_id", "workflow_id", "redirect_url"];
    let is_text = |name: &str| claims.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    assert!(!session || required.into_iter().all(is_text));
}

fn assert_library_agrees(key: &Key, token: &str) {
    let mut rules = Validation::new(key.algorithm);
    rules.set_audience(&["api"]);
    // The library reads the machine's clock; times are compared above.
    (rules.validate_exp, rules.validate_nbf) = (false, false);
    let public = DecodingKey::from_jwk(key.own.jwk()).expect("our own JWK");
    let read = jsonwebtoken::decode::<Value>(token, &public, &rules);
    assert!(read.is_ok(), "{read:?}");
}

fn verify(key: &Key, token: &[u8]) -> Result<Principal, Reason> {
    let expected = Expectations::own("api".to_owned(), SKEW, Arc::clone(&CATALOGUE));
    Unverified::parse(token)?.verify(key.own.public(), &expected, Timestamp::from_seconds(NOW))
}

impl Key {
    fn generate(algorithm: Algorithm) -> Self {
        let private = PrivateKey::generate(algorithm);
        let own = SigningKey::new(&private).expect("a fresh key");
        let pem = STANDARD.encode(private.pkcs8());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----\n").into_bytes();
        let (library, algorithm) = match algorithm {
            Algorithm::Es256 => (EncodingKey::from_ec_pem(&pem), jsonwebtoken::Algorithm::ES256),
            Algorithm::EdDsa => (EncodingKey::from_ed_pem(&pem), jsonwebtoken::Algorithm::EdDSA),
            Algorithm::Rs256 => (EncodingKey::from_rsa_pem(&pem), jsonwebtoken::Algorithm::RS256),
            Algorithm::Ps256 => (EncodingKey::from_rsa_pem(&pem), jsonwebtoken::Algorithm::PS256),
        };
        let tokens = ["one", "two"].map(|id| sign(&own, id));
        Self { own, tokens, library: library.expect("the same key"), algorithm }
    }
}

fn sign(key: &SigningKey, id: &str) -> String {
    let client = ClientId::parse(id).expect("an identifier");
    let customer = CustomerId::parse("customer").expect("an identifier");
    let grant = Grant {
        issuer: "i",
        audience: "api",
        client: &client,
        customer: &customer,
        scope: "application",
        session: None,
        lifetime: 3600,
    };
    issue(key, &grant, &TokenId::parse(id).expect("an identifier"), Timestamp::from_seconds(NOW))
}
