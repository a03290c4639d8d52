//! Clients and their secrets.

use scopegate::{domain::Argon2idHash, store::Predecessor};

use super::*;

pub async fn a_client_reads_back_as_it_was_added(store: &Store) {
    let client = Client { introspects: Introspects::All, ..a_client("Acme, \"the\" größte") };
    let hash = SecretHash::of(&store.hashing_key().await.unwrap(), &ClientSecret::generate());
    let secret = NewSecret { verifier: SecretVerifier::Keyed(hash.clone()), expires_at: Some(NOW.plus(9)) };
    store.add_client(&client, &secret, &actor()).await.unwrap();
    let read = store.client(&client.id).await.unwrap();
    assert_eq!(
        (&read.id, &read.customer, &read.name, &read.scopes, &read.redirect_urls, read.state, read.created_at),
        (&client.id, &client.customer, &client.name, &client.scopes, &client.redirect_urls, client.state, NOW)
    );
    assert_eq!(read.introspects, Introspects::All);
    let [only] = &read.secrets[..] else { panic!("one secret: {:?}", read.secrets) };
    assert_eq!((only.created_at, only.expires_at, only.last_used_at), (NOW, Some(NOW.plus(9)), None));
    assert!(matches!(&only.verifier, SecretVerifier::Keyed(kept) if kept.matches(&hash)));
}

pub async fn an_imported_secret_reads_back_as_it_was_added(store: &Store) {
    let text = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    let verifier = SecretVerifier::Argon2id(Argon2idHash::parse(text).unwrap());
    let client = a_client("imported");
    store.add_client(&client, &NewSecret { verifier, expires_at: None }, &actor()).await.unwrap();
    let read = store.client(&client.id).await.unwrap();
    assert!(matches!(&read.secrets[0].verifier, SecretVerifier::Argon2id(hash) if hash.as_str() == text));
    assert_eq!(acts(store).await[0].0, Act::ClientImported);
}

pub async fn an_id_is_taken_once(store: &Store) {
    let client = added(store, "first").await;
    let again = store.add_client(&client, &a_secret(1, None), &actor()).await.unwrap_err();
    assert!(matches!(again, StoreError::ClientExists(id) if id == client.id));
}

pub async fn clients_are_listed_oldest_first(store: &Store) {
    for name in ["first", "second", "third"] {
        added(store, name).await;
    }
    let names: Vec<_> = store.clients().await.unwrap().into_iter().map(|client| client.name).collect();
    assert_eq!(names, ["first", "second", "third"]);
}

pub async fn a_client_can_be_disabled_and_enabled(store: &Store) {
    let client = added(store, "client").await;
    for state in [ClientState::Disabled, ClientState::Enabled] {
        store.set_client_state(&client.id, state, NOW, &actor()).await.unwrap();
        assert_eq!(store.client(&client.id).await.unwrap().state, state);
    }
}

/// The secrets of a client as (byte, end).
async fn secrets(store: &Store, client: &Client) -> Vec<(u8, Option<Timestamp>)> {
    let read = store.client(&client.id).await.unwrap();
    read.secrets.iter().map(|secret| (byte_of(secret), secret.expires_at)).collect()
}

pub async fn a_new_secret_replaces_the_old_one(store: &Store) {
    let client = added(store, "client").await;
    store.rotate_secret(&client.id, &a_secret(2, None), Predecessor::Ends, NOW, &actor()).await.unwrap();
    assert_eq!(secrets(store, &client).await, [(2, None)]);
}

pub async fn a_new_secret_can_leave_the_old_one_some_time(store: &Store) {
    let (client, end) = (added(store, "client").await, NOW.plus(60));
    let overlap = Predecessor::CountsUntil(end);
    store.rotate_secret(&client.id, &a_secret(2, Some(NOW.plus(30))), overlap, NOW, &actor()).await.unwrap();
    assert_eq!(secrets(store, &client).await, [(1, Some(end)), (2, Some(NOW.plus(30)))]);
    assert_eq!(acts(store).await[0], (Act::SecretAdded, client.id.to_string()));
    // An end that comes earlier by itself stays.
    store.rotate_secret(&client.id, &a_secret(3, None), overlap, NOW.plus(1), &actor()).await.unwrap();
    assert_eq!(secrets(store, &client).await, [(2, Some(NOW.plus(30))), (3, None)]);
}

pub async fn a_third_secret_ends_the_first(store: &Store) {
    let (client, other) = (added(store, "client").await, added(store, "other").await);
    let overlap = Predecessor::CountsUntil(NOW.plus(60));
    for byte in 2..=4 {
        store.rotate_secret(&client.id, &a_secret(byte, None), overlap, NOW, &actor()).await.unwrap();
    }
    assert_eq!(secrets(store, &client).await, [(3, Some(NOW.plus(60))), (4, None)]);
    assert_eq!(secrets(store, &other).await, [(1, None)], "another client's secret stays");
}

pub async fn an_expired_secret_is_left_out_of_a_snapshot_and_purged(store: &Store) {
    let client = added(store, "client").await;
    let overlap = Predecessor::CountsUntil(NOW.plus(10));
    store.rotate_secret(&client.id, &a_secret(2, None), overlap, NOW, &actor()).await.unwrap();
    for (passed, live) in [(9, 2), (10, 1)] {
        let now = NOW.plus(passed);
        assert_eq!(store.snapshot(now).await.unwrap().clients[0].secrets.len(), live);
        store.purge(now).await.unwrap();
        assert_eq!(secrets(store, &client).await.len(), live);
    }
}

pub async fn the_latest_use_of_a_secret_is_kept(store: &Store) {
    let client = added(store, "client").await;
    let number = store.client(&client.id).await.unwrap().secrets[0].number;
    for (at, expected) in [(NOW.plus(5), 5), (NOW.plus(3), 5), (NOW.plus(7), 7)] {
        store.note_use(&[(number, at)]).await.unwrap();
        let read = store.client(&client.id).await.unwrap();
        assert_eq!(read.secrets[0].last_used_at, Some(NOW.plus(expected)));
    }
}

pub async fn a_removed_client_is_gone_and_its_act_stays(store: &Store) {
    let client = added(store, "client").await;
    let other = added(store, "other").await;
    store.remove_client(&client.id, NOW, &actor()).await.unwrap();
    assert!(matches!(store.client(&client.id).await, Err(StoreError::NoSuchClient(_))));
    assert_eq!(store.clients().await.unwrap()[0].id, other.id);
    assert_eq!(acts(store).await[0], (Act::ClientRemoved, client.id.as_str().to_owned()));
}

pub async fn an_unknown_client_is_an_error_and_changes_nothing(store: &Store) {
    let (before, unknown) = (store.revision().await.unwrap(), ClientId::generate());
    for outcome in [
        store.client(&unknown).await.map(|_| ()),
        store.rotate_secret(&unknown, &a_secret(2, None), Predecessor::Ends, NOW, &actor()).await,
        store.set_client_state(&unknown, ClientState::Disabled, NOW, &actor()).await,
        store.revoke_holder(&scopegate::store::Holder::Client(unknown.clone()), NOW, &actor()).await,
        store.remove_client(&unknown, NOW, &actor()).await,
    ] {
        assert!(matches!(outcome, Err(StoreError::NoSuchClient(id)) if id == unknown));
    }
    assert_eq!(store.revision().await.unwrap(), before);
}
