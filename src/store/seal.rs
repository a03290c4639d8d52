use std::{fmt, io, path::PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    domain::{KeyId, random_bytes},
    token::Algorithm,
};

/// Why a key-encryption key cannot be had, or does not open what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The text is not base64 of 32 bytes.
    #[error("a key-encryption key is one line: 32 bytes in base64 or hexadecimal (`openssl rand -base64 32`)")]
    NotAKey,
    /// The file's text is not base64 of 32 bytes.
    #[error("{} does not hold a key-encryption key (one line: 32 bytes in base64 or hexadecimal, as `openssl rand -base64 32` prints)", .0.display())]
    NotAKeyFile(PathBuf),
    /// The environment variable is missing, empty or not UTF-8.
    #[error("the environment variable {0}, which should hold the key-encryption key, is not set, or empty")]
    NoVariable(String),
    /// Someone other than the owner may read the key file.
    #[error("{} holds the key-encryption key and others may use it (mode {mode:04o}): `chmod 600` it", path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file cannot be read or made.
    #[error("the key-encryption key cannot be read from or written to {}: {kind}", path.display())]
    File {
        /// The key file, or its folder.
        path: PathBuf,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// This key does not open the value.
    #[error("the key-encryption key is not the one the store was written with, or a sealed value was changed")]
    Wrong,
}

/// The key under which the store keeps its secrets (AES-256-GCM). Kept outside of the store: in a file of mode
/// 0600 or in an environment variable, as one line of base64.
#[derive(Clone)]
pub struct KeyEncryptionKey([u8; 32]);

impl KeyEncryptionKey {
    /// A fresh key.
    pub fn generate() -> Self {
        Self(random_bytes())
    }

    /// The key that `text` spells: 32 bytes in base64 (RFC 4648 section 4, with padding) or in hexadecimal, and at most
    /// one newline. No text is both.
    pub fn from_text(text: &str) -> Result<Self, SealError> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        if let Some(bytes) = from_hexadecimal(line) {
            return Ok(Self(bytes));
        }
        let bytes = STANDARD.decode(line).map_err(|_| SealError::NotAKey)?;
        bytes.try_into().map(Self).map_err(|_| SealError::NotAKey)
    }

    /// The key as one line, with its newline.
    pub fn to_text(&self) -> String {
        format!("{}\n", STANDARD.encode(self.0))
    }

    /// Encrypts `plain` for its place: a fresh nonce, then ciphertext and tag.
    pub(super) fn seal(&self, place: Place<'_>, plain: &[u8]) -> Vec<u8> {
        let nonce = random_bytes::<NONCE_LEN>();
        let mut body = plain.to_vec();
        self.cipher()
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), place.associated_data(), &mut body)
            .expect("AES-GCM seals every short text");
        [nonce.as_slice(), &body].concat()
    }

    /// Decrypts what [`Self::seal`] made for the same place.
    pub(super) fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Wrong)?;
        let mut body = body.to_vec();
        let plain = self
            .cipher()
            .open_in_place(Nonce::assume_unique_for_key(*nonce), place.associated_data(), &mut body)
            .map_err(|_| SealError::Wrong)?;
        Ok(plain.to_vec())
    }

    fn cipher(&self) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &self.0).expect("AES-256 keys have 32 bytes"))
    }
}

/// 64 hexadecimal digits as 32 bytes.
fn from_hexadecimal(line: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = line.chars().map(|digit| digit.to_digit(16)?.try_into().ok()).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    bytes.try_into().ok().filter(|_| digits.len() == 64)
}

impl fmt::Debug for KeyEncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyEncryptionKey(…)")
    }
}

/// The key-encryption keys that a store is opened with. What is sealed is sealed with the first one; the others open
/// what was sealed before the first one's time, until [`super::Store::reseal`].
#[derive(Clone, Debug)]
pub struct Sealing {
    first: KeyEncryptionKey,
    earlier: Vec<KeyEncryptionKey>,
}

impl Sealing {
    /// Seals with `first`, and opens with any.
    pub const fn new(first: KeyEncryptionKey, earlier: Vec<KeyEncryptionKey>) -> Self {
        Self { first, earlier }
    }

    /// A fresh key, for a store that does not outlive it.
    pub fn ephemeral() -> Self {
        Self::new(KeyEncryptionKey::generate(), Vec::new())
    }

    pub(super) fn seal(&self, place: Place<'_>, plain: &[u8]) -> Vec<u8> {
        self.first.seal(place, plain)
    }

    pub(super) fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let opened = self.first.open(place, sealed);
        self.earlier.iter().fold(opened, |opened, key| opened.or_else(|_| key.open(place, sealed)))
    }
}

/// Where a sealed value stands. It is authenticated with the value, so that a value moved to another row does not open.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// The known text that tells the right key from a wrong one.
    Marker,
    /// The key that client secrets are hashed under.
    HashingKey,
    /// The private half of this signing key. RS256 and PS256 keys look alike, so the algorithm belongs to the place.
    SigningKey(&'a KeyId, Algorithm),
}

impl Place<'_> {
    fn associated_data(self) -> Aad<Vec<u8>> {
        let text = match self {
            Self::Marker => "scopegate marker".to_owned(),
            Self::HashingKey => "scopegate hashing key".to_owned(),
            Self::SigningKey(id, algorithm) => format!("scopegate signing key {algorithm} {id}"),
        };
        Aad::from(text.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_survives_its_text_with_and_without_newline() {
        let key = KeyEncryptionKey::generate();
        let text = key.to_text();
        assert_eq!(KeyEncryptionKey::from_text(&text).unwrap().0, key.0);
        assert_eq!(KeyEncryptionKey::from_text(text.trim_end()).unwrap().0, key.0);
    }

    #[test]
    fn texts_that_are_no_key_are_refused() {
        let key = KeyEncryptionKey([0xff; 32]).to_text();
        for text in [
            String::new(),
            "\n".to_owned(),
            STANDARD.encode([0; 31]),
            STANDARD.encode([0; 33]),
            key.replace('/', "_"),
            key.replace('=', ""),
            format!(" {key}"),
            format!("{key}\n"),
            format!("{key}#"),
        ] {
            assert_eq!(KeyEncryptionKey::from_text(&text).err(), Some(SealError::NotAKey), "{text:?}");
        }
    }

    #[test]
    fn hexadecimal_spells_a_key_too() {
        let key = KeyEncryptionKey::from_text(&"0aFf".repeat(16)).unwrap();
        assert_eq!(key.0, *[[0x0a, 0xff]; 16].as_flattened());
        for text in ["0aFf".repeat(15) + "0aF", "0aFf".repeat(16) + "0", "0agf".repeat(16)] {
            assert_eq!(KeyEncryptionKey::from_text(&text).err(), Some(SealError::NotAKey), "{text}");
        }
    }

    #[test]
    fn earlier_keys_open_and_the_first_one_seals() {
        let (old, new) = (KeyEncryptionKey::generate(), KeyEncryptionKey::generate());
        let both = Sealing::new(new.clone(), vec![old.clone()]);
        assert_eq!(both.open(Place::Marker, &old.seal(Place::Marker, b"value")).unwrap(), b"value");
        let sealed = both.seal(Place::Marker, b"value");
        assert_eq!(new.open(Place::Marker, &sealed).unwrap(), b"value");
        assert_eq!(old.open(Place::Marker, &sealed), Err(SealError::Wrong));
        let stranger = KeyEncryptionKey::generate().seal(Place::Marker, b"value");
        assert_eq!(both.open(Place::Marker, &stranger), Err(SealError::Wrong));
    }

    #[test]
    fn a_value_opens_at_its_own_place_only() {
        let key = KeyEncryptionKey::generate();
        let (first, second) = (KeyId::new("a"), KeyId::new("b"));
        let sealed = key.seal(Place::SigningKey(&first, Algorithm::Rs256), b"value");
        assert_eq!(key.open(Place::SigningKey(&first, Algorithm::Rs256), &sealed).unwrap(), b"value");
        for place in [
            Place::Marker,
            Place::HashingKey,
            Place::SigningKey(&second, Algorithm::Rs256),
            Place::SigningKey(&first, Algorithm::Ps256),
        ] {
            assert_eq!(key.open(place, &sealed), Err(SealError::Wrong));
        }
    }

    #[test]
    fn one_value_sealed_twice_looks_different() {
        let key = KeyEncryptionKey::generate();
        assert_ne!(key.seal(Place::Marker, b"value"), key.seal(Place::Marker, b"value"));
    }

    #[test]
    fn another_key_opens_nothing() {
        let sealed = KeyEncryptionKey::generate().seal(Place::Marker, b"value");
        assert_eq!(KeyEncryptionKey::generate().open(Place::Marker, &sealed), Err(SealError::Wrong));
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", KeyEncryptionKey::generate()), "KeyEncryptionKey(…)");
    }

    proptest! {
        #[test]
        fn a_changed_or_cut_value_does_not_open(plain: Vec<u8>, at: prop::sample::Index, bit in 0..8_u8) {
            let key = KeyEncryptionKey::generate();
            let sealed = key.seal(Place::Marker, &plain);
            let mut changed = sealed.clone();
            changed[at.index(sealed.len())] ^= 1 << bit;
            prop_assert_eq!(key.open(Place::Marker, &changed), Err(SealError::Wrong));
            prop_assert_eq!(key.open(Place::Marker, &sealed[..at.index(sealed.len())]), Err(SealError::Wrong));
            prop_assert_eq!(key.open(Place::Marker, &sealed), Ok(plain));
        }
    }
}
