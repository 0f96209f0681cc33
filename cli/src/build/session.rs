//! Answers what a build asks of its client: contexts, secrets, agents.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use farm_client::Context;
use farm_coordinator::{ScannedContext, SessionRequest};
use farm_model::{BlobDigest, ContextName};
use farm_proto::Secret;
use tokio::sync::mpsc;

use crate::build::specs::SecretSource;

/// Larger secrets are refused, as `docker build` does.
const LARGEST_SECRET: u64 = 500 << 10;

/// What the command line gives a build access to.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) contexts: BTreeMap<ContextName, Context>,
    pub(super) secrets: BTreeMap<String, SecretSource>,
    pub(super) ssh: BTreeMap<String, PathBuf>,
    /// A context that came over standard input; removed when the build ends.
    pub(super) root: Option<tempfile::TempDir>,
}

impl Answers {
    /// Answers until nobody asks any more.
    pub(super) async fn serve(self, mut requests: mpsc::Receiver<SessionRequest>) {
        let mut sources: BTreeMap<ContextName, Arc<BTreeMap<BlobDigest, PathBuf>>> = BTreeMap::new();
        while let Some(request) = requests.recv().await {
            // Whoever stopped waiting needs no answer.
            match request {
                SessionRequest::Scan { context, paths, reply } => {
                    let _gone = match self.scan(&context, paths).await {
                        Ok((scanned, found)) => {
                            sources.insert(context, Arc::new(found));
                            reply.send(Ok(scanned))
                        }
                        Err(reason) => reply.send(Err(reason)),
                    };
                }
                SessionRequest::Locate { context, blobs, reply } => {
                    let known = sources.get(&context);
                    let find = |blob| Some((blob, known?.get(&blob)?.clone()));
                    let _gone = reply.send(blobs.into_iter().filter_map(find).collect());
                }
                SessionRequest::Secret { id, reply } => {
                    let _gone = reply.send(self.secret(&id));
                }
                SessionRequest::Ssh { id, reply } => {
                    let _gone = reply.send(self.ssh.get(&id).cloned());
                }
            }
        }
    }

    async fn scan(
        &self,
        name: &ContextName,
        paths: Vec<String>,
    ) -> Result<(ScannedContext, BTreeMap<BlobDigest, PathBuf>), String> {
        let context = self.contexts.get(name).cloned().ok_or("there is no context of that name")?;
        let scan = tokio::task::spawn_blocking(move || context.scan(&paths)).await;
        let scan = scan.map_err(|panic| panic.to_string())?.map_err(|error| crate::failure::chain(&error))?;
        Ok((ScannedContext { tree: scan.tree, records: scan.records }, scan.sources))
    }

    fn secret(&self, id: &str) -> Result<Option<Secret>, String> {
        match self.secrets.get(id) {
            None => Ok(None),
            Some(SecretSource::Environment(name)) => {
                let value = std::env::var_os(name).ok_or_else(|| format!("variable `{name}` is not set"))?;
                Ok(Some(Secret::new(value.into_encoded_bytes())))
            }
            Some(SecretSource::File(path)) => {
                let failed = |error: std::io::Error| format!("`{}`: {error}", path.display());
                if std::fs::metadata(path).map_err(failed)?.len() > LARGEST_SECRET {
                    return Err(format!("`{}` is larger than {LARGEST_SECRET} bytes", path.display()));
                }
                Ok(Some(Secret::new(std::fs::read(path).map_err(failed)?)))
            }
        }
    }
}
