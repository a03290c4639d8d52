use std::{
    fs,
    sync::atomic::Ordering,
    task::{Context, Poll, Waker},
    thread,
};

use super::*;
use crate::issuer::slow_checks::{MAX_OF_ONE, MAX_WAITING, THREAD};

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

/// Where the guess of this number comes from, and the client that it names.
type Who = fn(u8) -> (IpAddr, String);

/// A wrong secret that waits to be judged.
type Waiting<'w> = std::pin::Pin<Box<dyn Future<Output = Reply> + 'w>>;

/// Sends wrong secrets until one is turned away, each as far as it gets before the next one comes: those that wait, and
/// the reply to the one that may not.
fn flood<'w>(world: &'w World, who: impl Fn(u8) -> (IpAddr, String)) -> (Vec<Waiting<'w>>, Reply) {
    let mut waiting: Vec<Waiting<'w>> = Vec::new();
    for number in 0..=u8::MAX {
        let (address, id) = who(number);
        let mut guess: Waiting<'w> = Box::pin(async move { world.token_from(address, &id, "wrong").await });
        match guess.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reply) => return (waiting, reply),
            Poll::Pending => waiting.push(guess),
        }
    }
    panic!("the queue ends somewhere");
}

fn host(number: u8) -> IpAddr {
    [192, 0, 2, number].into()
}

/// A world whose checks take a while.
fn slow_world() -> World {
    World::new(vec![("imported", client("k", vec![imported("a", 8 * 1024)])), ("keyed", client("k", vec![keyed("a")]))])
}

#[tokio::test]
async fn a_flood_of_guesses_is_bounded_and_holds_up_nobody_else() {
    let world = slow_world();
    let (waiting, turned_away) = flood(&world, |number| (host(number), format!("guess{number}")));
    // Those that wait, and the few that were checked meanwhile.
    assert!((MAX_WAITING..MAX_WAITING * 2).contains(&waiting.len()), "{} wait", waiting.len());
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

#[tokio::test]
async fn one_address_or_client_has_a_share_of_the_checks_and_is_told_at_once_when_it_is_used_up() {
    let who: [(&str, Who); 2] = [
        ("one address, many clients", |number| (HERE, format!("guess{number}"))),
        ("one client, many addresses", |number| (host(number), "imported".to_owned())),
    ];
    for (name, who) in who {
        let world = slow_world();
        let (waiting, turned_away) = flood(&world, who);
        assert!((MAX_OF_ONE..MAX_OF_ONE * 2).contains(&waiting.len()), "{name}: {} wait", waiting.len());
        assert_eq!((status(&turned_away), turned_away.limit), (429, Some(TokenLimit::Checks)), "{name}");
        assert_eq!(turned_away.response.headers()[header::RETRY_AFTER], "1", "{name}");
    }
}

#[tokio::test]
async fn a_good_secret_is_judged_next_however_many_wrong_ones_of_others_wait() {
    let clients = vec![
        ("victim", client("k", vec![imported("a", 8 * 1024)])),
        ("other", client("k", vec![imported("b", 8 * 1024)])),
    ];
    let world = World::new(clients);
    let (mut waiting, _) = flood(&world, |number| (host(number / 4), format!("guess{number}")));
    assert_eq!(status(&world.token_from(HERE, "other", "b").await), 200);
    let mut judged = 0;
    for guess in &mut waiting {
        judged += usize::from(guess.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
    // One guess of each address was ahead of it, and one lost its place to it.
    let addresses = MAX_WAITING / 4 + 2;
    assert!(judged <= addresses + 4, "{judged} of {} came first", waiting.len());
}

#[tokio::test]
async fn of_a_burst_of_guesses_no_more_are_judged_than_may_fail() {
    let world = World::new(vec![("c", client("k", vec![imported("a", 8 * 1024)]))]);
    let (waiting, turned_away) = flood(&world, |_| (HERE, "c".to_owned()));
    assert_eq!((waiting.len(), status(&turned_away), turned_away.limit), (3, 429, Some(TokenLimit::Failures)));
    // The right one counts no more than they do.
    assert_eq!(status(&world.token("c", "a", GRANT, NOW).await), 429);
    for guess in waiting {
        assert_eq!(status(&guess.await), 401);
    }
    assert_eq!(status(&world.token("c", "a", GRANT, NOW).await), 429, "they have failed");
}

#[tokio::test]
async fn what_was_not_judged_is_no_failure() {
    // Long enough that none is done with before the last one has come.
    let world = World::new(vec![("imported", client("k", vec![imported("a", 32 * 1024)]))]);
    let (waiting, _) = flood(&world, |number| (host(number), format!("guess{number}")));
    let turned_away = host(u8::MAX);
    for _ in 0..10 {
        let reply = world.token_from(turned_away, "imported", "wrong").await;
        assert_eq!(status(&reply), 503);
    }
    // Those that nobody waits for any more give up their places.
    drop(waiting);
    assert_eq!(status(&world.token_from(turned_away, "imported", "a").await), 200);
}

#[tokio::test]
async fn a_secret_of_our_making_passes_where_failures_are_used_up_and_a_chosen_one_does_not() {
    let both = vec![keyed("made"), imported("chosen", 64)];
    let world = World::new(vec![("c", client("k", both)), ("neighbour", client("k", vec![keyed("made")]))]);
    // Known from now on, so that it too could be told at once.
    assert_eq!(status(&world.token("c", "chosen", GRANT, NOW).await), 200);
    for _ in 0..3 {
        assert_eq!(status(&world.token("c", "stale", GRANT, NOW).await), 401);
    }
    for (id, secret, expected) in [
        ("c", "made", 200),
        ("c", "m%61de", 200),
        ("c", "stale", 429),
        ("c", "chosen", 429),
        ("c", "", 429),
        ("neighbour", "made", 200),
        ("c", "made", 200),
    ] {
        assert_eq!(status(&world.token(id, secret, GRANT, NOW).await), expected, "{id} {secret}");
    }
}

#[tokio::test]
async fn nobody_can_tell_which_clients_there_are_once_failures_are_used_up() {
    let world =
        World::new(vec![("keyed", client("k", vec![keyed("a")])), ("imported", client("k", vec![imported("a", 64)]))]);
    let mut replies = Vec::new();
    for (id, secret) in [("keyed", "wrong"), ("imported", "wrong"), ("imported", "a"), ("nobody", "wrong")] {
        for _ in 0..3 {
            world.token(id, "wrong", GRANT, NOW).await;
        }
        let reply = world.token(id, secret, GRANT, NOW).await;
        assert_eq!(status(&reply), 429, "{id} {secret}");
        replies.push(format!("{:?}", reply.response));
    }
    assert!(replies.iter().all(|reply| *reply == replies[0]), "{replies:#?}");
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
