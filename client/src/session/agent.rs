//! One connection to an SSH agent, carried over a stream.

use std::path::Path;

use farm_transport::{Receiver, Sender};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

use crate::Error;

/// Carries bytes both ways until both sides have ended theirs.
pub(super) async fn splice(socket: &Path, mut sender: Sender, mut receiver: Receiver) -> Result<(), Error> {
    let agent = UnixStream::connect(socket).await.map_err(Error::io("connect to agent", socket))?;
    let (mut from_agent, mut to_agent) = agent.into_split();
    let answers = async {
        tokio::io::copy(&mut from_agent, &mut sender).await?;
        sender.shutdown().await
    };
    let questions = async {
        tokio::io::copy(&mut receiver, &mut to_agent).await?;
        to_agent.shutdown().await
    };
    tokio::try_join!(answers, questions).map_err(Error::io("speak to agent", socket))?;
    Ok(())
}
