use std::path::{Path, PathBuf};

use rustls::RootCertStore;

use super::{
    Ends, Pair, TlsError,
    certificate::{read_chain, read_pair},
};
use crate::domain::Timestamp;

/// What we go by as a client of servers, and who may vouch for those.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientFiles {
    /// The authorities whose signature counts, PEM; none: the system's.
    pub authorities: Option<PathBuf>,
    /// Who we are.
    pub identity: Option<Pair>,
}

/// What stands in [`ClientFiles`], as DER. Everything in it was tried.
#[derive(Clone, Default)]
pub struct ClientCredentials {
    /// None: the system's.
    pub authorities: Vec<Vec<u8>>,
    /// Our certificate with its chain, and its private key.
    pub identity: Option<(Vec<Vec<u8>>, Vec<u8>)>,
    /// When our certificate ends.
    pub ends: Ends,
}

impl ClientFiles {
    /// Reads all files.
    pub fn read(&self, now: Timestamp) -> Result<ClientCredentials, TlsError> {
        let authorities = self.authorities.as_deref().map_or(Ok(Vec::new()), read_authorities)?;
        let Some(pair) = &self.identity else {
            return Ok(ClientCredentials { authorities, ..ClientCredentials::default() });
        };
        let (certificate, key) = read_pair(pair, now)?;
        let chain = certificate.key.cert.iter().map(|certificate| certificate.to_vec()).collect();
        let identity = Some((chain, key.secret_der().to_vec()));
        Ok(ClientCredentials { authorities, identity, ends: vec![(certificate.name, certificate.expires)] })
    }

    /// Every one of them.
    pub fn paths(&self) -> Vec<&Path> {
        let pair = self.identity.iter().flat_map(|pair| [pair.certificate.as_path(), &pair.key]);
        self.authorities.as_deref().into_iter().chain(pair).collect()
    }
}

impl std::fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCredentials").field("ends", &self.ends).finish_non_exhaustive()
    }
}

/// The certificates of authorities in a file, as DER.
pub fn read_authorities(path: &Path) -> Result<Vec<Vec<u8>>, TlsError> {
    let mut store = RootCertStore::empty();
    let chain = read_chain(path)?;
    for authority in &chain {
        store.add(authority.clone()).map_err(|_| TlsError::NoCertificate(path.to_owned()))?;
    }
    Ok(chain.iter().map(|authority| authority.to_vec()).collect())
}
