//! `scopegate client …`: API credentials.

use serde::Serialize;

use super::{
    check::Format,
    context::{CommandError, Context, FormatFlag, rfc3339},
    table::table,
};
use crate::{
    domain::{
        Catalogue, ClientId, ClientSecret, CustomerId, HashingKey, ScopeName, SecretHash, SecretVerifier, Timestamp,
    },
    issuer::is_allowed_redirect,
    store::{Actor, Client, ClientState, Introspects, NewSecret, Predecessor, Store},
};

/// What to do with clients.
#[derive(Debug, clap::Subcommand)]
pub enum ClientCommand {
    /// Make API credentials; the secret is shown once
    Add(AddArgs),
    /// Show all clients
    List(FormatFlag),
    /// Show one client
    Show(Named),
    /// Give a client a new secret; the old one ends at once
    RotateSecret(Named),
    /// Take a client's right to authenticate; its tokens end too
    Disable(Named),
    /// Let a disabled client authenticate again
    Enable(Named),
    /// Remove a client for good
    Remove(Named),
}

/// A new client, and how to tell about it.
#[derive(Debug, clap::Args)]
pub struct AddArgs {
    /// The client
    #[command(flatten)]
    pub client: NewClient,
    /// How to answer
    #[command(flatten)]
    pub answer: FormatFlag,
}

/// What a new client is given.
#[derive(Debug, clap::Args)]
pub struct NewClient {
    /// Who owns the credentials, as `bits:customer::<uuid>`
    #[arg(long)]
    pub customer: String,
    /// What its owner calls it
    #[arg(long, default_value = "")]
    pub name: String,
    /// The scopes it may ask for, separated by spaces
    #[arg(long, default_value = "application")]
    pub scope: String,
    /// Where its session tokens may lead, once for each URL; without any: anywhere
    #[arg(long = "redirect-url", value_name = "URL")]
    pub redirect_urls: Vec<String>,
}

/// Which client.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The client's ID
    pub id: String,
    /// How to answer
    #[command(flatten)]
    pub answer: FormatFlag,
}

/// Does what `command` says. Scopes are those of `catalogue`.
pub async fn run(command: ClientCommand, catalogue: &Catalogue, context: &mut Context<'_>) -> Result<(), CommandError> {
    match command {
        ClientCommand::Add(args) => add(args, catalogue, context).await,
        ClientCommand::List(answer) => list(answer.format(), context).await,
        ClientCommand::Show(named) => show(&named, context).await,
        ClientCommand::RotateSecret(named) => rotate_secret(&named, context).await,
        ClientCommand::Disable(named) => set_state(&named, ClientState::Disabled, context).await,
        ClientCommand::Enable(named) => set_state(&named, ClientState::Enabled, context).await,
        ClientCommand::Remove(named) => remove(&named, context).await,
    }
}

async fn add(args: AddArgs, catalogue: &Catalogue, context: &mut Context<'_>) -> Result<(), CommandError> {
    let AddArgs { client: new, answer } = args;
    let (client, secret) = create(new, catalogue, context.store, context.now, &context.actor).await?;
    credentials(&client, &secret, answer.format(), context)
}

/// Makes a client and its first secret.
pub(super) async fn create(
    new: NewClient,
    catalogue: &Catalogue,
    store: &Store,
    now: Timestamp,
    actor: &Actor,
) -> Result<(Client, ClientSecret), CommandError> {
    let secret = ClientSecret::generate();
    let client = checked(new, catalogue, now)?;
    store.add_client(&client, &kept(&secret, &store.hashing_key().await?), actor).await?;
    Ok((client, secret))
}

async fn list(format: Format, context: &mut Context<'_>) -> Result<(), CommandError> {
    let clients = context.store.clients().await?;
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
    context.line(&table(["CLIENT ID", "CUSTOMER", "STATE", "CREATED", "SCOPE", "NAME"], &rows))
}

async fn show(named: &Named, context: &mut Context<'_>) -> Result<(), CommandError> {
    let client = context.store.client(&id(named)?).await?;
    let shown = Shown::of(&client);
    if named.answer.format() == Format::Json {
        return context.json(&shown);
    }
    context.line(&format!("client_id      {}", shown.client_id))?;
    context.line(&format!("customer_id    {}", shown.customer_id))?;
    context.line(&format!("name           {}", shown.name))?;
    context.line(&format!("scope          {}", shown.scope))?;
    context.line(&format!("state          {}", shown.state))?;
    context.line(&format!("created_at     {}", shown.created_at))?;
    context.line(&format!("secrets        {}", shown.secrets))?;
    shown.redirect_urls.iter().try_for_each(|url| context.line(&format!("redirect_url   {url}")))
}

async fn rotate_secret(named: &Named, context: &mut Context<'_>) -> Result<(), CommandError> {
    let id = id(named)?;
    let client = context.store.client(&id).await?;
    let secret = ClientSecret::generate();
    let kept = kept(&secret, &context.store.hashing_key().await?);
    context.store.rotate_secret(&id, &kept, Predecessor::Ends, context.now, &context.actor).await?;
    credentials(&client, &secret, named.answer.format(), context)
}

async fn set_state(named: &Named, state: ClientState, context: &mut Context<'_>) -> Result<(), CommandError> {
    let id = id(named)?;
    context.store.set_client_state(&id, state, context.now, &context.actor).await?;
    changed(&id, state.name(), named.answer.format(), context)
}

async fn remove(named: &Named, context: &mut Context<'_>) -> Result<(), CommandError> {
    let id = id(named)?;
    context.store.remove_client(&id, context.now, &context.actor).await?;
    changed(&id, "removed", named.answer.format(), context)
}

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
    secrets: usize,
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
            secrets: client.secrets.len(),
        }
    }
}

fn credentials(
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

fn changed(id: &ClientId, state: &'static str, format: Format, context: &mut Context<'_>) -> Result<(), CommandError> {
    if format == Format::Json {
        return context.json(&Changed { client_id: id.as_str(), state });
    }
    context.line(&format!("Client {id} is {state}."))
}

fn scope_text(client: &Client) -> String {
    client.scopes.iter().map(ScopeName::as_str).collect::<Vec<_>>().join(" ")
}

/// A text that cannot be an ID is the ID of no client.
fn id(named: &Named) -> Result<ClientId, CommandError> {
    ClientId::parse(&named.id).map_err(|_| CommandError::NoSuchClient(named.id.clone()))
}

fn checked(args: NewClient, catalogue: &Catalogue, now: Timestamp) -> Result<Client, CommandError> {
    if args.name.chars().count() > 200 || args.name.chars().any(char::is_control) {
        return Err(CommandError::Name);
    }
    if let Some(refused) = args.redirect_urls.iter().find(|url| !is_allowed_redirect(url)) {
        return Err(CommandError::RedirectUrl(refused.clone()));
    }
    Ok(Client {
        id: ClientId::generate(),
        customer: CustomerId::parse_own(&args.customer).ok_or(CommandError::Customer(args.customer))?,
        name: args.name,
        scopes: scopes(&args.scope, catalogue)?,
        redirect_urls: args.redirect_urls,
        state: ClientState::Enabled,
        introspects: Introspects::Own,
        secrets: Vec::new(),
        created_at: now,
    })
}

fn kept(secret: &ClientSecret, key: &HashingKey) -> NewSecret {
    NewSecret { verifier: SecretVerifier::Keyed(SecretHash::of(key, secret)), expires_at: None }
}

fn scopes(text: &str, catalogue: &Catalogue) -> Result<Vec<ScopeName>, CommandError> {
    let known = || catalogue.scopes().iter().map(|scope| scope.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut scopes = Vec::new();
    for name in text.split_ascii_whitespace() {
        let scope = ScopeName::parse(name).ok().filter(|_| catalogue.find(name).is_some());
        let scope = scope.ok_or_else(|| CommandError::UnknownScope { name: name.to_owned(), known: known() })?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    if scopes.is_empty() {
        return Err(CommandError::NoScope { known: known() });
    }
    Ok(scopes)
}

#[cfg(test)]
mod tests;
