//! Several gateways on one database.

use std::{
    fs,
    ops::{Deref, DerefMut},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use scopegate::store::KeyEncryptionKey;
use tempfile::TempDir;

use super::{Client, Cluster, Config, Gateway, PATIENCE, Request, Sender, b64_standard, meanwhile, within};

/// Gateways that share a PostgreSQL database, its key-encryption key and the issuer's name. Each has its own ports,
/// folder and upstream.
pub struct Nodes {
    gateways: Vec<Gateway>,
    pub database: String,
    folder: TempDir,
}

impl Nodes {
    /// Starts `count` gateways at the same time on a new database, each with the default configuration changed by
    /// `change`, and waits until all are ready and know their client.
    pub fn start(count: usize, cluster: &Cluster, change: impl Fn(&mut Config) + Sync) -> Self {
        let (database, folder) = (cluster.create_database(), TempDir::new().unwrap());
        let key = folder.path().join("store.key");
        write_key(&key);
        let start = || {
            Gateway::start(|config| {
                config.issuer_url = Some("https://issuer.test".to_owned());
                config.store = cluster.url(&database);
                config.store_key = format!("file:{}", key.display());
                change(config);
                // A client of each node would be as many clients of the database.
                config.client = None;
            })
        };
        let gateways = thread::scope(|scope| {
            let starts: Vec<_> = (0..count).map(|_| scope.spawn(start)).collect();
            starts.into_iter().map(|start| start.join().expect("the node starts")).collect()
        });
        let mut nodes = Self { gateways, database, folder };
        let owner = nodes.client();
        nodes.iter_mut().for_each(|node| node.owner = Some(owner.clone()));
        nodes
    }

    /// A new client that every node knows.
    pub fn client(&self) -> Client {
        let client = self[0].client("application application.read application.session");
        let known = || self.iter().all(|node| node.probe(&client.basic()) == 200);
        assert!(within(PATIENCE, known), "the new client is not seen on every node");
        client
    }

    /// A token of the client that every node accepts.
    pub fn token(&self, client: &Client) -> String {
        let mut token = String::new();
        // One that is issued in the second of a revocation counts as issued before it.
        let accepted = within(PATIENCE, || {
            token = self[0].issue(client, "scope=application");
            self.iter().all(|node| node.send(&spend(&token)).status == 200)
        });
        assert!(accepted, "a new token is not accepted on every node");
        token
    }

    /// Another key-encryption key than that of the database.
    pub fn other_key(&self) -> PathBuf {
        let path = self.folder.path().join("other.key");
        write_key(&path);
        path
    }

    /// How long it takes from now until `holds` on every node; `None` if it does not within `limit`.
    pub fn everywhere(&self, limit: Duration, holds: impl Fn(&Gateway) -> bool + Sync) -> Option<Duration> {
        let begin = Instant::now();
        let wait = |node| within(limit, || holds(node)).then(|| begin.elapsed());
        thread::scope(|scope| {
            let waits: Vec<_> = self.iter().map(|node| scope.spawn(move || wait(node))).collect();
            let ended: Option<Vec<Duration>> = waits.into_iter().map(|wait| wait.join().unwrap()).collect();
            ended.and_then(|ended| ended.into_iter().max())
        })
    }

    /// Does `during` while tokens go from each node to the next, new ones and one from before. Fails unless every
    /// request got its 200, all of them in reasonable time.
    #[track_caller]
    pub fn under_load<T>(&self, during: impl FnOnce() -> T) -> T {
        let old = self.token(self[0].owner());
        let send = |from: usize, ended: &AtomicBool| -> Sent {
            let sender = |node: &Gateway| Sender::new(node.public, node.owner());
            let (mut here, mut there) = (sender(&self[from]), sender(&self[(from + 1) % self.len()]));
            let mut failed = Vec::new();
            while !ended.load(Ordering::SeqCst) {
                let spent = here.issue().and_then(|new| there.spend(&new)).and_then(|()| here.spend(&old));
                failed.extend(spent.err());
                thread::sleep(Duration::from_millis(5));
            }
            (here.good + there.good, here.slowest.max(there.slowest), failed)
        };
        let send = &send;
        let senders: Vec<_> = (0..self.len()).map(|from| move |ended: &AtomicBool| send(from, ended)).collect();
        let senders: Vec<_> = senders.iter().map(|sender| sender as &Others<'_>).collect();
        let (outcome, loads) = meanwhile(&senders, during);
        for (good, slowest, failed) in loads {
            eprintln!("load: {good} good requests, the slowest {slowest:?}");
            assert!(failed.is_empty(), "{} failed beside {good} good ones: {failed:#?}", failed.len());
            assert!(good >= 30, "{good} requests are no load");
            assert!(slowest < SLOW, "a request took {slowest:?}");
        }
        outcome
    }
}

impl Deref for Nodes {
    type Target = [Gateway];

    fn deref(&self) -> &[Gateway] {
        &self.gateways
    }
}

impl DerefMut for Nodes {
    fn deref_mut(&mut self) -> &mut [Gateway] {
        &mut self.gateways
    }
}

/// Good requests, the longest that one took, and what went wrong.
type Sent = (usize, Duration, Vec<String>);
type Others<'a> = dyn Fn(&AtomicBool) -> Sent + Sync + 'a;

fn spend(token: &str) -> Request {
    Request::get("/v1/applications").bearer(token)
}

fn write_key(path: &std::path::Path) {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    let text = b64_standard(bytes) + "\n";
    KeyEncryptionKey::from_text(&text).expect("a key-encryption key");
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Longer than any request waits on a busy machine, and shorter than anything that waits for the store.
const SLOW: Duration = Duration::from_secs(2);
