//! One suite, every backend: `store_spec!` runs all of it on a store that a backend opens.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod clients;
mod cluster;
mod keys;
mod on_postgres;
mod revocations;
mod sqlite_file;

#[path = "../common/postgres.rs"]
mod postgres;

use scopegate::{
    domain::{ClientId, ClientSecret, CustomerId, ScopeName, SecretHash, SecretVerifier, Timestamp},
    store::{
        Act, Actor, AuditFilter, Client, ClientState, Introspects, KeyPlan, KeyState, NewSecret, Secret, Store,
        StoreError, StoredKey,
    },
    token::Algorithm,
};

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
const PLAN: KeyPlan = KeyPlan { algorithm: Algorithm::Es256, retire_for: 3_630, rotate_every: Some(86_400) };

/// A store, and what must live as long as it does.
struct Opened {
    store: Store,
    _held: Option<Box<dyn std::any::Any>>,
}

async fn in_memory() -> Option<Opened> {
    Some(Opened { store: Store::in_memory(NOW).await.unwrap(), _held: None })
}

fn actor() -> Actor {
    Actor { name: "cli:tester".to_owned(), origin: "here".to_owned() }
}

fn a_client(name: &str) -> Client {
    Client {
        id: ClientId::generate(),
        customer: CustomerId::parse("bits:customer::e0d429f2-635b-418c-8b74-4a554f82c0bc").unwrap(),
        name: name.to_owned(),
        scopes: ["application", "application.session"].map(|scope| ScopeName::parse(scope).unwrap()).to_vec(),
        redirect_urls: vec!["https://a.example/back".to_owned(), "https://b.example/, and \"more\"".to_owned()],
        state: ClientState::Enabled,
        introspects: Introspects::Own,
        secrets: Vec::new(),
        created_at: NOW,
    }
}

/// A secret that is the hash of nothing in particular.
fn a_secret(byte: u8, expires_at: Option<Timestamp>) -> NewSecret {
    NewSecret { verifier: SecretVerifier::Keyed(SecretHash::from_bytes([byte; 32])), expires_at }
}

/// The byte that a secret of [`a_secret`] was made of.
fn byte_of(secret: &Secret) -> u8 {
    match &secret.verifier {
        SecretVerifier::Keyed(hash) => hash.as_bytes()[0],
        SecretVerifier::Argon2id(_) => panic!("no secret of this suite was imported"),
    }
}

async fn added(store: &Store, name: &str) -> Client {
    let client = a_client(name);
    store.add_client(&client, &a_secret(1, None), &actor()).await.unwrap();
    client
}

async fn acts(store: &Store) -> Vec<(Act, String)> {
    let rows = store.audit(&AuditFilter::default(), 100).await.unwrap();
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
    pub use super::{clients::*, keys::*, revocations::*};

    pub async fn every_change_raises_the_revision_and_is_recorded(store: &Store) {
        let client = a_client("client");
        let mut seen = vec![store.revision().await.unwrap().number];
        store.add_client(&client, &a_secret(1, None), &actor()).await.unwrap();
        seen.push(store.revision().await.unwrap().number);
        let ends = scopegate::store::Predecessor::Ends;
        store.rotate_secret(&client.id, &a_secret(2, None), ends, NOW, &actor()).await.unwrap();
        seen.push(store.revision().await.unwrap().number);
        store.set_client_state(&client.id, ClientState::Disabled, NOW, &actor()).await.unwrap();
        seen.push(store.revision().await.unwrap().number);
        store.remove_client(&client.id, NOW, &actor()).await.unwrap();
        seen.push(store.revision().await.unwrap().number);
        store.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
        seen.push(store.revision().await.unwrap().number);
        store.rotate_keys(PLAN, NOW, &actor()).await.unwrap();
        seen.push(store.snapshot(NOW).await.unwrap().revision.number);
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");

        let recorded: Vec<Act> = acts(store).await.into_iter().rev().map(|(act, _)| act).collect();
        let keys = [Act::KeyMade, Act::KeyMade, Act::KeyRetired, Act::KeyPromoted, Act::KeyMade];
        let clients = [Act::StoreMade, Act::ClientAdded, Act::SecretReplaced, Act::ClientDisabled, Act::ClientRemoved];
        assert_eq!(recorded, [clients, keys].concat());
    }

    pub async fn a_change_raises_the_number_of_its_part_only(store: &Store) {
        let before = store.revision().await.unwrap();
        let client = added(store, "client").await;
        let after_client = store.revision().await.unwrap();
        assert_eq!((after_client.keys, after_client.tokens), (before.keys, before.tokens));
        store.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
        let after_keys = store.revision().await.unwrap();
        assert_eq!((after_keys.clients, after_keys.tokens), (after_client.clients, before.tokens));
        assert!(after_keys.keys > before.keys && after_client.clients > before.clients);
        store.note_use(&[(store.client(&client.id).await.unwrap().secrets[0].number, NOW)]).await.unwrap();
        assert_eq!(store.revision().await.unwrap(), after_keys, "a note of use is no change");
    }

    pub async fn the_audit_log_says_who_when_what_and_where(store: &Store) {
        let (later, other) = (NOW.plus(5), Actor { name: "cli:other".to_owned(), origin: "192.0.2.7".to_owned() });
        let client = added(store, "client").await;
        store.set_client_state(&client.id, ClientState::Disabled, later, &other).await.unwrap();
        let rows = store.audit(&AuditFilter::default(), 1).await.unwrap();
        let [row] = &rows[..] else { panic!("one row was asked for: {rows:?}") };
        assert_eq!((row.at, &row.actor, row.act), (later, &other, Act::ClientDisabled));
        assert_eq!(row.subject, client.id.as_str());
    }

    pub async fn the_audit_log_is_asked_by_actor_act_subject_and_time(store: &Store) {
        let other = Actor { name: "cli:other".to_owned(), origin: "there".to_owned() };
        let (first, second) = (added(store, "first").await, added(store, "second").await);
        store.set_client_state(&first.id, ClientState::Disabled, NOW.plus(10), &other).await.unwrap();
        store.set_client_state(&second.id, ClientState::Disabled, NOW.plus(20), &actor()).await.unwrap();
        let all = AuditFilter::default();
        let subject = Some(first.id.to_string());
        for (filter, expected) in [
            (AuditFilter { actor: Some("cli:other".to_owned()), ..all.clone() }, 1),
            (AuditFilter { actor: Some("cli:oth%".to_owned()), ..all.clone() }, 0),
            (AuditFilter { act: Some(Act::ClientDisabled), ..all.clone() }, 2),
            (AuditFilter { subject: subject.clone(), ..all.clone() }, 2),
            (AuditFilter { subject, act: Some(Act::ClientAdded), ..all.clone() }, 1),
            (AuditFilter { from: Some(NOW.plus(10)), ..all.clone() }, 2),
            (AuditFilter { from: Some(NOW.plus(10)), to: Some(NOW.plus(20)), ..all.clone() }, 1),
            (AuditFilter { to: Some(NOW.plus(10)), ..all.clone() }, 3),
            (all, 5),
        ] {
            assert_eq!(store.audit(&filter, 100).await.unwrap().len(), expected, "{filter:?}");
        }
    }

    pub async fn the_hashing_key_stays_the_same(store: &Store) {
        let first = store.hashing_key().await.unwrap();
        assert_eq!(first.as_bytes(), store.hashing_key().await.unwrap().as_bytes());
        assert_eq!(first.as_bytes(), store.snapshot(NOW).await.unwrap().hashing_key.as_bytes());
    }
}

macro_rules! store_spec {
    ($backend:ident, $open:path) => {
        store_spec!($backend, $open;
            a_client_reads_back_as_it_was_added,
            an_imported_secret_reads_back_as_it_was_added,
            an_id_is_taken_once,
            clients_are_listed_oldest_first,
            a_client_can_be_disabled_and_enabled,
            a_new_secret_replaces_the_old_one,
            a_new_secret_can_leave_the_old_one_some_time,
            a_third_secret_ends_the_first,
            an_expired_secret_is_left_out_of_a_snapshot_and_purged,
            the_latest_use_of_a_secret_is_kept,
            a_removed_client_is_gone_and_its_act_stays,
            an_unknown_client_is_an_error_and_changes_nothing,
            every_change_raises_the_revision_and_is_recorded,
            a_change_raises_the_number_of_its_part_only,
            the_audit_log_says_who_when_what_and_where,
            the_audit_log_is_asked_by_actor_act_subject_and_time,
            the_hashing_key_stays_the_same,
            ensuring_keys_makes_two_and_then_nothing,
            a_stored_key_is_the_key_of_its_id,
            another_algorithm_retires_the_current_key,
            rotating_moves_the_next_key_up_and_drops_what_has_ended,
            keys_rotate_by_schedule_once,
            a_leaked_key_ends_at_once_and_its_place_is_filled,
            what_is_sealed_can_be_sealed_again,
            revoked_tokens_are_read_in_their_order_and_parts,
            a_token_revoked_again_is_told_again_with_the_later_end,
            a_holder_is_revoked_up_to_a_second,
            a_revocation_reaches_beyond_tokens_that_followed_the_one_before,
            disabling_a_client_ends_its_tokens_for_good,
            what_concerns_expired_tokens_only_is_purged,
        );
    };
    ($backend:ident, $open:path; $($case:ident,)*) => {
        mod $backend {
            $(
                #[tokio::test]
                async fn $case() {
                    let Some(opened) = $open().await else { return };
                    super::suite::$case(&opened.store).await;
                }
            )*
        }
    };
}

store_spec!(memory, super::in_memory);
store_spec!(file, super::sqlite_file::opened);
store_spec!(postgresql, super::on_postgres::opened);
