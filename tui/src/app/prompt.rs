//! A line that is typed.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use unicode_width::UnicodeWidthStr;

use crate::state::text::harmless;

/// Characters that a line may have.
const LONGEST: usize = 500;

/// What a key did to the line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Typed {
    /// It is another text.
    Changed,
    /// The cursor moved, or nothing happened.
    Same,
    /// It is done.
    Accepted,
    /// It is not wanted.
    Cancelled,
    /// What was typed before is wanted.
    Older,
    /// What was typed after it.
    Newer,
    /// The next thing that it could become.
    Complete,
    /// The one before.
    CompleteBack,
}

/// A line with a cursor.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Prompt {
    text: String,
    /// In bytes, at the start of a character or at the end.
    cursor: usize,
}

impl Prompt {
    /// A line that has a text already, the cursor at its end.
    pub fn with(text: &str) -> Self {
        Self { text: text.to_owned(), cursor: text.len() }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The cells before the cursor.
    pub fn cursor(&self) -> usize {
        self.text[..self.cursor].width()
    }

    /// Puts in a text, as when it is pasted.
    pub fn insert(&mut self, text: &str) {
        let room = LONGEST.saturating_sub(self.text.chars().count());
        let text: String = harmless(text).chars().take(room).collect();
        self.text.insert_str(self.cursor, &text);
        self.cursor += text.len();
    }

    /// Takes a key.
    pub fn key(&mut self, key: &KeyEvent) -> Typed {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if let KeyCode::Char(c) = key.code {
            return if control { self.control(c) } else { self.typed(c) };
        }
        let code = key.code;
        if code == KeyCode::Backspace {
            self.cut(self.before()..self.cursor)
        } else if code == KeyCode::Delete {
            self.cut(self.cursor..self.after())
        } else if code == KeyCode::Left {
            self.to(self.before())
        } else if code == KeyCode::Right {
            self.to(self.after())
        } else if code == KeyCode::Home {
            self.to(0)
        } else if code == KeyCode::End {
            self.to(self.text.len())
        } else {
            let keys = [
                (KeyCode::Enter, Typed::Accepted),
                (KeyCode::Esc, Typed::Cancelled),
                (KeyCode::Up, Typed::Older),
                (KeyCode::Down, Typed::Newer),
                (KeyCode::Tab, Typed::Complete),
                (KeyCode::BackTab, Typed::CompleteBack),
            ];
            keys.iter().find(|(known, _)| *known == code).map_or(Typed::Same, |(_, typed)| *typed)
        }
    }

    fn control(&mut self, c: char) -> Typed {
        match c.to_ascii_lowercase() {
            'c' | 'g' => Typed::Cancelled,
            'u' => self.cut(0..self.cursor),
            'k' => self.cut(self.cursor..self.text.len()),
            'w' => {
                let head = self.text[..self.cursor].trim_end();
                let start = head.rfind(char::is_whitespace).map_or(0, |at| at + 1);
                let start = (start..=self.cursor).find(|at| self.text.is_char_boundary(*at)).unwrap_or(0);
                self.cut(start..self.cursor)
            }
            'a' => self.to(0),
            'e' => self.to(self.text.len()),
            'p' => Typed::Older,
            'n' => Typed::Newer,
            _ => Typed::Same,
        }
    }

    fn typed(&mut self, c: char) -> Typed {
        self.insert(c.encode_utf8(&mut [0; 4]));
        Typed::Changed
    }

    fn cut(&mut self, range: std::ops::Range<usize>) -> Typed {
        // Backspace in an empty line closes it.
        if self.text.is_empty() {
            return Typed::Cancelled;
        }
        self.cursor = range.start;
        self.text.replace_range(range, "");
        Typed::Changed
    }

    fn to(&mut self, cursor: usize) -> Typed {
        self.cursor = cursor;
        Typed::Same
    }

    fn before(&self) -> usize {
        self.text[..self.cursor].char_indices().next_back().map_or(0, |(at, _)| at)
    }

    fn after(&self) -> usize {
        self.text[self.cursor..].chars().next().map_or(self.cursor, |c| self.cursor + c.len_utf8())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(prompt: &mut Prompt, code: KeyCode, modifiers: KeyModifiers) -> Typed {
        prompt.key(&KeyEvent::new(code, modifiers))
    }

    #[test]
    fn a_line_is_edited_by_characters() {
        let (mut prompt, none) = (Prompt::default(), KeyModifiers::NONE);
        prompt.insert("aé漢\x1b");
        assert_eq!((prompt.text(), prompt.cursor()), ("aé漢 ", 5));
        press(&mut prompt, KeyCode::Left, none);
        press(&mut prompt, KeyCode::Backspace, none);
        press(&mut prompt, KeyCode::Home, none);
        press(&mut prompt, KeyCode::Delete, none);
        assert_eq!((prompt.text(), prompt.cursor()), ("é ", 0));
        press(&mut prompt, KeyCode::Char('e'), KeyModifiers::CONTROL);
        press(&mut prompt, KeyCode::Char('w'), KeyModifiers::CONTROL);
        assert_eq!(prompt.text(), "");
        assert_eq!(press(&mut prompt, KeyCode::Backspace, none), Typed::Cancelled);
        assert_eq!(press(&mut prompt, KeyCode::Up, none), Typed::Older);
    }

    #[test]
    fn a_line_has_an_end() {
        let mut prompt = Prompt::default();
        prompt.insert(&"x".repeat(100_000));
        assert_eq!(prompt.text().len(), LONGEST);
    }
}
