//! Asking other servers, within bounds: one address, no redirect, no proxy of the environment, verified TLS, a deadline and
//! a longest answer.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::{
    Certificate, Client, Proxy, RequestBuilder, StatusCode, Url,
    header::{ACCEPT, HeaderValue},
    redirect::Policy,
};
use serde::Deserialize;

/// Why nothing usable came. No text names a secret.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server cannot be reached, or not trusted.
    #[error("{0}")]
    Unreachable(String),
    /// It did not answer in time.
    #[error("no whole answer came within {} s", DEADLINE.as_secs())]
    TooSlow,
    /// It answered with something else than 200; redirects are not followed.
    #[error("the answer was {0}")]
    Status(StatusCode),
    /// Its answer is too long.
    #[error("the answer is longer than {} KiB", LONGEST_ANSWER / 1024)]
    TooLong,
    /// It does not describe the issuer that was asked for, or sends us elsewhere.
    #[error("the metadata {0}")]
    Metadata(&'static str),
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    File(#[from] std::io::Error),
}

/// Where a key set is.
#[derive(Debug)]
pub enum Fetch {
    /// At this address.
    At(Outbound, Url),
    /// Where the metadata of the issuer called `name` says, on the origin of `url`, which is the same as an address.
    Discovered {
        /// What is asked with.
        outbound: Outbound,
        /// The issuer, byte for byte.
        name: String,
        /// Where it is.
        url: Url,
    },
    /// In this file.
    File(PathBuf),
}

impl Fetch {
    /// The bytes of the key set.
    pub(super) async fn key_set(&self) -> Result<Vec<u8>, FetchError> {
        match self {
            Self::At(outbound, url) => outbound.get(url).await,
            Self::Discovered { outbound, name, url } => outbound.get(&discover(outbound, name, url).await?).await,
            Self::File(path) => read(path),
        }
    }
}

/// Reads a file, but not without end. Keys are followed on a thread of their own, so that this holds up nobody.
fn read(path: &Path) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST_ANSWER as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LONGEST_ANSWER { Err(FetchError::TooLong) } else { Ok(bytes) }
}

/// OpenID Connect Discovery 1.0 section 4, and where there is none RFC 8414 section 3.
async fn discover(outbound: &Outbound, name: &str, url: &Url) -> Result<Url, FetchError> {
    let [openid, oauth] = metadata_addresses(url);
    let metadata = match outbound.get(&openid).await {
        Err(FetchError::Status(StatusCode::NOT_FOUND)) => outbound.get(&oauth).await?,
        other => other?,
    };
    key_set_address(&metadata, name, url)
}

/// Behind the issuer's path, and before it.
fn metadata_addresses(issuer: &Url) -> [Url; 2] {
    let path = issuer.path().trim_end_matches('/');
    ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"].map(|name| {
        let mut url = issuer.clone();
        let openid = name.ends_with("configuration");
        url.set_path(&if openid { format!("{path}{name}") } else { format!("{name}{path}") });
        url
    })
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// Metadata that names another issuer is not this one's (RFC 8414 section 3.3); and it leads to no other server, so that
/// nobody who can write it makes us call where he likes.
fn key_set_address(metadata: &[u8], name: &str, url: &Url) -> Result<Url, FetchError> {
    let metadata: Metadata =
        serde_json::from_slice(metadata).map_err(|_| FetchError::Metadata("names no `issuer` or no `jwks_uri`"))?;
    if metadata.issuer != name {
        return Err(FetchError::Metadata("is that of another issuer"));
    }
    let keys =
        Url::parse(&metadata.jwks_uri).map_err(|_| FetchError::Metadata("has a `jwks_uri` that is no address"))?;
    if keys.origin() != url.origin() {
        return Err(FetchError::Metadata("leads to another server; name that one with `key_set`"));
    }
    Ok(keys)
}

/// What asks other servers.
#[derive(Clone, Debug)]
pub struct Outbound(Client);

impl Outbound {
    /// Trusts the roots in `authorities` (PEM), or the system's where there are none. Asks through `proxy`, if there is one:
    /// with `CONNECT` where TLS is spoken, so that certificates are those of the servers.
    pub fn new(authorities: Option<&[u8]>, proxy: Option<&Url>) -> Result<Self, FetchError> {
        let mut client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(DEADLINE)
            .connect_timeout(CONNECT_DEADLINE)
            .pool_idle_timeout(IDLE)
            .user_agent(concat!("scopegate/", env!("CARGO_PKG_VERSION")));
        if let Some(authorities) = authorities {
            let own = Certificate::from_pem_bundle(authorities).map_err(|error| unreachable(&error))?;
            client = client.tls_certs_only(own);
        }
        if let Some(proxy) = proxy {
            client = client.proxy(Proxy::all(proxy.clone()).map_err(|error| unreachable(&error))?);
        }
        client.build().map(Self).map_err(|error| unreachable(&error))
    }

    /// The body of a 200.
    async fn get(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        answer(self.0.get(url.clone())).await
    }

    /// The body of a 200 to a form. `authorization` is marked as secret.
    pub(super) async fn post(
        &self,
        url: &Url,
        authorization: HeaderValue,
        form: &[(&str, &str)],
    ) -> Result<Vec<u8>, FetchError> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.0.post(url.clone()).header(reqwest::header::AUTHORIZATION, authorization);
        answer(request.header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)).await
    }
}

async fn answer(request: RequestBuilder) -> Result<Vec<u8>, FetchError> {
    let request = request.header(ACCEPT, HeaderValue::from_static("application/json"));
    let mut reply = request.send().await.map_err(|error| unreachable(&error))?;
    if reply.status() != StatusCode::OK {
        return Err(FetchError::Status(reply.status()));
    }
    let mut body = Vec::new();
    while let Some(part) = reply.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len() + part.len() > LONGEST_ANSWER {
            return Err(FetchError::TooLong);
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// The innermost cause says most; the outer ones repeat the address.
fn unreachable(error: &reqwest::Error) -> FetchError {
    if error.is_timeout() {
        return FetchError::TooSlow;
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    FetchError::Unreachable(cause.to_string())
}

/// From the first byte sent to the last one received.
const DEADLINE: Duration = Duration::from_secs(5);
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// Key sets are a few KiB.
const LONGEST_ANSWER: usize = 1024 * 1024;
const IDLE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_stands_behind_and_before_the_path_of_its_issuer() {
        for (name, expected) in [
            (
                "https://login.example.com",
                [
                    "https://login.example.com/.well-known/openid-configuration",
                    "https://login.example.com/.well-known/oauth-authorization-server",
                ],
            ),
            (
                "https://login.example.com/realms/one",
                [
                    "https://login.example.com/realms/one/.well-known/openid-configuration",
                    "https://login.example.com/.well-known/oauth-authorization-server/realms/one",
                ],
            ),
        ] {
            assert_eq!(metadata_addresses(&Url::parse(name).unwrap()).map(|url| url.to_string()), expected);
        }
    }

    #[test]
    fn metadata_of_another_issuer_or_to_another_server_is_refused() {
        let name = "https://login.example.com";
        let url = Url::parse(name).unwrap();
        for (metadata, expected) in [
            (r#"{"issuer":"https://login.example.com","jwks_uri":"https://login.example.com/keys?v=1"}"#, true),
            (r#"{"issuer":"https://login.example.com/","jwks_uri":"https://login.example.com/keys"}"#, false),
            (r#"{"issuer":"https://evil.example","jwks_uri":"https://login.example.com/keys"}"#, false),
            (r#"{"issuer":"https://login.example.com","jwks_uri":"https://evil.example/keys"}"#, false),
            (r#"{"issuer":"https://login.example.com","jwks_uri":"http://login.example.com/keys"}"#, false),
            (r#"{"issuer":"https://login.example.com","jwks_uri":"https://login.example.com:8443/keys"}"#, false),
            (r#"{"issuer":"https://login.example.com","jwks_uri":"file:///etc/passwd"}"#, false),
            (r#"{"issuer":"https://login.example.com","jwks_uri":"/keys"}"#, false),
            (r#"{"issuer":"https://login.example.com"}"#, false),
            ("<html>", false),
        ] {
            assert_eq!(key_set_address(metadata.as_bytes(), name, &url).is_ok(), expected, "{metadata}");
        }
    }
}
