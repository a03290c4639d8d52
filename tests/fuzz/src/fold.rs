//! Names that some parser takes for the same.

/// What parsers that ignore case do to a name before they compare it: nothing; ASCII letters only; lower or upper case
/// of all letters; one after the other; and letter by letter, as `equalsIgnoreCase` does in Java.
pub(super) const FOLDS: [fn(&str) -> String; 7] = [
    str::to_owned,
    str::to_ascii_lowercase,
    str::to_lowercase,
    str::to_uppercase,
    |name| name.to_uppercase().to_lowercase(),
    |name| name.to_lowercase().to_uppercase(),
    |name| name.chars().map(|letter| one_lower(one_upper(letter))).collect(),
];

/// The letter that is the upper case, where one is.
fn one_upper(letter: char) -> char {
    let mut upper = letter.to_uppercase();
    if upper.len() == 1 { upper.next().unwrap_or(letter) } else { letter }
}

/// Of the one letter whose lower case is two, `İ`, the first.
fn one_lower(letter: char) -> char {
    letter.to_lowercase().next().unwrap_or(letter)
}
