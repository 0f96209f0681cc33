//! The farm's own certificate authority: the one thing that all of its processes trust.

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::files::{self, Readers};
use crate::{Credentials, Error, Identity, Result};

/// The file of the authority's certificate.
pub(crate) const CERTIFICATE: &str = "ca.pem";
/// The file of the authority's key.
const KEY: &str = "ca-key.pem";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an authority is good for.
const AUTHORITY_LIFE: Duration = Duration::from_secs(DAY.as_secs() * 3650);
/// How long a certificate is good for.
const CERTIFICATE_LIFE: Duration = Duration::from_secs(DAY.as_secs() * 730);

/// A certificate and key that issue [`Credentials`].
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new authority with a new key.
    pub fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let now = SystemTime::now();
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name("farm certificate authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // Clocks differ between machines; a day is more than any that works otherwise.
        params.not_before = (now - DAY).into();
        params.not_after = (now + AUTHORITY_LIFE).into();
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { pem, issuer: Issuer::new(params, key) })
    }

    /// Reads `ca.pem` and `ca-key.pem`.
    pub fn load(directory: &Path) -> Result<Self> {
        let pem = files::read(directory, CERTIFICATE)?;
        let key = KeyPair::from_pem(&files::read(directory, KEY)?)
            .map_err(|error| Error::malformed(directory, KEY, &error))?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| Error::malformed(directory, CERTIFICATE, &error))?;
        let anchor = webpki::anchor_from_trusted_cert(&certificate)
            .map_err(|error| Error::malformed(directory, CERTIFICATE, &error))?;
        // The public key is the end of what the certificate says about it.
        if !anchor.subject_public_key_info.as_ref().ends_with(key.public_key_raw()) {
            let reason = "it is not the key of the certificate beside it";
            return Err(Error::Certificate { path: directory.join(KEY), reason: reason.to_owned() });
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|error| Error::malformed(directory, CERTIFICATE, &error))?;
        Ok(Self { pem, issuer })
    }

    /// Writes `ca.pem` and `ca-key.pem` to a directory that only its owner may enter. The key is never needed by a process
    /// that does not issue certificates.
    pub fn save(&self, directory: &Path) -> Result<()> {
        files::private_directory(directory)?;
        files::write(directory, KEY, &self.issuer.key().serialize_pem(), Readers::Owner)?;
        files::write(directory, CERTIFICATE, &self.pem, Readers::All)
    }

    /// Credentials for `identity`, good from now on.
    pub fn issue(&self, identity: &Identity) -> Result<Credentials> {
        let now = SystemTime::now();
        self.issue_between(identity, now - DAY, now + CERTIFICATE_LIFE)
    }

    /// Credentials for `identity`, good for a time.
    pub fn issue_between(
        &self,
        identity: &Identity,
        from: SystemTime,
        until: SystemTime,
    ) -> Result<Credentials> {
        let uri = identity.uri()?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&identity.name);
        params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if identity.role.listens() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.use_authority_key_identifier_extension = true;
        params.not_before = from.into();
        params.not_after = until.into();
        let certificate = params.signed_by(&key, &self.issuer)?;
        Credentials::parse(self.pem.clone(), certificate.pem(), key.serialize_pem(), Path::new(""))
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}
