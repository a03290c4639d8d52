use std::sync::LazyLock;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo};

use super::*;
use crate::token::{Algorithm, PrivateKey, RsaWeakness, SigningKey};

static KEYS: LazyLock<[(PrivateKey, SigningKey); 4]> = LazyLock::new(|| {
    Algorithm::ALL.map(|algorithm| {
        let private = PrivateKey::generate(algorithm);
        let key = SigningKey::new(&private).unwrap();
        (private, key)
    })
});

fn key(algorithm: Algorithm) -> &'static SigningKey {
    &KEYS.iter().find(|(_, key)| key.algorithm() == algorithm).unwrap().1
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

fn spki(algorithm: Algorithm) -> Vec<u8> {
    let jwk = serde_json::to_value(key(algorithm).jwk()).unwrap();
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

/// What PKCS#1 puts into the bit string of an RSA key.
fn pkcs1(algorithm: Algorithm) -> Vec<u8> {
    let spki = spki(algorithm);
    let (_, info) = SubjectPublicKeyInfo::from_der(&spki).unwrap();
    info.subject_public_key.data.to_vec()
}

/// A certificate of the key, signed by itself and expired long ago.
fn certificate(algorithm: Algorithm) -> Vec<u8> {
    let (private, _) = KEYS.iter().find(|(_, key)| key.algorithm() == algorithm).unwrap();
    let pair = rcgen::KeyPair::try_from(private.pkcs8()).unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["issuer.example".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2001, 1, 1);
    params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    params.self_signed(&pair).unwrap().der().to_vec()
}

#[test]
fn a_pem_file_holds_public_keys_of_the_issuers_algorithms() {
    for algorithm in Algorithm::ALL {
        let public = key(algorithm).public();
        let text = pem("PUBLIC KEY", &spki(algorithm));
        let mut forms = vec![text.clone(), pem("CERTIFICATE", &certificate(algorithm))];
        if matches!(algorithm, Algorithm::Rs256 | Algorithm::Ps256) {
            forms.push(pem("RSA PUBLIC KEY", &pkcs1(algorithm)));
        }
        for form in forms {
            let windows = format!("\u{feff}Bag Attributes\n{}", form.replace('\n', "\r\n"));
            for text in [&form, &windows] {
                let keys = parse_pem(text.as_bytes(), &[algorithm.into()]).unwrap();
                assert_eq!(
                    keys.iter().map(VerifyingKey::fingerprint).collect::<Vec<_>>(),
                    [public.fingerprint()],
                    "{text}"
                );
                assert_eq!(keys[0].id(), None);
            }
        }
        let refused = parse_pem(text.as_bytes(), &[JwsAlgorithm::Es384]).err();
        assert_eq!(refused, Some(KeySetError::NoUsableKey(Vec::new())));
    }
    let several = [
        pem("PUBLIC KEY", &spki(Algorithm::Es256)),
        pem("CERTIFICATE", &certificate(Algorithm::EdDsa)),
        pem("RSA PUBLIC KEY", &pkcs1(Algorithm::Rs256)),
        pem("CERTIFICATE", &certificate(Algorithm::Es256)),
    ];
    let algorithms = [JwsAlgorithm::EdDsa, JwsAlgorithm::Es256, JwsAlgorithm::Rs256];
    assert_eq!(parse_pem(several.concat().as_bytes(), &algorithms).unwrap().len(), 3, "the same key twice counts once");
}

#[test]
fn a_pem_file_with_anything_else_is_refused() {
    let good = spki(Algorithm::Rs256);
    let none = KeySetError::NoUsableKey(Vec::new());
    let weak = [&[0x30, 0x81, 0x89, 2, 0x81, 0x81, 0][..], &[0xff; 128], &[2, 3, 1, 0, 1]].concat();
    let begin = "-----BEGIN PUBLIC KEY-----\n";
    for (text, expected) in [
        (String::new(), KeySetError::NotPem),
        ("no key".to_owned(), KeySetError::NotPem),
        (pem("PRIVATE KEY", &good), KeySetError::Private(0)),
        (pem("ENCRYPTED PRIVATE KEY", &good), KeySetError::Private(0)),
        (pem("PUBLIC KEY", &good) + &pem("RSA PRIVATE KEY", &good), KeySetError::Private(1)),
        (pem("CERTIFICATE", &good), KeySetError::NotPem),
        (pem("CERTIFICATE REQUEST", &good), KeySetError::NotPem),
        (pem("X509 CRL", &good), KeySetError::NotPem),
        (pem("PUBLIC KEY", &good[..good.len() - 1]), none.clone()),
        (pem("PUBLIC KEY", &[]), none.clone()),
        (pem("RSA PUBLIC KEY", &good), none),
        (pem("RSA PUBLIC KEY", &weak), KeySetError::Key(0, VerifyingKeyError::Weak(RsaWeakness::Size(1024)))),
        (pem("PUBLIC KEY", &good).repeat(101), KeySetError::NotPem),
        (begin.to_owned(), KeySetError::NotPem),
        (begin.to_owned() + &pem("PUBLIC KEY", &good), KeySetError::NotPem),
        (pem("PUBLIC KEY", &good).replace("END PUBLIC", "END RSA PUBLIC"), KeySetError::NotPem),
        (pem("PUBLIC KEY", &good).replace("PUBLIC KEY-----\n", "PUBLIC KEY-----\n!"), KeySetError::NotPem),
    ] {
        assert_eq!(parse_pem(text.as_bytes(), &[JwsAlgorithm::Rs256]).err(), Some(expected), "{text}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_pem(&bytes, &JwsAlgorithm::ALL);
        for label in ["PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE"] {
            let _ = parse_pem(pem(label, &bytes).as_bytes(), &JwsAlgorithm::ALL);
        }
    }
}
