//! Samples of what is said of images.

use super::*;

pub(super) fn image() -> ImageDetails {
    let summary = ImageSummary {
        name: text("a:1"),
        id: text("00"),
        config: Some(text("sha256:0")),
        created: -1,
        platform: platform(),
        bytes: 1,
        packed_bytes: Some(2),
        previous_bytes: None,
        discarded_bytes: 3,
        layers: 4,
        build: Some(BUILD),
        trend: vec![2, 1],
        pinned: true,
    };
    let layer = LayerDetails { digest: text("0"), bytes: 1, entries: 2, packed_bytes: None, base: true };
    let row = HistoryRow { created: None, created_by: text("RUN"), comment: text(""), bytes: Some(1) };
    ImageDetails {
        summary,
        names: vec![text("a:1")],
        config: text("{}"),
        layers: vec![layer],
        history: vec![row],
        stages: vec![StageRow { stage: text("build"), bytes: 1, kept: false }],
        trend: vec![TrendPoint { time: -1, bytes: 2, packed_bytes: Some(1), build: Some(BUILD) }],
    }
}

pub(super) fn waste() -> ImageWaste {
    let share = |because| WasteShare {
        files: 1,
        bytes: 2,
        worst: vec![WastedFile { path: b"a".to_vec(), bytes: 2, because }],
    };
    let layer = WasteRow {
        digest: text("0"),
        created_by: text("RUN"),
        base: false,
        bytes: 1,
        entries: 2,
        overwritten: share(WasteCause::Layer(1)),
        deleted: share(WasteCause::Layer(2)),
        touched: share(WasteCause::Layer(0)),
        duplicated: share(WasteCause::Path(vec![0xff])),
    };
    ImageWaste { name: text("a:1"), layers: vec![layer], bytes: 3, seen: 2, wasted: 1 }
}

pub(super) fn listing() -> DirectoryListing {
    let row = |(kind, standing)| EntryRow {
        name: b"a".to_vec(),
        kind,
        mode: 0o755,
        uid: 1,
        gid: 2,
        mtime: -3,
        bytes: 4,
        entries: 5,
        target: Some(b"b".to_vec()),
        opaque: true,
        standing,
        before_bytes: Some(6),
        layer: 7,
    };
    let rows = [
        (EntryKind::Directory, EntryStanding::Added),
        (EntryKind::File, EntryStanding::Contents),
        (EntryKind::Symlink, EntryStanding::Metadata),
        (EntryKind::Character { major: 1, minor: 2 }, EntryStanding::Within),
        (EntryKind::Block { major: 1, minor: 2 }, EntryStanding::Touched),
        (EntryKind::Fifo, EntryStanding::Same),
        (EntryKind::Removed, EntryStanding::Removed),
    ];
    DirectoryListing { path: b"etc".to_vec(), rows: rows.map(row).to_vec(), more: 1, layers: 8 }
}

pub(super) fn comparison() -> ImageComparison {
    let side = || ComparedImage { name: text("a:1"), id: text("00"), bytes: 1, entries: 2 };
    let row = |kind| DifferenceRow {
        path: b"a".to_vec(),
        kind,
        before: Some(PathExtent { bytes: 1, entries: 1, directory: false }),
        after: None,
    };
    let kinds =
        [DifferenceKind::Added, DifferenceKind::Removed, DifferenceKind::Contents, DifferenceKind::Metadata];
    let sum = DifferenceSum { entries: 1, before: 2, after: 3 };
    ImageComparison {
        before: side(),
        after: side(),
        rows: kinds.map(row).to_vec(),
        more: 4,
        added: sum,
        removed: sum,
        changed: sum,
        metadata: 5,
    }
}

pub(super) fn sharing() -> SharedBytes {
    let layer = SharedLayer {
        digest: text("0"),
        created_by: text("RUN"),
        base: true,
        bytes: 1,
        entries: 2,
        packed_bytes: None,
        images: vec![text("a:1"), text("b:1")],
    };
    let image =
        SharingRow { names: vec![text("a:1")], id: text("00"), bytes: 1, own_bytes: 2, shared_bytes: 3 };
    SharedBytes { images: vec![image], layers: vec![layer], more: 1, bytes: 2, bytes_apart: 3 }
}
