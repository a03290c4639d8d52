//! Revoked tokens and holders.

use scopegate::{
    domain::TokenId,
    store::{Holder, RevocationNumber, RevokedHolder},
};

use super::*;

async fn revoke(store: &Store, id: &str, until: u64) {
    let id = TokenId::parse(id).unwrap();
    store.revoke_token(&id, NOW.plus(until), NOW, &actor()).await.unwrap();
}

/// The next revoked tokens after `after`, at most `most`, and the number of the last one.
async fn next(store: &Store, after: &mut RevocationNumber, now: Timestamp, most: u32) -> Vec<(String, u64)> {
    let tokens = store.revoked_tokens(*after, now, most).await.unwrap();
    *after = tokens.last().map_or(*after, |last| last.number);
    tokens.into_iter().map(|token| (token.id.to_string(), token.until.since(NOW))).collect()
}

fn pairs(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    expected.iter().map(|(id, until)| ((*id).to_owned(), *until)).collect()
}

pub async fn revoked_tokens_are_read_in_their_order_and_parts(store: &Store) {
    for (id, until) in [("b", 10), ("a", 30), ("c", 20)] {
        revoke(store, id, until).await;
    }
    let mut seen = RevocationNumber::default();
    assert_eq!(next(store, &mut seen, NOW, 2).await, pairs(&[("b", 10), ("a", 30)]));
    assert_eq!(next(store, &mut seen, NOW, 2).await, pairs(&[("c", 20)]));
    assert_eq!(next(store, &mut seen, NOW, 2).await, pairs(&[]));
    let mut fresh = RevocationNumber::default();
    assert_eq!(next(store, &mut fresh, NOW.plus(10), 9).await, pairs(&[("a", 30), ("c", 20)]), "b has expired");
    let recorded = acts(store).await.into_iter().take(3).collect::<Vec<_>>();
    assert_eq!(recorded, ["c", "a", "b"].map(|id| (Act::TokenRevoked, id.to_owned())));
}

pub async fn a_token_revoked_again_is_told_again_with_the_later_end(store: &Store) {
    let mut seen = RevocationNumber::default();
    for (until, told) in [(10, 10), (30, 30), (20, 30)] {
        revoke(store, "a", until).await;
        assert_eq!(next(store, &mut seen, NOW, 9).await, pairs(&[("a", told)]));
    }
    assert_eq!(next(store, &mut RevocationNumber::default(), NOW, 9).await, pairs(&[("a", 30)]));
}

pub async fn a_holder_is_revoked_up_to_a_second(store: &Store) {
    let client = added(store, "client").await;
    let holders = [Holder::Client(client.id.clone()), Holder::Customer(client.customer.clone())];
    for (holder, act) in holders.iter().zip([Act::ClientTokensRevoked, Act::CustomerTokensRevoked]) {
        let before = store.revision().await.unwrap();
        store.revoke_holder(holder, NOW, &actor()).await.unwrap();
        store.revoke_holder(holder, NOW.plus(5), &actor()).await.unwrap();
        let snapshot = store.snapshot(NOW.plus(6)).await.unwrap();
        assert!(snapshot.revision.clients > before.clients);
        assert!(snapshot.revoked.iter().any(|one| one.holder == *holder && one.up_to >= NOW.plus(6)));
        assert_eq!(acts(store).await[0], (act, holder.id().to_owned()));
    }
}

pub async fn a_revocation_reaches_beyond_tokens_that_followed_the_one_before(store: &Store) {
    let (client, stranger) = (added(store, "client").await, Client { customer: other(), ..a_client("stranger") });
    store.add_client(&stranger, &a_secret(1, None), &actor()).await.unwrap();
    let (of_client, of_customer) = (Holder::Client(client.id.clone()), Holder::Customer(client.customer.clone()));
    // A token that follows a revocation is dated one second after it, in the same second or not.
    for (holder, passed, up_to) in [
        (&of_client, 0, 1),
        (&of_client, 0, 2),
        (&of_customer, 0, 3),
        (&of_client, 0, 4),
        (&Holder::Client(stranger.id.clone()), 0, 1),
        (&of_client, 1, 5),
        (&of_customer, 60, 61),
    ] {
        store.revoke_holder(holder, NOW.plus(passed), &actor()).await.unwrap();
        let expected = RevokedHolder { holder: holder.clone(), up_to: NOW.plus(up_to) };
        let revoked = store.snapshot(NOW).await.unwrap().revoked;
        assert!(revoked.contains(&expected), "{expected:?}: {revoked:?}");
    }
}

fn other() -> CustomerId {
    CustomerId::parse("bits:customer::00000000-0000-4000-8000-000000000000").unwrap()
}

pub async fn disabling_a_client_ends_its_tokens_for_good(store: &Store) {
    let client = added(store, "client").await;
    store.set_client_state(&client.id, ClientState::Disabled, NOW, &actor()).await.unwrap();
    store.set_client_state(&client.id, ClientState::Enabled, NOW.plus(1), &actor()).await.unwrap();
    let expected = RevokedHolder { holder: Holder::Client(client.id.clone()), up_to: NOW.plus(1) };
    assert_eq!(store.snapshot(NOW.plus(1)).await.unwrap().revoked, [expected]);
}

pub async fn what_concerns_expired_tokens_only_is_purged(store: &Store) {
    let client = added(store, "client").await;
    let longest_life = 30 * 86_400 + 300 + 60;
    store.revoke_holder(&Holder::Client(client.id.clone()), NOW, &actor()).await.unwrap();
    revoke(store, "a", 10).await;
    revoke(store, "b", 11).await;
    let before = store.revision().await.unwrap();
    assert!(!store.purge(NOW.plus(10)).await.unwrap(), "nothing is left to delete");
    // Asked as of an earlier moment, the store tells what it still has.
    assert_eq!(next(store, &mut RevocationNumber::default(), NOW, 9).await, pairs(&[("b", 11)]));
    assert_eq!(store.revision().await.unwrap(), before, "nobody need read anything for that");
    for (passed, holders) in [(longest_life - 1, 1), (longest_life, 0)] {
        store.purge(NOW.plus(passed)).await.unwrap();
        assert_eq!(store.snapshot(NOW).await.unwrap().revoked.len(), holders, "after {passed} s");
    }
}
