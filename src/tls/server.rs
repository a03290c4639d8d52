use std::{fmt, path::Path, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs::{self, Ticketer},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};

use super::{
    Certificate, Clients, Files, Need, TlsError, Version, certificate::read_chain, names::ByName, read_certificate,
};
use crate::domain::Timestamp;

/// What a TLS listener shows its clients, and asks of them: exchanged as a whole when its files change.
pub struct Server {
    files: Files,
    config: ArcSwap<ServerConfig>,
}

/// The names of the certificates in use, and when each ends.
type Ends = Vec<(String, Timestamp)>;

impl Server {
    /// Reads all files.
    pub fn new(files: Files, now: Timestamp) -> Result<(Self, Ends), TlsError> {
        let (config, ends) = read(&files, now)?;
        Ok((Self { files, config: ArcSwap::new(Arc::new(config)) }, ends))
    }

    /// Reads all files again. If one of them cannot be used, everything stays as it was.
    pub fn reload(&self, now: Timestamp) -> Result<Ends, TlsError> {
        let (config, ends) = read(&self.files, now)?;
        self.config.store(Arc::new(config));
        Ok(ends)
    }

    /// What the next connection is greeted with.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// Every file that it depends on.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let pairs = self.files.certificates.iter().flat_map(|pair| [pair.certificate.as_path(), &pair.key]);
        pairs.chain(self.files.clients.iter().map(|clients| clients.authority.as_path()))
    }

    /// Whether clients may show who they are.
    pub const fn knows_clients(&self) -> bool {
        self.files.clients.is_some()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.fmt(f)
    }
}

/// Checks the file of an authority.
pub fn check_authority(clients: &Clients) -> Result<(), TlsError> {
    verifier(clients).map(drop)
}

fn read(files: &Files, now: Timestamp) -> Result<(ServerConfig, Ends), TlsError> {
    let certificates: Vec<Certificate> =
        files.certificates.iter().map(|pair| read_certificate(pair, now)).collect::<Result<_, _>>()?;
    let versions: &[_] = match files.oldest {
        Version::Tls12 => &[&TLS13, &TLS12],
        Version::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .expect("the provider has suites for both versions");
    let builder = match &files.clients {
        Some(clients) => builder.with_client_cert_verifier(verifier(clients)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(ByName::new(&certificates)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Without tickets a client would need a full handshake each time; with them nothing is kept here per client.
    if let Ok(ticketer) = Ticketer::new() {
        config.ticketer = ticketer;
    }
    Ok((config, certificates.into_iter().map(|certificate| (certificate.name, certificate.expires)).collect()))
}

fn verifier(clients: &Clients) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut authorities = RootCertStore::empty();
    for authority in read_chain(&clients.authority)? {
        authorities.add(authority).map_err(|_| TlsError::NoCertificate(clients.authority.clone()))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider);
    let builder = match clients.need {
        Need::Required => builder,
        Need::Optional => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|_| TlsError::Unusable(clients.authority.clone()))
}
