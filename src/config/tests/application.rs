//! Where requests name their application: places that cannot.

use super::{UPSTREAM, problems};

/// What `check` says of a route that names applications in this place.
fn told_of(place: &str, name: &str) -> String {
    let name = name.replace('"', "\\\"");
    let route = format!("{{match: GET /x, scope: application.session, application_id: {{{place}: \"{name}\"}}}}");
    problems(&format!("{UPSTREAM}\nroutes:\n  - {route}"))
}

#[test]
fn an_application_is_named_in_no_header_that_is_somebody_elses() {
    for (names, what) in [
        (
            &[
                "Authorization",
                "authorization_",
                "Proxy-Authorization",
                "Proxy_Authorization",
                "Cookie",
                "Set-Cookie",
                "X-Api-Key",
            ][..],
            "carries credentials",
        ),
        (
            &[
                "Host",
                "Connection",
                "Keep-Alive",
                "Proxy-Connection",
                "Proxy",
                "TE",
                "Trailer",
                "Transfer-Encoding",
                "Transfer.Encoding",
                "Upgrade",
                "Expect",
                "Content-Type",
                "content_type",
                "Content-Length",
                "Content-Anything",
                "HTTP2-Settings",
                "Date",
            ],
            "concerns one connection or the framing of a message, and may not reach the upstream",
        ),
        (
            &[
                "X-Customer-Id",
                "X-Application-Id",
                "x_application_id",
                "X.Application.Id",
                "X-Client-Id",
                "X-Scope",
                "X-Token-Id",
                "X-Token-Issuer",
                "X-Request-Id",
                "X-Gateway-Assertion",
                "X-Client-Cert-Subject",
            ],
            "is for the gateway and proxies to say, and is taken out of what clients send",
        ),
        (
            &["Via", "traceparent", "X-B3-TraceId", "X-Amzn-Trace-Id"],
            "is written by whatever a request passes on its way",
        ),
        (
            &[
                "Forwarded",
                "X-Forwarded-For",
                "X_Forwarded_Anything",
                "X-Forwarded",
                "X-Real-IP",
                "X-Original-URL",
                "X-Rewrite-Uri",
                "X-HTTP-Method-Override",
                "X-Envoy-Original-Path",
                "True-Client-IP",
                "CF-Connecting-IP",
                "Remote-User",
            ],
            "is for the gateway and proxies to say, and is taken out of what clients send",
        ),
        (
            &[
                "Origin",
                "Referer",
                "User-Agent",
                "Accept",
                "Accept-Language",
                "Access-Control-Request-Headers",
                "If-Match",
                "Range",
                "Sec-Fetch-Site",
            ],
            "is written by browsers and clients for a purpose of its own",
        ),
        (&["_", "-", "~!~"], "has neither letter nor digit, by which servers tell fields apart"),
    ] {
        for name in names {
            let expected = format!(
                "3:74: the header `{name}` {what}: name the application in one of its own, such as `X-Chosen-Application`"
            );
            assert_eq!(told_of("header", name), expected);
        }
    }
    for name in
        ["X-Chosen-Application", "X-App", "X-Application", "Application-Id", "X-Client", "Contents", "Ifs", "X-Cookie"]
    {
        assert_eq!(told_of("header", name), "ok", "{name}");
    }
}

#[test]
fn an_application_is_named_in_no_parameter_that_servers_read_otherwise() {
    for name in ["[]", "...", "_", "a b", "a&b", "a=b", "a;b", "a+b", "a%62", "a#b", "a?b"] {
        let expected = format!(
            "3:73: no server reads a query parameter called `{name}` in one way: use letters, digits, `_` and `-`, as in `applicationId`"
        );
        assert_eq!(told_of("query", name), expected);
    }
    for name in [
        "access_token",
        "ACCESS_TOKEN",
        "access.token",
        "client_secret",
        "client_secret[]",
        "_method",
        "__proto__",
        "constructor",
    ] {
        let expected = format!(
            "3:73: the query parameter `{name}` is for credentials, or kept by servers for themselves: name the application in \
             one of its own, such as `applicationId`"
        );
        assert_eq!(told_of("query", name), expected);
    }
    for name in [
        "applicationId",
        "app",
        "application-id",
        "filter[applicationId]",
        "task.id",
        "\u{e9}tat",
        "method",
        "token_id",
    ] {
        assert_eq!(told_of("query", name), "ok", "{name}");
    }
}
