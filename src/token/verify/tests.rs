use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;
use crate::token::{Algorithm, MAX_TOKEN_LENGTH, PrivateKey, SigningKey};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::new(&PrivateKey::generate(Algorithm::Es256)).expect("a fresh key"));
static CATALOGUE: LazyLock<Arc<Catalogue>> = LazyLock::new(Arc::default);

const HEADER: &str = r#"{"typ":"at+jwt","alg":"ES256","kid":"KID"}"#;
const CLAIMS: &str = r#"{"iss":"i","aud":"api","sub":"c","client_id":"c","customer_id":"k","scope":"application","iat":1800000000,"exp":1800003600,"jti":"j"}"#;

/// A token with this header and these claims, signed as it should be.
fn forge(header: &str, claims: &str) -> String {
    let header = header.replace("KID", KEY.id().as_str());
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    format!("{signed}.{}", KEY.sign(&signed))
}

fn expectations() -> Expectations {
    Expectations::own("api".to_owned(), 30, Arc::clone(&CATALOGUE))
}

fn verify(token: &str) -> Result<Principal, Reason> {
    Unverified::parse(token.as_bytes())?.verify(KEY.public(), &expectations(), NOW)
}

fn verify_claims(change: impl Fn(&str) -> String) -> Result<Principal, Reason> {
    verify(&forge(HEADER, &change(CLAIMS)))
}

#[test]
fn a_sound_token_becomes_its_principal() {
    let principal = verify(&forge(HEADER, CLAIMS)).unwrap();
    assert_eq!(principal.client.as_str(), "c");
    assert_eq!(principal.customer.as_str(), "k");
    assert_eq!(principal.scope_text, "application");
    assert!(principal.scopes.contains(CATALOGUE.find("application.read").unwrap()));
    assert_eq!(principal.issued_at, Some(NOW));
    assert_eq!(principal.expires_at, Timestamp::from_seconds(1_800_003_600));
    assert_eq!(principal.key, Some(KEY.public().fingerprint()));
}

#[test]
fn header_rules_hold_even_under_a_good_signature() {
    for (header, expected) in [
        (r#"{"alg":"ES256"}"#, None),
        (r#"{"typ":"JWT","alg":"ES256","jku":"http://x","jwk":{},"x5c":[],"x5u":"http://x"}"#, None),
        (r#"{"typ":"application/AT+JWT","alg":"ES256"}"#, None),
        (r#"{"typ":"application/jwt","alg":"ES256"}"#, None),
        (r#"{"typ":"Application/JWT","alg":"ES256"}"#, None),
        (r#"{"typ":null,"alg":"ES256","kid":null}"#, None),
        (r#"{"alg":"ES256","kid":"a key, with spaces \u00e9"}"#, None),
        (r#"{"alg":"ES256","kid":""}"#, None),
        (r#"{"typ":"application/application/jwt","alg":"ES256"}"#, Some(Reason::Malformed)),
        (r#"{"typ":"text/jwt","alg":"ES256"}"#, Some(Reason::Malformed)),
        (r#"{"typ":"application/","alg":"ES256"}"#, Some(Reason::Malformed)),
        (r#"{"typ":"application/id+jwt","alg":"ES256"}"#, Some(Reason::Malformed)),
        (r#"{"typ":"","alg":"ES256"}"#, Some(Reason::Malformed)),
        (r#"{"typ":"at+jwt","alg":null}"#, Some(Reason::Algorithm)),
        (r#"{"alg":"ES256","crit":null}"#, Some(Reason::Malformed)),
        (r#"{"typ":"at+jwt","alg":"none"}"#, Some(Reason::Algorithm)),
        (r#"{"typ":"at+jwt","alg":"es256"}"#, Some(Reason::Algorithm)),
        (r#"{"typ":"at+jwt","alg":"HS256"}"#, Some(Reason::Algorithm)),
        (r#"{"typ":"at+jwt","alg":["ES256"]}"#, Some(Reason::Algorithm)),
        (r#"{"typ":"at+jwt"}"#, Some(Reason::Algorithm)),
        (r#"{"typ":"id+jwt","alg":"ES256"}"#, Some(Reason::Malformed)),
        (r#"{"typ":1,"alg":"ES256"}"#, Some(Reason::Malformed)),
        (r#"{"alg":"ES256","crit":["exp"],"exp":1}"#, Some(Reason::Malformed)),
        (r#"{"alg":"ES256","crit":[]}"#, Some(Reason::Malformed)),
        (r#"{"alg":"ES256","b64":false}"#, Some(Reason::Malformed)),
        (r#"{"alg":"ES256","b64":true}"#, Some(Reason::Malformed)),
        (r#"{"alg":"ES256","zip":"DEF"}"#, Some(Reason::Malformed)),
        (r#"{"alg":"ES256","alg":"ES256"}"#, Some(Reason::Malformed)),
        (r#"{"alg":"ES256","kid":1}"#, Some(Reason::Malformed)),
        (r#"["ES256"]"#, Some(Reason::Malformed)),
        ("\u{feff}{\"alg\":\"ES256\"}", Some(Reason::Malformed)),
    ] {
        assert_eq!(verify(&forge(header, CLAIMS)).err(), expected, "{header}");
    }
}

#[test]
fn each_claim_is_there_of_the_right_type_and_value() {
    for (from, to, expected) in [
        (r#""aud":"api""#, r#""aud":["x","api"]"#, None),
        (r#""iat":1800000000,"#, "", None),
        (r#""jti":"j""#, r#""nbf":1800000030"#, None),
        (r#""exp":1800003600"#, r#""exp":1800003600.5"#, None),
        (r#""exp":1800003600"#, r#""exp":1799999971"#, None),
        (r#""exp":1800003600"#, r#""exp":1799999970"#, Some(Reason::Expired)),
        (r#""exp":1800003600"#, r#""exp":0"#, Some(Reason::Expired)),
        (r#""exp":1800003600,"#, "", Some(Reason::Claims)),
        (r#""exp":1800003600"#, r#""exp":"1800003600""#, Some(Reason::Claims)),
        (r#""exp":1800003600"#, r#""exp":null"#, Some(Reason::Claims)),
        (r#""exp":1800003600"#, r#""exp":-1"#, Some(Reason::Claims)),
        (r#""exp":1800003600"#, r#""exp":1e30"#, Some(Reason::Claims)),
        (r#""exp":1800003600"#, r#""exp":1800003600000"#, Some(Reason::Claims)),
        (r#""exp":1800003600"#, r#""EXP":1800003600"#, Some(Reason::Claims)),
        (r#""jti":"j""#, r#""nbf":1800000031"#, Some(Reason::NotYetValid)),
        (r#""jti":"j""#, r#""nbf":"0""#, Some(Reason::Claims)),
        (r#""jti":"j""#, r#""nbf":null"#, None),
        (r#""iat":1800000000"#, r#""iat":null"#, None),
        (r#""jti":"j""#, r#""jti":null"#, None),
        (r#""jti":"j""#, r#""scp":null"#, None),
        (r#""jti":"j""#, r#""jti":"a, b \u00e9""#, None),
        (r#""jti":"j""#, r#""nbf":1.8e9"#, None),
        (r#""exp":1800003600"#, r#""exp":18000036e2"#, None),
        (r#""exp":1800003600"#, r#""exp":9223372036854775807"#, Some(Reason::Claims)),
        (r#""exp":1800003600"#, r#""exp":99999999999999999999"#, Some(Reason::Claims)),
        (r#""iat":1800000000"#, r#""iat":-1"#, Some(Reason::Claims)),
        (r#""iat":1800000000"#, r#""iat":"2027-01-15""#, Some(Reason::Claims)),
        (r#""iss":"i""#, r#""iss":null"#, Some(Reason::Issuer)),
        (r#""aud":"api""#, r#""aud":null"#, Some(Reason::Audience)),
        (r#""aud":"api""#, r#""aud":[]"#, Some(Reason::Audience)),
        (r#""aud":"api""#, r#""aud":["api",null]"#, Some(Reason::Audience)),
        (r#""sub":"c""#, r#""sub":null"#, Some(Reason::Claims)),
        (r#""customer_id":"k""#, r#""customer_id":null"#, Some(Reason::Claims)),
        (r#""customer_id":"k""#, r#""customer_id":"""#, Some(Reason::Claims)),
        (r#""customer_id":"k""#, r#""customer_id":7"#, Some(Reason::Claims)),
        (r#""customer_id":"k""#, r#""customer_id":"Acme, Inc""#, None),
        (r#""customer_id":"k""#, r#""customer_id":"m\u00fcller""#, None),
        (r#""customer_id":"k""#, r#""customer_id":"a\u0085b""#, Some(Reason::Claims)),
        (r#""client_id":"c""#, r#""client_id":null"#, Some(Reason::Claims)),
        (r#""client_id":"c","#, "", Some(Reason::Claims)),
        (r#""jti":"j""#, r#""token_use":"access""#, None),
        (r#""jti":"j""#, r#""token_use":"id""#, Some(Reason::Claims)),
        (r#""jti":"j""#, r#""token_use":["access"]"#, Some(Reason::Claims)),
        (r#""jti":"j""#, r#""x":{"a":1,"a":2}"#, Some(Reason::Malformed)),
        (r#""iat":1800000000"#, r#""iat":1800000031"#, Some(Reason::NotYetValid)),
        (r#""iss":"i""#, r#""iss":["i"]"#, Some(Reason::Issuer)),
        (r#""iss":"i","#, "", Some(Reason::Issuer)),
        (r#""aud":"api","#, "", Some(Reason::Audience)),
        (r#""aud":"api""#, r#""aud":"apix""#, Some(Reason::Audience)),
        (r#""aud":"api""#, r#""aud":[["api"]]"#, Some(Reason::Audience)),
        (r#""aud":"api""#, r#""aud":["api",1]"#, Some(Reason::Audience)),
        (r#""aud":"api""#, r#""aud":{}"#, Some(Reason::Audience)),
        (r#""sub":"c","#, "", Some(Reason::Claims)),
        (r#""customer_id":"k","#, "", Some(Reason::Claims)),
        (r#""customer_id":"k""#, r#""customer_id":"k\r\nX-Scope: all""#, Some(Reason::Claims)),
        (r#""client_id":"c""#, r#""client_id":1"#, Some(Reason::Claims)),
        (r#""jti":"j""#, r#""jti":{}"#, Some(Reason::Claims)),
        (r#""jti":"j""#, r#""scp":"application""#, None),
        (r#""jti":"j""#, r#""exp":1800003600"#, Some(Reason::Malformed)),
    ] {
        assert!(CLAIMS.contains(from), "{from}");
        assert_eq!(verify_claims(|claims| claims.replace(from, to)).err(), expected, "{from} -> {to}");
    }
}

#[test]
fn claims_stand_where_the_issuer_puts_them() {
    let path = |text: &str| ClaimPath::parse(text).unwrap();
    let claims = r#"{"iss":"i","client_id":"api","sub":"s","azp":"c","org":{"id":"k"},"realm_access":{"roles":["application","x"]},"exp":1800003600}"#;
    let names = ClaimNames {
        audience: path("client_id"),
        customer: path("/org/id"),
        client: path("sub"),
        scope: Some(path("/realm_access/roles")),
        ..ClaimNames::default()
    };
    let verify = |claims: &str| {
        let expected = Expectations { claims: names.clone(), ..expectations() };
        Unverified::parse(forge(HEADER, claims).as_bytes())?.verify(KEY.public(), &expected, NOW)
    };
    let principal = verify(claims).unwrap();
    assert_eq!(
        (principal.client.as_str(), principal.customer.as_str(), principal.issuer_name.as_str()),
        ("s", "k", "i")
    );
    assert_eq!(principal.scope_text, "application x");
    for (from, to, expected) in [
        (r#""client_id":"api""#, r#""client_id":"other""#, Reason::Audience),
        (r#""client_id":"api""#, r#""aud":"api""#, Reason::Audience),
        (r#""org":{"id":"k"}"#, r#""org":{"id":null}"#, Reason::Claims),
        (r#""org":{"id":"k"}"#, r#""org":"k""#, Reason::Claims),
        (r#""org":{"id":"k"}"#, r#""/org/id":"k""#, Reason::Claims),
    ] {
        assert_eq!(verify(&claims.replace(from, to)).err(), Some(expected), "{to}");
    }
}

#[test]
fn a_token_may_leave_out_when_it_was_issued() {
    for (claim, expected) in [
        (r#""iat":1800000000,"#, Some(1_800_000_000)),
        (r#""iat":1799999999.9,"#, Some(1_799_999_999)),
        (r#""iat":0,"#, Some(0)),
        ("", None),
    ] {
        let principal = verify_claims(|claims| claims.replace(r#""iat":1800000000,"#, claim)).unwrap();
        assert_eq!(principal.issued_at, expected.map(Timestamp::from_seconds), "{claim}");
    }
}

#[test]
fn scopes_are_read_from_the_first_claim_that_is_there_and_split_on_spaces_only() {
    for (claim, granted) in [
        (r#""scope":"application""#, true),
        (r#""scope":"x application""#, true),
        (r#""scp":["application"]"#, true),
        (r#""scopes":"application""#, true),
        (r#""scope":"application","scp":["application"]"#, true),
        (r#""scope":"application","scp":["x"],"scopes":"x""#, true),
        (r#""scope":"x","scp":["application"]"#, false),
        (r#""scope":"","scp":["application"]"#, false),
        (r#""scope":[],"scp":["application"]"#, false),
        (r#""scope":null,"scp":["application"]"#, true),
        (r#""scp":null,"scopes":["application"]"#, true),
        (r#""scp":["x"],"scopes":["application"]"#, false),
        (r#""scope":["application",null,1]"#, true),
        (r#""scope":"application.read""#, false),
        (r#""scope":"application,application.read""#, false),
        (r#""scope":"application\tx""#, false),
        (r#""scope":"APPLICATION""#, false),
        (r#""scope":"applications""#, false),
        (r#""scope":"""#, false),
        (r#""scope":1"#, false),
        (r#""scope":{"application":true}"#, false),
        (r#""x":1"#, false),
    ] {
        let principal = verify_claims(|claims| claims.replace(r#""scope":"application""#, claim)).unwrap();
        assert_eq!(principal.scopes.contains(CATALOGUE.find("application").unwrap()), granted, "{claim}");
    }
}

#[test]
fn a_bound_scope_without_its_claims_makes_the_token_invalid() {
    let session = |extra: &str| {
        let extra = format!(r#""scope":"application.session"{extra}"#);
        verify_claims(|claims| claims.replace(r#""scope":"application""#, &extra))
    };
    let whole = r#","application_id":"a","workflow_id":"w","redirect_url":"https://x""#;
    assert_eq!(session(whole).unwrap().application.unwrap().as_str(), "a");
    for missing in [r#""application_id":"a","#, r#""workflow_id":"w","#, r#","redirect_url":"https://x""#] {
        assert_eq!(session(&whole.replace(missing, "")), Err(Reason::Claims), "{missing}");
    }
    for (from, to) in [(r#""a""#, "1"), (r#""a""#, r#""""#), (r#""a""#, r#""a b""#), (r#""w""#, "null")] {
        assert_eq!(session(&whole.replace(from, to)), Err(Reason::Claims), "{to}");
    }
}

#[test]
fn only_three_whole_parts_of_base64url_are_a_token() {
    let token = forge(HEADER, CLAIMS);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let long = format!("{header}.{}.{signature}", "A".repeat(MAX_TOKEN_LENGTH));
    let many = (0..500).fold(String::new(), |text, n| text + &format!("\"claim{n}\":{n},"));
    assert!(verify_claims(|claims| claims.replacen('{', &format!("{{{many}"), 1)).is_ok(), "many claims");
    for broken in [
        String::new(),
        "..".to_owned(),
        signed.to_owned(),
        format!("{signed}."),
        format!(".{claims}.{signature}"),
        format!("{header}..{signature}"),
        format!("{token}.{signature}"),
        format!("{token}="),
        format!(" {token}"),
        format!("\"{token}\""),
        format!("{token}, Bearer {token}"),
        format!("{header}=.{claims}.{signature}"),
        format!("{header}.{claims}\n.{signature}"),
        format!("{header}.{claims} .{signature}"),
        token.replace('-', "+").replace('_', "/") + "+",
        long,
    ] {
        assert_eq!(verify(&broken).err(), Some(Reason::Malformed), "{broken}");
    }
    for signature in ["AAAA".repeat(21), format!("{signature}AA"), signature[..signature.len() - 2].to_owned()] {
        assert_eq!(verify(&format!("{signed}.{signature}")).err(), Some(Reason::Signature));
    }
}

proptest! {
    /// Whatever we accept, the library accepts as well: it sees the same token with the same key.
    #[test]
    fn nothing_is_accepted_that_jsonwebtoken_refuses(
        place in 0_usize..400,
        replacement in "[A-Za-z0-9_.=-]{0,2}",
        length in 0_usize..3,
    ) {
        static TOKEN: LazyLock<String> = LazyLock::new(|| forge(HEADER, CLAIMS));
        let start = place.min(TOKEN.len());
        let end = (start + length).min(TOKEN.len());
        let token = format!("{}{replacement}{}", &TOKEN[..start], &TOKEN[end..]);
        if verify(&token).is_ok() {
            let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
            rules.set_audience(&["api"]);
            rules.set_issuer(&["i"]);
            // The library reads the machine's clock, which will be past this token's end one day.
            rules.validate_exp = false;
            let key = jsonwebtoken::DecodingKey::from_jwk(KEY.jwk()).unwrap();
            prop_assert!(jsonwebtoken::decode::<Value>(&token, &key, &rules).is_ok(), "{token}");
        }
    }

    #[test]
    fn no_text_makes_it_panic(token in "[ -~]{0,80}|[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,8}") {
        let _ = verify(&token);
    }
}
