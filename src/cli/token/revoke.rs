use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::inspect::{LONGEST, Parts};
use crate::{
    cli::{
        check::Format,
        context::{CommandError, Context, FormatFlag, Input, rfc3339},
    },
    domain::{ClientId, CustomerId, Timestamp, TokenId},
    store::{Holder, LONGEST_LIFE},
};

/// Which tokens to revoke, and how to tell about it.
#[derive(Debug, clap::Args)]
pub struct RevokeArgs {
    /// Which
    #[command(flatten)]
    pub which: Which,
    /// How to answer
    #[command(flatten)]
    pub answer: FormatFlag,
}

/// Which tokens: exactly one way to say it.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// The token with this ID
    #[arg(long, allow_hyphen_values = true)]
    pub jti: Option<String>,
    /// The token in this file; `-`: standard input
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// All tokens that this client was issued up to this second
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub client: Option<String>,
    /// All tokens that the clients of this customer were issued up to this second
    #[arg(long, value_name = "bits:customer::<uuid>")]
    pub customer: Option<String>,
}

pub(super) async fn run(args: RevokeArgs, input: Input<'_>, context: &mut Context<'_>) -> Result<(), CommandError> {
    let format = args.answer.format();
    match args.which {
        Which { jti: Some(id), .. } => {
            let id = TokenId::parse(&id).map_err(|_| CommandError::TokenId(id))?;
            one(&id, context.now.plus(LONGEST_LIFE), format, context).await
        }
        Which { client: Some(id), .. } => {
            let id = ClientId::parse(&id).map_err(|_| CommandError::NoSuchClient(id))?;
            all(&Holder::Client(id), "client", format, context).await
        }
        Which { customer: Some(id), .. } => {
            let id = CustomerId::parse_own(&id).ok_or(CommandError::Customer(id))?;
            all(&Holder::Customer(id), "customer", format, context).await
        }
        Which { file, .. } => {
            let text = input.read(file.as_deref(), LONGEST).map_err(CommandError::TokenSource)?;
            let (id, until) = named(&text, context).await?;
            one(&id, until, format, context).await
        }
    }
}

/// The ID of a token that a key of this store signed, and when it has expired for everyone.
async fn named(text: &str, context: &Context<'_>) -> Result<(TokenId, Timestamp), CommandError> {
    let token = Parts::of(text.trim()).ok_or(CommandError::NotAToken)?;
    let keys = context.store.keys().await?;
    if !keys.iter().any(|key| token.is_signed_by(key)) {
        return Err(CommandError::TokenRefused("no key of this store signed it"));
    }
    let id = token.claim("jti").and_then(Value::as_str).and_then(|id| TokenId::parse(id).ok());
    let expiry = token.claim("exp").and_then(Value::as_u64).map(Timestamp::from_seconds);
    let (id, expiry) = id.zip(expiry).ok_or(CommandError::TokenRefused("it lacks `jti` or `exp`"))?;
    Ok((id, expiry.plus(LARGEST_SKEW)))
}

/// Clocks may be configured to differ by so much, in seconds.
const LARGEST_SKEW: u64 = 300;

async fn one(id: &TokenId, until: Timestamp, format: Format, context: &mut Context<'_>) -> Result<(), CommandError> {
    context.store.revoke_token(id, until, context.now, &context.actor).await?;
    tell(&Answer { revoked: "token", id: id.as_str(), at: rfc3339(context.now) }, format, context)
}

async fn all(
    holder: &Holder,
    what: &'static str,
    format: Format,
    context: &mut Context<'_>,
) -> Result<(), CommandError> {
    context.store.revoke_holder(holder, context.now, &context.actor).await?;
    tell(&Answer { revoked: what, id: holder.id(), at: rfc3339(context.now) }, format, context)
}

#[derive(Serialize)]
struct Answer<'a> {
    revoked: &'static str,
    id: &'a str,
    at: String,
}

fn tell(answer: &Answer<'_>, format: Format, context: &mut Context<'_>) -> Result<(), CommandError> {
    let Answer { revoked, id, at } = answer;
    match (format, *revoked) {
        (Format::Json, _) => context.json(answer),
        (Format::Text, "token") => context.line(&format!("Token {id} is revoked.")),
        (Format::Text, holder) => {
            context.line(&format!("All tokens of {holder} {id} that were issued up to {at} are revoked."))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{
        domain::ScopeName,
        store::{Actor, Client, ClientState, Introspects, KeyPlan, KeyState, NewSecret, RevocationNumber, Store},
        token::{Algorithm, Grant, SigningKey, issue},
    };

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
    const PLAN: KeyPlan = KeyPlan { algorithm: Algorithm::Es256, retire_for: 3_600, rotate_every: None };
    const CUSTOMER: &str = "bits:customer::e0d429f2-635b-418c-8b74-4a554f82c0bc";

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: RevokeArgs,
    }

    fn actor() -> Actor {
        Actor { name: "cli:tester".to_owned(), origin: "here".to_owned() }
    }

    async fn answer(store: &Store, line: &[&str], input: &str) -> Result<String, CommandError> {
        let line = Line::try_parse_from([&["revoke"], line].concat()).unwrap();
        let mut out = Vec::new();
        let mut context = Context { store, now: NOW, actor: actor(), out: &mut out };
        run(line.args, Input(&mut input.as_bytes()), &mut context).await?;
        Ok(String::from_utf8(out).unwrap())
    }

    async fn a_store() -> Store {
        let store = Store::in_memory(NOW).await.unwrap();
        store.ensure_keys(PLAN, NOW, &actor()).await.unwrap();
        let client = Client {
            id: ClientId::parse("acme").unwrap(),
            customer: CustomerId::parse(CUSTOMER).unwrap(),
            name: String::new(),
            scopes: vec![ScopeName::parse("application").unwrap()],
            redirect_urls: Vec::new(),
            state: ClientState::Enabled,
            introspects: Introspects::Own,
            secrets: Vec::new(),
            created_at: NOW,
        };
        let hash = crate::domain::SecretHash::from_bytes([1; 32]);
        let secret = NewSecret { verifier: crate::domain::SecretVerifier::Keyed(hash), expires_at: None };
        store.add_client(&client, &secret, &actor()).await.unwrap();
        store
    }

    async fn token(store: &Store) -> String {
        let keys = store.keys().await.unwrap();
        let key = keys.iter().find(|key| key.state == KeyState::Current).unwrap();
        let grant = Grant {
            issuer: "https://issuer.example",
            audience: "api",
            client: &ClientId::parse("acme").unwrap(),
            customer: &CustomerId::parse(CUSTOMER).unwrap(),
            scope: "application",
            session: None,
            lifetime: 60,
        };
        issue(&SigningKey::new(&key.private).unwrap(), &grant, &TokenId::parse("jti-1").unwrap(), NOW)
    }

    #[tokio::test]
    async fn a_token_is_named_by_its_id_or_shown() {
        let store = a_store().await;
        let told = answer(&store, &["--jti", "jti-0", "--json"], "").await.unwrap();
        assert_eq!(told, "{\"revoked\":\"token\",\"id\":\"jti-0\",\"at\":\"2023-11-14T22:13:20Z\"}\n");
        let token = token(&store).await;
        assert_eq!(answer(&store, &["--file", "-"], &token).await.unwrap(), "Token jti-1 is revoked.\n");
        let revoked = store.revoked_tokens(RevocationNumber::default(), NOW, 9).await.unwrap();
        let kept: Vec<_> = revoked.iter().map(|token| (token.id.as_str(), token.until.since(NOW))).collect();
        assert_eq!(kept, [("jti-0", LONGEST_LIFE), ("jti-1", 60 + 300)]);
        // One of 64 IDs that we make begins like a flag.
        assert_eq!(answer(&store, &["--jti", "-jti"], "").await.unwrap(), "Token -jti is revoked.\n");
    }

    #[tokio::test]
    async fn a_client_or_customer_loses_all_its_tokens() {
        let store = a_store().await;
        let told = answer(&store, &["--client", "acme"], "").await.unwrap();
        assert_eq!(told, "All tokens of client acme that were issued up to 2023-11-14T22:13:20Z are revoked.\n");
        answer(&store, &["--customer", CUSTOMER, "--json"], "").await.unwrap();
        assert_eq!(store.snapshot(NOW).await.unwrap().revoked.len(), 2);
    }

    #[tokio::test]
    async fn what_names_nothing_is_refused() {
        let store = a_store().await;
        let foreign = token(&a_store().await).await;
        for (line, input, says) in [
            (["--client", "nobody"], "", "no client has the ID nobody"),
            (["--client", "no body"], "", "no client has the ID no body"),
            (["--customer", "acme"], "", "`acme` is not a customer"),
            (["--jti", "a\tb"], "", "`a\tb` is not a token's ID"),
            (["--file", "-"], "secret", "this is not a JWT"),
            (["--file", "-"], foreign.as_str(), "no key of this store signed it"),
        ] {
            let refused = answer(&store, &line, input).await.unwrap_err().to_string();
            assert!(refused.contains(says), "{line:?}: {refused}");
        }
    }

    #[test]
    fn exactly_one_way_to_name_tokens_is_taken() {
        for line in [&["revoke"][..], &["revoke", "--jti", "a", "--client", "b"]] {
            assert!(Line::try_parse_from(line).is_err(), "{line:?}");
        }
    }
}
