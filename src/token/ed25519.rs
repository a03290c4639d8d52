//! Ed25519 public keys that are none: the points of small order.

/// Whether anybody can sign for this key (32 bytes, RFC 8032 section 5.1.5).
///
/// Eight times such a point is the neutral element, so the multiple of it that a message asks for is neutral for one in
/// eight messages at least, and for those the signature that says nothing (R neutral, S zero) verifies. Nobody comes by such
/// a key by generating one.
pub(super) fn has_small_order(key: &[u8]) -> bool {
    let Some((last, first)) = key.split_last() else { return false };
    // The last bit is the sign of x; a point and its negative have the same order.
    SMALL_ORDER.iter().any(|point| point[..31] == *first && point[31] == last & 0x7f)
}

/// The y coordinates of all points of order 1, 2, 4 and 8, little-endian, and the two that can be written in a second way.
const SMALL_ORDER: [[u8; 32]; 7] = [
    with_ends(0x00, 0x00, 0x00),
    with_ends(0x01, 0x00, 0x00),
    with_ends(0xec, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    with_ends(0xed, 0xff, 0x7f),
    with_ends(0xee, 0xff, 0x7f),
];

const fn with_ends(first: u8, between: u8, last: u8) -> [u8; 32] {
    let mut bytes = [between; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, ParsedPublicKey};

    use super::*;
    use crate::token::{Algorithm, JwsAlgorithm, PrivateKey, SigningKey, VerifyingKey, VerifyingKeyError};

    /// Whether some of 500 messages have a signature that nobody made.
    fn can_be_forged(key: &[u8]) -> bool {
        let mut signature = [0; 64];
        signature[0] = 1;
        let key = ParsedPublicKey::new(&ED25519, key).expect("aws-lc takes any 32 bytes");
        (0..500_u16).any(|message| key.verify_sig(&message.to_be_bytes(), &signature).is_ok())
    }

    #[test]
    fn a_key_that_anybody_can_sign_for_is_refused() {
        for (place, point) in SMALL_ORDER.into_iter().enumerate() {
            for sign in [0, 0x80] {
                let mut key = point;
                key[31] |= sign;
                let refused = VerifyingKey::curve(JwsAlgorithm::EdDsa, &key).err();
                assert_eq!(refused, Some(VerifyingKeyError::SmallOrder), "{place} {sign}");
            }
        }
        // The five that have one form are a danger indeed; of the others aws-lc knows by itself that they are none.
        assert_eq!(SMALL_ORDER.map(|point| can_be_forged(&point)), [true, true, true, true, true, false, false]);
    }

    #[test]
    fn other_keys_are_not() {
        for _ in 0..20 {
            assert!(SigningKey::new(&PrivateKey::generate(Algorithm::EdDsa)).is_ok());
        }
        let mut near = with_ends(0x02, 0x00, 0x00);
        assert!(!has_small_order(&near) && !can_be_forged(&near));
        near[0] = 1;
        near[15] = 1;
        assert!(!has_small_order(&near) && !has_small_order(&near[..31]) && !has_small_order(&[]));
    }
}
