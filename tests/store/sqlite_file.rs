//! What holds for a SQLite file beyond the common suite: it is shared, private, and refuses what it should.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use scopegate::{
    domain::{ClientSecret, SecretHash, SecretVerifier},
    store::{Act, AuditFilter, ClientState, KeyEncryptionKey, NewSecret, SealError, Sealing, Store, StoreError},
};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{NOW, Opened, PLAN, a_client, actor, added};

pub async fn opened() -> Option<Opened> {
    let shared = Shared::new();
    Some(Opened { store: shared.open().await, _held: Some(Box::new(shared.folder)) })
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

    async fn open(&self) -> Store {
        self.open_with(Sealing::new(self.sealing.clone(), Vec::new())).await.unwrap()
    }

    async fn open_with(&self, sealing: Sealing) -> Result<Store, StoreError> {
        Store::sqlite(&self.path, sealing, NOW).await
    }

    async fn refusal(&self, sealing: &KeyEncryptionKey) -> StoreError {
        self.open_with(Sealing::new(sealing.clone(), Vec::new())).await.unwrap_err()
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
    assert_ne!(gateway.revision().await.unwrap(), before);
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
                let store = Store::sqlite(&path, Sealing::new(sealing, Vec::new()), NOW).await.unwrap();
                store.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
                store
            })
        });
        let mut stores = Vec::new();
        for start in starts.collect::<Vec<_>>() {
            stores.push(start.await.unwrap());
        }
        assert_eq!(stores[0].keys().await.unwrap().len(), 2);
        let rows = stores[1].audit(&AuditFilter::default(), 100).await.unwrap();
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
    let verifier = SecretVerifier::Keyed(SecretHash::of(&hashing_key, &secret));
    let kept = NewSecret { verifier, expires_at: None };
    store.add_client(&a_client("visible name"), &kept, &actor()).await.unwrap();
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
    assert_eq!(shared.open().await.audit(&AuditFilter::default(), 100).await.unwrap().len(), 2);
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
    assert_eq!(store.audit(&AuditFilter::default(), 100).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_key_encryption_key_can_be_exchanged_while_nodes_run() {
    let shared = Shared::new();
    let (old, new) = (shared.sealing.clone(), KeyEncryptionKey::generate());
    drop(shared.open().await);
    let both = shared.open_with(Sealing::new(new.clone(), vec![old.clone()])).await.unwrap();
    let running = shared.open_with(Sealing::new(new.clone(), vec![old.clone()])).await.unwrap();
    running.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
    both.reseal(NOW, &actor()).await.unwrap();
    assert_eq!(running.snapshot(NOW).await.unwrap().keys.len(), 2, "nodes that know both keys go on");
    assert!(shared.open_with(Sealing::new(new, Vec::new())).await.is_ok(), "the new one alone opens everything");
    assert!(matches!(shared.refusal(&old).await, StoreError::Sealed(SealError::Wrong)));
}

#[tokio::test]
async fn a_store_of_the_first_version_is_brought_up_to_date() {
    let shared = Shared::new();
    let store = shared.open().await;
    store.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
    let client = added(&store, "client").await;
    drop(store);
    // Takes the store back to what the first version wrote.
    let first = include_str!("../../src/store/migrations/sqlite/0001_first.sql");
    let secrets = first.split("CREATE TABLE client_secrets").nth(1).unwrap().split(';').next().unwrap();
    let back = [
        "DROP TABLE revoked_tokens; DROP TABLE revoked_holders;".to_owned(),
        format!("CREATE TABLE client_secrets{secrets};"),
        "INSERT INTO client_secrets (client, hash, created_at) SELECT client, hash, created_at FROM secrets;"
            .to_owned(),
        "DROP TABLE secrets;".to_owned(),
        "ALTER TABLE signing_keys DROP COLUMN current_since; ALTER TABLE audit DROP COLUMN origin;".to_owned(),
        "ALTER TABLE clients DROP COLUMN introspects; ALTER TABLE revision DROP COLUMN clients;".to_owned(),
        "ALTER TABLE revision DROP COLUMN keys; ALTER TABLE revision DROP COLUMN tokens;".to_owned(),
        "DELETE FROM _sqlx_migrations WHERE version = 2;".to_owned(),
    ];
    shared.execute(String::leak(back.concat())).await.unwrap();
    let store = shared.open().await;
    let read = store.client(&client.id).await.unwrap();
    assert_eq!((read.secrets.len(), super::byte_of(&read.secrets[0])), (1, 1));
    let keys = store.keys().await.unwrap();
    assert_eq!((keys[0].current_since, keys[1].current_since), (None, Some(NOW)));
}

#[tokio::test]
async fn a_store_opens_and_is_read_while_somebody_else_writes() {
    let shared = Shared::new();
    let store = shared.open().await;
    store.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
    let options = SqliteConnectOptions::new().filename(&shared.path);
    let mut writer = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut writer).await.unwrap();
    let opened = tokio::time::timeout(std::time::Duration::from_secs(2), async {
        let second = shared.open().await;
        second.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
        second.snapshot(NOW).await.unwrap().keys.len()
    });
    assert_eq!(opened.await.expect("nobody waits for the writer"), 2);
}

#[tokio::test]
async fn an_emptied_file_is_refused() {
    let shared = Shared::new();
    drop(shared.open().await);
    for name in ["store.db-wal", "store.db-shm"] {
        let _ = fs::remove_file(shared.path.with_file_name(name));
    }
    fs::write(&shared.path, b"").unwrap();
    let refused = shared.refusal(&shared.sealing).await;
    assert!(matches!(&refused, StoreError::Unavailable(text) if text.contains("it is empty")), "{refused}");
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
