use super::{alternatives, fill, judge, latin1, rows, text};
use crate::harness::{Broken, CUSTOMER, Gateway, Reply, Request};

#[test]
fn every_row_of_headers_holds() {
    let Some(rows) = rows("headers/spoof.jsonl") else { return };
    let gateway = Gateway::start(|_| {});
    let (token, other) = (gateway.token("application"), gateway.token("application.read"));
    let values = [("T", token.as_str()), ("T2", other.as_str()), ("PUB1", "healthz")];
    judge(&rows, |row| {
        gateway.upstream().forget();
        let lines: Vec<Vec<u8>> = row["headers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| latin1(&fill(line.as_str().unwrap(), &values)))
            .collect();
        let send = |request: Request| {
            let request = lines.iter().fold(request, |request, line| request.line(line));
            gateway.connect().try_exchange(&request)
        };
        let target = Request::get("/v1/applications");
        match text(row, "expect") {
            "clean|reject" => {
                is_clean(&gateway, &send(target.bearer(&token)))?;
                gateway.upstream().forget();
                is_clean_public(&gateway, &send(Request::get("/healthz")))
            }
            "no-decision-change" => {
                let reply = send(target.clone()).map_err(|broken| format!("saw {broken:?}"))?;
                if reply.status != 401 || !gateway.upstream().raw().is_empty() {
                    return Err(format!("without a token: {}", reply.summary()));
                }
                is_clean(&gateway, &send(target.bearer(&token)))
            }
            _ => {
                let reply = send(target).map_err(|broken| format!("saw {broken:?}"))?;
                let code =
                    serde_json::from_slice::<serde_json::Value>(&reply.body).ok().map(|json| json["code"].clone());
                let holds = alternatives(row).into_iter().any(|(status, wanted)| {
                    reply.status == status
                        && wanted.is_none_or(|wanted| code.as_ref().is_some_and(|code| *code == wanted))
                });
                if !holds {
                    return Err(format!("saw {}", reply.summary()));
                }
                if reply.status != 200 && !gateway.upstream().raw().is_empty() {
                    return Err("the upstream was touched".to_owned());
                }
                Ok(())
            }
        }
    });
}

fn is_rejected(gateway: &Gateway, reply: &Result<Reply, Broken>) -> bool {
    let refused = reply.as_ref().map_or(true, |reply| (400..500).contains(&reply.status));
    refused && gateway.upstream().raw().is_empty()
}

fn is_clean(gateway: &Gateway, reply: &Result<Reply, Broken>) -> Result<(), String> {
    if is_rejected(gateway, reply) {
        return Ok(());
    }
    let requests = gateway.upstream().requests();
    let [request] = requests.as_slice() else { return Err(format!("{reply:?}, {} requests upstream", requests.len())) };
    let folded = |name: &str| name.to_lowercase().replace('_', "-");
    let claimed: Vec<&str> = request
        .headers
        .iter()
        .filter(|(name, _)| folded(name).starts_with("x-customer-id"))
        .map(|(_, value)| value.as_str())
        .collect();
    if claimed != [CUSTOMER] || request.all("authorization") != Vec::<&str>::new() {
        return Err(format!("the upstream saw {:?}", request.headers));
    }
    is_without_lies(&request.head)
}

fn is_clean_public(gateway: &Gateway, reply: &Result<Reply, Broken>) -> Result<(), String> {
    if is_rejected(gateway, reply) {
        return Ok(());
    }
    gateway.upstream().requests().iter().try_for_each(|request| is_without_lies(&request.head))
}

fn is_without_lies(head: &[u8]) -> Result<(), String> {
    let head = String::from_utf8_lossy(head);
    if head.contains("evil") { Err(format!("the upstream saw {head}")) } else { Ok(()) }
}
