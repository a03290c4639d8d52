use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use aws_lc_rs::{
    hmac,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
        RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
        RSA_PSS_2048_8192_SHA512, RsaParameters, VerificationAlgorithm,
    },
};

use super::{
    JwsAlgorithm,
    ed25519::has_small_order,
    rsa::{RsaPublicKey, RsaWeakness},
};
use crate::domain::{KeyFingerprint, KeyId, random_bytes};

/// A key that signatures are checked with, and the one algorithm it is for.
///
/// It is parsed once, when it is made; `jsonwebtoken` would parse it again for each token (see `benches/hot_path.rs`). Both
/// sides accept the same signatures, which a test beside this holds them to.
#[derive(Clone)]
pub struct VerifyingKey {
    id: Option<KeyId>,
    /// The issuer whose key it is, where a set of several issuers' keys says so.
    issuer: Option<Arc<str>>,
    algorithm: JwsAlgorithm,
    check: Check,
    fingerprint: KeyFingerprint,
}

#[derive(Clone)]
enum Check {
    Public(Arc<ParsedPublicKey>),
    Shared(Arc<hmac::Key>),
}

/// Why there is no key in some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyingKeyError {
    /// They are no key of the algorithm's kind.
    #[error("is not a key for {0}")]
    NoKey(JwsAlgorithm),
    /// An RSA key that nobody should rely on.
    #[error(transparent)]
    Weak(#[from] RsaWeakness),
    /// An Ed25519 key for which anybody can sign.
    #[error("is a point of small order, for which anybody can sign")]
    SmallOrder,
    /// A shared secret shorter than the hash (RFC 7518 section 3.2).
    #[error("is too short for {algorithm}: {bytes} bytes, {least} are needed")]
    Short {
        /// What it is for.
        algorithm: JwsAlgorithm,
        /// How long it is.
        bytes: usize,
        /// How long it must be.
        least: usize,
    },
}

impl VerifyingKey {
    /// The RSA key of this modulus and exponent, big-endian.
    ///
    /// # Panics
    /// If `algorithm` is not of RSA.
    pub fn rsa(algorithm: JwsAlgorithm, key: &RsaPublicKey<'_>) -> Result<Self, VerifyingKeyError> {
        let Parameters::Rsa(parameters) = parameters(algorithm) else { unreachable!("{algorithm} is not of RSA") };
        key.check()?;
        let parsed = key.components().to_parsed_public_key(parameters);
        let parsed = parsed.map_err(|_| VerifyingKeyError::NoKey(algorithm))?;
        let material = [key.modulus(), b"/", key.exponent()].concat();
        Ok(Self::new(algorithm, Check::Public(Arc::new(parsed)), &material))
    }

    /// The key of these bytes: the uncompressed point of an elliptic curve (SEC 1 section 2.3.3), or the 32 bytes of an
    /// Ed25519 key (RFC 8032 section 5.1.5).
    pub fn curve(algorithm: JwsAlgorithm, bytes: &[u8]) -> Result<Self, VerifyingKeyError> {
        let refused = VerifyingKeyError::NoKey(algorithm);
        let Parameters::Curve(parameters, length) = parameters(algorithm) else { return Err(refused) };
        // aws-lc would take other encodings too; one key has one form here.
        if bytes.len() != length {
            return Err(refused);
        }
        if algorithm == JwsAlgorithm::EdDsa && has_small_order(bytes) {
            return Err(VerifyingKeyError::SmallOrder);
        }
        let parsed = ParsedPublicKey::new(parameters, bytes).map_err(|_| refused)?;
        Ok(Self::new(algorithm, Check::Public(Arc::new(parsed)), bytes))
    }

    /// The secret that an issuer shares with us.
    pub fn shared(algorithm: JwsAlgorithm, secret: &[u8]) -> Result<Self, VerifyingKeyError> {
        let Parameters::Hmac(hash) = parameters(algorithm) else { return Err(VerifyingKeyError::NoKey(algorithm)) };
        let least = hash.digest_algorithm().output_len();
        if secret.len() < least {
            return Err(VerifyingKeyError::Short { algorithm, bytes: secret.len(), least });
        }
        Ok(Self::new(algorithm, Check::Shared(Arc::new(hmac::Key::new(hash, secret))), secret))
    }

    /// The same key under a name.
    #[must_use]
    pub fn named(self, id: Option<KeyId>) -> Self {
        Self { id, ..self }
    }

    /// The same key for this issuer alone.
    #[must_use]
    pub fn of_issuer(self, issuer: Option<&str>) -> Self {
        Self { issuer: issuer.map(Into::into), ..self }
    }

    fn new(algorithm: JwsAlgorithm, check: Check, material: &[u8]) -> Self {
        Self { id: None, issuer: None, algorithm, check, fingerprint: fingerprint(algorithm, material) }
    }

    /// Its `kid`, if it has one.
    pub const fn id(&self) -> Option<&KeyId> {
        self.id.as_ref()
    }

    /// The issuer whose key it is, if it is one issuer's alone.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Whether it may have signed for this tenant: one issuer's own key names its tenant in a segment of that issuer's name.
    pub fn is_of_tenant(&self, tenant: &str) -> bool {
        self.issuer().is_none_or(|issuer| issuer.split('/').any(|segment| segment == tenant))
    }

    /// What it verifies.
    pub const fn algorithm(&self) -> JwsAlgorithm {
        self.algorithm
    }

    /// What tells it from every other key, and from the same one for another algorithm.
    pub const fn fingerprint(&self) -> KeyFingerprint {
        self.fingerprint
    }

    /// Whether `signature` is this key's for `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.check {
            Check::Public(key) => key.verify_sig(message, signature).is_ok(),
            Check::Shared(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id.as_ref().map_or("without kid", KeyId::as_str);
        write!(f, "VerifyingKey({} {id})", self.algorithm)
    }
}

/// A keyed digest, so that it tells nothing of a shared secret.
fn fingerprint(algorithm: JwsAlgorithm, material: &[u8]) -> KeyFingerprint {
    static PROCESS: LazyLock<hmac::Key> = LazyLock::new(|| hmac::Key::new(hmac::HMAC_SHA256, &random_bytes::<32>()));
    let mut context = hmac::Context::with_key(&PROCESS);
    context.update(algorithm.name().as_bytes());
    context.update(b"/");
    context.update(material);
    let tag = context.sign();
    let first = tag.as_ref().first_chunk().expect("the tag has 32 bytes");
    KeyFingerprint::from_bytes(*first)
}

enum Parameters {
    Rsa(&'static RsaParameters),
    /// And how many bytes a key has.
    Curve(&'static dyn VerificationAlgorithm, usize),
    Hmac(hmac::Algorithm),
}

fn parameters(algorithm: JwsAlgorithm) -> Parameters {
    match algorithm {
        JwsAlgorithm::Rs256 => Parameters::Rsa(&RSA_PKCS1_2048_8192_SHA256),
        JwsAlgorithm::Rs384 => Parameters::Rsa(&RSA_PKCS1_2048_8192_SHA384),
        JwsAlgorithm::Rs512 => Parameters::Rsa(&RSA_PKCS1_2048_8192_SHA512),
        JwsAlgorithm::Ps256 => Parameters::Rsa(&RSA_PSS_2048_8192_SHA256),
        JwsAlgorithm::Ps384 => Parameters::Rsa(&RSA_PSS_2048_8192_SHA384),
        JwsAlgorithm::Ps512 => Parameters::Rsa(&RSA_PSS_2048_8192_SHA512),
        JwsAlgorithm::Es256 => Parameters::Curve(&ECDSA_P256_SHA256_FIXED, 65),
        JwsAlgorithm::Es384 => Parameters::Curve(&ECDSA_P384_SHA384_FIXED, 97),
        JwsAlgorithm::EdDsa => Parameters::Curve(&ED25519, 32),
        JwsAlgorithm::Hs256 => Parameters::Hmac(hmac::HMAC_SHA256),
        JwsAlgorithm::Hs384 => Parameters::Hmac(hmac::HMAC_SHA384),
        JwsAlgorithm::Hs512 => Parameters::Hmac(hmac::HMAC_SHA512),
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use jsonwebtoken::{DecodingKey, EncodingKey, crypto};
    use proptest::prelude::*;

    use super::*;
    use crate::token::{Algorithm, PrivateKey, SigningKey};

    static KEYS: LazyLock<[SigningKey; 4]> =
        LazyLock::new(|| Algorithm::ALL.map(|algorithm| SigningKey::new(&PrivateKey::generate(algorithm)).unwrap()));

    const HASHES: [(JwsAlgorithm, jsonwebtoken::Algorithm, usize); 3] = [
        (JwsAlgorithm::Hs256, jsonwebtoken::Algorithm::HS256, 32),
        (JwsAlgorithm::Hs384, jsonwebtoken::Algorithm::HS384, 48),
        (JwsAlgorithm::Hs512, jsonwebtoken::Algorithm::HS512, 64),
    ];

    #[test]
    fn a_secret_is_as_long_as_its_hash_or_longer() {
        for (algorithm, of_library, least) in HASHES {
            let error = VerifyingKey::shared(algorithm, &vec![7; least - 1]).unwrap_err();
            assert_eq!(error, VerifyingKeyError::Short { algorithm, bytes: least - 1, least });
            let key = VerifyingKey::shared(algorithm, &vec![7; least]).unwrap();
            let tag = crypto::sign(b"message", &EncodingKey::from_secret(&vec![7; least]), of_library).unwrap();
            let tag = URL_SAFE_NO_PAD.decode(tag).unwrap();
            assert!(key.verifies(b"message", &tag) && !key.verifies(b"other", &tag), "{algorithm}");
            assert!(!key.verifies(b"message", &tag[..tag.len() - 1]), "a cut tag");
        }
        assert!(VerifyingKey::shared(JwsAlgorithm::Es256, &[7; 64]).is_err());
        assert!(VerifyingKey::curve(JwsAlgorithm::Hs256, &[7; 64]).is_err());
    }

    #[test]
    fn a_fingerprint_tells_keys_and_algorithms_apart_and_shows_nothing() {
        let key = |algorithm, secret| VerifyingKey::shared(algorithm, secret).unwrap().fingerprint();
        let (one, two) = ([1; 64], [2; 64]);
        assert_eq!(key(JwsAlgorithm::Hs256, &one), key(JwsAlgorithm::Hs256, &one));
        assert_ne!(key(JwsAlgorithm::Hs256, &one), key(JwsAlgorithm::Hs256, &two));
        assert_ne!(key(JwsAlgorithm::Hs256, &one), key(JwsAlgorithm::Hs384, &one));
        assert_eq!(format!("{:?}", key(JwsAlgorithm::Hs256, &one)), "KeyFingerprint(…)");
    }

    proptest! {
        /// The parsed key and the library's accept the same signatures.
        #[test]
        fn a_signature_is_accepted_if_and_only_if_jsonwebtoken_accepts_it(
            place in 0_usize..4,
            cut in 0_usize..3,
            added in proptest::collection::vec(any::<u8>(), 0..2),
            flipped in proptest::option::of((0_usize..256, 1_u8..)),
            message in "[a-c]{0,2}",
        ) {
            let signing = &KEYS[place];
            let mut signature = URL_SAFE_NO_PAD.decode(signing.sign("a")).unwrap();
            if let Some((at, bits)) = flipped {
                let at = at % signature.len();
                signature[at] ^= bits;
            }
            signature.truncate(signature.len() - cut);
            signature.extend(&added);
            let ours = signing.public().verifies(message.as_bytes(), &signature);
            let theirs = DecodingKey::from_jwk(signing.jwk()).unwrap();
            let text = URL_SAFE_NO_PAD.encode(&signature);
            let theirs = crypto::verify(&text, message.as_bytes(), &theirs, signing.algorithm().of_library());
            prop_assert_eq!(ours, theirs.unwrap_or(false));
            let unchanged = flipped.is_none() && cut == 0 && added.is_empty() && message == "a";
            prop_assert!(ours || !unchanged);
        }
    }
}
