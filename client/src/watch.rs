//! Watching a whole farm, over as many connections as that takes.
//!
//! Whatever a stream says holds from its [`FarmEvent::Began`](event::FarmEvent::Began) on, so that a lost connection needs no
//! bookkeeping: the next stream says everything again. Whoever hears is never overrun: a stream waits while nothing is taken.

use std::time::Duration;

use farm_model::event::{self, FarmRecorded};
use farm_proto::client::{Reply, Request};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::Error;
use crate::connection::Client;

/// How long to wait before a lost coordinator is looked for, at first and at most.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a watcher hears.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// What happened next, in order.
    Events(Vec<FarmRecorded>),
    /// The coordinator cannot be heard any more. It is being looked for; the next event is a `Began`.
    Lost {
        /// Why, in one line.
        error: String,
    },
}

/// Watches until nobody takes from `heard` any more. Fails only when the coordinator cannot be watched in the first place;
/// one that is lost later is looked for with growing pauses, and `describe` says why `connect` failed.
pub async fn watch<E: From<Error>>(
    connect: impl AsyncFn() -> Result<Client, E>,
    describe: impl Fn(&E) -> String,
    heard: mpsc::Sender<Heard>,
) -> Result<(), E> {
    let mut pause = SHORTEST_PAUSE;
    let mut found = connect().await.map(Some)?;
    let mut ever = false;
    loop {
        let error = match found.take() {
            Some(client) => {
                let mut said = false;
                let ended = hear(&client, &heard, &mut said).await;
                if said {
                    (ever, pause) = (true, SHORTEST_PAUSE);
                }
                match ended {
                    Ok(()) => {
                        client.close().await;
                        return Ok(());
                    }
                    Err(error) if !ever => return Err(error.into()),
                    Err(error) => farm_model::causes(&error),
                }
            }
            None => match connect().await {
                Ok(client) => {
                    found = Some(client);
                    continue;
                }
                Err(error) => describe(&error),
            },
        };
        if heard.send(Heard::Lost { error }).await.is_err() {
            return Ok(());
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = heard.closed() => return Ok(()),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Passes on what is said over one connection. Ends well when nobody wants to hear it.
async fn hear(client: &Client, heard: &mpsc::Sender<Heard>, said: &mut bool) -> Result<(), Error> {
    let mut replies = client.stream(Request::Watch).await?;
    loop {
        let reply = tokio::select! {
            reply = replies.next() => reply?,
            () = heard.closed() => return Ok(()),
        };
        match reply {
            Some(Reply::Farm(events)) => {
                *said = true;
                let events = events.iter().filter_map(|bytes| read(bytes)).collect();
                if heard.send(Heard::Events(events)).await.is_err() {
                    return Ok(());
                }
            }
            Some(Reply::Refused(refusal)) => return Err(Error::Refused(refusal)),
            Some(_) => return Err(Error::WrongReply),
            None => return Err(Error::NoReply),
        }
    }
}

/// What a later version says and this one does not know is passed over: the rest is still worth seeing.
fn read(bytes: &[u8]) -> Option<FarmRecorded> {
    match event::encoding::decode_farm(bytes) {
        Ok(recorded) => Some(recorded),
        Err(error) => {
            tracing::debug!(%error, "an event of the farm is not understood");
            None
        }
    }
}
