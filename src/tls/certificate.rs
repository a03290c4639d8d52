use std::{fs, path::Path, sync::Arc};

use rustls::{
    Error, InconsistentKeys,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{Pair, TlsError};
use crate::domain::Timestamp;

/// A certificate that can be shown to clients.
#[derive(Debug)]
pub struct Certificate {
    /// With its chain and its key.
    pub(super) key: Arc<CertifiedKey>,
    /// The DNS names it is for, lower case, `*.` before those that stand for any label there.
    pub(super) names: Vec<String>,
    /// What it goes by: its first name, or that of its file.
    pub name: String,
    /// The end of its time.
    pub expires: Timestamp,
}

/// Reads a pair of files and checks that they belong together and that their time is `now`.
pub fn read_certificate(pair: &Pair, now: Timestamp) -> Result<Certificate, TlsError> {
    read_pair(pair, now).map(|(certificate, _)| certificate)
}

/// The same, with the private key that was checked.
pub(super) fn read_pair(pair: &Pair, now: Timestamp) -> Result<(Certificate, PrivateKeyDer<'static>), TlsError> {
    let chain = read_chain(&pair.certificate)?;
    let private = PrivateKeyDer::from_pem_slice(&read(&pair.key)?).map_err(|_| TlsError::NoKey(pair.key.clone()))?;
    let leaf = chain.first().expect("a chain holds a certificate").clone();
    let facts = Facts::of(&leaf).ok_or_else(|| TlsError::NoCertificate(pair.certificate.clone()))?;
    let key = CertifiedKey::from_der(chain, private.clone_key(), &aws_lc_rs::default_provider()).map_err(|error| {
        if error == Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
            return TlsError::Mismatch { certificate: pair.certificate.clone(), key: pair.key.clone() };
        }
        TlsError::NoKey(pair.key.clone())
    })?;
    if facts.expires <= now {
        return Err(TlsError::Expired(pair.certificate.clone()));
    }
    if facts.begins > now {
        return Err(TlsError::NotYetValid(pair.certificate.clone()));
    }
    let file_name = || pair.certificate.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = facts.names.first().cloned().unwrap_or_else(file_name);
    Ok((Certificate { key: Arc::new(key), names: facts.names, name, expires: facts.expires }, private))
}

/// The certificates in a file, at least one.
pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unusable = || TlsError::NoCertificate(path.to_owned());
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<_, _>>().map_err(|_| unusable())?;
    if chain.is_empty() { Err(unusable()) } else { Ok(chain) }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::Unreadable { path: path.to_owned(), kind: error.kind() })
}

/// What a certificate says of itself.
struct Facts {
    names: Vec<String>,
    begins: Timestamp,
    expires: Timestamp,
}

impl Facts {
    fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let alternatives = certificate.subject_alternative_name().ok()?;
        // Addresses and the like are never asked for by name.
        let names = alternatives.iter().flat_map(|names| &names.value.general_names).filter_map(|name| {
            let GeneralName::DNSName(name) = name else { return None };
            Some(name.to_ascii_lowercase())
        });
        let validity = certificate.validity();
        // A moment before 1970 is one that has passed.
        let moment = |time: i64| Timestamp::from_seconds(u64::try_from(time).unwrap_or_default());
        Some(Self {
            names: names.collect(),
            begins: moment(validity.not_before.timestamp()),
            expires: moment(validity.not_after.timestamp()),
        })
    }
}
