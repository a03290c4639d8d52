//! Which `iss` an entry of `trust` is for: one, or those of several tenants of one issuer.

/// What the name of a tenant stands for.
const PLACEHOLDER: &str = "{tenant}";

/// The names of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerNames {
    /// As written: the name, or one in which `{tenant}` stands for a segment of its path.
    text: String,
    tenants: Vec<TenantPattern>,
}

/// Why names are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerNamesError {
    /// Not a text that an issuer could have.
    #[error("must be 1 to 512 characters without white space")]
    Text,
    /// Braces that are no placeholder, or more than one.
    #[error("may hold `{{tenant}}` once, as a whole segment of its path (`https://login.example.com/{{tenant}}/v2.0`)")]
    Placeholder,
}

/// Tenants: one, or with one `*` all whose names begin and end so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantPattern {
    start: String,
    /// What follows the `*`, if there is one.
    end: Option<String>,
}

impl IssuerNames {
    /// Reads an issuer's name as the configuration has it. A template needs [`Self::with_tenants`] to match anything.
    pub fn parse(text: &str) -> Result<Self, IssuerNamesError> {
        if text.is_empty() || text.len() > 512 || text.chars().any(|each| each.is_control() || each.is_whitespace()) {
            return Err(IssuerNamesError::Text);
        }
        let names = Self { text: text.to_owned(), tenants: Vec::new() };
        let whole = text.split('/').filter(|segment| *segment == PLACEHOLDER).count();
        let braces = text.matches(['{', '}']).count();
        if (whole, braces) == (1, 2) || braces == 0 { Ok(names) } else { Err(IssuerNamesError::Placeholder) }
    }

    /// The same for these tenants.
    #[must_use]
    pub fn with_tenants(self, tenants: Vec<TenantPattern>) -> Self {
        Self { tenants, ..self }
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it has a placeholder.
    pub fn is_template(&self) -> bool {
        self.text.contains(PLACEHOLDER)
    }

    /// Whether tokens that name `issuer` are its.
    pub fn include(&self, issuer: &str) -> bool {
        if self.is_template() { self.tenant(issuer).is_some() } else { self.text == issuer }
    }

    /// The tenant that `issuer` names, if that is one of this issuer's.
    pub fn tenant<'i>(&self, issuer: &'i str) -> Option<&'i str> {
        let (before, after) = self.text.split_once(PLACEHOLDER)?;
        let tenant = issuer.strip_prefix(before)?.strip_suffix(after)?;
        (is_segment(tenant) && self.tenants.iter().any(|pattern| pattern.matches(tenant))).then_some(tenant)
    }

    /// Whether some token could be tried against either of two entries.
    pub fn overlap(&self, other: &Self) -> bool {
        let (own, others): (Vec<_>, Vec<_>) = (self.text.split('/').collect(), other.text.split('/').collect());
        own.len() == others.len()
            && own.iter().zip(&others).all(|(own, other_segment)| {
                match (*own == PLACEHOLDER, *other_segment == PLACEHOLDER) {
                    (false, false) => own == other_segment,
                    (true, false) => is_segment(other_segment) && self.have_tenant(other_segment),
                    (false, true) => is_segment(own) && other.have_tenant(own),
                    (true, true) => {
                        self.tenants.iter().any(|one| other.tenants.iter().any(|another| one.intersects(another)))
                    }
                }
            })
    }

    fn have_tenant(&self, tenant: &str) -> bool {
        self.tenants.iter().any(|pattern| pattern.matches(tenant))
    }
}

impl TenantPattern {
    /// Reads a tenant's name, with at most one `*` in it.
    pub fn parse(text: &str) -> Option<Self> {
        let (start, end) = match text.split_once('*') {
            None => (text, None),
            Some((start, end)) => (start, Some(end)),
        };
        let plain = |part: &str| part.is_empty() || part.bytes().all(is_unreserved);
        let sound = match end {
            None => is_segment(start),
            Some(end) => plain(start) && plain(end),
        };
        sound.then(|| Self { start: start.to_owned(), end: end.map(ToOwned::to_owned) })
    }

    fn matches(&self, tenant: &str) -> bool {
        match &self.end {
            None => self.start == tenant,
            Some(end) => tenant.strip_prefix(&*self.start).is_some_and(|rest| rest.ends_with(&**end)),
        }
    }

    fn intersects(&self, other: &Self) -> bool {
        match (&self.end, &other.end) {
            (None, _) => other.matches(&self.start),
            (Some(_), None) => self.matches(&other.start),
            (Some(own), Some(others)) => {
                let starts = self.start.starts_with(&*other.start) || other.start.starts_with(&*self.start);
                starts && (own.ends_with(&**others) || others.ends_with(&**own))
            }
        }
    }
}

/// One whole segment that is read in one way: unreserved characters (RFC 3986 section 2.3).
fn is_segment(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(is_unreserved) && !matches!(text, "." | "..")
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRA: &str = "https://login.microsoftonline.com/{tenant}/v2.0";

    fn names(text: &str, tenants: &[&str]) -> IssuerNames {
        let tenants = tenants.iter().map(|text| TenantPattern::parse(text).unwrap()).collect();
        IssuerNames::parse(text).unwrap().with_tenants(tenants)
    }

    #[test]
    fn a_tenant_is_one_whole_segment() {
        for (tenants, issuer, tenant) in [
            (&["one", "two"][..], "https://login.microsoftonline.com/two/v2.0", Some("two")),
            (&["one"], "https://login.microsoftonline.com/two/v2.0", None),
            (&["one"], "https://login.microsoftonline.com/One/v2.0", None),
            (&["one"], "https://login.microsoftonline.com/one/v2.0/", None),
            (&["one"], "https://login.microsoftonline.com/one", None),
            (&["one"], "https://login.microsoftonline.com/v2.0", None),
            (&["one"], "https://login.microsoftonline.com//v2.0", None),
            (&["one"], "https://login.microsoftonline.com/{tenant}/v2.0", None),
            (&[], "https://login.microsoftonline.com/one/v2.0", None),
            (&["*"], "https://login.microsoftonline.com/any-1/v2.0", Some("any-1")),
            (&["*"], "https://login.microsoftonline.com/a/b/v2.0", None),
            (&["*"], "https://login.microsoftonline.com/a/v2.0/v2.0", None),
            (&["*"], "https://login.microsoftonline.com/a%2fb/v2.0", None),
            (&["*"], "https://login.microsoftonline.com/a?/v2.0", None),
            (&["*"], "https://login.microsoftonline.com/../v2.0", None),
            (&["*"], "https://login.microsoftonline.com//v2.0", None),
            (&["*"], "https://login.microsoftonline.com/\u{e9}/v2.0", None),
            (&["*"], "https://login.microsoftonline.com.evil.example/a/v2.0", None),
            (&["a*z"], "https://login.microsoftonline.com/abcz/v2.0", Some("abcz")),
            (&["a*z"], "https://login.microsoftonline.com/az/v2.0", Some("az")),
            (&["aa*a"], "https://login.microsoftonline.com/aa/v2.0", None),
        ] {
            assert_eq!(names(ENTRA, tenants).tenant(issuer), tenant, "{tenants:?} {issuer}");
            assert_eq!(names(ENTRA, tenants).include(issuer), tenant.is_some(), "{tenants:?} {issuer}");
        }
        assert!(names("https://a", &[]).include("https://a") && !names("https://a", &[]).include("https://a/"));
    }

    #[test]
    fn a_placeholder_stands_once_for_a_segment() {
        for (text, expected) in [
            (ENTRA, Ok(())),
            ("https://sts.windows.net/{tenant}/", Ok(())),
            ("https://a/{tenant}", Ok(())),
            ("https://{tenant}.a", Err(IssuerNamesError::Placeholder)),
            ("https://a/x{tenant}", Err(IssuerNamesError::Placeholder)),
            ("https://a/{tenantid}/v2.0", Err(IssuerNamesError::Placeholder)),
            ("https://a/{tenant}/{tenant}", Err(IssuerNamesError::Placeholder)),
            ("https://a/{tenant}/{x}", Err(IssuerNamesError::Placeholder)),
            ("https://a/{", Err(IssuerNamesError::Placeholder)),
            ("", Err(IssuerNamesError::Text)),
            ("https://a b", Err(IssuerNamesError::Text)),
        ] {
            assert_eq!(IssuerNames::parse(text).map(|_| ()), expected, "{text}");
        }
        for (text, good) in [
            ("a", true),
            ("*", true),
            ("a*", true),
            ("a*b*", false),
            ("", false),
            ("a/b", false),
            ("..", false),
            ("%41", false),
        ] {
            assert_eq!(TenantPattern::parse(text).is_some(), good, "{text}");
        }
    }

    #[test]
    fn entries_that_could_both_be_meant_are_seen() {
        for (one, other, expected) in [
            (names("https://a", &[]), names("https://a", &[]), true),
            (names("https://a", &[]), names("https://a/", &[]), false),
            (names("https://a/{tenant}", &["x"]), names("https://a/x", &[]), true),
            (names("https://a/{tenant}", &["x"]), names("https://a/y", &[]), false),
            (names("https://a/{tenant}", &["*"]), names("https://a/y", &[]), true),
            (names("https://a/{tenant}", &["*"]), names("https://a/", &[]), false),
            (names("https://a/{tenant}", &["x", "y"]), names("https://a/{tenant}", &["y"]), true),
            (names("https://a/{tenant}", &["x"]), names("https://a/{tenant}", &["y"]), false),
            (names("https://a/{tenant}", &["x*"]), names("https://a/{tenant}", &["*y"]), true),
            (names("https://a/{tenant}", &["x*"]), names("https://a/{tenant}", &["y*"]), false),
            (names("https://a/{tenant}/b", &["x"]), names("https://a/x/{tenant}", &["b"]), true),
            (names("https://a/{tenant}/b", &["x"]), names("https://a/x/{tenant}", &["c"]), false),
        ] {
            assert_eq!(one.overlap(&other), expected, "{one:?} {other:?}");
            assert_eq!(other.overlap(&one), expected, "{other:?} {one:?}");
        }
    }
}
