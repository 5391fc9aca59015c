//! What is kept of a run: its summary and where its objects are.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trunkline_engine::{Event, Happening};
use ulid::Ulid;

/// The folder of runs; below it, a folder for each run, in order of time.
pub(crate) const FOLDER: &str = "runs/";
/// The form of the summary.
const FORMAT: u32 = 1;

/// A run that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunStart {
    /// The run.
    pub run: Ulid,
    /// The environment.
    pub environment: String,
    /// The command: `deploy`.
    pub command: String,
    /// Who: `user@host`, or the URL of a CI run.
    pub holder: String,
    /// The version of trunkline.
    pub version: String,
}

/// What is kept of a run in one small object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunSummary {
    /// The form of the object.
    pub format: u32,
    /// The run.
    pub run: Ulid,
    /// The environment.
    pub environment: String,
    /// The command: `deploy`.
    pub command: String,
    /// Who.
    pub holder: String,
    /// The version of trunkline that wrote it.
    pub version: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; `None` while it runs, and for ever if it was killed.
    pub ended: Option<Timestamp>,
    /// How it ended.
    pub outcome: RunOutcome,
    /// A sentence about the end: the failure, or the result.
    pub message: Option<String>,
    /// How its steps ended.
    pub steps: StepCounts,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// Not yet.
    Running,
    /// Well.
    Done,
    /// Badly.
    Failed,
    /// Stopped: Ctrl-C, or a lost lease.
    Stopped,
    /// Without a word: killed, or its machine is gone. Never written; a run
    /// that says it runs and holds no lease is read so.
    Vanished,
}

/// How many steps ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepCounts {
    /// Well.
    pub done: u32,
    /// Badly.
    pub failed: u32,
    /// Never begun: one before them failed.
    pub skipped: u32,
    /// Never begun: the run was stopped.
    pub not_started: u32,
}

impl RunSummary {
    pub(crate) fn begin(start: RunStart, now: Timestamp) -> Self {
        Self {
            format: FORMAT,
            run: start.run,
            environment: start.environment,
            command: start.command,
            holder: start.holder,
            version: start.version,
            started: now,
            ended: None,
            outcome: RunOutcome::Running,
            message: None,
            steps: StepCounts::default(),
        }
    }
}

impl StepCounts {
    pub(crate) fn count(&mut self, event: &Event) {
        match event.what {
            Happening::Done { .. } => self.done += 1,
            Happening::Failed { .. } => self.failed += 1,
            Happening::Skipped { .. } => self.skipped += 1,
            Happening::NotStarted { .. } => self.not_started += 1,
            _ => {}
        }
    }
}

/// The folder of a run.
pub(crate) fn folder(run: Ulid) -> String {
    format!("{FOLDER}{run}/")
}

/// The object of a run's summary.
pub(crate) fn summary_key(run: Ulid) -> String {
    format!("{}summary.json", folder(run))
}

/// The object of the `number`th part of a run's journal.
pub(crate) fn chunk_key(run: Ulid, number: u32) -> String {
    format!("{}{number:06}.jsonl", folder(run))
}
