//! Characters that one server reads as itself and another as a different one, or as none (Unicode Standard Annex 15,
//! `NFKC_Casefold`, and the "best fit" tables by which Windows writes Unicode in a code page).

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// Whether a server may read `letter` as one that separates or controls, or leave it out: a path that holds it could be
/// another path there. ASCII never stands for another.
pub(super) fn stands_for_another(letter: char) -> bool {
    if letter.is_ascii() {
        return false;
    }
    let hides =
        |letter: char| is_control(letter) || STRUCTURE.contains(letter) || LOOKS_LIKE_STRUCTURE.contains(letter);
    hides(letter) || is_ignorable(letter) || std::iter::once(letter).nfkd().any(hides)
}

/// Whether `letter` changes only how its neighbours look: joiners and variation selectors, which Persian, Indic scripts
/// and emoji need, and servers that fold drop.
pub(super) const fn is_faint(letter: char) -> bool {
    matches!(letter, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// What a decoded path reads as for a server that folds: compatibility forms and marks gone, and a letter that a code
/// page lacks written as the one it looks like. Letters keep their case if `case` says so.
pub(super) fn fold(text: &str, case: LetterCase, folded: &mut String) {
    for letter in text.chars() {
        match letter {
            _ if letter.is_ascii() => folded.push(best_fit(in_case(letter, case))),
            _ => std::iter::once(letter).nfkd().for_each(|letter| fold_letter(letter, case, folded)),
        }
    }
}

/// A folded segment without what servers on Windows drop: dots and spaces at its end, and the name of a stream; a space
/// before it is nothing to those that trim.
pub(super) fn bare(segment: &str) -> &str {
    file_name(segment).trim_end_matches(['.', ' ']).trim_start_matches(' ')
}

/// A segment without the name of an NTFS stream (`::$DATA`, `:$I30:$INDEX_ALLOCATION`).
pub(super) fn file_name(segment: &str) -> &str {
    segment.find(":$").map_or(segment, |stream| segment[..stream].trim_end_matches([':', '.', ' ']))
}

/// Whether a server tells `A` from `a` in a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LetterCase {
    /// It may not: Express, ASP.NET and IIS do not unless told to.
    #[default]
    Insensitive,
    /// It does, by its operator's word.
    Sensitive,
}

fn in_case(letter: char, case: LetterCase) -> char {
    match case {
        LetterCase::Insensitive => letter.to_ascii_lowercase(),
        LetterCase::Sensitive => letter,
    }
}

/// `letter` is decomposed.
fn fold_letter(letter: char, case: LetterCase, folded: &mut String) {
    if is_combining_mark(letter) || is_faint(letter) {
        return;
    }
    match case {
        LetterCase::Sensitive => folded.push(best_fit(letter)),
        // Upper case first, as runtimes differ in which way they compare: `ı` and `ſ` meet `i` and `s` only there.
        LetterCase::Insensitive => {
            let lower = letter.to_uppercase().flat_map(char::to_lowercase);
            folded.extend(lower.filter(|letter| !is_combining_mark(*letter)).map(best_fit));
        }
    }
}

/// The ASCII character that Windows writes for `letter` in a code page without it. All spaces are one, and so is `+`, where
/// a path is decoded as if it were a form.
fn best_fit(letter: char) -> char {
    if letter == '+' || letter.is_whitespace() {
        return ' ';
    }
    if letter.is_ascii() {
        return letter;
    }
    BEST_FIT.iter().find(|(from, _)| *from == letter).map_or(letter, |(_, to)| *to)
}

/// C1 controls, and what ends a line in Unicode.
const fn is_control(letter: char) -> bool {
    matches!(letter, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}')
}

/// `Default_Ignorable_Code_Point` (`DerivedCoreProperties.txt`) and the interlinear marks, without what is faint.
const fn is_ignorable(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'
            | '\u{200e}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e00ff}'
            | '\u{e01f0}'..='\u{e0fff}'
    )
}

/// What ends a segment, a path or an encoding, or moves in the tree.
const STRUCTURE: &str = "/\\.;?#%";

/// What best fit writes as one of them: slashes of mathematics and of box drawings, the Greek question mark, the Arabic
/// per cent sign; and yen and won, which stand at the place of `\` in the code pages of Japan and Korea.
const LOOKS_LIKE_STRUCTURE: &str =
    "\u{2044}\u{2215}\u{29f8}\u{2571}\u{2216}\u{29f5}\u{29f9}\u{2572}\u{a5}\u{20a9}\u{2024}\u{37e}\u{66a}";

/// Letters in lower case, since case is folded before; those with marks come apart when they are decomposed.
const BEST_FIT: [(char, char); 40] = [
    ('\u{111}', 'd'),
    ('\u{127}', 'h'),
    ('\u{131}', 'i'),
    ('\u{142}', 'l'),
    ('\u{19a}', 'l'),
    ('\u{f8}', 'o'),
    ('\u{167}', 't'),
    ('\u{180}', 'b'),
    ('\u{1e5}', 'g'),
    ('\u{261}', 'g'),
    ('\u{268}', 'i'),
    ('\u{1b6}', 'z'),
    ('\u{3b1}', 'a'),
    ('\u{3b3}', 'g'),
    ('\u{3b4}', 'd'),
    ('\u{3b5}', 'e'),
    ('\u{3b8}', 't'),
    ('\u{3c0}', 'p'),
    ('\u{3c3}', 's'),
    ('\u{3c4}', 't'),
    ('\u{3c6}', 'f'),
    ('\u{3c9}', 'o'),
    ('\u{4bb}', 'h'),
    ('\u{212e}', 'e'),
    ('\u{221e}', '8'),
    ('\u{1c3}', '!'),
    ('\u{1c0}', '|'),
    ('\u{2010}', '-'),
    ('\u{2012}', '-'),
    ('\u{2013}', '-'),
    ('\u{2014}', '-'),
    ('\u{2015}', '-'),
    ('\u{2212}', '-'),
    ('\u{2018}', '\''),
    ('\u{2019}', '\''),
    ('\u{2032}', '\''),
    ('\u{223c}', '~'),
    ('\u{2217}', '*'),
    ('\u{2236}', ':'),
    ('\u{589}', ':'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_that_separates_for_some_server_is_told() {
        for letter in "\u{ff0f}\u{2215}\u{2044}\u{29f8}\u{ff3c}\u{fe68}\u{2216}\u{29f5}\u{29f9}\u{ff0e}\u{fe52}\u{2024}\u{2025}\
                       \u{2026}\u{fe19}\u{ff1b}\u{fe14}\u{fe54}\u{37e}\u{ff1f}\u{fe16}\u{fe56}\u{2047}\u{2048}\u{2049}\u{ff03}\
                       \u{fe5f}\u{ff05}\u{fe6a}\u{66a}\u{2100}\u{2101}\u{2105}\u{2106}\u{bd}\u{2152}\u{2488}\u{33c2}\u{ffe5}\
                       \u{ffe6}\u{a5}\u{20a9}\u{ad}\u{200b}\u{200e}\u{202e}\u{2060}\u{feff}\u{3164}\u{ffa0}\u{e0041}\u{80}\u{85}\
                       \u{9f}\u{2028}\u{2029}"
            .chars()
        {
            assert!(stands_for_another(letter), "U+{:04X}", u32::from(letter));
        }
    }

    #[test]
    fn letters_of_names_stand_for_themselves() {
        for letter in "\u{e9}\u{df}\u{f8}\u{131}\u{17f}\u{212a}\u{ff21}\u{ff1a}\u{411}\u{4e2d}\u{3002}\u{5d0}\u{627}\u{1f600}\u{200d}\u{fe0f}\u{300}\u{b7}\u{20ac}\u{2013}/.a"
            .chars()
        {
            assert!(!stands_for_another(letter), "U+{:04X}", u32::from(letter));
        }
    }

    #[test]
    fn what_is_one_name_to_some_server_folds_to_one_text() {
        let folded = |text: &str, case| {
            let mut folded = String::new();
            fold(text, case, &mut folded);
            folded
        };
        for (text, any_case, own_case) in [
            ("/Prot", "/prot", "/Prot"),
            ("/\u{ff30}rot", "/prot", "/Prot"),
            ("/\u{24c5}rot", "/prot", "/Prot"),
            ("/\u{1d5c9}rot", "/prot", "/prot"),
            ("/\u{17f}tra\u{df}e", "/strasse", "/stra\u{df}e"),
            ("/\u{fb01}le", "/file", "/file"),
            ("/\u{212a}EY", "/key", "/KEY"),
            ("/\u{130}d\u{131}", "/idi", "/Idi"),
            ("/i\u{307}d", "/id", "/id"),
            ("/cr\u{e9}ate", "/create", "/create"),
            ("/p\u{200d}ro\u{fe0f}t", "/prot", "/prot"),
            ("/a\u{ff1a}b", "/a:b", "/a:b"),
            ("/a+b\u{a0}\u{3000}\u{ff0b}", "/a b   ", "/a b   "),
            ("/\u{142}\u{3c0}", "/lp", "/lp"),
            ("/\u{4e2d}", "/\u{4e2d}", "/\u{4e2d}"),
        ] {
            assert_eq!(folded(text, LetterCase::Insensitive), any_case, "{text}");
            assert_eq!(folded(text, LetterCase::Sensitive), own_case, "{text}");
        }
    }
}
