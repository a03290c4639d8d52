//! RSA public keys, as far as one can tell a weak one by looking at it.

use aws_lc_rs::signature::RsaPublicKeyComponents;

/// Modulus and exponent, big-endian, without leading zeros.
#[derive(Clone, Copy, Debug)]
pub struct RsaPublicKey<'a> {
    modulus: &'a [u8],
    exponent: &'a [u8],
}

/// Why an RSA key is not to be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RsaWeakness {
    /// Its modulus has too few bits (RFC 7518 section 3.3), or so many that each token would be dear.
    #[error("has {0} bits; 2048 to 8192 are accepted")]
    Size(usize),
    /// An even exponent, 1, or one beyond 32 bits.
    #[error("has a public exponent that nobody should use")]
    Exponent,
    /// Its primes were made by a flawed library (ROCA, CVE-2017-15361), so that they can be computed.
    #[error("was made by a library whose keys can be factored (CVE-2017-15361)")]
    Roca,
}

impl<'a> RsaPublicKey<'a> {
    /// The key of these big-endian numbers. Leading zeros do not count (RFC 7518 section 6.3.1.1 tells of issuers that write one).
    pub fn new(modulus: &'a [u8], exponent: &'a [u8]) -> Self {
        Self { modulus: without_leading_zeros(modulus), exponent: without_leading_zeros(exponent) }
    }

    /// The key of a `SubjectPublicKeyInfo` in DER (RFC 5280 section 4.1), if it is one of RSA.
    pub fn from_spki(der: &'a [u8]) -> Option<Self> {
        let (SEQUENCE, info, []) = element(der)? else { return None };
        let (SEQUENCE, algorithm, rest) = element(info)? else { return None };
        let (BIT_STRING, [0, key @ ..], []) = element(rest)? else { return None };
        let (OBJECT_IDENTIFIER, RSA_ENCRYPTION, _) = element(algorithm)? else { return None };
        Self::from_pkcs1(key)
    }

    /// The key of an `RSAPublicKey` in DER (RFC 8017 appendix A.1.1).
    pub fn from_pkcs1(der: &'a [u8]) -> Option<Self> {
        let (SEQUENCE, numbers, []) = element(der)? else { return None };
        let (INTEGER, modulus, rest) = element(numbers)? else { return None };
        let (INTEGER, exponent, []) = element(rest)? else { return None };
        Some(Self::new(modulus, exponent))
    }

    /// Whether it is sound, as far as can be seen.
    pub fn check(&self) -> Result<(), RsaWeakness> {
        let bits = self.bits();
        if !(2048..=8192).contains(&bits) {
            return Err(RsaWeakness::Size(bits));
        }
        let odd = self.exponent.last().is_some_and(|last| last % 2 == 1);
        if !odd || self.exponent == [1] || self.exponent.len() > 4 {
            return Err(RsaWeakness::Exponent);
        }
        if has_roca_form(self.modulus) { Err(RsaWeakness::Roca) } else { Ok(()) }
    }

    pub(super) const fn modulus(&self) -> &'a [u8] {
        self.modulus
    }

    pub(super) const fn exponent(&self) -> &'a [u8] {
        self.exponent
    }

    pub(super) const fn components(&self) -> RsaPublicKeyComponents<&'a [u8]> {
        RsaPublicKeyComponents { n: self.modulus, e: self.exponent }
    }

    fn bits(&self) -> usize {
        let unused = self.modulus.first().map_or(0, |first| first.leading_zeros());
        self.modulus.len() * 8 - usize::try_from(unused).expect("at most 8")
    }
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// One DER element (X.690 section 8.1): its tag, its content, and what follows it. Lengths of up to two bytes are enough
/// for every key that is accepted.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match (first, rest) {
        (0..=0x7f, rest) => (usize::from(first), rest),
        (0x81, [length, rest @ ..]) => (usize::from(*length), rest),
        (0x82, [high, low, rest @ ..]) => (usize::from(*high) << 8 | usize::from(*low), rest),
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// Whether the modulus is a power of 65537 modulo each of many small primes: so are all that the flawed library made, and
/// one in 2^27 of others (Nemec et al., "The Return of Coppersmith's Attack", section 2.3).
fn has_roca_form(modulus: &[u8]) -> bool {
    ROCA_PRIMES.iter().all(|prime| is_power_of_generator(remainder(modulus, *prime), *prime))
}

fn remainder(number: &[u8], prime: u32) -> u32 {
    number.iter().fold(0, |rest, byte| (rest << 8 | u32::from(*byte)) % prime)
}

fn is_power_of_generator(value: u32, prime: u32) -> bool {
    let generator = 65_537 % prime;
    let mut power = 1;
    for _ in 0..prime {
        if power == value {
            return true;
        }
        power = power * generator % prime;
    }
    false
}

const ROCA_PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
    113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// `rsaEncryption`, 1.2.840.113549.1.1.1 (RFC 8017 appendix A.1)
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];

#[cfg(test)]
mod tests {
    use super::*;

    /// A number that begins and ends as asked and is odd in between.
    fn number(bytes: usize, first: u8) -> Vec<u8> {
        let mut number = vec![0x35; bytes];
        number[0] = first;
        number
    }

    #[test]
    fn size_and_exponent_have_bounds() {
        for (bytes, first, exponent, expected) in [
            (256, 0x80, &[1, 0, 1][..], Ok(())),
            (256, 0x7f, &[1, 0, 1], Err(RsaWeakness::Size(2047))),
            (128, 0x80, &[1, 0, 1], Err(RsaWeakness::Size(1024))),
            (1024, 0x80, &[1, 0, 1], Ok(())),
            (1025, 0x01, &[1, 0, 1], Err(RsaWeakness::Size(8193))),
            (256, 0x80, &[3], Ok(())),
            (256, 0x80, &[0, 0, 3], Ok(())),
            (256, 0x80, &[1], Err(RsaWeakness::Exponent)),
            (256, 0x80, &[0, 1], Err(RsaWeakness::Exponent)),
            (256, 0x80, &[2], Err(RsaWeakness::Exponent)),
            (256, 0x80, &[0], Err(RsaWeakness::Exponent)),
            (256, 0x80, &[], Err(RsaWeakness::Exponent)),
            (256, 0x80, &[0xff, 0xff, 0xff, 0xff], Ok(())),
            (256, 0x80, &[1, 0, 0, 0, 1], Err(RsaWeakness::Exponent)),
        ] {
            let modulus = number(bytes, first);
            assert_eq!(RsaPublicKey::new(&modulus, exponent).check(), expected, "{bytes} {first} {exponent:?}");
        }
        assert_eq!(RsaPublicKey::new(&[], &[3]).check(), Err(RsaWeakness::Size(0)));
    }

    #[test]
    fn a_modulus_of_the_flawed_library_is_told_by_its_form() {
        // 65537^n for any n is 65537^n modulo every prime; this one is as long as an RSA key.
        let mut modulus = vec![1_u8];
        while modulus.len() < 256 {
            let twice = [modulus.as_slice(), &[0, 0]].concat();
            let mut carry = 0;
            let mut sum = twice;
            for (place, byte) in sum.iter_mut().rev().enumerate() {
                let own = modulus.len().checked_sub(place + 1).map_or(0, |at| modulus[at]);
                let total = u16::from(*byte) + u16::from(own) + carry;
                *byte = u8::try_from(total & 0xff).expect("a byte");
                carry = total >> 8;
            }
            modulus = sum;
        }
        modulus.truncate(modulus.len());
        assert!(has_roca_form(&modulus));
        let last = modulus.len() - 1;
        modulus[last] ^= 2;
        assert!(!has_roca_form(&modulus));
    }

    #[test]
    fn what_is_no_public_key_info_of_rsa_is_none() {
        for der in [&[][..], &[0x30], &[0x30, 0x84, 0, 0, 0, 0], &[0x30, 5, 1], &[0x30, 0], &[0x30, 2, 0x30, 0]] {
            assert!(RsaPublicKey::from_spki(der).is_none(), "{der:?}");
        }
    }
}
