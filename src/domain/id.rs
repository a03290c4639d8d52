use std::{
    fmt,
    hash::{Hash, Hasher},
};

use http::HeaderValue;

use super::{percent::percent_encoded, secret::random_text};

/// Why a text cannot be an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderTextError {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// More than this many bytes.
    #[error("is longer than {0} bytes")]
    TooLong(usize),
    /// A byte outside `!`..`~`: it could end a header, start another, or read differently upstream.
    #[error("holds a character outside visible ASCII")]
    Character,
    /// A control character, which no identifier has and some logs and terminals obey.
    #[error("holds a control character")]
    Control,
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
            return Err(HeaderTextError::TooLong(Self::MAX_LENGTH));
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

    /// The text, which a header states as it is.
    pub fn shown(&self) -> &str {
        self.as_str()
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

/// A text of 1 to 512 bytes without control characters, whatever its script: how issuers name customers, clients and tokens.
///
/// A header states it as it is where that is visible ASCII with single spaces inside. The UTF-8 bytes of anything else are
/// percent-encoded (RFC 3986 section 2.1), and so is a `%` that would read as such an encoding: two texts never come to the
/// same header. The log shows the same form.
#[derive(Clone)]
pub struct IdentityText {
    header: HeaderValue,
    /// The text itself, where the header has another form.
    text: Option<Box<str>>,
}

impl IdentityText {
    /// Longest text accepted, in bytes.
    pub const MAX_LENGTH: usize = 512;

    /// Checks `text`; the only way in.
    pub fn parse(text: &str) -> Result<Self, HeaderTextError> {
        if text.is_empty() {
            return Err(HeaderTextError::Empty);
        }
        if text.len() > Self::MAX_LENGTH {
            return Err(HeaderTextError::TooLong(Self::MAX_LENGTH));
        }
        if text.chars().any(char::is_control) {
            return Err(HeaderTextError::Control);
        }
        let encoded = percent_encoded(text);
        let header = HeaderValue::from_str(&encoded).map_err(|_| HeaderTextError::Control)?;
        Ok(Self { header, text: (encoded != text).then(|| text.into()) })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.text.as_deref().unwrap_or_else(|| self.shown())
    }

    /// The text as a header and the log show it.
    pub fn shown(&self) -> &str {
        self.header.to_str().expect("it was encoded as visible ASCII when it was parsed")
    }

    /// The bytes of the header.
    pub fn as_bytes(&self) -> &[u8] {
        self.header.as_bytes()
    }

    /// The text as a header value; cloning it copies no bytes.
    pub fn header_value(&self) -> &HeaderValue {
        &self.header
    }
}

/// No two texts have one header, so that comparing those is enough.
impl PartialEq for IdentityText {
    fn eq(&self, other: &Self) -> bool {
        self.header == other.header
    }
}

impl Eq for IdentityText {}

impl Hash for IdentityText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.header.hash(state);
    }
}

impl fmt::Debug for IdentityText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for IdentityText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $kind:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub struct $name($kind);

        impl $name {
            /// Checks `text`; the only way in.
            pub fn parse(text: &str) -> Result<Self, HeaderTextError> {
                $kind::parse(text).map(Self)
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }

            /// The identifier as headers and the log show it.
            pub fn shown(&self) -> &str {
                self.0.shown()
            }

            /// The identifier's bytes, as a header states it.
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
    ClientId, IdentityText
}
identifier! {
    /// The account that owns credentials. Ours read `bits:customer::<uuid>`, see [`CustomerId::parse_own`].
    CustomerId, IdentityText
}
identifier! {
    /// One onboarding application: `bits:application::<uuid>` by convention.
    ApplicationId, HeaderText
}
identifier! {
    /// The workflow an application runs: `bits:workflow::<uuid>` by convention.
    WorkflowId, HeaderText
}
identifier! {
    /// A token's `jti` (RFC 7519 section 4.1.7).
    TokenId, IdentityText
}
identifier! {
    /// An issuer as its tokens call it (`iss`, RFC 7519 section 4.1.1).
    IssuerName, IdentityText
}

/// A key's `kid`: any text (RFC 7517 section 4.5). It is stated in no header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// The name of a key.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ClientId {
    /// Checks what our own clients may be called: visible ASCII, which HTTP Basic and every form carry unchanged.
    pub fn parse_own(text: &str) -> Result<Self, HeaderTextError> {
        HeaderText::parse(text)?;
        Self::parse(text)
    }

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
            (too_long.as_str(), Err(HeaderTextError::TooLong(256))),
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
    fn an_identity_is_any_text_and_its_header_visible_ascii() {
        let longest = "\u{e9}".repeat(256);
        for (text, header) in [
            ("acme", Ok("acme")),
            (
                "bits:customer::e0d429f2-635b-418c-8b74-4a554f82c0bc",
                Ok("bits:customer::e0d429f2-635b-418c-8b74-4a554f82c0bc"),
            ),
            ("Acme, Inc", Ok("Acme, Inc")),
            ("auth0|5f7c8ec7c33c6c004bbafe82", Ok("auth0|5f7c8ec7c33c6c004bbafe82")),
            ("m\u{fc}ller", Ok("m%C3%BCller")),
            ("\u{1f600}", Ok("%F0%9F%98%80")),
            (" a", Ok("%20a")),
            ("a ", Ok("a%20")),
            ("a  b", Ok("a%20%20b")),
            (" ", Ok("%20")),
            ("a\u{a0}b", Ok("a%C2%A0b")),
            ("a\u{202e}b", Ok("a%E2%80%AEb")),
            ("100%", Ok("100%")),
            ("50% off", Ok("50% off")),
            ("m%C3%BCller", Ok("m%25C3%25BCller")),
            ("%41", Ok("%2541")),
            ("%%41", Ok("%%2541")),
            ("", Err(HeaderTextError::Empty)),
            ("a\r\nX-Scope: all", Err(HeaderTextError::Control)),
            ("a\tb", Err(HeaderTextError::Control)),
            ("a\0", Err(HeaderTextError::Control)),
            ("a\u{7f}", Err(HeaderTextError::Control)),
            ("a\u{85}", Err(HeaderTextError::Control)),
        ] {
            let parsed = IdentityText::parse(text);
            assert_eq!(parsed.as_ref().map(IdentityText::shown).map_err(|error| *error), header, "{text:?}");
            assert!(parsed.is_err() || parsed.is_ok_and(|parsed| parsed.as_str() == text), "{text:?}");
        }
        assert!(IdentityText::parse(&longest).is_ok());
        assert_eq!(IdentityText::parse(&(longest + "a")).unwrap_err(), HeaderTextError::TooLong(512));
    }

    proptest::proptest! {
        /// Whoever decodes the header has the text again, so that no two texts share one.
        #[test]
        fn a_header_is_decoded_to_the_text_it_came_from(text in "[%0-9a-fA-F é\u{a0}-\u{ff}]{1,12}|[ -~]{1,20}|.{1,10}") {
            let Ok(parsed) = IdentityText::parse(&text) else {
                proptest::prop_assert!(text.chars().any(char::is_control));
                return Ok(());
            };
            let shown = parsed.shown();
            proptest::prop_assert!(shown.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            proptest::prop_assert_eq!(shown.trim(), shown);
            proptest::prop_assert!(!shown.contains("  "));
            proptest::prop_assert_eq!(decoded(shown), text);
        }
    }

    /// The lenient reading that URL libraries have: what is no encoding stands for itself.
    fn decoded(text: &str) -> String {
        let (bytes, mut decoded, mut at) = (text.as_bytes(), Vec::new(), 0);
        while at < bytes.len() {
            let digits = text.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
            if let Some(digits) = digits.filter(|_| bytes[at] == b'%') {
                decoded.push(u8::from_str_radix(digits, 16).unwrap());
                at += 3;
            } else {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
        String::from_utf8(decoded).unwrap()
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
