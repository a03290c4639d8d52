use std::path::PathBuf;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    cli::{
        check::Format,
        context::{CommandError, Context, FormatFlag, Input, rfc3339},
    },
    domain::Timestamp,
    store::StoredKey,
    token::{MAX_TOKEN_LENGTH, SigningKey},
};

/// Where the token is. It is never an argument: other users of the machine can read those.
#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    /// A file that holds the token; without it, or as `-`, standard input
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// How to answer
    #[command(flatten)]
    pub answer: FormatFlag,
}

pub(super) async fn run(args: &InspectArgs, input: Input<'_>, context: &mut Context<'_>) -> Result<(), CommandError> {
    let text = input.read(args.file.as_deref(), LONGEST).map_err(CommandError::TokenSource)?;
    let token = Parts::of(text.trim()).ok_or(CommandError::NotAToken)?;
    let inspected = inspect(&token, &context.store.keys().await?, context.now);
    match args.answer.format() {
        Format::Json => context.json(&inspected)?,
        Format::Text => inspected.lines().iter().try_for_each(|line| context.lines(line))?,
    }
    inspected.verdict()
}

/// The answer. It holds the signature's outcome, never the signature: what is printed is no token.
#[derive(Serialize)]
struct Inspected<'a> {
    header: &'a Map<String, Value>,
    claims: &'a Map<String, Value>,
    verified: bool,
    kid: Option<String>,
    key_state: Option<&'static str>,
    expires_at: Option<String>,
    expired: bool,
}

impl Inspected<'_> {
    fn lines(&self) -> Vec<String> {
        let pretty = |object| serde_json::to_string_pretty(object).expect("an object that was read can be written");
        let signature = match (&self.kid, self.key_state) {
            (Some(kid), Some(state)) => format!("verified with key {kid} ({state})"),
            _ => "not verified: no key of this store signed it".to_owned(),
        };
        let expiry = match &self.expires_at {
            Some(moment) if self.expired => format!("expired at {moment}"),
            Some(moment) => format!("valid until {moment}"),
            None => "never stated".to_owned(),
        };
        vec![
            format!("header     {}", pretty(self.header)),
            format!("claims     {}", pretty(self.claims)),
            format!("signature  {signature}"),
            format!("expiry     {expiry}"),
        ]
    }

    fn verdict(&self) -> Result<(), CommandError> {
        if !self.verified {
            return Err(CommandError::TokenRefused("no key of this store signed it"));
        }
        if self.expires_at.is_none() {
            return Err(CommandError::TokenRefused("it has no `exp`"));
        }
        if self.expired {
            return Err(CommandError::TokenRefused("it has expired"));
        }
        Ok(())
    }
}

fn inspect<'a>(token: &'a Parts<'_>, keys: &[StoredKey], now: Timestamp) -> Inspected<'a> {
    let signer = keys.iter().find(|key| token.is_signed_by(key));
    let expires_at = token.claims.get("exp").and_then(Value::as_u64).map(Timestamp::from_seconds);
    Inspected {
        header: &token.header,
        claims: &token.claims,
        verified: signer.is_some(),
        kid: signer.map(|key| key.id.to_string()),
        key_state: signer.map(|key| key.state.name()),
        expires_at: expires_at.map(rfc3339),
        expired: expires_at.is_some_and(|moment| moment <= now),
    }
}

/// A JWS in compact serialization (RFC 7515 section 7.1).
pub(super) struct Parts<'a> {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        // What is no base64url is no key's signature; the rest is shown all the same.
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        Some(Self { header: object(header)?, claims: object(claims)?, signed, signature })
    }

    pub(super) fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }

    /// The algorithm is the key's; a header that names another one does not verify.
    pub(super) fn is_signed_by(&self, key: &StoredKey) -> bool {
        let named = self.header.get("alg").and_then(Value::as_str);
        named == Some(key.private.algorithm().name())
            && SigningKey::new(&key.private)
                .is_ok_and(|key| key.public().verifies(self.signed.as_bytes(), &self.signature))
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    let json = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&json).ok()
}

/// A little more than the longest token, for white space around it.
pub(super) const LONGEST: u64 = MAX_TOKEN_LENGTH as u64 + 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{ClientId, CustomerId, TokenId},
        store::{Actor, KeyPlan, KeyState, Store},
        token::{Algorithm, Grant, PrivateKey, issue},
    };

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
    const PLAN: KeyPlan = KeyPlan { algorithm: Algorithm::EdDsa, retire_for: 3_600, rotate_every: None };

    fn token(key: &PrivateKey) -> String {
        let grant = Grant {
            issuer: "https://issuer.example",
            audience: "api",
            client: &ClientId::parse("client").unwrap(),
            customer: &CustomerId::parse("customer").unwrap(),
            scope: "application",
            session: None,
            lifetime: 60,
        };
        issue(&SigningKey::new(key).unwrap(), &grant, &TokenId::parse("jti-1").unwrap(), NOW)
    }

    async fn a_store() -> (Store, String) {
        let store = Store::in_memory(NOW).await.unwrap();
        store
            .ensure_keys(PLAN, NOW, &Actor { name: "cli:tester".to_owned(), origin: "here".to_owned() })
            .await
            .unwrap();
        let keys = store.keys().await.unwrap();
        let token = token(&keys.iter().find(|key| key.state == KeyState::Current).unwrap().private);
        (store, token)
    }

    /// What is printed, and how it ends.
    async fn inspected(store: &Store, token: &str, now: Timestamp, json: bool) -> (String, Result<(), String>) {
        let args = InspectArgs { file: None, answer: FormatFlag { json } };
        let mut out = Vec::new();
        let mut context = Context {
            store,
            now,
            actor: Actor { name: "cli:tester".to_owned(), origin: "here".to_owned() },
            out: &mut out,
        };
        let outcome = run(&args, Input(&mut token.as_bytes()), &mut context).await;
        (String::from_utf8(out).unwrap(), outcome.map_err(|error| error.to_string()))
    }

    #[tokio::test]
    async fn a_token_of_ours_is_shown_without_its_signature() {
        let (store, token) = a_store().await;
        let signature = token.rsplit_once('.').unwrap().1.to_owned();
        for json in [true, false] {
            let (text, outcome) = inspected(&store, &format!(" {token}\n"), NOW, json).await;
            assert_eq!(outcome, Ok(()));
            for shown in ["at+jwt", "EdDSA", "application", "jti-1", "current", "2023-11-14T22:14:20Z"] {
                assert!(text.contains(shown), "{shown}: {text}");
            }
            assert!(!text.contains(&signature) && !text.contains(token.split('.').next().unwrap()));
        }
    }

    #[tokio::test]
    async fn expired_and_foreign_tokens_are_shown_and_refused() {
        let (store, own) = a_store().await;
        let foreign = token(&PrivateKey::generate(Algorithm::EdDsa));
        let (head, _) = own.split_once('.').unwrap();
        let mixed = format!("{head}.{}", foreign.split_once('.').unwrap().1);
        for (token, now, says) in [
            (&own, NOW.plus(60), "the token would be refused: it has expired"),
            (&foreign, NOW, "the token would be refused: no key of this store signed it"),
            (&mixed, NOW, "the token would be refused: no key of this store signed it"),
        ] {
            let (text, outcome) = inspected(&store, token, now, false).await;
            assert!(text.contains("https://issuer.example"), "{text}");
            assert_eq!(outcome, Err(says.to_owned()));
        }
    }

    #[tokio::test]
    async fn a_header_that_names_another_algorithm_does_not_verify() {
        let (store, own) = a_store().await;
        let (_, rest) = own.split_once('.').unwrap();
        for alg in ["none", "HS256", "ES256"] {
            let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}"}}"#));
            let (_, outcome) = inspected(&store, &format!("{header}.{rest}"), NOW, false).await;
            assert!(outcome.is_err(), "{alg}");
        }
    }

    #[tokio::test]
    async fn what_is_no_token_is_refused_without_being_echoed() {
        let (store, _) = a_store().await;
        for text in ["", "secret", "secret.secret", "secret.secret.secret", "e30.W10.x", "e30.e30"] {
            let (shown, outcome) = inspected(&store, text, NOW, false).await;
            assert_eq!(shown, "");
            assert!(outcome.unwrap_err().starts_with("this is not a JWT"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_token_is_read_from_a_file_too() {
        let (store, token) = a_store().await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, token + "\n").unwrap();
        let args = InspectArgs { file: Some(file), answer: FormatFlag { json: true } };
        let mut out = Vec::new();
        let mut context = Context {
            store: &store,
            now: NOW,
            actor: Actor { name: "cli:tester".to_owned(), origin: "here".to_owned() },
            out: &mut out,
        };
        run(&args, Input(&mut std::io::empty()), &mut context).await.unwrap();
        assert!(String::from_utf8(out).unwrap().contains(r#""verified":true"#));
    }
}
