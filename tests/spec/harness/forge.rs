use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
        RsaKeyPair,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use scopegate::token::{Algorithm, PrivateKey};

/// base64url without padding (RFC 7515 section 2).
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The standard alphabet with padding.
pub fn b64_standard(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// A signing key in the hands of a test: it signs any header text and any payload bytes.
pub struct Forge {
    pub algorithm: Algorithm,
    pub kid: String,
    pkcs8: Vec<u8>,
}

impl Forge {
    /// The forge of a known private key.
    pub fn new(private: &PrivateKey) -> Self {
        let kid = private.id().expect("a usable key").to_string();
        Self { algorithm: private.algorithm(), kid, pkcs8: private.pkcs8().to_vec() }
    }

    /// An attacker's own key, under this `kid`.
    pub fn foreign(algorithm: Algorithm, kid: &str) -> Self {
        Self { kid: kid.to_owned(), ..Self::new(&PrivateKey::generate(algorithm)) }
    }

    /// The header that the gateway's own tokens have.
    pub fn header(&self) -> String {
        format!(r#"{{"typ":"at+jwt","alg":"{}","kid":"{}"}}"#, self.algorithm, self.kid)
    }

    /// A compact token of this header text and payload, well signed.
    pub fn token(&self, header: &str, payload: impl AsRef<[u8]>) -> String {
        let message = format!("{}.{}", b64(header), b64(payload));
        let signature = self.sign(message.as_bytes());
        format!("{message}.{}", b64(signature))
    }

    /// The signature bytes of a message.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self.algorithm {
            Algorithm::Es256 => {
                let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.pkcs8).unwrap();
                key.sign(&random, message).unwrap().as_ref().to_vec()
            }
            Algorithm::EdDsa => {
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(&self.pkcs8).unwrap().sign(message).as_ref().to_vec()
            }
            Algorithm::Rs256 | Algorithm::Ps256 => {
                let key = RsaKeyPair::from_pkcs8(&self.pkcs8).unwrap();
                let encoding: &dyn aws_lc_rs::signature::RsaEncoding =
                    if self.algorithm == Algorithm::Rs256 { &RSA_PKCS1_SHA256 } else { &RSA_PSS_SHA256 };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(encoding, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// The public half as the algorithm's own bytes: the point, the 32 bytes, or the PKCS#1 structure.
    pub fn public(&self) -> Vec<u8> {
        match self.algorithm {
            Algorithm::Es256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.pkcs8)
                .unwrap()
                .public_key()
                .as_ref()
                .to_vec(),
            Algorithm::EdDsa => {
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(&self.pkcs8).unwrap().public_key().as_ref().to_vec()
            }
            Algorithm::Rs256 | Algorithm::Ps256 => {
                RsaKeyPair::from_pkcs8(&self.pkcs8).unwrap().public_key().as_ref().to_vec()
            }
        }
    }

    /// The modulus of an RSA key.
    pub fn modulus(&self) -> Vec<u8> {
        RsaKeyPair::from_pkcs8(&self.pkcs8).unwrap().public_key().modulus().big_endian_without_leading_zero().to_vec()
    }

    /// The public half as `SubjectPublicKeyInfo` (RFC 5280 section 4.1).
    pub fn spki(&self) -> Vec<u8> {
        let algorithm: &[u8] = match self.algorithm {
            Algorithm::Es256 => &[
                0x30, 0x13, 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7,
            ],
            Algorithm::EdDsa => &[0x30, 0x05, 0x06, 3, 0x2b, 0x65, 0x70],
            Algorithm::Rs256 | Algorithm::Ps256 => {
                &[0x30, 0x0d, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 0x05, 0]
            }
        };
        let key = der(0x03, &[&[0], self.public().as_slice()].concat());
        der(0x30, &[algorithm, &key].concat())
    }

    /// The public half as a JWK text.
    pub fn jwk(&self) -> String {
        let public = self.public();
        let own = match self.algorithm {
            Algorithm::Es256 => {
                format!(r#""kty":"EC","crv":"P-256","x":"{}","y":"{}""#, b64(&public[1..33]), b64(&public[33..]))
            }
            Algorithm::EdDsa => format!(r#""kty":"OKP","crv":"Ed25519","x":"{}""#, b64(public)),
            Algorithm::Rs256 | Algorithm::Ps256 => format!(r#""kty":"RSA","e":"AQAB","n":"{}""#, b64(self.modulus())),
        };
        format!(r#"{{{own},"alg":"{}","kid":"{}","use":"sig"}}"#, self.algorithm, self.kid)
    }

    /// A token of this header and payload under an HMAC of `secret`.
    pub fn hmac(hash: hmac::Algorithm, secret: &[u8], header: &str, payload: &str) -> String {
        let message = format!("{}.{}", b64(header), b64(payload));
        let tag = hmac::sign(&hmac::Key::new(hash, secret), message.as_bytes());
        format!("{message}.{}", b64(tag))
    }
}

/// One DER value.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut bytes = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => bytes.push(short),
        Ok(long) => bytes.extend([0x81, long]),
        Err(_) => bytes.extend([
            0x82,
            u8::try_from(length >> 8).expect("below 64 KiB"),
            u8::try_from(length & 0xff).expect("one byte"),
        ]),
    }
    bytes.extend_from_slice(content);
    bytes
}
