//! Names of header fields by which a server behind us may decide who asks, from where, and for what: which of them a
//! client may say.

use super::name::header_words;

/// Who may say a field of some name to an upstream, from whoever likes to those who may least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldOwner {
    /// Whoever sends a request.
    Anyone,
    /// A trusted proxy: servers take these for what it saw of the client.
    TrustedProxy,
    /// Nobody but us, or nobody at all: our own statements, orders to read another path or method than the one that was
    /// judged, and spellings that a server takes for a name of this list or for a field that was judged.
    Gateway,
}

/// Who may say the field of this name, which is in lower case as parsers hand it on.
pub fn field_owner(name: &str) -> FieldOwner {
    if is_plain(name.as_bytes()) {
        return owner(name);
    }
    let folded = fold(name);
    if folded.is_empty() || owner(&folded) > FieldOwner::Anyone || matches_any(&folded, &JUDGED) {
        FieldOwner::Gateway
    } else {
        FieldOwner::Anyone
    }
}

/// Whether `Connection` may not name the field: it is for the server behind us (RFC 9110 section 7.6.1), and we decided by
/// it.
pub fn is_end_to_end(name: &str) -> bool {
    const OF_THE_CONNECTION: [&str; 6] = ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];
    let folded = fold(name);
    matches_any(&folded, &JUDGED) && !OF_THE_CONNECTION.contains(&&*folded)
}

/// Whether a name is spelt as names are: words of letters and digits between single hyphens. Looks at every byte: each field
/// of each request passes here, and a branch at each byte would cost more.
fn is_plain(name: &[u8]) -> bool {
    let (mut before, mut odd) = (HYPHEN, 0);
    for byte in name {
        let letter = LETTERS[usize::from(*byte)];
        odd |= letter & (before | OTHER);
        before = letter;
    }
    odd == 0 && before != HYPHEN
}

const HYPHEN: u8 = 1;
const OTHER: u8 = 2;

/// What may stand where in a plain name: zero for letters and digits.
static LETTERS: [u8; 256] = {
    let mut table = [OTHER; 256];
    let mut byte = b'0';
    while byte <= b'z' {
        if byte.is_ascii_digit() || byte.is_ascii_lowercase() {
            table[byte as usize] = 0;
        }
        byte += 1;
    }
    table[b'-' as usize] = HYPHEN;
    table
};

/// The plain name that a server may make of this one. Those that hand fields on as variables (CGI, WSGI, Rack, PHP) write
/// `_` for `-`, some of them for every other character too.
fn fold(name: &str) -> String {
    let words: Vec<&[u8]> = header_words(name).collect();
    String::from_utf8_lossy(&words.join(&b'-')).to_ascii_lowercase()
}

/// The owner of a plain name. Nearly every one is told by its first two letters.
fn owner(name: &str) -> FieldOwner {
    let (ours, theirs): (&[&str], &[&str]) = match name.as_bytes() {
        [b'x', b'-', letter, ..] => of_extension(*letter),
        [b'a', b'k' | b'l', ..] => (&[], &["akamai-*", "ali-cdn-real-ip"]),
        [b'c', b'd' | b'f' | b'l', ..] => (
            &[],
            &[
                "client-ip",
                "client-cert",
                "client-cert-*",
                "cf-*",
                "cloudfront-*",
                "cdn-src-ip",
                "cdn-real-ip",
                "cluster-client-ip",
            ],
        ),
        [b'd', ..] => (&[], &["disguised-host", "do-connecting-ip"]),
        [b'f', ..] => (&["forwarded"], &["forwarded-*", "front-end-https", "fastly-*", "fly-*"]),
        [b'h', b't', ..] => (&["http-method", "http-method-*"], &[]),
        [b'i', ..] => (&[], &["incap-client-ip", "iv-*"]),
        [b'l', b'5', ..] => (&[], &["l5d-*"]),
        [b'm', b's', ..] => (&[], &["ms-aspnetcore-*"]),
        [b'o', ..] => (&[], &["oam-remote-user", "oidc-*"]),
        // CGI programs take `Proxy` for the proxy that they are to use themselves (httpoxy).
        [b'p', ..] => (&["proxy", "proxy-*"], &[]),
        [b'r', b'e', b'a' | b'm', ..] => (&[], &["real-ip", "remote-*"]),
        [b's', b'h' | b'm' | b's', ..] => (&[], &["shib-*", "sm-universalid", "sm-user", "sm-userdn", "ssl-*"]),
        [b't', ..] => (&[], &["tailscale-user-*", "teleport-jwt-assertion", "true-client-ip"]),
        [b'w', ..] => (&[], &["wl-proxy-*"]),
        _ => return FieldOwner::Anyone,
    };
    if matches_any(name, ours) {
        FieldOwner::Gateway
    } else if matches_any(name, theirs) {
        FieldOwner::TrustedProxy
    } else {
        FieldOwner::Anyone
    }
}

/// What is ours, and what a trusted proxy's, of the names that begin with `x-` and this letter.
const fn of_extension(letter: u8) -> (&'static [&'static str], &'static [&'static str]) {
    match letter {
        b'a' => (&["x-application-id"], &X_A),
        b'c' => (&["x-client-cert-subject", "x-client-id", "x-customer-id"], &X_C),
        b'b' => (&[], &["x-backend-*"]),
        b'e' => (&["x-envoy-original-*"], &["x-endpoint-api-*", "x-envoy-*"]),
        b'f' => (&X_F, &["x-forwarded", "x-forwarded-*", "x-forwarder-for", "x-from-ip", "x-front-end-https"]),
        b'g' => (&["x-gateway-assertion"], &["x-goog-authenticated-user-*", "x-goog-iap-*"]),
        b'h' => (&["x-http-*"], &["x-host"]),
        b'i' => (&[], &["x-iisnode-*", "x-ip", "x-istio-attributes"]),
        b'j' => (&[], &["x-jwt-assertion"]),
        b'm' => (&["x-method", "x-method-override"], &["x-ms-client-*", "x-ms-token-*"]),
        b'n' => (&[], &["x-nf-client-connection-ip"]),
        b'o' => (
            &["x-original-method", "x-original-path", "x-original-uri", "x-original-url", "x-override-*"],
            &["x-original-*", "x-originally-*", "x-originating", "x-originating-*"],
        ),
        b'p' => (&[], &["x-pomerium-*", "x-proxy-*", "x-proxyuser-ip"]),
        b'r' => (&["x-request-id", "x-rewrite-*"], &["x-real-*", "x-remote-*"]),
        b's' => (&["x-scope"], &["x-scheme", "x-sendfile-type", "x-ssl", "x-ssl-*", "x-sucuri-clientip"]),
        b't' => (&["x-token-id", "x-token-issuer"], &["x-tls-client-*", "x-true-*"]),
        b'u' => (&[], &["x-url-scheme", "x-userinfo"]),
        b'v' => (&[], &["x-vercel-*", "x-vouch-*"]),
        b'w' => (&[], &["x-waws-*", "x-webauth-*"]),
        _ => (&[], &[]),
    }
}

const X_A: [&str; 21] = [
    "x-accel-mapping",
    "x-akamai-*",
    "x-amzn-lambda-context",
    "x-amzn-mtls-*",
    "x-amzn-oidc-*",
    "x-amzn-request-context",
    "x-amzn-tls-*",
    "x-anonymous-consumer",
    "x-apigateway-*",
    "x-appengine-*",
    "x-arr-*",
    "x-auth-audience",
    "x-auth-email",
    "x-auth-groups",
    "x-auth-request-*",
    "x-auth-roles",
    "x-auth-subject",
    "x-auth-user*",
    "x-authenticated-*",
    "x-authentik-*",
    "x-azure-*",
];
const X_C: [&str; 11] = [
    "x-client-cert*",
    "x-client-dn",
    "x-client-ip",
    "x-client-s-dn",
    "x-client-subject-*",
    "x-client-tls-*",
    "x-client-verify",
    "x-cluster-client-ip",
    "x-consumer-*",
    "x-credential-*",
    "x-custom-ip-authorization",
];
const X_F: [&str; 9] = [
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-path",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-uri",
    "x-forwarded-url",
];

/// Fields that decide where a message ends, what it is, whom it is for and who sends it. They pass, and what only looks
/// like one does not.
const JUDGED: [&str; 19] = [
    "accept-encoding",
    "access-control-*",
    "authorization",
    "connection",
    "content-*",
    "cookie",
    "expect",
    "host",
    "if-*",
    "keep-alive",
    "origin",
    "range",
    "referer",
    "sec-*",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Whether a name is one of these, or begins as one that ends with `*` does.
fn matches_any(name: &str, patterns: &[&str]) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == *pattern,
    })
}

#[cfg(test)]
mod tests;
