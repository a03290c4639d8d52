use std::{
    fs,
    sync::atomic::Ordering,
    task::{Context, Poll, Waker},
    thread,
};

use super::*;
use crate::issuer::slow_checks::{MAX_WAITING, THREAD};

#[tokio::test]
async fn each_secret_of_a_client_counts_until_its_very_end() {
    for make in [keyed, |secret: &str| imported(secret, 64)] {
        let end = NOW.plus(10);
        let ending = Secret { expires_at: Some(end), ..make("ending") };
        let world = World::new(vec![("c", client("k", vec![make("lasting"), ending]))]);
        for (secret, now, expected) in [
            ("lasting", NOW, 200),
            ("ending", NOW, 200),
            ("ending", end.minus(1), 200),
            ("ending", end, 401),
            ("ending", end.plus(1), 401),
            ("lasting", end.plus(1), 200),
        ] {
            let reply = world.token("c", secret, GRANT, now).await;
            assert_eq!(status(&reply), expected, "{secret} {now}");
        }
    }
}

#[tokio::test]
async fn a_client_may_have_a_keyed_and_an_imported_secret() {
    let world = World::new(vec![("c", client("k", vec![keyed("made"), imported("chosen", 64)]))]);
    for (secret, expected) in
        [("made", 200), ("chosen", 200), ("chosen", 200), ("made", 200), ("wrong", 401), ("", 401)]
    {
        assert_eq!(status(&world.token("c", secret, GRANT, NOW).await), expected, "{secret}");
    }
}

#[tokio::test]
async fn imported_secrets_are_read_encoded_and_raw() {
    let world = World::new(vec![
        ("raw", client("k", vec![imported("a+b%", 64)])),
        ("encoded", client("k", vec![imported("a b", 64)])),
    ]);
    for (id, secret, expected) in [
        ("raw", "a+b%", 200),
        ("raw", "a%2Bb%25", 200),
        ("raw", "a+b%25", 401),
        ("encoded", "a+b", 200),
        ("encoded", "a%20b", 200),
        ("encoded", "a%2Bb", 401),
    ] {
        assert_eq!(status(&world.token(id, secret, GRANT, NOW).await), expected, "{id} {secret}");
    }
}

#[tokio::test]
async fn nobody_can_tell_which_clients_there_are() {
    let world =
        World::new(vec![("keyed", client("k", vec![keyed("a")])), ("imported", client("k", vec![imported("a", 64)]))]);
    let mut replies = Vec::new();
    for id in ["keyed", "imported", "nobody", "no id"] {
        let reply = world.token(id, "wrong", GRANT, NOW).await;
        assert_eq!((status(&reply), reply.result), (401, Some(TokenResult::InvalidClient)), "{id}");
        replies.push(format!("{:?}", reply.response));
    }
    assert!(replies.iter().all(|reply| *reply == replies[0]), "{replies:#?}");
}

#[tokio::test]
async fn wrong_imported_secrets_count_as_failures_and_good_ones_do_not() {
    let world = World::new(vec![("c", client("k", vec![imported("a", 64)]))]);
    let mut statuses = Vec::new();
    for secret in ["a", "x", "x", "a", "x", "x", "a"] {
        statuses.push(status(&world.token("c", secret, GRANT, NOW).await));
    }
    assert_eq!(statuses, [200, 401, 401, 200, 401, 429, 429]);
}

#[tokio::test]
async fn a_use_is_noted_on_the_secret_that_was_shown() {
    let secrets = vec![keyed("one"), keyed("two"), imported("three", 64)];
    let uses: Vec<_> = secrets.iter().map(|secret| Arc::clone(&secret.last_used)).collect();
    let world = World::new(vec![("c", client("k", secrets))]);
    let noted = || uses.iter().map(|moment| moment.load(Ordering::Relaxed)).collect::<Vec<_>>();
    let now = NOW.seconds();
    for (secret, at, expected) in [
        ("wrong", NOW, [0, 0, 0]),
        ("two", NOW, [0, now, 0]),
        ("three", NOW.plus(1), [0, now, now + 1]),
        ("three", NOW.plus(2), [0, now, now + 2]),
        // The clock of one request may lie behind that of another.
        ("two", NOW.minus(5), [0, now, now + 2]),
    ] {
        world.token("c", secret, GRANT, at).await;
        assert_eq!(noted(), expected, "{secret}");
    }
}

#[tokio::test]
async fn a_proven_secret_is_remembered_for_as_long_as_it_stays() {
    let secret = imported("a", 64);
    let proven = Arc::clone(&secret.proven);
    let world = World::new(vec![("c", client("k", vec![secret]))]);
    world.token("c", "b", GRANT, NOW).await;
    assert!(!proven.is(&keyed_hash("a")) && !proven.is(&keyed_hash("b")));
    world.token("c", "a", GRANT, NOW).await;
    assert!(proven.is(&keyed_hash("a")) && !proven.is(&keyed_hash("b")));

    let state = world.issuer.state.load_full();
    let earlier = &state.directory.clients[&ClientId::parse("c").unwrap()].secrets[0];
    for (secret, remembered) in [(imported("a", 64), true), (imported("b", 64), false), (keyed("b"), false)] {
        let later = secret.continuing(earlier);
        assert_eq!(later.proven.is(&keyed_hash("a")), remembered, "{later:?}");
        assert_eq!(later.last_used.load(Ordering::Relaxed), NOW.seconds());
    }
    let newer = Secret::new(SecretVerifier::Argon2id(argon2id("a", 64)), None, Some(NOW.plus(9)));
    assert_eq!(newer.continuing(earlier).last_used.load(Ordering::Relaxed), NOW.plus(9).seconds());
    assert!(!format!("{earlier:?}").contains("argon2id$"), "{earlier:?}");
}

#[tokio::test]
async fn a_secret_that_is_taken_away_while_its_check_waits_does_not_count() {
    // Long enough that no busy machine is done with the check before the secret is taken away.
    const MEMORY: u32 = 16 * 1024;
    for (left, expected) in [(vec![imported("a", MEMORY)], 200), (vec![imported("b", 64)], 401), (vec![], 401)] {
        let world = Arc::new(World::new(vec![("c", client("k", vec![imported("a", MEMORY)]))]));
        let asked = tokio::spawn({
            let world = Arc::clone(&world);
            async move { status(&world.token("c", "a", GRANT, NOW).await) }
        });
        // The request runs up to its wait for the check; it goes on when this task waits again.
        tokio::task::yield_now().await;
        world.issuer.replace(directory(vec![("c", client("k", left))]));
        assert_eq!(asked.await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_flood_of_guesses_is_bounded_and_holds_up_nobody_else() {
    let world = World::new(vec![
        ("imported", client("k", vec![imported("a", 8 * 1024)])),
        ("keyed", client("k", vec![keyed("a")])),
    ]);
    let mut waiting = Vec::new();
    let turned_away = (0..1000).find_map(|number| {
        let world = &world;
        let mut guess = Box::pin(async move { world.token(&format!("guess{number}"), "wrong", GRANT, NOW).await });
        // Polled by hand, so that each guess is as far as it gets before the next one comes.
        match guess.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reply) => Some(reply),
            Poll::Pending => {
                waiting.push(guess);
                None
            }
        }
    });
    // Those that wait, and the few that were checked meanwhile.
    assert!((MAX_WAITING..MAX_WAITING * 2).contains(&waiting.len()), "{} wait", waiting.len());
    let turned_away = turned_away.expect("the queue ends somewhere");
    assert_eq!((status(&turned_away), turned_away.result), (503, Some(TokenResult::Unavailable)));
    assert_eq!(turned_away.response.headers()[header::RETRY_AFTER], "1");
    assert_eq!(turned_away.response.headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(json(&turned_away)["error"], "temporarily_unavailable");

    assert_eq!(status(&world.token("keyed", "a", GRANT, NOW).await), 200);
    for guess in waiting {
        assert_eq!(status(&guess.await), 401);
    }
    assert_eq!(status(&world.token("imported", "a", GRANT, NOW).await), 200);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn imported_secrets_are_checked_at_the_lowest_priority_and_requests_served_at_the_usual_one() {
    let world = World::new(vec![("c", client("k", vec![imported("a", 64)]))]);
    // A check that was made says that its thread had set its priority before.
    assert_eq!(status(&world.token("c", "a", GRANT, NOW).await), 200);
    let own = fs::read_to_string("/proc/thread-self/stat").unwrap();
    let own = niceness(&own);
    let lowest = || {
        let threads = fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap().path());
        let checking =
            threads.filter(|thread| fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.trim() == THREAD));
        let stats = checking.filter_map(|thread| fs::read_to_string(thread.join("stat")).ok());
        stats.map(|stat| niceness(&stat)).collect::<Vec<_>>()
    };
    // Threads beside the one that made the check may still be starting.
    let set = (0..500).any(|_| {
        thread::sleep(Duration::from_millis(10));
        lowest().iter().all(|nice| *nice == 19)
    });
    assert!(set && !lowest().is_empty(), "{:?}", lowest());
    assert!(own < 19, "{own}");
}

/// Field 19 of `/proc/…/stat`; what stands before the last parenthesis is the name, which may hold spaces.
fn niceness(stat: &str) -> i32 {
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().nth(16).unwrap().parse().unwrap()
}
