//! Signing keys, and what is sealed.

use scopegate::{domain::KeyId, store::Rotation, token::SigningKey};

use super::*;

pub async fn ensuring_keys_makes_two_and_then_nothing(store: &Store) {
    store.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
    let (keys, revision) = (store.keys().await.unwrap(), store.revision().await.unwrap());
    assert_eq!(states(&keys), [KeyState::Next, KeyState::Current]);
    assert_eq!((keys[0].current_since, keys[1].current_since), (None, Some(NOW)));
    store.ensure_keys(PLAN, NOW.plus(9), &actor()).await.unwrap();
    assert_eq!(store.revision().await.unwrap(), revision);
    assert_eq!(key_in(&store.keys().await.unwrap(), KeyState::Current).id, keys[1].id);
}

pub async fn a_stored_key_is_the_key_of_its_id(store: &Store) {
    for algorithm in Algorithm::ALL {
        store.ensure_keys(KeyPlan { algorithm, ..PLAN }, NOW, &actor()).await.unwrap();
    }
    for key in store.keys().await.unwrap() {
        assert_eq!(*SigningKey::new(&key.private).unwrap().id(), key.id);
        assert_eq!(key.created_at, NOW);
    }
}

pub async fn another_algorithm_retires_the_current_key(store: &Store) {
    store.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
    store.ensure_keys(KeyPlan { algorithm: Algorithm::EdDsa, ..PLAN }, NOW, &actor()).await.unwrap();
    let keys = store.keys().await.unwrap();
    let until = NOW.plus(PLAN.retire_for);
    assert_eq!(states(&keys), [KeyState::Next, KeyState::Current, KeyState::Retired { until }]);
    assert_eq!(key_in(&keys, KeyState::Current).private.algorithm(), Algorithm::EdDsa);
}

pub async fn rotating_moves_the_next_key_up_and_drops_what_has_ended(store: &Store) {
    store.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
    let first = store.keys().await.unwrap();
    store.rotate_keys(PLAN, NOW.plus(1), &actor()).await.unwrap();
    let second = store.keys().await.unwrap();
    let end = NOW.plus(1 + PLAN.retire_for);
    let current = key_in(&second, KeyState::Current);
    assert_eq!((&current.id, current.current_since), (&key_in(&first, KeyState::Next).id, Some(NOW.plus(1))));
    assert_eq!(key_in(&second, KeyState::Retired { until: end }).id, key_in(&first, KeyState::Current).id);

    assert_eq!(store.snapshot(end.minus(1)).await.unwrap().keys.len(), 3);
    assert_eq!(store.snapshot(end).await.unwrap().keys.len(), 2, "a key whose life has ended is left out");
    store.rotate_keys(PLAN, end, &actor()).await.unwrap();
    let third = store.keys().await.unwrap();
    assert_eq!(third.len(), 3, "and removed by the next rotation");
    assert!(third.iter().all(|key| key.id != key_in(&first, KeyState::Current).id));
}

pub async fn keys_rotate_by_schedule_once(store: &Store) {
    let every = PLAN.rotate_every.unwrap();
    let never = KeyPlan { rotate_every: None, ..PLAN };
    store.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
    for (plan, passed, expected) in [
        (PLAN, every - 1, Rotation::NotDue),
        (never, every, Rotation::NotDue),
        (PLAN, every, Rotation::Done),
        (PLAN, every, Rotation::NotDue),
        (PLAN, 2 * every, Rotation::Done),
    ] {
        let before = key_in(&store.keys().await.unwrap(), KeyState::Current).id.clone();
        assert_eq!(store.rotate_keys_if_due(plan, NOW.plus(passed), &actor()).await.unwrap(), expected, "{passed}");
        let rotated = key_in(&store.keys().await.unwrap(), KeyState::Current).id != before;
        assert_eq!(rotated, expected == Rotation::Done, "{passed}");
    }
}

pub async fn a_leaked_key_ends_at_once_and_its_place_is_filled(store: &Store) {
    store.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
    store.rotate_keys(PLAN, NOW, &actor()).await.unwrap();
    for place in 0..3 {
        let leaked = store.keys().await.unwrap()[place].id.clone();
        store.retire_key(&leaked, PLAN, NOW, &actor()).await.unwrap();
        let keys = store.snapshot(NOW).await.unwrap().keys;
        assert!(keys.iter().all(|key| key.id != leaked), "no token that it signed is accepted");
        assert!(keys.iter().any(|key| key.state == KeyState::Current));
        assert!(keys.iter().any(|key| key.state == KeyState::Next));
    }
    let nobody = KeyId::new("nobody");
    let refused = store.retire_key(&nobody, PLAN, NOW, &actor()).await.unwrap_err();
    assert!(matches!(refused, StoreError::NoSuchKey(id) if id == nobody));
}

pub async fn what_is_sealed_can_be_sealed_again(store: &Store) {
    store.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
    let (keys, hashing_key) = (store.keys().await.unwrap(), store.hashing_key().await.unwrap());
    store.reseal(NOW, &actor()).await.unwrap();
    let again = store.keys().await.unwrap();
    assert_eq!(again[0].private.pkcs8(), keys[0].private.pkcs8());
    assert_eq!(store.hashing_key().await.unwrap().as_bytes(), hashing_key.as_bytes());
    assert_eq!(acts(store).await[0], (Act::StoreResealed, String::new()));
}
