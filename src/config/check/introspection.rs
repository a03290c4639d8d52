use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;

use super::{Surroundings, bounds::within, store, trust};
use crate::config::{AskedIssuer, problem::Problems, raw};

/// Whom to ask about tokens that say nothing themselves, and with which credentials.
pub(super) fn check(
    raw: raw::Introspection,
    authorities: Option<Vec<u8>>,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Option<AskedIssuer> {
    let raw::Introspection { url, client_id, client_secret, cache } = raw;
    let range = Duration::from_secs(1)..=Duration::from_secs(3600);
    let cap = within(cache, Duration::from_secs(60), range, "`cache` must be 1s to 1h", problems);
    let url = url.and_then(|at| trust::server_url("url", &at.value, at.place, problems));
    let secret = client_secret.and_then(|written| {
        let source = store::secret("client secret", &written, surroundings, problems)?;
        trust::read(&source, written.place, problems)
    });
    let authorization = basic(&client_id?.value, trust::without_line_end(&secret?));
    Some(AskedIssuer { url: url?, authorization, cap, authorities })
}

/// RFC 6749 section 2.3.1: both halves are form-encoded first.
fn basic(id: &str, secret: &[u8]) -> HeaderValue {
    let encode = |text: &[u8]| url::form_urlencoded::byte_serialize(text).collect::<String>();
    let credentials = STANDARD.encode(format!("{}:{}", encode(id.as_bytes()), encode(secret)));
    let mut value = HeaderValue::try_from(format!("Basic {credentials}")).expect("base64 can stand in a header");
    value.set_sensitive(true);
    value
}
