//! TLS towards the servers of a group.

use std::{path::Path, sync::Arc};

use arc_swap::ArcSwap;
use pingora::{
    upstreams::peer::HttpPeer,
    utils::tls::{CertKey, WrappedX509, parse_x509},
};

use crate::{
    config::{ServerProof, UpstreamTls},
    domain::Timestamp,
    tls::{ClientCredentials, ClientFiles, Ends, Renewable, TlsError},
};

/// What new connections to the servers of a group go by: exchanged as a whole when its files change.
pub(super) struct GroupTls {
    files: ClientFiles,
    proof: ServerProof,
    terms: ArcSwap<Terms>,
}

struct Terms {
    authorities: Option<Arc<[WrappedX509]>>,
    identity: Option<Arc<CertKey>>,
    ends: Ends,
}

impl GroupTls {
    pub(super) fn new(tls: UpstreamTls) -> Self {
        let UpstreamTls { files, credentials, verify } = tls;
        Self { files, proof: verify, terms: ArcSwap::from_pointee(Terms::of(credentials)) }
    }

    /// Has the next connection to a server go by the terms of this moment.
    pub(super) fn apply(&self, peer: &mut HttpPeer) {
        let terms = self.terms.load();
        peer.options.verify_cert = self.proof == ServerProof::Required;
        peer.options.verify_hostname = self.proof == ServerProof::Required;
        peer.options.ca.clone_from(&terms.authorities);
        peer.client_cert_key.clone_from(&terms.identity);
    }
}

impl Renewable for GroupTls {
    fn paths(&self) -> Vec<&Path> {
        self.files.paths()
    }

    fn ends(&self) -> Ends {
        self.terms.load().ends.clone()
    }

    fn reload(&self, now: Timestamp) -> Result<(), TlsError> {
        self.terms.store(Arc::new(Terms::of(self.files.read(now)?)));
        Ok(())
    }
}

impl Terms {
    fn of(credentials: ClientCredentials) -> Self {
        let ClientCredentials { authorities, identity, ends } = credentials;
        let authorities = Some(authorities).filter(|own| !own.is_empty());
        Self {
            authorities: authorities.map(|own| own.into_iter().map(|der| WrappedX509::new(der, parse_x509)).collect()),
            identity: identity.map(|(chain, key)| Arc::new(CertKey::new(chain, key))),
            ends,
        }
    }
}
