use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, jwk::Jwk};
use scopegate::{
    domain::{KeyFingerprint, KeyId},
    token::{JwsAlgorithm, KeyKind, KeySetError, RsaPublicKey, VerifyingKey, parse_key_set, parse_pem},
};
use serde_json::{Map, Value};

use super::json::{Kind, Node, read};

/// A key as it is told from others: algorithm, `kid`, and what it is made of.
type Told = (JwsAlgorithm, Option<KeyId>, KeyFingerprint);
/// What a parser makes of some bytes.
type Parsed = Result<Vec<VerifyingKey>, KeySetError>;

/// The keys that are found in a JWK set are those a second reader finds, which the library takes too; nothing private,
/// symmetric or named twice stands beside them. In sets and PEM files alike, an algorithm more or less changes nothing
/// for the keys of the others.
pub fn key_set(data: &[u8]) {
    let found = parse_key_set(data, &JwsAlgorithm::ALL);
    match &found {
        Ok(keys) => assert_eq!(told(keys), expected(data)),
        Err(KeySetError::NoUsableKey) => assert_eq!(expected(data), []),
        Err(_) => {}
    }
    assert_algorithms_are_apart(data, found, parse_key_set);
    let found = parse_pem(data, &JwsAlgorithm::ALL);
    assert!(found.iter().flatten().all(|key| key.id().is_none()));
    assert_algorithms_are_apart(data, found, parse_pem);
}

fn told(keys: &[VerifyingKey]) -> Vec<Told> {
    keys.iter().map(|key| (key.algorithm(), key.id().cloned(), key.fingerprint())).collect()
}

fn assert_algorithms_are_apart(data: &[u8], all: Parsed, parse: fn(&[u8], &[JwsAlgorithm]) -> Parsed) {
    let Ok(all) = all else { return };
    for algorithm in JwsAlgorithm::ALL {
        let of_it: Vec<_> = told(&all).into_iter().filter(|(own, ..)| *own == algorithm).collect();
        match parse(data, &[algorithm]) {
            Ok(keys) => assert_eq!(told(&keys), of_it),
            Err(error) => assert_eq!((error, of_it), (KeySetError::NoUsableKey, Vec::new())),
        }
    }
}

fn expected(data: &[u8]) -> Vec<Told> {
    let Some(Kind::Object(members)) = read(data).map(|node| node.kind) else { panic!("it is no object") };
    let mut lists = members.iter().filter(|(name, _)| name == "keys").map(|(_, value)| &value.kind);
    let (Some(Kind::List(keys)), None) = (lists.next(), lists.next()) else { panic!("not one list of keys") };
    let keys: Vec<Map<String, Value>> = keys.iter().map(|key| object(data, key)).collect();
    let names: Vec<&Value> = keys.iter().filter_map(|key| key.get("kid")).collect();
    let different: BTreeSet<&str> = names.iter().map(|name| name.as_str().expect("a text")).collect();
    assert_eq!(different.len(), names.len(), "a name stands there twice");
    keys.iter().flat_map(keys_of).collect()
}

/// A member of `keys`, which names everything once and nothing that is not public.
fn object(data: &[u8], key: &Node) -> Map<String, Value> {
    let Kind::Object(members) = &key.kind else { panic!("a key is no object") };
    let names: BTreeSet<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), members.len(), "a member stands there twice");
    assert!(["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().all(|name| !names.contains(name)));
    let object: Map<String, Value> = serde_json::from_slice(&data[key.start..key.end]).expect("it was read before");
    assert!(object.get("kty").is_none_or(|kind| kind != "oct"));
    object
}

/// One key for each algorithm that it may be used with.
fn keys_of(key: &Map<String, Value>) -> Vec<Told> {
    let text = |name: &str| key.get(name).map(|value| value.as_str().expect("a text"));
    let operations = key.get("key_ops").map(|list| list.as_array().expect("a list"));
    let verifies = text("use").is_none_or(|used| used == "sig")
        && operations.is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
    let id = text("kid").map(KeyId::parse);
    let (Ok(id), true) = (id.transpose(), verifies) else { return Vec::new() };
    let kind = match text("kty") {
        Some("RSA") => KeyKind::Rsa,
        Some(kind @ ("EC" | "OKP")) => match (kind, text("crv")) {
            ("EC", Some("P-256")) => KeyKind::P256,
            ("EC", Some("P-384")) => KeyKind::P384,
            ("OKP", Some("Ed25519")) => KeyKind::Ed25519,
            _ => return Vec::new(),
        },
        // What a type that we do not know calls `crv` may be anything.
        _ => return Vec::new(),
    };
    let fits = |algorithm: &JwsAlgorithm| {
        algorithm.key_kind() == kind && text("alg").is_none_or(|stated| stated == algorithm.name())
    };
    let algorithms = JwsAlgorithm::ALL.into_iter().filter(fits);
    algorithms.map(|algorithm| (algorithm, id.clone(), material(key, algorithm))).collect()
}

/// What the key is made of, once the library has taken it too.
fn material(key: &Map<String, Value>, algorithm: JwsAlgorithm) -> KeyFingerprint {
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().expect("a text")).expect("base64url");
    let made = match algorithm.key_kind() {
        KeyKind::Rsa => VerifyingKey::rsa(algorithm, &RsaPublicKey::new(&bytes("n"), &bytes("e"))),
        KeyKind::P256 | KeyKind::P384 => VerifyingKey::curve(algorithm, &[vec![4], bytes("x"), bytes("y")].concat()),
        KeyKind::Ed25519 => VerifyingKey::curve(algorithm, &bytes("x")),
        KeyKind::Shared => panic!("a shared secret in a key set"),
    };
    let names = ["kty", "crv", "x", "y", "n", "e"].into_iter();
    let public: Map<_, _> = names.filter_map(|name| Some((name.to_owned(), key.get(name)?.clone()))).collect();
    let jwk: Jwk = serde_json::from_value(public.into()).expect("the library reads it");
    assert!(DecodingKey::from_jwk(&jwk).is_ok());
    made.expect("it was made before").fingerprint()
}
