//! One gateway, one recording upstream and one raw client per test. Nothing is shared between tests: each has its own
//! ports, folder, store and processes, and all of them end with it.

mod browser;
mod command;
mod config;
mod forge;
mod gateway;
mod http;
pub mod http2;
mod issuer;
mod keys;
mod load;
mod metrics;
mod mount;
mod nodes;
mod npm;
#[path = "../../common/postgres.rs"]
mod postgres;
mod process;
mod recorded;
mod reply;
mod request;
mod servers;
mod tls;
mod upstream;

use std::{
    net::{SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

pub use browser::{PageServer, chromium_is_here};
pub use command::{Client, Output, command, run};
pub use config::Config;
pub use forge::{Forge, b64, b64_standard};
pub use gateway::{Gateway, HOSTS_FILE, may_have_hosts, session_form};
pub use http::{Broken, Connection, Framing, find};
pub use issuer::{Issuer, claims_of, key, key_set};
pub use keys::stolen_key;
pub use load::{Sender, meanwhile, under_load};
pub use mount::Mounted;
pub use nodes::Nodes;
pub use npm::{have, npm_folder};
pub use postgres::Cluster;
pub use process::Process;
pub use recorded::Recorded;
pub use reply::Reply;
pub use request::{Request, basic, form_urlencode, percent_encode_all};
pub use servers::{BlackHole, H2Server, Scripted, server_config};
pub use tls::{Authority, Issued, TlsClient};
pub use upstream::{Answer, Steps, Upstream};

/// The customer that every harness client belongs to.
pub const CUSTOMER: &str = "bits:customer::e0d429f2-635b-418c-8b74-4a554f82c0bc";
/// The application that session tokens of the tests are bound to.
pub const APP: &str = "bits:application::6f1c2f0a-2b5e-4a51-9d7e-0c4f5e1b7a01";
/// Another application.
pub const OTHER: &str = "bits:application::0d9b7c11-93f4-4a0e-8f4b-52d1a6c3e902";
/// A workflow.
pub const WORKFLOW: &str = "bits:workflow::3f6a8e52-7d41-4c0b-b1de-8e9f2a7c4d03";
/// Where the flow of a session token leads back to.
pub const REDIRECT: &str = "https://app.example.com/done";
/// How long anything is waited for before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// An address on this machine that nobody listens on.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// Takes an address without listening there: nobody is given it by chance, and who asks for it by name may have it.
pub(super) fn reserve(address: SocketAddr) -> socket2::Socket {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

/// Asks `condition` again and again until it holds or `limit` has passed.
pub fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for `condition`; fails the test with `what` if it does not hold in time.
pub fn await_that(what: &str, condition: impl FnMut() -> bool) {
    assert!(within(PATIENCE, condition), "not seen in time: {what}");
}

/// Runs `check` on every row of a table and fails once, naming every row that did not hold.
pub fn each_row<T>(rows: &[T], name: impl Fn(&T) -> String, check: impl Fn(&T)) {
    let mut failed = Vec::new();
    for row in rows {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(row)));
        if outcome.is_err() {
            failed.push(name(row));
        }
    }
    assert!(failed.is_empty(), "{} of {} rows failed (details above): {failed:#?}", failed.len(), rows.len());
}

/// A number below `end`, a fresh one each time.
pub fn random_below(end: usize) -> usize {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let word = RandomState::new().build_hasher().finish();
    usize::try_from(word % u64::try_from(end).unwrap()).unwrap()
}
