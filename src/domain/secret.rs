use std::fmt;

use aws_lc_rs::{constant_time, hmac};

use super::{argon2id::Argon2idHash, random::random_bytes};

const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// `length` characters of `[A-Za-z0-9]`, each with log2(62) = 5.95 bits.
pub(super) fn random_text(length: usize) -> String {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        // 248 is the largest multiple of 62 in a byte: what lies above would favour the first letters.
        let usable = random_bytes::<64>().into_iter().filter(|byte| *byte < 248);
        text.extend(usable.take(length - text.len()).map(|byte| char::from(ALPHABET[usize::from(byte) % 62])));
    }
    text
}

/// A client secret in the clear: shown once when it is made, compared once per token request, never kept.
pub struct ClientSecret(String);

impl ClientSecret {
    /// A fresh secret: `sgs` and 43 characters of `[A-Za-z0-9]`, 256 bits.
    pub fn generate() -> Self {
        Self(format!("sgs{}", random_text(43)))
    }

    /// A secret as a caller sent it.
    pub fn presented(text: String) -> Self {
        Self(text)
    }

    /// The secret itself: for showing a new one, and for hashing.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(…)")
    }
}

/// The random key under which secrets are hashed. It lives in the store, encrypted, so that a copied
/// database without the key-encryption key gives nothing to guess against.
#[derive(Clone)]
pub struct HashingKey([u8; 32]);

impl HashingKey {
    /// A fresh key.
    pub fn generate() -> Self {
        Self(random_bytes())
    }

    /// The key of these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key's bytes, for encryption into the store.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for HashingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashingKey(…)")
    }
}

/// HMAC-SHA-256 of a secret under the [`HashingKey`]. A 256-bit random secret needs no slow hash.
#[derive(Clone)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Hashes `secret`.
    pub fn of(key: &HashingKey, secret: &ClientSecret) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        let tag = hmac::sign(&key, secret.reveal().as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(tag.as_ref());
        Self(hash)
    }

    /// The hash as kept in the store.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to keep.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether both are the hash of one secret, in time that tells nothing about where they differ.
    pub fn matches(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

/// What a secret is checked against.
#[derive(Clone, Debug)]
pub enum SecretVerifier {
    /// The hash of a secret that we made.
    Keyed(SecretHash),
    /// The hash of a secret that was imported.
    Argon2id(Argon2idHash),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_secret_has_its_prefix_and_alphabet() {
        let secret = ClientSecret::generate();
        assert_eq!(secret.reveal().len(), 46);
        assert!(secret.reveal().starts_with("sgs"));
        assert!(secret.reveal().bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }

    #[test]
    fn a_hash_depends_on_secret_and_key() {
        let (key, other_key) = (HashingKey::generate(), HashingKey::generate());
        let secret = ClientSecret::presented("s".to_owned());
        let hash = SecretHash::of(&key, &secret);
        assert!(hash.matches(&SecretHash::of(&key, &secret)));
        assert!(!hash.matches(&SecretHash::of(&other_key, &secret)));
        assert!(!hash.matches(&SecretHash::of(&key, &ClientSecret::presented("S".to_owned()))));
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = HashingKey::from_bytes([7; 32]);
        let secret = ClientSecret::presented("visible?".to_owned());
        let shown = format!("{secret:?} {key:?} {:?}", SecretHash::of(&key, &secret));
        assert_eq!(shown, "ClientSecret(…) HashingKey(…) SecretHash(…)");
    }
}
