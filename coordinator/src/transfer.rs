//! Images that come and go without a build: `farm push`, `pull`, `save` and `load`.

mod archives;
pub(crate) mod blobs;
mod pull;
pub(crate) mod push;
pub(crate) mod sources;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farm_oci::Assembled;
use farm_oci::image::AssembleOptions;
use farm_proto::client::{Reply, Request};
use farm_proto::transfer::Moved;
use farm_transport::{Sender, Stream};

use crate::build::{Farm, blocking};
use crate::images::{self, Record};
use crate::waiting::Progress;
use crate::{Error, diagnosis};

/// How often a client hears how far a transfer is.
const TICK: Duration = Duration::from_millis(200);

/// Does what is asked for. A client that goes away ends it.
#[expect(clippy::wildcard_enum_match_arm, reason = "only requests that move images come here")]
pub(crate) async fn answer(farm: &Arc<Farm>, request: Request, stream: Stream) {
    // What is looked at stays until the end, whatever is pruned meanwhile.
    let _kept = farm.store.begin();
    let (mut sender, mut receiver) = stream.split();
    let counter = Counter::default();
    let reply = match request {
        Request::Save(request) => archives::save(farm, *request, &mut sender).await,
        Request::Load => archives::load(farm, &mut receiver, &counter).await,
        Request::Push(request) => {
            counter.told_while(&mut sender, push::answer(farm, *request, &counter)).await
        }
        Request::Pull(request) => {
            counter.told_while(&mut sender, pull::answer(farm, *request, &counter)).await
        }
        other => Err(Error::NotAllowed(format!("this moves no image: {other:?}"))),
    };
    let reply = reply.unwrap_or_else(|error| Reply::Refused(diagnosis::refusal(&error)));
    let _gone = sender.send(&reply).await;
}

/// The image that a person means.
async fn image(farm: &Farm, text: &str) -> Result<(String, Record), Error> {
    // Metadata only: a look-up or two.
    let (name, record) = images::look_up(farm, text)?;
    let layers: Vec<_> = record.image.layers.iter().map(|layer| layer.layer().digest).collect();
    farm.ensure_layers(&layers).await?;
    Ok((name, record))
}

async fn assemble(farm: &Farm, record: &Record, options: AssembleOptions) -> Result<Arc<Assembled>, Error> {
    let (store, image) = (farm.store.clone(), record.image.clone());
    blocking(move || Ok(Arc::new(image.assemble(&store, options)?))).await
}

/// Counts what a transfer has moved.
#[derive(Clone, Default)]
pub(crate) struct Counter {
    so_far: Arc<Mutex<SoFar>>,
}

#[derive(Default)]
struct SoFar {
    /// By blob or layer; a transfer that is repeated counts anew.
    bytes: BTreeMap<[u8; 32], u64>,
    done: u64,
}

impl Counter {
    pub(crate) fn pushing(&self) -> farm_oci::push::OnProgress {
        use farm_oci::push::Progress;
        let counter = self.clone();
        Arc::new(move |progress| match progress {
            Progress::Sent { digest, bytes, .. } => counter.moved(digest.0, bytes),
            Progress::Done { .. } => counter.done(),
        })
    }

    fn pulling(&self) -> farm_oci::pull::OnProgress {
        use farm_oci::pull::Progress;
        let counter = self.clone();
        Arc::new(move |progress| match progress {
            Progress::Received { layer, bytes } => {
                let mut key = [0; 32];
                key[..8].copy_from_slice(&(layer as u64).to_le_bytes());
                counter.moved(key, bytes);
            }
            Progress::Unpacked { .. } => counter.done(),
        })
    }

    fn moved(&self, key: [u8; 32], bytes: u64) {
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner).bytes.insert(key, bytes);
    }

    fn done(&self) {
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner).done += 1;
    }

    fn read(&self) -> Moved {
        let so_far = self.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        Moved { bytes: so_far.bytes.values().sum(), done: so_far.done }
    }

    /// Runs `work`, and says from time to time how far it is.
    async fn told_while(
        &self,
        sender: &mut Sender,
        work: impl Future<Output = Result<Reply, Error>>,
    ) -> Result<Reply, Error> {
        tokio::pin!(work);
        let mut tick = tokio::time::interval(TICK);
        let mut told = self.read();
        loop {
            tokio::select! {
                reply = &mut work => return reply,
                _ = tick.tick() => {
                    let now = self.read();
                    if now != told {
                        told = now;
                        sender.send(&Reply::Moved(now)).await.map_err(|_| Error::ClientGone)?;
                    }
                }
            }
        }
    }
}

impl Progress for Counter {
    fn stands(&self) -> Option<u64> {
        let now = self.read();
        // Both only grow, but for what a registry forgets; what matters is that they are others.
        Some(now.bytes.wrapping_mul(31).wrapping_add(now.done))
    }
}
