//! `scopegate client …`: API credentials.

mod show;

use std::{path::PathBuf, time::Duration};

use super::context::{CommandError, Context, FormatFlag, Input};
use crate::{
    config::duration_of,
    domain::{
        Argon2idHash, Catalogue, ClientId, ClientSecret, CustomerId, HashingKey, ScopeName, SecretHash, SecretVerifier,
        Timestamp,
    },
    issuer::is_allowed_redirect,
    store::{Actor, Client, ClientState, Introspects, NewSecret, Predecessor, Store},
};

/// What to do with clients.
#[derive(Debug, clap::Subcommand)]
pub enum ClientCommand {
    /// Make API credentials; the secret is shown once
    Add(AddArgs),
    /// Take over API credentials from elsewhere: their ID, and the argon2id hash of their secret
    Import(ImportArgs),
    /// Show all clients
    List(FormatFlag),
    /// Show one client
    Show(Named),
    /// Give a client a new secret; the old one ends at once, or after --overlap
    RotateSecret(RotateArgs),
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
    /// Let it introspect tokens of every customer, not of its own only
    #[arg(long)]
    pub introspect: bool,
    /// When its secret ends, from now: 90d, for example; without it: not by itself
    #[arg(long, value_name = "DURATION", value_parser = duration_of)]
    pub secret_expires_in: Option<Duration>,
}

/// Credentials from elsewhere.
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// The client ID that its owner uses already
    #[arg(long, allow_hyphen_values = true)]
    pub id: String,
    /// A file with the argon2id hash of its secret as PHC string; `-`: standard input
    #[arg(long, value_name = "FILE")]
    pub secret_hash: PathBuf,
    /// The client
    #[command(flatten)]
    pub client: NewClient,
    /// How to answer
    #[command(flatten)]
    pub answer: FormatFlag,
}

/// Which client gets a new secret, and what becomes of the one it has.
#[derive(Debug, clap::Args)]
pub struct RotateArgs {
    /// The client
    #[command(flatten)]
    pub named: Named,
    /// How long the secret in use goes on counting beside the new one: 24h, for example
    #[arg(long, value_name = "DURATION", value_parser = duration_of)]
    pub overlap: Option<Duration>,
    /// When the new secret ends, from now; without it: not by itself
    #[arg(long, value_name = "DURATION", value_parser = duration_of)]
    pub expires_in: Option<Duration>,
}

/// Which client.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The client's ID
    #[arg(allow_hyphen_values = true)]
    pub id: String,
    /// How to answer
    #[command(flatten)]
    pub answer: FormatFlag,
}

/// Does what `command` says. Scopes are those of `catalogue`; `input` is standard input.
pub async fn run(
    command: ClientCommand,
    catalogue: &Catalogue,
    input: Input<'_>,
    context: &mut Context<'_>,
) -> Result<(), CommandError> {
    match command {
        ClientCommand::Add(args) => add(args, catalogue, context).await,
        ClientCommand::Import(args) => import(args, catalogue, input, context).await,
        ClientCommand::List(answer) => show::list(&context.store.clients().await?, answer.format(), context),
        ClientCommand::Show(named) => {
            show::one(&context.store.client(&id(&named)?).await?, named.answer.format(), context)
        }
        ClientCommand::RotateSecret(args) => rotate_secret(&args, context).await,
        ClientCommand::Disable(named) => set_state(&named, ClientState::Disabled, context).await,
        ClientCommand::Enable(named) => set_state(&named, ClientState::Enabled, context).await,
        ClientCommand::Remove(named) => remove(&named, context).await,
    }
}

async fn add(args: AddArgs, catalogue: &Catalogue, context: &mut Context<'_>) -> Result<(), CommandError> {
    let AddArgs { client: new, answer } = args;
    let (client, secret) = create(new, catalogue, context.store, context.now, &context.actor).await?;
    show::credentials(&client, &secret, answer.format(), context)
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
    let expires_at = end(new.secret_expires_in, now);
    let client = checked(new, catalogue, now)?;
    store.add_client(&client, &kept(&secret, &store.hashing_key().await?, expires_at), actor).await?;
    Ok((client, secret))
}

async fn import(
    args: ImportArgs,
    catalogue: &Catalogue,
    input: Input<'_>,
    context: &mut Context<'_>,
) -> Result<(), CommandError> {
    let ImportArgs { id, secret_hash, client: new, answer } = args;
    let text = input.read(Some(&secret_hash), LONGEST_HASH).map_err(CommandError::HashSource)?;
    let hash = Argon2idHash::parse(text.trim_end()).map_err(CommandError::SecretHash)?;
    let expires_at = end(new.secret_expires_in, context.now);
    let id = ClientId::parse_own(&id).map_err(|why| CommandError::ClientId { id, why })?;
    let client = Client { id, ..checked(new, catalogue, context.now)? };
    let secret = NewSecret { verifier: SecretVerifier::Argon2id(hash), expires_at };
    context.store.add_client(&client, &secret, &context.actor).await?;
    show::changed(&client.id, "imported", answer.format(), context)
}

async fn rotate_secret(args: &RotateArgs, context: &mut Context<'_>) -> Result<(), CommandError> {
    let RotateArgs { named, overlap, expires_in } = args;
    let id = id(named)?;
    let client = context.store.client(&id).await?;
    let secret = ClientSecret::generate();
    let kept = kept(&secret, &context.store.hashing_key().await?, end(*expires_in, context.now));
    let predecessor = end(*overlap, context.now).map_or(Predecessor::Ends, Predecessor::CountsUntil);
    context.store.rotate_secret(&id, &kept, predecessor, context.now, &context.actor).await?;
    show::credentials(&client, &secret, named.answer.format(), context)
}

async fn set_state(named: &Named, state: ClientState, context: &mut Context<'_>) -> Result<(), CommandError> {
    let id = id(named)?;
    context.store.set_client_state(&id, state, context.now, &context.actor).await?;
    show::changed(&id, state.name(), named.answer.format(), context)
}

async fn remove(named: &Named, context: &mut Context<'_>) -> Result<(), CommandError> {
    let id = id(named)?;
    context.store.remove_client(&id, context.now, &context.actor).await?;
    show::changed(&id, "removed", named.answer.format(), context)
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
        introspects: if args.introspect { Introspects::All } else { Introspects::Own },
        secrets: Vec::new(),
        created_at: now,
    })
}

fn kept(secret: &ClientSecret, key: &HashingKey, expires_at: Option<Timestamp>) -> NewSecret {
    NewSecret { verifier: SecretVerifier::Keyed(SecretHash::of(key, secret)), expires_at }
}

fn end(after: Option<Duration>, now: Timestamp) -> Option<Timestamp> {
    after.map(|after| now.plus(after.as_secs()))
}

/// PHC strings within our bounds are shorter, in bytes.
const LONGEST_HASH: u64 = 1024;

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
