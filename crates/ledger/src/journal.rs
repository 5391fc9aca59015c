//! The journal of a run: its events as JSON lines, in parts of some size or
//! age, and a summary.
//!
//! A journal never hinders a run: events are taken in memory, parts are
//! written in the background, and one that cannot be written is tried again
//! until the end, where it is said.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use trunkline_engine::{Event, Failure, Listener};
use ulid::Ulid;

use crate::{
    run::{RunOutcome, RunStart, RunSummary, chunk_key, summary_key},
    store::{Condition, Store},
};

/// How long events stay in memory: what a killed run loses of its journal.
const AT_LEAST_EVERY: Duration = Duration::from_secs(2);
/// How much is kept in memory before it is written earlier.
const MUCH: usize = 64 * 1024;

/// The journal of a run that goes on.
#[derive(Debug)]
pub struct Journal {
    writer: Arc<Writer>,
    task: Option<JoinHandle<()>>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Writer {
    store: Store,
    run: Ulid,
    heard: Mutex<Heard>,
    much: Notify,
    /// Held while a part is written: parts are written one after the other.
    parts: tokio::sync::Mutex<Parts>,
}

#[derive(Debug)]
struct Heard {
    lines: Vec<u8>,
    summary: RunSummary,
}

#[derive(Debug, Default)]
struct Parts {
    written: u32,
    /// A part that was tried and whose writing is not certain. It is tried
    /// again as it is: under its name there is this one or none.
    pending: Option<Vec<u8>>,
}

impl Journal {
    /// Writes that the run begins, and from then on what it hears.
    pub(crate) async fn begin(store: Store, start: RunStart) -> Result<Self, Failure> {
        let summary = RunSummary::begin(start, Timestamp::now());
        let writer = Arc::new(Writer {
            store,
            run: summary.run,
            heard: Mutex::new(Heard {
                lines: Vec::new(),
                summary,
            }),
            much: Notify::new(),
            parts: tokio::sync::Mutex::default(),
        });
        writer.write_summary().await?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(Arc::clone(&writer).write_on(stop.clone()));
        Ok(Self {
            writer,
            task: Some(task),
            stop,
        })
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> Ulid {
        self.writer.run
    }

    /// What hears events for the journal.
    #[must_use]
    pub fn listener(&self) -> Arc<dyn Listener> {
        Arc::clone(&self.writer) as Arc<dyn Listener>
    }

    /// Writes what is left, and how the run ended.
    ///
    /// # Errors
    /// A part or the summary could not be written; the run itself is not
    /// concerned.
    pub async fn finish(
        mut self,
        outcome: RunOutcome,
        message: Option<String>,
    ) -> Result<RunSummary, Failure> {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
        let written = self.writer.write_parts().await;
        let summary = {
            let mut heard = self.writer.heard();
            heard.summary.outcome = outcome;
            heard.summary.message = message;
            heard.summary.ended = Some(Timestamp::now());
            heard.summary.clone()
        };
        self.writer.write_summary().await?;
        written.map(|()| summary)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Writer {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write_on(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(AT_LEAST_EVERY) => {}
                () = self.much.notified() => {}
            }
            if let Err(failure) = self.write_parts().await {
                tracing::warn!(run = %self.run, %failure, "the journal could not be written");
            }
        }
    }

    /// Writes all that was heard, beginning with what is pending.
    async fn write_parts(&self) -> Result<(), Failure> {
        let mut parts = self.parts.lock().await;
        loop {
            let part = match parts.pending.take() {
                Some(part) => part,
                None => std::mem::take(&mut self.heard().lines),
            };
            if part.is_empty() {
                return Ok(());
            }
            let key = chunk_key(self.run, parts.written + 1);
            // Refused means that it is there already: nobody else writes
            // parts of this run, so an own attempt was done.
            let written = self.store.put_if(&key, part.clone(), &Condition::Absent);
            match written.await {
                Ok(_) => parts.written += 1,
                Err(failure) => {
                    parts.pending = Some(part);
                    return Err(failure);
                }
            }
        }
    }

    async fn write_summary(&self) -> Result<(), Failure> {
        let json = serde_json::to_vec_pretty(&self.heard().summary)
            .map_err(|error| Failure::bug(error.to_string()))?;
        self.store.put(&summary_key(self.run), json).await?;
        Ok(())
    }
}

impl Listener for Writer {
    fn hear(&self, event: &Event) {
        let mut heard = self.heard();
        heard.summary.steps.count(event);
        // An event that cannot be written would be a bug of its type; the
        // rest of the journal is worth more than to stop here.
        if serde_json::to_writer(&mut heard.lines, event).is_ok() {
            heard.lines.push(b'\n');
        }
        if heard.lines.len() >= MUCH {
            self.much.notify_one();
        }
    }
}
