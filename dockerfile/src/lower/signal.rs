//! `STOPSIGNAL`: the names of Linux signals.

use crate::diagnostic::{Error, Span};

const NAMES: [&str; 37] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX", "UNUSED",
];

/// Checks a signal's name, with or without `SIG`, or its number.
pub(super) fn check(text: &str, span: Span) -> Result<(), Error> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let known = match text.parse::<i64>() {
        Ok(number) => number != 0,
        Err(_) => NAMES.contains(&name) || is_real_time(name),
    };
    if known {
        return Ok(());
    }
    let error = Error::new(span, format!("invalid signal: {text}"));
    Err(crate::instruction::suggest(error, name, NAMES, "give a name such as `SIGTERM`, or a number"))
}

fn is_real_time(name: &str) -> bool {
    let offset = |prefix| name.strip_prefix(prefix).and_then(|rest: &str| rest.parse::<u32>().ok());
    offset("RTMIN+").is_some_and(|n| (1..=15).contains(&n))
        || offset("RTMAX-").is_some_and(|n| (1..=14).contains(&n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_name_and_number() {
        for text in ["SIGTERM", "term", "9", "SIGRTMIN+3", "RTMAX-14"] {
            assert!(check(text, Span::at(1, 1)).is_ok(), "{text}");
        }
        for text in ["0", "SIGNOTHING", "", "RTMIN+16"] {
            assert!(check(text, Span::at(1, 1)).is_err(), "{text}");
        }
    }
}
