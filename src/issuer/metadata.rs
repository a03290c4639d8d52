use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use jsonwebtoken::jwk::Jwk;
use serde_json::{Value, json};

use super::{
    Authentication, Settings,
    reply::{Reply, bytes_reply, json_reply, no_store},
};
use crate::domain::{Catalogue, Principal, ScopeDefinition};

pub(super) fn user_info(principal: &Principal) -> Reply {
    let body = json!({"customerId": principal.customer.as_str(), "sub": principal.client.as_str()});
    let mut reply = json_reply(StatusCode::OK, &body);
    no_store(reply.response.headers_mut());
    reply
}

pub(super) fn encode_key_set(keys: &[Jwk]) -> Bytes {
    Bytes::from(json!({ "keys": keys }).to_string())
}

pub(super) fn key_set(body: Bytes) -> Reply {
    public(bytes_reply(StatusCode::OK, body))
}

/// RFC 8414 section 2
pub(super) fn server(settings: &Settings, catalogue: &Catalogue) -> Reply {
    let url = &settings.url;
    let methods: &[&str] = match settings.authentication {
        Authentication::Basic => &["client_secret_basic"],
        Authentication::BasicOrPost => &["client_secret_basic", "client_secret_post"],
    };
    let body = json!({
        "issuer": url,
        "token_endpoint": format!("{url}/v1/oauth2/token"),
        "revocation_endpoint": format!("{url}/v1/oauth2/revoke"),
        "introspection_endpoint": format!("{url}/v1/oauth2/introspect"),
        "userinfo_endpoint": format!("{url}/oauth2/userinfo"),
        "jwks_uri": format!("{url}/.well-known/jwks.json"),
        "scopes_supported": scopes(catalogue),
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": methods,
    });
    public(json_reply(StatusCode::OK, &body))
}

/// RFC 9728 section 2
pub(super) fn resource(settings: &Settings, catalogue: &Catalogue) -> Reply {
    let body = json!({
        "resource": settings.url,
        "authorization_servers": [settings.url],
        "scopes_supported": scopes(catalogue),
        "bearer_methods_supported": ["header"],
    });
    public(json_reply(StatusCode::OK, &body))
}

fn scopes(catalogue: &Catalogue) -> Value {
    let name = |scope: &ScopeDefinition| scope.name.as_str().to_owned();
    catalogue.scopes().iter().map(name).collect::<Vec<_>>().into()
}

fn public(mut reply: Reply) -> Reply {
    let headers = reply.response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    reply
}
