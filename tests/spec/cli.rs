//! Sections 8, 9 and 11: the command line beside a running gateway, and the file it reads.

use std::{fs, time::Duration};

use tempfile::TempDir;

use crate::harness::{CUSTOMER, Config, Gateway, Output, free_address, run, within};

/// How soon a running gateway sees what a command changed.
const SOON: Duration = Duration::from_millis(1500);

fn folder_with(yaml: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("gateway.yaml"), yaml).unwrap();
    folder
}

fn good() -> String {
    Config::default().yaml(free_address(), free_address(), &[free_address()])
}

fn check(yaml: &str) -> Output {
    let folder = folder_with(yaml);
    run(folder.path(), &["check", "-c", "gateway.yaml"])
}

#[test]
fn a_good_file_passes_the_check() {
    check(&good()).assert_code(0);
}

#[test]
fn the_check_tells_all_problems_at_once_with_their_places() {
    let yaml =
        good().replace("threads: 2", "thraeds: 2").replace("scope: application.read}", "scope: aplication.read}");
    let output = check(&format!("{yaml}limits: {{headers: many}}\n"));
    output.assert_code(1);
    let text = format!("{}{}", output.stdout, output.stderr);
    let line = |needle: &str| 1 + yaml.lines().position(|line| line.contains(needle)).unwrap();
    for (place, words) in [
        (format!("gateway.yaml:{}:", line("thraeds")), "threads"),
        (format!("gateway.yaml:{}:", line("aplication.read")), "application.read"),
        (format!("gateway.yaml:{}:", yaml.lines().count() + 1), "many"),
    ] {
        assert!(text.contains(&place), "{place} is not in\n{text}");
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
}

#[test]
fn a_route_that_says_nothing_about_access_is_a_problem() {
    let yaml = good().replace("{match: GET /healthz, public: true}", "{match: GET /healthz}");
    check(&yaml).assert_code(1);
}

#[test]
fn what_is_not_supported_yet_is_refused_and_not_ignored() {
    let output = check(&format!("{}reload: watch\n", good()));
    output.assert_code(1);
    let text = format!("{}{}", output.stdout, output.stderr);
    assert!(text.contains("not supported yet"), "{text}");
}

#[test]
fn a_file_that_is_missing_or_no_yaml_is_refused() {
    let folder = TempDir::new().unwrap();
    run(folder.path(), &["check", "-c", "nothing.yaml"]).assert_code(1);
    run(folder.path(), &["run", "-c", "nothing.yaml"]).assert_code(1);
    check("listen: [").assert_code(1);
    check("").assert_code(1);
    check("[]").assert_code(1);
}

#[test]
fn wrong_usage_is_2() {
    let folder = TempDir::new().unwrap();
    for arguments in [
        vec!["nonsense"],
        vec!["check", "--nonsense"],
        vec!["client"],
        vec!["client", "add"],
        vec!["client", "disable"],
    ] {
        run(folder.path(), &arguments).assert_code(2);
    }
    run(folder.path(), &["--help"]).assert_code(0);
    run(folder.path(), &["--version"]).assert_code(0);
}

#[test]
fn a_bad_file_keeps_the_gateway_from_starting() {
    let folder = folder_with(&good().replace("threads: 2", "threads: 0"));
    let output = run(folder.path(), &["run", "-c", "gateway.yaml"]);
    output.assert_code(1);
    assert!(format!("{}{}", output.stdout, output.stderr).contains("gateway.yaml:"), "{output:#?}");
}

#[test]
fn client_add_refuses_what_cannot_be_meant() {
    let folder = folder_with(&good());
    let add = |more: &[&str]| run(folder.path(), &[&["client", "add", "-c", "gateway.yaml", "--json"], more].concat());
    add(&["--customer", CUSTOMER]).assert_code(0);
    for more in [
        vec!["--customer", "someone"],
        vec!["--customer", "bits:application::e0d429f2-635b-418c-8b74-4a554f82c0bc"],
        vec!["--customer", CUSTOMER, "--scope", "admin"],
        vec!["--customer", CUSTOMER, "--redirect-url", "http://app.example.com/"],
        vec!["--customer", CUSTOMER, "--redirect-url", "not a url"],
    ] {
        let output = add(&more);
        assert!(matches!(output.code, 1 | 2), "{more:?}: {output:#?}");
    }
}

#[test]
fn generated_credentials_have_the_promised_form() {
    let gateway = Gateway::start(|_| {});
    let owner = gateway.owner();
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    assert!(plain(&owner.id) && plain(&owner.secret));
    assert!(owner.secret.starts_with("sgs") && owner.secret.len() >= 46, "256 bit");
    let listed = gateway.cli(&["client", "list", "--json"]);
    listed.assert_code(0);
    assert!(listed.stdout.contains(&owner.id) && !listed.stdout.contains(&owner.secret));
    let shown = gateway.cli(&["client", "show", &owner.id, "--json"]);
    shown.assert_code(0);
    assert!(shown.stdout.contains(CUSTOMER) && !shown.stdout.contains(&owner.secret));
    for name in ["gateway.db", "gateway.db-wal"] {
        let bytes = fs::read(gateway.folder().join(name)).unwrap_or_default();
        let found = memchr::memmem::find(&bytes, owner.secret.as_bytes());
        assert_eq!(found, None, "the secret stands in {name}");
    }
}

#[test]
fn a_running_gateway_sees_the_life_of_a_client_within_a_second() {
    let gateway = Gateway::start(|_| {});
    let client = gateway.client("application");
    let status = |authorization: &str| gateway.probe(authorization);
    assert_eq!(status(&client.basic()), 200);

    let rotated = gateway.cli(&["client", "rotate-secret", &client.id, "--json"]);
    rotated.assert_code(0);
    let secret = rotated.json()["client_secret"].as_str().unwrap().to_owned();
    assert_ne!(secret, client.secret);
    let new = crate::harness::basic(&client.id, &secret);
    assert!(within(SOON, || status(&new) == 200), "the new secret works");

    gateway.cli(&["client", "disable", &client.id]).assert_code(0);
    assert!(within(SOON, || status(&new) == 401), "a disabled client is refused");
    gateway.cli(&["client", "enable", &client.id]).assert_code(0);
    assert!(within(SOON, || status(&new) == 200), "an enabled client is served");
    gateway.cli(&["client", "remove", &client.id]).assert_code(0);
    assert!(within(SOON, || status(&new) == 401), "a removed client is refused");
    gateway.cli(&["client", "show", &client.id]).assert_code(1);
    gateway.cli(&["client", "disable", "nobody"]).assert_code(1);
}

#[test]
fn keys_are_listed_and_rotated() {
    let gateway = Gateway::start(|_| {});
    let list = || gateway.cli(&["key", "list", "--json"]).json();
    let before = list();
    gateway.cli(&["key", "rotate"]).assert_code(0);
    let after = list();
    assert_ne!(before, after);
    assert!(!after.to_string().contains("\"d\""), "{after}");
}

#[test]
fn a_token_can_be_inspected_but_is_not_shown() {
    use std::{
        io::Write,
        process::{Command, Stdio},
    };
    let gateway = Gateway::start(|_| {});
    let token = gateway.session();
    let mut child = Command::new(env!("CARGO_BIN_EXE_scopegate"))
        .args(["token", "inspect"])
        .current_dir(gateway.folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(token.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains(CUSTOMER) && text.contains("application.session"), "{text}");
    assert!(!text.contains(token.rsplit('.').next().unwrap()), "the token's signature is shown");
}

#[test]
fn an_empty_store_says_which_command_makes_the_first_client() {
    let gateway = Gateway::start(|config| config.client = None);
    assert!(within(SOON, || gateway.log().contains("client add")), "{}", gateway.log());
}

#[test]
fn run_logs_the_addresses_it_serves() {
    let gateway = Gateway::start(|_| {});
    let log = gateway.log();
    assert!(log.contains(&gateway.public.to_string()) && log.contains(&gateway.admin.to_string()), "{log}");
}

#[test]
fn the_key_encryption_key_is_made_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let gateway = Gateway::start(|_| {});
    let mode = fs::metadata(gateway.folder().join("gateway.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_store_in_memory_needs_no_file() {
    let gateway = Gateway::start(|config| config.client = None);
    let yaml = fs::read_to_string(gateway.file()).unwrap();
    let memory = yaml.replace("store: sqlite:gateway.db\nstore_key: file:gateway.key\n", "store: memory\n");
    check(&memory).assert_code(0);
}

#[test]
fn ids_may_begin_with_a_hyphen() {
    // One of 64 that we make does, and imported ones may.
    let gateway = Gateway::start(|_| {});
    for (arguments, told) in [
        (&["key", "retire", "-kid"][..], "no signing key has the ID -kid"),
        (&["client", "disable", "-id"], "-id"),
        (&["client", "show", "-id"], "-id"),
        (&["token", "revoke", "--client", "-id"], "-id"),
    ] {
        let output = gateway.cli(arguments);
        output.assert_code(1);
        assert!(output.stderr.contains(told), "{arguments:?}: {output:?}");
    }
}
