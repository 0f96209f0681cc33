//! The console's questions and orders in the words of the protocol.

use farm_client::Client;
use farm_model::WorkerId;
use farm_proto::client::{Duty, Pinning, Reply, Request};
use farm_proto::image::{ImageDetails, ImageSummary, PruneRequest};
use farm_proto::image_query::{
    DifferenceRow, EntriesRequest, EntryKind, EntryRow, EntryStanding, WasteRow, WasteShare,
};
use farm_tui::app::{Answer, Order, Query};
use farm_tui::state::images::{Against, Difference, Entry, ImageDetail, ImageRow, Layer, LayerWaste};

use crate::builds::ask as request;
use crate::failure::Failure;

/// Names of a directory, differences of two images and paths of a layer that a screen is given at most.
const MOST_ENTRIES: u32 = 10_000;
const MOST_DIFFERENCES: u32 = 1000;
const MOST_PATHS: u32 = 20;

/// What a question is about, to complete "failed to …".
pub(super) fn question(query: &Query) -> String {
    match query {
        Query::Images => "list the images".to_owned(),
        Query::Image { image } => format!("look at `{image}`"),
        Query::Waste { image } => format!("weigh the layers of `{image}`"),
        Query::Entries { image, path, .. } => format!("list `/{path}` of `{image}`"),
        Query::Compare { before, after } => format!("compare `{before}` and `{after}`"),
    }
}

/// What an order is about, to complete "failed to …".
pub(super) fn order(order: &Order) -> String {
    match order {
        Order::Cancel(build) => format!("cancel build {build}"),
        Order::Move { build, .. } => format!("move a step of build {build}"),
        Order::Drain(worker) => format!("drain {worker}"),
        Order::Restore(worker) => format!("restore {worker}"),
        Order::Pin(image) => format!("pin `{image}`"),
        Order::Unpin(image) => format!("unpin `{image}`"),
        Order::Prune { .. } => "prune the store".to_owned(),
    }
}

/// Has a question answered.
pub(super) async fn ask(client: &Client, query: Query) -> Result<Answer, Failure> {
    match query {
        Query::Images => {
            let Reply::Images(images) = request(client, Request::Images).await? else {
                return Err(Failure::unexpected());
            };
            Ok(Answer::Images(images.into_iter().map(row).collect()))
        }
        Query::Image { image } => {
            let Reply::Image(details) = request(client, Request::Inspect { image }).await? else {
                return Err(Failure::unexpected());
            };
            Ok(Answer::Image(Box::new(detail(*details))))
        }
        Query::Waste { image } => {
            let wanted = Request::Waste { image: image.clone(), worst: MOST_PATHS };
            let Reply::Waste(found) = request(client, wanted).await? else {
                return Err(Failure::unexpected());
            };
            Ok(Answer::Waste { image, layers: found.layers.iter().map(waste).collect() })
        }
        Query::Entries { .. } => entries(client, query).await,
        Query::Compare { .. } => compare(client, query).await,
    }
}

async fn entries(client: &Client, query: Query) -> Result<Answer, Failure> {
    let Query::Entries { image, layer, path } = query.clone() else { return Err(Failure::unexpected()) };
    let path = path.into_bytes();
    let wanted = EntriesRequest { image, layer, path, skip: 0, limit: MOST_ENTRIES };
    let Reply::Entries(found) = request(client, Request::Entries(Box::new(wanted))).await? else {
        return Err(Failure::unexpected());
    };
    Ok(Answer::Entries { query, entries: found.rows.iter().map(entry).collect(), more: found.more })
}

async fn compare(client: &Client, query: Query) -> Result<Answer, Failure> {
    let Query::Compare { before, after } = query.clone() else { return Err(Failure::unexpected()) };
    let wanted = Request::Compare { before, after, limit: MOST_DIFFERENCES };
    let Reply::Compared(found) = request(client, wanted).await? else { return Err(Failure::unexpected()) };
    let difference = |row: DifferenceRow| Difference {
        path: text(&row.path),
        before: row.before.map(|extent| extent.bytes),
        after: row.after.map(|extent| extent.bytes),
    };
    Ok(Answer::Compare {
        query,
        differences: found.rows.into_iter().map(difference).collect(),
        more: found.more,
    })
}

/// Has an order carried out.
pub(super) async fn act(client: &Client, order: Order) -> Result<Answer, Failure> {
    let pin = |image: &String, pinning| Request::Pin { image: image.clone(), pinning };
    let drain = |worker: &WorkerId, duty| Request::Drain { worker: worker.clone(), duty };
    let wanted = match &order {
        Order::Cancel(build) => Request::Cancel { build: *build },
        Order::Move { build, step } => Request::Move { build: *build, step: *step },
        Order::Drain(worker) => drain(worker, Duty::Drained),
        Order::Restore(worker) => drain(worker, Duty::Open),
        Order::Pin(image) => pin(image, Pinning::Pinned),
        Order::Unpin(image) => pin(image, Pinning::Free),
        Order::Prune { all } => Request::Prune(PruneRequest {
            kinds: Vec::new(),
            unused_for: None,
            keep_bytes: None,
            all: *all,
            dry_run: false,
        }),
    };
    request(client, wanted).await?;
    Ok(Answer::Done(order))
}

fn row(summary: ImageSummary) -> ImageRow {
    ImageRow {
        name: summary.name,
        id: summary.id,
        created: summary.created,
        platform: summary.platform.to_string(),
        bytes: summary.bytes,
        packed: summary.packed_bytes,
        previous: summary.previous_bytes,
        discarded: summary.discarded_bytes,
        layers: summary.layers,
        pinned: summary.pinned,
        trend: summary.trend,
    }
}

fn detail(details: ImageDetails) -> ImageDetail {
    let instructions =
        details.history.into_iter().filter(|row| row.bytes.is_some()).map(|row| row.created_by);
    let layers = details.layers.into_iter().zip(instructions.chain(std::iter::repeat(String::new())));
    let layers = layers.map(|(layer, created_by)| Layer {
        digest: layer.digest,
        created_by,
        bytes: layer.bytes,
        entries: layer.entries,
        packed: layer.packed_bytes,
        base: layer.base,
    });
    ImageDetail {
        row: row(details.summary),
        layers: layers.collect(),
        stages: details.stages.into_iter().map(|stage| (stage.stage, stage.bytes, stage.kept)).collect(),
    }
}

fn waste(row: &WasteRow) -> LayerWaste {
    let hidden = [&row.overwritten, &row.deleted];
    let shares = [&row.overwritten, &row.deleted, &row.touched, &row.duplicated];
    let worst = |share: &WasteShare| -> Vec<(String, u64)> {
        share.worst.iter().map(|file| (text(&file.path), file.bytes)).collect()
    };
    let mut worst: Vec<(String, u64)> = shares.into_iter().flat_map(worst).collect();
    worst.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    worst.dedup();
    LayerWaste {
        bytes: row.bytes,
        hidden_bytes: hidden.iter().map(|share| share.bytes).sum(),
        hidden_files: hidden.iter().map(|share| share.files).sum(),
        touched_bytes: row.touched.bytes,
        duplicate_bytes: row.duplicated.bytes,
        worst,
    }
}

fn entry(row: &EntryRow) -> Entry {
    let kind = match row.kind {
        EntryKind::Directory => 'd',
        EntryKind::File => '-',
        EntryKind::Symlink => 'l',
        EntryKind::Character { .. } => 'c',
        EntryKind::Block { .. } => 'b',
        EntryKind::Fifo => 'p',
        EntryKind::Removed => 'x',
    };
    let against = match row.standing {
        EntryStanding::Added => Against::Added,
        EntryStanding::Removed => Against::Removed,
        EntryStanding::Contents | EntryStanding::Metadata | EntryStanding::Within => Against::Changed,
        EntryStanding::Touched | EntryStanding::Same => Against::Same,
    };
    Entry {
        name: text(&row.name),
        kind,
        mode: row.mode.into(),
        owner: (row.uid, row.gid),
        bytes: row.bytes,
        link: row.target.as_deref().map(text),
        against,
    }
}

/// A file name is any bytes; what is not UTF-8 is shown so that it cannot be opened.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
