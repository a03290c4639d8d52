use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, jwk::Jwk};
use scopegate::{
    domain::{KeyFingerprint, KeyId},
    token::{
        JwsAlgorithm, KeyKind, KeySet, KeySetError, RsaPublicKey, Unusable, VerifyingKey, parse_key_set, parse_pem,
    },
};
use serde_json::{Map, Value};

use super::json::{Kind, Node, read};

/// A key as it is told from others: algorithm, `kid`, the one issuer it is for, and what it is made of.
type Told = (JwsAlgorithm, Option<KeyId>, Option<String>, KeyFingerprint);
/// What a parser makes of some bytes.
type Parsed = Result<Vec<VerifyingKey>, KeySetError>;

/// The keys that are found in a JWK set are those a second reader finds, which the library takes too; nothing private
/// stands beside them, and every other entry is told with its place. In sets and PEM files alike, an algorithm more or less
/// changes nothing for the keys of the others.
pub fn key_set(data: &[u8]) {
    let found = parse_key_set(data, &JwsAlgorithm::ALL);
    match &found {
        Ok(KeySet { keys, unusable }) => {
            let (expected, passed_over) = expected(data);
            assert_eq!((told(keys), places(unusable)), (expected, passed_over));
        }
        Err(KeySetError::NoUsableKey(unusable)) => assert_eq!((Vec::new(), places(unusable)), expected(data)),
        Err(_) => {}
    }
    assert_algorithms_are_apart(data, found.map(|set| set.keys), |data, algorithms| {
        parse_key_set(data, algorithms).map(|set| set.keys)
    });
    let found = parse_pem(data, &JwsAlgorithm::ALL);
    assert!(found.iter().flatten().all(|key| key.id().is_none()));
    assert_algorithms_are_apart(data, found, parse_pem);
}

fn places(unusable: &[Unusable]) -> Vec<usize> {
    unusable.iter().map(|entry| entry.place).collect()
}

fn told(keys: &[VerifyingKey]) -> Vec<Told> {
    keys.iter()
        .map(|key| (key.algorithm(), key.id().cloned(), key.issuer().map(str::to_owned), key.fingerprint()))
        .collect()
}

fn assert_algorithms_are_apart(data: &[u8], all: Parsed, parse: fn(&[u8], &[JwsAlgorithm]) -> Parsed) {
    let Ok(all) = all else { return };
    for algorithm in JwsAlgorithm::ALL {
        let of_it: Vec<_> = told(&all).into_iter().filter(|(own, ..)| *own == algorithm).collect();
        match parse(data, &[algorithm]) {
            Ok(keys) => assert_eq!(told(&keys), of_it),
            Err(error) => assert!(matches!(error, KeySetError::NoUsableKey(_)) && of_it.is_empty(), "{error}"),
        }
    }
}

/// The keys of a set, each once, and the places of the entries that are none.
fn expected(data: &[u8]) -> (Vec<Told>, Vec<usize>) {
    let Some(Kind::Object(members)) = read(data).map(|node| node.kind) else { panic!("it is no object") };
    let mut lists = members.iter().filter(|(name, _)| name == "keys").map(|(_, value)| &value.kind);
    let (Some(Kind::List(items)), None) = (lists.next(), lists.next()) else { panic!("not one list of keys") };
    let (mut keys, mut passed_over): (Vec<Told>, Vec<usize>) = (Vec::new(), Vec::new());
    for (place, item) in items.iter().enumerate() {
        let found = object(data, item).map(|key| keys_of(&key)).unwrap_or_default();
        if found.is_empty() {
            passed_over.push(place);
        }
        for key in found {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    (keys, passed_over)
}

/// A member of `keys` that names everything once, without what is null; nothing in it is private.
fn object(data: &[u8], key: &Node) -> Option<Map<String, Value>> {
    let Kind::Object(members) = &key.kind else { return None };
    for (name, value) in members {
        let private = ["d", "p", "q", "dp", "dq", "qi", "oth", "priv"].contains(&name.as_str());
        assert!(!private || &data[value.start..value.end] == b"null", "{name} is private");
    }
    let names: BTreeSet<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    let mut object: Map<String, Value> = serde_json::from_slice(&data[key.start..key.end]).expect("it was read before");
    object.retain(|_, value| !value.is_null());
    (names.len() == members.len()).then_some(object)
}

/// One key for each algorithm that it may be used with; none where anything is amiss.
fn keys_of(key: &Map<String, Value>) -> Vec<Told> {
    let texts = ["kty", "crv", "alg", "use", "kid"];
    let odd = |name: &&str| key.get(*name).is_some_and(|value| !value.is_string());
    let read =
        if key.get("kty").is_some_and(|kind| kind == "RSA") { &["kty", "alg", "use", "kid"][..] } else { &texts };
    if read.iter().any(odd) || key.contains_key("k") {
        return Vec::new();
    }
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let operations = key.get("key_ops").map(|list| list.as_array().cloned().unwrap_or_default());
    let verifies = text("use").is_none_or(|used| used == "sig")
        && operations.is_none_or(|operations| {
            let names: BTreeSet<&str> = operations.iter().filter_map(Value::as_str).collect();
            names.len() == operations.len() && names.contains("verify")
        });
    let kind = match (text("kty"), text("crv")) {
        (Some("RSA"), _) => KeyKind::Rsa,
        (Some("EC"), Some("P-256")) => KeyKind::P256,
        (Some("EC"), Some("P-384")) => KeyKind::P384,
        (Some("OKP"), Some("Ed25519")) => KeyKind::Ed25519,
        _ => return Vec::new(),
    };
    if !verifies {
        return Vec::new();
    }
    let fits = |algorithm: &JwsAlgorithm| {
        algorithm.key_kind() == kind && text("alg").is_none_or(|stated| stated == algorithm.name())
    };
    let algorithms = JwsAlgorithm::ALL.into_iter().filter(fits);
    let issuer = text("issuer").filter(|issuer| issuer.starts_with("https://") && !issuer.contains('{'));
    let told = |algorithm| {
        Some((algorithm, text("kid").map(KeyId::new), issuer.map(str::to_owned), material(key, algorithm)?))
    };
    algorithms.map(told).collect::<Option<_>>().unwrap_or_default()
}

/// What the key is made of, if it is one: then the library takes it too.
fn material(key: &Map<String, Value>, algorithm: JwsAlgorithm) -> Option<KeyFingerprint> {
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(key.get(name)?.as_str()?).ok();
    let coordinate = |name: &str, length: usize| bytes(name).filter(|bytes| bytes.len() == length);
    let point = |length| Some([vec![4], coordinate("x", length)?, coordinate("y", length)?].concat());
    let made = match algorithm.key_kind() {
        KeyKind::Rsa => VerifyingKey::rsa(algorithm, &RsaPublicKey::new(&bytes("n")?, &bytes("e")?)),
        KeyKind::P256 => VerifyingKey::curve(algorithm, &point(32)?),
        KeyKind::P384 => VerifyingKey::curve(algorithm, &point(48)?),
        KeyKind::Ed25519 => VerifyingKey::curve(algorithm, &bytes("x")?),
        KeyKind::Shared => panic!("a shared secret in a key set"),
    };
    let made = made.ok()?.fingerprint();
    let names = ["kty", "crv", "x", "y", "n", "e"].into_iter();
    let public: Map<_, _> = names.filter_map(|name| Some((name.to_owned(), key.get(name)?.clone()))).collect();
    let jwk: Jwk = serde_json::from_value(public.into()).expect("the library reads it");
    assert!(DecodingKey::from_jwk(&jwk).is_ok());
    Some(made)
}
