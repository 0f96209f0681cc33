//! `COPY` and `ADD`: a pure function of the stage's tree and the selected entries. No container, no mount; bytes are
//! taken from a context only when no store has them.

use std::time::Instant;

use farm_model::op::{self, Origin, Source, Unpack};
use farm_model::{BlobDigest, BuildEvent, Stage, Step, Usage};
use farm_oci::Cancel;
use farm_oci::fetch::{self, FetchOptions, Fetched};
use farm_store::Store;
use farm_tree::copy::Destination;
use farm_tree::glob::Patterns;
use farm_tree::mode::ModeChange;
use farm_tree::passwd::{self, ACCOUNT_FILE_LIMIT, Owner};
use farm_tree::select::{Adjustment, Options, Selection, What};
use farm_tree::{File, Metadata, Mtime, Node, Tree, resolve};

use crate::Error;
use crate::build::{blocking, now};
use crate::context::{Attempts, Ingest};
use crate::key::{self, Preimage};
use crate::stage::{Shared, State};
use crate::step::record::{self, Fresh};
use crate::step::{self, Done, Stack};

/// Mode of a heredoc's file.
const HEREDOC_MODE: u16 = 0o644;
/// Name of a fetched file when neither its address nor its server says one.
const UNNAMED: &str = "download";
/// Mode of a file that was fetched.
const FETCHED_MODE: u16 = 0o600;

pub(crate) async fn copy(
    shared: &Shared,
    stage: &Stage,
    step: &Step,
    copy: &op::Copy,
    so_far: &State,
) -> Result<Done, Error> {
    let fetched = fetch_all(shared, copy).await?;
    let mut attempts = Attempts::new();
    loop {
        let source = step::stack(shared, &copy.from).await?;
        let started = Instant::now();
        if copy.chown.is_some() {
            ensure_accounts(shared, so_far).await?;
        }
        let selected = select(shared, copy, &source.merged, &so_far.merged, &fetched).await?;
        let preimage = preimage(stage, copy, so_far, &selected);
        let turn = shared.farm.dispatch.turn(&shared.farm.scope, preimage.key());
        let alone = turn.alone().await;
        if let Some(done) = record::look_up(shared, stage, step, &preimage, alone.order()).await? {
            return Ok(done);
        }
        if attempts.is_first() {
            shared.reporter.send(BuildEvent::Started { step: step.id, worker: None }).await;
        }
        let Some(layer) = make(shared, copy, so_far, &source, selected).await? else {
            if let Origin::Context(context) = &copy.from {
                attempts.again(context)?;
            }
            continue;
        };
        let fresh = Fresh { layer: Some(layer.layer_ref()), ended: now(), usage: Usage::default() };
        let done = record::commit(shared, stage, step, &so_far.merged, &preimage, fresh, started).await?;
        shared.farm.dispatch.settled(shared.build, step.id, started.elapsed());
        return Ok(done);
    }
}

/// What can be told of the key before what the stage comes to is known; none when what is copied is not known either.
pub(super) async fn foresee(
    shared: &Shared,
    stage: &Stage,
    copy: &op::Copy,
    so_far: &State,
) -> Result<Option<Preimage>, Error> {
    if copy.sources.iter().any(|source| matches!(source, Source::Url { .. })) {
        return Ok(None);
    }
    let source = step::stack(shared, &copy.from).await?;
    let fetched = vec![None; copy.sources.len()];
    let selected = select(shared, copy, &source.merged, &so_far.merged, &fetched).await?;
    Ok(Some(preimage(stage, copy, so_far, &selected)))
}

/// A selection, and which of its items came from a URL.
struct Selected {
    selection: Selection,
    remote: Vec<bool>,
    /// All of it, for telling later in which file another selection differs.
    tree: Tree,
}

async fn fetch_all(shared: &Shared, copy: &op::Copy) -> Result<Vec<Option<Fetched>>, Error> {
    let mut all = Vec::with_capacity(copy.sources.len());
    for source in &copy.sources {
        all.push(match source {
            Source::Url { url, checksum } => {
                let options = &shared.farm.options;
                let settings = FetchOptions {
                    proxies: options.registries.proxies.clone(),
                    timeouts: options.registries.timeouts.clone(),
                    limit: options.limits.bytes,
                    deadline: op::URL_DEADLINE,
                };
                Some(fetch::fetch_url(url, *checksum, &shared.farm.store, &settings).await?)
            }
            Source::Path(_) | Source::Inline { .. } => None,
        });
    }
    Ok(all)
}

async fn select(
    shared: &Shared,
    copy: &op::Copy,
    source: &Tree,
    stage: &Tree,
    fetched: &[Option<Fetched>],
) -> Result<Selected, Error> {
    let (store, copy, source, stage) =
        (shared.farm.store.clone(), copy.clone(), source.clone(), stage.clone());
    let fetched = fetched.to_vec();
    blocking(move || {
        let owner = copy.chown.as_ref().map(|spec| owner(&store, &stage, spec)).transpose()?;
        let mode = copy.chmod.as_ref().map(|text| ModeChange::parse(text)).transpose()?;
        let mut selection = Selection::new(Adjustment { owner, mode });
        let options = Options { exclude: Patterns::new(&copy.exclude)?, parents: copy.parents };
        let mut remote = Vec::new();
        for (written, fetched) in copy.sources.iter().zip(&fetched) {
            match (written, fetched) {
                (Source::Path(path), _) => selection.add_path(&store, &source, path, &options)?,
                (Source::Inline { name, content }, _) => {
                    let blob = store.ingest(&mut content.as_slice(), None)?;
                    selection.add_file(name, plain(HEREDOC_MODE, now(), blob))?;
                }
                (Source::Url { .. }, Some(fetched)) => {
                    let name = fetched.filename.as_deref().unwrap_or(UNNAMED);
                    selection
                        .add_file(name, plain(FETCHED_MODE, fetched.modified.unwrap_or(0), fetched.blob))?;
                }
                (Source::Url { .. }, None) => {}
            }
            remote.resize(selection.items().len(), fetched.is_some());
        }
        let tree = selection.tree(&store)?;
        Ok(Selected { selection, remote, tree })
    })
    .await
}

fn plain(mode: u16, mtime: i64, blob: BlobDigest) -> File {
    File { metadata: Metadata::plain(mode, Mtime(mtime)), blob, hard_link: None }
}

fn preimage(stage: &Stage, copy: &op::Copy, so_far: &State, selected: &Selected) -> Preimage {
    let mut preimage = Preimage::new("copy", &so_far.merged, &stage.platform);
    preimage.text("destination", &copy.destination);
    preimage.text("workdir", &copy.workdir);
    preimage.text("link", if copy.link { "true" } else { "false" });
    let unpack = match copy.unpack {
        Unpack::Never => "never",
        Unpack::Local => "local",
        Unpack::Always => "always",
    };
    preimage.text("unpack", unpack);
    preimage.digest(key::SOURCES, selected.selection.content_digest());
    preimage.tree(key::SOURCES, selected.tree.clone());
    preimage
}

/// Computes the layer and takes its bytes. None when the context changed meanwhile.
async fn make(
    shared: &Shared,
    copy: &op::Copy,
    so_far: &State,
    source: &Stack,
    mut selected: Selected,
) -> Result<Option<Tree>, Error> {
    let archives = candidates(copy, &selected);
    let blobs: Vec<BlobDigest> = archives.iter().map(|(_, blob)| *blob).collect();
    let layers: Vec<_> = source.layers.iter().map(|layer| layer.digest).collect();
    if let Origin::Context(context) = &copy.from {
        if shared.contexts.take(&shared.farm, context, &source.merged, blobs).await? == Ingest::Changed {
            return Ok(None);
        }
    } else {
        shared.farm.ensure_blobs(blobs, &layers).await?;
    }
    let (store, limits) = (shared.farm.store.clone(), shared.farm.options.limits.clone());
    let (below, copy) = (so_far.merged.clone(), copy.clone());
    let cancel = Cancel::default();
    let _guard = cancel.guard();
    let origin = copy.from.clone();
    let layer = blocking(move || {
        for (index, blob) in archives {
            let what =
                format!("archive `{}`", String::from_utf8_lossy(&selected.selection.items()[index].name));
            let bytes = store.open_blob(&blob)?;
            if let Some(archive) = farm_oci::unpack_archive(bytes, &what, &store, &limits, cancel.clone())? {
                selected.selection.unpack(index, archive.tree, archive.implied);
            }
        }
        let destination = Destination { path: &copy.destination, workdir: &copy.workdir, link: copy.link };
        let layer = farm_tree::copy::copy(&store, &below, &selected.selection, destination)?;
        store.put_tree(&layer)?;
        Ok(layer)
    })
    .await?;
    if let Origin::Context(context) = &origin {
        if shared.contexts.ingest(&shared.farm, context, &source.merged, &layer).await? == Ingest::Changed {
            return Ok(None);
        }
    } else {
        // What was taken from a stage may be on a worker only.
        shared.farm.ensure_files(&layer, &layers).await?;
    }
    Ok(Some(layer))
}

/// The items that are unpacked if they turn out to be archives.
fn candidates(copy: &op::Copy, selected: &Selected) -> Vec<(usize, BlobDigest)> {
    let applies = |remote: bool| match copy.unpack {
        Unpack::Never => false,
        Unpack::Local => !remote,
        Unpack::Always => true,
    };
    let items = selected.selection.items().iter().zip(&selected.remote).enumerate();
    items
        .filter(|(_, (_, remote))| applies(**remote))
        .filter_map(|(index, (item, _))| match &item.what {
            What::Leaf(Node::File(file)) => Some((index, file.blob)),
            What::Leaf(_) | What::Contents { .. } | What::Archive { .. } => None,
        })
        .collect()
}

/// Brings the stage's account files here, where its layers are on workers only.
pub(crate) async fn ensure_accounts(shared: &Shared, stage: &State) -> Result<(), Error> {
    let (store, merged) = (shared.farm.store.clone(), stage.merged.clone());
    let missing = blocking(move || {
        let mut missing = Vec::new();
        for path in [passwd::PASSWD, passwd::GROUP] {
            if let Some(Node::File(file)) = resolve::resolve(&store, &merged, path)?.node
                && !store.contains(&file.blob)?
            {
                missing.push(file.blob);
            }
        }
        Ok(missing)
    })
    .await?;
    let layers: Vec<_> = stage.layers.iter().map(|layer| layer.layer.digest).collect();
    shared.farm.ensure_blobs(missing, &layers).await
}

/// Who files get under `--chown=spec`, by the stage's own account files.
pub(crate) fn owner(store: &Store, stage: &Tree, spec: &str) -> Result<Owner, Error> {
    let passwd = store.read_file(stage, passwd::PASSWD, ACCOUNT_FILE_LIMIT)?.unwrap_or_default();
    let group = store.read_file(stage, passwd::GROUP, ACCOUNT_FILE_LIMIT)?.unwrap_or_default();
    Ok(passwd::resolve_owner(spec, &passwd, &group)?)
}
