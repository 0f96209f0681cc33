//! The images that there are, as the farm lists them and as builds make them meanwhile.

use std::collections::BTreeMap;

use ratatui::style::Style;

use crate::app::screen::Context;
use crate::state::images::ImageRow;
use crate::view::text::size;
use crate::view::theme::Theme;

/// Sizes that are shown of a trend.
pub(super) const TREND: usize = 12;

/// An image in the list.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sized {
    /// Unpacked bytes; none while it is built for the first time.
    pub(super) bytes: Option<u64>,
    /// Compressed bytes.
    pub(super) packed: Option<u64>,
    /// Bytes more than the one before.
    pub(super) change: Option<i128>,
    /// Unpacked bytes of stages that it does not contain.
    pub(super) discarded: Option<u64>,
    /// How many layers it has.
    pub(super) layers: Option<u32>,
    /// Whether it is kept whatever is pruned.
    pub(super) pinned: bool,
    /// Its sizes over time, the oldest first.
    pub(super) trend: Vec<u64>,
    /// Bytes of layers that a build has made of it so far.
    pub(super) building: Option<u64>,
    /// When it was made.
    pub(super) made: i64,
    /// Its platform.
    pub(super) platform: String,
}

impl Sized {
    /// The part of everything that was built which the image does not carry, from 0 to 1.
    pub(super) fn saved(&self) -> Option<f64> {
        let (discarded, kept) = (self.discarded?, self.bytes?);
        let whole = discarded.saturating_add(kept);
        #[expect(clippy::cast_precision_loss, reason = "for display")]
        (whole > 0).then(|| discarded as f64 / whole as f64)
    }
}

/// All of them by name: those that were listed at `listed`, and what was made since.
pub(super) fn all(context: &Context<'_>, rows: &[ImageRow], listed: i64) -> BTreeMap<String, Sized> {
    let known = rows.iter().map(|row| (row.name.clone(), of_row(row)));
    let mut all: BTreeMap<String, Sized> = known.collect();
    for (name, trend) in context.farm.images().names() {
        let is_known = all.contains_key(name);
        let image = all.entry(name.clone()).or_default();
        for sample in trend.samples.iter().filter(|sample| !is_known || sample.time > listed) {
            image.change = image.bytes.map(|before| i128::from(sample.bytes) - i128::from(before));
            image.bytes = Some(sample.bytes);
            image.discarded = sample.discarded.or(image.discarded);
            image.packed = sample.written.or(image.packed);
            image.made = image.made.max(sample.time);
            image.trend.push(sample.bytes);
        }
        let over = image.trend.len().saturating_sub(TREND);
        image.trend.drain(..over);
    }
    for build in
        context.farm.builds().values().filter(|build| !build.is_over() && build.image_bytes().is_none())
    {
        let bytes = build.steps().map(|step| step.bytes).fold(0, u64::saturating_add);
        for name in build.names() {
            all.entry(name.clone()).or_default().building = Some(bytes);
        }
    }
    all
}

fn of_row(row: &ImageRow) -> Sized {
    let from = row.trend.len().saturating_sub(TREND);
    Sized {
        bytes: Some(row.bytes),
        packed: row.packed,
        change: row.previous.map(|before| i128::from(row.bytes) - i128::from(before)),
        discarded: Some(row.discarded),
        layers: Some(row.layers),
        pinned: row.pinned,
        trend: row.trend[from..].to_vec(),
        building: None,
        made: row.created,
        platform: row.platform.clone(),
    }
}

/// A change of a size, with its sign.
pub(in crate::view) fn change(bytes: i128) -> String {
    let text = size(u64::try_from(bytes.unsigned_abs()).unwrap_or(u64::MAX));
    match bytes {
        0 => "0".to_owned(),
        1.. => format!("+{text}"),
        _ => format!("-{text}"),
    }
}

/// The colour of a change: what grows wants attention.
pub(in crate::view) fn change_style(bytes: i128, theme: &Theme) -> Style {
    match bytes {
        0 => theme.dim,
        1.. => theme.warn,
        _ => theme.good,
    }
}
