//! The endpoints as functions, with a directory, a clock and a revoker of the test's own.

mod authentication;
mod revocation_and_introspection;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{LazyLock, Mutex},
    time::Duration,
};

use argon2::{Algorithm as Kind, Argon2, Params, PasswordHasher, Version};
use async_trait::async_trait;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::{HeaderValue, header};
use serde_json::Value;

use super::{throttle::start_of_time, *};
use crate::{
    domain::{ClientSecret, TokenId},
    limit::Rate,
    token::{Algorithm, Expectations, PrivateKey},
    trust::{Standing, TrustedKey},
};

pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const SKEW: u64 = 30;
const LIFETIME: u64 = 3600;
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const GRANT: &str = "grant_type=client_credentials";

static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate(Algorithm::EdDsa));
static HASHING_KEY: LazyLock<HashingKey> = LazyLock::new(HashingKey::generate);

pub(super) fn keyed_hash(secret: &str) -> SecretHash {
    SecretHash::of(&HASHING_KEY, &ClientSecret::presented(secret.to_owned()))
}

pub(super) fn keyed(secret: &str) -> Secret {
    Secret::new(SecretVerifier::Keyed(keyed_hash(secret)), None, None)
}

pub(super) fn argon2id(secret: &str, memory: u32) -> Argon2idHash {
    let argon2 = Argon2::new(Kind::Argon2id, Version::V0x13, Params::new(memory, 1, 1, None).unwrap());
    let hash = argon2.hash_password_with_salt(secret.as_bytes(), b"some-salt-16byte").unwrap();
    Argon2idHash::parse(&hash.to_string()).unwrap()
}

pub(super) fn imported(secret: &str, memory: u32) -> Secret {
    Secret::new(SecretVerifier::Argon2id(argon2id(secret, memory)), None, None)
}

pub(super) fn client(customer: &str, secrets: Vec<Secret>) -> Client {
    let scopes = Catalogue::default().granted(["application", "application.session"]);
    Client {
        customer: CustomerId::parse(customer).unwrap(),
        scopes,
        default_scopes: Catalogue::default().find("application").unwrap(),
        redirect_urls: Vec::new(),
        secrets,
        introspects: Introspects::OwnCustomer,
        tokens_end: None,
    }
}

pub(super) fn directory(clients: Vec<(&str, Client)>) -> Directory {
    let signing_key = SigningKey::new(&KEY).unwrap();
    let published = vec![signing_key.jwk().clone()];
    let clients = clients.into_iter().map(|(id, client)| (ClientId::parse(id).unwrap(), client)).collect();
    Directory { clients, hashing_key: HASHING_KEY.clone(), signing_key, published }
}

/// An issuer, and what its endpoints are asked with.
struct World {
    issuer: Issuer,
    trust: Trust,
    revoker: Recorder,
    start: Instant,
}

impl World {
    fn new(clients: Vec<(&str, Client)>) -> Self {
        let url = "https://issuer".to_owned();
        let authentication = Authentication::Basic;
        let settings = Settings {
            url: url.clone(),
            audience: "api".to_owned(),
            lifetime: LIFETIME,
            clock_skew: SKEW,
            authentication,
        };
        let catalogue = Arc::new(Catalogue::default());
        let trust = Trust::new(url, Expectations::own("api".to_owned(), SKEW, Arc::clone(&catalogue)), Vec::new());
        let key = SigningKey::new(&KEY).unwrap().public().clone();
        let enabled = clients.iter().map(|(id, _)| (*id).to_owned()).collect::<Vec<_>>();
        trust.replace(standing(vec![TrustedKey { key, until: None }], &enabled));
        let start = start_of_time();
        let rate = |count| Rate::new(count, Duration::from_secs(60));
        let rates = Rates {
            failures_per_client: rate(3),
            failures_per_address: rate(1000),
            requests_per_client: None,
            requests_per_address: None,
        };
        let issuer = Issuer::new(settings, catalogue, rates, directory(clients), start);
        Self { issuer, trust, revoker: Recorder::default(), start }
    }

    async fn token(&self, id: &str, secret: &str, form: &str, now: Timestamp) -> Reply {
        let headers = headers(id, secret);
        self.issuer.token(&self.request(&headers, form, now)).await
    }

    /// A token request from another address.
    async fn token_from(&self, address: IpAddr, id: &str, secret: &str) -> Reply {
        let headers = headers(id, secret);
        self.issuer.token(&ClientRequest { address, ..self.request(&headers, GRANT, NOW) }).await
    }

    async fn revoke(&self, id: &str, secret: &str, form: &str, now: Timestamp) -> Reply {
        let headers = headers(id, secret);
        self.issuer.revoke(&self.request(&headers, form, now), &self.trust, &self.revoker).await
    }

    async fn introspect(&self, id: &str, secret: &str, form: &str, now: Timestamp) -> Reply {
        let headers = headers(id, secret);
        self.issuer.introspect(&self.request(&headers, form, now), &self.trust).await
    }

    /// A fresh token of this client, whose secret is `secret`.
    async fn issued(&self, id: &str, form: &str, now: Timestamp) -> String {
        let reply = self.token(id, "secret", &format!("{GRANT}{form}"), now).await;
        assert_eq!(status(&reply), 200, "{reply:?}");
        json(&reply)["access_token"].as_str().unwrap().to_owned()
    }

    fn request<'a>(&self, headers: &'a HeaderMap, form: &'a str, now: Timestamp) -> ClientRequest<'a> {
        ClientRequest { query: None, headers, form: form.as_bytes(), address: HERE, now, instant: self.start }
    }
}

fn standing(keys: Vec<TrustedKey>, clients: &[String]) -> Standing {
    let clients = clients.iter().map(|id| (ClientId::parse(id).unwrap(), None)).collect();
    Standing { keys, clients, ..Standing::default() }
}

/// Keeps what is revoked, or refuses to.
#[derive(Default)]
struct Recorder {
    revoked: Mutex<Vec<(TokenId, Timestamp, ClientId, IpAddr)>>,
    broken: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl Revoker for Recorder {
    async fn revoke_token(
        &self,
        token: TokenId,
        until: Timestamp,
        client: &ClientId,
        address: IpAddr,
    ) -> Result<(), RevokerUnavailable> {
        if self.broken.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(RevokerUnavailable);
        }
        self.revoked.lock().unwrap().push((token, until, client.clone(), address));
        Ok(())
    }
}

fn headers(id: &str, secret: &str) -> HeaderMap {
    let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    [(header::AUTHORIZATION, HeaderValue::try_from(basic).unwrap()), (header::CONTENT_TYPE, form)].into_iter().collect()
}

fn status(reply: &Reply) -> u16 {
    reply.response.status().as_u16()
}

fn json(reply: &Reply) -> Value {
    serde_json::from_slice(reply.response.body()).unwrap()
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}
