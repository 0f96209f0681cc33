//! One reason in words.

use farm_model::StepId;
use farm_model::event::{Change, MissReason};

/// What to say of a reason; `step_name` gives the words for another step of the same build.
pub(crate) fn sentence(reason: &MissReason, step_name: impl Fn(StepId) -> String) -> String {
    match reason {
        MissReason::New => "no step like it was done here before".to_owned(),
        MissReason::Disabled => "the cache was not to be used".to_owned(),
        MissReason::Lost => "its result is known, but the bytes of it are gone".to_owned(),
        MissReason::Instruction { before, after } => {
            format!("the instruction changed\n  from  {}\n  to    {}", one_line(before), one_line(after))
        }
        MissReason::Variable { name, change } => {
            let how = match change {
                Change::Added => "is new",
                Change::Removed => "is gone",
                Change::Modified => "has another value",
            };
            format!("the variable {name} {how}")
        }
        MissReason::Files { origin, first, change, changed, total } => {
            let more = match changed {
                0 | 1 => format!("1 of {}", count(*total, "file")),
                more => format!("the first of {more} that differ, of {}", count(*total, "file")),
            };
            format!("{origin}: {first} {} ({more})", how(*change))
        }
        MissReason::Parent { step: Some(step), first } => {
            let first = first.as_ref().map(|path| format!(", first at {path}")).unwrap_or_default();
            format!("it stands on `{}`, which left something else{first}", one_line(&step_name(*step)))
        }
        MissReason::Parent { step: None, first } => {
            let first = first.as_ref().map(|path| format!(", first at {path}")).unwrap_or_default();
            format!("what its stage starts from is another{first}")
        }
        MissReason::Base { image, before, after } => {
            let show = |digest: &Option<farm_model::OciDigest>| {
                digest.map_or_else(|| "unknown".to_owned(), |digest| digest.to_string())
            };
            format!("the base {image} moved\n  from  {}\n  to    {}", show(before), show(after))
        }
        MissReason::Setting { name, before, after } => match (before.as_str(), after.as_str()) {
            ("", after) => format!("{name} is new: {}", one_line(after)),
            (before, "") => format!("{name} is gone: {}", one_line(before)),
            (before, after) => {
                format!("{name} changed\n  from  {}\n  to    {}", one_line(before), one_line(after))
            }
        },
    }
}

fn how(change: Change) -> &'static str {
    match change {
        Change::Added => "was added",
        Change::Removed => "was removed",
        Change::Modified => "changed",
    }
}

fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// The first line, without what a terminal would act on.
pub(super) fn one_line(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    first.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_named_with_how_many_there_are() {
        let reason = MissReason::Files {
            origin: "context".to_owned(),
            first: "src/a.go".to_owned(),
            change: Change::Modified,
            changed: 1,
            total: 4113,
        };
        assert_eq!(sentence(&reason, |_| String::new()), "context: src/a.go changed (1 of 4113 files)");
    }

    #[test]
    fn control_characters_of_a_dockerfile_do_not_reach_the_terminal() {
        let reason = MissReason::Setting {
            name: "user".to_owned(),
            before: String::new(),
            after: "\u{1b}[2J".to_owned(),
        };
        assert_eq!(sentence(&reason, |_| String::new()), "user is new: \u{fffd}[2J");
    }
}
