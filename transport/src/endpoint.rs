//! A socket that makes and takes connections.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{ConnectionError, TokioRuntime, VarInt};
use tokio::time::timeout;

use crate::identity::{Expected, Identity};
use crate::probe::Probe;
use crate::setup::Setup;
use crate::{Connection, Credentials, Error, Result, socket};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long the farewell to peers may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// TLS wants a name of the server; certificates say who it is without one.
const NAME: &str = "farm";

/// One UDP socket and the connections over it. Clones share it.
#[derive(Clone)]
pub struct Endpoint {
    quic: quinn::Endpoint,
    setup: Arc<Setup>,
    identity: Arc<Identity>,
}

impl Endpoint {
    /// Listens at `address`, and dials from there. Needs a tokio runtime.
    pub fn bind(address: SocketAddr, credentials: &Credentials) -> Result<Self> {
        let setup = Setup::new(credentials)?;
        let listener = setup.listener()?;
        let socket = socket::bound(address)?;
        let quic = quinn::Endpoint::new(setup.endpoint(), Some(listener), socket, Arc::new(TokioRuntime))
            .map_err(|source| Error::Bind { address, source })?;
        Ok(Self { quic, setup: Arc::new(setup), identity: Arc::new(credentials.identity().clone()) })
    }

    /// Only dials. Needs a tokio runtime.
    pub fn dialing(credentials: &Credentials) -> Result<Self> {
        let setup = Setup::new(credentials)?;
        let socket = socket::anywhere()?;
        let quic = quinn::Endpoint::new(setup.endpoint(), None, socket, Arc::new(TokioRuntime))
            .map_err(|source| Error::Bind { address: SocketAddr::from(([0; 4], 0)), source })?;
        Ok(Self { quic, setup: Arc::new(setup), identity: Arc::new(credentials.identity().clone()) })
    }

    /// Who we are.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where it listens.
    pub fn local_address(&self) -> Result<SocketAddr> {
        let unknown = SocketAddr::from(([0; 4], 0));
        self.quic.local_addr().map_err(|source| Error::Bind { address: unknown, source })
    }

    /// The next who dials; none once the endpoint is closed. Nothing is known of it before [`Incoming::finish`], which
    /// belongs into a task of its own so that a slow handshake delays nobody.
    pub async fn accept(&self) -> Option<Incoming> {
        self.quic.accept().await.map(|quic| Incoming { quic })
    }

    /// Dials. The peer is whom one expects when this returns; whether it accepts our own certificate is known only from
    /// the first answer, as TLS 1.3 has it.
    pub async fn connect(&self, address: SocketAddr, expected: &Expected) -> Result<Connection> {
        let unreachable = |reason: String| Error::Unreachable { address, reason };
        let probe = Probe::of(address).map_err(|error| unreachable(error.to_string()))?;
        if let Some(probe) = &probe {
            probe.listening().map_err(|error| unreachable(error.to_string()))?;
        }
        let connecting = self
            .quic
            .connect_with(self.setup.dialler(expected)?, address, NAME)
            .map_err(|error| unreachable(error.to_string()))?;
        match timeout(HANDSHAKE, connecting).await {
            Err(_) | Ok(Err(ConnectionError::TimedOut)) => {
                Err(unreachable(format!("no answer in {} s", HANDSHAKE.as_secs())))
            }
            Ok(Err(error)) => Err(Error::connection(&address, &error)),
            Ok(Ok(quic)) => {
                let connection = Connection::new(quic, probe)?;
                // Nothing was said yet: neither side has told the other anything of its scope.
                if connection.peer().scope != self.identity.scope {
                    connection.close("another scope");
                    return Err(unreachable(format!("{} belongs to another scope", connection.peer())));
                }
                Ok(connection)
            }
        }
    }

    /// Closes every connection, saying `reason`, and waits a moment for the peers to hear it.
    pub async fn close(&self, reason: &str) {
        self.quic.close(VarInt::from_u32(0), reason.as_bytes());
        // Peers that are gone hear nothing, and nobody should wait for them.
        let _ = timeout(FAREWELL, self.quic.wait_idle()).await;
    }
}

/// Somebody dials.
pub struct Incoming {
    quic: quinn::Incoming,
}

impl Incoming {
    /// From where.
    pub fn remote_address(&self) -> SocketAddr {
        self.quic.remote_address()
    }

    /// Shakes hands. Fails for whoever has no certificate of this farm's authority.
    pub async fn finish(self) -> Result<Connection> {
        let address = self.quic.remote_address();
        let failed = |error: &ConnectionError| Error::connection(&address, error);
        let connecting = self.quic.accept().map_err(|error| failed(&error))?;
        match timeout(HANDSHAKE, connecting).await {
            Err(_) => Err(failed(&ConnectionError::TimedOut)),
            Ok(Err(error)) => Err(failed(&error)),
            Ok(Ok(quic)) => Connection::new(quic, None),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("local_address", &self.quic.local_addr().ok())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incoming(from {})", self.remote_address())
    }
}
