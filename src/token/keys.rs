use std::fmt;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{
    EncodingKey,
    jwk::{Jwk, PublicKeyUse, ThumbprintHash},
};
use serde_json::json;

use super::{Algorithm, VerifyingKey, parse_key_set};
use crate::domain::KeyId;

/// A private key that cannot be used: its bytes are not a PKCS#8 key of its algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a PKCS#8 private key for {0}")]
pub struct KeyError(pub Algorithm);

/// A private key at rest: PKCS#8 (RFC 5208) DER. Never shown, never logged.
#[derive(Clone)]
pub struct PrivateKey {
    algorithm: Algorithm,
    pkcs8: Vec<u8>,
}

impl PrivateKey {
    /// A fresh key; RSA ones have 2048 bits.
    pub fn generate(algorithm: Algorithm) -> Self {
        let pkcs8 = match algorithm {
            Algorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .expect("aws-lc makes P-256 keys")
                .as_ref()
                .to_vec(),
            Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new())
                .expect("aws-lc makes Ed25519 keys")
                .as_ref()
                .to_vec(),
            Algorithm::Rs256 | Algorithm::Ps256 => {
                let key = RsaKeyPair::generate(KeySize::Rsa2048).expect("aws-lc makes RSA keys");
                let der: Pkcs8V1Der<'static> = key.as_der().expect("a fresh key can be written");
                der.as_ref().to_vec()
            }
        };
        Self { algorithm, pkcs8 }
    }

    /// The key of these PKCS#8 bytes. They are looked at when the key is first used ([`SigningKey::new`]).
    pub const fn from_pkcs8(algorithm: Algorithm, pkcs8: Vec<u8>) -> Self {
        Self { algorithm, pkcs8 }
    }

    /// The PKCS#8 bytes, for encryption into the store.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// What the key is for.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key's ID: the SHA-256 thumbprint of its public half (RFC 7638).
    pub fn id(&self) -> Result<KeyId, KeyError> {
        Ok(SigningKey::new(self)?.id)
    }

    fn encoding_key(&self) -> Result<EncodingKey, KeyError> {
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(&self.pkcs8));
        let key = match self.algorithm {
            Algorithm::Es256 => EncodingKey::from_ec_pem(pem.as_bytes()),
            Algorithm::EdDsa => EncodingKey::from_ed_pem(pem.as_bytes()),
            Algorithm::Rs256 | Algorithm::Ps256 => EncodingKey::from_rsa_pem(pem.as_bytes()),
        };
        key.map_err(|_| KeyError(self.algorithm))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, …)", self.algorithm)
    }
}

/// A key ready to sign: parsed, with the encoded header that all its tokens share.
pub struct SigningKey {
    id: KeyId,
    algorithm: Algorithm,
    encoding: EncodingKey,
    encoded_header: String,
    public: VerifyingKey,
    jwk: Jwk,
}

impl SigningKey {
    /// Parses `private`.
    pub fn new(private: &PrivateKey) -> Result<Self, KeyError> {
        let algorithm = private.algorithm;
        let encoding = private.encoding_key()?;
        let (id, jwk) = public_half(&encoding, algorithm).ok_or(KeyError(algorithm))?;
        let public = verifying_key(&jwk, algorithm).ok_or(KeyError(algorithm))?.named(Some(id.clone()));
        let header = format!(r#"{{"typ":"at+jwt","alg":"{algorithm}","kid":"{id}"}}"#);
        Ok(Self { id, algorithm, encoding, encoded_header: URL_SAFE_NO_PAD.encode(header), public, jwk })
    }

    /// Its `kid`.
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    /// What it signs with.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its public half.
    pub const fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// Its public half as a JWK with `kid`, `alg` and `use` (RFC 7517 section 4), to be published.
    pub const fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// The base64url header of the tokens it signs (RFC 9068 section 2.1).
    pub(super) fn encoded_header(&self) -> &str {
        &self.encoded_header
    }

    /// The base64url signature of `message`.
    pub(super) fn sign(&self, message: &str) -> String {
        jsonwebtoken::crypto::sign(message.as_bytes(), &self.encoding, self.algorithm.of_library())
            .expect("the key was parsed for this algorithm")
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({} {}, …)", self.algorithm, self.id)
    }
}

/// The public key and its ID, the thumbprint (RFC 7638).
fn public_half(encoding: &EncodingKey, algorithm: Algorithm) -> Option<(KeyId, Jwk)> {
    let mut jwk = Jwk::from_encoding_key(encoding, algorithm.of_library()).ok()?;
    let thumbprint = jwk.thumbprint(ThumbprintHash::SHA256).ok()?;
    let id = KeyId::new(&thumbprint);
    jwk.common.key_id = Some(thumbprint);
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Some((id, jwk))
}

/// The same way from a JWK to a key that other issuers' keys take.
fn verifying_key(jwk: &Jwk, algorithm: Algorithm) -> Option<VerifyingKey> {
    let json = serde_json::to_vec(&json!({ "keys": [jwk] })).ok()?;
    parse_key_set(&json, &[algorithm.into()]).ok()?.keys.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_makes_keys_that_sign_and_verify() {
        for algorithm in Algorithm::ALL {
            let key = SigningKey::new(&PrivateKey::generate(algorithm)).unwrap();
            let signature = URL_SAFE_NO_PAD.decode(key.sign("message")).unwrap();
            assert!(key.public().verifies(b"message", &signature), "{algorithm}");
            assert!(!key.public().verifies(b"other", &signature), "{algorithm}");
        }
    }

    #[test]
    fn a_public_jwk_has_no_private_member() {
        for algorithm in Algorithm::ALL {
            let key = SigningKey::new(&PrivateKey::generate(algorithm)).unwrap();
            let jwk = serde_json::to_value(key.jwk()).unwrap();
            for member in ["d", "p", "q", "dp", "dq", "qi", "k"] {
                assert_eq!(jwk.get(member), None, "{algorithm} {member}");
            }
            assert_eq!(jwk["kid"], key.id().as_str());
            assert_eq!(jwk["alg"], algorithm.name());
            assert_eq!(jwk["use"], "sig");
        }
    }

    #[test]
    fn bytes_that_are_no_key_are_refused() {
        for algorithm in Algorithm::ALL {
            let error = SigningKey::new(&PrivateKey::from_pkcs8(algorithm, vec![1, 2, 3])).err();
            assert_eq!(error, Some(KeyError(algorithm)));
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let key = PrivateKey::from_pkcs8(Algorithm::Es256, b"secret".to_vec());
        assert_eq!(format!("{key:?}"), "PrivateKey(ES256, …)");
    }
}
