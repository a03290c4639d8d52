//! Finds places in a JSON document and leaves its values as they are written.
//!
//! `serde_json` judges the document as a whole; only then a scanner, which may trust that it is JSON, finds the place.
//! Building the values would refuse what RFC 8259 allows and parsers read in their own ways: numbers out of range, and
//! escapes of half a surrogate pair. Where such a value stands beside the one looked for, it is nobody's business.

use std::{borrow::Cow, ops::Range};

use serde::de::IgnoredAny;

use super::name::{Ambiguous, Likeness, member_likeness};

/// A text that is one JSON value (RFC 8259): UTF-8, no byte order mark, fewer than 128 levels deep.
#[derive(Clone, Copy)]
pub(super) struct Document<'d> {
    text: &'d str,
}

impl<'d> Document<'d> {
    /// Checks `bytes`; the only way in.
    pub(super) fn parse(bytes: &'d [u8]) -> Result<Self, Ambiguous> {
        let text = std::str::from_utf8(bytes).map_err(|_| Ambiguous)?;
        serde_json::from_str::<IgnoredAny>(text).map_err(|_| Ambiguous)?;
        if is_deep(text.as_bytes()) { Err(Ambiguous) } else { Ok(Self { text }) }
    }

    /// The whole text.
    pub(super) const fn text(self) -> &'d str {
        self.text
    }

    /// Where its value stands.
    pub(super) fn root(self) -> Range<usize> {
        let space = |text: &str| text.bytes().take_while(|byte| is_space(*byte)).count();
        space(self.text)..self.text.len() - self.text.bytes().rev().take_while(|byte| is_space(*byte)).count()
    }

    /// Whether an object begins here.
    pub(super) fn is_object(self, at: usize) -> bool {
        self.text.as_bytes().get(at) == Some(&b'{')
    }

    /// Where the value of the member `name` stands, in the object that begins at `at`; `None` if it has none.
    ///
    /// The name must stand once, and no other of this object may equal it ignoring case, in any alphabet; names are
    /// compared after unescaping.
    pub(super) fn member(self, at: usize, name: &str) -> Result<Option<Range<usize>>, Ambiguous> {
        if !self.is_object(at) {
            return Err(Ambiguous);
        }
        let mut scanner = Scanner { text: self.text, at: at + 1 };
        let mut found = None;
        while scanner.goes_on().ok_or(Ambiguous)? {
            let (own, value) = scanner.entry().ok_or(Ambiguous)?;
            match own.likeness(name) {
                Likeness::Other => {}
                Likeness::Same if found.is_none() => found = Some(value),
                Likeness::Same | Likeness::Similar => return Err(Ambiguous),
            }
        }
        Ok(found)
    }
}

/// Whether values stand within each other 128 times or more: some parsers give up there, and so does the recursion of
/// those that do not count.
fn is_deep(text: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_u8, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' if depth == MOST_LEVELS => return true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    false
}

const MOST_LEVELS: u8 = 127;

/// The name of a member, unescaped.
enum Name<'d> {
    Text(Cow<'d, str>),
    /// Without the halves of surrogate pairs that stand alone in it. Parsers keep them, put U+FFFD in their place, refuse
    /// the document or leave them out.
    Halved(String),
}

impl Name<'_> {
    fn likeness(&self, name: &str) -> Likeness {
        match self {
            Self::Text(own) => member_likeness(own, name),
            Self::Halved(own) if member_likeness(own, name) == Likeness::Other => Likeness::Other,
            Self::Halved(_) => Likeness::Similar,
        }
    }
}

/// The string that `written` stands for, quotes and all.
fn unescape(written: &str) -> Option<Name<'_>> {
    let plain = written.get(1..written.len() - 1)?;
    if !plain.contains('\\') {
        return Some(Name::Text(Cow::Borrowed(plain)));
    }
    if let Ok(text) = serde_json::from_str::<String>(written) {
        return Some(Name::Text(Cow::Owned(text)));
    }
    serde_json::from_str(&without_halves(written)).ok().map(Name::Halved)
}

/// `written` without the escapes that are half a surrogate pair.
fn without_halves(written: &str) -> String {
    let unit = |at: usize| {
        let digits = written.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut kept = String::with_capacity(written.len());
    let mut at = 0;
    while let Some(letter) = written[at..].chars().next() {
        let length = match (unit(at), unit(at + 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                at += 6;
                continue;
            }
            // A backslash and what it escapes stay together.
            _ if letter == '\\' => 2,
            _ => letter.len_utf8(),
        };
        kept.push_str(&written[at..at + length]);
        at += length;
    }
    kept
}

/// A place in a text that is JSON.
struct Scanner<'d> {
    text: &'d str,
    at: usize,
}

impl<'d> Scanner<'d> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
    }

    /// Moves on to the next member of the object that this place is in, if one is left.
    fn goes_on(&mut self) -> Option<bool> {
        while self.peek().is_some_and(|byte| is_space(byte) || byte == b',') {
            self.at += 1;
        }
        self.peek().map(|byte| byte != b'}')
    }

    /// The member that begins here: its name, and where its value stands.
    fn entry(&mut self) -> Option<(Name<'d>, Range<usize>)> {
        let start = self.at;
        self.skip_string()?;
        let name = unescape(self.text.get(start..self.at)?)?;
        self.skip_space();
        self.at += 1; // the colon
        self.skip_space();
        Some((name, self.skip_value()?))
    }

    /// Moves past the string that begins here. Within a string of valid JSON a quote is escaped or ends it.
    fn skip_string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(())
    }

    /// Moves past the value that begins here, a member of an object: outside brackets a space, comma or bracket ends it.
    fn skip_value(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b',' | b'}' | b']' if depth == 0 => break,
                byte if depth == 0 && is_space(byte) => break,
                b'"' => self.skip_string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                }
                _ => self.at += 1,
            }
        }
        Some(start..self.at)
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_value_of_the_grammar_is_a_document() {
        for text in [
            "{}",
            " \t\r\n[1,-0,0.5,1e5,1E+5,-1.5e-3]\n",
            "1e999",
            "-1e-999",
            "123456789012345678901234567890",
            r#""\ud800""#,
            r#"{"\udc00":"\ud800\ud800\u0000"}"#,
            r#"{"a":1,"a":2}"#,
            "\"\u{2028}\u{7f}\"",
        ] {
            assert!(Document::parse(text.as_bytes()).is_ok(), "{text}");
        }
        for text in [
            "",
            " ",
            "{",
            "{}}",
            "[1,]",
            "{\"a\":1,}",
            "{'a':1}",
            "01",
            "-",
            "+1",
            ".5",
            "1.",
            "1e",
            "NaN",
            "Infinity",
            "nul",
            "True",
            "1 2",
            "\"a\nb\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"a",
            "\u{feff}{}",
            "{}\0",
            "/**/{}",
            "{a:1}",
            "\u{a0}1",
        ] {
            assert!(Document::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Document::parse(b"\"\xed\xa0\x80\"").is_err());
        assert!(Document::parse(b"\"\xc0\x80\"").is_err());
    }

    #[test]
    fn a_document_has_fewer_than_128_levels() {
        for (levels, expected) in [(127, true), (128, false), (100_000, false)] {
            for [open, close] in [["[", "]"], ["{\"[[\":", "}"]] {
                let text = format!("{}1{}", open.repeat(levels), close.repeat(levels));
                assert_eq!(Document::parse(text.as_bytes()).is_ok(), expected, "{levels} times {open}");
            }
        }
        let strings = format!("[{}1]", r#""[[{\"[{\\","#.repeat(200));
        assert!(Document::parse(strings.as_bytes()).is_ok());
    }

    #[test]
    fn half_a_pair_is_left_out_of_a_name() {
        for (written, expected) in [
            (r#""a\ud800b""#, "ab"),
            (r#""\udc00\ud83d\ude00\ud83d""#, "\u{1f600}"),
            (r#""\\ud800\ud800""#, "\\ud800"),
            (r#""\"\ud800\\""#, "\"\\"),
        ] {
            let Some(Name::Halved(text)) = unescape(written) else { panic!("{written}") };
            assert_eq!(text, expected);
        }
    }

    proptest! {
        /// Where a parser that builds every value takes a document, so does this; where that one stumbles over a value,
        /// nothing but that value is at fault.
        #[test]
        fn the_grammar_is_that_of_a_second_parser(text in r#"([\[\]{},: "a]|"a":|"\\u[dD][89abAB]0[0f]"|"\\\\"|\\|-?[01]{1,3}(\.[01]{1,2})?([eE][-+]?9{1,4})?|true|null){0,12}"#) {
            let value = serde_json::from_str::<serde_json::Value>(&text);
            let document = Document::parse(text.as_bytes());
            let stumbles = value.as_ref().is_err_and(|error| {
                let told = error.to_string();
                told.contains("number out of range") || told.contains("surrogate") || told.contains("hex escape")
            });
            prop_assert!(stumbles || value.is_ok() == document.is_ok(), "{:?}", value);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(prop_oneof![Just(b'{'), Just(b'}'), Just(b'"'), Just(b'\\'), Just(b':'), Just(b','), Just(b'u'), Just(b'd'), Just(b'8'), any::<u8>()], 0..40)) {
            if let Ok(document) = Document::parse(&bytes) {
                let _ = document.member(document.root().start, "a");
            }
        }
    }
}
