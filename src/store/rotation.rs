//! Which keys to make, promote, retire and remove: pure, so that every backend only carries it out.

use super::{KeyPlan, KeyState};
use crate::{
    domain::{KeyId, Timestamp},
    token::Algorithm,
};

/// What the plan needs to know of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyFacts {
    pub(super) id: KeyId,
    pub(super) algorithm: Algorithm,
    pub(super) state: KeyState,
    pub(super) current_since: Option<Timestamp>,
}

/// One change. In the order of a plan there is never more than one current and one next key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Forget the key: its life has ended, or it never signed.
    Remove(KeyId),
    /// The key signs no more and verifies until then.
    Retire(KeyId, Timestamp),
    /// The next key becomes the current one.
    Promote(KeyId),
    /// Make a key that signs at once.
    MakeCurrent,
    /// Make a key that is published ahead.
    MakeNext,
}

/// The changes after which there is a current and a next key of the plan's algorithm; none if there are.
pub(super) fn ensure(keys: &[KeyFacts], plan: KeyPlan, now: Timestamp) -> Vec<Step> {
    let signs = keys.iter().any(|key| key.state == KeyState::Current && key.algorithm == plan.algorithm);
    let mut steps = replaced(keys, |key| key.algorithm != plan.algorithm, plan, now);
    let ready = ready(keys, plan);
    if signs {
        steps.extend(ready.is_none().then_some(Step::MakeNext));
        return steps;
    }
    steps.push(ready.map_or(Step::MakeCurrent, Step::Promote));
    steps.push(Step::MakeNext);
    steps
}

/// The changes that give the next key the current one's place.
pub(super) fn rotate(keys: &[KeyFacts], plan: KeyPlan, now: Timestamp) -> Vec<Step> {
    let ended = keys.iter().filter(|key| key.state.has_ended(now));
    let mut steps: Vec<Step> = ended.map(|key| Step::Remove(key.id.clone())).collect();
    let replace = |key: &KeyFacts| key.state == KeyState::Current || key.algorithm != plan.algorithm;
    steps.extend(replaced(keys, replace, plan, now));
    steps.push(ready(keys, plan).map_or(Step::MakeCurrent, Step::Promote));
    steps.push(Step::MakeNext);
    steps
}

/// Whether the current key has signed for as long as the plan says.
pub(super) fn is_due(keys: &[KeyFacts], plan: KeyPlan, now: Timestamp) -> bool {
    let Some(every) = plan.rotate_every else { return false };
    let current = keys.iter().find(|key| key.state == KeyState::Current);
    current.and_then(|key| key.current_since).is_some_and(|since| now >= since.plus(every))
}

/// The changes that end the life of key `id` at once and fill its place; `None` if there is no such key.
pub(super) fn retire(keys: &[KeyFacts], id: &KeyId, plan: KeyPlan, now: Timestamp) -> Option<Vec<Step>> {
    let key = keys.iter().find(|key| key.id == *id)?;
    Some(match key.state {
        KeyState::Retired { until } => vec![Step::Retire(id.clone(), until.min(now))],
        KeyState::Next => vec![Step::Remove(id.clone()), Step::MakeNext],
        KeyState::Current => {
            let mut steps = vec![Step::Retire(id.clone(), now)];
            steps.extend(replaced(
                keys,
                |key| key.state == KeyState::Next && key.algorithm != plan.algorithm,
                plan,
                now,
            ));
            steps.push(ready(keys, plan).map_or(Step::MakeCurrent, Step::Promote));
            steps.push(Step::MakeNext);
            steps
        }
    })
}

/// Takes their places from the current and next keys that `replace` names. A next key has signed nothing: it goes
/// at once.
fn replaced(keys: &[KeyFacts], replace: impl Fn(&KeyFacts) -> bool, plan: KeyPlan, now: Timestamp) -> Vec<Step> {
    let step = |key: &KeyFacts| match key.state {
        KeyState::Current => Some(Step::Retire(key.id.clone(), now.plus(plan.retire_for))),
        KeyState::Next => Some(Step::Remove(key.id.clone())),
        KeyState::Retired { .. } => None,
    };
    keys.iter().filter(|key| replace(key)).filter_map(step).collect()
}

/// The next key, if it is of the plan's algorithm.
fn ready(keys: &[KeyFacts], plan: KeyPlan) -> Option<KeyId> {
    let fits = |key: &&KeyFacts| key.state == KeyState::Next && key.algorithm == plan.algorithm;
    keys.iter().find(fits).map(|key| key.id.clone())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);
    const PLAN: KeyPlan = KeyPlan { algorithm: Algorithm::Es256, retire_for: 60, rotate_every: Some(100) };
    const UNTIL: Timestamp = Timestamp::from_seconds(1_060);

    fn id(name: &str) -> KeyId {
        KeyId::new(name)
    }

    fn key(name: &str, algorithm: Algorithm, state: KeyState) -> KeyFacts {
        KeyFacts { id: id(name), algorithm, state, current_since: None }
    }

    #[test]
    fn a_rotation_is_due_once_the_current_key_has_signed_long_enough() {
        let since = |state, since| KeyFacts { current_since: since, ..key("a", Algorithm::Es256, state) };
        let never = KeyPlan { rotate_every: None, ..PLAN };
        for (keys, plan, passed, expected) in [
            (vec![since(KeyState::Current, Some(NOW))], PLAN, 99, false),
            (vec![since(KeyState::Current, Some(NOW))], PLAN, 100, true),
            (vec![since(KeyState::Current, Some(NOW))], never, 1_000_000, false),
            (vec![since(KeyState::Retired { until: UNTIL }, Some(NOW))], PLAN, 100, false),
            (vec![], PLAN, 100, false),
        ] {
            assert_eq!(is_due(&keys, plan, NOW.plus(passed)), expected, "{keys:?} after {passed}");
        }
    }

    #[test]
    fn retiring_ends_a_key_at_once_and_fills_its_place() {
        let other_next = key("n", Algorithm::EdDsa, KeyState::Next);
        let keys = [
            key("r", Algorithm::Es256, KeyState::Retired { until: UNTIL }),
            key("c", Algorithm::Es256, KeyState::Current),
            key("n", Algorithm::Es256, KeyState::Next),
        ];
        for (name, expected) in [
            ("r", Some(vec![Step::Retire(id("r"), NOW)])),
            ("n", Some(vec![Step::Remove(id("n")), Step::MakeNext])),
            ("c", Some(vec![Step::Retire(id("c"), NOW), Step::Promote(id("n")), Step::MakeNext])),
            ("x", None),
        ] {
            assert_eq!(retire(&keys, &id(name), PLAN, NOW), expected, "{name}");
        }
        let keys = [key("c", Algorithm::Es256, KeyState::Current), other_next];
        let expected = vec![Step::Retire(id("c"), NOW), Step::Remove(id("n")), Step::MakeCurrent, Step::MakeNext];
        assert_eq!(retire(&keys, &id("c"), PLAN, NOW), Some(expected));
    }

    #[test]
    fn ensuring_fills_the_empty_places_and_leaves_the_filled_ones() {
        use KeyState::{Current, Next};
        let own = |name, state| key(name, Algorithm::Es256, state);
        let other = |name, state| key(name, Algorithm::EdDsa, state);
        for (keys, expected) in [
            (vec![], vec![Step::MakeCurrent, Step::MakeNext]),
            (vec![own("a", Current), own("b", Next)], vec![]),
            (vec![own("a", Current)], vec![Step::MakeNext]),
            (vec![own("b", Next)], vec![Step::Promote(id("b")), Step::MakeNext]),
            (vec![own("a", Current), other("b", Next)], vec![Step::Remove(id("b")), Step::MakeNext]),
            (
                vec![other("a", Current), other("b", Next)],
                vec![Step::Retire(id("a"), UNTIL), Step::Remove(id("b")), Step::MakeCurrent, Step::MakeNext],
            ),
            (
                vec![other("a", Current), own("b", Next)],
                vec![Step::Retire(id("a"), UNTIL), Step::Promote(id("b")), Step::MakeNext],
            ),
        ] {
            assert_eq!(ensure(&keys, PLAN, NOW), expected, "{keys:?}");
        }
    }

    #[test]
    fn rotating_retires_promotes_makes_and_forgets_what_has_ended() {
        let retired = |until| KeyState::Retired { until: Timestamp::from_seconds(until) };
        let keys = [
            key("old", Algorithm::Es256, retired(1_000)),
            key("older", Algorithm::EdDsa, retired(999)),
            key("recent", Algorithm::EdDsa, retired(1_001)),
            key("current", Algorithm::Es256, KeyState::Current),
            key("next", Algorithm::Es256, KeyState::Next),
        ];
        let expected = [
            Step::Remove(id("old")),
            Step::Remove(id("older")),
            Step::Retire(id("current"), UNTIL),
            Step::Promote(id("next")),
            Step::MakeNext,
        ];
        assert_eq!(rotate(&keys, PLAN, NOW), expected);
    }

    /// Carries out a plan on a list, as a backend would; no step may break the rule of one current and one next.
    fn apply(keys: &mut Vec<KeyFacts>, steps: Vec<Step>, plan: KeyPlan, made: &mut usize) {
        for step in steps {
            match step {
                Step::Remove(id) => keys.retain(|key| key.id != id),
                Step::Retire(id, until) => set(keys, &id, KeyState::Retired { until }),
                Step::Promote(id) => set(keys, &id, KeyState::Current),
                Step::MakeCurrent => keys.push(key(&format!("k{made}"), plan.algorithm, KeyState::Current)),
                Step::MakeNext => keys.push(key(&format!("k{made}"), plan.algorithm, KeyState::Next)),
            }
            *made += 1;
            for state in [KeyState::Current, KeyState::Next] {
                assert!(keys.iter().filter(|key| key.state == state).count() <= 1);
            }
        }
    }

    fn set(keys: &mut [KeyFacts], id: &KeyId, state: KeyState) {
        keys.iter_mut().find(|key| key.id == *id).unwrap().state = state;
    }

    #[derive(Clone, Copy, Debug)]
    enum Call {
        Ensure,
        Rotate,
    }

    proptest! {
        #[test]
        fn any_history_leaves_one_key_to_sign_and_drops_none_that_signed_too_early(
            history in prop::collection::vec(
                (prop_oneof![Just(Call::Ensure), Just(Call::Rotate)], 0..4_usize, 0..50_u64), 1..40)
        ) {
            let (mut keys, mut made, mut now) = (Vec::new(), 0, NOW);
            // For each key that signed: the end of the last token that it may have signed.
            let mut owed: Vec<(KeyId, Timestamp)> = Vec::new();
            for (call, algorithm, passed) in history {
                now = now.plus(passed);
                let plan = KeyPlan { algorithm: Algorithm::ALL[algorithm], ..PLAN };
                let signing = keys.iter().find(|key: &&KeyFacts| key.state == KeyState::Current);
                owed.extend(signing.map(|key| (key.id.clone(), now.plus(PLAN.retire_for))));
                let steps = match call {
                    Call::Ensure => ensure(&keys, plan, now),
                    Call::Rotate => rotate(&keys, plan, now),
                };
                apply(&mut keys, steps, plan, &mut made);
                prop_assert!(ensure(&keys, plan, now).is_empty());
                for (id, until) in owed.iter().filter(|(_, until)| *until > now) {
                    let kept = keys.iter().find(|key| key.id == *id);
                    prop_assert!(kept.is_some_and(|key| !key.state.has_ended(now)), "{id} owed until {until}");
                }
            }
        }
    }
}
