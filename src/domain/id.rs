use std::fmt;

use http::HeaderValue;

use super::secret::random_text;

/// Why a text cannot be an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderTextError {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// More than [`HeaderText::MAX_LENGTH`] bytes.
    #[error("is longer than 256 bytes")]
    TooLong,
    /// A byte outside `!`..`~`: it could end a header, start another, or read differently upstream.
    #[error("holds a character outside visible ASCII")]
    Character,
}

/// A text of 1 to 256 visible ASCII bytes without spaces or commas: whatever the gateway states in a header.
///
/// It is kept as a [`HeaderValue`], so that stating it upstream costs a reference count, not a copy or a check.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HeaderText(HeaderValue);

impl HeaderText {
    /// Longest text accepted, in bytes.
    pub const MAX_LENGTH: usize = 256;

    /// Checks `text`; the only way in.
    pub fn parse(text: &str) -> Result<Self, HeaderTextError> {
        if text.is_empty() {
            return Err(HeaderTextError::Empty);
        }
        if text.len() > Self::MAX_LENGTH {
            return Err(HeaderTextError::TooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
            return Err(HeaderTextError::Character);
        }
        HeaderValue::from_str(text).map(Self).map_err(|_| HeaderTextError::Character)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().expect("visible ASCII was checked when it was parsed")
    }

    /// The text's bytes, without the check that [`Self::as_str`] repeats.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The text as a header value; cloning it copies no bytes.
    pub fn header_value(&self) -> &HeaderValue {
        &self.0
    }
}

impl fmt::Debug for HeaderText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for HeaderText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub struct $name(HeaderText);

        impl $name {
            /// Checks `text`; the only way in.
            pub fn parse(text: &str) -> Result<Self, HeaderTextError> {
                HeaderText::parse(text).map(Self)
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }

            /// The identifier's bytes.
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }

            /// The identifier as a header value; cloning it copies no bytes.
            pub fn header_value(&self) -> &HeaderValue {
                self.0.header_value()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

identifier! {
    /// The public half of API credentials (RFC 6749 section 2.2). Ours are 24 characters of `[A-Za-z0-9]`;
    /// other issuers choose their own.
    ClientId
}
identifier! {
    /// The account that owns credentials. Ours read `bits:customer::<uuid>`, see [`CustomerId::parse_own`].
    CustomerId
}
identifier! {
    /// One onboarding application: `bits:application::<uuid>` by convention.
    ApplicationId
}
identifier! {
    /// The workflow an application runs: `bits:workflow::<uuid>` by convention.
    WorkflowId
}
identifier! {
    /// A token's `jti` (RFC 7519 section 4.1.7).
    TokenId
}
identifier! {
    /// A key's `kid` (RFC 7517 section 4.5).
    KeyId
}

impl ClientId {
    /// A fresh ID of 24 characters of `[A-Za-z0-9]`.
    pub fn generate() -> Self {
        Self::parse(&random_text(24)).expect("letters and digits are visible ASCII")
    }
}

impl CustomerId {
    /// Checks the form our own customers have, `bits:customer::<uuid>`, in lower case with hyphens.
    pub fn parse_own(text: &str) -> Option<Self> {
        let uuid = text.strip_prefix("bits:customer::")?;
        let parsed = uuid::Uuid::try_parse(uuid).ok()?;
        if parsed.hyphenated().to_string() != uuid {
            return None;
        }
        Self::parse(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_text_holds_visible_ascii_only() {
        let longest = "a".repeat(256);
        let too_long = "a".repeat(257);
        for (text, expected) in [
            ("a", Ok(())),
            ("bits:customer::e0d429f2-635b-418c-8b74-4a554f82c0bc", Ok(())),
            (longest.as_str(), Ok(())),
            ("", Err(HeaderTextError::Empty)),
            (too_long.as_str(), Err(HeaderTextError::TooLong)),
            ("a b", Err(HeaderTextError::Character)),
            ("a,b", Err(HeaderTextError::Character)),
            ("a\r\nX-Scope: all", Err(HeaderTextError::Character)),
            ("a\0", Err(HeaderTextError::Character)),
            ("\u{e9}", Err(HeaderTextError::Character)),
        ] {
            assert_eq!(HeaderText::parse(text).map(|_| ()), expected, "{text:?}");
        }
    }

    #[test]
    fn our_customers_have_one_spelling() {
        assert!(CustomerId::parse_own("bits:customer::e0d429f2-635b-418c-8b74-4a554f82c0bc").is_some());
        for other in [
            "bits:customer::E0D429F2-635B-418C-8B74-4A554F82C0BC",
            "bits:customer::e0d429f2635b418c8b744a554f82c0bc",
            "bits:customer::",
            "bits:application::e0d429f2-635b-418c-8b74-4a554f82c0bc",
            "e0d429f2-635b-418c-8b74-4a554f82c0bc",
        ] {
            assert_eq!(CustomerId::parse_own(other), None, "{other}");
        }
    }
}
