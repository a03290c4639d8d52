//! Requests that say who they are about in more than one way, or nearly so. The same seed makes the same ones.

use std::{env, fmt};

use crate::harness::{Request, percent_encode_all};

/// How many inputs of each kind are made.
pub fn generated() -> usize {
    number("SCOPEGATE_GENERATED").map_or(50_000, |number| usize::try_from(number).unwrap())
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// Makes inputs; shows from which seed.
pub struct Generator {
    seed: u64,
    state: u64,
    ours: String,
    other: String,
}

impl fmt::Display for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SCOPEGATE_SEED={} SCOPEGATE_GENERATED={}", self.seed, generated())
    }
}

/// What decorates a name for some parser, before it and behind it.
const BEFORE: [&str; 25] = [
    "",
    "",
    "",
    "[",
    "[]",
    "a[",
    "a[b][",
    "]",
    ".",
    "a.",
    "+",
    "%20",
    "%00",
    "%09",
    "?",
    "_",
    "!",
    "__proto__[",
    "%5B",
    "%5b%5d",
    "&",
    "%26",
    "%EF%BB%BF",
    "a%5B",
    "amp;",
];
const BEHIND: [&str; 26] = [
    "", "", "", "]", "[]", "[0]", "[a]", "[", "%5B", "%5D", "%5B%5D", ".", ".0", "+", "%20", "%00", "%00x", ":list",
    "%C2%AD", "=", "]=x", "[=", "][]", "%0D%0A", "%FF", "%",
];
/// Names that no parser takes for the one looked for.
const FAR: [&str; 16] = [
    "x",
    "id",
    "application",
    "applicationIds",
    "xapplicationId",
    "application_id",
    "task",
    "taskid",
    "filter[x]",
    "a.b",
    "utf8",
    "_charset_",
    "",
    "a[]",
    "page%5Bsize%5D",
    "constructor",
];
/// What an edit puts somewhere.
const PIECES: [&str; 32] = [
    "[",
    "]",
    "[]",
    ".",
    "+",
    "%20",
    "%00",
    "%5B",
    "%5D",
    "&",
    "=",
    "%26",
    "%3D",
    "%3B",
    ";",
    "?",
    "%25",
    "%",
    "else",
    "applicationId",
    "task_id",
    "applicationId=else",
    "task.id=else",
    "%2561",
    "_",
    "%EF%BB%BF",
    "%C4%B1",
    "]=",
    "&&",
    ",",
    "#",
    "%u0061",
];

impl Generator {
    pub fn new(kind: &str, ours: &str, other: &str) -> Self {
        let seed = number("SCOPEGATE_SEED").unwrap_or(1);
        let state = kind.bytes().fold(seed, |state, byte| state.wrapping_mul(257).wrapping_add(u64::from(byte)));
        Self { seed, state, ours: ours.to_owned(), other: other.to_owned() }
    }

    /// The next 64 bits (splitmix64).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn pick<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len())]
    }

    /// Edits `text` at some place between two characters.
    fn edit(&mut self, text: &mut String, pieces: &[&str]) {
        let places: Vec<usize> = text.char_indices().map(|(place, _)| place).chain([text.len()]).collect();
        let start = places[self.below(places.len())];
        let end = if self.one_in(3) { places[self.below(places.len())].max(start) } else { start };
        text.replace_range(start..end, self.pick(pieces));
    }

    /// A query that names an application in the parameter `name`, or nearly so.
    pub fn query(&mut self, name: &str) -> String {
        match self.below(20) {
            0 if self.one_in(10) => self.long_query(name),
            0..=3 => (0..3 + self.below(12)).map(|_| self.token(name)).collect(),
            4..=7 => {
                let mut query = format!("x=1&{name}={}&y[]=2", self.ours);
                (0..=self.below(3)).for_each(|_| self.edit(&mut query, &PIECES));
                query
            }
            _ => {
                let mut pairs: Vec<String> = (0..self.below(5)).map(|_| self.pair(name)).collect();
                if !self.one_in(4) {
                    let place = self.below(pairs.len() + 1);
                    pairs.insert(place, format!("{name}={}", self.ours));
                }
                let joint = if self.one_in(12) { self.pick(&["&&", ";", "&amp;", "%26", "?", "+&"]) } else { "&" };
                pairs.join(joint)
            }
        }
    }

    fn token(&mut self, name: &str) -> String {
        let (ours, other) = (self.ours.clone(), self.other.clone());
        self.pick(&[
            name, name, "=", "=", "&", "&", "[", "]", ".", "+", "%5B", "%5D", "%00", &ours, &ours, &other, "x", "[]",
            "]=",
        ])
        .to_owned()
    }

    /// Pairs that fill a parser's table, with ours among them.
    fn long_query(&mut self, name: &str) -> String {
        let length = 2 + self.below(1500);
        let mut pairs = vec!["a"; length];
        let own = format!("{name}={}", self.ours);
        let place = if self.one_in(2) { self.below(length) } else { self.below(length.min(130)) };
        pairs[place] = &own;
        pairs.join("&")
    }

    fn pair(&mut self, name: &str) -> String {
        let own = if self.one_in(3) { self.twin(name) } else { self.pick(&FAR).to_owned() };
        let value = match self.below(8) {
            0 => self.ours.clone(),
            1 => format!("{},{}", self.ours, self.other),
            2 => format!("[{name}]"),
            3 => return own,
            4 => String::new(),
            _ => self.other.clone(),
        };
        format!("{own}={value}")
    }

    /// A name that some parser may take for `name`.
    fn twin(&mut self, name: &str) -> String {
        let letters: String = name.chars().map(|letter| self.letter(letter)).collect();
        format!("{}{letters}{}", self.pick(&BEFORE), self.pick(&BEHIND))
    }

    /// A letter as it is or, now and then, in another spelling.
    fn letter(&mut self, letter: char) -> String {
        if !self.one_in(8) {
            return letter.to_string();
        }
        let other = if letter.is_lowercase() { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
        match (self.below(6), letter) {
            (0, _) => format!("%{:02x}", u32::from(letter)),
            (1, _) => format!("%25{:02X}", u32::from(letter)),
            (2, 'i' | 'I') => "%C4%B1".to_owned(),
            (2, 's') => "%C5%BF".to_owned(),
            (2, 'k') => "%E2%84%AA".to_owned(),
            (3, '!'..='~') => percent_encode_all(&char::from_u32(u32::from(letter) + 0xFEE0).unwrap().to_string()),
            (4, '_') => self.pick(&[".", "[", "+", "%20", "%5B", "-", "__"]).to_owned(),
            _ => other.to_string(),
        }
    }

    /// A JSON body that names an application in its member `name`, or nearly so.
    pub fn body(&mut self, name: &str) -> Vec<u8> {
        let mut members: Vec<String> = (0..self.below(5)).map(|_| self.member(name)).collect();
        if !self.one_in(5) {
            let place = self.below(members.len() + 1);
            let space = self.pick(&["", "", " ", "\t\r\n"]);
            members.insert(place, format!("{space}\"{name}\"{space}:{space}\"{}\"", self.ours));
        }
        let mut text = format!("{{{}}}", members.join(self.pick(&[",", ",", " ,\n"])));
        if self.one_in(4) {
            self.edit(&mut text, &BODY_PIECES);
        }
        let mut bytes = text.into_bytes();
        if self.one_in(30) {
            let place = self.below(bytes.len() + 1);
            bytes.insert(place, [0xFF, 0xC0, 0xED, 0x00][self.below(4)]);
        }
        bytes
    }

    fn member(&mut self, name: &str) -> String {
        let own = if self.one_in(3) { self.json_twin(name) } else { self.pick(&JSON_FAR).to_owned() };
        let value = self.json_value(name, 3);
        format!("\"{own}\":{value}")
    }

    fn json_twin(&mut self, name: &str) -> String {
        let letters: String = name
            .chars()
            .map(|letter| match self.below(24) {
                0 => format!("\\u{:04x}", u32::from(letter)),
                1 => letter.to_ascii_uppercase().to_string(),
                2 if letter == 'i' => "\\u0131".to_owned(),
                3 => format!("{letter}\\ud800"),
                4 => format!("\\udc00{letter}"),
                5 => format!("{letter}\\u0000"),
                _ => letter.to_string(),
            })
            .collect();
        format!("{letters}{}", self.pick(&["", "", "", "", " ", "\\ud83d", "\\u0000", "[]"]))
    }

    fn json_value(&mut self, name: &str, levels: usize) -> String {
        let (ours, other) = (format!("\"{}\"", self.ours), format!("\"{}\"", self.other));
        match self.below(12) {
            0 if levels > 0 => {
                let inner = self.json_value(name, levels - 1);
                format!("{{\"{name}\":{inner}}}")
            }
            1 if levels > 0 => format!("[{},{}]", self.json_value(name, levels - 1), self.json_value(name, levels - 1)),
            2 => ours,
            3..=5 => other,
            6 => format!("{}1{}", "[".repeat(100), "]".repeat(100)),
            _ => self.pick(&JSON_VALUES).to_owned(),
        }
    }

    /// A request whose field `name` names an application, or nearly so, as does its JSON body.
    pub fn fields(&mut self, name: &str) -> Request {
        self.fields_for("/x", name)
    }

    pub fn fields_for(&mut self, path: &str, name: &str) -> Request {
        let mut lines: Vec<String> = (0..self.below(4)).map(|_| self.line(name)).collect();
        if !self.one_in(6) {
            lines.push(format!("{name}: {}", self.ours));
        }
        if !self.one_in(8) {
            lines.push(format!(
                "Content-Type: {}",
                self.pick(&["application/json", "application/json; charset=utf-8", "Application/JSON"])
            ));
        }
        let mut request = Request::post(path);
        while !lines.is_empty() {
            request = request.line(lines.swap_remove(self.below(lines.len())));
        }
        request.body(format!("{{\"applicationId\":\"{}\"}}", self.ours))
    }

    fn line(&mut self, name: &str) -> String {
        match self.below(8) {
            0 => {
                let listed = if self.one_in(2) { self.field_twin(name) } else { self.field_twin("Content-Type") };
                let list = match self.below(5) {
                    0 => listed,
                    1 => format!("close, {listed}"),
                    2 => format!("\"{listed}\""),
                    3 => format!("keep-alive;{listed}"),
                    _ => "keep-alive".to_owned(),
                };
                format!("{}: {list}", self.pick(&["Connection", "connection", "Connection_", "Proxy-Connection"]))
            }
            1 => {
                let twin = self.field_twin("Content-Type");
                format!(
                    "{twin}: {}",
                    self.pick(&["text/plain", "application/x-www-form-urlencoded", "application/json"])
                )
            }
            2 => format!("{}: {}", self.field_twin("Content-Encoding"), self.pick(&["gzip", "identity"])),
            3 | 4 => {
                let twin = self.field_twin(name);
                let value =
                    [self.ours.clone(), self.other.clone(), String::new(), format!("{},{}", self.ours, self.other)];
                format!("{twin}: {}", value[self.below(4)])
            }
            _ => format!(
                "{}: {}",
                self.pick(&["X-Chosen", "X-Chosen-Applications", "Accept", "X-Other", "Content-Language"]),
                self.other
            ),
        }
    }

    /// A field's name that some server may take for `name`.
    fn field_twin(&mut self, name: &str) -> String {
        let letters: String = name
            .chars()
            .map(|letter| match (self.below(6), letter) {
                (0, '-') => self.pick(&["_", ".", "--", "-_", "!", "~"]).to_owned(),
                (1, _) => letter.to_ascii_uppercase().to_string(),
                _ => letter.to_string(),
            })
            .collect();
        format!("{}{letters}{}", self.pick(&["", "", "", "", "-", "_"]), self.pick(&["", "", "", "", "-", "_", "."]))
    }
}

const BODY_PIECES: [&str; 18] = [
    ",",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    "/**/",
    "//",
    "'",
    "NaN",
    "\u{feff}",
    "\0",
    "\n",
    "{}",
    "\\u0061",
    "\"applicationId\":\"else\",",
    "1e999",
];
const JSON_FAR: [&str; 10] = [
    "x",
    "x",
    "id",
    "application_id",
    "applicationIds",
    "\\ud800",
    "\\udc00\\ud800x",
    "__proto__",
    "",
    "\\ud83d\\ude00",
];
const JSON_VALUES: [&str; 14] = [
    "1",
    "-0",
    "1e999",
    "-1e-999",
    "0.1e+2",
    "12345678901234567890123",
    "null",
    "true",
    "\"\\ud800\"",
    "\"\\udc00x\"",
    "\"\\ud800\\u0041\"",
    "\"\\\\\\\"\"",
    "{}",
    "[]",
];
