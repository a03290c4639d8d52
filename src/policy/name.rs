//! Names that stand for one thing in some parser, though their bytes differ.

/// Whether a parser that ignores case may take `own` for `name`.
///
/// Most fold ASCII letters alone. Go, Java and .NET fold those of other alphabets too, each in its own way: to some `ſ` is
/// an `s`, the Kelvin sign a `k`, and `ı` or `İ` an `i`. What any of them takes for the same is the same here.
pub(super) fn is_alike(own: &str, name: &str) -> bool {
    if own.is_ascii() && name.is_ascii() {
        return own.eq_ignore_ascii_case(name);
    }
    fold(own).eq(fold(name))
}

/// There and back again, so that letters meet which share a form in either case.
fn fold(text: &str) -> impl Iterator<Item = char> {
    let folded = text.chars().flat_map(char::to_lowercase).flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    folded.filter(|letter| *letter != DOT_ABOVE)
}

/// What is left of `İ` beside its `i`.
const DOT_ABOVE: char = '\u{307}';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_alike_if_any_parser_says_so() {
        for (own, name, expected) in [
            ("task", "task", true),
            ("TASK", "task", true),
            ("ta\u{17f}k", "task", true),
            ("tas\u{212a}", "task", true),
            ("\u{131}d", "id", true),
            ("\u{130}D", "id", true),
            ("pa\u{1e9e}", "pass", true),
            ("\u{c9}tat", "\u{e9}TAT", true),
            ("tas", "task", false),
            ("task ", "task", false),
            ("t\u{e1}sk", "task", false),
            ("\u{ff49}d", "id", false),
        ] {
            assert_eq!(is_alike(own, name), expected, "{own} {name}");
            assert_eq!(is_alike(name, own), expected, "{name} {own}");
        }
    }
}
