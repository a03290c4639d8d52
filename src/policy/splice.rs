//! Puts one member into a JSON document and leaves every other byte as it is. A parser that also builds the document would
//! give it other spaces, numbers and escapes when it writes it again.

use super::{json::JsonPointer, mint::Unminted, name::Ambiguous, scan::Document};

/// `document` with the string `text` at `pointer`: in place of the value there, or as the first member of its object.
///
/// The document is read as by [`super::find_string`]: one object, and on the way each name at most once, also ignoring
/// case. Fails with [`Unminted::Ambiguous`] if it is not, [`Unminted::NoPlace`] if the object that the member belongs
/// into is missing.
pub fn put_string(document: &[u8], pointer: &JsonPointer, text: &str) -> Result<Vec<u8>, Unminted> {
    let document = Document::parse(document)?;
    let mut start = document.root().start;
    if !document.is_object(start) {
        return Err(Unminted::Ambiguous);
    }
    let (name, parents) = pointer.tokens().split_last().expect("a pointer has a token");
    for parent in parents {
        start = document.member(start, parent)?.ok_or(Unminted::NoPlace)?.start;
        if !document.is_object(start) {
            return Err(Unminted::NoPlace);
        }
    }
    let whole = document.text();
    let value = serde_json::Value::from(text).to_string();
    if let Some(old) = document.member(start, name)? {
        return Ok([&whole[..old.start], &value, &whole[old.end..]].concat().into_bytes());
    }
    let (before, after) = whole.split_at(start + 1);
    let comma = if after.trim_start().starts_with('}') { "" } else { "," };
    let name = serde_json::Value::from(&**name).to_string();
    Ok([before, &name, ":", &value, comma, after].concat().into_bytes())
}

impl From<Ambiguous> for Unminted {
    fn from(_: Ambiguous) -> Self {
        Self::Ambiguous
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_map, prelude::*};
    use serde_json::Value;

    use super::*;

    fn put(document: &str, pointer: &str) -> Result<String, Unminted> {
        let put = put_string(document.as_bytes(), &JsonPointer::parse(pointer).unwrap(), "t");
        put.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_new_member_stands_first_in_its_object() {
        for (document, pointer, expected) in [
            ("{}", "/s", r#"{"s":"t"}"#),
            (" { \n} ", "/s", " {\"s\":\"t\" \n} "),
            (r#"{"id":1.50}"#, "/s", r#"{"s":"t","id":1.50}"#),
            (r#"{"a":{"b":{}},"c":[]}"#, "/a/b/s", r#"{"a":{"b":{"s":"t"}},"c":[]}"#),
            (r#"{"a" : { "b":"}{\"" } }"#, "/a/s", r#"{"a" : {"s":"t", "b":"}{\"" } }"#),
            (r#"{"x":{"s":1},"y":["s"]}"#, "/s", r#"{"s":"t","x":{"s":1},"y":["s"]}"#),
            (r#"{"\u0061":{}}"#, "/a/s", r#"{"\u0061":{"s":"t"}}"#),
            (r#"{"a":1}"#, "/x~1y", r#"{"x/y":"t","a":1}"#),
            (r#"{"a":1}"#, r#"/""#, r#"{"\"":"t","a":1}"#),
            (r#"{"\ud800":"\udc00","n":1e999}"#, "/s", r#"{"s":"t","\ud800":"\udc00","n":1e999}"#),
        ] {
            assert_eq!(put(document, pointer).as_deref(), Ok(expected), "{document}");
        }
    }

    #[test]
    fn an_old_value_is_replaced_whatever_it_is() {
        for old in ["null", "\"\"", "\"a\\\"},\\\\\"", "-1.5e+3", "true", "[1,[{}],\"]\"]", "{\"s\":{\"a\":\"}\"}}"] {
            for (before, after) in [("{\"s\":", "}"), (" {\"a\" : 1 , \"s\" :\t", " , \"b\":[ ] }\r\n")] {
                let expected = format!("{before}\"t\"{after}");
                assert_eq!(put(&format!("{before}{old}{after}"), "/s"), Ok(expected), "{old}");
            }
        }
    }

    #[test]
    fn without_its_object_a_member_has_no_place() {
        for document in ["{}", r#"{"a":null}"#, r#"{"a":[{}]}"#, r#"{"a":"{}"}"#, r#"{"a":1}"#] {
            assert_eq!(put(document, "/a/s"), Err(Unminted::NoPlace), "{document}");
        }
    }

    #[test]
    fn what_reads_in_two_ways_takes_no_member() {
        let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
        for document in [
            "",
            "[]",
            "\"a\"",
            "{} {}",
            "{",
            r#"{"a":1,}"#,
            r#"{"s":1,"s":2}"#,
            r#"{"s":1,"\u0073":2}"#,
            r#"{"S":1}"#,
            r#"{"s":1,"S":1}"#,
            r#"{"\u017f":1}"#,
            r#"{"s\ud800":1}"#,
            "\u{feff}{}",
            deep.as_str(),
        ] {
            assert_eq!(put(document, "/s"), Err(Unminted::Ambiguous), "{document}");
        }
        assert_eq!(put(r#"{"a":{},"A":{}}"#, "/a/s"), Err(Unminted::Ambiguous));
        let pointer = JsonPointer::parse("/s").unwrap();
        assert_eq!(put_string(b"{\"x\":\"\xff\"}", &pointer, "t"), Err(Unminted::Ambiguous));
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[\\\\\"{}\\[\\],: \u{0}a-e\u{e9}]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                btree_map(NAME, inner, 0..5).prop_map(Value::from_iter),
            ]
        })
    }

    /// Names that are never `token`, and never like each other.
    const NAME: &str = "[\\\\\"{}\\[\\],: \u{0}a-e\u{e9}]{0,6}";

    proptest! {
        #[test]
        fn a_document_gains_the_member_and_nothing_else(
            members in btree_map(NAME, json(), 0..6),
            old in proptest::option::of(json()),
            pretty: bool,
            token in "[A-Za-z0-9._\"-]{0,40}",
        ) {
            let mut value = Value::from_iter(members);
            if let Some(old) = old {
                value["token"] = old;
            }
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let pointer = JsonPointer::parse("/token").unwrap();
            let put = put_string(text.as_bytes(), &pointer, &token).unwrap();
            let inserted = String::from_utf8(put).unwrap();
            let written = Value::from(token.as_str()).to_string();
            let fresh = value.get("token").is_none();
            let comma = if value == serde_json::json!({}) { "" } else { "," };
            value["token"] = Value::from(token);
            prop_assert_eq!(serde_json::from_str::<Value>(&inserted).unwrap(), value);
            if fresh {
                let added = format!("\"token\":{written}{comma}");
                prop_assert_eq!(inserted.replacen(&added, "", 1), text);
            }
        }

        #[test]
        fn no_bytes_panic(document in proptest::collection::vec(prop_oneof![Just(b'{'), Just(b'}'), Just(b'"'), Just(b'\\'), Just(b':'), Just(b','), any::<u8>()], 0..40)) {
            let pointer = JsonPointer::parse("/a/b").unwrap();
            let _ = put_string(&document, &pointer, "t");
        }
    }
}
