//! The page about the console lists the keys that there are; with `FARM_BLESS=1` the list is written anew.

use std::fmt::Write as _;
use std::path::Path;

use farm_tui::app::action::{COMMANDS, Scope};

const START: &str = "<!-- keys -->\n";
const END: &str = "<!-- end of keys -->";

fn table() -> String {
    let mut text = "| command | keys | where | |\n|---|---|---|---|\n".to_owned();
    for command in COMMANDS {
        let keys: Vec<String> = command
            .keys
            .iter()
            .map(|key| if *key == "\\" { "`` \\ ``".to_owned() } else { format!("`{key}`") })
            .collect();
        let place = match command.scope {
            Scope::Everywhere => "everywhere".to_owned(),
            Scope::In(views) => views.iter().map(|view| view.name()).collect::<Vec<_>>().join(", "),
            Scope::Replay => "recordings".to_owned(),
        };
        writeln!(text, "| `{}` | {} | {place} | {} |", command.name, keys.join(" "), command.help).unwrap();
    }
    text
}

#[test]
fn the_page_lists_every_key() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/console.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = page.split_once(START).unwrap();
    let (listed, after) = rest.split_once(END).unwrap();
    if std::env::var_os("FARM_BLESS").is_some() {
        std::fs::write(&file, format!("{before}{START}{}{END}{after}", table())).unwrap();
    } else {
        assert_eq!(listed, table());
    }
}
