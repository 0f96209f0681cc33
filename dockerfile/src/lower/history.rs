//! Texts of the image's history, in the form that `docker history` shows.

use std::fmt::Write as _;
use std::time::Duration;

use farm_model::Healthcheck;

/// `"a" "b"` in brackets, each quoted as Go quotes.
pub(super) fn quoted_list(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("[{}]", quoted.join(" "))
}

/// The words in brackets, as they are.
pub(super) fn plain_list(words: &[String]) -> String {
    format!("[{}]", words.join(" "))
}

/// `HEALTHCHECK`: the test, four times and the number of retries as a character.
pub(super) fn health(check: &Healthcheck) -> String {
    let times = [check.interval, check.timeout, check.start_period, check.start_interval];
    let times: Vec<String> = times.iter().map(|time| quoted(&duration(*time))).collect();
    let retries = char::from_u32(check.retries).unwrap_or('\u{fffd}');
    format!("HEALTHCHECK &{{{} {} {}}}", quoted_list(&check.test), times.join(" "), quoted_char(retries))
}

/// The command of a `RUN`, after the arguments that it saw.
pub(super) fn run(argv: &[String], arguments: &[(String, String)]) -> String {
    let mut text = String::from("RUN ");
    if !arguments.is_empty() {
        let _ = write!(text, "|{} ", arguments.len());
    }
    for (name, value) in arguments {
        let _ = write!(text, "{name}={value} ");
    }
    text.push_str(&argv.join(" "));
    text.push_str(" # buildkit");
    text
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    text.chars().for_each(|c| escape(c, '"', &mut out));
    out.push('"');
    out
}

fn quoted_char(c: char) -> String {
    let mut out = String::from("'");
    escape(c, '\'', &mut out);
    out.push('\'');
    out
}

fn escape(c: char, quote: char, out: &mut String) {
    let short = match c {
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\u{c}' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\u{b}' => 'v',
        c if c == quote || c == '\\' => c,
        c => {
            let code = u32::from(c);
            // Writing to a string cannot fail.
            let _ = match code {
                0..0x20 | 0x7f => write!(out, "\\x{code:02x}"),
                _ if !c.is_control() && c != '\u{feff}' => out.write_char(c),
                0x80..0x1_0000 => write!(out, "\\u{code:04x}"),
                _ => write!(out, "\\U{code:08x}"),
            };
            return;
        }
    };
    out.push('\\');
    out.push(short);
}

/// A duration as Go prints it: `1m30s`, `1.5s`, `500ms`, `0s`.
fn duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let fraction = |unit: u128| {
        let text = format!("{}.{:0width$}", nanos / unit, nanos % unit, width = unit.ilog10() as usize);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match nanos {
        0 => return "0s".to_owned(),
        1..1_000 => return format!("{nanos}ns"),
        1_000..1_000_000 => return format!("{}µs", fraction(1_000)),
        1_000_000..1_000_000_000 => return format!("{}ms", fraction(1_000_000)),
        _ => {}
    }
    let minutes = nanos / 60_000_000_000;
    let seconds = Duration::from_nanos(u64::try_from(nanos % 60_000_000_000).unwrap_or_default());
    let part = format!("{}.{:09}", seconds.as_secs(), seconds.subsec_nanos());
    let part = part.trim_end_matches('0').trim_end_matches('.');
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{part}s"),
        (0, minutes) => format!("{minutes}m{part}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{part}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_print_as_go_prints_them() {
        let print = |nanos| duration(Duration::from_nanos(nanos));
        assert_eq!(print(0), "0s");
        assert_eq!(print(1_500_000), "1.5ms");
        assert_eq!(print(90_000_000_000), "1m30s");
        assert_eq!(print(3_600_000_000_000), "1h0m0s");
        assert_eq!(print(1_500_000_000), "1.5s");
        assert_eq!(print(5_250), "5.25µs");
    }

    #[test]
    fn words_are_quoted_as_go_quotes_them() {
        let words = ["/bin/sh".to_owned(), "a \"b\"\n\\é\u{1}".to_owned()];
        assert_eq!(quoted_list(&words), r#"["/bin/sh" "a \"b\"\n\\é\x01"]"#);
    }

    #[test]
    fn a_health_check_prints_its_times_and_retries() {
        let check = Healthcheck {
            test: vec!["CMD".to_owned(), "x".to_owned()],
            interval: Duration::from_secs(5),
            retries: 3,
            ..Healthcheck::default()
        };
        assert_eq!(health(&check), r#"HEALTHCHECK &{["CMD" "x"] "5s" "0s" "0s" "0s" '\x03'}"#);
    }

    #[test]
    fn a_run_shows_the_arguments_it_saw() {
        let argv = ["/bin/sh".to_owned(), "-c".to_owned(), "echo hi".to_owned()];
        assert_eq!(run(&argv, &[]), "RUN /bin/sh -c echo hi # buildkit");
        let arguments = [("A".to_owned(), "b".to_owned())];
        assert_eq!(run(&argv, &arguments), "RUN |1 A=b /bin/sh -c echo hi # buildkit");
    }
}
