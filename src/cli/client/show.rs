//! What is told of clients.

use serde::Serialize;

use crate::{
    cli::{
        check::Format,
        context::{CommandError, Context, rfc3339},
    },
    domain::{ClientId, ClientSecret, ScopeName, SecretVerifier},
    store::{Client, Secret},
};

/// The answer to `add` and `rotate-secret`: the only one with a secret.
#[derive(Serialize)]
struct Credentials<'a> {
    client_id: &'a str,
    client_secret: &'a str,
    customer_id: &'a str,
    scope: String,
}

/// What may be shown of a client: no secret, and no hash.
#[derive(Serialize)]
struct Shown<'a> {
    client_id: &'a str,
    customer_id: &'a str,
    name: &'a str,
    scope: String,
    redirect_urls: &'a [String],
    state: &'static str,
    created_at: String,
    introspects: &'static str,
    secrets: Vec<ShownSecret>,
}

/// What may be shown of a secret.
#[derive(Serialize)]
struct ShownSecret {
    kind: &'static str,
    created_at: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
}

#[derive(Serialize)]
struct Changed<'a> {
    client_id: &'a str,
    state: &'static str,
}

impl<'a> Shown<'a> {
    fn of(client: &'a Client) -> Self {
        Self {
            client_id: client.id.as_str(),
            customer_id: client.customer.as_str(),
            name: &client.name,
            scope: scope_text(client),
            redirect_urls: &client.redirect_urls,
            state: client.state.name(),
            created_at: rfc3339(client.created_at),
            introspects: client.introspects.name(),
            secrets: client.secrets.iter().map(ShownSecret::of).collect(),
        }
    }
}

impl ShownSecret {
    fn of(secret: &Secret) -> Self {
        Self {
            kind: match secret.verifier {
                SecretVerifier::Keyed(_) => "generated",
                SecretVerifier::Argon2id(_) => "imported",
            },
            created_at: rfc3339(secret.created_at),
            expires_at: secret.expires_at.map(rfc3339),
            last_used_at: secret.last_used_at.map(rfc3339),
        }
    }

    fn line(&self) -> String {
        let Self { kind, created_at, expires_at, last_used_at } = self;
        let expires_at = expires_at.as_deref().unwrap_or("not by itself");
        let last_used_at = last_used_at.as_deref().unwrap_or("never");
        format!("{kind}, made {created_at}, ends {expires_at}, last used {last_used_at}")
    }
}

/// The answer to `list`.
pub(super) fn list(clients: &[Client], format: Format, context: &mut Context<'_>) -> Result<(), CommandError> {
    if format == Format::Json {
        return context.json(&clients.iter().map(Shown::of).collect::<Vec<_>>());
    }
    if clients.is_empty() {
        return context.line("No clients yet. Make one: scopegate client add --customer bits:customer::<uuid>");
    }
    let row = |client: &Client| {
        let shown = Shown::of(client);
        let (id, customer) = (shown.client_id.to_owned(), shown.customer_id.to_owned());
        [id, customer, shown.state.to_owned(), shown.created_at, shown.scope, shown.name.to_owned()]
    };
    let rows: Vec<_> = clients.iter().map(row).collect();
    context.table(["CLIENT ID", "CUSTOMER", "STATE", "CREATED", "SCOPE", "NAME"], &rows)
}

/// The answer to `show`.
pub(super) fn one(client: &Client, format: Format, context: &mut Context<'_>) -> Result<(), CommandError> {
    let shown = Shown::of(client);
    if format == Format::Json {
        return context.json(&shown);
    }
    context.line(&format!("client_id      {}", shown.client_id))?;
    context.line(&format!("customer_id    {}", shown.customer_id))?;
    context.line(&format!("name           {}", shown.name))?;
    context.line(&format!("scope          {}", shown.scope))?;
    context.line(&format!("state          {}", shown.state))?;
    context.line(&format!("introspects    {}", shown.introspects))?;
    context.line(&format!("created_at     {}", shown.created_at))?;
    shown.secrets.iter().try_for_each(|secret| context.line(&format!("secret         {}", secret.line())))?;
    shown.redirect_urls.iter().try_for_each(|url| context.line(&format!("redirect_url   {url}")))
}

pub(super) fn credentials(
    client: &Client,
    secret: &ClientSecret,
    format: Format,
    context: &mut Context<'_>,
) -> Result<(), CommandError> {
    let (client_id, customer_id) = (client.id.as_str(), client.customer.as_str());
    let shown = Credentials { client_id, client_secret: secret.reveal(), customer_id, scope: scope_text(client) };
    if format == Format::Json {
        return context.json(&shown);
    }
    context.line(&format!("client_id      {client_id}"))?;
    context.line(&format!("client_secret  {}", shown.client_secret))?;
    context.line(&format!("customer_id    {customer_id}"))?;
    context.line(&format!("scope          {}", shown.scope))?;
    context.line("Keep the secret now: it is not stored and cannot be shown again.")
}

pub(super) fn changed(
    id: &ClientId,
    state: &'static str,
    format: Format,
    context: &mut Context<'_>,
) -> Result<(), CommandError> {
    if format == Format::Json {
        return context.json(&Changed { client_id: id.as_str(), state });
    }
    context.line(&format!("Client {id} is {state}."))
}

fn scope_text(client: &Client) -> String {
    client.scopes.iter().map(ScopeName::as_str).collect::<Vec<_>>().join(" ")
}
