use std::{collections::HashMap, fmt, sync::Arc};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::Certificate;

/// Finds the certificate for the name that a client asks for (RFC 6066 section 3).
pub(super) struct ByName {
    /// Whole names.
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// What follows the one label that `*` stands for (RFC 9525 section 6.3).
    parents: HashMap<String, Vec<Arc<CertifiedKey>>>,
    default: Arc<CertifiedKey>,
}

impl ByName {
    /// Of several for one name the earlier goes first. The first of all is the default.
    pub(super) fn new(certificates: &[Certificate]) -> Self {
        let default = Arc::clone(&certificates.first().expect("a listener has a certificate").key);
        let mut table = Self { exact: HashMap::new(), parents: HashMap::new(), default };
        for certificate in certificates {
            for name in &certificate.names {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut table.parents, parent),
                    None => (&mut table.exact, name.as_str()),
                };
                names.entry(name.to_owned()).or_default().push(Arc::clone(&certificate.key));
            }
        }
        table
    }

    fn find(&self, name: &str) -> Option<&[Arc<CertifiedKey>]> {
        let name = name.to_ascii_lowercase();
        let by_parent = || name.split_once('.').and_then(|(_, parent)| self.parents.get(parent));
        self.exact.get(&name).or_else(by_parent).map(Vec::as_slice)
    }
}

impl ResolvesServerCert for ByName {
    /// The first that signs in a way the client can check; the client tells why none does.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let found = hello.server_name().and_then(|name| self.find(name)).unwrap_or_default();
        let usable = found.iter().find(|key| key.key.choose_scheme(hello.signature_schemes()).is_some());
        Some(Arc::clone(usable.or(found.first()).unwrap_or(&self.default)))
    }
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByName")
            .field("exact", &self.exact.len())
            .field("parents", &self.parents.len())
            .finish_non_exhaustive()
    }
}
