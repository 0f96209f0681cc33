//! Connections to other workers, kept for the next fetch.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use farm_exchange::Source;
use farm_model::WorkerId;
use farm_proto::Peer;
use farm_transport::{Connection, Endpoint, Expected, Role};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How many of the peers that are named are asked.
const MOST_PEERS: usize = 4;
/// How long a peer may take to answer the door, its name included.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a peer that could not be reached is passed over.
const SPARED: Duration = Duration::from_secs(60);

/// The way to other workers.
pub(crate) struct Peers {
    endpoint: Endpoint,
    open: Mutex<HashMap<WorkerId, Connection>>,
    unreachable: Mutex<Unreachable>,
}

/// Peers that could not be reached a while ago, by their address: one that has moved is asked again.
#[derive(Debug, Default)]
struct Unreachable(HashMap<String, Instant>);

impl Unreachable {
    fn note(&mut self, address: &str, now: Instant) {
        self.0.retain(|_, since| now.duration_since(*since) < SPARED);
        self.0.insert(address.to_owned(), now);
    }

    fn has(&self, address: &str, now: Instant) -> bool {
        self.0.get(address).is_some_and(|since| now.duration_since(*since) < SPARED)
    }
}

impl Peers {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, open: Mutex::default(), unreachable: Mutex::default() }
    }

    /// Those of `peers` that can be reached, in their order. One that cannot is passed over, from then on without a try for
    /// a while: other sources have what it has.
    pub(crate) async fn sources(&self, peers: &[Peer]) -> Vec<Source> {
        let connecting = peers.iter().take(MOST_PEERS).map(|peer| self.connect(peer));
        let connected = futures_util::future::join_all(connecting).await;
        connected.into_iter().flatten().map(Source::Worker).collect()
    }

    async fn connect(&self, peer: &Peer) -> Option<Connection> {
        let known = self.open.lock().await.get(&peer.worker).cloned();
        if let Some(connection) = known.filter(|connection| !connection.is_closed()) {
            return Some(connection);
        }
        if self.unreachable.lock().await.has(&peer.address, Instant::now()) {
            return None;
        }
        let dialled = timeout(PATIENCE, self.dial(peer)).await;
        let reason = match dialled {
            Ok(Ok(connection)) => {
                self.open.lock().await.insert(peer.worker.clone(), connection.clone());
                return Some(connection);
            }
            Ok(Err(reason)) => reason,
            Err(_) => format!("no answer in {} s", PATIENCE.as_secs()),
        };
        tracing::warn!(worker = %peer.worker, address = peer.address, reason, "a peer cannot be reached");
        self.unreachable.lock().await.note(&peer.address, Instant::now());
        None
    }

    async fn dial(&self, peer: &Peer) -> Result<Connection, String> {
        let resolved = tokio::net::lookup_host(&peer.address).await;
        let mut addresses = resolved.map_err(|error| error.to_string())?;
        let address = addresses.next().ok_or("its name stands for no address")?;
        let expected = Expected::named(Role::Worker, &peer.worker.0);
        self.endpoint.connect(address, &expected).await.map_err(|error| farm_model::causes(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_could_not_be_reached_is_passed_over_for_a_while_and_then_forgotten() {
        let (mut unreachable, start) = (Unreachable::default(), Instant::now());
        unreachable.note("10.0.0.1:1", start);
        assert!(unreachable.has("10.0.0.1:1", start + SPARED / 2));
        assert!(!unreachable.has("10.0.0.2:1", start));
        assert!(!unreachable.has("10.0.0.1:1", start + SPARED));
        unreachable.note("10.0.0.2:1", start + SPARED);
        assert_eq!(unreachable.0.len(), 1);
    }
}
