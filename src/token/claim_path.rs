use serde_json::Value;

use super::json::Object;

/// Where a claim stands: under its name, or inside another claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath {
    name: String,
    /// A JSON pointer (RFC 6901) into the claim; empty for the claim itself.
    inside: String,
}

/// Why a text names no claim.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimPathError {
    /// It is empty, too long, or holds a control character.
    #[error("a claim's name must be 1 to 256 printable characters")]
    Text,
    /// It begins as a JSON pointer and is none.
    #[error("is no JSON pointer (RFC 6901): `~` is written `~0`, `/` within a name `~1`, and no name is empty")]
    Pointer,
    /// It is written as a path in a way that is none here, so that no claim would ever be found.
    #[error("names no claim: write `{0}` for a member of an object{1}")]
    Path(String, String),
}

impl ClaimPath {
    /// The claim called `name`.
    pub fn of(name: &str) -> Self {
        Self { name: name.to_owned(), inside: String::new() }
    }

    /// Reads a claim's name, or a JSON pointer such as `/realm_access/roles`, which begins with `/`.
    pub fn parse(text: &str) -> Result<Self, ClaimPathError> {
        if text.is_empty() || text.len() > 256 || text.chars().any(char::is_control) {
            return Err(ClaimPathError::Text);
        }
        let Some(pointer) = text.strip_prefix('/') else {
            return refuse_other_notations(text).map(|()| Self::of(text));
        };
        let escapes = |token: &str| token.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if !pointer.split('/').all(|token| !token.is_empty() && escapes(token)) {
            return Err(ClaimPathError::Pointer);
        }
        let end = pointer.find('/').unwrap_or(pointer.len());
        let name = pointer[..end].replace("~1", "/").replace("~0", "~");
        Ok(Self { name, inside: pointer[end..].to_owned() })
    }

    /// The claim called so at the top of a token.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What stands there; null is nothing.
    pub(super) fn find<'c>(&self, claims: &'c Object) -> Option<&'c Value> {
        claims.stated(&self.name)?.pointer(&self.inside).filter(|value| !value.is_null())
    }
}

/// `realm_access.roles` and `$.realm_access.roles` are how other software writes it. Names with dots that are no such
/// paths (`https://example.com/roles`, `urn:zitadel:iam:org:id`) hold other signs as well.
fn refuse_other_notations(text: &str) -> Result<(), ClaimPathError> {
    let path = text.strip_prefix("$.").unwrap_or(text);
    let word = |part: &str| {
        !part.is_empty() && part.chars().all(|each| each.is_ascii_alphanumeric() || matches!(each, '_' | '-' | '@'))
    };
    let dotted = path.contains('.') && path.split('.').all(word);
    let slashed = path.contains('/') && path.split('/').all(word);
    if path == text && !dotted && !slashed {
        return Ok(());
    }
    let pointer = format!("/{}", path.replace('.', "/"));
    let whole =
        format!(", `/{}` for a claim whose name has this sign in it", text.replace('~', "~0").replace('/', "~1"));
    Err(ClaimPathError::Path(pointer, if path == text { whole } else { String::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_named_or_pointed_to() {
        let claims = br#"{"a":"1","o":{"b":["2"],"n":null,"x/y":"3","~":"4"},"p/q":"5","https://e.example/r":"6","d.e":"7","n":null}"#;
        let claims = Object::parse(claims).unwrap();
        for (path, expected) in [
            ("a", Some("1")),
            ("/a", Some("1")),
            ("/o/b/0", Some("2")),
            ("/o/b/00", None),
            ("/o/b/1", None),
            ("/o/x~1y", Some("3")),
            ("/o/~0", Some("4")),
            ("/p~1q", Some("5")),
            ("https://e.example/r", Some("6")),
            ("/d.e", Some("7")),
            ("/o/n", None),
            ("n", None),
            ("/a/b", None),
            ("o", None),
            ("A", None),
        ] {
            let found = ClaimPath::parse(path).unwrap().find(&claims).and_then(Value::as_str);
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn what_can_never_be_found_is_told_with_the_pointer_that_is_meant() {
        let pointer = |text: &str| match ClaimPath::parse(text) {
            Err(ClaimPathError::Path(pointer, _)) => Some(pointer),
            Err(ClaimPathError::Text | ClaimPathError::Pointer) | Ok(_) => None,
        };
        assert_eq!(pointer("realm_access.roles").as_deref(), Some("/realm_access/roles"));
        assert_eq!(pointer("$.realm_access.roles").as_deref(), Some("/realm_access/roles"));
        assert_eq!(pointer("$.roles").as_deref(), Some("/roles"));
        assert_eq!(pointer("resource_access.my-app.roles").as_deref(), Some("/resource_access/my-app/roles"));
        assert_eq!(pointer("realm_access/roles").as_deref(), Some("/realm_access/roles"));
        for fine in
            ["roles", "https://example.com/roles", "urn:zitadel:iam:org:id", "custom:org", "/realm_access.roles"]
        {
            assert!(ClaimPath::parse(fine).is_ok(), "{fine}");
        }
        for (text, expected) in [
            ("", ClaimPathError::Text),
            ("a\nb", ClaimPathError::Text),
            ("/", ClaimPathError::Pointer),
            ("//a", ClaimPathError::Pointer),
            ("/a/", ClaimPathError::Pointer),
            ("/a~", ClaimPathError::Pointer),
            ("/a~2", ClaimPathError::Pointer),
        ] {
            assert_eq!(ClaimPath::parse(text), Err(expected), "{text:?}");
        }
    }
}
