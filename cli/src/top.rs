//! `farm top`: a console over the live events of a farm, or over a recording.

mod answers;
mod console;
mod live;
mod once;
mod player;
mod stream;
mod tape;
mod terminal;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use farm_client::Client;
use farm_model::BuildId;
use farm_transport::Role;
use farm_tui::app::{Access, App, Keymap, View};
use farm_tui::view::glyphs::GlyphSet;
use farm_tui::view::theme::{Depth, ThemeName};

use crate::builds;
use crate::connection::{self, Options};
use crate::failure::Failure;
use crate::interrupt::Interrupts;
use crate::paths;
use console::{Console, Source};
use live::Live;
use once::Format;
use player::Player;
use tape::{Recorder, Tape};
use terminal::{Mouse, Terminal};

/// Arguments of `farm top`.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line by itself")]
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(crate) struct Arguments {
    /// Play a recording, or the log of a build, in place of watching a farm
    #[arg(long, value_name = "FILE|BUILD", conflicts_with = "record")]
    replay: Option<String>,

    /// Write what is watched to a file that `--replay` reads
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Print one frame and end; of a recording its last one
    #[arg(long)]
    once: bool,

    /// What the frame is printed as
    #[arg(long, value_name = "FORMAT", requires = "once", default_value = "text")]
    format: Format,

    /// Columns and rows of the frame
    #[arg(long, value_name = "COLUMNSxROWS", requires = "once", default_value = "120x36")]
    size: once::Size,

    /// Which view to begin with
    #[arg(long, value_name = "VIEW")]
    view: Option<String>,

    /// The build that views of one build show
    #[arg(long, value_name = "BUILD")]
    build: Option<String>,

    /// Colours: dark, light, safe (for eyes that do not tell red from green), 16 or mono [default: as the last time; mono
    /// with `NO_COLOR`]
    #[arg(long, value_name = "THEME")]
    theme: Option<String>,

    /// Draw with ASCII characters alone
    #[arg(long)]
    ascii: bool,

    /// Leave the mouse to the terminal, so that it selects text
    #[arg(long)]
    no_mouse: bool,

    /// Only look, whatever the certificate allows
    #[arg(long)]
    read_only: bool,

    #[command(flatten)]
    connection: Options,
}

const NOTES: &str = "\
Keys: `?` shows those of the view, `:` finds every command by name, `/` filters, `q` ends.
What is shown, sorted and filtered is remembered in `top.conf` beside farm.toml. A file `top.keys` there gives keys another
meaning, a line `KEY = COMMAND` each; `?` names the commands.";

/// Runs the command.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    crate::block_on(tokio::task::LocalSet::new().run_until(watch(arguments)))
}

async fn watch(arguments: Arguments) -> Result<(), Failure> {
    if !arguments.once && !std::io::stdout().is_terminal() {
        return Err(Failure::usage("standard output is no terminal")
            .with_hint(Some("`farm top --once` prints one frame, as text, JSON or SVG")));
    }
    let settings = paths::user_configuration().map(|directory| directory.join("top.conf"));
    let remembered = settings.as_deref().and_then(|path| std::fs::read_to_string(path).ok());
    let view = arguments
        .view
        .as_deref()
        .map(|name| View::named(name).ok_or_else(|| unknown("view", name, &View::ALL.map(View::name))));
    let view = view.transpose()?;
    let (mut source, build, access) = source(&arguments).await?;
    let mut app = app(&arguments, access, remembered)?;
    if let Some(view) = view.or(build.map(|_| View::Stages)) {
        app.open(view, build, console::clock());
    }
    if arguments.once {
        let now = match &mut source {
            Source::Live { live, told, .. } => {
                once::settle(&mut app, live, told).await?;
                None
            }
            Source::Played(player) => {
                once::play(&mut app, player)?;
                Some(player.position().at)
            }
        };
        return once::print(&mut app, arguments.format, arguments.size, now);
    }
    let interrupts = Interrupts::listen()
        .map_err(|error| Failure::environment(format!("cannot listen for signals: {error}")))?;
    let mouse = if arguments.no_mouse { Mouse::Left } else { Mouse::Taken };
    let terminal = Terminal::take(mouse)
        .map_err(|error| Failure::environment(format!("cannot take the terminal over: {error}")))?;
    Console { app, source, terminal, settings, pictures: 0 }.run(interrupts).await
}

/// Where the events come from, the build that is looked at, and what the person may do.
async fn source(arguments: &Arguments) -> Result<(Source, Option<BuildId>, Access), Failure> {
    let recorded = || Access::ReadOnly { reason: "a recording cannot be changed".to_owned() };
    match &arguments.replay {
        Some(replay) if Path::new(replay).is_file() => {
            let build = arguments.build.as_deref().map(str::parse::<BuildId>);
            let build = build.transpose().map_err(|error| Failure::usage(error.to_string()))?;
            let tape = Tape::open(Path::new(replay))?;
            Ok((Source::Played(Player::new(tape, Instant::now())), build, recorded()))
        }
        Some(replay) => {
            let client = connection::connect(&arguments.connection).await?;
            let Some(build) = builds::named(&client, replay).await? else {
                return Err(Failure::usage(format!("`{replay}` is neither a file nor a build"))
                    .with_hint(Some("`farm builds list` shows what there is")));
            };
            let tape = tape_of_build(&client, build).await?;
            Ok((Source::Played(Player::new(tape, Instant::now())), Some(build), recorded()))
        }
        None => {
            let recorder = arguments.record.as_deref().map(|path| {
                Recorder::create(path).map_err(|error| {
                    Failure::environment(format!("cannot write `{}`: {error}", path.display()))
                })
            });
            let recorder = recorder.transpose()?;
            let (client, role) = connection::connect_to_watch(&arguments.connection).await?;
            let access = match role {
                _ if arguments.read_only => Access::ReadOnly { reason: "`--read-only` was given".to_owned() },
                Role::Client => Access::Full,
                Role::Viewer | Role::Worker | Role::Coordinator => {
                    Access::ReadOnly { reason: format!("the certificate is one of a {role}") }
                }
            };
            let build = match &arguments.build {
                None => None,
                Some(text) => Some(builds::named(&client, text).await?.ok_or_else(|| {
                    Failure::usage(format!("there is no build `{text}`"))
                        .with_hint(Some("`farm builds list` shows what there is"))
                })?),
            };
            let (live, told) = Live::watch(arguments.connection.clone(), client);
            Ok((Source::Live { live, told, recorder }, build, access))
        }
    }
}

/// The log of a build, whole or as far as it has come.
async fn tape_of_build(client: &Client, build: BuildId) -> Result<Tape, Failure> {
    let mut events = Vec::new();
    builds::replay(client, build, |recorded| events.push(recorded)).await?;
    Tape::of_build(build, &events, &crate::version::of_this_binary())
}

/// A console as the command line and the user's files want it.
fn app(arguments: &Arguments, access: Access, remembered: Option<String>) -> Result<App, Failure> {
    let theme = match &arguments.theme {
        Some(name) => Some(
            ThemeName::named(name)
                .ok_or_else(|| unknown("theme", name, &ThemeName::ALL.map(ThemeName::name)))?,
        ),
        None if no_colour() => Some(ThemeName::Mono),
        None => None,
    };
    Ok(App::new(farm_tui::app::Options {
        theme,
        depth: depth(),
        glyphs: (arguments.ascii || !is_utf8()).then_some(GlyphSet::Ascii),
        access,
        keymap: keymap()?,
        settings: remembered,
        label: label(arguments),
        replay: arguments.replay.is_some(),
    }))
}

/// What the console is attached to, in words.
fn label(arguments: &Arguments) -> String {
    match (&arguments.replay, &arguments.connection.coordinator) {
        (Some(replay), _) => format!("replay of {replay}"),
        (None, Some(coordinator)) => coordinator.clone(),
        (None, None) => "daemon".to_owned(),
    }
}

/// The keys that the user gave another meaning.
fn keymap() -> Result<Keymap, Failure> {
    let Some(path) = paths::user_configuration().map(|directory| directory.join("top.keys")) else {
        return Ok(Keymap::default());
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            Keymap::parse(&text).map_err(|error| Failure::usage(format!("`{}`: {error}", path.display())))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Keymap::default()),
        Err(error) => Err(Failure::environment(format!("cannot read `{}`: {error}", path.display()))),
    }
}

fn unknown(what: &str, name: &str, known: &[&str]) -> Failure {
    Failure::usage(format!("there is no {what} `{name}`"))
        .with_hint(Some(format!("there are: {}", known.join(", "))))
}

fn no_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// How many colours the terminal says that it has.
fn depth() -> Depth {
    match std::env::var("COLORTERM").as_deref() {
        Ok("truecolor" | "24bit") => Depth::True,
        Ok(_) | Err(_) => Depth::Indexed,
    }
}

/// Whether the locale, as the first of these variables that is set has it, is one of UTF-8.
fn is_utf8() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    locale.is_none_or(|locale| locale.to_ascii_lowercase().replace('-', "").contains("utf8"))
}
