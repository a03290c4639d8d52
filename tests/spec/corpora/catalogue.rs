use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use scopegate::token::{Algorithm, PrivateKey};
use serde_json::{Map, Value, json};

use crate::harness::{Forge, Gateway, Issuer, b64, b64_standard, claims_of, stolen_key};

/// What tokens are forged from: the key of an issuer that is believed, an attacker's, and the claims of a genuine token.
pub struct Material {
    pub(super) own: Forge,
    pub(super) claims: Map<String, Value>,
    pub(super) now: u64,
    /// A URL that must not be fetched.
    trap: String,
}

impl Material {
    /// Of another issuer, which publishes its key from now on.
    pub fn of_issuer(issuer: &Issuer, algorithm: Algorithm, trap: &str) -> Self {
        let own = Forge::new(&PrivateKey::generate(algorithm));
        issuer.publish(&[&own]);
        let Value::Object(claims) = claims_of(&issuer.name, json!({})) else { unreachable!("claims are an object") };
        let now = claims["iat"].as_u64().unwrap();
        Self { own, claims, now, trap: trap.to_owned() }
    }

    /// Of the gateway itself.
    pub fn of(gateway: &Gateway, trap: &str) -> Self {
        let token = gateway.token("application");
        let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let claims: Map<String, Value> = serde_json::from_slice(&payload).unwrap();
        let now = claims["iat"].as_u64().unwrap();
        Self { own: stolen_key(gateway), claims, now, trap: trap.to_owned() }
    }

    /// The bytes of the token that this row of the catalogue describes; `None` for a row that is unknown.
    pub fn forge(&self, id: &str) -> Option<Vec<u8>> {
        let (group, name) = id.strip_prefix("jwt.")?.split_once('.')?;
        let token = match group {
            "none" => self.without_algorithm(name)?,
            "sig" => self.with_signature(name)?,
            "enc" => return self.encoded(name),
            "size" => self.sized(name)?,
            "key" => self.with_foreign_key(name)?,
            "ssrf" => self.with_reference(name)?,
            "kid" => self.with_kid(name)?,
            "weak" => self.with_weak_secret(name)?,
            "confusion" => self.with_public_key_as_secret(name)?,
            "jwe" => encrypted(name)?,
            "claims" => self.signed(self.claims(name)?),
            "scope" => self.with_scope(name)?,
            "crit" => self.with_header(name)?,
            "nest" => self.with_payload(name)?,
            "ident" => self.with_identity(name)?,
            _ => return None,
        };
        Some(token.into_bytes())
    }

    pub(super) fn payload(&self) -> String {
        Value::from(self.claims.clone()).to_string()
    }

    pub(super) fn payload_with(&self, name: &str, value: Value) -> String {
        let mut claims = self.claims.clone();
        claims.insert(name.to_owned(), value);
        Value::from(claims).to_string()
    }

    pub(super) fn payload_without(&self, name: &str) -> String {
        let mut claims = self.claims.clone();
        claims.remove(name).expect("the claim is there");
        Value::from(claims).to_string()
    }

    /// The usual header with one member set, or removed by JSON `null` in `remove`.
    pub(super) fn header_with(&self, name: &str, value: Value) -> String {
        let mut header: Map<String, Value> = serde_json::from_str(&self.own.header()).unwrap();
        header.insert(name.to_owned(), value);
        Value::from(header).to_string()
    }

    fn header_without(&self, name: &str) -> String {
        let mut header: Map<String, Value> = serde_json::from_str(&self.own.header()).unwrap();
        header.remove(name).expect("the member is there");
        Value::from(header).to_string()
    }

    fn header_of(algorithm: &str, kid: &Value) -> String {
        json!({"typ": "at+jwt", "alg": algorithm, "kid": kid}).to_string()
    }

    pub(super) fn signed(&self, payload: impl AsRef<[u8]>) -> String {
        self.own.token(&self.own.header(), payload)
    }

    pub(super) fn genuine(&self) -> String {
        self.signed(self.payload())
    }

    fn without_algorithm(&self, name: &str) -> Option<String> {
        let unsigned = |algorithm: &str| {
            let header = self.header_with("alg", algorithm.into());
            format!("{}.{}.", b64(header), b64(self.payload()))
        };
        Some(match name {
            "alg-none" => unsigned("none"),
            "alg-None" => unsigned("None"),
            "alg-NONE" => unsigned("NONE"),
            "alg-nOnE" => unsigned("nOnE"),
            "alg-none-sp" => unsigned("none "),
            "alg-empty" => unsigned(""),
            "alg-null" => unsigned("null"),
            "keeps-signature" => unsigned("none") + self.genuine().rsplit('.').next()?,
            "alg-null-json" => self.own.token(&self.header_with("alg", Value::Null), self.payload()),
            "alg-list" => self.own.token(&self.header_with("alg", json!([self.own.algorithm.name()])), self.payload()),
            "alg-missing" => self.own.token(&self.header_without("alg"), self.payload()),
            _ => return None,
        })
    }

    fn with_signature(&self, name: &str) -> Option<String> {
        let genuine = self.genuine();
        let (message, signature) = genuine.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        Some(match name {
            "empty" => format!("{message}."),
            "two-segments" => message.to_owned(),
            "payload-changed" => format!("{header}.{}.{signature}", b64(self.payload_with("sub", "admin".into()))),
            "header-changed" => format!("{}.{payload}.{signature}", b64(self.header_with("x", 1.into()))),
            "truncated" => format!("{message}.{}", b64(&bytes[..bytes.len() - 1])),
            "extended" => {
                bytes.push(0);
                format!("{message}.{}", b64(bytes))
            }
            "zeros" => format!("{message}.{}", b64(vec![0; bytes.len()])),
            "psychic-der" => format!("{message}.{}", b64([0x30, 6, 2, 1, 0, 2, 1, 0])),
            "one-bit" => {
                bytes[10] ^= 1;
                format!("{message}.{}", b64(bytes))
            }
            _ => return None,
        })
    }

    fn encoded(&self, name: &str) -> Option<Vec<u8>> {
        let genuine = self.genuine();
        let parts: Vec<&str> = genuine.split('.').collect();
        let [header, payload, signature] = parts[..] else { return None };
        let within_payload = |what: &str| format!("{header}.{}{what}{}.{signature}", &payload[..8], &payload[8..]);
        let with_header = |header: &str| self.own.token(header, self.payload());
        let token = match name {
            "padding" => format!("{header}.{payload}.{signature}=="),
            "std-alphabet" => self.in_standard_alphabet(),
            "space-in" => within_payload(" "),
            "newline" => within_payload("\n"),
            "junk-in-payload" => within_payload("*"),
            "four-dots" => format!("{genuine}.."),
            "five-segments" => format!("{genuine}.{payload}.{signature}"),
            "leading-dot" => format!(".{genuine}"),
            "json-general" => {
                json!({"payload": payload, "signatures": [{"protected": header, "signature": signature}]}).to_string()
            }
            "json-flat-raw" => json!({"payload": payload, "protected": header, "signature": signature}).to_string(),
            "only-dots" => "..".to_owned(),
            "many-dots" => ".".repeat(4000),
            "utf8-bom-header" => with_header(&format!("\u{feff}{}", self.own.header())),
            "header-not-json" => with_header("not json"),
            "header-array" => with_header(&format!("[{}]", self.own.header())),
            "header-deep" => {
                let deep = format!("{}{}", "[".repeat(9000), "]".repeat(9000));
                with_header(&self.own.header().replacen('{', &format!("{{\"x\":{deep},"), 1))
            }
            "percent-encoded" => genuine.replace('.', "%2E"),
            _ => return None,
        };
        Some(token.into_bytes())
    }

    /// A good token in the wrong alphabet: one whose signature has a character that differs.
    fn in_standard_alphabet(&self) -> String {
        let tokens = (0..).map(|number| self.signed(self.payload_with("jti", format!("j{number}").into())));
        let differs = |token: &String| token.rsplit('.').next().is_some_and(|signature| signature.contains(['-', '_']));
        tokens.into_iter().find(differs).expect("most signatures have one").replace('-', "+").replace('_', "/")
    }

    fn sized(&self, name: &str) -> Option<String> {
        let length = match name {
            "16k" => 16_000,
            "200k" => 200_000,
            "900k" => 900_000,
            _ => return None,
        };
        Some(self.signed(self.payload_with("pad", "a".repeat(length * 3 / 4 - 600).into())))
    }

    fn foreign(&self, algorithm: &str) -> Option<Forge> {
        Some(Forge::foreign(Algorithm::from_name(algorithm)?, &self.own.kid))
    }

    fn with_foreign_key(&self, name: &str) -> Option<String> {
        if let Some(algorithm) = name.strip_prefix("foreign-") {
            let forge = self.foreign(algorithm)?;
            return Some(forge.token(&forge.header(), self.payload()));
        }
        let forge = self.foreign(name.strip_prefix("embedded-jwk-")?)?;
        let jwk: Value = serde_json::from_str(&forge.jwk()).unwrap();
        let header = json!({"typ": "at+jwt", "alg": forge.algorithm.name(), "kid": forge.kid, "jwk": jwk});
        Some(forge.token(&header.to_string(), self.payload()))
    }

    fn with_reference(&self, name: &str) -> Option<String> {
        let forge = self.foreign(self.own.algorithm.name())?;
        let header = |member: &str, value: Value| {
            let mut header = json!({"typ": "at+jwt", "alg": forge.algorithm.name(), "kid": "elsewhere"});
            header[member] = value;
            header.to_string()
        };
        let url = |path: &str| Value::from(format!("{}/{path}", self.trap));
        Some(match name {
            "jku" => forge.token(&header("jku", url("jwks.json")), self.payload()),
            "x5u" => forge.token(&header("x5u", url("cert.pem")), self.payload()),
            "x5c" => forge.token(&header("x5c", json!([b64_standard(forge.spki())])), self.payload()),
            "jku-file" => forge.token(&header("jku", "file:///etc/passwd".into()), self.payload()),
            "url" => forge.token(&header("url", url("x")), self.payload()),
            "iss-oidc" => forge.token(&forge.header(), self.payload_with("iss", self.trap.clone().into())),
            _ => return None,
        })
    }

    fn with_kid(&self, name: &str) -> Option<String> {
        let (name, algorithm) = name.rsplit_once('-')?;
        let own = &self.own.kid;
        let swap = |character: char| {
            if character.is_ascii_lowercase() { character.to_ascii_uppercase() } else { character.to_ascii_lowercase() }
        };
        let kid = match name {
            "traversal" => json!("../../../../../../dev/null"),
            "sqli" => json!("x' UNION SELECT 'secret'-- "),
            "cmd" => json!("|sleep 5"),
            "nul" => json!(format!("{own}\0")),
            "empty" => json!(""),
            "int" => json!(1),
            "list" => json!([own]),
            "url" => json!(self.trap),
            "missing" => Value::Null,
            "unknown" => json!("unknown"),
            "case" => json!(own.chars().map(swap).collect::<String>()),
            "space" => json!(format!("{own} ")),
            _ => return None,
        };
        let header = if name == "missing" {
            json!({"typ": "at+jwt", "alg": algorithm}).to_string()
        } else {
            Self::header_of(algorithm, &kid)
        };
        match algorithm {
            // An empty secret, which HMAC pads like a zero byte: what a key read from /dev/null would be.
            "HS256" => Some(Forge::hmac(hmac::HMAC_SHA256, &[0], &header, &self.payload())),
            "RS256" => Some(self.foreign("RS256")?.token(&header, self.payload())),
            _ => None,
        }
    }

    fn with_weak_secret(&self, name: &str) -> Option<String> {
        let hex = name.strip_prefix("hs256-")?;
        let hex = if hex == "empty" { "00" } else { hex };
        let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
        let secret = (0..hex.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>()?;
        let header = Self::header_of("HS256", &json!(self.own.kid));
        Some(Forge::hmac(hmac::HMAC_SHA256, &secret, &header, &self.payload()))
    }

    fn with_public_key_as_secret(&self, name: &str) -> Option<String> {
        let (algorithm, spelling) = name.split_once('-')?;
        let hash = match algorithm {
            "HS256" => hmac::HMAC_SHA256,
            "HS384" => hmac::HMAC_SHA384,
            "HS512" => hmac::HMAC_SHA512,
            _ => return None,
        };
        let spki = |end: &str| pem("PUBLIC KEY", &self.own.spki(), end);
        let pkcs1 = |end: &str| pem("RSA PUBLIC KEY", &self.own.public(), end);
        let secret = match spelling {
            "spki-pem" => spki("\n"),
            "spki-pem-nonl" => spki("\n").trim_ascii_end().to_vec(),
            "spki-pem-crlf" => spki("\r\n"),
            "spki-der" => self.own.spki(),
            "pkcs1-pem" => pkcs1("\n"),
            "pkcs1-pem-nonl" => pkcs1("\n").trim_ascii_end().to_vec(),
            "pkcs1-pem-crlf" => pkcs1("\r\n"),
            "pkcs1-der" | "point" | "raw" => self.own.public(),
            "n-raw" => self.own.modulus(),
            "n-b64u" => b64(self.own.modulus()).into_bytes(),
            "raw-b64u" => b64(self.own.public()).into_bytes(),
            _ => return None,
        };
        Some(Forge::hmac(hash, &secret, &Self::header_of(algorithm, &json!(self.own.kid)), &self.payload()))
    }
}

fn encrypted(name: &str) -> Option<String> {
    let header = match name {
        "dir-zip-bomb" => json!({"alg": "dir", "enc": "A256GCM", "zip": "DEF"}),
        "pbes2-p2c" => {
            json!({"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2_147_483_647, "p2s": "AAAAAAAAAAA"})
        }
        _ => return None,
    };
    Some(format!("{}..{}.{}.{}", b64(header.to_string()), b64([0; 12]), b64(vec![0; 2000]), b64([0; 16])))
}

fn pem(label: &str, der: &[u8], line_end: &str) -> Vec<u8> {
    let text = b64_standard(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64")).collect();
    format!("-----BEGIN {label}-----{line_end}{}{line_end}-----END {label}-----{line_end}", lines.join(line_end))
        .into_bytes()
}
