use url::Url;

use super::Surroundings;
use crate::{
    config::{
        SecretSource, StoreKey, StoreLocation,
        cursor::{At, Written},
        problem::{Place, Problems},
    },
    store::PostgresAddress,
};

/// Where things are kept. What is refused is not echoed: a location can hold a password.
pub(super) fn check(written: &Written<String>, surroundings: &Surroundings, problems: &mut Problems) -> StoreLocation {
    let default = StoreLocation::Sqlite(surroundings.folder.join("var/scopegate.db"));
    let Written::Is(At { place, value }) = written else {
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
        Some(("postgres" | "postgresql", _)) if holds_password(value) => {
            "a password does not stand in this file: leave it to `PGPASSWORD`, or write `store: env:NAME` or `store: \
             file:PATH` for the whole address"
        }
        Some(("postgres" | "postgresql", _)) => match PostgresAddress::parse(value) {
            Ok(address) => return StoreLocation::Postgres(address),
            Err(_) => "a PostgreSQL store is `postgres://USER@HOST:PORT/DATABASE`",
        },
        Some(("env" | "file", _)) => match secret_source(value, surroundings) {
            Some(source) => return StoreLocation::PostgresAt(source),
            None => "a store whose address is kept elsewhere is `file:PATH` or `env:NAME`",
        },
        _ => "a store is `sqlite:PATH`, `postgres://USER@HOST:PORT/DATABASE` or `memory`",
    };
    problems.push(*place, problem);
    default
}

/// The key-encryption keys: beside a SQLite file by default, fresh for a store in memory. Nodes that share a database
/// must share them, so there they are stated.
pub(super) fn check_key(
    written: Written<Vec<At<String>>>,
    store: &StoreLocation,
    place: Option<Place>,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> StoreKey {
    if let Written::Is(At { value, .. }) = written {
        let sources = value.iter().filter_map(|key| secret("store key", key, surroundings, problems));
        return StoreKey::Sources(sources.collect());
    }
    match store {
        StoreLocation::Memory => StoreKey::Ephemeral,
        StoreLocation::Sqlite(_) => {
            StoreKey::Sources(vec![SecretSource::File(surroundings.folder.join("var/scopegate.key"))])
        }
        StoreLocation::Postgres(_) | StoreLocation::PostgresAt(_) => {
            if let (Some(place), Written::Absent) = (place, written) {
                problems.push(place, NO_SHARED_KEY);
            }
            StoreKey::Ephemeral
        }
    }
}

const NO_SHARED_KEY: &str = "with PostgreSQL `store_key` is required: all nodes use the same one, for example \
                             `file:scopegate.key` made by `openssl rand -base64 32`";

/// Whether a URL holds a password: before its host, or as a parameter.
fn holds_password(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return true };
    url.password().is_some() || url.query_pairs().any(|(name, _)| name.eq_ignore_ascii_case("password"))
}

/// Where a secret comes from. The text is never echoed: it may be the secret.
pub(super) fn secret(
    what: &str,
    written: &At<String>,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Option<SecretSource> {
    let source = secret_source(&written.value, surroundings);
    if source.is_none() {
        problems.push(
            written.place,
            format!("the {what} is a secret: write `file:PATH` or `env:NAME`, never the secret itself"),
        );
    }
    source
}

fn secret_source(text: &str, surroundings: &Surroundings) -> Option<SecretSource> {
    match text.split_once(':') {
        Some(("file", path)) if !path.is_empty() => Some(SecretSource::File(surroundings.folder.join(path))),
        Some(("env", name)) if is_variable(name) => Some(SecretSource::Environment(name.to_owned())),
        _ => None,
    }
}

fn is_variable(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    plain && !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit())
}
