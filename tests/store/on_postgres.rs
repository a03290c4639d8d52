//! What holds for a PostgreSQL database beyond the common suite.

use std::any::Any;

use scopegate::store::{Act, AuditFilter, KeyEncryptionKey, PostgresAddress, Sealing, Store};

use super::{NOW, Opened, PLAN, actor, postgres::Cluster};

pub async fn opened() -> Option<Opened> {
    let shared = Shared::new()?;
    let store = shared.open().await;
    Some(Opened { store, _held: Some(Box::new(shared.cluster) as Box<dyn Any>) })
}

/// One database and its key, to be opened several times.
struct Shared {
    cluster: Cluster,
    database: String,
    sealing: KeyEncryptionKey,
}

impl Shared {
    fn new() -> Option<Self> {
        let cluster = Cluster::start()?;
        let database = cluster.create_database();
        Some(Self { cluster, database, sealing: KeyEncryptionKey::generate() })
    }

    async fn open(&self) -> Store {
        let address = PostgresAddress::parse(&self.cluster.url(&self.database)).unwrap();
        Store::postgres(&address, Sealing::new(self.sealing.clone(), Vec::new()), NOW).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_that_open_a_new_database_at_once_end_with_one_store_and_one_pair_of_keys() {
    let Some(mut shared) = Shared::new() else { return };
    for _ in 0..5 {
        shared.database = shared.cluster.create_database();
        let open = async || {
            let store = shared.open().await;
            store.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
            store
        };
        let (first, second, third, fourth) = tokio::join!(open(), open(), open(), open());
        let keys = first.keys().await.unwrap();
        assert_eq!(keys.len(), 2);
        for store in [&second, &third, &fourth] {
            let same =
                store.keys().await.unwrap().iter().map(|key| key.id.clone()).eq(keys.iter().map(|key| key.id.clone()));
            assert!(same, "everybody reads the same keys");
        }
        let rows = fourth.audit(&AuditFilter::default(), 100).await.unwrap();
        let acts: Vec<Act> = rows.into_iter().map(|row| row.act).collect();
        assert_eq!(acts, [Act::KeyMade, Act::KeyMade, Act::StoreMade]);
    }
}

#[tokio::test]
async fn audit_rows_can_be_added_only() {
    let Some(shared) = Shared::new() else { return };
    let store = shared.open().await;
    for sql in ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit", "TRUNCATE audit"] {
        let refused = shared.cluster.try_sql(&shared.database, sql).unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{sql}: {refused}");
    }
    assert_eq!(store.audit(&AuditFilter::default(), 100).await.unwrap().len(), 1);
}

#[tokio::test]
async fn nothing_secret_is_readable_in_the_database() {
    let Some(shared) = Shared::new() else { return };
    let store = shared.open().await;
    let hashing_key = store.hashing_key().await.unwrap();
    store.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
    let sealed = "SELECT encode(sealed, 'hex') FROM settings UNION ALL SELECT encode(sealed, 'hex') FROM signing_keys";
    let stored = shared.cluster.sql(&shared.database, sealed);
    assert_eq!(stored.lines().filter(|line| line.len() > 32).count(), stored.lines().count());
    assert!(stored.lines().count() >= 3, "{stored}");
    let hex = |bytes: &[u8]| bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect::<String>();
    assert!(!stored.contains(&hex(hashing_key.as_bytes())));
    for key in store.keys().await.unwrap() {
        // A P-256 key's secret number stands at bytes 36 to 68 of its PKCS#8 form.
        assert!(!stored.contains(&hex(&key.private.pkcs8()[36..68])));
    }
}

fn digit(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16).unwrap()
}
