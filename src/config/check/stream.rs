use std::time::Duration;

use super::bounds::{seconds, within};
use crate::{
    config::{
        Protocol,
        cursor::{At, Written},
        problem::Problems,
        raw,
        suggest::unknown,
    },
    policy::{Access, End, Stream, Upgrade},
};

/// How long exchanges on a route may last, and what they may become.
pub(super) fn check(
    timeouts: Written<raw::RouteTimeouts>,
    upgrade: Written<String>,
    close_on_expiry: Written<bool>,
    access: Access,
    problems: &mut Problems,
) -> Stream {
    let raw::RouteTimeouts { idle, total } = timeouts.or_empty();
    Stream {
        idle: bounded(idle, "`idle` must be 1ms to 24h", problems),
        total: bounded(total, "`total` must be 1ms to 24h", problems),
        upgrade: check_upgrade(upgrade, problems),
        end: check_end(close_on_expiry, access, problems),
    }
}

/// Connections leave HTTP from HTTP/1.1 only (RFC 6455 section 4.1); what RFC 8441 adds for HTTP/2 is not spoken here.
pub(super) fn check_protocol(upgrade: &Written<String>, spoken: Option<Protocol>, problems: &mut Problems) {
    if let (Written::Is(upgrade), Some(Protocol::H2 | Protocol::H2c)) = (upgrade, spoken) {
        problems.push(upgrade.place, "`upgrade` needs an upstream whose `protocol` is `http1`");
    }
}

fn bounded(written: Written<Duration>, message: &str, problems: &mut Problems) -> Option<Duration> {
    let range = Duration::from_millis(1)..=seconds(86_400);
    (!written.is_absent()).then(|| within(written, seconds(1), range, message, problems))
}

fn check_upgrade(written: Written<String>, problems: &mut Problems) -> Upgrade {
    let Some(At { place, value }) = written.given() else { return Upgrade::Denied };
    if value != "websocket" {
        problems.push(place, unknown("protocol to upgrade to", &value, ["websocket"]));
    }
    Upgrade::WebSocket
}

fn check_end(written: Written<bool>, access: Access, problems: &mut Problems) -> End {
    let Some(At { place, value: true }) = written.given() else { return End::Itself };
    if access == Access::Public {
        problems.push(place, "`close_on_expiry` is about the caller's token, and a public route asks for none");
    }
    End::WithToken
}
