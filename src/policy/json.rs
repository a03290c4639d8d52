use std::fmt;

use super::{name::Ambiguous, scan::Document};

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

    /// The member `name` of the document itself.
    pub(super) fn member(name: &str) -> Self {
        Self(vec![name.into()])
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

/// The string at `pointer`, `None` if nothing is there.
///
/// The whole of `body` must be one JSON object (RFC 8259) in UTF-8 without byte order mark, nested fewer than 128 times. On
/// the way to the member each name must stand exactly once, and no other name in the same object may equal it ignoring
/// case, in any alphabet; names are compared after unescaping. The member itself must be a string of whole characters.
/// What else the document says is not looked at, even where parsers differ on it: numbers out of range, half a surrogate pair.
pub fn find_string(body: &[u8], pointer: &JsonPointer) -> Result<Option<String>, Ambiguous> {
    let document = Document::parse(body)?;
    let mut value = document.root();
    for name in pointer.tokens() {
        match document.member(value.start, name)? {
            Some(member) => value = member,
            None => return Ok(None),
        }
    }
    serde_json::from_str(&document.text()[value]).map(Some).map_err(|_| Ambiguous)
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
            r#"{"x":"\ud800","applicationId":"a"}"#,
            r#"{"x":"\udc00\ud800\u0041","applicationId":"a"}"#,
            r#"{"x":[1e999,-1e999,-0,-0.0,1E-999,1234567890123456789012345678901234567890],"applicationId":"a"}"#,
            r#"{"x\ud800":"b","\udfff":{"applicationId\ud800":"b"},"applicationId":"a"}"#,
            r#"{"x":1,"x":2,"X":[],"applicationId":"a"}"#,
            r#"{"applicationId\ufffd":"b","applicationId":"a"}"#,
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
            r#"{"applicationId":"a\ud800"}"#,
            r#"{"applicationId\ud800":"b","applicationId":"a"}"#,
            r#"{"applicationId":"a","\udc00APPLICATIONID":"b"}"#,
            r#"{"appl\ud800icationId":"a"}"#,
            r#"{"x":"\ud8","applicationId":"a"}"#,
            r#"{"x":1e,"applicationId":"a"}"#,
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
