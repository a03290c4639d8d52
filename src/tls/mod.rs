//! TLS: certificates as files, which of them a client gets, who a client with one of its own is, and who we are for servers.
//!
//! Files are judged before they are used: what was made of them goes on until something better can be had.

mod certificate;
mod client;
mod names;
mod server;
mod subject;

use std::path::{Path, PathBuf};

pub use certificate::{Certificate, read_certificate};
pub use client::{ClientCredentials, ClientFiles, read_authorities};
pub use server::{Server, check_authority};
pub use subject::{MAX_SUBJECT, subject_of};

use crate::domain::Timestamp;

/// What was made of certificate files, and is made again when they change.
pub trait Renewable: Send + Sync {
    /// Every file that it depends on.
    fn paths(&self) -> Vec<&Path>;

    /// The certificates in use.
    fn ends(&self) -> Ends;

    /// Reads all files again. If one of them cannot be used, everything stays as it was.
    fn reload(&self, now: Timestamp) -> Result<(), TlsError>;
}

/// The names of certificates, and when each ends.
pub type Ends = Vec<(String, Timestamp)>;

/// What a TLS listener is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// At least one; the first is for clients that ask for no name, or for none that is known.
    pub certificates: Vec<Pair>,
    /// The oldest version of the protocol that is spoken.
    pub oldest: Version,
    /// Who signs the certificates of clients, if they may have any.
    pub clients: Option<Clients>,
}

/// A certificate with its chain, and the key that belongs to it, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate, then those that lead from it to an authority.
    pub certificate: PathBuf,
    /// Its private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// Certificates of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    /// The authorities whose signature counts, PEM.
    pub authority: PathBuf,
    /// Whether a client may come without.
    pub need: Need,
}

/// Whether a client needs a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Without one there is no connection.
    Required,
    /// One that is shown must be good.
    Optional,
}

/// Why files cannot be used. Each message names the file, and nothing that stands in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// It cannot be read.
    #[error("{} cannot be read: {kind}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        kind: std::io::ErrorKind,
    },
    /// No PEM certificate stands in it, or one that is none.
    #[error("{} holds no usable certificate (PEM)", .0.display())]
    NoCertificate(PathBuf),
    /// No PEM private key stands in it, or one of a kind that cannot sign.
    #[error("{} holds no usable private key (PEM)", .0.display())]
    NoKey(PathBuf),
    /// The key is another one's.
    #[error("{} is not the key of {}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// Its time is over.
    #[error("the certificate in {} has expired", .0.display())]
    Expired(PathBuf),
    /// Its time has not come.
    #[error("the certificate in {} is not valid yet", .0.display())]
    NotYetValid(PathBuf),
    /// It fits no TLS listener.
    #[error("{} cannot be used", .0.display())]
    Unusable(PathBuf),
}
