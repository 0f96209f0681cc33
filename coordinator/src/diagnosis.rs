//! A failure as the user sees it: what failed, the place in the Dockerfile, the way out.

use std::fmt::Write as _;

use farm_model::causes;
use farm_model::event::{Blame, Ending, Failure};
use farm_proto::client::Refusal;

use crate::Error;

/// Lines shown around those of a step that failed.
const AROUND: u32 = 2;
/// Longer steps are cut in the middle: a script of a thousand lines says nothing more than its ends.
const MOST_LINES: u32 = 12;

/// How a build ends with `error`, for a Dockerfile called `name` with the bytes `source`.
pub(crate) fn ending(error: &Error, name: &str, source: &[u8]) -> Ending {
    let source = String::from_utf8_lossy(source);
    match (error, error.cause()) {
        (Error::Dockerfile(diagnostic), _) => {
            let message = diagnostic.render(name, &source);
            // The rendered diagnostic has its hint in its place.
            Ending::Failed(Failure { blame: Blame::Usage, message, hint: None })
        }
        (_, Error::Cancelled) => Ending::Cancelled,
        (_, Error::ClientGone) => Ending::Interrupted,
        _ => Ending::Failed(Failure {
            blame: error.blame(),
            message: message(error, name, &source),
            hint: error.hint(),
        }),
    }
}

/// Why a request is not met.
pub(crate) fn refusal(error: &Error) -> Refusal {
    Refusal { blame: error.blame(), message: causes(error), hint: error.hint() }
}

fn message(error: &Error, name: &str, source: &str) -> String {
    let Some((step, lines)) = error.step() else { return causes(error) };
    let place = lines.map(|lines| place(name, source, lines)).unwrap_or_default();
    format!("step `{}` failed: {}{place}", first_line(step), causes(error))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
/// The lines of a step with some around them, marked.
fn place(name: &str, source: &str, (first, last): (u32, u32)) -> String {
    let mut text = format!("\n  --> {name}:{first}\n");
    let range = first.saturating_sub(AROUND).max(1)..=last.saturating_add(AROUND);
    let cut =
        (last.saturating_sub(first) > MOST_LINES).then(|| first + MOST_LINES / 2..=last - MOST_LINES / 2);
    for (number, line) in (1_u32..).zip(source.lines()).filter(|(number, _)| range.contains(number)) {
        if let Some(cut) = cut.as_ref().filter(|cut| cut.contains(&number)) {
            if number == *cut.start() {
                text.push_str("     | >>> ...\n");
            }
            continue;
        }
        let mark = if (first..=last).contains(&number) { ">>>" } else { "   " };
        let _infallible = writeln!(text, "{number:4} | {mark} {line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_step_are_marked() {
        let text = place("Dockerfile", "FROM a\nRUN \\\n  b\nRUN c\nRUN d\nRUN e\n", (2, 3));
        let wanted = "\n  --> Dockerfile:2\n   1 |     FROM a\n   2 | >>> RUN \\\n   3 | >>>   b\n   4 |     RUN c\n   5 |     RUN d\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_long_script_is_cut_in_the_middle() {
        let source = (1..=1000).map(|line| format!("line {line}")).collect::<Vec<_>>().join("\n");
        let text = place("Dockerfile", &source, (1, 1000));
        assert!(text.lines().count() < 20, "{text}");
        assert!(text.contains("line 6\n     | >>> ...\n") && text.contains("line 1000"), "{text}");
    }
}
