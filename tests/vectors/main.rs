//! Test vectors that other people made, against the library that verifies tokens.
//!
//! | file | whose vectors |
//! |---|---|
//! | [`wycheproof`] | C2SP/wycheproof: JWS, key sets, weak keys |
//! | [`rfc`] | RFC 7515, 7517, 7520, 7797 and 8037 |
//! | [`library`] | those that were accepted and changes of them, judged by `jsonwebtoken` as well |
//!
//! `exceptions.txt` lists each vector that is treated otherwise than its tag says. [`exceptions`] fails when a row is
//! missing, when one is no longer needed, and whenever something is accepted that should not be.

// Tests may unwrap, read clocks, and have no readers of their documentation.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, clippy::missing_panics_doc)]

mod exceptions;
mod library;
mod rfc;
mod verdict;
mod wycheproof;

use std::{env, fs, path::PathBuf};

use serde_json::Value;

/// A file of the corpora, which are read from `$SCOPEGATE_CORPORA` or `../shared/corpora`. Where that folder is missing a
/// test says that it was skipped, and fails under CI.
fn corpus(name: &str) -> Option<Value> {
    let path = corpora().join(name);
    match fs::read(&path) {
        Ok(json) => Some(serde_json::from_slice(&json).unwrap_or_else(|error| panic!("{name}: {error}"))),
        Err(error) => {
            assert!(env::var_os("CI").is_none(), "{}: {error}", path.display());
            println!("skipped: {}: {error}", path.display());
            None
        }
    }
}

fn corpora() -> PathBuf {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora");
    env::var_os("SCOPEGATE_CORPORA").map_or(beside, PathBuf::from)
}

/// The members of an array.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
