//! One session: what is said over one connection.

use std::time::Duration;

use farm_model::LeaseId;
use farm_proto::message::Made;
use farm_proto::worker::Opening;
use farm_proto::{CoordinatorMessage, Outcome, WorkerMessage};
use farm_transport::{Connection, Sender};
use farm_tree::Tree;
use futures_util::FutureExt as _;
use tokio::sync::mpsc;

use super::Remote;
use crate::listen;
use crate::pulse::Pulse;
use crate::records::{self, Demand};

/// A result that was sent so long ago over a connection that still lives has arrived: a connection that carries nothing
/// ends sooner.
const CONFIRMED: Duration = Duration::from_secs(15);
/// Chunks of records that are read ahead.
const CHUNKS: usize = 2;

impl Remote {
    /// Works for the coordinator at the other end until one side ends it.
    pub(super) async fn session(&mut self, connection: &Connection) -> farm_transport::Result<()> {
        let mut stream = connection.open().await?;
        stream.send(&Opening::Session).await?;
        stream.send(&self.options.hello(self.leases.held())).await?;
        let (mut sender, mut receiver) = stream.split();
        let (commands, store) = (self.commands.clone(), self.store.clone());
        let reading = async {
            while let Some(command) = receiver.receive::<CoordinatorMessage>().await? {
                // The desk takes commands for as long as the worker serves.
                let _closing = commands.send(command).await;
            }
            Ok(())
        };
        tokio::select! {
            ended = reading => ended,
            ended = self.write(&mut sender) => ended,
            () = listen::answer(connection, &store) => Ok(()),
        }
    }

    /// Says everything that there is to say, in an order in which no heartbeat overtakes the end of a lease.
    async fn write(&mut self, sender: &mut Sender) -> farm_transport::Result<()> {
        let mut pulse = Pulse::new(self.store.root().to_owned());
        self.holdings.start_over();
        for (lease, outcome) in self.leases.unconfirmed() {
            self.send_finished(sender, &mut pulse, lease, &outcome).await?;
        }
        self.send_unsent(sender, &mut pulse).await?;
        loop {
            tokio::select! {
                biased;
                beat = pulse.next(&self.leases) => {
                    self.leases.forget_sent(CONFIRMED);
                    sender.send(&beat).await?;
                }
                change = self.holdings.next() => sender.send(&change).await?,
                Some(report) = self.reports.recv() => {
                    self.unsent = Some(report);
                    self.send_unsent(sender, &mut pulse).await?;
                }
            }
        }
    }

    /// Sends what a step reported last. It is kept for the next session until all of it is sent: this future is dropped
    /// when the session ends.
    async fn send_unsent(&mut self, sender: &mut Sender, pulse: &mut Pulse) -> farm_transport::Result<()> {
        match &self.unsent {
            None => return Ok(()),
            Some(WorkerMessage::Finished { lease, outcome }) => {
                self.send_finished(sender, pulse, *lease, outcome).await?;
            }
            Some(other) => sender.send(other).await?,
        }
        if let Some(WorkerMessage::Finished { lease, outcome }) = self.unsent.take() {
            self.leases.sent(lease, outcome);
        }
        Ok(())
    }

    async fn send_finished(
        &self,
        sender: &mut Sender,
        pulse: &mut Pulse,
        lease: LeaseId,
        outcome: &Outcome,
    ) -> farm_transport::Result<()> {
        if let Outcome::Success { layer: Some(made), .. } = outcome {
            self.send_records(sender, pulse, lease, made).await?;
        }
        sender.send(&WorkerMessage::Finished { lease, outcome: outcome.clone() }).await
    }

    /// Sends the records of a layer, which the coordinator may lack. There may be many: leases are renewed between them.
    async fn send_records(
        &self,
        sender: &mut Sender,
        pulse: &mut Pulse,
        lease: LeaseId,
        made: &Made,
    ) -> farm_transport::Result<()> {
        let Ok(tree) = Tree::decode(&made.tree) else { return Ok(()) };
        let (chunks, mut read) = mpsc::channel(CHUNKS);
        let store = self.store.clone();
        let reading = tokio::task::spawn_blocking(move || {
            records::send(&store, &tree, |records| match chunks.blocking_send(records) {
                Ok(()) => Demand::More,
                Err(_) => Demand::Enough,
            })
        });
        while let Some(records) = read.recv().await {
            if let Some(beat) = pulse.next(&self.leases).now_or_never() {
                sender.send(&beat).await?;
            }
            sender.send(&WorkerMessage::Records { lease, records }).await?;
        }
        if let Ok(Err(error)) = reading.await {
            // The coordinator asks for what it misses.
            let reason = farm_model::causes(&error);
            tracing::warn!(%lease, reason, "cannot read the records of a layer");
        }
        Ok(())
    }
}
