//! Events on their way to one viewer, gathered into frames.

use farm_model::BuildId;
use farm_model::event::{FarmEvent, FarmRecorded, encoding};
use farm_proto::client::Reply;
use farm_transport::Sender;

use crate::Error;
use crate::build::now;

/// Bytes of events that are sent together; far below the limit of a frame.
const BATCH: usize = 512 << 10;

pub(super) struct Outgoing<'a> {
    sender: &'a mut Sender,
    events: Vec<Vec<u8>>,
    bytes: usize,
    /// The time of the last event: the wall clock may jump, a stream does not.
    time: i64,
}

impl<'a> Outgoing<'a> {
    pub(super) fn new(sender: &'a mut Sender) -> Self {
        Self { sender, events: Vec::new(), bytes: 0, time: i64::MIN }
    }

    pub(super) async fn say(&mut self, event: FarmEvent) -> Result<(), Error> {
        let time = self.now();
        self.add(encoding::encode_farm(&FarmRecorded { time, event })).await
    }

    /// Passes an event of a build on as it is.
    pub(super) async fn pass(&mut self, build: BuildId, sequence: u64, record: &[u8]) -> Result<(), Error> {
        let time = self.now();
        match encoding::encode_build(time, build, sequence, record) {
            Some(event) => self.add(event).await,
            // What an older version wrote and this one cannot read any more.
            None => Ok(()),
        }
    }

    /// Sends what was gathered.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        if !self.events.is_empty() {
            self.bytes = 0;
            let events = std::mem::take(&mut self.events);
            self.sender.send(&Reply::Farm(events)).await?;
        }
        Ok(())
    }

    async fn add(&mut self, event: Vec<u8>) -> Result<(), Error> {
        self.bytes += event.len();
        self.events.push(event);
        if self.bytes >= BATCH { self.flush().await } else { Ok(()) }
    }

    fn now(&mut self) -> i64 {
        self.time = self.time.max(now());
        self.time
    }
}
