//! Section 2: who guesses at client IDs learns nothing from the time an answer takes.

use std::time::{Duration, Instant};

use crate::harness::{Connection, Gateway, Request, basic, random_below};

const PAIRS: usize = 1500;
/// Pairs that are sent and not counted: caches, branch predictors and buffers settle.
const WARM_UP: usize = 100;
/// How far from a coin toss the order of two samples may be. Chance alone leaves 1,400 pairs within 0.05 in all but one
/// of a hundred thousand runs.
const COIN_TOSS: std::ops::RangeInclusive<f64> = 0.45..=0.55;

/// How often a value of `ones` is greater than one of `others`, ties counting half: the area under the ROC curve, by
/// the rank sum of Mann and Whitney. 0.5: they cannot be told apart.
fn auc(ones: &[Duration], others: &[Duration]) -> f64 {
    let mut sorted = others.to_vec();
    sorted.sort_unstable();
    let mut halves = 0;
    for one in ones {
        let smaller = sorted.partition_point(|other| other < one);
        let not_greater = sorted.partition_point(|other| other <= one);
        halves += smaller + not_greater;
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let (halves, pairs) = (halves as f64, (ones.len() * others.len()) as f64);
    halves / 2.0 / pairs
}

/// How long one answer of this status takes, from the first byte sent to the last one read.
fn time(connection: &mut Connection, request: &Request, status: u16) -> Duration {
    let begin = Instant::now();
    let reply = connection.exchange(request);
    let took = begin.elapsed();
    assert_eq!(reply.status, status, "{}", reply.summary());
    took
}

/// The times of two kinds of request that are both answered by `status`, sent in pairs of random order on one connection.
fn samples(gateway: &Gateway, pair: [&str; 2], status: u16) -> [Vec<Duration>; 2] {
    let mut connection = gateway.connect();
    let requests = pair.map(|authorization| Request::token(authorization, "grant_type=client_credentials"));
    let mut samples = [Vec::new(), Vec::new()];
    for number in 0..PAIRS {
        let first = random_below(2);
        for kind in [first, 1 - first] {
            let took = time(&mut connection, &requests[kind], status);
            if number >= WARM_UP {
                samples[kind].push(took);
            }
        }
    }
    samples
}

/// The pairs of an unknown client and one of the others that their times tell apart, at a gateway with this limit, which
/// answers all of them by `status`.
fn told_apart(limit: &str, status: u16) -> Vec<String> {
    let gateway = Gateway::start(|config| {
        config.limit(limit);
    });
    let (enabled, disabled) = (gateway.client("application"), gateway.client("application"));
    gateway.cli(&["client", "disable", &disabled.id]).assert_code(0);
    assert!(crate::harness::within(Duration::from_secs(5), || gateway.probe(&disabled.basic()) == 401));
    // As long as a real one, so that only the directory can tell.
    let changed = |text: &str| -> String { text.chars().rev().collect() };
    let (wrong, nobody) = (changed(&enabled.secret), changed(&enabled.id));
    let unknown = basic(&nobody, &wrong);
    let rows = [
        ("wrong secret", basic(&enabled.id, &wrong)),
        ("disabled, wrong secret", basic(&disabled.id, &wrong)),
        ("disabled, its own secret", disabled.basic()),
    ];
    for (_, authorization) in rows.iter().chain([&("unknown", unknown.clone())]) {
        // Where few may fail, they have failed before anything is measured.
        gateway.send(&Request::token(authorization, "grant_type=client_credentials"));
    }
    let mut told_apart = Vec::new();
    for (name, known) in rows {
        let [unknown, known] = samples(&gateway, [&unknown, &known], status);
        let area = auc(&unknown, &known);
        eprintln!("unknown client against {name}, {status}: AUC {area:.3}");
        told_apart.extend((!COIN_TOSS.contains(&area)).then(|| format!("{name}: {area:.3}")));
    }
    told_apart
}

#[test]
fn a_client_that_is_not_there_is_refused_in_the_same_time_as_a_wrong_secret() {
    let told_apart = told_apart("token_failures: {per_client: 1000000/1s, per_address: 1000000/1s}", 401);
    assert!(told_apart.is_empty(), "told apart from an unknown client by time: {told_apart:?}");
}

#[test]
fn so_it_is_once_its_failures_are_used_up() {
    let told_apart = told_apart("token_failures: {per_client: 1/24h, per_address: 1000000/1s}", 429);
    assert!(told_apart.is_empty(), "told apart from an unknown client by time: {told_apart:?}");
}

#[test]
fn the_measure_tells_samples_apart_that_differ() {
    let samples = |shift: u64| -> Vec<Duration> {
        // 300 to 500 us, as answers on this machine's own network take.
        (0..1400).map(|number| Duration::from_nanos(300_000 + (number * 7919) % 200_000 + shift)).collect()
    };
    for (shift, expected) in [(0, 0.5), (20_000, 0.595), (200_000, 1.0)] {
        let area = auc(&samples(shift), &samples(0));
        assert!((area - expected).abs() < 0.005, "{shift} ns: {area}");
        let mirrored = auc(&samples(0), &samples(shift));
        assert!((area + mirrored - 1.0).abs() < 1e-9, "{shift} ns: {area} and {mirrored}");
    }
    assert!(!COIN_TOSS.contains(&auc(&samples(20_000), &samples(0))), "20 us are found");
    let ties = [Duration::from_micros(1); 8];
    assert!((auc(&ties, &ties) - 0.5).abs() < 1e-9);
}
