//! `scopegate key …`: the keys that sign tokens.

use serde::Serialize;

use super::{
    check::Format,
    context::{CommandError, Context, FormatFlag, rfc3339},
    table::table,
};
use crate::store::{KeyPlan, KeyState, StoredKey};

/// What to do with signing keys.
#[derive(Debug, clap::Subcommand)]
pub enum KeyCommand {
    /// Show all signing keys
    List(FormatFlag),
    /// Let the next key sign from now on, and make a new next one
    Rotate(FormatFlag),
}

/// Does what `command` says. New keys are made as `plan` says.
pub async fn run(command: KeyCommand, plan: KeyPlan, context: &mut Context<'_>) -> Result<(), CommandError> {
    match command {
        KeyCommand::List(answer) => list(answer.format(), context).await,
        KeyCommand::Rotate(answer) => {
            context.store.rotate_keys(plan, context.now, &context.actor).await?;
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
    context.line(&table(["KID", "ALGORITHM", "STATE", "CREATED", "UNTIL"], &rows))
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
        let until = match key.state {
            KeyState::Retired { until } => Some(rfc3339(until)),
            KeyState::Next | KeyState::Current => None,
        };
        Self {
            kid: key.id.as_str(),
            algorithm: key.private.algorithm().name(),
            state: key.state.name(),
            created: rfc3339(key.created_at),
            until,
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
    async fn a_list_for_people_is_a_table() {
        let store = Store::in_memory(NOW).await.unwrap();
        assert!(answer(&store, KeyCommand::List(TEXT)).await.starts_with("No keys yet."));
        let text = answer(&store, KeyCommand::Rotate(TEXT)).await;
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("KID") && lines[1].contains("  ES256      next"), "{text}");
        assert_eq!(lines.len(), 3);
    }
}
