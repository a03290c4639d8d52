use super::*;
use crate::{
    domain::{ClientId, CustomerId},
    token::{Algorithm, Grant, PrivateKey, SigningKey, issue},
};

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

fn client() -> ClientId {
    ClientId::parse("client").unwrap()
}

fn token(key: &SigningKey) -> Vec<u8> {
    let customer = CustomerId::parse("customer").unwrap();
    let grant = Grant {
        issuer: "https://issuer",
        audience: "api",
        client: &client(),
        customer: &customer,
        scope: "application",
        session: None,
        lifetime: 60,
    };
    issue(key, &grant, &TokenId::parse("jti").unwrap(), NOW).into_bytes()
}

fn trust() -> Trust {
    Trust::new("https://issuer".to_owned(), Expectations::own("api".to_owned(), 30, Arc::default()), Vec::new())
}

fn standing(key: &SigningKey, until: Option<Timestamp>, clients: &[ClientId]) -> Standing {
    let keys = vec![TrustedKey { key: key.public().clone(), until }];
    let clients = clients.iter().map(|client| (client.clone(), None)).collect();
    Standing { keys, clients, ..Standing::default() }
}

#[test]
fn what_was_verified_stands_until_time_key_or_client_end_it() {
    let key = SigningKey::new(&PrivateKey::generate(Algorithm::Es256)).unwrap();
    let trust = trust();
    trust.replace(standing(&key, None, &[client()]));
    let principal = trust.verify_own(&token(&key), NOW).unwrap();
    for (standing, now, expected) in [
        (standing(&key, None, &[client()]), NOW.plus(89), Ok(())),
        (standing(&key, None, &[client()]), NOW.plus(90), Err(Reason::Expired)),
        (standing(&key, Some(NOW.plus(1)), &[client()]), NOW, Ok(())),
        (standing(&key, Some(NOW), &[client()]), NOW, Err(Reason::UnknownKey)),
        (Standing::default(), NOW, Err(Reason::UnknownKey)),
        (standing(&key, None, &[]), NOW, Err(Reason::Revoked)),
    ] {
        trust.replace(standing);
        assert_eq!(trust.recheck(&principal, &Cleared::default(), now), expected);
        assert_eq!(trust.verify_own(&token(&key), now).map(|_| ()), expected);
    }
}

#[test]
fn a_token_of_another_issuer_or_key_is_refused() {
    let key = SigningKey::new(&PrivateKey::generate(Algorithm::EdDsa)).unwrap();
    let other = SigningKey::new(&PrivateKey::generate(Algorithm::EdDsa)).unwrap();
    let trust = trust();
    trust.replace(standing(&key, None, &[client()]));
    assert_eq!(trust.verify_own(&token(&other), NOW), Err(Reason::UnknownKey));
    let elsewhere =
        Trust::new("https://other".to_owned(), Expectations::own("api".to_owned(), 30, Arc::default()), Vec::new());
    elsewhere.replace(standing(&key, None, &[client()]));
    assert_eq!(elsewhere.verify_own(&token(&key), NOW), Err(Reason::Issuer));
}

#[test]
fn revoking_a_client_ends_its_tokens_up_to_that_second() {
    let key = SigningKey::new(&PrivateKey::generate(Algorithm::Es256)).unwrap();
    let trust = trust();
    trust.replace(standing(&key, None, &[client()]));
    let dated = trust.verify_own(&token(&key), NOW).unwrap();
    let undated = Principal { issued_at: None, ..dated.clone() };
    for (revoked, of_dated, of_undated) in [
        (None, Ok(()), Ok(())),
        (Some(NOW.minus(1)), Ok(()), Err(Reason::Revoked)),
        (Some(NOW), Err(Reason::Revoked), Err(Reason::Revoked)),
        (Some(NOW.plus(1)), Err(Reason::Revoked), Err(Reason::Revoked)),
    ] {
        trust.replace(Standing { clients: [(client(), revoked)].into_iter().collect(), ..standing(&key, None, &[]) });
        assert_eq!(trust.recheck(&dated, &Cleared::default(), NOW), of_dated, "{revoked:?}");
        assert_eq!(trust.recheck(&undated, &Cleared::default(), NOW), of_undated, "{revoked:?}");
        assert_eq!(trust.verify_own(&token(&key), NOW).map(|_| ()), of_dated, "{revoked:?}");
    }
}

#[test]
fn a_revoked_token_is_refused_for_as_long_as_it_could_be_used() {
    let key = SigningKey::new(&PrivateKey::generate(Algorithm::Es256)).unwrap();
    let trust = trust();
    trust.replace(standing(&key, None, &[client()]));
    let revoked = trust.verify_own(&token(&key), NOW).unwrap();
    let other = Principal { token: Some(TokenId::parse("other").unwrap()), ..revoked.clone() };
    let nameless = Principal { token: None, ..revoked.clone() };
    trust.revoke_tokens([(TokenId::parse("jti").unwrap(), revoked.expires_at)], NOW);
    for (now, of_revoked, of_others, kept) in [
        (NOW, Err(Reason::Revoked), Ok(()), 1),
        (NOW.plus(89), Err(Reason::Revoked), Ok(()), 1),
        (NOW.plus(90), Err(Reason::Expired), Err(Reason::Expired), 0),
    ] {
        trust.forget_ended(now);
        assert_eq!(trust.recheck(&revoked, &Cleared::default(), now), of_revoked);
        assert_eq!(trust.verify_own(&token(&key), now).map(|_| ()), of_revoked);
        assert_eq!(trust.recheck(&other, &Cleared::default(), now), of_others);
        assert_eq!(trust.recheck(&nameless, &Cleared::default(), now), of_others);
        assert_eq!(trust.revoked_tokens(), kept);
    }
}

#[test]
fn time_and_key_are_judged_before_revocation() {
    let key = SigningKey::new(&PrivateKey::generate(Algorithm::Es256)).unwrap();
    let trust = trust();
    trust.replace(standing(&key, None, &[client()]));
    let principal = trust.verify_own(&token(&key), NOW).unwrap();
    trust.revoke_tokens([(TokenId::parse("jti").unwrap(), principal.expires_at)], NOW);
    for (standing, now, expected) in [
        (standing(&key, None, &[client()]), NOW.plus(90), Reason::Expired),
        (standing(&key, Some(NOW), &[client()]), NOW, Reason::UnknownKey),
        (standing(&key, None, &[]), NOW, Reason::Revoked),
        (standing(&key, None, &[client()]), NOW, Reason::Revoked),
    ] {
        trust.replace(standing);
        assert_eq!(trust.recheck(&principal, &Cleared::default(), now), Err(expected));
        assert_eq!(trust.verify_own(&token(&key), now), Err(expected));
    }
}

#[test]
fn what_was_cleared_is_looked_up_again_after_the_next_revocation() {
    let key = SigningKey::new(&PrivateKey::generate(Algorithm::Es256)).unwrap();
    let trust = trust();
    trust.replace(standing(&key, None, &[client()]));
    let principal = trust.verify_own(&token(&key), NOW).unwrap();
    let cleared = Cleared::default();
    let asked = || trust.recheck(&principal, &cleared, NOW);
    let revoke = |id: &str| trust.revoke_tokens([(TokenId::parse(id).unwrap(), principal.expires_at)], NOW);
    assert_eq!([asked(), asked()], [Ok(()), Ok(())]);
    revoke("another");
    assert_eq!([asked(), asked()], [Ok(()), Ok(())]);
    revoke(principal.token.as_ref().unwrap().as_str());
    assert_eq!([asked(), asked()], [Err(Reason::Revoked), Err(Reason::Revoked)]);
}

#[test]
fn a_debug_text_names_no_revoked_token() {
    let trust = trust();
    trust.revoke_tokens([(TokenId::parse("telltale").unwrap(), NOW.plus(60))], NOW);
    let text = format!("{trust:?}");
    assert!(text.contains("Revocations { tokens: 1, .. }") && !text.contains("telltale"), "{text}");
}
