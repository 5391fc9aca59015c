//! History: the runs that were, read out of their journals.

use serde::Serialize;
use trunkline_engine::{Event, Failure};
use ulid::Ulid;

use crate::{
    lease::Holding,
    run::{FOLDER, RunOutcome, RunSummary, folder, summary_key},
    store::Store,
};

/// One run with all that was written about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunRecord {
    /// Its summary.
    pub summary: RunSummary,
    /// Its events, in order.
    pub events: Vec<Event>,
    /// How many lines could not be read: another version wrote them, or they
    /// are damaged.
    pub unreadable: usize,
}

/// The last runs, newest first.
pub(crate) async fn runs(
    store: &Store,
    last: usize,
    holding: Option<&Holding>,
) -> Result<Vec<RunSummary>, Failure> {
    let folders = store.folders(FOLDER).await?;
    let mut runs: Vec<Ulid> = folders
        .iter()
        .filter_map(|name| Ulid::from_string(name).ok())
        .collect();
    runs.sort_unstable_by(|a, b| b.cmp(a));
    let keys = runs.into_iter().take(last).map(summary_key).collect();
    let summaries = store.get_all(keys).await?.into_iter();
    Ok(summaries
        .filter_map(|(_, stored)| serde_json::from_slice(&stored?.body).ok())
        .map(|summary| judged(summary, holding))
        .collect())
}

/// One run; `None` if there is none.
pub(crate) async fn run(
    store: &Store,
    run: Ulid,
    holding: Option<&Holding>,
) -> Result<Option<RunRecord>, Failure> {
    let Some(stored) = store.get(&summary_key(run)).await? else {
        return Ok(None);
    };
    let summary: RunSummary = serde_json::from_slice(&stored.body).map_err(|error| {
        Failure::bug(format!("the summary of run {run} cannot be read: {error}"))
            .next("use the version of trunkline that wrote it")
    })?;
    let listed = store.list(&folder(run)).await?.into_iter();
    let parts = listed
        .map(|listed| listed.key)
        .filter(|key| key.ends_with(".jsonl"));
    let mut record = RunRecord {
        summary: judged(summary, holding),
        events: Vec::new(),
        unreadable: 0,
    };
    for (_, stored) in store.get_all(parts.collect()).await? {
        let body = stored.map(|stored| stored.body).unwrap_or_default();
        for line in body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            match serde_json::from_slice(line) {
                Ok(event) => record.events.push(event),
                Err(_) => record.unreadable += 1,
            }
        }
    }
    Ok(Some(record))
}

/// A run that says it runs, but holds no lease, has vanished.
fn judged(mut summary: RunSummary, holding: Option<&Holding>) -> RunSummary {
    let holds = holding.is_some_and(|holding| holding.run == Some(summary.run));
    if summary.outcome == RunOutcome::Running && !holds {
        summary.outcome = RunOutcome::Vanished;
    }
    summary
}
