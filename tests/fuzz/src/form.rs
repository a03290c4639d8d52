use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use scopegate::{
    domain::{ApplicationId, Reason},
    policy::{ApplicationPlaces, Parts, RequestTarget, bind},
};
use serde_json::Value;

use super::{
    decode,
    endpoint::{CLIENTS, ask},
    fold::FOLDS,
};

/// Parameters that are looked for in queries; one holds letters that other alphabets have a second form of.
const PARAMETERS: [&str; 2] = ["applicationId", "task_id"];

/// What is read in a form or, after `?`, in a query, every parser reads there: first or last of two, names with and
/// without case and brackets, split at `;` or not.
pub fn form(data: &[u8]) {
    match data {
        [b'?', query @ ..] => PARAMETERS.iter().for_each(|name| assert_query(query, name)),
        _ => assert_form(data),
    }
}

fn assert_query(query: &[u8], name: &str) {
    let target = [b"/x?", query].concat();
    let Ok(target) = RequestTarget::parse(&target) else { return };
    let query = target.query().expect("it was given one");
    let places = ApplicationPlaces { query: Some(name.into()), ..ApplicationPlaces::default() };
    let application = ApplicationId::parse("ours").expect("an identifier");
    let bound = bind(&application, &places, &Parts { target, headers: &HeaderMap::new(), body: b"" });
    for separators in [&['&'][..], &['&', ';']] {
        let pairs: Vec<_> = query.split(separators).map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
        let like_it = |own: &str| stored(own).iter().any(|own| FOLDS.iter().any(|fold| fold(own) == fold(name)));
        let alike: Vec<_> = pairs.iter().filter(|(own, _)| like_it(own)).collect();
        match (bound, &alike[..]) {
            (Ok(()), [(own, value)]) => assert!(decode::form(own) == name && decode::form(value) == "ours"),
            (Ok(()), _) => panic!("bound by {} parameters", alike.len()),
            (Err(Reason::ApplicationMissing), _) => assert!(alike.is_empty(), "a parameter is missed"),
            (Err(Reason::ApplicationMismatch), [(own, value)]) => {
                assert!(decode::form(own) == name && decode::form(value) != "ours");
            }
            (Err(reason), _) => assert_eq!(reason, Reason::ApplicationAmbiguous),
        }
    }
    let by_library = || url::form_urlencoded::parse(query.as_bytes()).filter(|(own, _)| own == name);
    assert!(bound.is_err() || by_library().map(|(_, value)| value).eq(["ours"]));
}

/// A name as it is stored: by most, by Rails and its like, by Rack where a bracket comes first, by those that read a dot
/// as a bracket, and by PHP, where a bracket without its partner is a `_` too.
fn stored(name: &str) -> [String; 5] {
    let name = decode::form(name);
    let before = |ends: &[char], text: &str| text.split(ends).next().unwrap_or_default().to_owned();
    let (text, _) = name.split_once('\0').unwrap_or((&name, ""));
    let whole = if text.contains(']') { text.split('[').next().unwrap_or_default() } else { text };
    [
        name.clone(),
        before(&['['], &name),
        before(&['[', ']'], name.trim_start_matches(['[', ']'])),
        before(&['[', ']', '.'], name.trim_start_matches(['[', '.'])),
        whole.trim_start_matches(' ').replace(['.', ' ', '['], "_"),
    ]
}

fn assert_form(body: &[u8]) {
    let (id, secret) = CLIENTS[0];
    let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    let headers = HeaderMap::from_iter([
        (header::AUTHORIZATION, HeaderValue::try_from(basic).expect("Base64 is ASCII")),
        (header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
    ]);
    let reply = ask(&headers, body);
    let issued = reply.response.status() == StatusCode::OK;
    assert!(issued || reply.response.status() == StatusCode::BAD_REQUEST);
    let parameters: Vec<_> = url::form_urlencoded::parse(body).collect();
    let values = |name: &str| parameters.iter().filter(|(own, _)| own == name).map(|(_, value)| &**value).collect();
    if issued {
        assert_says_what_was_asked(reply.response.body(), &values);
    }
    let short = parameters.iter().all(|(_, value)| value.len() <= LONGEST);
    let usual =
        short && is_strict(body) && values("grant_type") == ["client_credentials"] && is_shown_once(&values, id);
    let scope: Vec<&str> = values("scope");
    assert!(issued || !usual || !matches!(scope[..], [] | ["" | "application"]), "refused for no reason");
}

/// The longest value of a parameter that is read, in bytes.
const LONGEST: usize = 4096;

/// Whether the form shows no other credentials beside those of the header, and names no other client than that `id`.
fn is_shown_once<'f>(values: &impl Fn(&str) -> Vec<&'f str>, id: &str) -> bool {
    let others = ["client_secret", "client_assertion", "client_assertion_type"];
    others.iter().all(|name| values(name).is_empty()) && values("client_id").iter().all(|own| *own == id)
}

/// Each parameter stands in the form once, or nowhere, and the token says what it says.
fn assert_says_what_was_asked<'f>(reply: &[u8], values: &impl Fn(&str) -> Vec<&'f str>) {
    assert_eq!(values("grant_type"), ["client_credentials"]);
    let reply: Value = serde_json::from_slice(reply).expect("a reply is JSON");
    let claims = reply["access_token"].as_str().and_then(|token| token.split('.').nth(1)).expect("a token has claims");
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).expect("Base64")).expect("JSON");
    let scope = values("scope");
    let asked = scope.first().filter(|scope| !scope.trim_matches(' ').is_empty()).unwrap_or(&"application");
    assert!(scope.len() <= 1 && values("client_secret").iter().all(|secret| secret.is_empty()));
    let set = |text: &str| {
        text.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(set(claims["scope"].as_str().expect("a text")), set(asked));
    let session = set(asked).contains("application.session");
    for name in ["application_id", "workflow_id", "redirect_url"] {
        assert!(values(name).len() <= 1);
        assert_eq!(claims[name].as_str(), values(name).first().copied().filter(|_| session));
    }
}

/// Whether it is a form that no parser stumbles over: UTF-8, each encoding whole, each name once, not too many.
fn is_strict(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return false };
    let pairs: Vec<_> = text.split('&').filter(|pair| !pair.is_empty()).collect();
    let names: std::collections::BTreeSet<_> =
        pairs.iter().map(|pair| decode::form(pair.split('=').next().unwrap_or_default())).collect();
    let utf8 = |pair: &&str| String::from_utf8(decode::percent(pair.as_bytes())).is_ok();
    decode::is_whole(body) && pairs.iter().all(utf8) && names.len() == pairs.len() && pairs.len() <= 100
}
