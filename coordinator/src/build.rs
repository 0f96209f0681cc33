//! The coordinator and one build from request to image.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use farm_model::{BuildEvent, Scope};
use farm_oci::{Client, Image, Limits, RegistryConfig};
use farm_proto::{CoordinatorMessage, WorkerMessage};
use farm_store::Store;
use farm_tree::Tree;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::context::Contexts;
use crate::flight::Flights;
use crate::key::ValueKey;
use crate::link::WorkerLink;
use crate::report::Reporter;
use crate::stage::Shared;
use crate::{Error, Request, Session, image, plan};

/// How a coordinator is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// For how long the answer of a registry to a tag is believed.
    pub resolve_ttl: Duration,
    /// How to reach registries.
    pub registries: RegistryConfig,
    /// What layers and archives may hold at most.
    pub limits: Limits,
}

/// What all builds share.
pub(crate) struct Farm {
    pub(crate) store: Store,
    pub(crate) scope: Scope,
    pub(crate) registry: Arc<Client>,
    pub(crate) worker: WorkerLink,
    pub(crate) values: ValueKey,
    pub(crate) flights: Flights,
    pub(crate) options: Options,
}

impl fmt::Debug for Farm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Farm").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// Runs builds over one store and its worker.
#[derive(Debug)]
pub struct Coordinator {
    farm: Arc<Farm>,
}

/// What a build came to.
#[derive(Clone, Debug)]
pub struct Built {
    /// The image, ready to be exported.
    pub image: Image,
    /// Its file system.
    pub merged: Tree,
    /// Seconds since the Unix epoch that `SOURCE_DATE_EPOCH` asked for.
    pub source_date_epoch: Option<i64>,
}

impl Coordinator {
    /// A coordinator over `store`, which has tasks done by the worker at the other end of the channels.
    pub fn new(
        store: Store,
        commands: mpsc::UnboundedSender<CoordinatorMessage>,
        reports: mpsc::Receiver<WorkerMessage>,
        options: Options,
    ) -> Result<Self, Error> {
        let registry = Arc::new(Client::new(options.registries.clone())?);
        let values = ValueKey::new(value_secret(store.root())?);
        // One process is one epoch: the process id and its start make leases unique as long as they are only held in it.
        let epoch = u64::try_from(now()).unwrap_or_default();
        let worker = WorkerLink::new(epoch, commands, reports);
        let scope = Scope::main();
        let flights = Flights::default();
        Ok(Self { farm: Arc::new(Farm { store, scope, registry, worker, values, flights, options }) })
    }

    /// Builds what `request` asks for. Dropping the future cancels the build; finished steps stay recorded.
    pub async fn build(
        &self,
        request: Request,
        session: Session,
        events: mpsc::Sender<BuildEvent>,
    ) -> Result<Built, Error> {
        let (request, reporter) = (Arc::new(request), Reporter::new(events));
        let plan = plan::plan(&self.farm, &request, &reporter).await?;
        let source_date_epoch = plan.source_date_epoch;
        let contexts = Contexts::new(session, &plan.graph);
        let shared = Arc::new(Shared::new(Arc::clone(&self.farm), request, plan, contexts, reporter.clone()));
        run_stages(&shared).await?;
        let finished = image::assemble(&shared).await?;
        reporter.send(finished.event).await;
        Ok(Built { image: finished.image, merged: finished.merged, source_date_epoch })
    }
}

/// Runs every stage; the first failure ends the others. What a worker has finished by then is still recorded: that part of
/// a step runs where it cannot be aborted.
async fn run_stages(shared: &Arc<Shared>) -> Result<(), Error> {
    let mut tasks = JoinSet::new();
    for stage in shared.graph.stages.clone() {
        let shared = Arc::clone(shared);
        tasks.spawn(async move { shared.run(&stage).await });
    }
    let mut ended = Ok(());
    while let Some(done) = tasks.join_next().await {
        let result = match done {
            Ok(result) => result,
            Err(error) if error.is_cancelled() => Err(Error::Cancelled),
            Err(panic) => Err(Error::Panicked(panic.to_string())),
        };
        match (&ended, &result) {
            // A stage that waited for one that failed may be heard first; it does not know why.
            (Ok(()), Err(Error::Cancelled)) => ended = result,
            (Ok(()) | Err(Error::Cancelled), Err(failure)) if !matches!(failure, Error::Cancelled) => {
                ended = result;
                tasks.abort_all();
            }
            _ => {}
        }
    }
    ended
}

/// Runs `work` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => Err(Error::Panicked(panic.to_string())),
    }
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// The secret for hashes of values, made once and kept beside the store for its owner only.
fn value_secret(root: &Path) -> Result<[u8; 32], Error> {
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = root.join("value.key");
    let failed = |error: std::io::Error| Error::State { path: path.clone(), source: Arc::new(error) };
    match std::fs::File::open(&path) {
        Ok(mut file) => {
            let mut secret = [0; 32];
            file.read_exact(&mut secret).map_err(failed)?;
            return Ok(secret);
        }
        // Any other reason may pass, and a new secret would change the key of every step with a variable.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let mut secret = [0; 32];
    let random = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut secret));
    random.map_err(failed)?;
    let making = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o600).open(&making).map_err(failed)?;
    file.write_all(&secret).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&making, &path).map_err(failed)?;
    Ok(secret)
}
