use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{fill, judge, latin1, rows, text};
use crate::harness::{Gateway, Request};

#[test]
fn every_row_of_json_holds() {
    let Some(rows) = rows("json/bodies.jsonl") else { return };
    let gateway = Gateway::start(|config| {
        config.route(&bound("POST /v1/things.get"));
        config.route(&bound("POST /v1/things.*"));
    });
    let session = gateway.session();
    // An exact route, another beside a pattern, and what only the pattern matches.
    for path in ["/v1/applications.get", "/v1/things.get", "/v1/things.rename"] {
        judge_rows(&gateway, &session, path, &rows);
    }
}

/// A route for session tokens that name their application in the body.
fn bound(pattern: &str) -> String {
    format!("{{match: {pattern}, scope: application.session, application_id: {{body: /applicationId}}}}")
}

fn judge_rows(gateway: &Gateway, session: &str, path: &str, rows: &[Value]) {
    judge(rows, |row| {
        gateway.upstream().forget();
        let body = bytes(&fill(text(row, "body"), &[]), text(row, "encoding"));
        let mut request = Request::post(path).bearer(session);
        if !text(row, "content_type").is_empty() {
            request = request.line(latin1(&format!("Content-Type: {}", text(row, "content_type"))));
        }
        for (name, value) in row["headers"].as_object().unwrap() {
            request = request.header(name, value.as_str().unwrap());
        }
        let reply = gateway.connect().try_exchange(&request.body(&body)).map_err(|broken| format!("saw {broken:?}"))?;
        let forwarded = gateway.upstream().requests();
        let seen = match reply.status {
            200 if forwarded.len() == 1 && forwarded[0].body == body => "allow",
            413 if forwarded.is_empty() => "413",
            400 | 403 | 415 if forwarded.is_empty() => "deny",
            _ => return Err(format!("saw {} and {} requests upstream", reply.summary(), forwarded.len())),
        };
        let expect = text(row, "expect");
        let holds = expect.split('|').any(|wanted| wanted == seen || (wanted == "deny" && seen == "413"));
        if holds { Ok(()) } else { Err(format!("on {path} saw {}", reply.summary())) }
    });
}

fn bytes(body: &str, encoding: &str) -> Vec<u8> {
    match encoding {
        "utf-8" => body.as_bytes().to_vec(),
        "utf-16-le" => body.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        "latin-1" => latin1(body),
        "base64" => STANDARD.decode(body).expect("base64"),
        other => panic!("{other} is unknown"),
    }
}
