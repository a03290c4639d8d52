use http::{HeaderMap, HeaderValue, Method, header};

/// Which pages of other origins may read what a route answers (Fetch standard, "CORS protocol").
#[derive(Debug, PartialEq, Eq)]
pub struct Cors {
    /// The origins of those pages.
    pub origins: Origins,
    /// Methods that pages may use; empty: those of the route.
    pub methods: Vec<Method>,
    /// The methods as `Access-Control-Allow-Methods`; `None`: the one asked for.
    pub methods_text: Option<HeaderValue>,
    /// Request header fields that pages may set, as `Access-Control-Allow-Headers`; `None`: only those that all may.
    pub headers: Option<HeaderValue>,
    /// Reply header fields that pages may read, as `Access-Control-Expose-Headers`; `None`: only those that all may.
    pub expose: Option<HeaderValue>,
    /// How long a browser may remember a preflight, in seconds, as `Access-Control-Max-Age`.
    pub max_age: HeaderValue,
    /// Whether requests may carry cookies and the like.
    pub credentials: Credentials,
}

/// Whether a page's requests may carry cookies and certificates. A token that the page holds and sends is none of those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// They may.
    Included,
    /// The browser hides replies to requests that do.
    Omitted,
}

/// A set of origins.
#[derive(Debug, PartialEq, Eq)]
pub enum Origins {
    /// Every one.
    Any,
    /// Those that one of these means.
    Listed(Vec<OriginPattern>),
}

/// One origin, or those of all hosts one level below a domain.
#[derive(Debug, PartialEq, Eq)]
pub struct OriginPattern {
    /// The origin up to its varying label, or all of it.
    start: Box<str>,
    /// The origin after its varying label.
    end: Option<Box<str>>,
}

/// Why a text is no [`OriginPattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Not as a browser writes one, so it would never be met.
    #[error(
        "is not an origin as browsers write it, such as `https://app.example.com`, `http://localhost:3000` or `capacitor://localhost`"
    )]
    Form,
    /// What every sandboxed page is called.
    #[error("is what every sandboxed page is called, whoever wrote it")]
    Null,
    /// Hosts of many owners.
    #[error("means hosts of many owners: `*` stands for one label before a domain of at least two")]
    ManyOwners,
}

impl Cors {
    /// Whether the page that sends these header fields may read the reply: the value for `Access-Control-Allow-Origin`.
    pub fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut values = headers.get_all(header::ORIGIN).iter();
        let (origin, None) = (values.next()?, values.next()) else { return None };
        match &self.origins {
            Origins::Any => Some(HeaderValue::from_static("*")),
            Origins::Listed(patterns) => {
                let text = origin.to_str().ok()?;
                patterns.iter().any(|pattern| pattern.means(text)).then(|| origin.clone())
            }
        }
    }

    /// Whether pages may use `method`, which the route takes.
    pub fn takes(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }

    /// Whether a reply is another one for another page.
    pub fn varies(&self) -> bool {
        self.origins != Origins::Any
    }
}

impl OriginPattern {
    /// Reads `https://app.example.com`, or `https://*.example.com` for one label more.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        if text == "null" {
            return Err(OriginError::Null);
        }
        let Some((start, end)) = text.split_once('*') else {
            return if is_origin(text) { Ok(Self { start: text.into(), end: None }) } else { Err(OriginError::Form) };
        };
        let one_label = start.ends_with("://") && end.starts_with('.') && !end.contains('*');
        if !one_label || !is_origin(&format!("{start}label{end}")) {
            return Err(OriginError::Form);
        }
        let domain = end[1..].split(':').next().unwrap_or_default();
        if !domain.contains('.') && domain != "localhost" {
            return Err(OriginError::ManyOwners);
        }
        Ok(Self { start: start.into(), end: Some(end.into()) })
    }

    /// Whether this is one of them, byte for byte: browsers write an origin in one way only.
    fn means(&self, origin: &str) -> bool {
        let Some(end) = &self.end else { return *origin == *self.start };
        let label = origin.strip_prefix(&*self.start).and_then(|rest| rest.strip_suffix(&**end));
        let part_of_a_label =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        label.is_some_and(|label| !label.is_empty() && label.bytes().all(part_of_a_label))
    }
}

/// Whether `text` is the one spelling of a page's origin (RFC 6454 section 6.2): nothing after host and port, all in lower
/// case, no port that goes without saying.
fn is_origin(text: &str) -> bool {
    match text.split_once("://") {
        Some(("http" | "https", _)) => {
            url::Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == text)
        }
        Some((scheme, host)) => is_app_scheme(scheme) && is_app_host(host),
        None => false,
    }
}

/// Whether a scheme may be one that an app or an extension serves its pages by, such as `capacitor`. No page comes by those
/// that browsers know beside the web's, or its origin is `null`.
fn is_app_scheme(scheme: &str) -> bool {
    const NOBODYS: [&str; 10] =
        ["about", "blob", "data", "file", "filesystem", "ftp", "javascript", "view-source", "ws", "wss"];
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.');
    scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(plain)
        && !NOBODYS.contains(&scheme)
}

/// Whether a text is a host as apps call theirs, and perhaps a port.
fn is_app_host(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let is_port = |port: &str| {
        let digits = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
        digits && port.parse::<u16>().is_ok()
    };
    !host.is_empty() && host.bytes().all(plain) && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str]) -> Cors {
        let patterns = origins.iter().map(|text| OriginPattern::parse(text).unwrap());
        Cors {
            origins: if origins.is_empty() { Origins::Any } else { Origins::Listed(patterns.collect()) },
            methods: Vec::new(),
            methods_text: None,
            headers: None,
            expose: None,
            max_age: HeaderValue::from_static("600"),
            credentials: Credentials::Omitted,
        }
    }

    fn allowed(cors: &Cors, origins: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for origin in origins {
            headers.append(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        cors.allowed(&headers).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn only_listed_origins_are_allowed() {
        let cors = cors(&[
            "https://app.example.com",
            "https://*.pages.example",
            "http://localhost:3000",
            "capacitor://localhost",
        ]);
        for good in [
            "https://app.example.com",
            "https://one.pages.example",
            "https://a-b_1.pages.example",
            "https://xn--bcher-kva.pages.example",
            "http://localhost:3000",
            "capacitor://localhost",
        ] {
            assert_eq!(allowed(&cors, &[good]).as_deref(), Some(good), "{good}");
        }
        for bad in [
            "https://evil",
            "null",
            "",
            "*",
            "https://app.example.com.evil",
            "https://app.example.com.evil.test",
            "https://evil-app.example.com",
            "https://x.app.example.com",
            "https://example.com",
            "http://app.example.com",
            "HTTPS://APP.EXAMPLE.COM",
            "https://app.example.com/",
            "https://app.example.com:443",
            "https://app.example.com:8443",
            "https://app.example.com, https://evil",
            "https://user@app.example.com",
            "https://pages.example",
            "https://.pages.example",
            "https://a.b.pages.example",
            "https://evil.test/.pages.example",
            "https://evil.test:80.pages.example",
            "https://evil.test#.pages.example",
            "https://evil@x.pages.example",
            "https://one.pages.example:8443",
            "https://one.pages.example.evil",
            "https://onepages.example",
            "http://one.pages.example",
            "http://localhost",
            "http://localhost:3001",
            "https://localhost:3000",
            "http://localhost:3000/",
            "https://localhost",
            "Capacitor://localhost",
            "capacitor://localhost/",
            "capacitor://localhost:80",
            "capacitor://localhost.evil",
            "capacitor://evil",
            "xcapacitor://localhost",
        ] {
            assert_eq!(allowed(&cors, &[bad]), None, "{bad}");
        }
    }

    #[test]
    fn an_origin_stands_once_or_not_at_all() {
        let one = cors(&["https://a.example"]);
        assert_eq!(allowed(&one, &[]), None);
        assert_eq!(allowed(&one, &["https://a.example", "https://a.example"]), None);
        let any = cors(&[]);
        assert_eq!(allowed(&any, &["null"]).as_deref(), Some("*"));
        assert_eq!(allowed(&any, &[]), None);
        assert_eq!((one.varies(), any.varies()), (true, false));
    }

    #[test]
    fn a_pattern_is_an_origin_as_browsers_write_it() {
        for good in [
            "https://a",
            "http://[::1]:3000",
            "http://127.0.0.1",
            "https://*.a.b",
            "http://*.localhost:3000",
            "https://*.a.b:8443",
            "capacitor://localhost",
            "ionic://localhost",
            "tauri://localhost",
            "https://tauri.localhost",
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            "moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc",
            "vscode-webview://0a1b2c",
            "app://-",
            "app://obsidian.md",
            "com.example.app://localhost:8080",
            "capacitor://*.example.com",
        ] {
            assert!(OriginPattern::parse(good).is_ok(), "{good}");
        }
        for (bad, error) in [
            ("null", OriginError::Null),
            ("https://*.com", OriginError::ManyOwners),
            ("https://*.com:8443", OriginError::ManyOwners),
            ("", OriginError::Form),
            ("a.example", OriginError::Form),
            ("capacitor://localhost/", OriginError::Form),
            ("capacitor://localhost/x", OriginError::Form),
            ("capacitor://localhost?x", OriginError::Form),
            ("capacitor://localhost#x", OriginError::Form),
            ("capacitor://Localhost", OriginError::Form),
            ("Capacitor://localhost", OriginError::Form),
            ("capacitor://", OriginError::Form),
            ("capacitor:localhost", OriginError::Form),
            ("capacitor:/localhost", OriginError::Form),
            ("capacitor://u@localhost", OriginError::Form),
            ("capacitor://localhost:", OriginError::Form),
            ("capacitor://localhost:080", OriginError::Form),
            ("capacitor://localhost:65536", OriginError::Form),
            ("capacitor://local host", OriginError::Form),
            ("capacitor://b\u{fc}cher", OriginError::Form),
            ("1app://x", OriginError::Form),
            ("://x", OriginError::Form),
            ("chrome-extension://*", OriginError::Form),
            ("app://*.com", OriginError::ManyOwners),
            ("file://", OriginError::Form),
            ("file://x", OriginError::Form),
            ("wss://a.example", OriginError::Form),
            ("blob://a.example", OriginError::Form),
            ("https://a.example/", OriginError::Form),
            ("https://a.example/x", OriginError::Form),
            ("https://A.example", OriginError::Form),
            ("https://a.example:443", OriginError::Form),
            ("http://a.example:80", OriginError::Form),
            ("https://b\u{fc}cher.example", OriginError::Form),
            ("https://u@a.example", OriginError::Form),
            ("https://127.1", OriginError::Form),
            ("ftp://a.example", OriginError::Form),
            ("https://*", OriginError::Form),
            ("https://*a.example.com", OriginError::Form),
            ("https://a.*.example.com", OriginError::Form),
            ("https://*.*.example.com", OriginError::Form),
            ("*.example.com", OriginError::Form),
            ("https://a.example:*", OriginError::Form),
        ] {
            assert_eq!(OriginPattern::parse(bad).map(|_| ()), Err(error), "{bad}");
        }
    }
}
