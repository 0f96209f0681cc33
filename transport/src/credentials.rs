//! What a process shows to its peers, and whom it trusts: the authority's certificate, its own, and its key.

use std::fmt;
use std::path::Path;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::authority::CERTIFICATE as AUTHORITY;
use crate::files::{self, Readers};
use crate::verify;
use crate::{Error, Identity, Result};

const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";

/// A certificate with its key, and the authority that issued it. `Debug` shows the identity alone.
pub struct Credentials {
    authority_pem: String,
    certificate_pem: String,
    key_pem: String,
    pub(crate) authorities: Vec<CertificateDer<'static>>,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    identity: Identity,
}

impl Credentials {
    /// Reads `ca.pem` (one or more authorities, for when one follows another), `cert.pem` and `key.pem`.
    pub fn load(directory: &Path) -> Result<Self> {
        let read = |name| files::read(directory, name);
        Self::parse(read(AUTHORITY)?, read(CERTIFICATE)?, read(KEY)?, directory)
    }

    /// `directory` is for messages.
    pub(crate) fn parse(
        authority_pem: String,
        certificate_pem: String,
        key_pem: String,
        directory: &Path,
    ) -> Result<Self> {
        let authorities = certificates(&authority_pem, directory, AUTHORITY)?;
        let chain = certificates(&certificate_pem, directory, CERTIFICATE)?;
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
            .map_err(|error| Error::malformed(directory, KEY, &error))?;
        let identity = verify::identity_of(&chain[0])
            .map_err(|error| Error::malformed(directory, CERTIFICATE, &error))?;
        Ok(Self { authority_pem, certificate_pem, key_pem, authorities, chain, key, identity })
    }

    /// Writes the three files to a directory that only its owner may enter; the key last, so that a directory with a
    /// key is complete.
    pub fn save(&self, directory: &Path) -> Result<()> {
        files::private_directory(directory)?;
        files::write(directory, AUTHORITY, &self.authority_pem, Readers::All)?;
        files::write(directory, CERTIFICATE, &self.certificate_pem, Readers::All)?;
        files::write(directory, KEY, &self.key_pem, Readers::Owner)
    }

    /// Whom they name.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// The certificates in `pem`; at least one.
fn certificates(pem: &str, directory: &Path, name: &str) -> Result<Vec<CertificateDer<'static>>> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let certificates = parsed.map_err(|error| Error::malformed(directory, name, &error))?;
    if certificates.is_empty() {
        let reason = "there is no certificate in it".to_owned();
        return Err(Error::Certificate { path: directory.join(name), reason });
    }
    Ok(certificates)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("identity", &self.identity).finish_non_exhaustive()
    }
}
