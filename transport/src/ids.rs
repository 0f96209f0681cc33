//! Connection ids that another life of the same endpoint takes for its own: what arrives for a connection of the life
//! before is answered with a reset, which the peer believes, and not with silence.

use std::time::Duration;

use quinn::{ConnectionId, ConnectionIdGenerator};
use ring::rand::{SecureRandom, SystemRandom};

const LENGTH: usize = 8;

/// Draws ids at random.
pub(crate) struct RandomIds(SystemRandom);

impl RandomIds {
    pub(crate) fn new() -> Self {
        Self(SystemRandom::new())
    }
}

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut bytes = [0; LENGTH];
        self.0.fill(&mut bytes).expect("the kernel has random numbers");
        ConnectionId::new(&bytes)
    }

    fn cid_len(&self) -> usize {
        LENGTH
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
