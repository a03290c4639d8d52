//! `scopegate token …`: what a token says, and that it counts no more.

mod inspect;
mod revoke;

pub use inspect::InspectArgs;
pub use revoke::RevokeArgs;

use super::context::{CommandError, Context, Input};

/// What to do with tokens.
#[derive(Debug, clap::Subcommand)]
pub enum TokenCommand {
    /// Show what a token says, and whether a key of this store signed it
    Inspect(InspectArgs),
    /// Revoke one token, or all that a client or customer was issued up to now
    Revoke(RevokeArgs),
}

/// Does what `command` says; `input` is standard input.
pub async fn run(command: TokenCommand, input: Input<'_>, context: &mut Context<'_>) -> Result<(), CommandError> {
    match command {
        TokenCommand::Inspect(args) => inspect::run(&args, input, context).await,
        TokenCommand::Revoke(args) => revoke::run(args, input, context).await,
    }
}
