//! The well-signed rows of the catalogue: odd claims, scopes, header members and payloads.

use serde_json::{Value, json};

use super::catalogue::Material;

impl Material {
    /// The payload of a row of group `claims`.
    pub(super) fn claims(&self, name: &str) -> Option<String> {
        let (now, iss) = (self.now, self.claims["iss"].as_str()?);
        let exp = |value: Value| self.payload_with("exp", value);
        let text = |name: &str, value: String| self.payload_with(name, value.into());
        Some(match name {
            "control-valid" => self.payload(),
            "exp-past-1s" => exp(json!(now - 1)),
            "exp-past-61s" => exp(json!(now - 61)),
            "exp-past-1h" => exp(json!(now - 3600)),
            "exp-zero" => exp(json!(0)),
            "exp-negative" => exp(json!(-1)),
            "exp-string" => exp(json!((now + 600).to_string())),
            "exp-string-never" => exp(json!("never")),
            "exp-null" => exp(Value::Null),
            "exp-list" => exp(json!([now + 600])),
            "exp-object" => exp(json!({"$gt": 0})),
            "exp-float" => {
                self.payload().replace(&format!("\"exp\":{}", self.claims["exp"]), &format!("\"exp\":{now}600.5"))
            }
            "exp-1e30" => exp(json!(1e30)),
            "exp-far-2^63" => exp(json!(1_u64 << 63)),
            "exp-ms" => exp(json!((now + 600) * 1000)),
            "exp-missing" => self.payload_without("exp"),
            "nbf-future" => self.payload_with("nbf", json!(now + 3600)),
            "nbf-string-future" => text("nbf", (now + 3600).to_string()),
            "nbf-null" => self.payload_with("nbf", Value::Null),
            "nbf-5s" => self.payload_with("nbf", json!(now + 5)),
            "iat-future" => self.payload_with("iat", json!(now + 3600)),
            "iss-other" => text("iss", "https://evil.example".into()),
            "iss-missing" => self.payload_without("iss"),
            "iss-array" => self.payload_with("iss", json!(["https://evil.example", iss])),
            "iss-slash" => text("iss", format!("{iss}/")),
            "iss-upper" => text("iss", iss.to_uppercase()),
            "iss-prefix" => text("iss", format!("{iss}.evil.example")),
            "aud-other" => text("aud", "other-api".into()),
            "aud-missing" => self.payload_without("aud"),
            "aud-empty" => text("aud", String::new()),
            "aud-nested" => self.payload_with("aud", json!([["applications-api"]])),
            "aud-prefix" => text("aud", "applications-api-internal".into()),
            "aud-list-with-ours" => self.payload_with("aud", json!(["other-api", "applications-api"])),
            "dup-exp" => self.payload().replacen('{', "{\"exp\":1,", 1),
            "case-exp" => self.payload_without("exp").replacen('{', &format!("{{\"Exp\":{},", now + 600), 1),
            _ => return None,
        })
    }

    pub(super) fn with_scope(&self, name: &str) -> Option<String> {
        let scope = match name.strip_prefix("scope-")? {
            "missing" => return Some(self.signed(self.payload_without("scope"))),
            "list" => json!(["application"]),
            "empty" => json!(""),
            "super" => json!("application.super"),
            "prefix" => json!("app"),
            "upper" => json!("APPLICATION"),
            "comma" => json!("application,application.read"),
            "tab" => json!("application.read\tapplication"),
            "int" => json!(1),
            "object" => json!({"application": true}),
            "multi" => json!("application.read application"),
            _ => return None,
        };
        Some(self.signed(self.payload_with("scope", scope)))
    }

    pub(super) fn with_header(&self, name: &str) -> Option<String> {
        let extended = |members: &str| self.own.header().replacen('{', &format!("{{{members},"), 1);
        let header = match name {
            "crit-unknown" => extended(r#""crit":["unknown"],"unknown":1"#),
            "crit-empty" => extended(r#""crit":[]"#),
            "crit-string" => extended(r#""crit":"exp""#),
            "crit-std" => extended(r#""crit":["alg"]"#),
            "crit-missing-member" => extended(r#""crit":["exp"]"#),
            "b64-false" => extended(r#""crit":["b64"],"b64":false"#),
            "b64-false-nocrit" => extended(r#""b64":false"#),
            "zip" => extended(r#""zip":"DEF""#),
            "typ-id" => self.header_with("typ", "id+jwt".into()),
            "typ-jose-json" => self.header_with("typ", "JOSE+JSON".into()),
            "typ-number" => self.header_with("typ", 1.into()),
            "cty-jwt" => extended(r#""cty":"JWT""#),
            "dup-alg-rev" => self.own.header().replace('}', r#","alg":"none"}"#),
            "dup-alg" => extended(r#""alg":"none""#),
            _ => return None,
        };
        Some(self.own.token(&header, self.payload()))
    }

    pub(super) fn with_payload(&self, name: &str) -> Option<String> {
        let payload = self.payload();
        let bytes = match name {
            "jws-in-jws" => self.genuine().into_bytes(),
            "payload-array" => format!("[{payload}]").into_bytes(),
            "payload-string" => Value::from(payload).to_string().into_bytes(),
            "payload-empty" => Vec::new(),
            "payload-bad-utf8" => [b"{\"x\":\"\xff\xfe\",".as_slice(), &payload.as_bytes()[1..]].concat(),
            "payload-trailing" => format!("{payload}{{}}").into_bytes(),
            _ => return None,
        };
        Some(self.signed(bytes))
    }

    /// Claims that are copied to headers, with content that headers cannot or should not hold.
    pub(super) fn with_identity(&self, name: &str) -> Option<String> {
        let value = match name.strip_prefix("sub-")? {
            "crlf" => json!("a\r\nX-Evil: 1"),
            "nul" => json!("a\0b"),
            "emoji" => json!("\u{1f600}"),
            "long" => json!("a".repeat(1200)),
            "comma" => json!("a, b"),
            "object" => json!({"a": 1}),
            _ => return None,
        };
        let mut claims = self.claims.clone();
        for claim in ["sub", "client_id", "customer_id"] {
            claims.insert(claim.to_owned(), value.clone());
        }
        Some(self.signed(Value::from(claims).to_string()))
    }
}
