//! Another machine's store.

use farm_proto::blob::Fetch;
use farm_proto::worker::{Errand, Opening};
use farm_transport::{Connection, Receiver};
use tokio::time::timeout;

use crate::{Error, PATIENCE};

/// A store that can be asked. The two roles are asked in different words.
#[derive(Clone)]
pub enum Source {
    /// A coordinator's, asked by a worker.
    Coordinator(Connection),
    /// A worker's.
    Worker(Connection),
}

impl Source {
    /// Its name, for messages.
    pub fn name(&self) -> &str {
        &self.connection().peer().name
    }

    /// Whether there is no use in asking any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.connection().is_closed()
    }

    /// Asks; what comes back are items in the order of the question.
    pub(crate) async fn ask(&self, fetch: Fetch) -> Result<Receiver, Error> {
        let failed = |source| Error::Connection { peer: self.name().to_owned(), source };
        let asking = async {
            let mut stream = self.connection().open().await?;
            match self {
                Self::Coordinator(_) => stream.send(&Opening::Fetch(fetch)).await?,
                Self::Worker(_) => stream.send(&Errand::Fetch(fetch)).await?,
            }
            let (mut sender, receiver) = stream.split();
            sender.finish()?;
            Ok(receiver)
        };
        timeout(PATIENCE, asking).await.map_err(|_| Error::Silent(PATIENCE.as_secs()))?.map_err(failed)
    }

    fn connection(&self) -> &Connection {
        match self {
            Self::Coordinator(connection) | Self::Worker(connection) => connection,
        }
    }
}
