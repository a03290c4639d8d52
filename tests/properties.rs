//! The properties that `make fuzz` searches for hours to break, held for a moment: to each seed, and to seeds with a few
//! edits. What is found by searching becomes a seed, and so a test.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "fuzz/src/lib.rs"]
mod property;

use std::{fs, path::Path};

use proptest::{collection::vec, prelude::*, sample::Index, sample::select};

/// What parsers trip over, put in by edits beside single bytes.
const PIECES: [&str; 24] = [
    "%2e", "%2F", "%25", "%c3%a9", "%00", "..", "//", "/./", "&", "=", ";", "[]", "\r\n", "\n", "\0", "\\u0073",
    "\\ud800", "\u{17f}", "\u{212a}", "\u{131}", "\u{feff}", "{}", "\"\":", "://",
];

/// What takes the place of a few bytes of a seed.
type Edit = (Index, usize, Vec<u8>);

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let piece = prop_oneof![
        vec(any::<u8>(), 0..3),
        vec(select(b" \t\"'%&+,-./:;=?@[\\]_{|}~0AaZz".to_vec()), 1..4),
        select(&PIECES[..]).prop_map(|piece| piece.as_bytes().to_vec()),
    ];
    vec((any::<Index>(), 0..4_usize, piece), 0..5)
}

fn edited(mut bytes: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for (place, length, piece) in edits {
        let start = place.index(bytes.len() + 1);
        let end = (start + length).min(bytes.len());
        bytes.splice(start..end, piece.iter().copied());
    }
    bytes
}

fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(target);
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let seed = |path: std::path::PathBuf| (path.display().to_string(), fs::read(path).unwrap());
    let mut seeds: Vec<_> = files.map(seed).collect();
    assert!(!seeds.is_empty(), "{} is empty", folder.display());
    seeds.sort();
    seeds
}

macro_rules! properties {
    ($($target:ident)+) => {
        const TESTED: &[&str] = &[$(stringify!($target)),+];

        $(
        mod $target {
            use super::*;

            #[test]
            fn holds_for_each_seed() {
                for (path, seed) in seeds(stringify!($target)) {
                    eprintln!("{path}");
                    property::$target(&seed);
                }
            }

            proptest! {
                // A failure that is worth keeping becomes a seed.
                #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

                #[test]
                fn holds_for_seeds_with_edits(seed: Index, edits in edits()) {
                    let seeds = seeds(stringify!($target));
                    property::$target(&edited(seed.get(&seeds).1.clone(), &edits));
                }

                #[test]
                fn holds_for_any_bytes(bytes in vec(any::<u8>(), 0..80)) {
                    property::$target(&bytes);
                }
            }
        }
        )+
    };
}

properties!(authorization config form head json_body jwt_verify key_set mint path_and_route);

/// Each has its target and its seeds, and no target goes without a test here.
#[test]
fn every_property_is_searched_and_tested() {
    let names = |folder: &str| {
        let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(folder)).unwrap();
        let stem = |entry: fs::DirEntry| entry.path().file_stem().unwrap().to_str().unwrap().to_owned();
        let mut names: Vec<_> = entries.map(|entry| stem(entry.unwrap())).collect();
        names.sort();
        names
    };
    assert_eq!(names("targets"), TESTED);
    assert_eq!(names("seeds"), TESTED);
}
