use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::token::{Algorithm, PrivateKey, SigningKey};

static KEYS: LazyLock<[SigningKey; 4]> =
    LazyLock::new(|| Algorithm::ALL.map(|algorithm| SigningKey::new(&PrivateKey::generate(algorithm)).unwrap()));

fn jwk(algorithm: Algorithm) -> Value {
    let key = KEYS.iter().find(|key| key.algorithm() == algorithm).unwrap();
    serde_json::to_value(key.jwk()).unwrap()
}

/// A JWK with members replaced, or taken out where they are null; `"null"` leaves a null there.
fn changed(algorithm: Algorithm, members: Value) -> Value {
    let (Value::Object(mut jwk), Value::Object(members)) = (jwk(algorithm), members) else { unreachable!("objects") };
    for (name, value) in members {
        if value.is_null() {
            jwk.remove(&name);
        } else if value == "null" {
            jwk.insert(name, Value::Null);
        } else {
            jwk.insert(name, value);
        }
    }
    jwk.into()
}

fn set(keys: &[Value]) -> String {
    serde_json::json!({ "keys": keys }).to_string()
}

/// The algorithms of the keys found in a set of one key, for an issuer that may use them all.
fn found(key: Value) -> Result<Vec<JwsAlgorithm>, KeySetError> {
    let KeySet { keys, unusable } = parse_key_set(set(&[key]).as_bytes(), &JwsAlgorithm::ALL)?;
    assert_eq!(unusable, []);
    Ok(keys.iter().map(VerifyingKey::algorithm).collect())
}

/// Why this entry is passed over in a set that has a good one beside it.
fn why(text: &str) -> Result<WhyUnusable, KeySetError> {
    let text = format!("{{\"keys\":[{},{text}]}}", jwk(Algorithm::EdDsa));
    let KeySet { keys, unusable } = parse_key_set(text.as_bytes(), &JwsAlgorithm::ALL)?;
    assert_eq!(keys.iter().map(VerifyingKey::algorithm).collect::<Vec<_>>(), [JwsAlgorithm::EdDsa], "{text}");
    let [Unusable { place: 1, id: _, why }] = unusable[..] else { panic!("{unusable:?} of {text}") };
    Ok(why)
}

/// The kinds of keys in a set, with their names.
fn told(text: &str) -> Vec<(JwsAlgorithm, Option<String>)> {
    let KeySet { keys, .. } = parse_key_set(text.as_bytes(), &JwsAlgorithm::ALL).unwrap();
    keys.iter().map(|key| (key.algorithm(), key.id().map(ToString::to_string))).collect()
}

#[test]
fn a_key_is_for_the_algorithm_it_states_or_for_all_it_fits() {
    use JwsAlgorithm::*;
    for (key, expected) in [
        (jwk(Algorithm::Es256), vec![Es256]),
        (jwk(Algorithm::EdDsa), vec![EdDsa]),
        (jwk(Algorithm::Rs256), vec![Rs256]),
        (jwk(Algorithm::Ps256), vec![Ps256]),
        (changed(Algorithm::Rs256, serde_json::json!({"alg": "PS512"})), vec![Ps512]),
        (changed(Algorithm::Rs256, serde_json::json!({"alg": null})), vec![Rs256, Rs384, Rs512, Ps256, Ps384, Ps512]),
        (changed(Algorithm::Es256, serde_json::json!({"alg": null, "kid": null, "use": null})), vec![Es256]),
        (changed(Algorithm::Es256, serde_json::json!({"use": null, "key_ops": ["verify"]})), vec![Es256]),
        (changed(Algorithm::Es256, serde_json::json!({"x5c": ["x"], "x5t": "y", "other": {"d": 1}})), vec![Es256]),
    ] {
        assert_eq!(found(key.clone()), Ok(expected), "{key}");
    }
}

#[test]
fn null_is_absence() {
    for (algorithm, members, expected) in [
        (Algorithm::Es256, serde_json::json!({"alg": "null", "use": "null", "key_ops": "null", "kid": "null"}), 1),
        (Algorithm::Es256, serde_json::json!({"x5c": "null", "x5t": "null", "d": "null"}), 1),
        (Algorithm::Rs256, serde_json::json!({"alg": "null", "d": "null", "p": "null", "q": "null", "oth": "null"}), 6),
        (Algorithm::EdDsa, serde_json::json!({"k": "null", "d": "null"}), 1),
    ] {
        let key = changed(algorithm, members);
        assert_eq!(found(key.clone()).unwrap().len(), expected, "{key}");
    }
}

#[test]
fn what_cannot_be_used_is_passed_over_and_says_why() {
    use WhyUnusable::{Algorithm as Other, Member, Symmetric, Type, Use, Weak};
    let bytes = |length: usize| URL_SAFE_NO_PAD.encode(vec![0xff; length]);
    let zeros = |length: usize| URL_SAFE_NO_PAD.encode(vec![0; length]);
    let es = |members| changed(Algorithm::Es256, members).to_string();
    let rs = |members| changed(Algorithm::Rs256, members).to_string();
    let ed = |members| changed(Algorithm::EdDsa, members).to_string();
    for (entry, expected) in [
        (es(serde_json::json!({"use": "enc"})), Use),
        (es(serde_json::json!({"use": "SIG"})), Use),
        (es(serde_json::json!({"key_ops": ["sign"]})), Use),
        (es(serde_json::json!({"key_ops": []})), Use),
        (es(serde_json::json!({"key_ops": ["encrypt", "wrapKey"]})), Use),
        (es(serde_json::json!({"use": "enc", "key_ops": ["verify"]})), Use),
        (rs(serde_json::json!({"use": "enc", "alg": "RSA-OAEP"})), Use),
        (rs(serde_json::json!({"use": null, "alg": "RSA-OAEP"})), Other),
        (es(serde_json::json!({"alg": "ECDH-ES"})), Other),
        (es(serde_json::json!({"alg": "es256"})), Other),
        (es(serde_json::json!({"alg": "none"})), Other),
        (es(serde_json::json!({"alg": "RS256"})), Other),
        (es(serde_json::json!({"alg": "ES384"})), Other),
        (es(serde_json::json!({"alg": "HS256"})), Other),
        (es(serde_json::json!({"kty": "AKP"})), Type),
        (es(serde_json::json!({"crv": "P-521"})), Type),
        (es(serde_json::json!({"crv": "secp256k1"})), Type),
        (ed(serde_json::json!({"crv": "X25519"})), Type),
        (ed(serde_json::json!({"kty": "EC"})), Type),
        (es(serde_json::json!({"kty": null})), Member),
        (es(serde_json::json!({"kty": "null"})), Member),
        (es(serde_json::json!({"kty": 1})), Member),
        (es(serde_json::json!({"crv": null})), Member),
        (es(serde_json::json!({"kid": 1})), Member),
        (es(serde_json::json!({"use": ["sig"]})), Member),
        (es(serde_json::json!({"alg": ["ES256"]})), Member),
        (es(serde_json::json!({"key_ops": "verify"})), Member),
        (es(serde_json::json!({"key_ops": ["verify", "verify"]})), Member),
        (es(serde_json::json!({"key_ops": [null, "verify"]})), Member),
        (es(serde_json::json!({"x": null})), Member),
        (es(serde_json::json!({"x": "null"})), Member),
        (es(serde_json::json!({"x": "AAAA"})), Member),
        (es(serde_json::json!({"y": "a b"})), Member),
        (es(serde_json::json!({"x": bytes(32)})), Member),
        (ed(serde_json::json!({"x": bytes(31)})), Member),
        (rs(serde_json::json!({"e": null})), Member),
        (rs(serde_json::json!({"n": "not base64!"})), Member),
        (ed(serde_json::json!({"x": zeros(32)})), Weak),
        (rs(serde_json::json!({"n": bytes(128)})), Weak),
        (rs(serde_json::json!({"e": "AQ"})), Weak),
        (r#"{"kty":"oct","k":"AAAA"}"#.to_owned(), Symmetric),
        (r#"{"kty":"oct"}"#.to_owned(), Symmetric),
        (es(serde_json::json!({"k": "AAAA"})), Symmetric),
        (jwk(crate::token::Algorithm::Es256).to_string().replacen('{', "{\"kty\":\"EC\",", 1), Member),
        ("null".to_owned(), Member),
        ("1".to_owned(), Member),
        ("-1.5".to_owned(), Member),
        ("\"key\"".to_owned(), Member),
        ("true".to_owned(), Member),
        ("[{}]".to_owned(), Member),
        ("{}".to_owned(), Member),
    ] {
        assert_eq!(why(&entry), Ok(expected), "{entry}");
    }
}

#[test]
fn a_private_member_anywhere_refuses_the_set() {
    for entry in [
        changed(Algorithm::Es256, serde_json::json!({"d": "AAAA"})).to_string(),
        changed(Algorithm::Rs256, serde_json::json!({"p": "AAAA"})).to_string(),
        changed(Algorithm::Rs256, serde_json::json!({"oth": []})).to_string(),
        changed(Algorithm::Rs256, serde_json::json!({"dp": false})).to_string(),
        changed(Algorithm::Es256, serde_json::json!({"use": "enc", "d": "AAAA"})).to_string(),
        r#"{"kty":"AKP","alg":"ML-DSA-44","pub":"AA","priv":"AA"}"#.to_owned(),
        r#"{"d":null,"d":"AAAA"}"#.to_owned(),
        r#"{"\u0064":"AAAA"}"#.to_owned(),
    ] {
        assert_eq!(why(&entry), Err(KeySetError::Private(1)), "{entry}");
    }
}

#[test]
fn keys_may_share_a_name_and_the_same_key_counts_once() {
    use JwsAlgorithm::*;
    let named = |algorithm, kid: &str| changed(algorithm, serde_json::json!({"kid": kid}));
    let one = Some("k".to_owned());
    let two_types = set(&[named(Algorithm::Es256, "k"), named(Algorithm::Rs256, "k"), named(Algorithm::EdDsa, "k")]);
    assert_eq!(told(&two_types), [(Es256, one.clone()), (Rs256, one.clone()), (EdDsa, one.clone())]);
    let rs384 = changed(Algorithm::Rs256, serde_json::json!({"kid": "k", "alg": "RS384"}));
    let one_key_twice = set(&[named(Algorithm::Rs256, "k"), rs384, named(Algorithm::Rs256, "k")]);
    assert_eq!(told(&one_key_twice), [(Rs256, one.clone()), (Rs384, one.clone())]);
    let encryption = changed(Algorithm::Rs256, serde_json::json!({"kid": "k", "alg": "RSA-OAEP", "use": "enc"}));
    assert_eq!(told(&set(&[encryption, named(Algorithm::Ps256, "k")])), [(Ps256, one.clone())]);
    let under_two_names = set(&[named(Algorithm::Es256, "a b"), named(Algorithm::Es256, "")]);
    assert_eq!(told(&under_two_names), [(Es256, Some("a b".to_owned())), (Es256, Some(String::new()))]);
}

#[test]
fn the_log_names_what_is_passed_over() {
    let entry = |kid: &str| changed(Algorithm::Rs256, serde_json::json!({"kid": kid, "use": "enc"}));
    let mut keys = vec![jwk(Algorithm::EdDsa), serde_json::json!({"kty": "new"}), entry("a\n\u{1b}b")];
    keys.extend((0..10).map(|n| entry(&n.to_string())));
    let unusable = parse_key_set(set(&keys).as_bytes(), &JwsAlgorithm::ALL).unwrap().unusable;
    let text = PassedOver(&unusable).to_string();
    assert!(text.starts_with(r#": key 1 type, key 2 ("a\n\u{1b}b") use, key 3 ("0") use,"#), "{text}");
    assert!(text.ends_with(r#"key 10 ("7") use, and 2 more"#), "{text}");
    let none = parse_key_set(set(&keys[1..2]).as_bytes(), &JwsAlgorithm::ALL).unwrap_err();
    assert_eq!(none.to_string(), "it has no key for the algorithms of this issuer: key 0 type");
}

#[test]
fn what_is_no_set_is_refused() {
    let good = jwk(Algorithm::Es256).to_string();
    let other = |n: usize| changed(Algorithm::Es256, serde_json::json!({"kid": format!("{n}")}));
    let many = |count| set(&(0..count).map(other).collect::<Vec<_>>());
    for (text, expected) in [
        (format!("{{\"keys\":[{good}]}}"), None),
        (format!("{{\"keys\":[{good}],\"more\":1}}"), None),
        (many(100), None),
        (many(101), Some(KeySetError::NotASet)),
        (String::new(), Some(KeySetError::NotASet)),
        ("<html>".to_owned(), Some(KeySetError::NotASet)),
        (good.clone(), Some(KeySetError::NotASet)),
        (format!("[{good}]"), Some(KeySetError::NotASet)),
        (format!("[[{good}]]"), Some(KeySetError::NotASet)),
        ("[[]]".to_owned(), Some(KeySetError::NotASet)),
        (format!("{{\"keys\":{good}}}"), Some(KeySetError::NotASet)),
        (format!("{{\"keys\":[{good}"), Some(KeySetError::NotASet)),
        (format!("{{\"keys\":[{good}]}}x"), Some(KeySetError::NotASet)),
        (format!("{{\"keys\":[{good}],\"keys\":[]}}"), Some(KeySetError::NotASet)),
        ("{\"keys\":null}".to_owned(), Some(KeySetError::NotASet)),
        ("{\"keys\":[1,]}".to_owned(), Some(KeySetError::NotASet)),
        ("{\"keys\":[]}".to_owned(), Some(KeySetError::NoUsableKey(Vec::new()))),
    ] {
        assert_eq!(parse_key_set(text.as_bytes(), &JwsAlgorithm::ALL).err(), expected, "{text}");
    }
    assert_eq!(parse_key_set(b"{\"keys\":[\xff]}", &[JwsAlgorithm::Es256]).err(), Some(KeySetError::NotASet));
}

#[test]
fn only_algorithms_of_the_issuer_count() {
    let text = set(&[jwk(Algorithm::Es256), jwk(Algorithm::Rs256)]);
    let set = parse_key_set(text.as_bytes(), &[JwsAlgorithm::Rs256, JwsAlgorithm::Ps256]).unwrap();
    assert_eq!(set.keys.iter().map(VerifyingKey::algorithm).collect::<Vec<_>>(), [JwsAlgorithm::Rs256]);
    assert_eq!(set.unusable.iter().map(|entry| entry.why).collect::<Vec<_>>(), [WhyUnusable::Algorithm]);
    let refused = parse_key_set(text.as_bytes(), &[JwsAlgorithm::Es384]).err();
    assert!(matches!(refused, Some(KeySetError::NoUsableKey(entries)) if entries.len() == 2));
}

proptest! {
    #[test]
    fn no_bytes_make_the_parsers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_key_set(&bytes, &JwsAlgorithm::ALL);
    }

    /// Whatever is done to one member, what comes out has the kind that its algorithm says.
    #[test]
    fn a_changed_member_makes_no_key_of_another_kind(
        algorithm in proptest::sample::select(&Algorithm::ALL[..]),
        name in proptest::sample::select(&["kty", "crv", "alg", "use", "x", "y", "n", "e", "kid", "key_ops"][..]),
        value in proptest::sample::select(&["RSA", "EC", "OKP", "P-256", "P-384", "Ed25519", "RS256", "ES256", "HS256", "sig", "AQAB", ""][..]),
    ) {
        for algorithm in found(changed(algorithm, serde_json::json!({name: value}))).unwrap_or_default() {
            prop_assert_ne!(algorithm.key_kind(), KeyKind::Shared);
        }
    }
}
