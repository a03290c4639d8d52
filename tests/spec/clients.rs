//! Eight OAuth clients that other people wrote, against a live gateway. They are read from `$SCOPEGATE_CLIENTS` or
//! `../shared/clients`; what they need is installed below the target folder and kept between runs.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::harness::Gateway;

/// How each client begins the names of its checks.
const CLIENTS: [&str; 8] = [
    "contract.",
    "authlib.",
    "requests_oauthlib.",
    "spring_like.",
    "oauth4webapi.",
    "openid_client.",
    "simple_oauth2.",
    "rust_oauth2.",
];

#[test]
fn eight_real_clients_pass() {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/clients");
    let source = env::var_os("SCOPEGATE_CLIENTS").map_or(beside, PathBuf::from);
    if !source.join("run_all.sh").is_file() {
        assert!(env::var_os("CI").is_none(), "no clients in {}", source.display());
        println!("skipped: no clients in {}", source.display());
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    copy(&source, &folder);
    install(&folder);
    let gateway = Gateway::start(|config| {
        config.limit("token_failures: {per_client: 1000/1m, per_address: 1000/1m}");
    });
    let output = Command::new("bash")
        .arg("run_all.sh")
        .current_dir(&folder)
        .env("BASE_URL", gateway.url())
        .env("CLIENT_ID", &gateway.owner().id)
        .env("CLIENT_SECRET", &gateway.owner().secret)
        .env("PY", folder.join("venv/bin/python"))
        .output()
        .expect("bash runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed: Vec<&str> = text.lines().filter(|line| line.starts_with("FAIL")).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(
        text.contains(", 0 failed") && output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for client in CLIENTS {
        let passed = text.lines().any(|line| line.strip_prefix("PASS ").is_some_and(|line| line.starts_with(client)));
        assert!(passed, "nothing of {client} passed:\n{text}");
    }
    let both = [gateway.log(), gateway.metrics().0].concat();
    assert!(!both.contains(&gateway.owner().secret), "the secret was written");
}

/// Copies what changed, so that what was installed stays.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if ["target", "node_modules", "venv"].iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if source.is_dir() {
            copy(&source, &target);
            continue;
        }
        let content = fs::read(&source).unwrap();
        if fs::read(&target).ok().as_ref() != Some(&content) {
            fs::write(&target, content).unwrap();
            fs::set_permissions(&target, fs::metadata(&source).unwrap().permissions()).unwrap();
        }
    }
}

fn install(folder: &Path) {
    if !folder.join("venv/installed").is_file() {
        run(folder, "python3", &["-m", "venv", "venv"]);
        run(folder, "venv/bin/pip", &["install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"]);
        fs::write(folder.join("venv/installed"), "").unwrap();
    }
    if !folder.join("node_modules/.package-lock.json").is_file() {
        let verb = if folder.join("package-lock.json").is_file() { "ci" } else { "install" };
        run(folder, "npm", &[verb, "--no-audit", "--no-fund", "--loglevel=error"]);
    }
    // A workspace of its own, with the target folder where the script looks for the binary.
    let crate_folder = folder.join("rust-oauth2");
    let target = crate_folder.join("target");
    let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet"])
        .current_dir(&crate_folder)
        .env("CARGO_TARGET_DIR", target)
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the Rust client does not build");
}

pub fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let path = folder.join(program);
    let program = if path.is_file() { path } else { PathBuf::from(program) };
    let output = Command::new(&program).args(arguments).current_dir(folder).output().expect("the program runs");
    assert!(
        output.status.success(),
        "{} {arguments:?}: {}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
}
