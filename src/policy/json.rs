use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::name::is_alike;

/// Where a member stands in a JSON document (RFC 6901), objects only: `/applicationId`, `/application/id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPointer(Vec<Box<str>>);

impl JsonPointer {
    /// Reads a pointer of 1 to 8 reference tokens; `~0` and `~1` stand for `~` and `/`.
    pub fn parse(text: &str) -> Option<Self> {
        let tokens: Vec<Box<str>> = text.strip_prefix('/')?.split('/').map(unescape).collect::<Option<_>>()?;
        let usable = tokens.len() <= 8 && tokens.iter().all(|token| !token.is_empty());
        usable.then_some(Self(tokens))
    }

    /// Whether `other` is this place, or one within it.
    pub fn holds(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// The names on the way, at least one.
    pub(super) fn tokens(&self) -> &[Box<str>] {
        &self.0
    }
}

impl fmt::Display for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|token| write!(f, "/{}", token.replace('~', "~0").replace('/', "~1")))
    }
}

fn unescape(token: &str) -> Option<Box<str>> {
    let mut text = String::with_capacity(token.len());
    let mut characters = token.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '~' => match characters.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            other => other,
        });
    }
    Some(text.into())
}

/// A document that can be read in more than one way, or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// The string at `pointer`, `None` if nothing is there.
///
/// The whole of `body` must be one JSON object in UTF-8 without byte order mark. On the way to the member each name
/// must stand exactly once, and no other name in the same object may equal it ignoring case, in any alphabet; names are
/// compared after unescaping. The member itself must be a string. Nesting is limited to 128 levels.
pub fn find_string(body: &[u8], pointer: &JsonPointer) -> Result<Option<String>, Ambiguous> {
    let text = std::str::from_utf8(body).map_err(|_| Ambiguous)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let found = Member(&pointer.0).deserialize(&mut reader).map_err(|_| Ambiguous)?;
    reader.end().map_err(|_| Ambiguous)?;
    Ok(found)
}

/// The text of `body`, if the whole of it is one JSON value that [`find_string`] would not stumble over.
pub(super) fn check_whole(body: &[u8]) -> Result<&str, Ambiguous> {
    let text = std::str::from_utf8(body).map_err(|_| Ambiguous)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    Skip.deserialize(&mut reader).map_err(|_| Ambiguous)?;
    reader.end().map_err(|_| Ambiguous)?;
    Ok(text)
}

/// Reads an object and follows the tokens into it.
struct Member<'p>(&'p [Box<str>]);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.0 {
            [] => deserializer.deserialize_str(Text).map(Some),
            _ => deserializer.deserialize_map(self),
        }
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (name, below) = self.0.split_first().expect("deserialize_map is asked for with a token left");
        let mut found = None;
        let mut seen = false;
        while let Some(likeness) = map.next_key_seed(Compare(name))? {
            match likeness {
                Likeness::Other => map.next_value_seed(Skip)?,
                Likeness::Same if !seen => {
                    seen = true;
                    found = map.next_value_seed(Member(below))?;
                }
                Likeness::Same | Likeness::Similar => return Err(de::Error::custom("a second reading of one name")),
            }
        }
        Ok(found)
    }
}

/// How a member's name relates to the one looked for.
pub(super) enum Likeness {
    Same,
    Similar,
    Other,
}

pub(super) fn likeness(own: &str, name: &str) -> Likeness {
    if own == name {
        Likeness::Same
    } else if is_alike(own, name) {
        Likeness::Similar
    } else {
        Likeness::Other
    }
}

/// Compares a name without keeping it.
struct Compare<'p>(&'p str);

impl<'de> DeserializeSeed<'de> for Compare<'_> {
    type Value = Likeness;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Likeness, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Compare<'_> {
    type Value = Likeness;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Likeness, E> {
        Ok(likeness(name, self.0))
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}

/// Reads any value and keeps nothing. Unlike [`IgnoredAny`] it goes through `serde_json`'s depth limit and decodes
/// every string, so that a document passes only if a strict parser upstream would take it too.
struct Skip;

impl<'de> DeserializeSeed<'de> for Skip {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Skip)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key::<IgnoredAny>()?.is_some() {
            map.next_value_seed(Skip)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(body: &str) -> Result<Option<String>, Ambiguous> {
        find_string(body.as_bytes(), &JsonPointer::parse("/applicationId").unwrap())
    }

    #[test]
    fn a_member_that_stands_once_is_found() {
        for body in [
            r#"{"applicationId":"a"}"#,
            " \t\r\n{ \"x\" : [1,2.5,-3,null,true,{\"applicationId\":\"b\"}] , \"applicationId\" : \"a\" } ",
            r#"{"\u0061pplicationId":"\u0061"}"#,
            r#"{"applicationId\u0000":"b","applicationId":"a","applicationId ":"c"}"#,
        ] {
            assert_eq!(find(body), Ok(Some("a".to_owned())), "{body}");
        }
    }

    #[test]
    fn a_member_that_stands_nowhere_is_absent() {
        for body in ["{}", r#"{"x":{"applicationId":"a"}}"#, r#"{"application_id":"a"}"#] {
            assert_eq!(find(body), Ok(None), "{body}");
        }
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_ambiguous() {
        let deep = format!(r#"{{"x":{}{},"applicationId":"a"}}"#, "[".repeat(200), "]".repeat(200));
        for body in [
            "",
            "null",
            r#""applicationId""#,
            r#"[{"applicationId":"a"}]"#,
            r#"{"applicationId":"a","applicationId":"a"}"#,
            r#"{"applicationId":"a","\u0061pplicationId":"b"}"#,
            r#"{"ApplicationId":"b","applicationId":"a"}"#,
            r#"{"applicationId":"a","APPLICATIONID":"b"}"#,
            r#"{"applicationid":"a"}"#,
            r#"{"applicationId":"a","appl\u0131cationId":"b"}"#,
            "{\"appl\u{130}cationId\":\"a\"}",
            r#"{"applicationId":1}"#,
            r#"{"applicationId":null}"#,
            r#"{"applicationId":["a"]}"#,
            r#"{"applicationId":{"id":"a"}}"#,
            r#"{"applicationId":"a"}{"applicationId":"b"}"#,
            r#"{"applicationId":"a",}"#,
            r#"{"applicationId":"a"/* b */}"#,
            "{'applicationId':'a'}",
            r#"{"n":NaN,"applicationId":"a"}"#,
            r#"{"applicationId":"a""#,
            "\u{feff}{\"applicationId\":\"a\"}",
            r#"{"x":"\ud800","applicationId":"a"}"#,
            r#"{"x":01,"applicationId":"a"}"#,
            deep.as_str(),
        ] {
            assert_eq!(find(body), Err(Ambiguous), "{body}");
        }
        assert_eq!(
            find_string(b"{\"x\":\"\xff\",\"applicationId\":\"a\"}", &JsonPointer::parse("/applicationId").unwrap()),
            Err(Ambiguous)
        );
    }

    #[test]
    fn a_pointer_follows_objects_only() {
        let pointer = JsonPointer::parse("/application/id").unwrap();
        for (body, expected) in [
            (r#"{"application":{"id":"a"}}"#, Ok(Some("a".to_owned()))),
            (r#"{"application":{}}"#, Ok(None)),
            (r#"{"application":[{"id":"a"}]}"#, Err(Ambiguous)),
            (r#"{"application":{"id":"a","ID":"b"}}"#, Err(Ambiguous)),
            (r#"{"application":{"id":"a"},"application":{}}"#, Err(Ambiguous)),
        ] {
            assert_eq!(find_string(body.as_bytes(), &pointer), expected, "{body}");
        }
    }

    #[test]
    fn pointers_outside_rfc_6901_are_refused() {
        assert_eq!(JsonPointer::parse("/a~1b/~0c").map(|pointer| pointer.to_string()), Some("/a~1b/~0c".to_owned()));
        for text in ["", "a", "/", "/a//b", "/~2", "/~", "/1/2/3/4/5/6/7/8/9"] {
            assert_eq!(JsonPointer::parse(text), None, "{text}");
        }
    }
}
