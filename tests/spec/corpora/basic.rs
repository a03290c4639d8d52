use super::{alternatives, fill, judge, rows, text};
use crate::harness::{Gateway, Request, b64, b64_standard, percent_encode_all};

#[test]
fn every_row_of_basic_holds() {
    let Some(rows) = rows("basic/authorization.jsonl") else { return };
    let gateway = Gateway::start(|config| {
        config.client = Some("application application.read");
        config.limit("token_failures: {per_client: 10000/1m, per_address: 10000/1m}");
    });
    let (owner, other) = (gateway.owner().clone(), gateway.client("application"));
    let values = [
        ("CLIENT_ID", owner.id.as_str()),
        ("CLIENT_ID_UPPER", &owner.id.to_uppercase()),
        ("CLIENT_SECRET", owner.secret.as_str()),
        ("SECRET_MINUS1", &owner.secret[..owner.secret.len() - 1]),
        ("OTHER_ID", other.id.as_str()),
        ("OTHER_SECRET", other.secret.as_str()),
        ("STORED_HASH", "0123456789abcdef"),
        ("SCOPE", "application"),
        ("SCOPE_NOT_GRANTED", "application.session"),
    ];
    judge(&rows, |row| {
        let authorization = encode(&fill(text(row, "authorization"), &values));
        let mut request = Request::post("/v1/oauth2/token").header("Authorization", &authorization);
        if !text(row, "content_type").is_empty() {
            request = request.header("Content-Type", text(row, "content_type"));
        }
        let request = request.body(fill(text(row, "body"), &values));
        let reply = gateway.connect().try_exchange(&request).map_err(|broken| format!("saw {broken:?}"))?;
        let error = serde_json::from_slice::<serde_json::Value>(&reply.body).ok().map(|json| json["error"].clone());
        let holds = alternatives(row).into_iter().any(|(status, wanted)| {
            let same = |wanted: String| error.as_ref().is_some_and(|error| *error == wanted);
            reply.status == status && wanted.is_none_or(same)
        });
        if holds { Ok(()) } else { Err(format!("saw {}", reply.summary())) }
    });
    gateway.upstream().assert_untouched();
    assert!(!gateway.log().contains(&owner.secret), "the secret stands in the log");
}

/// Replaces `b64:…` and its relatives by what they stand for.
fn encode(authorization: &str) -> String {
    let Some((scheme, value)) =
        authorization.rsplit_once(' ').filter(|(_, value)| value.starts_with("b64")).or_else(|| {
            let at = authorization.find(" b64")?;
            Some((&authorization[..at], &authorization[at + 1..]))
        })
    else {
        return authorization.to_owned();
    };
    let (kind, content) = value.split_once(':').expect("a kind");
    let encoded = match kind {
        "b64" => b64_standard(content),
        "b64np" => b64_standard(content).trim_end_matches('=').to_owned(),
        "b64url" => b64(content),
        "b64pct" => {
            let (id, secret) = content.split_once(':').expect("two halves");
            b64_standard(format!("{}:{}", percent_encode_all(id), percent_encode_all(secret)))
        }
        other => panic!("{other} is unknown"),
    };
    format!("{scheme} {encoded}")
}
