//! The newcomer's path: every line that `scopegate demo` prints works when it is pasted, and so does the default file.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::harness::{free_address, within};

/// A process of ours that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(arguments: &[&str]) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scopegate"));
    Running(command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
}

/// Everything the demo prints, up to its last step.
fn tour(demo: &mut Running) -> String {
    let mut text = String::new();
    for line in BufReader::new(demo.0.stdout.as_mut().unwrap()).lines() {
        let line = line.unwrap();
        text.push_str(&line);
        text.push('\n');
        if line.contains("/metrics") && line.starts_with("curl") {
            break;
        }
    }
    text
}

#[test]
fn every_line_of_the_demo_works_when_it_is_pasted() {
    if Command::new("curl").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "curl is missing, and CI must try the printed lines");
        eprintln!("skipped: no curl here");
        return;
    }
    let (listen, admin) = (free_address().to_string(), free_address().to_string());
    let mut demo = start(&["demo", "--listen", &listen, "--admin", &admin]);
    let tour = tour(&mut demo);
    let pasted = Command::new("bash").arg("-c").arg(tour_script(&tour)).output().unwrap();
    let answers: Vec<_> = String::from_utf8(pasted.stdout).unwrap().split(SEPARATOR).map(str::to_owned).collect();
    let expected: [(&str, &[&str]); 9] = [
        ("a token", &["eyJ"]),
        ("its owner", &["\"customerId\":\"bits:customer::"]),
        ("a new application", &["\"id\":\"bits:application::", "\"sessionToken\":\"eyJ"]),
        ("its data", &["\"id\":\"bits:application::", "\"countryCode\":\"SE\""]),
        ("its own application", &["\"id\":\"bits:application::"]),
        ("another application", &["403 Forbidden", "application_mismatch", "insufficient_scope"]),
        ("another session token", &["\"access_token\":\"eyJ", "\"scope\":\"application.session\""]),
        ("a bad token", &["401 Unauthorized", "invalid_token"]),
        ("the metrics", &["scopegate_decisions_total", "application_mismatch"]),
    ];
    for (place, (what, texts)) in expected.into_iter().enumerate() {
        for text in texts {
            assert!(answers[place].contains(text), "{what}: no {text} in {}", answers[place]);
        }
    }
}

const SEPARATOR: &str = "-- next --";

/// The commands of the tour, one shell for all of them, as somebody would paste them.
fn tour_script(tour: &str) -> String {
    let separator = format!("echo '{SEPARATOR}'");
    let line = |line: &str| match line {
        line if line.contains("curl ") => format!("{line}\n{separator}\n"),
        line if line.contains("=$(") => format!("{line}\n"),
        _ => String::new(),
    };
    tour.lines().filter(|line| !line.starts_with('#')).map(line).collect()
}

#[test]
fn the_default_file_runs_and_says_how_to_make_the_first_client() {
    let folder = tempfile::tempdir().unwrap();
    let default = include_str!("../../gateway.yaml");
    let (listen, admin) = (free_address().to_string(), free_address().to_string());
    let text = default.replace("127.0.0.1:8080", &listen).replace("127.0.0.1:9090", &admin);
    let file = folder.path().join("gateway.yaml");
    std::fs::write(&file, text).unwrap();
    let log = folder.path().join("log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_scopegate"));
    let command =
        command.args(["run", "-c"]).arg(&file).stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
    let _running = Running(command.spawn().unwrap());
    let logged = || std::fs::read_to_string(&log).unwrap();
    assert!(within(Duration::from_secs(20), || logged().contains("\"serving\"")), "{}", logged());
    assert!(logged().contains("scopegate client add --customer"), "{}", logged());
    assert!(folder.path().join("var/scopegate.db").exists() && folder.path().join("var/scopegate.key").exists());
}
