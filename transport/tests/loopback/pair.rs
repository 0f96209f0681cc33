//! A coordinator and a worker that are connected.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use farm_model::Scope;
use farm_transport::{Authority, Connection, Credentials, Endpoint, Expected, Identity, Role, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// For everything that must not wait for ever.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(crate) fn identity(role: Role, name: &str) -> Identity {
    Identity::new(role, name, Scope::main()).unwrap()
}

pub(crate) fn credentials(authority: &Authority, role: Role, name: &str) -> Credentials {
    authority.issue(&identity(role, name)).unwrap()
}

/// Both ends of a connection, and their endpoints.
pub(crate) struct Pair {
    pub(crate) listener: Endpoint,
    pub(crate) dialler: Endpoint,
    pub(crate) coordinator: Connection,
    pub(crate) worker: Connection,
}

pub(crate) async fn pair() -> Pair {
    let authority = Authority::new().unwrap();
    let listener = Endpoint::bind(LOOPBACK, &credentials(&authority, Role::Coordinator, "farm")).unwrap();
    let dialler = Endpoint::dialing(&credentials(&authority, Role::Worker, "w1")).unwrap();
    let address = listener.local_address().unwrap();
    let expected = Expected::named(Role::Coordinator, "farm");
    let (worker, coordinator) = tokio::join!(dialler.connect(address, &expected), async {
        listener.accept().await.unwrap().finish().await
    });
    Pair { listener, dialler, coordinator: coordinator.unwrap(), worker: worker.unwrap() }
}

impl Pair {
    /// Both ends of a stream that the worker opens; `first` is on its way.
    pub(crate) async fn stream(&self, first: &[u8]) -> (Stream, Stream) {
        let mut ours = self.worker.open().await.unwrap();
        // A stream is noticed with its first byte.
        ours.halves().0.write_all(b"!").await.unwrap();
        ours.halves().0.write_all(first).await.unwrap();
        let mut theirs = self.coordinator.accept().await.unwrap().unwrap();
        assert_eq!(theirs.halves().1.read_u8().await.unwrap(), b'!');
        (ours, theirs)
    }
}
