//! Section 7: no request fails during a rotation, not even during a hundred of them.

use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::harness::{Gateway, Request, Sender, await_that, meanwhile};

const ROTATIONS: usize = 100;

/// The `kid` in a token's header.
fn kid(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

fn kids(key_set: &[u8]) -> HashSet<String> {
    let key_set: Value = serde_json::from_slice(key_set).unwrap();
    key_set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// One new token: issued, its key found in the key set, used.
fn issue_and_use(sender: &mut Sender) -> Result<String, String> {
    let token = sender.issue()?;
    let published = kids(&sender.send(&Request::get("/.well-known/jwks.json"))?);
    if !published.contains(&kid(&token)) {
        return Err(format!("the key {} of a new token is not published", kid(&token)));
    }
    sender.spend(&token)?;
    Ok(token)
}

#[test]
fn a_hundred_rotations_under_load_fail_no_request_and_no_token() {
    let gateway = Gateway::start(|_| {});
    let issued = Mutex::new(vec![gateway.token("application")]);
    let failed = Mutex::new(Vec::new());
    let sender = || Sender::new(gateway.public, gateway.owner());
    let issuing = |ended: &AtomicBool| {
        let mut sender = sender();
        while !ended.load(Ordering::SeqCst) {
            match issue_and_use(&mut sender) {
                Ok(token) => issued.lock().unwrap().push(token),
                Err(why) => failed.lock().unwrap().push(why),
            }
        }
        sender.good
    };
    // Old tokens over and over, from the first one on: cached ones and ones that have left the cache.
    let using = |ended: &AtomicBool| {
        let mut sender = sender();
        let mut place = 0;
        while !ended.load(Ordering::SeqCst) {
            let token = {
                let issued = issued.lock().unwrap();
                place = (place + 1) % issued.len();
                issued[place].clone()
            };
            failed.lock().unwrap().extend(sender.spend(&token).err());
        }
        sender.good
    };
    let ((), counts) = meanwhile(&[&issuing, &issuing, &using], || {
        for _ in 0..ROTATIONS {
            gateway.cli(&["key", "rotate"]).assert_code(0);
        }
        // The last one arrives under load as well.
        thread::sleep(Duration::from_millis(500));
    });
    let (issued, failed) = (issued.into_inner().unwrap(), failed.into_inner().unwrap());
    assert!(failed.is_empty(), "{} failed beside {counts:?} good ones: {failed:#?}", failed.len());
    assert!(counts.iter().all(|count| *count > 2 * ROTATIONS), "{counts:?} requests are no load");

    let mut last = sender();
    for token in &issued {
        last.spend(token).expect("every token is as good as on its first day");
    }
    let signed_with: HashSet<String> = issued.iter().map(|token| kid(token)).collect();
    eprintln!("{} tokens under {} keys, {counts:?} requests", issued.len(), signed_with.len());
    // The gateway looks a few times a second, so it may skip keys; it must not stay with one.
    assert!(signed_with.len() > 3, "{} keys signed", signed_with.len());
    let all = || kids(&sender().send(&Request::get("/.well-known/jwks.json")).unwrap());
    await_that("every key is published", || all().len() == ROTATIONS + 2);
    assert!(!gateway.log().contains("panicked at"), "{}", gateway.log());
}
