//! Whatever we accept, `jsonwebtoken` accepts with the same key and algorithm: every vector that we accept, changes of them,
//! and tokens with odd headers and claims under good signatures.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Validation, crypto, decode,
    errors::{Error, ErrorKind},
};
use proptest::{prelude::*, sample::select};
use scopegate::{
    domain::{Catalogue, Timestamp},
    token::{Expectations, JwsAlgorithm, Unverified, VerifyingKey},
};
use serde_json::{Value, json};

use crate::{
    list, rfc,
    verdict::{keys, verify},
    wycheproof,
};

/// A token and the JWK or the set that it was accepted with.
type Accepted = (String, Value);

static ACCEPTED: LazyLock<Vec<Accepted>> = LazyLock::new(|| {
    let names = ["json_web_signature_test", "json_web_key_test", "json_web_crypto_test"];
    names.into_iter().flat_map(wycheproof::accepted).chain(rfc::accepted()).chain([es384()]).collect()
});

/// The one algorithm that nobody has vectors of.
fn es384() -> Accepted {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, key.as_ref()).unwrap();
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"ES384"}"#), URL_SAFE_NO_PAD.encode("{}"));
    let signature = key.sign(&random, signed.as_bytes()).unwrap();
    let (x, y) = key.public_key().as_ref()[1..].split_at(48);
    let jwk = json!({"kty": "EC", "crv": "P-384", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)});
    (format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)), jwk)
}

/// Our verdict: the algorithm that a token was accepted with.
fn ours(token: &str, jwk: &Value) -> Option<JwsAlgorithm> {
    verify(token, &keys(jwk).ok()?).ok().map(|jws| jws.algorithm())
}

/// Whether the library accepts the signature with a key of the JWK, or of the set.
fn theirs(token: &str, jwk: &Value, algorithm: JwsAlgorithm) -> bool {
    let one = std::slice::from_ref(jwk);
    let candidates = if jwk["keys"].is_array() { list(&jwk["keys"]) } else { one };
    let rules = Validation::new(of_library(algorithm));
    candidates.iter().any(|jwk| {
        let outcome = decode::<Value>(token, &decoding_key(jwk), &rules).map_err(Error::into_kind);
        // The vectors are no claims sets; what is wrong with them as such is told after the signature was checked.
        matches!(outcome, Ok(_) | Err(ErrorKind::Json(_) | ErrorKind::Utf8(_) | ErrorKind::MissingRequiredClaim(_)))
            || matches!(outcome, Err(ErrorKind::ExpiredSignature))
    })
}

fn of_library(algorithm: JwsAlgorithm) -> Algorithm {
    algorithm.name().parse().expect("the library knows all of ours")
}

fn decoding_key(jwk: &Value) -> DecodingKey {
    let member = |name: &str| jwk[name].as_str().unwrap_or_default();
    let key = match member("kty") {
        "oct" => DecodingKey::from_base64_secret(&STANDARD.encode(URL_SAFE_NO_PAD.decode(member("k")).unwrap())),
        "RSA" => DecodingKey::from_rsa_components(member("n"), member("e")),
        "EC" => DecodingKey::from_ec_components(member("x"), member("y")),
        "OKP" => DecodingKey::from_ed_components(member("x")),
        other => panic!("{other:?} was accepted as a key"),
    };
    key.expect("a key that was accepted")
}

#[test]
fn every_accepted_vector_is_accepted_by_the_library() {
    let mut algorithms = Vec::new();
    for (token, jwk) in ACCEPTED.iter() {
        let algorithm = ours(token, jwk).expect("it was accepted before");
        assert!(theirs(token, jwk, algorithm), "{token}");
        algorithms.extend((!algorithms.contains(&algorithm)).then_some(algorithm));
    }
    println!("{} accepted vectors of {algorithms:?}", ACCEPTED.len());
    let missing = crate::corpus("rfc/rfc7515_rfc7517_rfc8037.json").is_none();
    assert!(missing || ACCEPTED.len() >= 53, "{} accepted vectors", ACCEPTED.len());
    assert!(missing || algorithms.len() == JwsAlgorithm::ALL.len(), "{algorithms:?}");
}

/// The comparison below would hold of a library that accepts everything.
#[test]
fn the_library_refuses_what_is_changed_beyond_doubt() {
    for (token, jwk) in ACCEPTED.iter() {
        let algorithm = ours(token, jwk).expect("it was accepted before");
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        bytes[7] ^= 1;
        let changed = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes));
        assert!(!theirs(&changed, jwk, algorithm) && ours(&changed, jwk).is_none(), "{changed}");
    }
}

/// One change of a text of ASCII: some characters at a place are replaced by others.
fn changed(text: &str, place: usize, length: usize, replacement: &str) -> String {
    let start = place % (text.len() + 1);
    let end = (start + length).min(text.len());
    [&text[..start], replacement, &text[end..]].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_change_of_a_vector_is_accepted_by_us_alone(
        number in any::<prop::sample::Index>(),
        place in any::<usize>(),
        length in 0_usize..4,
        replacement in "[A-Za-z0-9_.=+/ -]{0,4}",
    ) {
        let (token, jwk) = number.get(&ACCEPTED);
        let token = changed(token, place, length, &replacement);
        if let Some(algorithm) = ours(&token, jwk) {
            prop_assert!(theirs(&token, jwk, algorithm), "{}", token);
        }
    }

    #[test]
    fn no_part_of_another_vector_is_accepted_by_us_alone(
        [one, other] in any::<[prop::sample::Index; 2]>(),
        part in 0_usize..3,
    ) {
        let ((token, jwk), (donor, _)) = (one.get(&ACCEPTED), other.get(&ACCEPTED));
        let mut parts: Vec<&str> = token.split('.').collect();
        parts[part] = donor.split('.').nth(part).unwrap();
        let token = parts.join(".");
        if let Some(algorithm) = ours(&token, jwk) {
            prop_assert!(theirs(&token, jwk, algorithm), "{}", token);
        }
    }
}

const SECRET: [u8; 64] = [7; 64];
const OF_HMAC: [JwsAlgorithm; 3] = [JwsAlgorithm::Hs256, JwsAlgorithm::Hs384, JwsAlgorithm::Hs512];

/// A token of any header and claims under a good signature.
fn forge(algorithm: JwsAlgorithm, header: &Value, claims: &Value) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let mac = crypto::sign(signed.as_bytes(), &EncodingKey::from_secret(&SECRET), of_library(algorithm)).unwrap();
    format!("{signed}.{mac}")
}

fn accepted_by_us(token: &str, algorithm: JwsAlgorithm) -> bool {
    let expected = Expectations::own("api".to_owned(), 30, Arc::new(Catalogue::default()));
    let key = VerifyingKey::shared(algorithm, &SECRET).unwrap();
    // Whose token it is, is asked before its keys are looked for.
    let named = |token: &Unverified<'_>| token.issuer() == "https://issuer.example";
    // The library reads the clock too, just afterwards: a pause of the machine must not tell the two apart.
    let now = Timestamp::now();
    Unverified::parse(token.as_bytes()).is_ok_and(|token| named(&token) && token.verify(&key, &expected, now).is_ok())
}

fn accepted_by_library(token: &str, algorithm: JwsAlgorithm) -> Result<(), ErrorKind> {
    let mut rules = Validation::new(of_library(algorithm));
    rules.leeway = 30;
    rules.validate_nbf = true;
    rules.set_audience(&["api"]);
    rules.set_issuer(&["https://issuer.example"]);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    decode::<Value>(token, &DecodingKey::from_secret(&SECRET), &rules).map(|_| ()).map_err(Error::into_kind)
}

/// Up to two members of these names.
fn members(names: &'static [&'static str]) -> impl Strategy<Value = Vec<(&'static str, Value)>> {
    prop::collection::vec((select(names), odd(NOW.seconds())), 0..3)
}

/// A value that a member may have, sound or odd.
fn odd(now: u64) -> impl Strategy<Value = Value> {
    let sound = select(vec![
        json!("https://issuer.example"),
        json!("api"),
        json!(["api", "other"]),
        json!(["https://issuer.example"]),
        json!(now + 600),
        json!(now),
        json!(format!("{now}.5").parse::<f64>().expect("a number")),
        json!("HS256"),
        json!("HS512"),
        json!("at+jwt"),
        json!("application"),
    ]);
    let unsound = select(vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(""),
        json!([]),
        json!({}),
        json!([1, "api"]),
        json!(now - 31),
        json!(now - 25),
        json!(now + 25),
        json!(now + 40),
        json!(1e300),
        json!(u64::MAX),
        json!((now + 600).to_string()),
        json!("none"),
        json!("RS256"),
        json!(["exp"]),
    ]);
    prop_oneof![sound, unsound]
}

/// What the times of tokens are counted from.
static NOW: LazyLock<Timestamp> = LazyLock::new(Timestamp::now);

#[test]
fn a_sound_token_is_accepted_by_both() {
    for algorithm in OF_HMAC {
        let (header, claims) = sound(algorithm);
        let token = forge(algorithm, &header, &claims);
        assert!(accepted_by_us(&token, algorithm));
        assert_eq!(accepted_by_library(&token, algorithm), Ok(()));
    }
}

fn sound(algorithm: JwsAlgorithm) -> (Value, Value) {
    let now = NOW.seconds();
    let header = json!({"typ": "at+jwt", "alg": algorithm.name(), "kid": "one"});
    let claims = json!({
        "iss": "https://issuer.example", "aud": "api", "sub": "someone", "client_id": "someone", "customer_id": "customer",
        "scope": "application", "iat": now, "exp": now + 600, "jti": "one",
    });
    (header, claims)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    /// Header members that we ignore (`cty`, `jwk`, `x5c` and their like) are left out: the library refuses some for their type.
    #[test]
    fn no_odd_header_or_claim_is_accepted_by_us_alone(
        algorithm in select(&OF_HMAC[..]),
        in_header in members(&["alg", "typ", "kid", "crit", "b64", "x"]),
        in_claims in members(&["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "scope", "client_id", "EXP"]),
        left_out in prop::option::of(select(&["iss", "aud", "sub", "exp", "iat", "scope"][..])),
    ) {
        let (mut header, mut claims) = sound(algorithm);
        for (name, value) in in_header {
            header[name] = value;
        }
        for (name, value) in in_claims {
            claims[name] = value;
        }
        if let Some(name) = left_out {
            claims.as_object_mut().unwrap().remove(name);
        }
        let token = forge(algorithm, &header, &claims);
        if accepted_by_us(&token, algorithm) {
            // To us null is absence; the library takes some nulls for claims of a wrong type.
            for object in [&mut header, &mut claims] {
                object.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            }
            let theirs = accepted_by_library(&forge(algorithm, &header, &claims), algorithm);
            prop_assert!(theirs.is_ok(), "{} {}: {:?}", header, claims, theirs);
        }
    }
}
