//! What other people wrote for Node, installed below the target folder and kept between runs.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
};

use crate::clients::{copy, run};

/// A copy of `tests/spec/NAME` with all that its `package-lock.json` names, made once for each state of its files; `None`
/// where there is no node or no npm, and not under CI.
pub fn npm_folder(name: &str) -> Option<PathBuf> {
    if !have(&["node", "npm"]) {
        return None;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spec").join(name);
    let mut state = DefaultHasher::new();
    let paths = fs::read_dir(&source).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.is_file() && path.extension().is_some_and(|kind| kind != "rs")).collect();
    files.sort();
    for file in &files {
        (file, fs::read(file).unwrap()).hash(&mut state);
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = target.join(format!("{name}-{:016x}", state.finish()));
    if !folder.is_dir() {
        let unfinished = tempfile::tempdir_in(target).unwrap();
        copy(&source, unfinished.path());
        run(unfinished.path(), "npm", &["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
        // Another test may have been faster, with the same outcome.
        let moved = fs::rename(unfinished.path(), &folder);
        assert!(folder.is_dir(), "{moved:?}");
    }
    Some(folder)
}

/// Whether all of these programs are here; where one is missing, that is said, and fails under CI.
pub fn have(programs: &[&str]) -> bool {
    let runs =
        |program: &&&str| Command::new(program).arg("--version").output().is_ok_and(|done| done.status.success());
    let missing: Vec<_> = programs.iter().filter(|program| !runs(program)).collect();
    if !missing.is_empty() {
        assert!(env::var_os("CI").is_none(), "missing here: {missing:?}");
        println!("skipped: missing here: {missing:?}");
    }
    missing.is_empty()
}
