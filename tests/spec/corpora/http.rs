use std::{thread, time::Duration};

use serde_json::Value;

use super::{fill, latin1, rows, text};
use crate::harness::{Gateway, Recorded, await_that};

/// Nine characters, as the lengths in the rows assume.
const HOST: &str = "127.0.0.1";
const WORKERS: usize = 4;

#[test]
fn every_row_of_http_holds() {
    let Some(rows) = rows("http/requests.jsonl") else { return };
    let failed: Vec<String> = thread::scope(|scope| {
        let share = |worker| rows.iter().skip(worker).step_by(WORKERS);
        let workers: Vec<_> = (0..WORKERS).map(|worker| scope.spawn(move || run(share(worker)))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(failed.is_empty(), "{} of {} rows do not hold:\n{}", failed.len(), rows.len(), failed.join("\n"));
}

/// Sends rows one after the other to a gateway of their own.
fn run<'r>(rows: impl Iterator<Item = &'r Value>) -> Vec<String> {
    let gateway = Gateway::start(|config| {
        config.route("{match: \"* /v1/framed/**\", scope: application}");
        config.route("{match: \"* /SMUGGLED\", scope: application}");
        config.limit("header_timeout: 2s").limit("body_timeout: 1s");
    });
    let token = gateway.token("application");
    let sent: Vec<(&Value, Vec<u16>)> = rows.map(|row| (row, send_row(&gateway, &token, row))).collect();
    // Judged at the end, by a path of its own for each row: what a row left behind may reach the upstream late.
    await_that("nothing is in flight", || gateway.metrics().value("scopegate_in_flight_requests", &[]) <= 0.0);
    let requests = gateway.upstream().requests();
    let mut failed: Vec<String> = requests
        .iter()
        .filter(|request| request.target.contains("SMUGGLED"))
        .map(|request| format!("a smuggled request went upstream: {:?} {:?}", request.target, request.headers))
        .collect();
    for (row, statuses) in sent {
        let own: Vec<&Recorded> = requests.iter().filter(|request| request.target.starts_with(&path(row))).collect();
        if let Err(seen) = verdict(text(row, "verdict"), &statuses, &own) {
            let (id, name, verdict) = (text(row, "id"), text(row, "name"), text(row, "verdict"));
            failed.push(format!("{id} {name} ({verdict}): {seen}, replies {statuses:?}"));
        }
    }
    failed
}

fn path(row: &Value) -> String {
    format!("/v1/framed/{}/", text(row, "id"))
}

fn send_row(gateway: &Gateway, token: &str, row: &Value) -> Vec<u16> {
    let authorization = format!("Bearer {token}");
    let raw = fill(text(row, "raw"), &[("PATH", &path(row)), ("HOST", HOST), ("AUTH", &authorization)]);
    send(gateway, &latin1(&raw))
}

/// The statuses of all replies until the connection ends or falls silent.
fn send(gateway: &Gateway, bytes: &[u8]) -> Vec<u16> {
    let mut connection = gateway.connect().patient_for(Duration::from_millis(400));
    connection.send(bytes);
    let mut statuses = Vec::new();
    while let Ok(reply) = connection.try_reply() {
        statuses.push(reply.status);
    }
    // What waits for more bytes learns that none will come.
    connection.finish_sending();
    while let Ok(reply) = connection.try_reply() {
        statuses.push(reply.status);
    }
    statuses
}

fn verdict(verdict: &str, statuses: &[u16], requests: &[&Recorded]) -> Result<(), String> {
    let two_framings =
        |request: &&&Recorded| request.all("content-length").len() + request.all("transfer-encoding").len() > 1;
    if let Some(request) = requests.iter().find(two_framings) {
        return Err(format!("two framings went upstream: {:?}", request.headers));
    }
    if requests.iter().any(|request| String::from_utf8_lossy(&request.head).contains("evil")) {
        return Err("a claimed identity went upstream".to_owned());
    }
    let count = requests.len();
    match verdict {
        "reject" if count > 0 => Err(format!("{count} requests went upstream")),
        "reject" if statuses.first().is_some_and(|status| !(400..600).contains(status)) => {
            Err("not refused".to_owned())
        }
        "one" if count > 1 => Err(format!("{count} requests went upstream")),
        "reject" | "one" | "canary" => Ok(()),
        other => Err(format!("the verdict {other} is unknown")),
    }
}
