//! What a million revoked tokens cost in memory, in a process of its own and with the gateway's allocator.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, sync::Arc};

use scopegate::{
    domain::{Timestamp, TokenId},
    token::Expectations,
    trust::Trust,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const TOKENS: u32 = 1_000_000;
const MEBIBYTE: u64 = 1 << 20;

/// A token ID as long as ours.
fn token(number: u32) -> TokenId {
    TokenId::parse(&format!("{number:022}")).unwrap()
}

/// A line of the process's status, in bytes.
fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches([':', '\t', ' ']).trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn a_million_revoked_tokens_fit_into_96_mebibytes() {
    let rules = Expectations::own("api".to_owned(), 30, Arc::default());
    let trust = Trust::new("https://issuer".to_owned(), rules, Vec::new());
    let before = memory("VmRSS");
    // A start reads them all at once; a running gateway learns of them in parts.
    let until = NOW.plus(3600);
    trust.revoke_tokens((0..TOKENS / 2).map(|number| (token(number), until)), NOW);
    for start in (TOKENS / 2..TOKENS).step_by(10_000) {
        trust.revoke_tokens((start..start + 10_000).map(|number| (token(number), until)), NOW);
    }
    assert_eq!(trust.revoked_tokens(), TOKENS as usize);
    let (resident, peak) = (memory("VmRSS") - before, memory("VmHWM") - before);
    let each = resident / u64::from(TOKENS);
    println!("{TOKENS} revoked tokens: {resident} bytes resident, {each} each, {peak} at the peak");
    // The tables take 20 MiB; how much of what was freed the allocator keeps depends on what else the binary does: 51 to 72 MiB.
    assert!(resident <= 96 * MEBIBYTE, "{resident} bytes resident");
    assert!(peak <= 128 * MEBIBYTE, "{peak} bytes at the peak");
    trust.forget_ended(until.plus(29));
    assert_eq!(trust.revoked_tokens(), TOKENS as usize);
    trust.forget_ended(until.plus(30));
    assert_eq!(trust.revoked_tokens(), 0);
}
