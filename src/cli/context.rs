//! What the commands on a store share.

use std::{
    env,
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::Path,
};

use serde::Serialize;

use super::{check::Format, table::table};
use crate::{
    app::machine,
    domain::{Argon2idError, DateTime, HeaderTextError, Timestamp, printable, printable_json, printable_lines},
    store::{Actor, Store, StoreError},
};

/// What a command on a store works with.
pub struct Context<'a> {
    /// The store that the configuration names.
    pub store: &'a Store,
    /// When the command began.
    pub now: Timestamp,
    /// Who runs it.
    pub actor: Actor,
    /// Where its answer goes: standard output.
    pub out: &'a mut dyn Write,
}

/// The flag that every command with an answer has.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct FormatFlag {
    /// Answer with one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Why a command was refused; exit code 1.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The store refused, or is not usable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The answer could not be written.
    #[error("the answer cannot be written: {0}")]
    Output(#[from] io::Error),
    /// A customer is spelt otherwise.
    #[error("`{0}` is not a customer; write bits:customer:: and a UUID in lower case with hyphens")]
    Customer(String),
    /// A name that would spoil a terminal or a table.
    #[error("a client's name has at most 200 characters and no control characters")]
    Name,
    /// A client must be granted something.
    #[error("--scope names no scope; there are: {known}")]
    NoScope {
        /// The names that there are.
        known: String,
    },
    /// A scope that the configuration does not know.
    #[error("no scope is called `{name}`; there are: {known}")]
    UnknownScope {
        /// As asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// A place that session tokens must not lead to.
    #[error("`{0}` is not an absolute https URL without user and fragment (http: for this machine only)")]
    RedirectUrl(String),
    /// No client has this ID.
    #[error("no client has the ID {0}")]
    NoSuchClient(String),
    /// A client ID that could not be sent or logged.
    #[error("`{id}` cannot be a client ID: it {why}")]
    ClientId {
        /// As asked for.
        id: String,
        /// What is wrong with it.
        why: HeaderTextError,
    },
    /// The file or standard input with a secret's hash cannot be read.
    #[error("the secret's hash cannot be read: {0}")]
    HashSource(io::Error),
    /// What was read is no hash that is taken. It is not told: it may be the secret.
    #[error("the secret's hash {0}")]
    SecretHash(Argon2idError),
    /// The token's file or standard input cannot be read.
    #[error("the token cannot be read: {0}")]
    TokenSource(io::Error),
    /// A token that cannot be named.
    #[error("`{0}` is not a token's ID (`jti`)")]
    TokenId(String),
    /// An act of this name is never recorded.
    #[error("no act is called `{name}`; there are: {known}")]
    UnknownAct {
        /// As asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// What was read is not a JWT in compact form.
    #[error("this is not a JWT: three base64url parts, of which the first two are JSON objects")]
    NotAToken,
    /// The token was shown, and would be refused.
    #[error("the token would be refused: {0}")]
    TokenRefused(&'static str),
}

/// Standard input, or a file in its place: where a command reads what must not be an argument, since other users of the
/// machine can read those.
pub struct Input<'a>(pub &'a mut dyn Read);

impl Input<'_> {
    /// The text of `file`, or of standard input where there is none or it is `-`, cut off after `longest` bytes.
    pub(super) fn read(self, file: Option<&Path>, longest: u64) -> io::Result<String> {
        let mut text = String::new();
        match file.filter(|file| file.as_os_str() != "-") {
            Some(file) => File::open(file)?.take(longest).read_to_string(&mut text)?,
            None => self.0.take(longest).read_to_string(&mut text)?,
        };
        Ok(text)
    }
}

impl FormatFlag {
    /// The format it asks for.
    pub const fn format(self) -> Format {
        if self.json {
            return Format::Json;
        }
        Format::Text
    }
}

impl Context<'_> {
    /// Writes `answer` as one line of JSON.
    pub(super) fn json(&mut self, answer: &impl Serialize) -> Result<(), CommandError> {
        let json = serde_json::to_string(answer).map_err(io::Error::from)?;
        Ok(writeln!(self.out, "{}", printable_json(&json))?)
    }

    /// Writes one line for people. Names and claims in it are other people's: a terminal must not take them for commands.
    pub(super) fn line(&mut self, text: &str) -> Result<(), CommandError> {
        Ok(writeln!(self.out, "{}", printable(text))?)
    }

    /// Writes a text of several lines for people.
    pub(super) fn lines(&mut self, text: &str) -> Result<(), CommandError> {
        Ok(writeln!(self.out, "{}", printable_lines(text))?)
    }

    /// Writes a table of these rows for people.
    pub(super) fn table<const N: usize>(
        &mut self,
        headings: [&str; N],
        rows: &[[String; N]],
    ) -> Result<(), CommandError> {
        Ok(writeln!(self.out, "{}", table(headings, rows))?)
    }
}

/// A moment as RFC 3339 section 5.6 writes it, in UTC.
pub(super) fn rfc3339(moment: Timestamp) -> String {
    format!("{}Z", DateTime::of(moment))
}

/// Who runs this process: `cli:` and the user's name, or its number where the environment names none.
pub fn actor() -> Actor {
    let named = ["USER", "LOGNAME"].into_iter().find_map(|variable| env::var(variable).ok());
    let named =
        named.filter(|name| !name.is_empty() && name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_graphic()));
    Actor { name: format!("cli:{}", named.unwrap_or_else(user_number)), origin: machine() }
}

fn user_number() -> String {
    std::fs::metadata("/proc/self").map_or_else(|_| "unknown".to_owned(), |process| process.uid().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_one_word() {
        let actor = actor();
        assert!(actor.name.starts_with("cli:") && actor.name.len() > 4);
        assert!(actor.name.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(user_number().parse::<u32>().is_ok());
    }
}
