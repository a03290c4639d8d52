use clap::Parser;
use serde_json::Value;

use super::*;
use crate::{
    domain::{Timestamp, is_unprintable},
    store::{Actor, AuditFilter, Store},
};

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
const CUSTOMER: &str = "bits:customer::e0d429f2-635b-418c-8b74-4a554f82c0bc";

#[derive(clap::Parser)]
struct Line {
    #[command(subcommand)]
    command: ClientCommand,
}

/// Runs one command line, split at spaces outside of quotes; `%` stands for the customer.
async fn answer(store: &Store, line: &str) -> Result<String, CommandError> {
    answer_to(store, line, "").await
}

/// The same, with this text on standard input.
async fn answer_to(store: &Store, line: &str, input: &str) -> Result<String, CommandError> {
    let quoted = line.split('\'').enumerate();
    let words = quoted.flat_map(|(place, part)| match place % 2 {
        0 => part.split_whitespace().map(|word| word.replace('%', CUSTOMER)).collect(),
        _ => vec![part.to_owned()],
    });
    let line = Line::try_parse_from(["client".to_owned()].into_iter().chain(words)).unwrap();
    let mut out = Vec::new();
    let mut context = Context {
        store,
        now: NOW,
        actor: Actor { name: "cli:tester".to_owned(), origin: "here".to_owned() },
        out: &mut out,
    };
    run(line.command, &Catalogue::default(), Input(&mut input.as_bytes()), &mut context).await?;
    Ok(String::from_utf8(out).unwrap())
}

async fn json(store: &Store, line: &str) -> Value {
    let answer = answer(store, line).await.unwrap();
    assert_eq!(answer.matches('\n').count(), 1, "one line: {answer}");
    serde_json::from_str(&answer).unwrap()
}

async fn a_store() -> Store {
    Store::in_memory(NOW).await.unwrap()
}

#[tokio::test]
async fn adding_prints_the_credentials_that_the_store_then_knows() {
    let store = a_store().await;
    let line = "add --customer % --name Acme --scope 'application application.session' \
                --redirect-url https://a.example/ --redirect-url http://localhost:3000/x --json";
    let text = answer(&store, line).await.unwrap();
    let added: Value = serde_json::from_str(&text).unwrap();
    let (id, secret) = (added["client_id"].as_str().unwrap(), added["client_secret"].as_str().unwrap());
    let expected = format!(
        r#"{{"client_id":"{id}","client_secret":"{secret}","customer_id":"{CUSTOMER}","scope":"application application.session"}}"#
    );
    assert_eq!(text, expected + "\n");

    let client = store.client(&ClientId::parse(id).unwrap()).await.unwrap();
    let hash = SecretHash::of(&store.hashing_key().await.unwrap(), &ClientSecret::presented(secret.to_owned()));
    assert!(matches!(&client.secrets[0].verifier, SecretVerifier::Keyed(kept) if kept.matches(&hash)));
    assert_eq!(client.redirect_urls, ["https://a.example/", "http://localhost:3000/x"]);
    assert_eq!(store.audit(&AuditFilter::default(), 1).await.unwrap()[0].actor.name, "cli:tester");
}

#[tokio::test]
async fn a_client_gets_the_scope_application_unless_told_otherwise() {
    let store = a_store().await;
    for (flag, scope) in [
        ("", "application"),
        ("--scope application.read", "application.read"),
        ("--scope '  application   application '", "application"),
    ] {
        assert_eq!(json(&store, &format!("add --customer % --json {flag}")).await["scope"], scope, "{flag}");
    }
}

#[tokio::test]
async fn what_cannot_be_a_client_is_refused_and_not_added() {
    let store = a_store().await;
    for (line, says) in [
        ("add --customer acme", "bits:customer::"),
        ("add --customer bits:customer::E0D429F2-635B-418C-8B74-4A554F82C0BC", "lower case"),
        ("add --customer % --scope 'application admin'", "no scope is called `admin`; there are: application, "),
        ("add --customer % --scope 'a\"b'", "no scope is called"),
        ("add --customer % --scope ' '", "names no scope"),
        ("add --customer % --redirect-url http://example.com/", "http://example.com/"),
        ("add --customer % --redirect-url https://example.com/#x", "fragment"),
        ("add --customer % --redirect-url https://me@example.com/", "user"),
        ("add --customer % --redirect-url '/done'", "absolute https URL"),
        ("add --customer % --redirect-url 'https://exam\tple.com/'", "absolute https URL"),
        ("add --customer % --name 'a\u{1b}[2Jb'", "control characters"),
    ] {
        let refused = answer(&store, line).await.unwrap_err().to_string();
        assert!(refused.contains(says), "{line}: {refused}");
    }
    assert_eq!(store.clients().await.unwrap().len(), 0);
}

#[tokio::test]
async fn lists_and_shows_hold_no_secret_and_no_hash() {
    let store = a_store().await;
    let added = json(&store, "add --customer % --name 'Größe 1' --redirect-url https://a.example/ --json").await;
    let (id, secret) = (added["client_id"].as_str().unwrap(), added["client_secret"].as_str().unwrap());
    for line in ["list", "list --json", &format!("show {id}"), &format!("show {id} --json")] {
        let text = answer(&store, line).await.unwrap();
        for shown in [id, CUSTOMER, "Größe 1", "application", "enabled", "2023-11-14T22:13:20Z"] {
            assert!(text.contains(shown), "{line} shows {shown}: {text}");
        }
        assert!(!text.contains(secret) && !text.contains("hash"), "{line}: {text}");
    }
    let shown = json(&store, &format!("show {id} --json")).await;
    assert_eq!(shown["redirect_urls"][0], "https://a.example/");
    let expected = serde_json::json!([
        {"kind": "generated", "created_at": "2023-11-14T22:13:20Z", "expires_at": null, "last_used_at": null},
    ]);
    assert_eq!(shown["secrets"], expected);
}

#[tokio::test]
async fn an_empty_list_says_how_to_make_a_client() {
    let store = a_store().await;
    assert!(answer(&store, "list").await.unwrap().contains("scopegate client add --customer"));
    assert_eq!(answer(&store, "list --json").await.unwrap(), "[]\n");
}

#[tokio::test]
async fn a_rotated_secret_replaces_the_old_one() {
    let store = a_store().await;
    let added = json(&store, "add --customer % --json").await;
    let id = added["client_id"].as_str().unwrap();
    let rotated = json(&store, &format!("rotate-secret {id} --json")).await;
    assert_eq!(rotated["client_id"], added["client_id"]);
    assert_ne!(rotated["client_secret"], added["client_secret"]);
    let text = answer(&store, &format!("rotate-secret {id}")).await.unwrap();
    assert!(text.contains("cannot be shown again"), "{text}");
    assert_eq!(store.clients().await.unwrap()[0].secrets.len(), 1);
}

#[tokio::test]
async fn an_overlap_leaves_the_old_secret_some_time() {
    let store = a_store().await;
    let added = json(&store, "add --customer % --secret-expires-in 90d --json").await;
    let id = added["client_id"].as_str().unwrap();
    json(&store, &format!("rotate-secret {id} --overlap 24h --expires-in 1h --json")).await;
    let shown = json(&store, &format!("show {id} --json")).await;
    let ends: Vec<_> = shown["secrets"].as_array().unwrap().iter().map(|secret| &secret["expires_at"]).collect();
    assert_eq!(ends, ["2023-11-15T22:13:20Z", "2023-11-14T23:13:20Z"]);
    let text = answer(&store, &format!("show {id}")).await.unwrap();
    assert!(text.contains("ends 2023-11-15T22:13:20Z, last used never"), "{text}");
}

#[tokio::test]
async fn a_name_commands_no_terminal() {
    let store = a_store().await;
    answer(&store, "add --customer % --name 'a\u{202e}b\u{2028}c'").await.unwrap();
    let id = store.clients().await.unwrap()[0].id.clone();
    for (line, shown) in [
        ("list".to_owned(), "a\\u{202e}b\\u{2028}c"),
        (format!("show {id}"), "a\\u{202e}b\\u{2028}c"),
        ("list --json".to_owned(), "a\\u202eb\\u2028c"),
        (format!("show {id} --json"), "a\\u202eb\\u2028c"),
    ] {
        let text = answer(&store, &line).await.unwrap();
        assert!(text.contains(shown) && !text.replace('\n', "").contains(is_unprintable), "{line}: {text:?}");
    }
    for name in ["a\u{9b}2J", "a\u{1b}[2J", "a\u{85}b", "a\u{7f}"] {
        let refused = answer(&store, &format!("add --customer % --name '{name}'")).await;
        assert!(refused.is_err_and(|error| error.to_string().contains("no control characters")), "{name:?}");
    }
}

const HASH: &str = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

#[tokio::test]
async fn credentials_from_elsewhere_are_taken_over_with_their_hash() {
    let store = a_store().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hash");
    std::fs::write(&file, HASH.to_owned() + "\n").unwrap();
    let from_file = format!("import --id acme-1 --customer % --secret-hash {}", file.display());
    assert_eq!(answer(&store, &from_file).await.unwrap(), "Client acme-1 is imported.\n");
    let piped = "import --id acme-2 --customer % --introspect --secret-hash - --json";
    answer_to(&store, piped, HASH).await.unwrap();
    for client in store.clients().await.unwrap() {
        assert!(matches!(&client.secrets[0].verifier, SecretVerifier::Argon2id(hash) if hash.as_str() == HASH));
        assert_eq!(client.introspects == Introspects::All, client.id.as_str() == "acme-2");
    }
    let shown = answer(&store, "show acme-1").await.unwrap();
    assert!(shown.contains("imported, made") && !shown.contains("argon2"), "{shown}");
}

#[tokio::test]
async fn what_cannot_be_imported_is_refused_and_not_echoed() {
    let store = a_store().await;
    let costly = HASH.replace("t=2", "t=99");
    for (line, input, says) in [
        ("import --id a --customer % --secret-hash -", "hunter2", "is not a PHC string of argon2id"),
        ("import --id a --customer % --secret-hash -", "", "is not a PHC string of argon2id"),
        ("import --id a --customer % --secret-hash -", costly.as_str(), "at most m=65536 (64 MiB), t=10 and p=4"),
        ("import --id a --customer % --secret-hash /nonexistent", HASH, "cannot be read"),
        ("import --id 'a b' --customer % --secret-hash -", HASH, "`a b` cannot be a client ID"),
        ("import --id a --customer acme --secret-hash -", HASH, "is not a customer"),
    ] {
        let refused = answer_to(&store, line, input).await.unwrap_err().to_string();
        assert!(refused.contains(says) && !refused.contains("hunter2"), "{line}: {refused}");
    }
    answer_to(&store, "import --id a --customer % --secret-hash -", HASH).await.unwrap();
    let again = answer_to(&store, "import --id a --customer % --secret-hash -", HASH).await.unwrap_err();
    assert_eq!(again.to_string(), "a client with the ID a is there already");
}

#[tokio::test]
async fn a_client_is_disabled_enabled_and_removed() {
    let store = a_store().await;
    let id = json(&store, "add --customer % --json").await["client_id"].as_str().unwrap().to_owned();
    for (act, state) in [("disable", "disabled"), ("enable", "enabled")] {
        assert_eq!(json(&store, &format!("{act} {id} --json")).await["state"], state);
        assert_eq!(json(&store, &format!("show {id} --json")).await["state"], state);
    }
    assert_eq!(answer(&store, &format!("remove {id}")).await.unwrap(), format!("Client {id} is removed.\n"));
    assert_eq!(answer(&store, "list --json").await.unwrap(), "[]\n");
}

#[tokio::test]
async fn an_unknown_client_is_named_in_the_refusal() {
    let store = a_store().await;
    for act in ["show", "rotate-secret", "disable", "enable", "remove"] {
        for id in ["nobody", "'no body'"] {
            let refused = answer(&store, &format!("{act} {id}")).await.unwrap_err().to_string();
            assert_eq!(refused, format!("no client has the ID {}", id.trim_matches('\'')), "{act}");
        }
    }
}
