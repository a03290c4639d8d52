//! A token endpoint with clients whose credentials are easily misread.

use std::{
    net::{IpAddr, Ipv4Addr},
    pin::pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use http::HeaderMap;
use scopegate::{
    domain::{Catalogue, ClientId, ClientSecret, CustomerId, HashingKey, SecretHash, SecretVerifier, Timestamp},
    issuer::{Authentication, Client, ClientRequest, Directory, Introspects, Issuer, Rates, Reply, Secret, Settings},
    limit::Rate,
    token::{Algorithm, PrivateKey, SigningKey},
};

/// IDs and secrets; some are others' when they are decoded, or hold what separates them.
pub(super) const CLIENTS: [(&str, &str); 5] =
    [("plain", "sgsecret"), ("a-b", "x+y z"), ("a%2Db", "x%2By"), ("urn:c", "a:b"), ("caf%C3%A9", "100%")];

struct Endpoint {
    issuer: Issuer,
    start: Instant,
}

static ENDPOINT: LazyLock<Endpoint> = LazyLock::new(|| {
    #[allow(clippy::disallowed_methods, reason = "any moment does")]
    let start = Instant::now();
    let settings = Settings {
        url: "https://issuer".to_owned(),
        audience: "api".to_owned(),
        lifetime: 3600,
        clock_skew: 30,
        authentication: Authentication::Basic,
    };
    // So many failures in a second that none ever counts.
    let unlimited = Rate::new(u32::MAX, Duration::from_secs(1));
    let rates = Rates {
        failures_per_client: unlimited,
        failures_per_address: unlimited,
        requests_per_client: None,
        requests_per_address: None,
    };
    Endpoint { issuer: Issuer::new(settings, Arc::new(Catalogue::default()), rates, directory(), start), start }
});

fn directory() -> Directory {
    let hashing_key = HashingKey::from_bytes([7; 32]);
    let signing_key = SigningKey::new(&PrivateKey::generate(Algorithm::EdDsa)).expect("a fresh key");
    let client = |(id, secret): (&str, &str)| {
        let hash = SecretHash::of(&hashing_key, &ClientSecret::presented(secret.to_owned()));
        let scopes = Catalogue::default().granted(["application", "application.session"]);
        let client = Client {
            customer: CustomerId::parse("customer").expect("an identifier"),
            scopes,
            default_scopes: Catalogue::default().find("application").expect("it is built in"),
            redirect_urls: Vec::new(),
            secrets: vec![Secret::new(SecretVerifier::Keyed(hash), None, None)],
            introspects: Introspects::OwnCustomer,
            tokens_end: None,
        };
        (ClientId::parse(id).expect("an identifier"), client)
    };
    let clients = CLIENTS.into_iter().map(client).collect();
    let published = vec![signing_key.jwk().clone()];
    Directory { clients, hashing_key, signing_key, published }
}

/// Asks for a token. Nothing is waited for: no client has a secret that is checked slowly.
pub(super) fn ask(headers: &HeaderMap, form: &[u8]) -> Reply {
    let Endpoint { issuer, start } = &*ENDPOINT;
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let now = Timestamp::from_seconds(1_800_000_000);
    let request = ClientRequest { query: None, headers, form, address, now, instant: *start };
    match pin!(issuer.token(&request)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(reply) => reply,
        Poll::Pending => panic!("the token endpoint waits"),
    }
}
