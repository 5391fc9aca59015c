//! The walk: does what the plan says, each step once and after what it waits
//! for, with bounded concurrency, retries by kind of failure, and a clean end
//! when it is stopped.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt, stream::FuturesUnordered};
use rand::Rng;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trunkline_ids::Outputs;

use crate::{
    Applying, CriticalPath, Events, Failure, FailureKind, Happening, Intents, Plan, Slots, Step,
    Verb, plan::longest_path,
};

/// Whoever does a step.
#[async_trait]
pub trait Performer: Send + Sync {
    /// Does it, and says what is known of the resource afterwards.
    async fn perform(&self, step: &Step, cx: &Applying) -> Result<Outputs, Failure>;
}

/// How a run is asked to stop.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    soft: CancellationToken,
    hard: CancellationToken,
}

/// What a walk needs besides plan and performer.
pub struct WalkOptions {
    /// Concurrency.
    pub slots: Slots,
    /// How often a step is tried in all when it fails in passing.
    pub attempts: u32,
    /// The pause before the second try; doubled for each further one, with
    /// jitter, up to half a minute.
    pub first_pause: Duration,
    /// How long AWS may take to show what it has made.
    pub consistency_window: Duration,
    /// Where intents are kept.
    pub intents: Arc<dyn Intents>,
    /// Where events go.
    pub events: Events,
}

/// How one step ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Well.
    Done,
    /// Badly, after so many tries.
    Failed(Failure, u32),
    /// Never began: the step at this index, before it, failed.
    Skipped(usize),
    /// Never began: the run was stopped.
    NotStarted,
}

/// How one step ended, and how long it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// How long, all tries and waits included.
    pub took: Duration,
}

/// How a walk ended, one entry per step of the plan.
#[derive(Debug, Clone)]
pub struct Report {
    /// In the order of the plan's steps.
    pub steps: Vec<Ended>,
    /// The whole.
    pub took: Duration,
    /// The chain of steps that decided how long the whole took.
    pub critical_path: CriticalPath,
    /// Everything known at the end.
    pub outputs: Outputs,
}

impl Stop {
    /// Not asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks to stop cleanly: nothing new starts, waits are left, requests
    /// under way end.
    pub fn soon(&self) {
        self.soft.cancel();
    }

    /// Asks to stop at once: also what is under way is dropped.
    pub fn now(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }

    /// Whether it was asked.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Ends when it is asked to stop.
    pub async fn asked(&self) {
        self.soft.cancelled().await;
    }
}

impl Report {
    /// Whether every step was done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.steps.iter().all(|step| step.outcome == Outcome::Done)
    }

    /// How many steps were done.
    #[must_use]
    pub fn done(&self) -> usize {
        self.steps
            .iter()
            .filter(|step| step.outcome == Outcome::Done)
            .count()
    }

    /// The steps that failed: index, failure, tries.
    pub fn failures(&self) -> impl Iterator<Item = (usize, &Failure, u32)> {
        self.steps
            .iter()
            .enumerate()
            .filter_map(|(i, step)| match &step.outcome {
                Outcome::Failed(failure, tries) => Some((i, failure, *tries)),
                _ => None,
            })
    }
}

/// Walks the plan. `outputs` is what observation seeded.
///
/// Failures of a step skip all that come after it and nothing else.
pub async fn walk(
    plan: &Plan,
    performer: &dyn Performer,
    outputs: Outputs,
    options: &WalkOptions,
    stop: &Stop,
) -> Report {
    let walk = Walk {
        plan,
        performer,
        options,
        stop,
        outputs: Arc::new(RwLock::new(outputs)),
    };
    walk.run().await
}

struct Walk<'a> {
    plan: &'a Plan,
    performer: &'a dyn Performer,
    options: &'a WalkOptions,
    stop: &'a Stop,
    outputs: Arc<RwLock<Outputs>>,
}

impl Walk<'_> {
    async fn run(&self) -> Report {
        let start = Instant::now();
        let mut ended: Vec<Option<Ended>> = vec![None; self.plan.steps.len()];
        let mut started = vec![false; self.plan.steps.len()];
        let mut running = FuturesUnordered::new();
        loop {
            self.skip(&mut ended, &started);
            for i in self.ready(&ended, &started) {
                started[i] = true;
                running.push(self.step(i));
            }
            let Some((i, end)) = running.next().await else {
                break;
            };
            ended[i] = Some(end);
        }
        let steps: Vec<Ended> = ended
            .into_iter()
            .enumerate()
            .map(|(i, end)| self.end(i, end))
            .collect();
        let takes: Vec<Duration> = steps.iter().map(|step| step.took).collect();
        let outputs = self
            .outputs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let critical_path = longest_path(&self.plan.waits_for, &takes);
        Report {
            steps,
            took: start.elapsed(),
            critical_path,
            outputs,
        }
    }

    /// Steps that may start now.
    fn ready(&self, ended: &[Option<Ended>], started: &[bool]) -> Vec<usize> {
        if self.stop.is_asked() {
            return Vec::new();
        }
        let done = |i: &usize| {
            ended[*i]
                .as_ref()
                .is_some_and(|e| e.outcome == Outcome::Done)
        };
        let waits_for = &self.plan.waits_for;
        (0..ended.len())
            .filter(|&i| !started[i] && ended[i].is_none() && waits_for[i].iter().all(done))
            .collect()
    }

    /// Marks what can no longer start because something before it failed.
    /// Steps are sorted, so one pass reaches everything.
    fn skip(&self, ended: &mut [Option<Ended>], started: &[bool]) {
        for i in 0..ended.len() {
            if started[i] || ended[i].is_some() {
                continue;
            }
            let because = self.plan.waits_for[i].iter().find_map(|before| {
                match ended[*before].as_ref().map(|end| &end.outcome) {
                    Some(Outcome::Failed(..)) => Some(*before),
                    Some(Outcome::Skipped(root)) => Some(*root),
                    _ => None,
                }
            });
            if let Some(root) = because {
                let (step, because) = (&self.plan.steps[i], self.plan.steps[root].address.clone());
                let (address, verb) = (step.address.clone(), step.verb);
                self.options.events.tell(Happening::Skipped {
                    address,
                    verb,
                    because,
                });
                ended[i] = Some(Ended {
                    outcome: Outcome::Skipped(root),
                    took: Duration::ZERO,
                });
            }
        }
    }

    /// The end of a step; one that has none never started.
    fn end(&self, i: usize, end: Option<Ended>) -> Ended {
        end.unwrap_or_else(|| {
            let step = &self.plan.steps[i];
            let (address, verb) = (step.address.clone(), step.verb);
            self.options
                .events
                .tell(Happening::NotStarted { address, verb });
            Ended {
                outcome: Outcome::NotStarted,
                took: Duration::ZERO,
            }
        })
    }

    /// One step with its slot, its tries and its events.
    async fn step(&self, i: usize) -> (usize, Ended) {
        let step = &self.plan.steps[i];
        let slots = self.options.slots.of(&step.service);
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot.ok(),
            () = self.stop.asked() => None,
        };
        if slot.is_none() || self.stop.is_asked() {
            return (i, self.end(i, None));
        }
        let start = Instant::now();
        let (address, verb) = (step.address.clone(), step.verb);
        self.options.events.tell(Happening::Started {
            address: address.clone(),
            verb,
        });
        let cx = self.context(step, slots, slot);
        let (result, attempts) = self.tries(step, &cx).await;
        let took = start.elapsed();
        let outcome = match result {
            Ok(outputs) => {
                self.keep(step, outputs);
                self.options.events.tell(Happening::Done {
                    address,
                    verb,
                    took,
                });
                Outcome::Done
            }
            Err(failure) => {
                let told = failure.clone();
                self.options.events.tell(Happening::Failed {
                    address,
                    verb,
                    failure: told,
                    attempts,
                    took,
                });
                Outcome::Failed(failure, attempts)
            }
        };
        (i, Ended { outcome, took })
    }

    fn context(
        &self,
        step: &Step,
        slots: Arc<tokio::sync::Semaphore>,
        slot: Option<tokio::sync::OwnedSemaphorePermit>,
    ) -> Applying {
        Applying {
            address: step.address.clone(),
            verb: step.verb,
            outputs: Arc::clone(&self.outputs),
            intents: Arc::clone(&self.options.intents),
            events: self.options.events.clone(),
            stop: self.stop.clone(),
            window: self.options.consistency_window,
            slots,
            slot: Mutex::new(slot),
        }
    }

    async fn tries(&self, step: &Step, cx: &Applying) -> (Result<Outputs, Failure>, u32) {
        let mut attempt = 1;
        let mut unclear = false;
        loop {
            let result = tokio::select! {
                result = self.performer.perform(step, cx) => result,
                () = self.stop.hard.cancelled() => Err(Failure::stopped("stopped at once")),
            };
            // A clear refusal does not tell what an earlier try has done.
            let result = result.map_err(|failure| failure.after(&mut unclear));
            let failure = match result {
                Err(failure) if failure.is_passing() && attempt < self.options.attempts => failure,
                ended => return (ended, attempt),
            };
            let pause = self.pause_after(attempt, failure.kind);
            let (address, verb) = (step.address.clone(), step.verb);
            let told = failure.clone();
            self.options.events.tell(Happening::Retrying {
                address,
                verb,
                failure: told,
                attempt,
                pause,
            });
            if cx.pause(pause).await.is_err() {
                return (Err(failure), attempt);
            }
            attempt += 1;
        }
    }

    /// Doubles for each try, longer when asked to slow down; half of it is
    /// drawn, so that many steps do not come back at the same moment.
    fn pause_after(&self, attempt: u32, kind: FailureKind) -> Duration {
        let factor = if kind == FailureKind::Throttled { 4 } else { 1 };
        let longest = Duration::from_secs(30);
        let doubled = self.options.first_pause * factor * 2u32.pow(attempt.min(10) - 1);
        doubled
            .min(longest)
            .mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    fn keep(&self, step: &Step, outputs: Outputs) {
        let mut known = self.outputs.write().unwrap_or_else(PoisonError::into_inner);
        match step.verb {
            Verb::Delete => known.forget(&step.address),
            Verb::Create | Verb::Update => known.merge(outputs),
        }
    }
}

#[cfg(test)]
mod tests;
