//! One suite, every backend: `store_spec!` runs all of it on a store that a backend opens.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod sqlite_file;

use scopegate::{
    domain::{ClientId, ClientSecret, CustomerId, ScopeName, SecretHash, Timestamp},
    store::{Act, Actor, Client, ClientState, KeyPlan, KeyState, SqliteStore, Store, StoreError, StoredKey},
    token::{Algorithm, SigningKey},
};

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
const PLAN: KeyPlan = KeyPlan { algorithm: Algorithm::Es256, retire_for: 3_630 };

/// A store, and what must live as long as it does.
struct Opened {
    store: SqliteStore,
    _folder: Option<tempfile::TempDir>,
}

async fn in_memory() -> Opened {
    Opened { store: SqliteStore::in_memory(NOW).await.unwrap(), _folder: None }
}

fn actor() -> Actor {
    Actor("cli:tester".to_owned())
}

fn a_client(name: &str) -> Client {
    Client {
        id: ClientId::generate(),
        customer: CustomerId::parse("bits:customer::e0d429f2-635b-418c-8b74-4a554f82c0bc").unwrap(),
        name: name.to_owned(),
        scopes: ["application", "application.session"].map(|scope| ScopeName::parse(scope).unwrap()).to_vec(),
        redirect_urls: vec!["https://a.example/back".to_owned(), "https://b.example/, and \"more\"".to_owned()],
        state: ClientState::Enabled,
        secrets: Vec::new(),
        created_at: NOW,
    }
}

async fn added(store: &dyn Store, name: &str) -> Client {
    let client = a_client(name);
    store.add_client(&client, &actor()).await.unwrap();
    client
}

async fn acts(store: &dyn Store) -> Vec<(Act, String)> {
    let rows = store.audit(100).await.unwrap();
    rows.into_iter().map(|row| (row.act, row.subject)).collect()
}

fn states(keys: &[StoredKey]) -> Vec<KeyState> {
    keys.iter().map(|key| key.state).collect()
}

fn key_in(keys: &[StoredKey], state: KeyState) -> &StoredKey {
    keys.iter().find(|key| key.state == state).unwrap()
}

mod suite {
    use super::*;

    pub async fn a_client_reads_back_as_it_was_added(store: &dyn Store) {
        let mut client = a_client("Acme, \"the\" größte");
        let hash = SecretHash::of(&store.hashing_key().await.unwrap(), &ClientSecret::generate());
        client.secrets = vec![hash.clone()];
        store.add_client(&client, &actor()).await.unwrap();
        let read = store.client(&client.id).await.unwrap();
        assert_eq!(
            (&read.id, &read.customer, &read.name, &read.scopes, &read.redirect_urls, read.state, read.created_at),
            (&client.id, &client.customer, &client.name, &client.scopes, &client.redirect_urls, client.state, NOW)
        );
        assert!(matches!(&read.secrets[..], [only] if only.matches(&hash)));
    }

    pub async fn an_id_is_taken_once(store: &dyn Store) {
        let client = added(store, "first").await;
        let again = store.add_client(&client, &actor()).await.unwrap_err();
        assert!(matches!(again, StoreError::ClientExists(id) if id == client.id));
    }

    pub async fn clients_are_listed_oldest_first(store: &dyn Store) {
        for name in ["first", "second", "third"] {
            added(store, name).await;
        }
        let names: Vec<_> = store.clients().await.unwrap().into_iter().map(|client| client.name).collect();
        assert_eq!(names, ["first", "second", "third"]);
    }

    pub async fn a_client_can_be_disabled_and_enabled(store: &dyn Store) {
        let client = added(store, "client").await;
        for state in [ClientState::Disabled, ClientState::Enabled] {
            store.set_client_state(&client.id, state, NOW, &actor()).await.unwrap();
            assert_eq!(store.client(&client.id).await.unwrap().state, state);
        }
    }

    pub async fn a_new_secret_replaces_the_old_one(store: &dyn Store) {
        let key = store.hashing_key().await.unwrap();
        let mut client = a_client("client");
        client.secrets = vec![SecretHash::of(&key, &ClientSecret::generate())];
        store.add_client(&client, &actor()).await.unwrap();
        let fresh = SecretHash::of(&key, &ClientSecret::generate());
        store.replace_secret(&client.id, &fresh, NOW, &actor()).await.unwrap();
        let read = store.snapshot(NOW).await.unwrap().clients.remove(0);
        assert!(matches!(&read.secrets[..], [only] if only.matches(&fresh)));
    }

    pub async fn a_removed_client_is_gone_and_its_act_stays(store: &dyn Store) {
        let client = added(store, "client").await;
        let other = added(store, "other").await;
        store.remove_client(&client.id, NOW, &actor()).await.unwrap();
        assert!(matches!(store.client(&client.id).await, Err(StoreError::NoSuchClient(_))));
        assert_eq!(store.clients().await.unwrap()[0].id, other.id);
        assert_eq!(acts(store).await[0], (Act::ClientRemoved, client.id.as_str().to_owned()));
    }

    pub async fn an_unknown_client_is_an_error_and_changes_nothing(store: &dyn Store) {
        let (before, unknown) = (store.revision().await.unwrap(), ClientId::generate());
        let hash = SecretHash::from_bytes([0; 32]);
        for outcome in [
            store.client(&unknown).await.map(|_| ()),
            store.replace_secret(&unknown, &hash, NOW, &actor()).await,
            store.set_client_state(&unknown, ClientState::Disabled, NOW, &actor()).await,
            store.remove_client(&unknown, NOW, &actor()).await,
        ] {
            assert!(matches!(outcome, Err(StoreError::NoSuchClient(id)) if id == unknown));
        }
        assert_eq!(store.revision().await.unwrap(), before);
    }

    pub async fn every_change_raises_the_revision_and_is_recorded(store: &dyn Store) {
        let client = a_client("client");
        let hash = SecretHash::from_bytes([1; 32]);
        let mut seen = vec![store.revision().await.unwrap()];
        store.add_client(&client, &actor()).await.unwrap();
        seen.push(store.revision().await.unwrap());
        store.replace_secret(&client.id, &hash, NOW, &actor()).await.unwrap();
        seen.push(store.revision().await.unwrap());
        store.set_client_state(&client.id, ClientState::Disabled, NOW, &actor()).await.unwrap();
        seen.push(store.revision().await.unwrap());
        store.remove_client(&client.id, NOW, &actor()).await.unwrap();
        seen.push(store.revision().await.unwrap());
        store.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
        seen.push(store.revision().await.unwrap());
        store.rotate_keys(PLAN, NOW, &actor()).await.unwrap();
        seen.push(store.snapshot(NOW).await.unwrap().revision);
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");

        let recorded: Vec<Act> = acts(store).await.into_iter().rev().map(|(act, _)| act).collect();
        let keys = [Act::KeyMade, Act::KeyMade, Act::KeyRetired, Act::KeyPromoted, Act::KeyMade];
        let clients = [Act::StoreMade, Act::ClientAdded, Act::SecretReplaced, Act::ClientDisabled, Act::ClientRemoved];
        assert_eq!(recorded, [clients, keys].concat());
    }

    pub async fn the_audit_log_says_who_when_and_what(store: &dyn Store) {
        let (later, other) = (NOW.plus(5), Actor("cli:other".to_owned()));
        let client = added(store, "client").await;
        store.set_client_state(&client.id, ClientState::Disabled, later, &other).await.unwrap();
        let rows = store.audit(1).await.unwrap();
        let [row] = &rows[..] else { panic!("one row was asked for: {rows:?}") };
        assert_eq!((row.at, &row.actor, row.act), (later, &other, Act::ClientDisabled));
        assert_eq!(row.subject, client.id.as_str());
    }

    pub async fn the_hashing_key_stays_the_same(store: &dyn Store) {
        let first = store.hashing_key().await.unwrap();
        assert_eq!(first.as_bytes(), store.hashing_key().await.unwrap().as_bytes());
        assert_eq!(first.as_bytes(), store.snapshot(NOW).await.unwrap().hashing_key.as_bytes());
    }

    pub async fn ensuring_keys_makes_two_and_then_nothing(store: &dyn Store) {
        store.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
        let (keys, revision) = (store.keys().await.unwrap(), store.revision().await.unwrap());
        assert_eq!(states(&keys), [KeyState::Next, KeyState::Current]);
        store.ensure_keys(PLAN, NOW.plus(9), &actor()).await.unwrap();
        assert_eq!(store.revision().await.unwrap(), revision);
        assert_eq!(key_in(&store.keys().await.unwrap(), KeyState::Current).id, keys[1].id);
    }

    pub async fn a_stored_key_is_the_key_of_its_id(store: &dyn Store) {
        for algorithm in Algorithm::ALL {
            store.ensure_keys(KeyPlan { algorithm, ..PLAN }, NOW, &actor()).await.unwrap();
        }
        for key in store.keys().await.unwrap() {
            assert_eq!(*SigningKey::new(&key.private).unwrap().id(), key.id);
            assert_eq!(key.created_at, NOW);
        }
    }

    pub async fn another_algorithm_retires_the_current_key(store: &dyn Store) {
        store.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
        store.ensure_keys(KeyPlan { algorithm: Algorithm::EdDsa, ..PLAN }, NOW, &actor()).await.unwrap();
        let keys = store.keys().await.unwrap();
        let until = NOW.plus(PLAN.retire_for);
        assert_eq!(states(&keys), [KeyState::Next, KeyState::Current, KeyState::Retired { until }]);
        assert_eq!(key_in(&keys, KeyState::Current).private.algorithm(), Algorithm::EdDsa);
    }

    pub async fn rotating_moves_the_next_key_up_and_drops_what_has_ended(store: &dyn Store) {
        store.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
        let first = store.keys().await.unwrap();
        store.rotate_keys(PLAN, NOW, &actor()).await.unwrap();
        let second = store.keys().await.unwrap();
        let end = NOW.plus(PLAN.retire_for);
        assert_eq!(key_in(&second, KeyState::Current).id, key_in(&first, KeyState::Next).id);
        assert_eq!(key_in(&second, KeyState::Retired { until: end }).id, key_in(&first, KeyState::Current).id);

        assert_eq!(store.snapshot(end.minus(1)).await.unwrap().keys.len(), 3);
        assert_eq!(store.snapshot(end).await.unwrap().keys.len(), 2, "a key whose life has ended is left out");
        store.rotate_keys(PLAN, end, &actor()).await.unwrap();
        let third = store.keys().await.unwrap();
        assert_eq!(third.len(), 3, "and removed by the next rotation");
        assert!(third.iter().all(|key| key.id != key_in(&first, KeyState::Current).id));
    }
}

macro_rules! store_spec {
    ($backend:ident, $open:path) => {
        store_spec!($backend, $open;
            a_client_reads_back_as_it_was_added,
            an_id_is_taken_once,
            clients_are_listed_oldest_first,
            a_client_can_be_disabled_and_enabled,
            a_new_secret_replaces_the_old_one,
            a_removed_client_is_gone_and_its_act_stays,
            an_unknown_client_is_an_error_and_changes_nothing,
            every_change_raises_the_revision_and_is_recorded,
            the_audit_log_says_who_when_and_what,
            the_hashing_key_stays_the_same,
            ensuring_keys_makes_two_and_then_nothing,
            a_stored_key_is_the_key_of_its_id,
            another_algorithm_retires_the_current_key,
            rotating_moves_the_next_key_up_and_drops_what_has_ended,
        );
    };
    ($backend:ident, $open:path; $($case:ident,)*) => {
        mod $backend {
            $(
                #[tokio::test]
                async fn $case() {
                    let opened = $open().await;
                    super::suite::$case(&opened.store).await;
                }
            )*
        }
    };
}

store_spec!(memory, super::in_memory);
store_spec!(file, super::sqlite_file::opened);
