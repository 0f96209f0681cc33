//! What `farm build --progress plain` says about its steps: which ran, for how long, and which were cached.
//!
//! Only the workloads' own builds are read, whose steps print nothing that looks like progress.

use std::collections::BTreeMap;
use std::time::Duration;

/// One step as the build showed it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    /// As in `[stage 1/3] RUN …`.
    pub title: String,
    /// How it ended.
    pub end: End,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// An earlier result was used.
    Cached,
    /// It was done, by farm's own clock.
    Done {
        /// From its start to its record.
        took: Duration,
        /// Of it, the command of a RUN.
        command: Option<Duration>,
    },
    /// Nothing was said about it.
    Unknown,
}

/// Reads the steps of a build in the order they were first mentioned.
pub fn steps(text: &str) -> Vec<Step> {
    let mut steps: BTreeMap<u64, Step> = BTreeMap::new();
    for line in text.lines() {
        let Some((number, rest)) = line.strip_prefix('#').and_then(|line| line.split_once(' ')) else {
            continue;
        };
        let Ok(number) = number.parse() else { continue };
        let end = end(rest);
        match steps.get_mut(&number) {
            Some(step) if end != End::Unknown => step.end = end,
            Some(_) => {}
            None if is_border(rest) => {}
            None => {
                steps.insert(number, Step { title: rest.to_owned(), end: End::Unknown });
            }
        }
    }
    steps.into_values().collect()
}

/// Lines about images and contexts, which are no steps.
fn is_border(title: &str) -> bool {
    ["[resolve] ", "[pull] ", "[context] "].iter().any(|prefix| title.starts_with(prefix))
}

fn end(text: &str) -> End {
    if text == "CACHED" {
        return End::Cached;
    }
    let Some(rest) = text.strip_prefix("DONE ") else { return End::Unknown };
    let mut parts = rest.split(", ");
    let took = parts.next().and_then(seconds);
    let command = parts.find_map(|part| part.strip_prefix("command ").and_then(seconds));
    took.map_or(End::Unknown, |took| End::Done { took, command })
}

/// `1.234s`.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.strip_suffix('s')?.split_once('.')?;
    let millis = (fraction.len() == 3).then(|| fraction.parse::<u64>().ok())??;
    Some(Duration::from_secs(whole.parse().ok()?) + Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_with_their_ends() {
        let text = "#1 [resolve] busybox@sha256:00 0.004s\n#2 [0 1/2] RUN a\n#2 said a line\n#3 [0 2/2] RUN b\n#2 DONE 1.012s, 5B, command 1.001s\n#3 CACHED\nwarning: nothing\n";
        let expected = [
            Step {
                title: "[0 1/2] RUN a".to_owned(),
                end: End::Done {
                    took: Duration::from_millis(1012),
                    command: Some(Duration::from_millis(1001)),
                },
            },
            Step { title: "[0 2/2] RUN b".to_owned(), end: End::Cached },
        ];
        assert_eq!(steps(text), expected);
    }

    #[test]
    fn what_is_no_progress_is_passed_over() {
        assert_eq!(steps("#x y\n#\n# 1\nimage sha256:00\n"), []);
    }
}
