use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, SerialNumber};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};

/// A certificate authority of a test.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate with its key, both PEM.
#[derive(Clone)]
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name = distinguished(&[(DnType::CommonName, name)]);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for these names.
    pub fn issue(&self, names: &[&str], serial: u64) -> Issued {
        self.issue_with(names, |params| params.serial_number = Some(SerialNumber::from(serial)))
    }

    /// A certificate of a client with this subject.
    pub fn client(&self, subject: &[(DnType, &str)]) -> Issued {
        self.issue_with(&[], |params| params.distinguished_name = distinguished(subject))
    }

    pub fn issue_with(&self, names: &[&str], change: impl Fn(&mut CertificateParams)) -> Issued {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Issued { certificate, key: key.serialize_pem() }
    }

    /// A client that trusts this authority alone.
    pub fn trusting_client(&self) -> TlsClient {
        TlsClient {
            authority: self.pem.clone(),
            versions: vec![&TLS13, &TLS12],
            protocols: Vec::new(),
            own: None,
            resumed: None,
        }
    }
}

fn distinguished(parts: &[(DnType, &str)]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for (kind, value) in parts {
        name.push(kind.clone(), *value);
    }
    name
}

/// How a test speaks TLS.
#[derive(Clone)]
pub struct TlsClient {
    authority: String,
    versions: Vec<&'static SupportedProtocolVersion>,
    protocols: Vec<Vec<u8>>,
    own: Option<Issued>,
    resumed: Option<Arc<ClientConfig>>,
}

impl TlsClient {
    pub fn only_tls12(mut self) -> Self {
        self.versions = vec![&TLS12];
        self
    }

    pub fn only_tls13(mut self) -> Self {
        self.versions = vec![&TLS13];
        self
    }

    /// Offers these in ALPN.
    pub fn speaking(mut self, protocols: &[&str]) -> Self {
        self.protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self
    }

    /// Shows this certificate.
    pub fn showing(mut self, own: &Issued) -> Self {
        self.own = Some(own.clone());
        self
    }

    /// Keeps what servers hand out for later connections.
    pub fn resuming(mut self) -> Self {
        self.resumed = Some(self.config());
        self
    }

    pub fn session(&self, name: &str) -> ClientConnection {
        let config = self.resumed.clone().unwrap_or_else(|| self.config());
        ClientConnection::new(config, ServerName::try_from(name.to_owned()).unwrap()).unwrap()
    }

    fn config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(&self.versions).unwrap().with_root_certificates(roots);
        let mut config = match &self.own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = vec![CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols.clone_from(&self.protocols);
        Arc::new(config)
    }
}
