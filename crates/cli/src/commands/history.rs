//! `trunkline history`.

use std::process::ExitCode;

use jiff::Timestamp;
use trunkline_pipeline::{Address, Event, Happening, RunRecord, RunSummary};

use super::print_json;
use crate::{
    args::{Global, History},
    context,
    exit::{self, Wrong},
    screen::words,
};

pub(crate) async fn run(args: &History, global: &Global) -> anyhow::Result<ExitCode> {
    let connection = context::connection(&args.target, global).await?;
    let Some(run) = &args.run else {
        let runs = connection.ledger().runs(args.last).await?;
        if global.json {
            print_json(&runs)?;
        } else {
            runs.iter().for_each(|run| say!("{}", summary(run)));
            if runs.is_empty() {
                say!("no run yet");
            }
        }
        return Ok(ExitCode::from(exit::DONE));
    };
    let id = run
        .parse()
        .map_err(|_| Wrong(format!("`{run}` is no run: it has 26 characters")))?;
    let found = connection.ledger().run(id).await?;
    let Some(record) = found else {
        return Err(Wrong(format!("there is no run {run}")).into());
    };
    let step = args.step.as_deref().map(str::parse::<Address>).transpose();
    let step = step.map_err(|error| Wrong(format!("--step: {error}")))?;
    if global.json {
        print_json(&record)?
    } else {
        show(&record, step.as_ref())
    }
    Ok(ExitCode::from(exit::DONE))
}

fn summary(run: &RunSummary) -> String {
    let now = Timestamp::now();
    let took = run.ended.map_or_else(String::new, |ended| {
        format!(" in {}", words::ago(ended, run.started))
    });
    let outcome = format!("{:?}", run.outcome).to_lowercase();
    let ago = words::ago(now, run.started);
    format!(
        "{}  {} {outcome}{took}, {ago} ago, by {} · {} done, {} failed",
        run.run, run.command, run.holder, run.steps.done, run.steps.failed
    )
}

fn show(record: &RunRecord, step: Option<&Address>) {
    say!("{}", summary(&record.summary));
    let start = record.summary.started;
    for event in &record.events {
        if let Some(line) = line(event, step) {
            say!("{:>8}  {line}", words::ago(event.at, start));
        }
    }
}

fn line(event: &Event, only: Option<&Address>) -> Option<String> {
    let (address, text) = match &event.what {
        Happening::Started { address, verb } => (Some(address), format!("{verb} {address}")),
        Happening::Waiting { address, what, .. } => {
            (Some(address), format!("{address} waits for {what}"))
        }
        Happening::Retrying {
            address, failure, ..
        } => (Some(address), format!("{address} again: {failure}")),
        Happening::Done { address, took, .. } => (
            Some(address),
            format!("{address} done in {}", words::time(*took)),
        ),
        Happening::Failed {
            address, failure, ..
        } => (Some(address), format!("{address} FAILED: {failure}")),
        Happening::Skipped {
            address, because, ..
        } => (
            Some(address),
            format!("{address} skipped: {because} failed"),
        ),
        Happening::NotStarted { address, .. } => (Some(address), format!("{address} not started")),
        Happening::Note { text } => (None, text.clone()),
        Happening::Observed { .. } | Happening::Planned { .. } => return None,
    };
    match (only, address) {
        (Some(only), Some(address)) if only != address => None,
        (Some(_), None) => None,
        _ => Some(text),
    }
}
