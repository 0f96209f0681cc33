//! One frame for scripts and documents.

use std::str::FromStr;
use std::time::Duration;

use farm_client::Heard;
use farm_model::event::FarmEvent;
use farm_tui::app::App;
use farm_tui::area;
use farm_tui::export::{self, Paper};
use tokio::time::{Instant, sleep_until};

use super::console::{HANDFUL, clock};
use super::live::{Live, Told};
use super::player::Player;
use crate::failure::Failure;
use crate::show;

/// How long what is true may take to be told.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long answers and first samples of machines, which come once a second, are waited for after that.
const SETTLING: Duration = Duration::from_millis(1300);

/// What a frame is printed as.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Format {
    /// Characters alone
    Text,
    /// Characters with the terminal's colours
    Ansi,
    /// What is known, as one object
    Json,
    /// A picture
    Svg,
}

/// Columns and rows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Size {
    pub(super) columns: u16,
    pub(super) rows: u16,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size = text.split_once('x').and_then(|(columns, rows)| {
            Some(Self { columns: columns.parse().ok()?, rows: rows.parse().ok()? })
        });
        size.filter(|size| (1..=1000).contains(&size.columns) && (1..=1000).contains(&size.rows))
            .ok_or_else(|| "expected COLUMNSxROWS, such as 120x36, each from 1 to 1000".to_owned())
    }
}

/// Takes what is true of a farm that lives, what the view asks for, and the samples that come by themselves.
pub(super) async fn settle(app: &mut App, live: &mut Live, told: &mut Told) -> Result<(), Failure> {
    let mut until = Instant::now() + PATIENCE;
    let mut is_told = false;
    loop {
        for effect in app.tick(clock()) {
            live.perform(effect);
        }
        tokio::select! {
            heard = told.events.recv() => match heard {
                Some(Heard::Events(events)) => {
                    if !is_told && events.iter().any(|event| event.event == FarmEvent::CaughtUp) {
                        (is_told, until) = (true, Instant::now() + SETTLING);
                    }
                    for event in &events {
                        app.event(event);
                    }
                }
                Some(Heard::Lost { error }) => return Err(Failure::environment(error)),
                None => return Err(Failure::environment("the coordinator went away")),
            },
            Some(answer) = told.answers.recv() => {
                for effect in app.answer(&answer, clock()) {
                    live.perform(effect);
                }
            }
            () = sleep_until(until) => {
                return if is_told {
                    Ok(())
                } else {
                    Err(Failure::environment("the coordinator does not tell how the farm is"))
                };
            }
        }
    }
}

/// Takes all of a recording.
pub(super) fn play(app: &mut App, player: &mut Player) -> Result<(), Failure> {
    player.go_to_end();
    let unreadable = |error| Failure::environment(format!("cannot read the recording: {error}"));
    loop {
        let due = player.due(HANDFUL).map_err(unreadable)?;
        if due.is_empty() {
            break;
        }
        for event in &due {
            app.event(event);
        }
    }
    app.over();
    Ok(())
}

/// Prints the frame at a time.
pub(super) fn print(app: &mut App, format: Format, size: Size, now: Option<i64>) -> Result<(), Failure> {
    let now = now.unwrap_or_else(clock);
    if format == Format::Json {
        return show::bytes(format!("{}\n", export::json(app.farm(), now)).as_bytes());
    }
    let frame = app.draw(area(size.columns, size.rows), now);
    let text = match format {
        Format::Ansi => export::ansi(&frame),
        Format::Svg => export::svg(&frame, &Paper::default()),
        Format::Text | Format::Json => export::text(&frame),
    };
    show::bytes(text.as_bytes())
}
