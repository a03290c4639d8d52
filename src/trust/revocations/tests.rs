use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

fn id(number: u32) -> TokenId {
    TokenId::parse(&format!("token-{number}")).unwrap()
}

fn revoked(numbers: impl IntoIterator<Item = u32>, until: Timestamp) -> Vec<(TokenId, Timestamp)> {
    numbers.into_iter().map(|number| (id(number), until)).collect()
}

/// How many entries are in the base and in the recent table.
fn sizes(revocations: &Revocations) -> (usize, usize) {
    let tables = revocations.tables.load();
    (tables.base.entries.len(), tables.recent.entries.len())
}

#[test]
fn every_revoked_token_is_found_and_no_other_at_any_size() {
    for size in [0, 1, 2, 7, 8, 9, 15, 16, 17, 1024, 1025, 20_000] {
        let revocations = Revocations::default();
        revocations.add(revoked(0..size, NOW.plus(1)), NOW);
        assert!((0..size).all(|number| revocations.contains(&id(number))), "{size}");
        assert!((size..size + 1000).all(|number| !revocations.contains(&id(number))), "{size}");
        assert_eq!(revocations.len(), size as usize);
    }
}

#[test]
fn a_new_revocation_does_not_touch_the_large_table_until_it_has_outgrown_its_share() {
    let revocations = Revocations::default();
    let until = NOW.plus(60);
    revocations.add(revoked(0..32_000, until), NOW);
    assert_eq!(sizes(&revocations), (32_000, 0));
    let base = Arc::clone(&revocations.tables.load().base);
    for number in 32_000..34_000 {
        revocations.add(revoked([number], until), NOW);
    }
    assert_eq!(sizes(&revocations), (32_000, 2000));
    assert!(Arc::ptr_eq(&base, &revocations.tables.load().base));
    revocations.add(revoked([34_000], until), NOW);
    assert_eq!(sizes(&revocations), (34_001, 0));
    assert!((0..=34_000).all(|number| revocations.contains(&id(number))));
}

#[test]
fn what_is_known_already_or_has_ended_changes_nothing() {
    for size in [10, 5000] {
        let revocations = Revocations::default();
        revocations.add(revoked(0..size, NOW.plus(60)), NOW);
        let before = Arc::clone(&revocations.tables.load());
        revocations.add(revoked(0..size, NOW.plus(60)), NOW);
        revocations.add(revoked(0..size, NOW.plus(59)), NOW);
        revocations.add(revoked([size], NOW), NOW);
        revocations.add([], NOW);
        revocations.forget_ended(NOW.plus(59));
        assert!(Arc::ptr_eq(&before, &revocations.tables.load()), "{size}");
    }
}

#[test]
fn a_token_revoked_twice_is_kept_for_the_longer_time() {
    for size in [1, 5000] {
        for ends in [[5, 9], [9, 5]] {
            let revocations = Revocations::default();
            for end in ends {
                revocations.add(revoked(0..size, NOW.plus(end)), NOW);
            }
            revocations.forget_ended(NOW.plus(8));
            assert!(revocations.contains(&id(0)), "{size} {ends:?}");
            assert_eq!(revocations.len(), size as usize, "{size} {ends:?}");
            revocations.forget_ended(NOW.plus(9));
            assert_eq!(revocations.len(), 0, "{size} {ends:?}");
        }
    }
    let revocations = Revocations::default();
    revocations.add([(id(0), NOW.plus(5)), (id(0), NOW.plus(9)), (id(0), NOW.plus(7))], NOW);
    revocations.forget_ended(NOW.plus(8));
    assert_eq!((revocations.contains(&id(0)), revocations.len()), (true, 1));
}

#[test]
fn an_end_that_does_not_fit_is_never_reached() {
    let last = Timestamp::from_seconds(u64::from(u32::MAX));
    for (until, now, kept) in [
        (last.minus(1), last.minus(2), 1),
        (last.minus(1), last.minus(1), 0),
        (last, last.plus(1), 1),
        (last.plus(1), last, 1),
        (Timestamp::from_seconds(u64::MAX), Timestamp::from_seconds(u64::MAX), 1),
    ] {
        let revocations = Revocations::default();
        revocations.add(revoked([0], until), NOW);
        revocations.forget_ended(now);
        assert_eq!(revocations.len(), kept, "{until} {now}");
    }
}

#[test]
fn nothing_is_lost_among_several_writers_and_readers_see_what_they_wrote() {
    let revocations = Revocations::default();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let revocations = &revocations;
            scope.spawn(move || {
                for number in (writer * 10_000..).take(500) {
                    revocations.add(revoked([number], NOW.plus(60)), NOW);
                    assert!(revocations.contains(&id(number)));
                }
            });
        }
    });
    assert_eq!(revocations.len(), 2000);
    assert!((0..4).all(|writer| (writer * 10_000..).take(500).all(|number| revocations.contains(&id(number)))));
}

#[derive(Clone, Debug)]
enum Step {
    Revoke { first: u32, count: u32, lasting: u64 },
    Wait(u64),
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    let few = (0..6000_u32, 1..20_u32, 0..100_u64);
    let many = (0..6000_u32, 1..1500_u32, 0..100_u64);
    let revoke = |(first, count, lasting)| Step::Revoke { first, count, lasting };
    prop_oneof![
        4 => few.prop_map(revoke),
        2 => many.prop_map(revoke),
        2 => (0..60_u64).prop_map(Step::Wait),
        1 => Just(Step::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// The model is a plain map. Between two moments of forgetting, an ended token may be found or not.
    #[test]
    fn it_answers_as_a_plain_map_does(steps in prop::collection::vec(step(), 1..24)) {
        let revocations = Revocations::default();
        let mut model = HashMap::<u32, Timestamp>::new();
        let mut now = NOW;
        for step in steps {
            match step {
                Step::Revoke { first, count, lasting } => {
                    let until = now.plus(lasting);
                    revocations.add(revoked(first..first + count, until), now);
                    for number in first..first + count {
                        model.entry(number).and_modify(|known| *known = until.max(*known)).or_insert(until);
                    }
                }
                Step::Wait(seconds) => now = now.plus(seconds),
                Step::Forget => {
                    revocations.forget_ended(now);
                    model.retain(|_, until| now < *until);
                }
            }
            for number in (0..8000).step_by(13) {
                let found = revocations.contains(&id(number));
                match model.get(&number) {
                    None => prop_assert!(!found, "{} was never revoked", number),
                    Some(until) => prop_assert!(found || *until <= now, "{} is forgotten", number),
                }
            }
        }
        revocations.forget_ended(now);
        model.retain(|_, until| now < *until);
        let found = (0..8000).filter(|number| revocations.contains(&id(*number))).count();
        prop_assert_eq!(found, model.len());
        // Those that were revoked again for longer may stand in both tables.
        prop_assert!(revocations.len() >= model.len());
    }
}
