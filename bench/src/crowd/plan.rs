//! What builds look like: the stages and steps of Dockerfiles of usual kinds.

use farm_model::event::PlannedStep;
use farm_model::{StageId, StepId};

use crate::random::Random;

/// Images that are built again and again.
pub(super) const IMAGES: u64 = 160;

const TEAMS: [&str; 8] = ["shop", "search", "billing", "mobile", "data", "infra", "mail", "maps"];
const STAGES: [&str; 7] = ["base", "deps", "build", "assets", "test", "docs", "run"];
const COMMANDS: [&str; 10] = [
    "RUN apt-get update && apt-get install -y build-essential",
    "COPY go.mod go.sum ./",
    "RUN --mount=type=cache,target=/root/.cache go mod download",
    "COPY . .",
    "RUN make -j8 all",
    "RUN npm ci --no-audit",
    "RUN npm run build",
    "RUN ./scripts/generate --all",
    "RUN go test ./...",
    "RUN strip /out/*",
];

/// The name of an image.
pub(super) fn image_name(number: u64) -> String {
    let team = TEAMS[usize::try_from(number % 8).unwrap_or(0)];
    format!("registry.example/{team}/service-{:02}:main", number / 8)
}

/// How large it usually is.
pub(super) fn image_bytes(number: u64) -> u64 {
    20_000_000 + (number * 7_919_003 % 900) * 1_000_000
}

/// The steps of a build: four to seven stages of three to seven steps.
pub(super) fn steps(random: &mut Random) -> Vec<PlannedStep> {
    let stages = random.between(4, 7);
    let mut steps = Vec::new();
    let mut line = 1;
    for stage in 0..stages {
        let name = STAGES[usize::try_from(if stage + 1 == stages { 6 } else { stage }).unwrap_or(0)];
        let stage = StageId(u32::try_from(stage).unwrap_or(0));
        for index in 0..u32::try_from(random.between(3, 6)).unwrap_or(3) {
            line += 1;
            steps.push(PlannedStep {
                id: StepId { stage, index },
                stage: name.to_owned(),
                name: (*random.choose(&COMMANDS)).to_owned(),
                lines: Some((line, line)),
                needs: if index == 0 { needs(stage, stages, random) } else { Vec::new() },
            });
        }
    }
    steps
}

/// Every stage but the first needs one before it; the last one needs two.
fn needs(stage: StageId, stages: u64, random: &mut Random) -> Vec<StageId> {
    let Some(before) = stage.0.checked_sub(1) else { return Vec::new() };
    let one = StageId(u32::try_from(random.between(0, before.into())).unwrap_or(0));
    if u64::from(stage.0) + 1 == stages && one.0 != before { vec![one, StageId(before)] } else { vec![one] }
}
