use super::{fill, judge, rows, text};
use crate::harness::{Gateway, Request};

const ROUTES: [&str; 4] = [
    "{match: GET /prot/secret, scope: application}",
    "{match: GET /pub, public: true}",
    "{match: \"GET /applications/{application_id}/**\", scope: application.session, application_id: {path: application_id, query: applicationId}}",
    "{match: GET /x, scope: application.session, application_id: {query: applicationId}}",
];

#[test]
fn every_row_of_paths_holds() {
    let Some(rows) = rows("paths/targets.jsonl") else { return };
    let gateway = Gateway::start(|config| config.routes = ROUTES.map(ToOwned::to_owned).to_vec());
    let session = gateway.session();
    let host = gateway.public.to_string();
    let values = [
        ("PROT1", "prot/secret"),
        ("PROT_A", "prot"),
        ("PROT_B", "secret"),
        ("PROT1_UPPER", "PROT/SECRET"),
        ("PROT1_PCT", "%70rot/secret"),
        ("PUB1", "pub"),
        ("HOST", host.as_str()),
    ];
    judge(&rows, |row| {
        let mut request = Request::get(&fill(text(row, "target"), &values));
        if text(row, "name").starts_with("appid-") {
            request = request.bearer(&session);
        }
        let reply = gateway.connect().try_exchange(&request).map_err(|broken| format!("saw {broken:?}"))?;
        let touched = !gateway.upstream().raw().is_empty();
        gateway.upstream().forget();
        if touched || !matches!(reply.status, 400 | 401 | 403 | 404) {
            return Err(format!("saw {}", reply.summary()));
        }
        Ok(())
    });
    // The same routes do let through what they should.
    let ours = fill("/applications/{{APP}}/x?applicationId={{APP}}", &[]);
    gateway.send(&Request::get(&ours).bearer(&session)).assert_status(200);
    gateway.send(&Request::get("/prot/secret").bearer(&gateway.token("application"))).assert_status(200);
    gateway.send(&Request::get("/pub")).assert_status(200);
}
