//! What all builds share, and one build from request to result.

mod run;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use farm_model::Scope;
use farm_oci::{Client, Limits, RegistryConfig};
use farm_store::Store;

pub(crate) use run::run;

use crate::Error;
use crate::actions::Actions;
use crate::base::Bases;
use crate::builds::Builds;
use crate::disk::Samples;
use crate::dispatch::Dispatch;
use crate::key::ValueKey;
use crate::stage::Memo;

/// How a coordinator is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// For how long the answer of a registry to a tag is believed.
    pub resolve_ttl: Duration,
    /// How to reach registries.
    pub registries: RegistryConfig,
    /// What layers and archives may hold at most.
    pub limits: Limits,
    /// Whether paths of clients are read here.
    pub paths: Paths,
    /// What to call this program's version.
    pub version: String,
}

/// Whether paths that a client names are read by the coordinator itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Paths {
    /// They are: it runs for the client's own user, on the client's machine.
    Honoured,
    /// Everything is sent.
    Refused,
}

/// What all builds share.
pub(crate) struct Farm {
    pub(crate) store: Store,
    pub(crate) scope: Scope,
    pub(crate) registry: Arc<Client>,
    pub(crate) dispatch: Dispatch,
    pub(crate) builds: Arc<Builds>,
    pub(crate) memo: Memo,
    pub(crate) bases: Bases,
    pub(crate) values: ValueKey,
    pub(crate) options: Options,
    pub(crate) samples: Samples,
    pub(crate) actions: Actions,
    /// Nanoseconds since the Unix epoch.
    pub(crate) started: i64,
}

impl fmt::Debug for Farm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Farm").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl Farm {
    pub(crate) fn new(store: Store, dispatch: Dispatch, options: Options) -> Result<Self, Error> {
        let registry = Arc::new(Client::new(options.registries.clone())?);
        let values = ValueKey::new(value_secret(store.root())?);
        let builds = Arc::new(Builds::new(store.clone(), KEPT_BUILDS));
        let actions = Actions::new(store.clone())?;
        let (scope, started) = (Scope::main(), now());
        Ok(Self {
            store,
            scope,
            registry,
            dispatch,
            builds,
            memo: Memo::default(),
            bases: Bases::default(),
            values,
            options,
            samples: Samples::default(),
            actions,
            started,
        })
    }
}

/// Logs of how many builds are kept.
const KEPT_BUILDS: usize = 1000;

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
    let secret: [u8; 32] = drawn()?;
    let making = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o600).open(&making).map_err(failed)?;
    file.write_all(&secret).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&making, &path).map_err(failed)?;
    Ok(secret)
}

/// Bytes that nobody can guess, and that nobody else draws.
pub(crate) fn drawn<const SIZE: usize>() -> Result<[u8; SIZE], Error> {
    use std::io::Read as _;
    let path = Path::new("/dev/urandom");
    let mut random = [0; SIZE];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut random));
    read.map_err(|error| Error::State { path: path.to_owned(), source: Arc::new(error) })?;
    Ok(random)
}
