use serde_json::Value;

use super::{claims, json::Object, verify::Expectations};
use crate::domain::{Principal, Reason, Timestamp};

/// The principal of a token about which its issuer, called `issuer`, gave this answer (RFC 7662 section 2.2). The answer
/// counts until `asked_again_at`.
///
/// An answer that is none leaves open what the token is worth; one that says it is not active is as good as a revocation.
pub fn principal_of_introspection(
    answer: &[u8],
    issuer: &str,
    expected: &Expectations,
    asked_again_at: Timestamp,
    now: Timestamp,
) -> Result<Principal, Reason> {
    let claims = Object::parse(answer).ok_or(Reason::KeysUnavailable)?;
    match claims.member("active").and_then(Value::as_bool) {
        Some(true) => {}
        Some(false) => return Err(Reason::Revoked),
        None => return Err(Reason::KeysUnavailable),
    }
    if claims.stated("iss").is_some_and(|stated| stated != issuer) {
        return Err(Reason::Issuer);
    }
    let expires_at = claims::moment(&claims, "exp")?.unwrap_or(asked_again_at);
    let principal = claims::check(&claims, issuer, expires_at, None, expected, now)?;
    Ok(Principal { asked_again_at: Some(asked_again_at), ..principal })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Catalogue, IssuerId},
        token::{Audiences, ClaimNames},
    };

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    /// `audiences`: those of the entry; without, those of our own issuer.
    fn principal(answer: &str, audiences: &[&str]) -> Result<Principal, Reason> {
        let audiences = audiences.iter().map(ToString::to_string).collect::<Vec<_>>();
        let default = Audiences::OneOfIfStated(vec!["ours".to_owned()]);
        let expected = Expectations {
            issuer: IssuerId::trusted(0),
            audiences: if audiences.is_empty() { default } else { Audiences::OneOf(audiences) },
            clock_skew: 30,
            longest_life: None,
            catalogue: Catalogue::default().into(),
            ceiling: None,
            claims: ClaimNames::default(),
        };
        principal_of_introspection(answer.as_bytes(), "https://i", &expected, NOW.plus(60), NOW)
    }

    #[test]
    fn an_answer_says_who_may_use_the_token_and_until_when() {
        let answer =
            r#"{"active":true,"client_id":"c","customer_id":"k","scope":"application","exp":1800000900,"jti":"j"}"#;
        let told = principal(answer, &[]).unwrap();
        assert_eq!((told.client.as_str(), told.customer.as_str()), ("c", "k"));
        assert_eq!((told.expires_at, told.asked_again_at), (NOW.plus(900), Some(NOW.plus(60))));
        assert_eq!(told.key, None);
        let endless = principal(r#"{"active":true,"sub":"s","client_id":"c","customer_id":"k"}"#, &[]).unwrap();
        assert_eq!((endless.client.as_str(), endless.expires_at), ("c", NOW.plus(60)));
        assert_eq!(endless.issuer_name.as_str(), "https://i");
    }

    #[test]
    fn what_is_no_whole_answer_admits_nobody() {
        for (answer, audiences, expected) in [
            (r#"{"active":false}"#, &[][..], Reason::Revoked),
            (r#"{"active":false,"client_id":"c","customer_id":"k","scope":"application"}"#, &[], Reason::Revoked),
            (r#"{"active":"true","client_id":"c","customer_id":"k"}"#, &[], Reason::KeysUnavailable),
            (r#"{"active":1,"client_id":"c","customer_id":"k"}"#, &[], Reason::KeysUnavailable),
            (r#"{"client_id":"c","customer_id":"k"}"#, &[], Reason::KeysUnavailable),
            (r#"{"active":false,"active":true,"client_id":"c","customer_id":"k"}"#, &[], Reason::KeysUnavailable),
            ("<html>", &[], Reason::KeysUnavailable),
            ("", &[], Reason::KeysUnavailable),
            (r#"{"active":true,"client_id":"c"}"#, &[], Reason::Claims),
            (r#"{"active":true,"sub":"c","customer_id":"k"}"#, &[], Reason::Claims),
            (r#"{"active":true,"client_id":"c","customer_id":"k","token_use":"refresh_token"}"#, &[], Reason::Claims),
            (r#"{"active":true,"customer_id":"k"}"#, &[], Reason::Claims),
            (r#"{"active":true,"client_id":"c","customer_id":"k","exp":1799999970}"#, &[], Reason::Expired),
            (r#"{"active":true,"client_id":"c","customer_id":"k","exp":"never"}"#, &[], Reason::Claims),
            (r#"{"active":true,"client_id":"c","customer_id":"k","nbf":1800000031}"#, &[], Reason::NotYetValid),
            (r#"{"active":true,"client_id":"c","customer_id":"k","iss":"https://other"}"#, &[], Reason::Issuer),
            (r#"{"active":true,"client_id":"c","customer_id":"k"}"#, &["api"], Reason::Audience),
            (r#"{"active":true,"client_id":"c","customer_id":"k","aud":"x"}"#, &["api"], Reason::Audience),
        ] {
            assert_eq!(principal(answer, audiences), Err(expected), "{answer}");
        }
    }

    #[test]
    fn an_audience_that_is_stated_counts() {
        for (stated, of_ours, of_entry) in [
            ("", true, false),
            (r#","aud":null"#, true, false),
            (r#","aud":"ours""#, true, false),
            (r#","aud":["x","ours"]"#, true, false),
            (r#","aud":"api""#, false, true),
            (r#","aud":["api","x"]"#, false, true),
            (r#","aud":"other""#, false, false),
            (r#","aud":"""#, false, false),
            (r#","aud":[]"#, true, false),
            (r#","aud":[null]"#, false, false),
            (r#","aud":["ours","api",null]"#, false, false),
            (r#","aud":1"#, false, false),
            (r#","aud":{"ours":"api"}"#, false, false),
        ] {
            let answer = format!(r#"{{"active":true,"client_id":"c","customer_id":"k","iss":null{stated}}}"#);
            assert_eq!(principal(&answer, &[]).is_ok(), of_ours, "{stated}");
            assert_eq!(principal(&answer, &["api"]).is_ok(), of_entry, "{stated}");
        }
    }
}
