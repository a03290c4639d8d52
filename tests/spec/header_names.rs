//! Section 5: of the names that a client may give its header fields, none is read as a reserved one by servers that other
//! people wrote. PHP, Python (WSGI), Ruby (Rack) and Node are asked, about generated names: `SCOPEGATE_GENERATED` of them
//! (50000), from `SCOPEGATE_SEED`.

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
};

use scopegate::policy::{FieldOwner, field_owner};
use serde_json::Value;

use crate::harness::{Connection, Gateway, Request, await_that, free_address, random_below};

/// What we state.
const OURS: [&str; 14] = [
    "x-customer-id",
    "x-client-id",
    "x-scope",
    "x-application-id",
    "x-token-id",
    "x-token-issuer",
    "x-request-id",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-client-cert-subject",
    "forwarded",
];
/// By which servers decide who asks, from where, and for what.
const OTHERS: [&str; 22] = [
    "proxy",
    "x-real-ip",
    "x-original-url",
    "x-original-host",
    "x-rewrite-url",
    "x-http-method-override",
    "x-method-override",
    "x-envoy-external-address",
    "x-forwarded-user",
    "x-forwarded-client-cert",
    "true-client-ip",
    "client-ip",
    "cf-connecting-ip",
    "remote-user",
    "x-remote-user",
    "x-auth-request-email",
    "x-ms-client-principal",
    "x-goog-iap-jwt-assertion",
    "x-amzn-oidc-data",
    "ssl-client-cert",
    "x-arr-clientcert",
    "x-webauth-user",
];
/// Which pass in their own spelling, and were judged.
const JUDGED: [&str; 9] = [
    "authorization",
    "host",
    "content-type",
    "content-encoding",
    "content-length",
    "transfer-encoding",
    "connection",
    "cookie",
    "sec-websocket-protocol",
];
/// Which nobody reserves.
const FREE: [&str; 6] = ["accept-language", "x-other", "x-customer", "idempotency-key", "x-api-key", "my-header"];

/// A server that answers with what it reads of a request.
struct Server {
    name: &'static str,
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(name: &'static str, program: &str, script: &str) -> Option<Self> {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/spec/parsers").join(script);
        let chosen = (program == "php").then(free_address);
        let mut command = Command::new(program);
        if let Some(address) = chosen {
            command.args(["-S", &address.to_string()]);
        }
        command.arg(script).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let Ok(mut child) = command.spawn() else { return missing(name) };
        let address = chosen.or_else(|| {
            let mut line = String::new();
            BufReader::new(child.stdout.take()?).read_line(&mut line).ok()?;
            Some(([127, 0, 0, 1], line.trim().parse().ok()?).into())
        });
        let Some(address) = address else {
            let _ = child.wait();
            return missing(name);
        };
        let server = Self { name, child, address };
        await_that(name, || TcpStream::connect(address).is_ok());
        Some(server)
    }

    fn all() -> Vec<Self> {
        let servers = [
            ("PHP", "php", "environment.php"),
            ("WSGI", "python3", "environment.py"),
            ("Rack", "ruby", "environment.rb"),
            ("Node", "node", "environment.mjs"),
        ];
        servers.into_iter().filter_map(|(name, program, script)| Self::start(name, program, script)).collect()
    }
}

fn missing(name: &str) -> Option<Server> {
    assert!(env::var_os("CI").is_none(), "no {name} here");
    println!("skipped: no {name} here");
    None
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Numbers that are the same for one seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
    }

    fn choose<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// A name that is one of the known, or was.
    fn name(&mut self) -> String {
        let of = match self.below(8) {
            0..=2 => &OURS[..],
            3 | 4 => &OTHERS[..],
            5 | 6 => &JUDGED[..],
            _ => &FREE[..],
        };
        let mut name: Vec<u8> = self.choose(of).bytes().collect();
        for _ in 0..self.below(4) {
            let (place, mark) = (self.below(name.len() + 1), self.choose(b"_____...--~!#$%&'*+^`|xX0"));
            let hyphens: Vec<usize> = (0..name.len()).filter(|at| name[*at] == b'-').collect();
            match self.below(8) {
                0 if !hyphens.is_empty() => hyphens.iter().for_each(|at| name[*at] = mark),
                1 | 2 if !hyphens.is_empty() => name[self.choose(&hyphens)] = mark,
                3 if !hyphens.is_empty() => {
                    name.remove(self.choose(&hyphens));
                }
                4 => name.insert(0, mark),
                5 => name.push(mark),
                6 => name.insert(place, mark),
                _ => name.iter_mut().skip(place).for_each(|byte| *byte = byte.to_ascii_uppercase()),
            }
        }
        String::from_utf8(name).unwrap()
    }

    fn names(&mut self, count: usize) -> BTreeSet<String> {
        (0..count).map(|_| self.name()).filter(|name| !JUDGED.contains(&&*name.to_lowercase())).collect()
    }
}

fn dice() -> (Dice, u64) {
    let given = env::var("SCOPEGATE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| u64::try_from(random_below(usize::MAX)).unwrap() | 1);
    (Dice(seed | 1), seed)
}

/// What is sent as each field.
const FORGED: &str = "forged";
/// Python takes a hundred lines, all its own included.
const AT_ONCE: usize = 60;

/// Names of fields that a server reads from what a client sent.
fn read(reply: &Value) -> Vec<String> {
    let variables = reply.as_object().expect("an object").iter();
    let forged = variables.filter(|(_, value)| value.as_str().is_some_and(|value| value.contains(FORGED)));
    forged.map(|(name, _)| field(name)).collect()
}

/// The field that a variable is made of, as whoever asks for it calls it.
fn field(name: &str) -> String {
    match name.strip_prefix("HTTP_") {
        Some(variable) => variable.to_lowercase().replace('_', "-"),
        None if name.starts_with("CONTENT_") => name.to_lowercase().replace('_', "-"),
        None => name.to_owned(),
    }
}

fn is_reserved(name: &str) -> bool {
    [&OURS[..], &OTHERS, &JUDGED].concat().contains(&name) || field_owner(name) != FieldOwner::Anyone
}

/// What a server reads of these fields; those of a batch that it refuses are sent one by one.
fn ask(address: SocketAddr, target: &str, names: &[&String]) -> Vec<String> {
    let request = names.iter().fold(Request::get(target), |request, name| request.header(name, FORGED));
    let reply = Connection::open(address).exchange(&request.header("Connection", "close"));
    match reply.status {
        200 => read(&reply.json()),
        _ if names.len() > 1 => names.iter().flat_map(|name| ask(address, target, &[*name])).collect(),
        status => {
            assert!((400..500).contains(&status), "{names:?}: {}", reply.summary());
            Vec::new()
        }
    }
}

#[test]
fn servers_make_variables_of_names_as_the_table_says() {
    for Server { name, address, .. } in &Server::all() {
        let twins = ["X_Customer_Id", "X.Client.Id", "Content_Type"].map(str::to_owned);
        let seen = ask(*address, "/", &twins.each_ref());
        let taken = ["x-customer-id", "x-client-id", "content-type"].map(|own| seen.iter().any(|read| read == own));
        let expected = match *name {
            "PHP" => [true, true, true],
            "Rack" => [true, false, true],
            "WSGI" => [true, false, false],
            _ => [false, false, false],
        };
        assert_eq!(taken, expected, "{name}: {seen:?}");
    }
}

#[test]
fn no_server_reads_a_reserved_name_of_what_passes() {
    let count = env::var("SCOPEGATE_GENERATED").ok().and_then(|count| count.parse().ok()).unwrap_or(50_000);
    let (mut dice, seed) = dice();
    let names = dice.names(count);
    let passing: Vec<&String> =
        names.iter().filter(|name| field_owner(&name.to_lowercase()) == FieldOwner::Anyone).collect();
    assert!(passing.len() > names.len() / 20, "{} of {} pass", passing.len(), names.len());
    let servers = Server::all();
    thread::scope(|scope| {
        for Server { name, address, .. } in &servers {
            let passing = &passing;
            scope.spawn(move || {
                for batch in passing.chunks(AT_ONCE) {
                    let reserved: Vec<String> =
                        ask(*address, "/", batch).into_iter().filter(|name| is_reserved(name)).collect();
                    assert!(reserved.is_empty(), "{name} reads {reserved:?} of {batch:?} (SCOPEGATE_SEED={seed})");
                }
            });
        }
    });
    println!("{} names, {} pass; seed {seed}", names.len(), passing.len());
}

#[test]
fn nor_does_one_behind_the_gateway_of_whatever_a_client_sends() {
    let (mut dice, seed) = dice();
    for server in Server::all() {
        let gateway = Gateway::start(|config| {
            config.instead = Some(server.address);
            config.route("{match: \"GET /any/**\", public: true}");
        });
        let names: Vec<String> = dice.names(400).into_iter().collect();
        for batch in names.iter().collect::<Vec<_>>().chunks(AT_ONCE) {
            let reserved: Vec<String> =
                ask(gateway.public, "/any/x", batch).into_iter().filter(|name| is_reserved(name)).collect();
            assert!(reserved.is_empty(), "{} reads {reserved:?} of {batch:?} (SCOPEGATE_SEED={seed})", server.name);
        }
    }
}
