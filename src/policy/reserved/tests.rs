use super::*;

#[test]
fn nobody_else_says_what_is_ours() {
    for name in [
        "x-customer-id",
        "x-client-id",
        "x-scope",
        "x-application-id",
        "x-token-id",
        "x-token-issuer",
        "x-request-id",
        "x-gateway-assertion",
        "x-client-cert-subject",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "forwarded",
    ] {
        assert_eq!(field_owner(name), FieldOwner::Gateway, "{name}");
    }
}

#[test]
fn no_field_is_an_order_to_read_another_path_or_method() {
    for name in [
        "x-original-url",
        "x-original-uri",
        "x-rewrite-url",
        "x-rewrite-uri",
        "x-envoy-original-path",
        "x-forwarded-uri",
        "x-forwarded-method",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-http-destinationurl",
        "http-method-override",
        "proxy",
        "proxy-authorization",
    ] {
        assert_eq!(field_owner(name), FieldOwner::Gateway, "{name}");
    }
}

#[test]
fn only_a_trusted_proxy_says_who_sent_a_request_and_from_where() {
    for name in [
        "x-real-ip",
        "x-original-host",
        "x-original-forwarded-for",
        "x-forwarded",
        "x-forwarded-user",
        "x-forwarded-email",
        "x-forwarded-groups",
        "x-forwarded-client-cert",
        "x-forwarded-ssl",
        "x-forwarded-anything",
        "forwarded-for",
        "x-envoy-external-address",
        "true-client-ip",
        "client-ip",
        "cf-connecting-ip",
        "fastly-client-ip",
        "x-cluster-client-ip",
        "x-client-ip",
        "remote-user",
        "x-remote-user",
        "x-auth-request-email",
        "x-auth-username",
        "x-azure-clientip",
        "x-arr-clientcert",
        "x-ms-client-principal",
        "x-ms-client-principal-id",
        "x-goog-iap-jwt-assertion",
        "x-goog-authenticated-user-email",
        "x-amzn-oidc-data",
        "x-ssl-client-verify",
        "ssl-client-cert",
        "client-cert",
        "x-webauth-user",
        "wl-proxy-client-ip",
        "real-ip",
        "cluster-client-ip",
        "x-originating-ip",
        "x-backend-host",
        "x-true-ip",
        "x-jwt-assertion",
        "ms-aspnetcore-clientcert",
        "l5d-client-id",
        "x-iisnode-remote-addr",
        "x-sendfile-type",
    ] {
        assert_eq!(field_owner(name), FieldOwner::TrustedProxy, "{name}");
    }
}

#[test]
fn what_a_server_may_take_for_such_a_name_is_nobodys() {
    for name in [
        "x_customer_id",
        "x-customer_id",
        "x.customer.id",
        "x~customer|id",
        "x--customer-id",
        "x-customer-id_",
        "x-customer-id-",
        "_x-customer-id",
        "-x-scope",
        "x_token_issuer",
        "x_forwarded_for",
        "x_real_ip",
        "remote_user",
        "ssl_client_s_dn",
        "proxy_",
        "authorization_",
        "_authorization",
        "authorization-",
        "-authorization-",
        "authorization.",
        "host_",
        "_host",
        "content_type",
        "content-type_",
        "content.encoding",
        "content_length",
        "transfer_encoding",
        "connection_",
        "cookie_",
        "cookie.",
        "sec_websocket_protocol",
        "sec_fetch_site",
        "access_control_request_method",
        "origin_",
        "if_match",
        "_",
        "-",
        "~",
    ] {
        assert_eq!(field_owner(name), FieldOwner::Gateway, "{name}");
    }
}

#[test]
fn other_names_are_anybodys() {
    for name in [
        "accept",
        "accept-language",
        "authorization",
        "content-type",
        "content-length",
        "cookie",
        "host",
        "origin",
        "user-agent",
        "sec-websocket-key",
        "traceparent",
        "x",
        "x-a",
        "x-api-key",
        "x-auth-token",
        "x-access-token",
        "x-amzn-trace-id",
        "x-authorization",
        "x-customer",
        "x-customer-ids",
        "x-customers-id",
        "x-requested-with",
        "x-scopes",
        "x_custom",
        "my.header",
        "idempotency-key",
        "prefer",
        "priority",
    ] {
        assert_eq!(field_owner(name), FieldOwner::Anyone, "{name}");
    }
}

#[test]
fn a_connection_does_not_take_away_what_was_judged() {
    for name in ["authorization", "Content-Type", "content_encoding", "Cookie", "host", "Origin", "if-match"] {
        assert!(is_end_to_end(name), "{name}");
    }
    for name in ["close", "keep-alive", "Upgrade", "TE", "HTTP2-Settings", "x-hop", ""] {
        assert!(!is_end_to_end(name), "{name}");
    }
}
