//! `--chmod`: octal and symbolic modes, as `chmod(1)` takes them.
//!
//! Symbolic clauses without a class mean everybody; there is no umask.

use crate::error::Error;

/// A parsed `--chmod`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ModeChange {
    /// All bits at once.
    Set(u16),
    /// Changes of single bits, one after another.
    Edit(Vec<Clause>),
}

/// One change of a symbolic mode: whom, how and what.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Clause {
    /// The bits of the classes that are named, with their set-id bit.
    who: u16,
    action: Action,
    bits: Bits,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Action {
    Add,
    Remove,
    Assign,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Bits {
    /// As they are, with `X` apart.
    Given { bits: u16, search: bool },
    /// The permissions of a class, shifted down.
    CopyOf { shift: u16 },
}

const USER: u16 = 0o4700;
const GROUP: u16 = 0o2070;
const OTHERS: u16 = 0o1007;
const EXECUTE: u16 = 0o111;

impl ModeChange {
    /// Reads an octal number up to 07777 or a symbolic mode.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let invalid = || Error::InvalidMode(text.to_owned());
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let mode = u16::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
            return mode.map(Self::Set).ok_or_else(invalid);
        }
        let mut clauses = Vec::new();
        for list in text.split(',') {
            clauses.extend(parse_list(list.as_bytes()).ok_or_else(invalid)?);
        }
        Ok(Self::Edit(clauses))
    }

    /// The mode that a file or directory with `mode` gets.
    pub fn apply(&self, mode: u16, is_directory: bool) -> u16 {
        match self {
            Self::Set(mode) => *mode,
            Self::Edit(clauses) => clauses.iter().fold(mode, |mode, clause| clause.apply(mode, is_directory)),
        }
    }

    /// The mode of directories that a copy has to make on its way: an octal mode holds for them too.
    pub fn for_made_directories(change: Option<&Self>) -> u16 {
        match change {
            Some(Self::Set(mode)) => *mode,
            Some(Self::Edit(_)) | None => 0o755,
        }
    }
}

impl Clause {
    fn apply(self, mode: u16, is_directory: bool) -> u16 {
        let bits = match self.bits {
            Bits::Given { bits, search } => {
                bits | if search && (is_directory || mode & EXECUTE != 0) { EXECUTE } else { 0 }
            }
            Bits::CopyOf { shift } => (mode >> shift & 0o7) * EXECUTE,
        } & self.who;
        match self.action {
            Action::Add => mode | bits,
            Action::Remove => mode & !bits,
            // Set-id bits of a directory stay unless they are named, as with coreutils.
            Action::Assign if is_directory => mode & !(self.who & 0o1777) | bits,
            Action::Assign => mode & !self.who | bits,
        }
    }
}

/// `[ugoa]*` and then one or more of `[-+=]` with `[rwxXst]*` or one of `[ugo]`.
fn parse_list(text: &[u8]) -> Option<Vec<Clause>> {
    let named = text.iter().position(|byte| !b"ugoa".contains(byte))?;
    let (named, mut rest) = text.split_at(named);
    let who = named.iter().fold(0, |who, class| {
        who | match class {
            b'u' => USER,
            b'g' => GROUP,
            b'o' => OTHERS,
            _ => USER | GROUP | OTHERS,
        }
    });
    let who = if named.is_empty() { USER | GROUP | OTHERS } else { who };
    let mut clauses = Vec::new();
    while let Some((action, after)) = rest.split_first() {
        let action = match action {
            b'+' => Action::Add,
            b'-' => Action::Remove,
            b'=' => Action::Assign,
            _ => return None,
        };
        let end = after.iter().position(|byte| b"+-=".contains(byte)).unwrap_or(after.len());
        let (bits, next) = after.split_at(end);
        // The sticky bit belongs to no class: it changes whoever is named.
        let sticky = if bits.contains(&b't') { 0o1000 } else { 0 };
        clauses.push(Clause { who: who | sticky, action, bits: parse_bits(bits)? });
        rest = next;
    }
    (!clauses.is_empty()).then_some(clauses)
}

fn parse_bits(text: &[u8]) -> Option<Bits> {
    if let [class @ (b'u' | b'g' | b'o')] = text {
        let shift = match class {
            b'u' => 6,
            b'g' => 3,
            _ => 0,
        };
        return Some(Bits::CopyOf { shift });
    }
    let (mut bits, mut search) = (0, false);
    for byte in text {
        match byte {
            b'r' => bits |= 0o444,
            b'w' => bits |= 0o222,
            b'x' => bits |= 0o111,
            b's' => bits |= 0o6000,
            b't' => bits |= 0o1000,
            b'X' => search = true,
            _ => return None,
        }
    }
    Some(Bits::Given { bits, search })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(change: &str, mode: u16) -> u16 {
        ModeChange::parse(change).unwrap().apply(mode, false)
    }

    fn directory(change: &str, mode: u16) -> u16 {
        ModeChange::parse(change).unwrap().apply(mode, true)
    }

    #[test]
    fn octal_modes_replace_everything() {
        assert_eq!(file("0644", 0o4755), 0o644);
        assert_eq!(file("0", 0o755), 0);
        assert_eq!(directory("7777", 0o700), 0o7777);
    }

    #[test]
    fn symbolic_modes_change_what_they_name() {
        assert_eq!(file("go-w", 0o666), 0o644);
        assert_eq!(file("u=rw,g=r,o=r", 0o666), 0o644);
        assert_eq!(file("+x", 0o644), 0o755);
        assert_eq!(file("u+s,g+s,+t", 0o755), 0o7755);
        assert_eq!(file("g=u", 0o640), 0o660);
        assert_eq!(file("u=rwx-w", 0o000), 0o500);
        assert_eq!(file("a=", 0o7777), 0);
    }

    #[test]
    fn a_capital_x_is_for_directories_and_what_is_executable_already() {
        assert_eq!(file("a+X", 0o666), 0o666);
        assert_eq!(file("a+X", 0o764), 0o775);
        assert_eq!(directory("a+X", 0o124), 0o135);
        assert_eq!(directory("u+rw,g+r,o-x,o+w", 0o124), 0o766);
    }

    #[test]
    fn what_is_no_mode_is_refused() {
        for text in ["", "64a", "10000", "8", "rw", "u", "u+q", "u+r,", "+ug", "99999999999999999999"] {
            let error = ModeChange::parse(text).unwrap_err().to_string();
            assert!(error.contains("chmod"), "{text}: {error}");
        }
    }
}
