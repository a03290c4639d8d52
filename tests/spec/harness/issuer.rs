//! Another issuer: keys in the hands of the test, and a server that publishes them.

use scopegate::{domain::Timestamp, token::Algorithm};
use serde_json::{Value, json};

use super::{Answer, CUSTOMER, Config, Forge, Upstream};

/// An issuer whose key set is what the test says.
pub struct Issuer {
    pub name: String,
    pub server: Upstream,
}

impl Issuer {
    /// One that publishes these keys.
    pub fn publishing(keys: &[&Forge]) -> Self {
        let issuer = Self { name: "https://login.example.com".to_owned(), server: Upstream::start() };
        issuer.publish(keys);
        issuer
    }

    /// Publishes these keys and no others from now on.
    pub fn publish(&self, keys: &[&Forge]) {
        self.server.always(Answer::json(&key_set(keys)));
    }

    /// The entry of `trust` for it, with `more` keys in YAML flow form.
    pub fn entry(&self, more: &str) -> String {
        let Self { name, server } = self;
        let url = format!("http://{}/jwks.json", server.address);
        format!("  - {{issuer: {name}, key_set: \"{url}\", algorithms: [ES256, RS256, EdDSA], {more}}}")
    }

    /// Adds the entry to a configuration.
    pub fn trusted_by(&self, config: &mut Config, more: &str) {
        config.section(&format!("trust:\n{}", self.entry(more)));
    }

    /// How often its keys were asked for.
    pub fn fetches(&self) -> usize {
        self.server.requests().len()
    }

    /// A token with scope `application`, signed by `key`.
    pub fn token(&self, key: &Forge) -> String {
        self.token_with(key, json!({}))
    }

    /// The same with claims added, replaced, or (where they are null) left out.
    pub fn token_with(&self, key: &Forge, claims: Value) -> String {
        key.token(&key.header(), claims_of(&self.name, claims).to_string())
    }
}

/// A key pair under this name.
pub fn key(algorithm: Algorithm, kid: &str) -> Forge {
    Forge::foreign(algorithm, kid)
}

/// The key set of these keys.
pub fn key_set(keys: &[&Forge]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| key.jwk()).collect();
    format!("{{\"keys\":[{}]}}", keys.join(","))
}

/// Good claims of `issuer`, changed.
pub fn claims_of(issuer: &str, changes: Value) -> Value {
    let now = Timestamp::now().seconds();
    let mut claims = json!({
        "iss": issuer, "aud": "applications-api", "sub": "somebody", "client_id": "their-client", "customer_id": CUSTOMER,
        "scope": "application", "iat": now, "exp": now + 600, "jti": format!("jti-{now}"),
    });
    let (members, Value::Object(changes)) = (claims.as_object_mut().expect("an object"), changes) else {
        panic!("claims are changed by an object");
    };
    for (name, value) in changes {
        if value.is_null() {
            members.remove(&name);
        } else {
            members.insert(name, value);
        }
    }
    claims
}
