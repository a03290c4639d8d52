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

/// The one value of `text`; `None` if it is not JSON (RFC 8259) or nested 128 times.
pub(super) fn read(text: &[u8]) -> Option<Node> {
    let mut reader = Reader { text: std::str::from_utf8(text).ok()?, at: 0 };
    let value = reader.value(MOST_LEVELS)?;
    reader.skip_space();
    (reader.at == text.len()).then_some(value)
}

const MOST_LEVELS: usize = 127;

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
    fn skip_space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.text.as_bytes().get(self.at).copied()
    }

    /// Moves past `byte` if it comes next.
    fn takes(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.at += usize::from(next);
        next
    }

    fn value(&mut self, levels: usize) -> Option<Node> {
        let first = self.peek()?;
        let start = self.at;
        let kind = match first {
            b'{' => Kind::Object(self.list(b'}', levels, Self::member)?),
            b'[' => Kind::List(self.list(b']', levels, Self::value)?),
            b'"' => String::from_utf16(&self.string()?).map_or(Kind::Other, Kind::Text),
            _ => {
                let rest = &self.text[start..];
                self.at += rest.find([',', '}', ']', ' ', '\t', '\n', '\r']).unwrap_or(rest.len());
                is_literal(&self.text[start..self.at]).then_some(Kind::Other)?
            }
        };
        Some(Node { start, end: self.at, kind })
    }

    /// What stands between brackets and commas.
    fn list<T>(&mut self, end: u8, levels: usize, item: fn(&mut Self, usize) -> Option<T>) -> Option<Vec<T>> {
        let levels = levels.checked_sub(1)?;
        self.at += 1;
        let mut items = Vec::new();
        if self.takes(end) {
            return Some(items);
        }
        loop {
            items.push(item(self, levels)?);
            if self.takes(end) {
                return Some(items);
            }
            self.takes(b',').then_some(())?;
        }
    }

    /// A name and its value. Half a surrogate pair in a name reads as U+FFFD.
    fn member(&mut self, levels: usize) -> Option<(String, Node)> {
        (self.peek()? == b'"').then_some(())?;
        let name = String::from_utf16_lossy(&self.string()?);
        self.takes(b':').then_some(())?;
        Some((name, self.value(levels)?))
    }

    /// The string that begins here, unescaped.
    fn string(&mut self) -> Option<Vec<u16>> {
        self.at += 1;
        let mut units = Vec::new();
        loop {
            let letter = self.text[self.at..].chars().next()?;
            self.at += letter.len_utf8();
            match letter {
                '"' => return Some(units),
                '\\' => units.push(self.escape()?),
                '\0'..='\x1f' => return None,
                _ => units.extend(letter.encode_utf16(&mut [0; 2]).iter()),
            }
        }
    }

    fn escape(&mut self) -> Option<u16> {
        let kind = *self.text.as_bytes().get(self.at)?;
        self.at += 1;
        Some(match kind {
            b'u' => {
                let digits = self.text.get(self.at..self.at + 4)?;
                self.at += 4;
                digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(())?;
                u16::from_str_radix(digits, 16).ok()?
            }
            b'b' => 8,
            b't' => 9,
            b'n' => 10,
            b'f' => 12,
            b'r' => 13,
            b'"' | b'\\' | b'/' => u16::from(kind),
            _ => return None,
        })
    }
}

/// Whether this is `true`, `false`, `null` or a number, however large.
fn is_literal(text: &str) -> bool {
    let number = text.strip_prefix('-').unwrap_or(text).to_ascii_lowercase();
    let (mantissa, exponent) = number.split_once('e').unwrap_or((&number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let sound = digits(whole) && (whole == "0" || !whole.starts_with('0')) && digits(fraction);
    matches!(text, "true" | "false" | "null")
        || (sound && digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}
