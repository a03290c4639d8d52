//! A second reader of JSON: every member in its order, each value with its place in the text.

/// A value and where it stands.
pub(super) struct Node {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    Object(Vec<(String, Node)>),
    List(Vec<Node>),
    Text(String),
    Other,
}

/// What a pointer leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<T> {
    Nothing,
    One(T),
    Ambiguous,
}

/// The one value of `text`; `None` if it is not JSON. `serde_json` says whether it is; what is in it, this reader.
pub(super) fn read(text: &[u8]) -> Option<Node> {
    serde_json::from_slice::<serde_json::Value>(text).ok()?;
    let mut reader = Reader { text: std::str::from_utf8(text).expect("serde_json takes UTF-8 only"), at: 0 };
    Some(reader.value())
}

/// The value at the end of `names`, for a parser to which names are one if `fold` makes them so.
pub(super) fn find<'n>(node: &'n Node, names: &[&str], fold: fn(&str) -> String) -> Found<&'n Node> {
    let Some((name, below)) = names.split_first() else { return Found::One(node) };
    let Kind::Object(members) = &node.kind else { return Found::Ambiguous };
    let alike: Vec<_> = members.iter().filter(|(own, _)| fold(own) == fold(name)).collect();
    match alike[..] {
        [] => Found::Nothing,
        [(own, value)] if own == name => find(value, below, fold),
        _ => Found::Ambiguous,
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&mut self) -> u8 {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
        self.text.as_bytes()[self.at]
    }

    fn take(&mut self) -> u8 {
        let byte = self.peek();
        self.at += 1;
        byte
    }

    fn value(&mut self) -> Node {
        let first = self.peek();
        let start = self.at;
        let kind = match first {
            b'{' => Kind::Object(self.members()),
            b'[' => Kind::List(self.items()),
            b'"' => Kind::Text(self.string()),
            _ => {
                let rest = &self.text[start..];
                self.at += rest.find([',', '}', ']', ' ', '\t', '\n', '\r']).unwrap_or(rest.len());
                Kind::Other
            }
        };
        Node { start, end: self.at, kind }
    }

    fn members(&mut self) -> Vec<(String, Node)> {
        let mut members = Vec::new();
        while self.take() != b'}' {
            if self.peek() == b'}' {
                continue;
            }
            let name = self.string();
            assert_eq!(self.take(), b':');
            members.push((name, self.value()));
        }
        members
    }

    fn items(&mut self) -> Vec<Node> {
        let mut items = Vec::new();
        while self.take() != b']' {
            if self.peek() != b']' {
                items.push(self.value());
            }
        }
        items
    }

    /// The string that begins here, unescaped.
    fn string(&mut self) -> String {
        assert_eq!(self.take(), b'"');
        let mut units = Vec::new();
        loop {
            let letter = self.text[self.at..].chars().next().expect("a string ends");
            self.at += letter.len_utf8();
            match letter {
                '"' => return String::from_utf16(&units).expect("serde_json takes whole pairs only"),
                '\\' => units.push(self.escape()),
                _ => units.extend(letter.encode_utf16(&mut [0; 2]).iter()),
            }
        }
    }

    fn escape(&mut self) -> u16 {
        let kind = self.text.as_bytes()[self.at];
        self.at += 1;
        match kind {
            b'u' => {
                self.at += 4;
                u16::from_str_radix(&self.text[self.at - 4..self.at], 16).expect("four digits")
            }
            b'b' => 8,
            b't' => 9,
            b'n' => 10,
            b'f' => 12,
            b'r' => 13,
            plain => u16::from(plain),
        }
    }
}
