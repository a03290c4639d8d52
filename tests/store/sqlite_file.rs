//! What holds for a SQLite file beyond the common suite: it is shared, private, and refuses what it should.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use scopegate::{
    domain::{ClientSecret, SecretHash},
    store::{Act, ClientState, KeyEncryptionKey, SealError, SqliteStore, Store, StoreError},
};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{NOW, Opened, PLAN, a_client, actor, added};

pub async fn opened() -> Opened {
    let shared = Shared::new();
    Opened { store: shared.open().await, _folder: Some(shared.folder) }
}

/// One file and its key, to be opened several times.
struct Shared {
    folder: tempfile::TempDir,
    path: PathBuf,
    sealing: KeyEncryptionKey,
}

impl Shared {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("var/lib/store.db");
        Self { folder, path, sealing: KeyEncryptionKey::generate() }
    }

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.path, self.sealing.clone(), NOW).await.unwrap()
    }

    async fn refusal(&self, sealing: &KeyEncryptionKey) -> StoreError {
        SqliteStore::open(&self.path, sealing.clone(), NOW).await.unwrap_err()
    }

    /// Runs `sql` past the store, as someone with the `sqlite3` tool can.
    async fn execute(&self, sql: &'static str) -> Result<(), sqlx::Error> {
        let options = SqliteConnectOptions::new().filename(&self.path).create_if_missing(true);
        let mut raw = SqliteConnection::connect_with(&options).await?;
        let outcome = sqlx::raw_sql(sql).execute(&mut raw).await.map(|_| ());
        raw.close().await?;
        outcome
    }

    /// All bytes of the database and its side files.
    fn bytes(&self) -> Vec<u8> {
        let folder = fs::read_dir(self.path.parent().unwrap()).unwrap();
        folder.flat_map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn a_change_is_seen_through_another_handle() {
    let shared = Shared::new();
    let (gateway, command) = (shared.open().await, shared.open().await);
    let before = gateway.revision().await.unwrap();
    let client = added(&command, "client").await;
    command.set_client_state(&client.id, ClientState::Disabled, NOW, &actor()).await.unwrap();
    assert!(gateway.revision().await.unwrap() > before);
    assert_eq!(gateway.client(&client.id).await.unwrap().state, ClientState::Disabled);
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let shared = Shared::new();
    let first = shared.open().await;
    let client = added(&first, "client").await;
    first.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
    let (keys, revision) = (first.keys().await.unwrap(), first.revision().await.unwrap());
    drop(first);
    let second = shared.open().await;
    assert_eq!(second.revision().await.unwrap(), revision, "opening changes nothing");
    assert_eq!(second.client(&client.id).await.unwrap().name, "client");
    assert_eq!(second.keys().await.unwrap()[0].private.pkcs8(), keys[0].private.pkcs8());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_that_open_a_new_file_at_once_end_with_one_store_and_one_pair_of_keys() {
    for _ in 0..10 {
        let shared = Shared::new();
        let starts = (0..6).map(|_| {
            let (path, sealing) = (shared.path.clone(), shared.sealing.clone());
            tokio::spawn(async move {
                let store = SqliteStore::open(&path, sealing, NOW).await.unwrap();
                store.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
                store
            })
        });
        let mut stores = Vec::new();
        for start in starts.collect::<Vec<_>>() {
            stores.push(start.await.unwrap());
        }
        assert_eq!(stores[0].keys().await.unwrap().len(), 2);
        let rows = stores[1].audit(100).await.unwrap();
        let acts: Vec<Act> = rows.into_iter().map(|row| row.act).collect();
        assert_eq!(acts, [Act::KeyMade, Act::KeyMade, Act::StoreMade]);
    }
}

#[tokio::test]
async fn nothing_secret_is_readable_in_the_files() {
    let shared = Shared::new();
    let store = shared.open().await;
    let hashing_key = store.hashing_key().await.unwrap();
    let secret = ClientSecret::generate();
    let mut client = a_client("visible name");
    client.secrets = vec![SecretHash::of(&hashing_key, &secret)];
    store.add_client(&client, &actor()).await.unwrap();
    store.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
    let keys = store.keys().await.unwrap();

    let bytes = shared.bytes();
    assert!(holds(&bytes, b"visible name"), "the bytes are those of the store");
    assert!(!holds(&bytes, secret.reveal().as_bytes()));
    assert!(!holds(&bytes, hashing_key.as_bytes()));
    for key in &keys {
        let whole = key.private.pkcs8();
        // A P-256 key's secret number stands at bytes 36 to 68 of its PKCS#8 form.
        assert!(!holds(&bytes, whole) && !holds(&bytes, &whole[36..68]));
    }
}

#[tokio::test]
async fn another_key_encryption_key_is_refused_and_changes_nothing() {
    let shared = Shared::new();
    let store = shared.open().await;
    added(&store, "client").await;
    drop(store);
    let refused = shared.refusal(&KeyEncryptionKey::generate()).await;
    assert!(matches!(refused, StoreError::Sealed(SealError::Wrong)), "{refused}");
    assert!(refused.to_string().contains("not the one the store was written with"), "{refused}");
    assert_eq!(shared.open().await.audit(100).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused() {
    let shared = Shared::new();
    drop(shared.open().await);
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'later', TRUE, x'00', 0)";
    shared.execute(newer).await.unwrap();
    let refused = shared.refusal(&shared.sealing).await;
    assert!(matches!(&refused, StoreError::Schema(text) if text.contains("newer scopegate")), "{refused}");
}

#[tokio::test]
async fn files_of_other_programs_are_refused_and_left_alone() {
    let shared = Shared::new();
    fs::create_dir_all(shared.path.parent().unwrap()).unwrap();
    shared.execute("CREATE TABLE songs (title TEXT)").await.unwrap();
    let refused = shared.refusal(&shared.sealing).await;
    assert!(matches!(&refused, StoreError::Schema(text) if text.contains("another program")), "{refused}");

    let shared = Shared::new();
    let garbage = b"this is no database, but long enough to have a header of one hundred bytes".repeat(20);
    fs::create_dir_all(shared.path.parent().unwrap()).unwrap();
    fs::write(&shared.path, &garbage).unwrap();
    let refused = shared.refusal(&shared.sealing).await;
    assert!(matches!(&refused, StoreError::Unavailable(text) if text.contains("store.db")), "{refused}");
    assert_eq!(fs::read(&shared.path).unwrap(), garbage);
}

#[tokio::test]
async fn a_sealed_value_that_was_moved_to_another_row_does_not_open() {
    let shared = Shared::new();
    let store = shared.open().await;
    store.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
    let swap = "UPDATE signing_keys SET sealed = (SELECT other.sealed FROM signing_keys other
        WHERE other.state = 'next') WHERE state = 'current'";
    shared.execute(swap).await.unwrap();
    assert!(matches!(store.snapshot(NOW).await, Err(StoreError::Sealed(SealError::Wrong))));
}

#[tokio::test]
async fn audit_rows_can_be_added_only() {
    let shared = Shared::new();
    let store = shared.open().await;
    for sql in [
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit (number, at, actor, act, subject) VALUES (1, 0, 'nobody', 'key.made', '')",
    ] {
        let refused = shared.execute(sql).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{sql}: {refused}");
    }
    assert_eq!(store.audit(100).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_expired_secret_is_left_out_of_a_snapshot() {
    let shared = Shared::new();
    let store = shared.open().await;
    let mut client = a_client("client");
    client.secrets = vec![SecretHash::from_bytes([1; 32]), SecretHash::from_bytes([2; 32])];
    store.add_client(&client, &actor()).await.unwrap();
    shared.execute("UPDATE client_secrets SET expires_at = 1700000010 WHERE number = 1").await.unwrap();
    for (passed, live) in [(9, 2), (10, 1)] {
        assert_eq!(store.snapshot(NOW.plus(passed)).await.unwrap().clients[0].secrets.len(), live);
    }
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    let shared = Shared::new();
    let store = shared.open().await;
    added(&store, "client").await;
    let folder = shared.path.parent().unwrap();
    assert_eq!(mode(folder), 0o700);
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 3, "database, log and index: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}
