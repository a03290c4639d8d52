//! The only place where a test looks into the store: what a forged token needs is the gateway's own signing key.

use std::fs;

use scopegate::{
    domain::Timestamp,
    store::{KeyEncryptionKey, KeyState, Sealing, Store},
};

use super::{Forge, Gateway};

/// A forge with the gateway's current signing key.
pub fn stolen_key(gateway: &Gateway) -> Forge {
    let now = Timestamp::now();
    let text = fs::read_to_string(gateway.folder().join("gateway.key")).expect("the key-encryption key");
    let sealing = KeyEncryptionKey::from_text(&text).expect("a key-encryption key");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let sealing = Sealing::new(sealing, Vec::new());
        let store = Store::sqlite(&gateway.folder().join("gateway.db"), sealing, now).await.expect("the store opens");
        let keys = store.snapshot(now).await.expect("the store is read").keys;
        let current = keys.iter().find(|key| key.state == KeyState::Current).expect("a current key");
        Forge::new(&current.private)
    })
}
