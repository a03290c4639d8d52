//! Spellings of paths, most of them of one that is closed. The same seed makes the same ones.

use std::{env, fmt};

/// How many requests are made, 50,000 unless `SCOPEGATE_GENERATED` says otherwise.
pub fn generated() -> usize {
    number("SCOPEGATE_GENERATED").map_or(50_000, |number| usize::try_from(number).unwrap())
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// Makes requests; shows from which seed.
pub struct Generator {
    seed: u64,
    state: u64,
}

impl fmt::Display for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SCOPEGATE_SEED={} SCOPEGATE_GENERATED={}", self.seed, generated())
    }
}

/// What is closed, an endpoint of the gateway, and what is open beside them.
const PATHS: [&str; 15] = [
    "/v1/prot",
    "/v1/pub/prot",
    "/v1/pub/Admin/x",
    "/v1/pub/Admin",
    "/v1/pub/Admin/x/y",
    "/v1/things.create",
    "/v1/things:delete",
    "/v1/users/me",
    "/v1/users/7/keys",
    "/files/secret+plan",
    "/V1/prot",
    "/v1/things.list",
    "/v1/users/Bob",
    "/v1/pub/a/b",
    "/other",
];
const METHODS: [&str; 12] =
    ["GET", "GET", "GET", "GET", "POST", "POST", "POST", "HEAD", "PUT", "DELETE", "get", "Post"];

/// What stands behind a path, or within: ends that servers drop, and what cuts.
const TAILS: [&str; 34] = [
    "/",
    "/",
    ".",
    "..",
    "...",
    "%20",
    "%20%20",
    "%20.",
    "/.",
    "/..",
    "/%20",
    "//",
    "+",
    "%2B",
    "%2F",
    "%5C",
    "%2e",
    ";",
    ";x=1",
    "?",
    "?x=/v1/pub",
    "#",
    "%3F",
    "%3Fx",
    "%23x",
    "%00",
    "%09",
    "%0A",
    "%25",
    "%2520",
    "::$DATA",
    ":$I30:$INDEX_ALLOCATION",
    "~1",
    "%C2%A0",
];
/// What may stand for a slash.
const SLASHES: [&str; 16] = [
    "//",
    "/./",
    "/x/../",
    "/%2e/",
    "/%20/",
    "/.%20/",
    "/../",
    "%2F",
    "%2f",
    "%5C",
    "\\",
    "%EF%BC%8F",
    "%E2%88%95",
    "/;/",
    "/+/",
    "%252F",
];
/// What changes nothing that a reader sees, or little: joiners, soft hyphen, marks, spaces, controls.
const FAINT: [char; 14] = [
    '\u{200d}', '\u{200c}', '\u{fe0f}', '\u{ad}', '\u{200b}', '\u{feff}', '\u{301}', '\u{307}', '\u{308}', '\u{a0}',
    '\u{3000}', ' ', '\u{85}', '\u{2060}',
];
/// Letters that some fold makes one.
const TWINS: [(char, &[char]); 9] = [
    ('s', &['\u{17f}', '\u{24e2}', '\u{1d4c8}']),
    ('k', &['\u{212a}', '\u{138}']),
    ('i', &['\u{131}', '\u{130}', '\u{2170}', '\u{ec}']),
    ('e', &['\u{e9}', '\u{212f}', '\u{3b5}']),
    ('a', &['\u{aa}', '\u{e4}', '\u{24d0}']),
    ('.', &['\u{2024}', '\u{ff0e}', '\u{fe52}', '\u{3002}']),
    (':', &['\u{ff1a}', '\u{fe55}', '\u{2236}']),
    ('t', &['\u{167}', '\u{163}']),
    ('o', &['\u{f8}', '\u{ba}', '\u{f6}']),
];

impl Generator {
    pub fn new() -> Self {
        let chosen = number("SCOPEGATE_SEED");
        let seed = chosen.unwrap_or_else(|| u64::try_from(crate::harness::random_below(1 << 40)).unwrap());
        Self { seed, state: seed }
    }

    /// A number below `end` (`SplitMix64`).
    pub fn below(&mut self, end: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((word ^ (word >> 31)) % u64::try_from(end).unwrap()).unwrap()
    }

    fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// A method and a target.
    pub fn request(&mut self) -> (String, String) {
        let method = self.one_of(&METHODS).to_owned();
        let mut target = self.one_of(&PATHS).to_owned();
        for _ in 0..=self.below(3) {
            target = self.changed(&target);
        }
        (method, target)
    }

    fn changed(&mut self, target: &str) -> String {
        let letters: Vec<char> = target.chars().collect();
        let at = 1 + self.below(letters.len().max(2) - 1);
        let (before, rest) = letters.split_at(at.min(letters.len()));
        let (before, after): (String, String) = (before.iter().collect(), rest.iter().skip(1).collect());
        let Some(letter) = rest.first().copied() else { return format!("{target}x") };
        let with = |other: &str| format!("{before}{other}{after}");
        match self.below(12) {
            0 | 1 => with(&in_other_case(letter)),
            2 => target.to_uppercase().replace("%3F", "%3f"),
            3 => with(&self.encoded(letter)),
            4 => {
                let full_width = char::from_u32(u32::from(letter) + 0xfee0).filter(|_| letter.is_ascii_graphic());
                with(&self.encoded(full_width.unwrap_or(letter)))
            }
            5 => {
                let twins = TWINS.iter().find(|(own, _)| own.eq_ignore_ascii_case(&letter)).map(|(_, twins)| *twins);
                let twin = twins.map_or('\u{e9}', |twins| self.one_of(twins));
                with(&self.encoded(twin))
            }
            6 => {
                let faint = self.one_of(&FAINT);
                with(&format!("{letter}{}", self.encoded(faint)))
            }
            7 | 8 => format!("{target}{}", self.one_of(&TAILS)),
            9 => {
                let slashes: Vec<usize> = target.match_indices('/').map(|(at, _)| at).collect();
                let Some(slash) = slashes.get(self.below(slashes.len().max(1))).copied() else {
                    return format!("/{target}");
                };
                format!("{}{}{}", &target[..slash], self.one_of(&SLASHES), &target[slash + 1..])
            }
            10 => with(&format!("{letter}{}", self.one_of(&TAILS))),
            _ => with(&format!("{letter}{}", self.one_of(&["x", "-", "7", "Y", "%C3%A9", "%20", "."]))),
        }
    }

    /// Percent-encoded, in digits of either case.
    fn encoded(&mut self, letter: char) -> String {
        let mut bytes = [0; 4];
        let encoded: String = letter.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")).collect();
        if self.below(2) == 0 { encoded } else { encoded.to_lowercase() }
    }
}

fn in_other_case(letter: char) -> String {
    if letter.is_lowercase() { letter.to_uppercase().collect() } else { letter.to_lowercase().collect() }
}
