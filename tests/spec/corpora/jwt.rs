use std::{
    net::TcpListener,
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use scopegate::token::Algorithm;
use serde_json::Value;

use super::{alternatives, catalogue::Material, judge, read, rows, text};
use crate::harness::{Gateway, Issuer, Request, Upstream};

#[test]
fn every_row_of_jwt_holds_for_es256() {
    every_row_holds("ES256");
}

#[test]
fn every_row_of_jwt_holds_for_eddsa() {
    every_row_holds("EdDSA");
}

#[test]
fn every_row_of_jwt_holds_for_rs256() {
    every_row_holds("RS256");
}

#[test]
fn every_row_of_jwt_holds_for_es256_of_a_trusted_issuer() {
    every_row_holds_for_a_trusted_issuer(Algorithm::Es256);
}

#[test]
fn every_row_of_jwt_holds_for_eddsa_of_a_trusted_issuer() {
    every_row_holds_for_a_trusted_issuer(Algorithm::EdDsa);
}

#[test]
fn every_row_of_jwt_holds_for_rs256_of_a_trusted_issuer() {
    every_row_holds_for_a_trusted_issuer(Algorithm::Rs256);
}

fn every_row_holds(algorithm: &'static str) {
    let Some(rows) = rows_of(algorithm) else { return };
    let gateway = Gateway::start(|config| config.algorithm = algorithm);
    let (trap, fetches) = listen();
    let material = Material::of(&gateway, &trap);
    judge_rows(&rows, &gateway, &material);
    assert_eq!(fetches.load(Ordering::SeqCst), 0, "the gateway fetched what a token pointed to");
    gateway.send(&Request::get("/v1/any/x").bearer(&gateway.token("application"))).assert_status(200);
    assert!(!gateway.log().contains("panicked at"), "{}", gateway.log());
}

/// The issuer's key set is all that is ever fetched, however many tokens name keys that nobody has.
fn every_row_holds_for_a_trusted_issuer(algorithm: Algorithm) {
    let Some(rows) = rows_of(algorithm.name()) else { return };
    let (trap, fetches) = listen();
    let server = Upstream::start();
    // Its name leads to its server, so that whoever looks there for more is seen.
    let issuer = Issuer { name: format!("http://{}", server.address), server };
    let material = Material::of_issuer(&issuer, algorithm, &trap);
    let begin = Instant::now();
    let gateway = Gateway::start(|config| issuer.trusted_by(config, "audience: applications-api"));
    let genuine = Request::get("/v1/any/x").bearer(&material.genuine());
    gateway.send(&genuine).assert_status(200);
    judge_rows(&rows, &gateway, &material);
    gateway.send(&genuine).assert_status(200);
    assert_eq!(fetches.load(Ordering::SeqCst), 0, "the gateway fetched what a token pointed to");
    let asked = issuer.server.requests();
    let other: Vec<_> = asked.iter().filter(|asked| asked.method != "GET" || asked.target != "/jwks.json").collect();
    assert!(other.is_empty(), "{other:#?}");
    // One before it served, and for unknown keys one in ten seconds.
    let most = 2 + usize::try_from(begin.elapsed().as_secs() / 10).unwrap();
    assert!((1..=most).contains(&asked.len()), "{} fetches, at most {most} are due", asked.len());
    assert!(issuer.server.connections() <= asked.len(), "{} connections", issuer.server.connections());
    assert!(!gateway.log().contains("panicked at"), "{}", gateway.log());
}

/// The rows that apply to an algorithm.
fn rows_of(algorithm: &str) -> Option<Vec<Value>> {
    let applies = |row: &Value| row["algs"].as_array().unwrap().iter().any(|own| own == algorithm);
    let rows: Vec<Value> = rows("jwt/token_catalogue.jsonl")?.into_iter().filter(applies).collect();
    assert!(rows.len() > 100, "{} rows for {algorithm}", rows.len());
    Some(rows)
}

fn judge_rows(rows: &[Value], gateway: &Gateway, material: &Material) {
    judge(rows, |row| {
        gateway.upstream().forget();
        let id = text(row, "id");
        let token = material.forge(id).ok_or("nobody knows how to forge this")?;
        let request = Request::get("/v1/any/x").line([b"Authorization: Bearer ", token.as_slice()].concat());
        let reply = gateway.connect().try_exchange(&request).map_err(|broken| format!("saw {broken:?}"))?;
        let mut allowed: Vec<u16> = alternatives(row).into_iter().map(|(status, _)| status).collect();
        if text(row, "group") == "enc" {
            // Bytes that no Authorization header can hold, or that are no single token: refused before it is read.
            allowed.push(400);
        }
        if !allowed.contains(&reply.status) {
            return Err(format!("saw {}", reply.summary()));
        }
        let requests = gateway.upstream().requests();
        match reply.status {
            200 if requests.len() == 1 && !String::from_utf8_lossy(&requests[0].head).contains("\r\nX-Evil") => Ok(()),
            200 => Err(format!("the upstream saw {requests:?}")),
            _ if requests.is_empty() => Ok(()),
            _ => Err("a refused request went upstream".to_owned()),
        }
    });
    println!("{} rows", rows.len());
}

/// The URL of a listener that counts who comes.
fn listen() -> (String, &'static AtomicUsize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count: &'static AtomicUsize = Box::leak(Box::default());
    std::thread::spawn(move || {
        for _ in listener.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (url, count)
}

#[test]
fn every_encrypted_token_of_wycheproof_is_refused() {
    let Some(text) = read("wycheproof/json_web_encryption_test.json") else { return };
    let document: Value = serde_json::from_str(&text).unwrap();
    let gateway = Gateway::start(|_| {});
    let mut connection = gateway.connect();
    let mut count = 0;
    for test in document["testGroups"].as_array().unwrap().iter().flat_map(|group| group["tests"].as_array().unwrap()) {
        let Some(token) = test["jwe"].as_str().filter(|token| token.len() < 20_000) else { continue };
        let reply = connection.exchange(&Request::get("/v1/any/x").bearer(token));
        assert!(matches!(reply.status, 400 | 401), "{}: {}", test["tcId"], reply.summary());
        count += 1;
    }
    assert!(count > 50, "{count} tokens sent");
    gateway.upstream().assert_untouched();
}
