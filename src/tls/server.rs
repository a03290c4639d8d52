use std::{fmt, path::Path, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs::{self, Ticketer},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};

use super::{
    Certificate, Clients, Ends, Files, Need, Renewable, TlsError, Version, certificate::read_chain, names::ByName,
    read_certificate,
};
use crate::domain::Timestamp;

/// What a TLS listener shows its clients, and asks of them: exchanged as a whole when its files change.
pub struct Server {
    files: Files,
    shown: ArcSwap<Shown>,
}

struct Shown {
    config: Arc<ServerConfig>,
    ends: Ends,
}

impl Server {
    /// Reads all files.
    pub fn new(files: Files, now: Timestamp) -> Result<Self, TlsError> {
        let shown = ArcSwap::from_pointee(read(&files, now)?);
        Ok(Self { files, shown })
    }

    /// What the next connection is greeted with.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.shown.load().config)
    }
}

impl Renewable for Server {
    fn paths(&self) -> Vec<&Path> {
        let pairs = self.files.certificates.iter().flat_map(|pair| [pair.certificate.as_path(), &pair.key]);
        pairs.chain(self.files.clients.iter().map(|clients| clients.authority.as_path())).collect()
    }

    fn ends(&self) -> Ends {
        self.shown.load().ends.clone()
    }

    fn reload(&self, now: Timestamp) -> Result<(), TlsError> {
        self.shown.store(Arc::new(read(&self.files, now)?));
        Ok(())
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

fn read(files: &Files, now: Timestamp) -> Result<Shown, TlsError> {
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
    // Checkers of health that speak HTTP/1.0 alone say so.
    config.alpn_protocols = [&b"h2"[..], b"http/1.1", b"http/1.0"].map(<[u8]>::to_vec).to_vec();
    // Without tickets a client would need a full handshake each time; with them nothing is kept here per client.
    if let Ok(ticketer) = Ticketer::new() {
        config.ticketer = ticketer;
    }
    let ends = certificates.into_iter().map(|certificate| (certificate.name, certificate.expires)).collect();
    Ok(Shown { config: Arc::new(config), ends })
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
