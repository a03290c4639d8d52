//! Sections 2 and 3: tokens for one application, and where their flow may lead back to.

use crate::{
    harness::{APP, Gateway, REDIRECT, WORKFLOW, each_row, form_urlencode},
    token_endpoint::{GRANT, ask, claims},
};

#[test]
fn a_session_token_carries_its_three_claims() {
    let gateway = Gateway::start(|_| {});
    let claims = claims(&gateway.session());
    assert_eq!(claims["scope"], "application.session");
    assert_eq!(claims["application_id"], APP);
    assert_eq!(claims["workflow_id"], WORKFLOW);
    assert_eq!(claims["redirect_url"], REDIRECT);
}

#[test]
fn a_session_token_needs_three_claims_of_the_right_form() {
    let gateway = Gateway::start(|_| {});
    let all = [("application_id", APP), ("workflow_id", WORKFLOW), ("redirect_url", REDIRECT)];
    let form = |claims: &[(&str, &str)]| {
        let pair = |(name, value): &(&str, &str)| format!("&{name}={}", form_urlencode(value));
        format!("{GRANT}&scope=application.session{}", claims.iter().map(pair).collect::<String>())
    };
    ask(&gateway, gateway.owner(), &form(&all)).assert_status(200);
    for missing in 0..3 {
        let rest: Vec<_> =
            all.iter().enumerate().filter(|(place, _)| *place != missing).map(|(_, claim)| *claim).collect();
        ask(&gateway, gateway.owner(), &form(&rest)).assert_oauth_error(400, "invalid_request");
    }
    for (name, value) in [("application_id", ""), ("workflow_id", "x\r\ny"), ("redirect_url", "")] {
        let changed: Vec<_> = all.iter().map(|claim| if claim.0 == name { (name, value) } else { *claim }).collect();
        ask(&gateway, gateway.owner(), &form(&changed)).assert_oauth_error(400, "invalid_request");
    }
}

#[test]
fn a_redirect_url_is_absolute_https_or_loopback_http() {
    let gateway = Gateway::start(|_| {});
    let cases = [
        ("https://app.example.com/done", true),
        ("https://app.example.com:8443/done?x=1", true),
        ("http://localhost:3000/done", true),
        ("http://127.0.0.1:3000/", true),
        ("http://[::1]:3000/", true),
        ("http://app.example.com/done", false),
        ("http://localhost.evil.example/", false),
        ("http://127.0.0.1.evil.example/", false),
        ("//app.example.com/done", false),
        ("/done", false),
        ("javascript:alert(1)", false),
        ("ftp://app.example.com/", false),
        ("https:///done", false),
        ("app.example.com", false),
        ("https://app.example.com/\nx", false),
    ];
    each_row(
        &cases,
        |(url, _)| (*url).to_owned(),
        |(url, allowed)| {
            let (application, workflow) = (form_urlencode(APP), form_urlencode(WORKFLOW));
            let form = format!(
                "{GRANT}&scope=application.session&application_id={application}&workflow_id={workflow}&redirect_url={}",
                form_urlencode(url)
            );
            let reply = ask(&gateway, gateway.owner(), &form);
            if *allowed {
                reply.assert_status(200);
            } else {
                reply.assert_oauth_error(400, "invalid_request");
            }
        },
    );
}

#[test]
fn a_client_with_listed_redirect_urls_may_use_only_those() {
    let gateway = Gateway::start(|_| {});
    let client =
        gateway.client_with("application application.session", &["--redirect-url", "https://one.example.com/back"]);
    for (url, status) in [
        ("https://one.example.com/back", 200),
        ("https://one.example.com/back/", 400),
        ("https://one.example.com/back?x=1", 400),
        ("https://two.example.com/back", 400),
    ] {
        let (application, workflow) = (form_urlencode(APP), form_urlencode(WORKFLOW));
        let form = format!(
            "{GRANT}&scope=application.session&application_id={application}&workflow_id={workflow}&redirect_url={}",
            form_urlencode(url)
        );
        assert_eq!(ask(&gateway, &client, &form).status, status, "{url}");
    }
}
