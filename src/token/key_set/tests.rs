use std::sync::LazyLock;

use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::token::{Algorithm, PrivateKey, RsaWeakness, SigningKey};

static KEYS: LazyLock<[SigningKey; 4]> =
    LazyLock::new(|| Algorithm::ALL.map(|algorithm| SigningKey::new(&PrivateKey::generate(algorithm)).unwrap()));

fn jwk(algorithm: Algorithm) -> Value {
    let key = KEYS.iter().find(|key| key.algorithm() == algorithm).unwrap();
    serde_json::to_value(key.jwk()).unwrap()
}

/// A JWK with members replaced, or taken out where they are null.
fn changed(algorithm: Algorithm, members: Value) -> Value {
    let (Value::Object(mut jwk), Value::Object(members)) = (jwk(algorithm), members) else { unreachable!("objects") };
    for (name, value) in members {
        if value.is_null() {
            jwk.remove(&name);
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
    let keys = parse_key_set(set(&[key]).as_bytes(), &JwsAlgorithm::ALL)?;
    Ok(keys.iter().map(VerifyingKey::algorithm).collect())
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
fn a_key_for_something_else_is_passed_over() {
    for members in [
        serde_json::json!({"use": "enc"}),
        serde_json::json!({"use": "SIG"}),
        serde_json::json!({"key_ops": ["sign"]}),
        serde_json::json!({"key_ops": []}),
        serde_json::json!({"key_ops": ["encrypt", "wrapKey"]}),
        serde_json::json!({"use": "enc", "key_ops": ["verify"]}),
        serde_json::json!({"alg": "ECDH-ES"}),
        serde_json::json!({"alg": "es256"}),
        serde_json::json!({"alg": "none"}),
        serde_json::json!({"kty": "AKP"}),
        serde_json::json!({"crv": "P-521"}),
        serde_json::json!({"crv": "secp256k1"}),
        serde_json::json!({"kid": "with space"}),
    ] {
        let key = changed(Algorithm::Es256, members.clone());
        assert_eq!(found(key.clone()), Err(KeySetError::NoUsableKey), "{members}");
        let both = set(&[key, jwk(Algorithm::EdDsa)]);
        assert_eq!(parse_key_set(both.as_bytes(), &JwsAlgorithm::ALL).unwrap().len(), 1, "{members}");
    }
}

#[test]
fn a_set_with_anything_wrong_in_it_is_refused_whole() {
    let short = |bytes: usize| URL_SAFE_NO_PAD.encode(vec![0xff; bytes]);
    for (key, expected) in [
        (changed(Algorithm::Es256, serde_json::json!({"d": "AAAA"})), KeySetError::Private(1)),
        (changed(Algorithm::Rs256, serde_json::json!({"p": "AAAA"})), KeySetError::Private(1)),
        (changed(Algorithm::Rs256, serde_json::json!({"oth": []})), KeySetError::Private(1)),
        (changed(Algorithm::Es256, serde_json::json!({"use": "enc", "d": "AAAA"})), KeySetError::Private(1)),
        (serde_json::json!({"kty": "oct", "k": "AAAA"}), KeySetError::Private(1)),
        (serde_json::json!({"kty": "oct"}), KeySetError::Private(1)),
        (jwk(Algorithm::EdDsa), KeySetError::RepeatedKid(1)),
        (changed(Algorithm::Es256, serde_json::json!({"kty": null})), KeySetError::Member(1, "kty")),
        (changed(Algorithm::Es256, serde_json::json!({"kty": 1})), KeySetError::Member(1, "kty")),
        (changed(Algorithm::Es256, serde_json::json!({"crv": null})), KeySetError::Member(1, "crv")),
        (changed(Algorithm::Es256, serde_json::json!({"kid": 1})), KeySetError::Member(1, "kid")),
        (changed(Algorithm::Es256, serde_json::json!({"use": ["sig"]})), KeySetError::Member(1, "use")),
        (changed(Algorithm::Es256, serde_json::json!({"key_ops": "verify"})), KeySetError::Member(1, "key_ops")),
        (
            changed(Algorithm::Es256, serde_json::json!({"key_ops": ["verify", "verify"]})),
            KeySetError::Member(1, "key_ops"),
        ),
        (changed(Algorithm::Es256, serde_json::json!({"alg": "RS256"})), KeySetError::Member(1, "alg")),
        (changed(Algorithm::Es256, serde_json::json!({"alg": "ES384"})), KeySetError::Member(1, "alg")),
        (changed(Algorithm::Es256, serde_json::json!({"alg": "HS256"})), KeySetError::Member(1, "alg")),
        (changed(Algorithm::Es256, serde_json::json!({"x": null})), KeySetError::Member(1, "x")),
        (changed(Algorithm::Es256, serde_json::json!({"x": "AAAA"})), KeySetError::Member(1, "x")),
        (changed(Algorithm::Es256, serde_json::json!({"y": "a b"})), KeySetError::Member(1, "y")),
        (
            changed(Algorithm::Es256, serde_json::json!({"x": short(32)})),
            KeySetError::Key(1, VerifyingKeyError::NoKey(JwsAlgorithm::Es256)),
        ),
        (
            changed(Algorithm::EdDsa, serde_json::json!({"x": short(31), "kid": "other"})),
            KeySetError::Key(1, VerifyingKeyError::NoKey(JwsAlgorithm::EdDsa)),
        ),
        (
            changed(Algorithm::EdDsa, serde_json::json!({"x": URL_SAFE_NO_PAD.encode([0; 32]), "kid": "other"})),
            KeySetError::Key(1, VerifyingKeyError::SmallOrder),
        ),
        (
            changed(Algorithm::Rs256, serde_json::json!({"n": short(128)})),
            KeySetError::Key(1, VerifyingKeyError::Weak(RsaWeakness::Size(1024))),
        ),
        (
            changed(Algorithm::Rs256, serde_json::json!({"e": "AQ"})),
            KeySetError::Key(1, VerifyingKeyError::Weak(RsaWeakness::Exponent)),
        ),
    ] {
        let text = set(&[jwk(Algorithm::EdDsa), key.clone()]);
        assert_eq!(parse_key_set(text.as_bytes(), &JwsAlgorithm::ALL).err(), Some(expected), "{key}");
    }
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
        (format!("{{\"keys\":[{}]}}", good.replacen('{', "{\"kty\":\"oct\",", 1)), Some(KeySetError::NotASet)),
        ("{\"keys\":[1]}".to_owned(), Some(KeySetError::NotASet)),
        ("{\"keys\":[]}".to_owned(), Some(KeySetError::NoUsableKey)),
    ] {
        assert_eq!(parse_key_set(text.as_bytes(), &JwsAlgorithm::ALL).err(), expected, "{text}");
    }
    assert_eq!(parse_key_set(b"{\"keys\":[\xff]}", &[JwsAlgorithm::Es256]).err(), Some(KeySetError::NotASet));
}

#[test]
fn only_algorithms_of_the_issuer_count() {
    let text = set(&[jwk(Algorithm::Es256), jwk(Algorithm::Rs256)]);
    let keys = parse_key_set(text.as_bytes(), &[JwsAlgorithm::Rs256, JwsAlgorithm::Ps256]).unwrap();
    assert_eq!(keys.iter().map(VerifyingKey::algorithm).collect::<Vec<_>>(), [JwsAlgorithm::Rs256]);
    let refused = parse_key_set(text.as_bytes(), &[JwsAlgorithm::Es384]).err();
    assert_eq!(refused, Some(KeySetError::NoUsableKey));
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

fn spki(algorithm: Algorithm) -> Vec<u8> {
    let jwk = jwk(algorithm);
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    match algorithm {
        Algorithm::Es256 => [P256_PREFIX, &[4], &bytes("x"), &bytes("y")].concat(),
        Algorithm::EdDsa => [ED25519_PREFIX, &bytes("x")].concat(),
        Algorithm::Rs256 | Algorithm::Ps256 => {
            let (modulus, exponent) = (bytes("n"), bytes("e"));
            let key = RsaPublicKey::new(&modulus, &exponent);
            let parsed = key.components().to_parsed_public_key(&aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256);
            parsed.unwrap().as_ref().to_vec()
        }
    }
}

#[test]
fn a_pem_file_holds_public_keys_of_the_issuers_algorithms() {
    for algorithm in Algorithm::ALL {
        let text = pem("PUBLIC KEY", &spki(algorithm));
        let keys = parse_pem(text.as_bytes(), &[algorithm.into()]).unwrap();
        let published = parse_key_set(set(&[jwk(algorithm)]).as_bytes(), &[algorithm.into()]).unwrap();
        assert_eq!(keys[0].fingerprint(), published[0].fingerprint(), "{algorithm}");
        assert_eq!(keys[0].id(), None);
        assert_eq!(parse_pem(text.as_bytes(), &[JwsAlgorithm::Es384]).err(), Some(KeySetError::NoUsableKey));
    }
    let both = pem("PUBLIC KEY", &spki(Algorithm::Es256)) + &pem("PUBLIC KEY", &spki(Algorithm::EdDsa));
    let found = parse_pem(both.as_bytes(), &[JwsAlgorithm::EdDsa, JwsAlgorithm::Es256]).unwrap();
    assert_eq!(found.len(), 2);
}

#[test]
fn a_pem_file_with_anything_else_is_refused() {
    let good = spki(Algorithm::Rs256);
    for (text, expected) in [
        (String::new(), KeySetError::NotPem),
        ("no key".to_owned(), KeySetError::NotPem),
        (pem("PRIVATE KEY", &good), KeySetError::Private(0)),
        (pem("PUBLIC KEY", &good) + &pem("RSA PRIVATE KEY", &good), KeySetError::Private(1)),
        (pem("CERTIFICATE", &good), KeySetError::NotPem),
        (pem("PUBLIC KEY", &good[..good.len() - 1]), KeySetError::NoUsableKey),
        (pem("PUBLIC KEY", &[]), KeySetError::NoUsableKey),
        (pem("PUBLIC KEY", &good).repeat(101), KeySetError::NotPem),
    ] {
        assert_eq!(parse_pem(text.as_bytes(), &[JwsAlgorithm::Rs256]).err(), Some(expected), "{text}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_parsers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_key_set(&bytes, &JwsAlgorithm::ALL);
        let _ = parse_pem(&bytes, &JwsAlgorithm::ALL);
        let _ = RsaPublicKey::from_spki(&bytes);
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
