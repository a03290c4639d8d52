use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// Most members that a header or a claims set may have.
const MAX_MEMBERS: usize = 64;

/// A JSON object whose names are all different: RFC 7519 section 4 lets a parser take the last of two, we take none.
#[derive(Debug)]
pub(super) struct Object(Vec<(String, Value)>);

impl Object {
    /// Reads the whole of `json` as one object.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(json).ok()?;
        serde_json::from_str(text).ok()
    }

    /// The member called `name`.
    pub(super) fn member(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut members: Vec<(String, Value)> = Vec::with_capacity(16);
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if members.len() == MAX_MEMBERS || members.iter().any(|(earlier, _)| *earlier == name) {
                return Err(de::Error::custom("repeated or too many members"));
            }
            members.push((name, value));
        }
        Ok(Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_each_name_once() {
        let many =
            |count: usize| format!("{{{}}}", (0..count).map(|n| format!("\"{n}\":1")).collect::<Vec<_>>().join(","));
        for (json, expected) in [
            (r#"{"a":1,"b":{"a":2}}"#.to_owned(), true),
            (many(64), true),
            (many(65), false),
            (r#"{"a":1,"a":1}"#.to_owned(), false),
            (r#"{"a":1,"\u0061":1}"#.to_owned(), false),
            ("[]".to_owned(), false),
            ("\"a\"".to_owned(), false),
            (String::new(), false),
            ("{} {}".to_owned(), false),
            (format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200)), false),
        ] {
            assert_eq!(Object::parse(json.as_bytes()).is_some(), expected, "{json}");
        }
        assert!(Object::parse(b"{\"a\":\"\xff\"}").is_none());
    }
}
