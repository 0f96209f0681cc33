//! How both ends configure TLS and QUIC: the constants of the transport, and nothing that a user could set.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{EndpointConfig, IdleTimeout, TransportConfig, VarInt};
use ring::hmac;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::identity::Expected;
use crate::ids::RandomIds;
use crate::verify::Verifier;
use crate::{Credentials, Result};

/// How long a connection lives without a word from the other side.
pub(crate) const IDLE: Duration = Duration::from_secs(10);
/// How often a word is said.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Streams that the other side may have open at once.
const STREAMS: u32 = 1024;
/// Bytes of one stream that may be on their way or wait to be read.
const STREAM_WINDOW: u32 = 16 << 20;
/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 64 << 20;
/// Bytes that wait to be sent or acknowledged on a connection before a writer has to wait.
const SEND_WINDOW: u64 = 16 << 20;
/// Separates the key below from every other use of the certificate's key.
const RESET_CONTEXT: &str = "farm transport stateless reset v1";

/// What an endpoint needs to make and take connections.
pub(crate) struct Setup {
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    shown: Arc<SingleCertAndKey>,
    transport: Arc<TransportConfig>,
    /// Proves to a peer that we know nothing of its connection, also after a restart with the same key.
    reset_key: [u8; 32],
}

impl Setup {
    pub(crate) fn new(credentials: &Credentials) -> Result<Self> {
        let provider = Arc::new(provider());
        let mut roots = RootCertStore::empty();
        for authority in &credentials.authorities {
            roots.add(authority.clone())?;
        }
        let key = credentials.key.clone_key();
        let shown = CertifiedKey::from_der(credentials.chain.clone(), key, &provider)?;
        let transport = Arc::new(transport());
        let reset_key = blake3::derive_key(RESET_CONTEXT, credentials.key.secret_der());
        Ok(Self { provider, roots: Arc::new(roots), shown: Arc::new(shown.into()), transport, reset_key })
    }

    /// For the socket as a whole.
    pub(crate) fn endpoint(&self) -> EndpointConfig {
        let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &self.reset_key)));
        config.cid_generator(|| Box::new(RandomIds::new()));
        config
    }

    fn verifier(&self, expected: Option<Expected>) -> Arc<Verifier> {
        let (roots, provider) = (Arc::clone(&self.roots), Arc::clone(&self.provider));
        Arc::new(Verifier { roots, provider, expected })
    }

    /// For one connection to `expected`.
    pub(crate) fn dialler(&self, expected: &Expected) -> Result<quinn::ClientConfig> {
        let mut tls = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(Some(expected.clone())))
            .with_client_cert_resolver(Arc::clone(&self.shown) as _);
        tls.alpn_protocols = vec![farm_proto::ALPN.to_vec()];
        tls.resumption = Resumption::disabled();
        tls.enable_sni = false;
        let quic = QuicClientConfig::try_from(tls).expect("ring has the cipher suite that QUIC starts with");
        let mut config = quinn::ClientConfig::new(Arc::new(quic));
        config.transport_config(Arc::clone(&self.transport));
        Ok(config)
    }

    /// For everybody who dials.
    pub(crate) fn listener(&self) -> Result<quinn::ServerConfig> {
        let mut tls = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(self.verifier(None))
            .with_cert_resolver(Arc::clone(&self.shown) as _);
        tls.alpn_protocols = vec![farm_proto::ALPN.to_vec()];
        tls.send_tls13_tickets = 0;
        tls.max_early_data_size = 0;
        let quic = QuicServerConfig::try_from(tls).expect("ring has the cipher suite that QUIC starts with");
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(quic));
        config.transport_config(Arc::clone(&self.transport));
        Ok(config)
    }
}

/// The one cipher suite that both ends speak; the cheapest on processors that know AES, and the one QUIC starts with anyway.
fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites = vec![rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256];
    provider
}

fn transport() -> TransportConfig {
    let mut config = TransportConfig::default();
    let idle = IdleTimeout::try_from(IDLE).expect("a few seconds fit into a QUIC integer");
    config
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW);
    config
}
