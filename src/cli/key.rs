//! `scopegate key …`: the keys that sign tokens.

use serde::Serialize;

use super::{
    check::Format,
    context::{CommandError, Context, FormatFlag, rfc3339},
};
use crate::{
    domain::KeyId,
    store::{KeyPlan, StoredKey},
};

/// What to do with signing keys.
#[derive(Debug, clap::Subcommand)]
pub enum KeyCommand {
    /// Show all signing keys
    List(FormatFlag),
    /// Let the next key sign from now on, and make a new next one
    Rotate(FormatFlag),
    /// End a key at once, with all tokens it signed: for one that has leaked
    Retire(RetireArgs),
    /// Encrypt what the store keeps secret again, under the first key-encryption key of `store_key`
    Rewrap(FormatFlag),
}

/// Which key ends.
#[derive(Debug, clap::Args)]
pub struct RetireArgs {
    /// Its `kid`
    #[arg(allow_hyphen_values = true)]
    pub kid: String,
    /// How to answer
    #[command(flatten)]
    pub answer: FormatFlag,
}

/// Does what `command` says. New keys are made as `plan` says.
pub async fn run(command: KeyCommand, plan: KeyPlan, context: &mut Context<'_>) -> Result<(), CommandError> {
    match command {
        KeyCommand::List(answer) => list(answer.format(), context).await,
        KeyCommand::Rotate(answer) => {
            context.store.rotate_keys(plan, context.now, &context.actor).await?;
            list(answer.format(), context).await
        }
        KeyCommand::Retire(RetireArgs { kid, answer }) => {
            context.store.retire_key(&KeyId::new(&kid), plan, context.now, &context.actor).await?;
            list(answer.format(), context).await
        }
        KeyCommand::Rewrap(answer) => {
            context.store.reseal(context.now, &context.actor).await?;
            list(answer.format(), context).await
        }
    }
}

async fn list(format: Format, context: &mut Context<'_>) -> Result<(), CommandError> {
    let keys = context.store.keys().await?;
    let shown: Vec<_> = keys.iter().map(Shown::of).collect();
    if format == Format::Json {
        return context.json(&shown);
    }
    if shown.is_empty() {
        return context.line("No keys yet. The gateway makes them when it first starts.");
    }
    let row = |key: Shown<'_>| {
        let (kid, algorithm) = (key.kid.to_owned(), key.algorithm.to_owned());
        [kid, algorithm, key.state.to_owned(), key.created, key.until.unwrap_or_default()]
    };
    let rows: Vec<_> = shown.into_iter().map(row).collect();
    context.table(["KID", "ALGORITHM", "STATE", "CREATED", "UNTIL"], &rows)
}

#[derive(Serialize)]
struct Shown<'a> {
    kid: &'a str,
    algorithm: &'static str,
    state: &'static str,
    created: String,
    until: Option<String>,
}

impl<'a> Shown<'a> {
    fn of(key: &'a StoredKey) -> Self {
        Self {
            kid: key.id.as_str(),
            algorithm: key.private.algorithm().name(),
            state: key.state.name(),
            created: rfc3339(key.created_at),
            until: key.state.end().map(rfc3339),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        domain::Timestamp,
        store::{Actor, Store},
        token::Algorithm,
    };

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
    const PLAN: KeyPlan = KeyPlan { algorithm: Algorithm::Es256, retire_for: 3_600, rotate_every: None };
    const TEXT: FormatFlag = FormatFlag { json: false };
    const JSON: FormatFlag = FormatFlag { json: true };

    async fn answer(store: &Store, command: KeyCommand) -> String {
        let mut out = Vec::new();
        let mut context = Context {
            store,
            now: NOW,
            actor: Actor { name: "cli:tester".to_owned(), origin: "here".to_owned() },
            out: &mut out,
        };
        run(command, PLAN, &mut context).await.unwrap();
        String::from_utf8(out).unwrap()
    }

    #[tokio::test]
    async fn rotating_shows_the_keys_as_they_are_then() {
        let store = Store::in_memory(NOW).await.unwrap();
        store
            .ensure_keys(PLAN, NOW, &Actor { name: "cli:tester".to_owned(), origin: "here".to_owned() })
            .await
            .unwrap();
        let before: Value = serde_json::from_str(&answer(&store, KeyCommand::List(JSON)).await).unwrap();
        let after: Value = serde_json::from_str(&answer(&store, KeyCommand::Rotate(JSON)).await).unwrap();
        let [next, current, retired] = &after.as_array().unwrap()[..] else { panic!("three keys: {after}") };
        assert_eq!((&next["state"], &current["kid"]), (&json!("next"), &before[0]["kid"]));
        let expected = json!({
            "kid": before[1]["kid"], "algorithm": "ES256", "state": "retired",
            "created": "2023-11-14T22:13:20Z", "until": "2023-11-14T23:13:20Z",
        });
        assert_eq!(*retired, expected);
        assert_eq!(current["until"], Value::Null);
    }

    #[tokio::test]
    async fn a_leaked_key_is_told_as_ended() {
        let store = Store::in_memory(NOW).await.unwrap();
        let before: Value = serde_json::from_str(&answer(&store, KeyCommand::Rotate(JSON)).await).unwrap();
        let kid = before[1]["kid"].as_str().unwrap().to_owned();
        let retire = KeyCommand::Retire(RetireArgs { kid: kid.clone(), answer: JSON });
        let after: Value = serde_json::from_str(&answer(&store, retire).await).unwrap();
        let ended = after.as_array().unwrap().iter().find(|key| key["kid"] == kid.as_str()).unwrap();
        assert_eq!((&ended["state"], &ended["until"]), (&json!("retired"), &json!("2023-11-14T22:13:20Z")));
        assert_eq!(after[1]["state"], "current");

        let mut out = Vec::new();
        let actor = Actor { name: "cli:tester".to_owned(), origin: "here".to_owned() };
        let mut context = Context { store: &store, now: NOW, actor, out: &mut out };
        for kid in ["nobody", "no body"] {
            let retire = KeyCommand::Retire(RetireArgs { kid: kid.to_owned(), answer: JSON });
            let refused = run(retire, PLAN, &mut context).await.unwrap_err().to_string();
            assert_eq!(refused, format!("no signing key has the ID {kid}"));
        }
    }

    #[tokio::test]
    async fn rewrapping_keeps_the_keys() {
        let store = Store::in_memory(NOW).await.unwrap();
        let before = answer(&store, KeyCommand::Rotate(JSON)).await;
        assert_eq!(answer(&store, KeyCommand::Rewrap(JSON)).await, before);
    }

    #[tokio::test]
    async fn a_list_for_people_is_a_table() {
        let store = Store::in_memory(NOW).await.unwrap();
        assert!(answer(&store, KeyCommand::List(TEXT)).await.starts_with("No keys yet."));
        let text = answer(&store, KeyCommand::Rotate(TEXT)).await;
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("KID") && lines[1].contains("  ES256      next"), "{text}");
        assert_eq!(lines.len(), 3);
    }
}
