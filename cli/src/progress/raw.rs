//! `--progress rawjson`: an object a line, with the keys of `SolveStatus` as buildx prints it.
//!
//! A vertex is a step; its digest names it within the build and means nothing else. Beside buildx's keys stand those of
//! ours that have no place there: `farm` with the event's name.

use std::collections::BTreeMap;

use farm_model::event::{Ending, PlannedStep, Stream};
use farm_model::{BuildEvent, OciDigest, Recorded, StepId};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// What has been seen so far.
#[derive(Debug, Default)]
pub(super) struct Raw {
    /// Nanoseconds since the Unix epoch at the build's start.
    began: i64,
    build: String,
    vertices: BTreeMap<StepId, Vertex>,
    stages: BTreeMap<farm_model::StageId, Vec<String>>,
    others: u64,
}

#[derive(Clone, Debug, Default)]
struct Vertex {
    digest: String,
    name: String,
    inputs: Vec<String>,
    started: Option<String>,
}

impl Raw {
    /// The lines that `recorded` adds.
    pub(super) fn render(&mut self, recorded: &Recorded) -> String {
        let at = recorded.at;
        match &recorded.event {
            BuildEvent::Requested(requested) => {
                self.began = requested.time;
                self.build = requested.build.to_string();
                String::new()
            }
            BuildEvent::Planned { steps } => self.plan(steps),
            BuildEvent::Started { step, .. } | BuildEvent::Shared { step, .. } => {
                let now = self.time(at);
                if let Some(vertex) = self.vertices.get_mut(step) {
                    vertex.started.get_or_insert(now);
                }
                self.vertex(*step, |_| {})
            }
            BuildEvent::Cached { step, .. } => {
                let now = self.time(at);
                self.vertex(*step, |vertex| {
                    vertex["started"] = json!(now);
                    vertex["completed"] = json!(now);
                    vertex["cached"] = json!(true);
                })
            }
            BuildEvent::Finished { step, .. } => {
                let now = self.time(at);
                self.vertex(*step, |vertex| vertex["completed"] = json!(now))
            }
            BuildEvent::Failed { step, exit } => {
                let now = self.time(at);
                self.vertex(*step, |vertex| {
                    vertex["completed"] = json!(now);
                    vertex["error"] = json!(format!("the command failed: {exit}"));
                })
            }
            BuildEvent::Logged { step, stream, bytes } => {
                let Some(vertex) = self.vertices.get(step) else { return String::new() };
                let stream = match stream {
                    Stream::Stdout => 1,
                    Stream::Stderr => 2,
                };
                let log = json!({
                    "vertex": vertex.digest, "stream": stream, "data": base64(bytes), "timestamp": self.time(at),
                });
                one("logs", &log)
            }
            BuildEvent::Warned { message } => {
                one("warnings", &json!({"level": 1, "short": base64(message.as_bytes())}))
            }
            BuildEvent::ImageResolved { name, micros, .. } => {
                self.other(at, *micros, &format!("[internal] resolve {name}"))
            }
            BuildEvent::LayerPulled { image, micros, .. } => {
                self.other(at, *micros, &format!("[internal] pull a layer of {image}"))
            }
            BuildEvent::ContextScanned { context, micros, .. } => {
                self.other(at, *micros, &format!("[internal] scan {context}"))
            }
            BuildEvent::ContextTaken { context, micros, .. } => {
                self.other(at, *micros, &format!("[internal] load {context}"))
            }
            BuildEvent::Exported { output, micros, .. } => {
                self.other(at, *micros, &format!("exporting {output}"))
            }
            BuildEvent::Ended(Ending::Failed(failure)) => {
                let mut line = json!({"farm": "ended", "error": failure.message}).to_string();
                line.push('\n');
                line
            }
            BuildEvent::Resumed { .. }
            | BuildEvent::Missed { .. }
            | BuildEvent::Queued { .. }
            | BuildEvent::Expected { .. }
            | BuildEvent::Fetched { .. }
            | BuildEvent::Retried { .. }
            | BuildEvent::Completed { .. }
            | BuildEvent::Ended(_) => String::new(),
        }
    }

    fn plan(&mut self, steps: &[PlannedStep]) -> String {
        let mut before: BTreeMap<_, String> = BTreeMap::new();
        let mut out = String::new();
        for step in steps {
            let id = step.id;
            let digest = digest(&format!("{} {} {}", self.build, id.stage.0, id.index));
            let needed = step.needs.iter().filter_map(|stage| self.stages.get(stage)?.last().cloned());
            let inputs = before.get(&id.stage).cloned().into_iter().chain(needed).collect();
            before.insert(id.stage, digest.clone());
            self.stages.entry(id.stage).or_default().push(digest.clone());
            let name = format!("[{}] {}", step.stage, step.name);
            let known = self.vertices.entry(id).or_default();
            (known.digest, known.name, known.inputs) = (digest, name, inputs);
            out.push_str(&self.vertex(id, |_| {}));
        }
        out
    }

    fn vertex(&self, step: StepId, change: impl FnOnce(&mut Value)) -> String {
        let Some(vertex) = self.vertices.get(&step) else { return String::new() };
        let mut value = json!({"digest": vertex.digest, "name": vertex.name});
        if !vertex.inputs.is_empty() {
            value["inputs"] = json!(vertex.inputs);
        }
        if let Some(started) = &vertex.started {
            value["started"] = json!(started);
        }
        change(&mut value);
        one("vertexes", &value)
    }

    /// Something that has an end only.
    fn other(&mut self, at: u64, micros: u64, name: &str) -> String {
        self.others += 1;
        let digest = digest(&format!("{} other {}", self.build, self.others));
        let (started, completed) = (self.time(at.saturating_sub(micros)), self.time(at));
        one("vertexes", &json!({"digest": digest, "name": name, "started": started, "completed": completed}))
    }

    fn time(&self, at: u64) -> String {
        let nanos = i128::from(self.began) + i128::from(at) * 1000;
        jiff::Timestamp::from_nanosecond(nanos).map_or_else(|_| String::new(), |time| format!("{time:.9}"))
    }
}

fn one(kind: &str, value: &Value) -> String {
    format!("{}\n", json!({ kind: [value] }))
}

fn digest(text: &str) -> String {
    OciDigest(Sha256::digest(text.as_bytes()).into()).to_string()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use farm_model::event::Requested;
    use farm_model::{BuildId, StageId};

    use super::*;

    #[test]
    fn lines_are_objects_with_the_keys_of_buildx() {
        let mut raw = Raw::default();
        let step = StepId { stage: StageId(0), index: 0 };
        let events = [
            BuildEvent::Requested(Requested {
                build: BuildId([1; 8]),
                time: 1_700_000_000_000_000_000,
                dockerfile: "Dockerfile".into(),
                context: ".".into(),
                target: None,
                names: Vec::new(),
                client: "local".into(),
            }),
            BuildEvent::Planned {
                steps: vec![PlannedStep {
                    id: step,
                    stage: "build".into(),
                    name: "RUN make".into(),
                    lines: None,
                    needs: Vec::new(),
                }],
            },
            BuildEvent::Started { step, worker: None },
            BuildEvent::Logged { step, stream: Stream::Stdout, bytes: b"hi\n".to_vec() },
            BuildEvent::Failed { step, exit: farm_model::Exit::Code(2) },
        ];
        let lines: Vec<Value> = events
            .into_iter()
            .map(|event| raw.render(&Recorded { at: 1_500_000, event }))
            .filter(|text| !text.is_empty())
            .map(|text| serde_json::from_str(&text).unwrap())
            .collect();
        assert_eq!(lines[0]["vertexes"][0]["name"], "[build] RUN make");
        assert_eq!(lines[1]["vertexes"][0]["started"], "2023-11-14T22:13:21.500000000Z");
        assert_eq!(lines[2]["logs"][0]["data"], "aGkK");
        assert_eq!(lines[2]["logs"][0]["vertex"], lines[0]["vertexes"][0]["digest"]);
        assert!(lines[3]["vertexes"][0]["error"].as_str().unwrap().ends_with("exit code: 2"));
    }
}
