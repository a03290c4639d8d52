use std::{sync::Arc, time::Duration};

use super::{
    Surroundings,
    bounds::{count, seconds, within},
    servers::{self, Placed, Security},
    upstream_tls,
};
use crate::{
    config::{
        Balance, Eject, Health, HealthCheck, Protocol, Timeouts, Upstream,
        cursor::{At, Named, Written},
        problem::{Place, Problems, show},
        raw,
        suggest::unknown,
    },
    policy::LetterCase,
};

/// The names of all groups, broken ones too, and the groups in the same order.
pub(super) fn check(
    upstreams: Option<At<Vec<Named<raw::Upstream>>>>,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> (Vec<Arc<str>>, Vec<Upstream>) {
    let mut names = Vec::new();
    let mut checked = Vec::new();
    for Named { name, value } in upstreams.map(|at| at.value).unwrap_or_default() {
        if !is_name(&name.value) {
            let shown = show(&name.value);
            problems.push(name.place, format!("upstream name {shown} must be 1 to 64 of `A-Z a-z 0-9 _ -`"));
        }
        let name: Arc<str> = name.value.into();
        names.push(Arc::clone(&name));
        if let Some(value) = value {
            checked.push(check_one(name, value, surroundings, problems));
        }
    }
    (names, checked)
}

fn check_one(name: Arc<str>, raw: raw::Upstream, surroundings: &Surroundings, problems: &mut Problems) -> Upstream {
    let raw::Upstream {
        servers,
        balance,
        timeouts,
        health,
        eject,
        slow_start,
        max_requests,
        resolve_every,
        pool: written_pool,
        protocol,
        host,
        case,
        tls,
    } = raw;
    let mut servers = servers::check(servers.map(|at| at.value).unwrap_or_default(), surroundings, problems);
    let without_tls = tls.is_absent();
    let tls = upstream_tls::check(tls.given(), &mut servers, surroundings, problems);
    servers::name_all(&mut servers, if without_tls { Security::None } else { Security::Tls });
    let raw::Pool { idle } = written_pool.or_empty();
    let optional = |written: Written<u64>, message: &str, problems: &mut Problems| {
        let given = !written.is_absent();
        let value = count(written, 1, 1..=1_000_000, message, problems);
        given.then_some(value)
    };
    Upstream {
        name,
        balance: self::balance(balance, problems),
        timeouts: self::timeouts(timeouts.or_empty(), problems),
        health: health.given().map(|at| self::health(at.place, at.value, problems)),
        eject: self::eject(eject, problems),
        slow_start: within(
            slow_start,
            Duration::ZERO,
            Duration::ZERO..=seconds(3600),
            "`slow_start` must be 0s to 1h",
            problems,
        ),
        max_requests: optional(max_requests, "`max_requests` must be 1 to 1000000", problems),
        resolve_every: within(
            resolve_every,
            seconds(10),
            seconds(1)..=seconds(86_400),
            "`resolve_every` must be 1s to 24h",
            problems,
        ),
        idle_connections: optional(idle, "`idle` must be 1 to 1000000", problems),
        protocol: self::protocol(protocol, without_tls, problems),
        host: servers::check_host(host, &servers, problems),
        letter_case: letter_case(case, problems),
        tls,
        servers: servers.into_iter().map(|Placed { server, at: _ }| server).collect(),
    }
}

fn balance(written: Written<String>, problems: &mut Problems) -> Balance {
    let Some(At { place, value }) = written.given() else { return Balance::RoundRobin };
    match value.as_str() {
        "round_robin" => Balance::RoundRobin,
        "least_connections" => Balance::LeastConnections,
        "client_hash" => Balance::ClientHash,
        other => {
            problems.push(place, unknown("balance", other, ["round_robin", "least_connections", "client_hash"]));
            Balance::RoundRobin
        }
    }
}

fn timeouts(raw: raw::Timeouts, problems: &mut Problems) -> Timeouts {
    let raw::Timeouts { connect, read, idle, total } = raw;
    let range = || Duration::from_millis(1)..=seconds(86_400);
    let limited = !total.is_absent();
    let total = within(total, seconds(86_400), range(), "`total` must be 1ms to 24h", problems);
    Timeouts {
        connect: within(connect, Duration::from_millis(500), range(), "`connect` must be 1ms to 24h", problems),
        read: within(read, seconds(30), range(), "`read` must be 1ms to 24h", problems),
        idle: within(idle, seconds(60), range(), "`idle` must be 1ms to 24h", problems),
        total: limited.then_some(total),
    }
}

fn health(place: Place, raw: raw::Health, problems: &mut Problems) -> Health {
    let raw::Health { path, tcp, expect, every, timeout, healthy_after, unhealthy_after } = raw;
    let every =
        within(every, seconds(2), Duration::from_millis(100)..=seconds(3600), "`every` must be 100ms to 1h", problems);
    let rounds = |written, default, message, problems: &mut Problems| {
        let rounds = within(written, default, 1..=100, message, problems);
        u32::try_from(rounds).expect("at most 100")
    };
    Health {
        check: health_check(place, path, tcp, expect, problems),
        timeout: within(
            timeout,
            seconds(1).min(every),
            Duration::from_millis(10)..=every,
            "`timeout` must be 10ms or more, and no longer than `every`",
            problems,
        ),
        every,
        healthy_after: rounds(healthy_after, 2, "`healthy_after` must be 1 to 100", problems),
        unhealthy_after: rounds(unhealthy_after, 3, "`unhealthy_after` must be 1 to 100", problems),
    }
}

fn health_check(
    place: Place,
    path: Written<String>,
    tcp: Written<bool>,
    expect: Written<u64>,
    problems: &mut Problems,
) -> HealthCheck {
    let both = !path.is_absent() && !tcp.is_absent();
    // A broken value was told already.
    let connects = !tcp.is_absent() && tcp.given().is_none_or(|at| at.value);
    if both || path.is_absent() && !connects {
        problems.push(place, "`health` is either `path`, which is asked for, or `tcp: true`, which only connects");
    }
    if let (true, Written::Is(expect)) = (path.is_absent(), &expect) {
        problems.push(expect.place, "`expect` is the status that `path` is answered with; there is no `path`");
    }
    let expect = within(expect, 200, 200..=599, "`expect` must be a status of 200 to 599", problems);
    let Some(At { place, value }) = path.given() else { return HealthCheck::Connect };
    let sound =
        value.starts_with('/') && value.len() <= LONGEST_PATH && value.bytes().all(|byte| byte.is_ascii_graphic());
    if !sound || value.contains('#') {
        problems.push(place, format!("{} is not a path such as `/healthz`", show(&value)));
    }
    HealthCheck::Get { path: value, expect: u16::try_from(expect).expect("at most 599") }
}

fn eject(written: Written<raw::Eject>, problems: &mut Problems) -> Option<Eject> {
    let (failures, lasting) = match written.given().map(|at| at.value) {
        Some(raw::Eject::Never) => return None,
        Some(raw::Eject::After { failures, lasting }) => (failures, lasting),
        None => (Written::Absent, Written::Absent),
    };
    let failures = within(failures, 5, 1..=1000, "`failures` must be 1 to 1000", problems);
    let range = Duration::from_millis(100)..=seconds(3600);
    Some(Eject {
        failures: u32::try_from(failures).expect("at most 1000"),
        lasting: within(lasting, seconds(10), range, "`for` must be 100ms to 1h", problems),
    })
}

fn protocol(written: Written<String>, without_tls: bool, problems: &mut Problems) -> Protocol {
    let Some(At { place, value }) = written.given() else { return Protocol::Http1 };
    match (value.as_str(), without_tls) {
        ("http1", _) => Protocol::Http1,
        ("h2", false) => Protocol::H2,
        ("h2c", true) => Protocol::H2c,
        ("h2", true) => {
            problems.push(place, "`h2` is agreed on in a TLS handshake: set `tls`, or write `h2c`");
            Protocol::H2
        }
        ("h2c", false) => {
            problems.push(place, "`h2c` is HTTP/2 in plain text: write `h2`, or leave `tls` out");
            Protocol::H2c
        }
        (other, _) => {
            problems.push(place, unknown("protocol", other, ["http1", "h2", "h2c"]));
            Protocol::Http1
        }
    }
}

fn letter_case(written: Written<String>, problems: &mut Problems) -> LetterCase {
    let Some(At { place, value }) = written.given() else { return LetterCase::Insensitive };
    match value.as_str() {
        "insensitive" => LetterCase::Insensitive,
        "sensitive" => LetterCase::Sensitive,
        other => {
            problems.push(place, unknown("case", other, ["insensitive", "sensitive"]));
            LetterCase::Insensitive
        }
    }
}

fn is_name(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    plain && (1..=64).contains(&name.len())
}

/// Of a health check's path.
const LONGEST_PATH: usize = 1024;
