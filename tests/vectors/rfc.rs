//! The examples of RFC 7515, 7517 and 8037, and those of RFC 7520 and 7797 as the IETF's cookbook has them.

use std::{fs, path::Path};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use scopegate::{
    domain::Reason,
    token::{Algorithm, Jws, JwsAlgorithm, KeySetError, PrivateKey, VerifyingKey},
};
use serde_json::{Value, json};

use crate::{
    corpora, corpus,
    exceptions::{Tag, Vector, assert_held},
    list,
    verdict::{Refusal, judge, published},
};

const APPENDICES: &str = "rfc/rfc7515_rfc7517_rfc8037.json";
const COOKBOOK: &str = "rfc/rfc7520-cookbook";
/// What an RSA key that does not say its algorithm is for.
const OF_RSA: [JwsAlgorithm; 6] = [
    JwsAlgorithm::Rs256,
    JwsAlgorithm::Rs384,
    JwsAlgorithm::Rs512,
    JwsAlgorithm::Ps256,
    JwsAlgorithm::Ps384,
    JwsAlgorithm::Ps512,
];

#[test]
fn the_signatures_of_the_appendices_verify() {
    let Some(document) = corpus(APPENDICES) else { return };
    let vector = |example: &Value| {
        let jwk = public(&example["key"]);
        let token = example["compact"].as_str().unwrap();
        let valid = example["expect_as_jws"].as_str().unwrap() == "valid";
        Vector {
            id: example["ref"].as_str().unwrap().to_owned(),
            input: format!("{jwk} {token}"),
            tag: if valid { Tag::Valid } else { Tag::Invalid },
            seen: judge(token, &jwk),
        }
    };
    let vectors: Vec<Vector> = list(&document["jws"]).iter().map(vector).collect();
    assert_held("rfc7515_rfc7517_rfc8037", 6, &vectors);
    let unsigned = vectors.iter().find(|vector| vector.id == "RFC 7515 A.5").unwrap();
    assert!(unsigned.seen.is_err(), "alg none");
}

#[test]
fn the_compact_signatures_of_the_cookbook_verify() {
    let Some(recipes) = cookbook() else { return };
    let mut vectors = Vec::new();
    for (id, recipe) in &recipes {
        let signed = if recipe["sign"].is_object() { &recipe["sign"] } else { recipe };
        let is_signature = !signed["signing"].is_null();
        let Some(token) = signed["output"]["compact"].as_str().filter(|_| is_signature) else { continue };
        let jwk = public(&signed["input"]["key"]);
        let input = format!("{jwk} {token}");
        vectors.push(Vector { id: id.clone(), input, tag: Tag::Valid, seen: judge(token, &jwk) });
    }
    assert_held("rfc7520-cookbook", 8, &vectors);
}

#[test]
fn what_is_no_compact_signature_is_refused_as_malformed() {
    let Some(recipes) = cookbook() else { return };
    let mut count = 0;
    for (id, recipe) in &recipes {
        for part in [recipe, &recipe["sign"], &recipe["encrypt"]] {
            let encrypted = part["signing"].is_null().then(|| part["output"]["compact"].as_str()).flatten();
            let in_json = ["json", "json_flat"].map(|form| &part["output"][form]);
            let in_json = in_json.into_iter().filter(|form| !form.is_null()).map(ToString::to_string);
            for token in in_json.chain(encrypted.map(ToOwned::to_owned)) {
                assert_eq!(Jws::parse(token.as_bytes()).err(), Some(Reason::Malformed), "{id}: {token:.80}");
                count += 1;
            }
        }
    }
    println!("{count} tokens in JSON or encrypted");
    assert!(count >= 50, "{count} tokens in JSON or encrypted");
}

/// RFC 7797 and the header member that it adds, also without `crit`.
#[test]
fn an_unencoded_payload_is_refused() {
    let Some(recipes) = cookbook() else { return };
    let mut count = 0;
    for (id, recipe) in recipes.iter().filter(|(id, _)| id.starts_with("rfc7797/")) {
        let flat = &recipe["output"]["json_flat"];
        let part = |name: &str| flat[name].as_str().unwrap();
        for payload in [part("payload").to_owned(), URL_SAFE_NO_PAD.encode(part("payload"))] {
            let token = format!("{}.{payload}.{}", part("protected"), part("signature"));
            assert_eq!(Jws::parse(token.as_bytes()).err(), Some(Reason::Malformed), "{id}: {token}");
            count += 1;
        }
    }
    assert_eq!(count, 4);
}

#[test]
fn the_key_sets_of_the_appendices_are_read_or_refused() {
    let Some(document) = corpus(APPENDICES) else { return };
    let set = |name: &str| {
        let example = &document["jwk"][name];
        assert!(example.is_object(), "{name} is missing");
        let one = !example["keys"].is_array();
        names(&published(&if one { json!({ "keys": [example] }) } else { example.clone() }))
    };
    let of_rsa = |id: &str| Ok(OF_RSA.map(|algorithm| (Some(id.to_owned()), algorithm)).to_vec());
    // The other key of the set is for encryption.
    assert_eq!(set("RFC 7517 A.1 public"), Ok(vec![(Some("2011-04-29".to_owned()), JwsAlgorithm::Rs256)]));
    assert_eq!(set("RFC 7517 A.2 private"), Err("private"));
    assert_eq!(set("RFC 7517 A.3 symmetric"), Err("symmetric"));
    assert_eq!(set("RFC 7517 B x5c"), of_rsa("1b94c"));
}

#[test]
fn the_keys_of_the_cookbook_are_read_or_refused() {
    let Some(recipes) = cookbook() else { return };
    let hobbit = "bilbo.baggins@hobbiton.example".to_owned();
    let of_rsa = OF_RSA.map(|algorithm| (Some(hobbit.clone()), algorithm)).to_vec();
    for (id, expected) in [
        // A curve that we have no use for.
        ("jwk/3_1.ec_public_key", Err("type")),
        ("jwk/3_2.ec_private_key", Err("private")),
        ("jwk/3_3.rsa_public_key", Ok(of_rsa)),
        ("jwk/3_4.rsa_private_key", Err("private")),
        ("jwk/3_5.symmetric_key_mac_computation", Err("symmetric")),
        ("jwk/3_6.symmetric_key_encryption", Err("symmetric")),
    ] {
        let (_, jwk) = recipes.iter().find(|(own, _)| own == id).unwrap_or_else(|| panic!("{id} is missing"));
        assert_eq!(names(&published(&json!({ "keys": [jwk] }))), expected, "{id}");
    }
}

/// The names that we give our own keys (RFC 7638), for the keys of others whose names are known.
#[test]
fn thumbprints_are_those_of_the_appendices() {
    let Some(document) = corpus(APPENDICES) else { return };
    let keys = list(&document["jwk"]["RFC 7517 A.2 private"]["keys"]);
    let thumbprints = list(&document["jwk"]["RFC 7517 A.1 public"]["thumbprints"]);
    let ed25519 = list(&document["jws"]).iter().find(|example| example["key"]["crv"] == "Ed25519").unwrap();
    for (algorithm, jwk, expected) in [
        (Algorithm::Es256, &keys[0], &thumbprints[0]),
        (Algorithm::Rs256, &keys[1], &thumbprints[1]),
        (Algorithm::EdDsa, &ed25519["key"], &document["rfc8037_thumbprint_A3"]),
    ] {
        let key = PrivateKey::from_pkcs8(algorithm, pkcs8(jwk));
        assert_eq!(key.id().unwrap().as_str(), expected.as_str().unwrap(), "{algorithm}");
    }
}

/// Every token of this folder's files that is accepted, with its key.
pub fn accepted() -> Vec<(String, Value)> {
    let appendices = corpus(APPENDICES).unwrap_or_default();
    let recipes = cookbook().unwrap_or_default();
    let of_appendices = list(&appendices["jws"]).iter().map(|example| (&example["compact"], &example["key"]));
    let of_recipes = recipes.iter().flat_map(|(_, recipe)| [recipe, &recipe["sign"]]);
    let of_recipes = of_recipes.map(|recipe| (&recipe["output"]["compact"], &recipe["input"]["key"]));
    let tokens = of_appendices.chain(of_recipes).filter_map(|(token, key)| Some((token.as_str()?, key)));
    let tokens = tokens.filter(|(_, key)| key.is_object()).map(|(token, key)| (token.to_owned(), public(key)));
    tokens.filter(|(token, jwk)| judge(token, jwk).is_ok()).collect()
}

/// Name and content of every recipe.
fn cookbook() -> Option<Vec<(String, Value)>> {
    // Says so where the corpora are missing.
    corpus(APPENDICES)?;
    let root = corpora().join(COOKBOOK);
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert!(found.len() >= 31, "{} recipes", found.len());
    Some(found)
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<(String, Value)>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            let name = path.strip_prefix(root).unwrap().with_extension("");
            let recipe = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            found.push((name.to_str().unwrap().to_owned(), recipe));
        }
    }
}

/// The keys that are used, or why the first one is not.
fn names(keys: &Result<Vec<VerifyingKey>, Refusal>) -> Result<Vec<(Option<String>, JwsAlgorithm)>, &'static str> {
    let name = |key: &VerifyingKey| (key.id().map(ToString::to_string), key.algorithm());
    keys.as_ref().map(|keys| keys.iter().map(name).collect()).map_err(|refusal| match refusal {
        Refusal::KeySet(KeySetError::NoUsableKey(unusable)) => unusable[0].why.name(),
        Refusal::KeySet(KeySetError::Private(0)) => "private",
        other @ (Refusal::KeySet(_) | Refusal::Secret(_) | Refusal::Token(_)) => panic!("{other:?}"),
    })
}

/// The public half of a key pair; a symmetric key as it is.
fn public(jwk: &Value) -> Value {
    let mut jwk = jwk.clone();
    let members = jwk.as_object_mut().expect("a JWK is an object");
    members.retain(|name, _| !["d", "p", "q", "dp", "dq", "qi"].contains(&name.as_str()));
    jwk
}

/// The PKCS#8 form (RFC 5208) of a private JWK.
fn pkcs8(jwk: &Value) -> Vec<u8> {
    let member = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let (algorithm, key): (&[u8], _) = match jwk["kty"].as_str().unwrap() {
        "OKP" => (&[0x06, 3, 0x2b, 0x65, 0x70], der(0x04, &[member("d")])),
        "EC" => {
            let point = der(0x03, &[vec![0, 4], member("x"), member("y")]);
            let key = der(0x30, &[vec![0x02, 1, 1], der(0x04, &[member("d")]), der(0xa1, &[point])]);
            (&[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7], key)
        }
        _ => {
            let numbers = ["n", "e", "d", "p", "q", "dp", "dq", "qi"].map(|name| number(member(name)));
            let key = der(0x30, &[&[vec![0x02, 1, 0]][..], &numbers].concat());
            (&[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 0x05, 0], key)
        }
    };
    der(0x30, &[vec![0x02, 1, 0], der(0x30, &[algorithm.to_vec()]), der(0x04, &[key])])
}

/// A number that is not negative (X.690 section 8.3).
fn number(big_endian: Vec<u8>) -> Vec<u8> {
    let sign = if big_endian[0] < 0x80 { Vec::new() } else { vec![0] };
    der(0x02, &[sign, big_endian])
}

/// One DER value of these parts.
fn der(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    let content = parts.concat();
    let [high, low] = u16::try_from(content.len()).expect("below 64 KiB").to_be_bytes();
    let head = match (high, low) {
        (0, 0..0x80) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        (_, _) => vec![tag, 0x82, high, low],
    };
    [head, content].concat()
}
