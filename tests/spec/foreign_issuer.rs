//! Sections 3 and 7: tokens of an OpenID Connect provider that other people wrote (`oidc-provider`), verified with the keys
//! that it publishes, while it rotates them. It is installed below the target folder and kept between runs.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::harness::{CUSTOMER, Client, Gateway, Request, Sender, await_that, meanwhile, npm_folder, within};

/// The client that the provider knows.
const ID: &str = "elsewhere";
const SECRET: &str = "a-secret-of-the-other-issuer";
/// A token with an unknown `kid` causes a fetch at most so often, counted from the last one.
const AT_MOST_EVERY: Duration = Duration::from_secs(10);
/// From the withdrawal of a key to its end: one second, a tenth more, and what a busy machine needs.
const REFRESH: Duration = Duration::from_millis(2100);

#[test]
fn a_rotation_that_nobody_announced_fails_no_request() {
    let Some(provider) = Provider::start("RS256") else { return };
    let gateway = provider.trusted_by("discovery: true");
    let old = provider.token();
    assert_admitted(&gateway, &old);
    let (before, failed) = fetches(&gateway);
    assert_eq!((before, failed), (1, 0), "the keys are fetched once, before the gateway serves");
    thread::sleep(AT_MOST_EVERY);
    let newest = under_fresh_tokens(&gateway, &provider, |used| {
        await_that("tokens under the old key", || used(&kid(&old)) > 20);
        let newest = provider.tell("rotate");
        await_that("tokens under the new key", || used(&newest) > 100);
        newest
    });
    assert_eq!(fetches(&gateway), (2, 0), "one fetch brings the new key, however many tokens name it");
    assert_ne!(kid(&old), newest);
    // Both are published, so that what was issued before goes on.
    assert_admitted(&gateway, &old);
}

#[test]
fn a_key_that_is_withdrawn_counts_until_the_next_refresh() {
    let Some(provider) = Provider::start("ES256") else { return };
    let gateway = provider.trusted_by(&format!("key_set: \"{}/jwks\", refresh: 1s", provider.url()));
    let [old, unused] = [provider.token(), provider.token()];
    let ask = |token: &str| gateway.send(&Request::get("/v1/applications").bearer(token));
    assert_admitted(&gateway, &old);
    under_fresh_tokens(&gateway, &provider, |used| {
        let newest = provider.tell("publish");
        let (known, _) = fetches(&gateway);
        // The second one has begun after the key was published.
        await_that("two more fetches", || fetches(&gateway).0 >= known + 2);
        assert_eq!(used(&newest), 0);
        assert_eq!(provider.tell("sign"), newest);
        await_that("tokens under the new key", || used(&newest) > 50);
        ask(&old).assert_status(200);
        provider.tell("retire");
        assert!(within(REFRESH, || ask(&old).status == 401), "a withdrawn key still counts");
        for token in [&old, &unused] {
            let reply = ask(token);
            reply.assert_refused(401, "invalid_token");
            let line = gateway.access_line(reply.json()["request_id"].as_str().unwrap());
            assert_eq!(line["reason"], "unknown_key", "{line}");
        }
        let before = used(&newest);
        await_that("more tokens under the new key", || used(&newest) > before + 50);
    });
    assert_eq!(fetches(&gateway).1, 0, "fetches that failed");
}

/// Lets two threads get fresh tokens and use each at once, all the while that `during` runs, which may ask how many tokens
/// under a key were used. Fails unless every request got its 200.
#[track_caller]
fn under_fresh_tokens<T>(
    gateway: &Gateway,
    provider: &Provider,
    during: impl FnOnce(&dyn Fn(&str) -> usize) -> T,
) -> T {
    let good: Mutex<HashMap<String, usize>> = Mutex::default();
    let failed = Mutex::new(Vec::new());
    let load = |ended: &AtomicBool| {
        let [mut issuing, mut using] = [provider.address, gateway.public].map(|at| Sender::new(at, &provider.client));
        while !ended.load(Ordering::SeqCst) {
            let token = provider.issue(&mut issuing);
            match token.and_then(|token| using.spend(&token).map(|()| kid(&token))) {
                Ok(kid) => *good.lock().unwrap().entry(kid).or_default() += 1,
                Err(why) => failed.lock().unwrap().push(why),
            }
        }
    };
    let used = |kid: &str| good.lock().unwrap().get(kid).copied().unwrap_or_default();
    let (outcome, _) = meanwhile(&[&load, &load], || during(&used));
    let (good, failed) = (good.into_inner().unwrap(), failed.into_inner().unwrap());
    assert!(failed.is_empty(), "{} failed beside {good:?} good ones: {failed:#?}", failed.len());
    println!("fresh tokens used, by key: {good:?}");
    outcome
}

#[track_caller]
fn assert_admitted(gateway: &Gateway, token: &str) {
    gateway.upstream().forget();
    gateway.send(&Request::get("/v1/applications").bearer(token)).assert_status(200);
    let request = gateway.upstream().request();
    assert_eq!(request.header("x-customer-id"), Some(CUSTOMER));
    assert_eq!(request.header("x-client-id"), Some(ID));
    assert_eq!(request.header("x-scope"), Some("application"));
    assert_eq!(request.header("authorization"), None);
}

/// How many fetches of keys succeeded and failed.
fn fetches(gateway: &Gateway) -> (u32, u32) {
    let metrics = gateway.metrics();
    let count = |result| {
        let value = metrics.value("scopegate_jwks_fetches_total", &[("result", result)]);
        value.to_string().parse().expect("a whole number")
    };
    (count("succeeded"), count("failed"))
}

/// The `kid` in a token's header.
fn kid(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

/// A running `oidc-provider` (see `oidc-provider/issuer.mjs`).
struct Provider {
    process: Child,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    address: SocketAddr,
    client: Client,
}

impl Provider {
    /// Starts one that signs with this algorithm; `None` where there is no node, and not under CI.
    fn start(algorithm: &str) -> Option<Self> {
        let folder = npm_folder("oidc-provider")?;
        let mut process = Command::new("node")
            .args(["issuer.mjs", algorithm])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node runs");
        let input = process.stdin.take().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let address = answer(&mut output, "address http://").parse().expect("an address");
        let client = Client { id: ID.to_owned(), secret: SECRET.to_owned() };
        Some(Self { process, pipes: Mutex::new((input, output)), address, client })
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A gateway that trusts it, with its keys from `source`.
    fn trusted_by(&self, source: &str) -> Gateway {
        let (name, algorithms) = (self.url(), "algorithms: [RS256, ES256], audience: applications-api");
        Gateway::start(|config| {
            config.section(&format!("trust:\n  - {{issuer: \"{name}\", {algorithms}, {source}}}"));
        })
    }

    /// Tells it what to do with its keys; the `kid` of the newest one.
    fn tell(&self, word: &str) -> String {
        let (input, output) = &mut *self.pipes.lock().unwrap();
        writeln!(input, "{word}").expect("it listens");
        answer(output, &format!("done {word} "))
    }

    fn token(&self) -> String {
        self.issue(&mut Sender::new(self.address, &self.client)).expect("a token")
    }

    fn issue(&self, sender: &mut Sender) -> Result<String, String> {
        let request = Request::post("/token").header("Authorization", &self.client.basic());
        let body = sender.send(&request.form("grant_type=client_credentials&scope=application"))?;
        let reply: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        Ok(reply["access_token"].as_str().ok_or("no token in the reply")?.to_owned())
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What follows `start` in the line that begins so.
fn answer(output: &mut impl BufRead, start: &str) -> String {
    let mut lines = output.lines().map(|line| line.expect("its output is read"));
    let found = lines.find_map(|line| line.strip_prefix(start).map(ToOwned::to_owned));
    found.unwrap_or_else(|| panic!("the provider ended without saying {start:?}"))
}
