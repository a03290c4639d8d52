//! `scopegate audit`: who changed what, when, from where.

use std::time::Duration;

use serde::Serialize;

use super::{
    check::Format,
    context::{CommandError, Context, FormatFlag, rfc3339},
};
use crate::{
    config::duration_of,
    domain::Timestamp,
    store::{Act, AuditFilter, AuditRow},
};

/// Which acts to show, and how.
#[derive(Debug, clap::Args)]
pub struct AuditArgs {
    /// At most so many, the newest
    #[arg(long, default_value_t = 50, value_name = "COUNT")]
    pub limit: u32,
    /// Only by this actor: `cli:alice`, `client:ID` or `gateway`
    #[arg(long)]
    pub actor: Option<String>,
    /// Only acts of this kind: `token.revoked`, for example
    #[arg(long)]
    pub act: Option<String>,
    /// Only what was done to this client, customer, token (`jti`) or key (`kid`)
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub subject: Option<String>,
    /// Only of the last so long: 24h, for example
    #[arg(long, value_name = "DURATION", value_parser = duration_of)]
    pub since: Option<Duration>,
    /// Only what lies further back than this
    #[arg(long, value_name = "DURATION", value_parser = duration_of)]
    pub before: Option<Duration>,
    /// How to answer
    #[command(flatten)]
    pub answer: FormatFlag,
}

/// Shows the acts that `args` asks for, newest first.
pub async fn run(args: &AuditArgs, context: &mut Context<'_>) -> Result<(), CommandError> {
    let rows = context.store.audit(&filter(args, context.now)?, args.limit).await?;
    if args.answer.format() == Format::Json {
        return context.json(&rows.iter().map(Shown::of).collect::<Vec<_>>());
    }
    let row = |row: &AuditRow| {
        let AuditRow { number: _, at, actor, act, subject } = row;
        [rfc3339(*at), act.to_string(), subject.clone(), actor.name.clone(), actor.origin.clone()]
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    context.table(["TIME", "ACT", "SUBJECT", "ACTOR", "FROM"], &rows)
}

fn filter(args: &AuditArgs, now: Timestamp) -> Result<AuditFilter, CommandError> {
    let ago = |age: Duration| now.minus(age.as_secs());
    let known = || Act::ALL.map(Act::name).join(", ");
    let act = |name: &String| {
        Act::from_name(name).ok_or_else(|| CommandError::UnknownAct { name: name.clone(), known: known() })
    };
    Ok(AuditFilter {
        actor: args.actor.clone(),
        act: args.act.as_ref().map(act).transpose()?,
        subject: args.subject.clone(),
        from: args.since.map(ago),
        to: args.before.map(ago),
    })
}

#[derive(Serialize)]
struct Shown<'a> {
    number: i64,
    time: String,
    act: &'static str,
    subject: &'a str,
    actor: &'a str,
    origin: &'a str,
}

impl<'a> Shown<'a> {
    fn of(row: &'a AuditRow) -> Self {
        let AuditRow { number, at, actor, act, subject } = row;
        Self {
            number: *number,
            time: rfc3339(*at),
            act: act.name(),
            subject,
            actor: &actor.name,
            origin: &actor.origin,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        domain::TokenId,
        store::{Actor, Store},
    };

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn asked() -> AuditArgs {
        let answer = FormatFlag { json: true };
        AuditArgs { limit: 50, actor: None, act: None, subject: None, since: None, before: None, answer }
    }

    fn actor(name: &str) -> Actor {
        Actor { name: name.to_owned(), origin: "192.0.2.7".to_owned() }
    }

    async fn a_store() -> Store {
        let store = Store::in_memory(NOW.minus(7200)).await.unwrap();
        for (id, age, by) in [("a", 3600, "cli:alice"), ("b", 60, "client:acme")] {
            let (token, at) = (TokenId::parse(id).unwrap(), NOW.minus(age));
            store.revoke_token(&token, NOW.plus(60), at, &actor(by)).await.unwrap();
        }
        store
    }

    async fn answer(store: &Store, args: &AuditArgs) -> Result<String, CommandError> {
        let mut out = Vec::new();
        let mut context = Context { store, now: NOW, actor: actor("cli:tester"), out: &mut out };
        run(args, &mut context).await?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[tokio::test]
    async fn acts_are_listed_newest_first_with_who_when_and_where() {
        let store = a_store().await;
        let rows: Value = serde_json::from_str(&answer(&store, &asked()).await.unwrap()).unwrap();
        let expected = json!({
            "number": 3, "time": "2023-11-14T22:12:20Z", "act": "token.revoked", "subject": "b",
            "actor": "client:acme", "origin": "192.0.2.7",
        });
        assert_eq!((&rows[0], &rows[2]["act"]), (&expected, &json!("store.made")));
        let text = answer(&store, &AuditArgs { answer: FormatFlag { json: false }, ..asked() }).await.unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("TIME") && lines[1].contains("client:acme"), "{text}");
    }

    #[tokio::test]
    async fn each_flag_narrows_the_list() {
        let store = a_store().await;
        let text = |text: &str| Some(text.to_owned());
        let minutes = |count: u64| Some(Duration::from_secs(60 * count));
        for (args, expected) in [
            (AuditArgs { limit: 1, ..asked() }, 1),
            (AuditArgs { actor: text("cli:alice"), ..asked() }, 1),
            (AuditArgs { act: text("token.revoked"), ..asked() }, 2),
            (AuditArgs { subject: text("b"), ..asked() }, 1),
            (AuditArgs { since: minutes(1), ..asked() }, 1),
            (AuditArgs { since: minutes(60), before: minutes(1), ..asked() }, 1),
            (AuditArgs { before: minutes(61), ..asked() }, 1),
        ] {
            let rows: Value = serde_json::from_str(&answer(&store, &args).await.unwrap()).unwrap();
            assert_eq!(rows.as_array().unwrap().len(), expected, "{args:?}");
        }
    }

    #[tokio::test]
    async fn an_unknown_act_is_refused_with_the_known_ones() {
        let refused = answer(&a_store().await, &AuditArgs { act: Some("revoked".to_owned()), ..asked() }).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.starts_with("no act is called `revoked`; there are: store.made, "), "{refused}");
    }
}
