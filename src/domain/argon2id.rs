use std::{fmt, sync::Arc};

use argon2::{
    Algorithm, Argon2, Params, PasswordVerifier, Version,
    password_hash::phc::{Decimal, PasswordHash},
};

use super::secret::ClientSecret;

/// Why a text cannot be the hash of an imported secret. The text itself is never told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Argon2idError {
    /// Not the PHC string of argon2id, version 19, with salt and hash.
    #[error("is not a PHC string of argon2id (`$argon2id$v=19$m=…,t=…,p=…$salt$hash`)")]
    NotArgon2id,
    /// Checking it would take more memory or time than one token request may.
    #[error("costs more than a token request may: at most m=65536 (64 MiB), t=10 and p=4")]
    TooCostly,
}

/// The hash of a secret that another system chose, as an argon2id PHC string (RFC 9106). Unlike our own secrets such a
/// one may be guessed, so that every guess must be slow.
#[derive(Clone, PartialEq, Eq)]
pub struct Argon2idHash {
    text: Arc<str>,
    cost: Argon2idCost,
}

/// What checking a secret against a hash costs: hashes of one cost take the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2idCost {
    /// KiB.
    memory: u32,
    passes: u32,
    lanes: u32,
}

impl Argon2idHash {
    /// Checks `text`; the only way in.
    pub fn parse(text: &str) -> Result<Self, Argon2idError> {
        let hash = PasswordHash::new(text).map_err(|_| Argon2idError::NotArgon2id)?;
        let current = hash.version == Some(Version::V0x13.into());
        if hash.algorithm != Algorithm::Argon2id.ident() || !current || hash.salt.is_none() || hash.hash.is_none() {
            return Err(Argon2idError::NotArgon2id);
        }
        let params = Params::try_from(&hash).map_err(|_| Argon2idError::NotArgon2id)?;
        let named: [Option<Decimal>; 3] = ["m", "t", "p"].map(|name| hash.params.get_decimal(name));
        if named.contains(&None) {
            return Err(Argon2idError::NotArgon2id);
        }
        if params.m_cost() > MAX_MEMORY || params.t_cost() > MAX_PASSES || params.p_cost() > MAX_LANES {
            return Err(Argon2idError::TooCostly);
        }
        let cost = Argon2idCost { memory: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() };
        Ok(Self { text: text.into(), cost })
    }

    /// The PHC string.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What [`Self::matches`] costs.
    pub const fn cost(&self) -> Argon2idCost {
        self.cost
    }

    /// Whether `secret` is the one that was hashed. Takes milliseconds and megabytes: never on a thread that serves
    /// requests.
    pub fn matches(&self, secret: &ClientSecret) -> bool {
        Argon2::default().verify_password(secret.reveal().as_bytes(), &*self.text).is_ok()
    }
}

impl fmt::Debug for Argon2idHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Argon2idHash(…)")
    }
}

/// KiB.
const MAX_MEMORY: u32 = 64 * 1024;
const MAX_PASSES: u32 = 10;
const MAX_LANES: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// `correct horse` at this cost.
    fn hash(m: u32, t: u32, p: u32) -> String {
        use argon2::PasswordHasher;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(m, t, p, None).unwrap());
        argon2.hash_password_with_salt(b"correct horse", b"some-salt-16byte").unwrap().to_string()
    }

    #[test]
    fn a_secret_matches_its_own_hash_only() {
        let hash = Argon2idHash::parse(&hash(64, 1, 1)).unwrap();
        for (secret, expected) in [("correct horse", true), ("Correct horse", false), ("", false)] {
            assert_eq!(hash.matches(&ClientSecret::presented(secret.to_owned())), expected, "{secret}");
        }
        assert_eq!(format!("{hash:?}"), "Argon2idHash(…)");
    }

    #[test]
    fn a_hash_made_elsewhere_is_understood() {
        // From the test vectors of the reference implementation (phc-winner-argon2, test.c): m = 2^16 KiB, t = 2, p = 1.
        let text = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let hash = Argon2idHash::parse(text).unwrap();
        assert!(hash.matches(&ClientSecret::presented("password".to_owned())));
        assert_eq!(hash.as_str(), text);
    }

    #[test]
    fn other_texts_are_refused() {
        let good = hash(64, 1, 1);
        for text in [
            String::new(),
            "secret".to_owned(),
            good.replace("argon2id", "argon2i"),
            good.replace("v=19", "v=16"),
            good.replace("$v=19", ""),
            good.replace(",t=1", ""),
            good.replace("m=64,", ""),
            good.rsplit_once('$').unwrap().0.to_owned(),
            format!("{good}\n"),
            "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW".to_owned(),
        ] {
            assert_eq!(Argon2idHash::parse(&text), Err(Argon2idError::NotArgon2id), "{text}");
        }
    }

    #[test]
    fn hashes_of_the_same_parameters_cost_the_same() {
        let cost = |m, t, p| Argon2idHash::parse(&hash(m, t, p)).unwrap().cost();
        assert_eq!(cost(64, 1, 1), cost(64, 1, 1));
        for other in [cost(65, 1, 1), cost(64, 2, 1), cost(64, 1, 2)] {
            assert_ne!(cost(64, 1, 1), other);
        }
    }

    #[test]
    fn costs_are_bounded_on_both_sides() {
        let cheap = hash(64, 1, 1);
        for (from, to, expected) in [
            ("m=64", "m=65536", Ok(())),
            ("m=64", "m=65537", Err(Argon2idError::TooCostly)),
            ("t=1", "t=10", Ok(())),
            ("t=1", "t=11", Err(Argon2idError::TooCostly)),
            ("p=1", "p=4", Ok(())),
            ("p=1", "p=5", Err(Argon2idError::TooCostly)),
            ("m=64", "m=4294967295", Err(Argon2idError::TooCostly)),
        ] {
            assert_eq!(Argon2idHash::parse(&cheap.replace(from, to)).map(|_| ()), expected, "{to}");
        }
    }
}
