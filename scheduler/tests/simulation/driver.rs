//! Drives simulated builds: what is ready, found, computed, delivered, lost and done again.

use farm_model::{BuildId, StepId};
use farm_scheduler::command::BuildStep;
use farm_scheduler::{Event, Millis, Verdict};

use crate::builds::{Phase, Progress, nature, output};
use crate::world::{Happening, World};

/// What is to be done once the scheduler's decisions are performed.
pub(crate) enum Todo {
    Advance(usize),
    Ready(usize, usize),
    Settle(usize, usize),
    End(usize),
}

impl World {
    pub(crate) fn ask(&mut self, index: usize) -> Result<(), String> {
        let build = &mut self.builds[index];
        if build.phase != Phase::Away || self.coordinator.scheduler.is_none() {
            return Ok(());
        }
        build.phase = Phase::Running;
        for step in &mut build.steps {
            step.progress = Progress::Pending;
        }
        let event =
            Event::BuildStarted { build: build.id, scope: build.scope.clone(), steps: build.shapes() };
        self.coordinator.todo.push_back(Todo::Advance(index));
        self.tell(event, None)
    }

    pub(crate) fn leave(&mut self, index: usize) -> Result<(), String> {
        match self.builds[index].phase {
            Phase::Running => {
                self.coordinator.todo.push_back(Todo::End(index));
                self.work_off()
            }
            Phase::Away => {
                self.builds[index].phase = Phase::Ended;
                Ok(())
            }
            Phase::Ended => Ok(()),
        }
    }

    pub(crate) fn computed(&mut self, index: usize, step: StepId, epoch: u64) -> Result<(), String> {
        let build = &mut self.builds[index];
        let position = build.position(step);
        if build.phase != Phase::Running
            || self.coordinator.epoch != epoch
            || build.steps[position].progress != Progress::Computing
        {
            return Ok(());
        }
        let Some(work) = build.work(position) else {
            build.steps[position].progress = Progress::Pending;
            return Ok(());
        };
        let layer = output(&work.key);
        self.coordinator.records.insert((build.scope.clone(), work.key), layer);
        self.coordinator.stored.insert(layer);
        build.steps[position].progress = Progress::Done(layer);
        self.coordinator.todo.push_back(Todo::Settle(index, position));
        self.work_off()
    }

    pub(crate) fn deliver(&mut self, waiting: BuildStep, verdict: Verdict, lost: bool) {
        let (index, step) = self.find(waiting);
        let build = &mut self.builds[index];
        let Progress::Waiting(key) = build.steps[step].progress else { return };
        if let Verdict::Succeeded { .. } = verdict {
            self.coordinator.records.insert((build.scope.clone(), key), output(&key));
            build.steps[step].progress = Progress::Done(output(&key));
            self.coordinator.todo.push_back(Todo::Advance(index));
            return;
        }
        build.steps[step].progress = Progress::Pending;
        build.repeats += 1;
        if !lost || build.repeats > 50 {
            self.coordinator.todo.push_back(Todo::End(index));
            return;
        }
        self.repeat_what_is_lost(index);
        self.coordinator.todo.push_back(Todo::Advance(index));
    }

    fn repeat_what_is_lost(&mut self, index: usize) {
        for step in &mut self.builds[index].steps {
            if let Progress::Done(layer) = step.progress
                && !self.coordinator.is_available(&layer)
            {
                step.progress = Progress::Pending;
            }
        }
    }

    pub(crate) fn work_off(&mut self) -> Result<(), String> {
        while let Some(todo) = self.coordinator.todo.pop_front() {
            match todo {
                Todo::Advance(index) => self.advance(index),
                Todo::Ready(index, step) => {
                    let build = &mut self.builds[index];
                    let pending =
                        build.phase == Phase::Running && build.steps[step].progress == Progress::Pending;
                    if let Some(work) = build.work(step).filter(|_| pending) {
                        let event = Event::StepReady { build: build.id, step: build.steps[step].id, work };
                        let Event::StepReady { work, .. } = &event else { unreachable!() };
                        build.steps[step].progress = Progress::Waiting(work.key);
                        build.steps[step].asked = Some(work.clone());
                        self.tell(event, None)?;
                    }
                }
                Todo::Settle(index, step) => {
                    let build = &self.builds[index];
                    let event =
                        Event::StepSettled { build: build.id, step: build.steps[step].id, took: Millis(1) };
                    self.coordinator.todo.push_back(Todo::Advance(index));
                    self.tell(event, None)?;
                }
                Todo::End(index) => {
                    if self.builds[index].phase == Phase::Running {
                        self.builds[index].phase = Phase::Ended;
                        for step in &mut self.builds[index].steps {
                            step.progress = Progress::Pending;
                        }
                        self.tell(Event::BuildEnded { build: self.builds[index].id }, None)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Looks what a build can do next.
    fn advance(&mut self, index: usize) {
        if self.builds[index].phase != Phase::Running {
            return;
        }
        for step in 0..self.builds[index].steps.len() {
            let build = &self.builds[index];
            if build.steps[step].progress != Progress::Pending {
                continue;
            }
            let Some(work) = build.work(step) else { continue };
            let record = self.coordinator.records.get(&(build.scope.clone(), work.key)).copied();
            if let Some(layer) = record.filter(|layer| self.coordinator.is_available(layer)) {
                self.builds[index].steps[step].progress = Progress::Done(layer);
                self.coordinator.todo.push_back(Todo::Settle(index, step));
            } else if nature(build.steps[step].operation).computed {
                let (id, epoch) = (build.steps[step].id, self.coordinator.epoch);
                self.builds[index].steps[step].progress = Progress::Computing;
                let delay = self.random.within(1, 30);
                self.after(delay, Happening::Computes { build: index, step: id, epoch });
            } else {
                self.coordinator.todo.push_back(Todo::Ready(index, step));
            }
        }
        let steps = &self.builds[index].steps;
        if steps.iter().all(|step| matches!(step.progress, Progress::Done(_))) {
            self.repeat_what_is_lost(index);
            let steps = &self.builds[index].steps;
            let next = if steps.iter().all(|step| matches!(step.progress, Progress::Done(_))) {
                Todo::End(index)
            } else {
                Todo::Advance(index)
            };
            self.coordinator.todo.push_back(next);
        }
    }

    pub(crate) fn index(&self, build: BuildId) -> usize {
        self.builds.iter().position(|other| other.id == build).expect("a build of this world")
    }

    pub(crate) fn find(&self, step: BuildStep) -> (usize, usize) {
        let index = self.index(step.0);
        (index, self.builds[index].position(step.1))
    }
}
