//! Which key does what. Lines of a file take the place of what the table of commands says: `ctrl+x = cancel`,
//! `log: w = wrap` for one view, `q = none` for a key that is to do nothing.

use std::fmt;
use std::str::FromStr;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::action::{COMMANDS, Command, Scope};
use super::place::View;

/// Why a line of a keymap cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct KeymapError {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: Mistake,
}

/// What can be wrong with a line.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Mistake {
    /// It has not the form of a binding.
    #[error("expected `key = command` or `view: key = command`")]
    Form,
    /// It names a view that there is not.
    #[error("no view is called `{0}`")]
    View(String),
    /// It names a key that there is not.
    #[error("`{0}` is no key")]
    Key(String),
    /// It names a command that there is not.
    #[error("no command is called `{0}`")]
    Command(String),
}

/// A key with what is held down with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Key {
    code: KeyCode,
    modifiers: KeyModifiers,
}

impl Key {
    /// The key of an event. Shift is part of a character already.
    pub fn of(event: &KeyEvent) -> Self {
        let held = KeyModifiers::CONTROL | KeyModifiers::ALT;
        let modifiers = event.modifiers & held;
        // Terminals send control and a letter as the letter in either case.
        if let KeyCode::Char(c) = event.code
            && modifiers.contains(KeyModifiers::CONTROL)
        {
            return Self { code: KeyCode::Char(c.to_ascii_lowercase()), modifiers };
        }
        Self { code: event.code, modifiers }
    }

    /// The character that it types, if it does.
    pub fn types(self) -> Option<char> {
        if let (KeyCode::Char(c), true) = (self.code, self.modifiers.is_empty()) { Some(c) } else { None }
    }
}

const NAMED: [(&str, KeyCode); 16] = [
    ("space", KeyCode::Char(' ')),
    ("enter", KeyCode::Enter),
    ("esc", KeyCode::Esc),
    ("tab", KeyCode::Tab),
    ("backtab", KeyCode::BackTab),
    ("backspace", KeyCode::Backspace),
    ("delete", KeyCode::Delete),
    ("insert", KeyCode::Insert),
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
    ("pageup", KeyCode::PageUp),
    ("pagedown", KeyCode::PageDown),
];

impl FromStr for Key {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        let wrong = || Mistake::Key(text.to_owned());
        let (mut rest, mut modifiers) = (text, KeyModifiers::empty());
        for (prefix, held) in [("ctrl+", KeyModifiers::CONTROL), ("alt+", KeyModifiers::ALT)] {
            if let Some(after) = rest.strip_prefix(prefix) {
                (rest, modifiers) = (after, modifiers | held);
            }
        }
        let mut chars = rest.chars();
        let code = match (chars.next(), chars.as_str()) {
            (Some(c), "") if !c.is_control() && !c.is_whitespace() => KeyCode::Char(c),
            (Some('F'), number) => match number.parse() {
                Ok(number @ 1..=24) => KeyCode::F(number),
                Ok(_) | Err(_) => return Err(wrong()),
            },
            _ => NAMED.iter().find(|(name, _)| *name == rest).map(|(_, code)| *code).ok_or_else(wrong)?,
        };
        Ok(Self { code, modifiers })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (held, prefix) in [(KeyModifiers::CONTROL, "ctrl+"), (KeyModifiers::ALT, "alt+")] {
            if self.modifiers.contains(held) {
                f.write_str(prefix)?;
            }
        }
        match (NAMED.iter().find(|(_, code)| *code == self.code), self.code) {
            (Some((name, _)), _) => f.write_str(name),
            (None, KeyCode::Char(c)) => write!(f, "{c}"),
            (None, KeyCode::F(number)) => write!(f, "F{number}"),
            (None, _) => f.write_str("?"),
        }
    }
}

/// Which key does what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Keymap {
    own: Vec<(Option<View>, Key, Option<&'static Command>)>,
}

impl Keymap {
    /// Reads a keymap; `#` begins a line that says nothing.
    pub fn parse(text: &str) -> Result<Self, KeymapError> {
        let mut own = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                own.push(binding(line).map_err(|what| KeymapError { line: number + 1, what })?);
            }
        }
        Ok(Self { own })
    }

    /// What a key does in a view.
    pub fn command(&self, view: View, replay: bool, key: Key) -> Option<&'static Command> {
        let own = |wanted: Option<View>| {
            self.own.iter().rev().find(move |(view, bound, _)| *bound == key && *view == wanted)
        };
        if let Some((_, _, command)) = own(Some(view)).or_else(|| own(None)) {
            return *command;
        }
        let bound = |command: &&Command| command.keys.iter().any(|name| name.parse() == Ok(key));
        let local =
            |command: &&Command| command.scope != Scope::Everywhere && command.scope.holds(view, replay);
        let global = |command: &&Command| command.scope == Scope::Everywhere;
        let mut all = COMMANDS.iter().filter(bound);
        all.clone().find(local).or_else(|| all.find(global))
    }

    /// The keys that do a command in a view.
    pub fn keys(&self, view: View, replay: bool, command: &Command) -> Vec<Key> {
        let own = self.own.iter().filter(|(_, _, own)| own.is_some_and(|own| own.name == command.name));
        let own = own.map(|(_, key, _)| *key);
        let mut keys: Vec<Key> = Vec::new();
        for key in own.chain(command.keys.iter().filter_map(|name| name.parse().ok())) {
            let found = self.command(view, replay, key);
            if !keys.contains(&key) && found.is_some_and(|found| found.name == command.name) {
                keys.push(key);
            }
        }
        keys
    }
}

fn binding(line: &str) -> Result<(Option<View>, Key, Option<&'static Command>), Mistake> {
    // The key itself may be `=` or `:`.
    let (left, name) = line.rsplit_once('=').ok_or(Mistake::Form)?;
    let (left, name) = (left.trim(), name.trim());
    let (view, key) = match left.split_once(": ") {
        Some((view, key)) => {
            (Some(View::named(view.trim()).ok_or_else(|| Mistake::View(view.trim().to_owned()))?), key.trim())
        }
        None => (None, left),
    };
    if key.is_empty() || name.is_empty() {
        return Err(Mistake::Form);
    }
    let command = if name == "none" {
        None
    } else {
        let found = COMMANDS.iter().find(|command| command.name == name);
        Some(found.ok_or_else(|| Mistake::Command(name.to_owned()))?)
    };
    Ok((view, key.parse()?, command))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(keymap: &Keymap, view: View, key: &str) -> Option<&'static str> {
        keymap.command(view, false, key.parse().unwrap()).map(|command| command.name)
    }

    #[test]
    fn every_key_of_the_table_is_one_and_is_written_as_it_is_read() {
        for key in COMMANDS.iter().flat_map(|command| command.keys) {
            assert_eq!(key.parse::<Key>().map(|key| key.to_string()), Ok((*key).to_owned()));
        }
    }

    #[test]
    fn own_keys_come_first() {
        let keymap = Keymap::parse("# mine\nctrl+x = cancel\nlog: w = quit\nq = none\n= = help\n").unwrap();
        assert_eq!(name(&keymap, View::Overview, "ctrl+x"), Some("cancel"));
        assert_eq!(name(&keymap, View::Log, "w"), Some("quit"));
        assert_eq!(name(&keymap, View::Images, "w"), Some("waste"));
        assert_eq!(name(&keymap, View::Overview, "q"), None);
        assert_eq!(name(&keymap, View::Overview, "="), Some("help"));
        let quit = COMMANDS.iter().find(|command| command.name == "quit").unwrap();
        let keys: Vec<String> = keymap.keys(View::Log, false, quit).iter().map(Key::to_string).collect();
        assert_eq!(keys, ["w", "ctrl+c"]);
    }

    #[test]
    fn mistakes_name_their_line() {
        let wrong = |text| Keymap::parse(text).unwrap_err().to_string();
        assert_eq!(wrong("q = quit\nx"), "line 2: expected `key = command` or `view: key = command`");
        assert_eq!(wrong("foo = quit"), "line 1: `foo` is no key");
        assert_eq!(wrong("q = leave"), "line 1: no command is called `leave`");
        assert_eq!(wrong("lgo: q = quit"), "line 1: no view is called `lgo`");
    }
}
