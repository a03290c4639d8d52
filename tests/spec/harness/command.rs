use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{CUSTOMER, basic};

/// API credentials made by `scopegate client add`.
#[derive(Clone, Debug)]
pub struct Client {
    pub id: String,
    pub secret: String,
}

impl Client {
    /// The client that `client add --json` told of.
    pub fn of(json: &Value) -> Self {
        let text = |name: &str| json[name].as_str().unwrap_or_else(|| panic!("no {name}")).to_owned();
        Self { id: text("client_id"), secret: text("client_secret") }
    }

    pub fn basic(&self) -> String {
        basic(&self.id, &self.secret)
    }
}

/// How a command of the gateway ended.
#[derive(Debug)]
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// A process that a signal ended has the code -1.
    pub fn of(output: &std::process::Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// Runs `scopegate` with these arguments and its file in `folder`.
pub fn run(folder: &Path, arguments: &[&str]) -> Output {
    Output::of(&command(folder, arguments).output().expect("the binary runs"))
}

/// `scopegate` with these arguments and its file in `folder`, not started yet.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scopegate"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Makes a client in the store of `folder`.
pub(super) fn add_client(folder: &Path, scope: &str, more: &[&str]) -> Client {
    let arguments =
        [&["client", "add", "--customer", CUSTOMER, "--scope", scope, "-c", "gateway.yaml", "--json"], more].concat();
    let output = run(folder, &arguments);
    output.assert_code(0);
    let json = output.json();
    assert_eq!(json["customer_id"], CUSTOMER);
    assert_eq!(json["scope"], scope);
    Client::of(&json)
}
