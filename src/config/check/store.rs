use super::Surroundings;
use crate::config::{
    SecretSource, StoreKey, StoreLocation,
    cursor::{At, Written},
    problem::Problems,
};

/// Where things are kept. What is refused is not echoed: a location can hold a password.
pub(super) fn check(written: Written<String>, surroundings: &Surroundings, problems: &mut Problems) -> StoreLocation {
    let default = StoreLocation::Sqlite(surroundings.folder.join("var/scopegate.db"));
    let Some(At { place, value }) = written.given() else {
        return default;
    };
    let problem = match value.split_once(':') {
        None if value == "memory" => return StoreLocation::Memory,
        Some(("sqlite", "")) => "`sqlite:` needs the path of a file",
        Some(("sqlite", ":memory:")) => "a store in memory is written `memory`",
        Some(("sqlite", path)) if path.starts_with("//") || path.contains('?') => {
            "after `sqlite:` comes a plain path, without `//` and `?`"
        }
        Some(("sqlite", path)) => return StoreLocation::Sqlite(surroundings.folder.join(path)),
        Some(("postgres" | "postgresql", _)) => "`postgres://` is not supported yet",
        _ => "a store is `sqlite:PATH` or `memory`",
    };
    problems.push(place, problem);
    default
}

/// The key-encryption key: beside a SQLite file by default, fresh for a store in memory.
pub(super) fn check_key(
    written: Written<String>,
    store: &StoreLocation,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> StoreKey {
    if let Some(written) = written.given() {
        return secret("store key", &written, surroundings, problems).map_or(StoreKey::Ephemeral, StoreKey::Source);
    }
    match store {
        StoreLocation::Memory => StoreKey::Ephemeral,
        StoreLocation::Sqlite(_) => StoreKey::Source(SecretSource::File(surroundings.folder.join("var/scopegate.key"))),
    }
}

/// Where a secret comes from. The text is never echoed: it may be the secret.
pub(super) fn secret(
    what: &str,
    written: &At<String>,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Option<SecretSource> {
    let source = match written.value.split_once(':') {
        Some(("file", path)) if !path.is_empty() => Some(SecretSource::File(surroundings.folder.join(path))),
        Some(("env", name)) if is_variable(name) => Some(SecretSource::Environment(name.to_owned())),
        _ => None,
    };
    if source.is_none() {
        problems.push(
            written.place,
            format!("the {what} is a secret: write `file:PATH` or `env:NAME`, never the secret itself"),
        );
    }
    source
}

fn is_variable(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    plain && !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit())
}
