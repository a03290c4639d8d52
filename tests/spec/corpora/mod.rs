//! The attack corpora, row by row. They are read from `$SCOPEGATE_CORPORA` or `../shared/corpora`; where that folder is
//! missing a test says that it was skipped, and fails under CI.

mod basic;
mod catalogue;
mod catalogue_claims;
mod headers;
mod http;
mod json;
mod jwt;
mod paths;

use std::{env, fs, path::PathBuf};

use serde_json::Value;

use crate::harness::{APP, OTHER};

/// The rows of one corpus, or none if the corpora are not here.
pub fn rows(name: &str) -> Option<Vec<Value>> {
    let text = read(name)?;
    let row = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}"));
    Some(text.lines().filter(|line| !line.is_empty()).map(row).collect())
}

/// One file of the corpora.
pub fn read(name: &str) -> Option<String> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora");
    let path = env::var_os("SCOPEGATE_CORPORA").map_or(beside, PathBuf::from).join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            assert!(env::var_os("CI").is_none(), "{}: {error}", path.display());
            println!("skipped: {}: {error}", path.display());
            None
        }
    }
}

/// Judges every row and fails once, naming each that did not hold and what was seen.
pub fn judge(rows: &[Value], mut check: impl FnMut(&Value) -> Result<(), String>) {
    let mut failed = Vec::new();
    for row in rows {
        if let Err(seen) = check(row) {
            failed.push(format!("{} {}: wanted {}, {seen}", text(row, "id"), text(row, "name"), row["expect"]));
        }
    }
    assert!(failed.is_empty(), "{} of {} rows do not hold:\n{}", failed.len(), rows.len(), failed.join("\n"));
}

/// A member of a row that is text, empty if it is missing.
pub fn text<'r>(row: &'r Value, member: &str) -> &'r str {
    row[member].as_str().unwrap_or_default()
}

/// Replaces the placeholders that are the same everywhere, and `{{REPEAT:c:n}}`.
pub fn fill(template: &str, more: &[(&str, &str)]) -> String {
    let percent_encoded = crate::harness::percent_encode_all(APP);
    let mut filled = template.to_owned();
    for (name, value) in more.iter().copied().chain([
        ("APP", APP),
        ("APP_UPPER", APP.to_uppercase().as_str()),
        ("APP_PCT", percent_encoded.as_str()),
        ("OTHER", OTHER),
    ]) {
        filled = filled.replace(&format!("{{{{{name}}}}}"), value);
    }
    while let Some(start) = filled.find("{{REPEAT:") {
        let end = start + filled[start..].find("}}").expect("a repetition ends");
        let (what, count) = filled[start + 9..end].rsplit_once(':').expect("a count");
        let repeated = what.repeat(count.parse().expect("a number"));
        filled.replace_range(start..end + 2, &repeated);
    }
    assert!(!filled.contains("{{"), "a placeholder that nobody fills: {filled:.200}");
    filled
}

/// The bytes of a text that stands for bytes: one for each character up to U+00FF.
pub fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(u32::from(character)).expect("a byte")).collect()
}

/// The alternatives of an `expect` value, each a status and perhaps an error code.
pub fn alternatives(row: &Value) -> Vec<(u16, Option<String>)> {
    let expect = row["expect"].as_str().map_or_else(|| row["expect"].to_string(), ToOwned::to_owned);
    let alternative = |text: &str| {
        let mut words = text.split(' ');
        (words.next().unwrap().parse().expect("a status"), words.next().map(ToOwned::to_owned))
    };
    expect.split('|').map(alternative).collect()
}
