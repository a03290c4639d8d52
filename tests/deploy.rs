//! What an operator installs (`deploy/`) agrees with the gateway it is for.

#![allow(clippy::unwrap_used)] // a test that cannot read its file has failed

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use scopegate::domain::{ALL_REASONS, Reason};

/// The metric names of the contract, section 10.
const METRICS: [&str; 31] = [
    "scopegate_requests_total",
    "scopegate_request_duration_seconds",
    "scopegate_upstream_duration_seconds",
    "scopegate_decisions_total",
    "scopegate_token_verifications_total",
    "scopegate_token_cache_hits_total",
    "scopegate_token_cache_misses_total",
    "scopegate_token_cache_evictions_total",
    "scopegate_token_cache_entries",
    "scopegate_tokens_issued_total",
    "scopegate_token_requests_total",
    "scopegate_rate_limited_total",
    "scopegate_upstream_up",
    "scopegate_upstream_requests_total",
    "scopegate_upstream_connect_failures_total",
    "scopegate_key_expiry_timestamp_seconds",
    "scopegate_certificate_expiry_timestamp_seconds",
    "scopegate_jwks_last_success_timestamp_seconds",
    "scopegate_config_last_reload_success",
    "scopegate_config_last_reload_timestamp_seconds",
    "scopegate_in_flight_requests",
    "scopegate_open_connections",
    "scopegate_limit",
    "scopegate_reply_buffer_bytes",
    "scopegate_store_up",
    "scopegate_build_info",
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
    "process_resident_memory_bytes",
];

#[test]
fn alerts_ask_only_for_metrics_of_the_contract() {
    for file in ["alerts.yml", "alerts_test.yml", "prometheus.yml"] {
        let names = words(&read(file), |word| word.starts_with("scopegate_") || word.starts_with("process_"));
        let unknown: Vec<_> = names.iter().filter(|name| !METRICS.contains(&base_name(name))).collect();
        assert!(unknown.is_empty(), "{file} names metrics that nobody exports: {unknown:?}");
    }
}

#[test]
fn every_alert_has_a_unit_test() {
    let tests = read("alerts_test.yml");
    let rules = read("alerts.yml");
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "the rules could not be read: {alerts:?}");
    for alert in alerts {
        assert!(tests.contains(&format!("\"{alert}\"")), "{alert} is never seen firing in alerts_test.yml");
    }
}

#[test]
fn alerts_name_only_reasons_of_the_closed_set() {
    let codes = ALL_REASONS.map(Reason::code);
    let rules = read("alerts.yml");
    let named: Vec<_> = ["reason=\"", "result=~\""]
        .iter()
        .flat_map(|label| rules.split(label).skip(1))
        .flat_map(|rest| rest.split('"').next().unwrap().split('|'))
        .collect();
    assert!(named.len() > 5, "the reasons could not be read: {named:?}");
    for reason in named {
        assert!(codes.contains(&reason), "alerts.yml names the unknown reason {reason}");
    }
}

#[test]
fn promtool_accepts_the_rules_the_configuration_and_the_unit_tests() {
    let Some(promtool) = promtool() else {
        println!("skipped: promtool is not on this machine (`make deploy-check` fetches it)");
        return;
    };
    for arguments in [["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]] {
        let output = Command::new(&promtool).args(arguments).current_dir(folder()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "promtool {arguments:?}: {}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn the_gateway_accepts_the_configuration_that_the_image_ships() {
    let output = Command::new(env!("CARGO_BIN_EXE_scopegate"))
        .args(["check", "-c"])
        .arg(folder().join("gateway.yaml"))
        .env("SCOPEGATE_ADMIN_TOKEN", "a-token-for-this-test-only-0123456789")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_unit_keeps_secrets_out_of_core_dumps_and_files_from_others() {
    let unit = read("scopegate.service");
    for setting in
        ["LimitCORE=0", "UMask=0077", "StateDirectoryMode=0700", "NoNewPrivileges=yes", "ProtectProc=invisible"]
    {
        assert!(unit.lines().any(|line| line == setting), "{setting} is missing");
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn read(file: &str) -> String {
    fs::read_to_string(folder().join(file)).unwrap()
}

/// A histogram is written under one name and asked for under three.
fn base_name(name: &str) -> &str {
    ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

fn words(text: &str, wanted: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    code.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
        .filter(|word| wanted(word))
        .map(str::to_owned)
        .collect()
}

/// From PATH, or where `.ci/promtool` unpacks it.
fn promtool() -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("tools/usr/bin/promtool");
    let mut candidates = vec![PathBuf::from("promtool"), unpacked];
    candidates.retain(|path| Command::new(path).arg("--version").output().is_ok_and(|output| output.status.success()));
    candidates.into_iter().next()
}
