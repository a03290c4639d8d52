//! Files with secrets in them that others may read.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::{
    config::{Config, SecretSource, StoreKey, StoreLocation},
    store::files_beside,
};

/// What an operator should know of files that `config` names and others than their owner may use: those of a store, and
/// keys and secrets that everybody may read. A file that is not there exposes nothing.
pub fn exposed_files(config: &Config) -> Vec<String> {
    let own = |path: PathBuf| warning(&path, 0o077);
    let given = |path: &Path| warning(path, 0o007);
    let mut found: Vec<String> = made_by_us(config).filter_map(own).collect();
    found.extend(given_to_us(config).filter_map(given));
    found.sort();
    found.dedup();
    found
}

/// The store and its key, which we make for their owner alone.
fn made_by_us(config: &Config) -> impl Iterator<Item = PathBuf> {
    let store = match &config.store {
        StoreLocation::Sqlite(path) => files_beside(path).into_iter().chain([path.clone()]).collect(),
        StoreLocation::Postgres(_) | StoreLocation::PostgresAt(_) | StoreLocation::Memory => Vec::new(),
    };
    let keys = match &config.store_key {
        StoreKey::Sources(sources) => sources.as_slice(),
        StoreKey::Ephemeral => &[],
    };
    store.into_iter().chain(keys.iter().filter_map(file).map(Path::to_owned))
}

/// What others put there for us; a group may read it, as orchestrators arrange it.
fn given_to_us(config: &Config) -> impl Iterator<Item = &Path> {
    let secrets = config.secrets().filter_map(|(_, source)| file(source));
    let listeners = config.listen.iter().map(|listener| &listener.tls).chain([&config.admin.tls]);
    let served = listeners.flatten().flat_map(|files| &files.certificates);
    let shown = config.upstreams.iter().filter_map(|upstream| upstream.tls.as_ref()?.files.identity.as_ref());
    let keys = served.chain(shown).map(|pair| pair.key.as_path());
    secrets.chain(keys)
}

fn file(source: &SecretSource) -> Option<&Path> {
    match source {
        SecretSource::File(path) => Some(path),
        SecretSource::Environment(_) => None,
    }
}

fn warning(path: &Path, others: u32) -> Option<String> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    (mode & others != 0)
        .then(|| format!("{} holds secrets and others may use it (mode {mode:04o}): `chmod 600` it", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_with_a_secret_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let text = "
listen: [{address: '127.0.0.1:1'}]
store: sqlite:s.db
store_key: [file:new.key, file:old.key]
trust:
- {issuer: https://a.example, secret: file:shared, algorithms: [HS256], audience: a}
- {issuer: https://b.example, introspection: {url: https://b.example/i, client_id: c, client_secret: file:asked}}
upstreams: {a: {servers: ['127.0.0.1:9000']}}
routes: [{match: GET /a, public: true}]
";
        for name in ["shared", "asked"] {
            fs::write(folder.path().join(name), "x".repeat(32)).unwrap();
            fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let config = crate::config::parse(text, &folder.path().join("g.yaml")).unwrap();
        let own = ["s.db", "s.db-wal", "s.db-shm", "s.db-journal", "new.key", "old.key"];
        let given = ["shared", "asked"];
        assert!(exposed_files(&config).is_empty(), "none is exposed");
        for (names, mode, expected) in [
            (&own[..], 0o600, false),
            (&own, 0o640, true),
            (&own, 0o604, true),
            (&own, 0o620, true),
            (&given, 0o600, false),
            (&given, 0o440, false),
            (&given, 0o444, true),
            (&given, 0o602, true),
        ] {
            for name in names {
                let path = folder.path().join(name);
                fs::write(&path, "x").unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                let found = exposed_files(&config);
                let told =
                    found.iter().any(|line| line.contains(&format!("{name} holds")) && line.contains("chmod 600"));
                assert_eq!((told, found.len()), (expected, usize::from(expected)), "{name} {mode:o}: {found:?}");
                fs::remove_file(&path).unwrap();
            }
        }
    }
}
