//! What documents promise: the tests that `tests/ATTACKS.md` names are there.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{fs, path::Path};

/// The names in backticks of the last column of each table row, with the line that they stand in.
fn named_tests(document: &str) -> Vec<(usize, String)> {
    let rows = document.lines().enumerate().filter(|(_, line)| line.starts_with('|'));
    let cells = rows.filter_map(|(at, line)| Some((at + 1, line.trim_end_matches([' ', '|']).rsplit_once(" | ")?.1)));
    let names = cells.flat_map(|(line, cell)| cell.split('`').skip(1).step_by(2).map(move |name| (line, name)));
    names.map(|(line, name)| (line, name.to_owned())).collect()
}

/// Whether `chapter::test` or `path/file.rs::test` leads to a function marked as a test.
fn is_there(name: &str) -> bool {
    let Some((chapter, test)) = name.rsplit_once("::") else { return false };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = if chapter.starts_with("src/") || chapter.starts_with("tests/") {
        vec![root.join(chapter)]
    } else {
        let chapter = chapter.replace("::", "/");
        vec![root.join(format!("tests/spec/{chapter}.rs")), root.join(format!("tests/spec/{chapter}/mod.rs"))]
    };
    let declares = |text: String| text.lines().any(|line| line.trim_start().starts_with(&format!("fn {test}(")));
    files.into_iter().filter_map(|file| fs::read_to_string(file).ok()).any(declares)
}

#[test]
fn every_test_that_the_attack_list_names_is_there() {
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ATTACKS.md")).unwrap();
    let names = named_tests(&document);
    assert!(names.len() > 100, "only {} names were recognised", names.len());
    let lost: Vec<_> = names.iter().filter(|(_, name)| !is_there(name)).collect();
    assert!(lost.is_empty(), "no such test (line of tests/ATTACKS.md, name): {lost:#?}");
}

#[test]
fn every_row_of_the_attack_list_names_a_test() {
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ATTACKS.md")).unwrap();
    let rows = document
        .lines()
        .enumerate()
        .filter(|(_, line)| line.starts_with("| ") && !line.starts_with("| id |") && !line.starts_with("| fault |"));
    let bare: Vec<usize> = rows.filter(|(_, line)| named_tests(line).is_empty()).map(|(at, _)| at + 1).collect();
    assert!(bare.is_empty(), "rows of tests/ATTACKS.md without a test, by line: {bare:?}");
}

#[test]
fn a_name_that_leads_nowhere_is_seen() {
    assert!(is_there("binding::the_path_decides_for_a_session_token"));
    assert!(!is_there("binding::no_such_test"));
    assert!(!is_there("no_such_chapter::the_path_decides_for_a_session_token"));
    assert!(!is_there("bare_name"));
}
