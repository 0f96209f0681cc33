//! Whether a peer's certificate is good: issued by the farm's authority, in time, for this use, and naming somebody; for
//! a dialler, the right one. One check serves both sides.
//!
//! Names of the DNS play no part, so the name in a handshake is a constant. Each connection is verified by itself:
//! sessions are never resumed, since a resumed one would skip this.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use crate::error::printable;
use crate::identity::{Expected, Identity, InvalidIdentity};

/// Why a certificate is not accepted.
#[derive(Clone, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Rejection {
    /// Not a certificate at all.
    #[error("it cannot be read")]
    Unreadable,
    /// Of another farm, say.
    #[error("it was not issued by this farm's certificate authority")]
    Foreign,
    /// Too old.
    #[error("it has expired")]
    Expired,
    /// Too new.
    #[error("it is not valid yet; does a clock go wrong?")]
    Early,
    /// Something else is wrong with the chain.
    #[error("{0}")]
    Chain(String),
    /// It names nobody or several.
    #[error("it names no single member of a farm")]
    Nameless,
    /// It names somebody in a way that we do not know.
    #[error(transparent)]
    Identity(#[from] InvalidIdentity),
    /// Somebody else is there.
    #[error("it belongs to {found}, but {expected} was expected")]
    Other {
        /// Who.
        found: Identity,
        /// Who should be.
        expected: Expected,
    },
}

/// Marks where our own words begin and end in what TLS carries to both ends of a failed handshake.
const MARKS: (&str, &str) = ("<<", ">>");

/// TLS libraries print the cause of a rejection with `Debug`.
impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{self}{}", MARKS.0, MARKS.1)
    }
}

/// Our own words in the reason of a failed handshake, or all of it.
pub(crate) fn said(reason: &str) -> String {
    let inner = reason.split_once(MARKS.0).and_then(|(_, rest)| rest.rsplit_once(MARKS.1));
    printable(inner.map_or(reason, |(words, _)| words))
}

impl From<Rejection> for rustls::Error {
    fn from(rejection: Rejection) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(rejection))))
    }
}

/// Whom `certificate` names; says nothing about whether it is to be believed.
pub(crate) fn identity_of(certificate: &CertificateDer<'_>) -> Result<Identity, Rejection> {
    let certificate = EndEntityCert::try_from(certificate).map_err(|_| Rejection::Unreadable)?;
    let mut names = certificate.valid_uri_names();
    let (Some(uri), None) = (names.next(), names.next()) else {
        return Err(Rejection::Nameless);
    };
    Ok(Identity::from_uri(uri)?)
}

/// Checks the peers of one connection or endpoint.
#[derive(Debug)]
pub(crate) struct Verifier {
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) provider: Arc<CryptoProvider>,
    /// Only a dialler expects somebody.
    pub(crate) expected: Option<Expected>,
}

impl Verifier {
    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), Rejection> {
        let parsed = EndEntityCert::try_from(certificate).map_err(|_| Rejection::Unreadable)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        parsed
            .verify_for_usage(algorithms, &self.roots.roots, intermediates, now, usage, None, None)
            .map_err(|error| rejection(&error))?;
        let found = identity_of(certificate)?;
        match &self.expected {
            Some(expected) if !expected.accepts(&found) => {
                Err(Rejection::Other { found, expected: expected.clone() })
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn rejection(error: &webpki::Error) -> Rejection {
    #[expect(clippy::wildcard_enum_match_arm, reason = "webpki has dozens of kinds and adds more")]
    match error {
        webpki::Error::CertExpired { .. } => Rejection::Expired,
        webpki::Error::CertNotValidYet { .. } => Rejection::Early,
        // An authority of the same name but with another key.
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => Rejection::Foreign,
        other => Rejection::Chain(format!("{other:?}")),
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(certificate, intermediates, now, KeyUsage::server_auth())?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(certificate, intermediates, now, KeyUsage::client_auth())?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ServerCertVerifier::supported_verify_schemes(self)
    }
}
