//! Section 2: `POST /v1/oauth2/token`.

use crate::harness::Gateway;

#[test]
fn x() {
    let _ = Gateway::start(|_| {});
}
