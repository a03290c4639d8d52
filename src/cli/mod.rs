//! The command line, one file per command.

mod audit;
mod check;
mod client;
mod context;
mod demo;
mod key;
mod run;
mod table;
mod token;

use std::{
    io::{stderr, stdin, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{
    app::{self, AppError, OpenStore},
    config::{self, Config, Problems},
    domain::{Timestamp, printable_lines},
    telemetry::say_last,
};
use context::{CommandError, Context, FormatFlag, Input};

/// An authentication gateway: issues OAuth 2.0 access tokens, checks them on every request, proxies what they allow.
#[derive(Debug, Parser)]
#[command(name = "scopegate", version)]
struct Arguments {
    /// The configuration
    #[arg(short, long, value_name = "FILE", default_value = "gateway.yaml", global = true)]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (this is also what happens without a command)
    Run,
    /// Check the configuration and tell all that is wrong with it
    Check(FormatFlag),
    /// API credentials
    #[command(subcommand)]
    Client(client::ClientCommand),
    /// The keys that sign tokens
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Tokens
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Show who changed what in the store, when and from where
    Audit(audit::AuditArgs),
    /// Serve a sample Applications API with a fresh store and one client, and print curl lines that work
    Demo(demo::DemoArgs),
}

/// Why a command ends with exit code 1.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] Problems),
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Runs the command of this process's arguments: exit code 0, 1 for refused or invalid, 2 for usage.
pub fn main() -> ExitCode {
    app::keep_private();
    let Arguments { config, command } = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(usage) => usage.exit(),
    };
    let done = match command.unwrap_or(Command::Run) {
        Command::Check(answer) => return check::run(&config, answer.format(), &mut stdout(), &mut stderr()),
        Command::Run => run::run(&config),
        Command::Demo(args) => demo::run(&args),
        Command::Client(command) => on_store(&config, async |config, context| {
            client::run(command, &config.catalogue, Input(&mut stdin()), context).await
        }),
        Command::Key(command) => {
            on_store(&config, async |config, context| key::run(command, app::key_plan(config), context).await)
        }
        Command::Token(command) => {
            on_store(&config, async |_, context| token::run(command, Input(&mut stdin()), context).await)
        }
        Command::Audit(args) => on_store(&config, async |_, context| audit::run(&args, context).await),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say_last(&printable_lines(&failure.to_string()));
            ExitCode::FAILURE
        }
    }
}

/// Runs a command on the store that the configuration at `path` names, beside a gateway that may be running on it.
fn on_store(
    path: &Path,
    command: impl AsyncFnOnce(&Config, &mut Context<'_>) -> Result<(), CommandError>,
) -> Result<(), Failure> {
    let config = config::load(path)?;
    let store = OpenStore::open(&config)?;
    let mut out = stdout().lock();
    store.block_on(async |store| {
        let mut context = Context { store, now: Timestamp::now(), actor: context::actor(), out: &mut out };
        let done = command(&config, &mut context).await;
        store.close().await;
        done
    })?;
    Ok(())
}
