//! What deploy and destroy share: the walk with Ctrl-C, waiting for the lease,
//! and the words of a bad end.

use std::{process::ExitCode, time::Duration};

use serde::Serialize;
use trunkline_pipeline::{Kept, Outcome, Pipeline, PipelineError, Plan, Planned, Run, Stop};

use crate::{
    context::{self, hint},
    exit,
    screen::{Progress, failure},
};

/// How often a plan is made anew because what was read for it has changed.
const ANEW: usize = 3;
/// Between two looks whether the lease is free.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Refuses steps that lose data unless they were asked for.
pub(crate) fn refuse_losses(planned: &Planned, allowed: bool) -> Result<(), PipelineError> {
    let losses = planned.losses();
    if allowed || losses.is_empty() {
        Ok(())
    } else {
        Err(PipelineError::LosesData(losses))
    }
}

/// Shows a plan and runs it. What another run did while this one waited for its
/// lease, or what AWS shows only now, makes another plan, which is shown, too.
pub(crate) async fn show_and_run(
    pipeline: &Pipeline,
    mut planned: Planned,
    wait: Option<Duration>,
    progress: &Progress,
    show: impl Fn(&Planned) -> anyhow::Result<()>,
) -> anyhow::Result<(Run, Stop)> {
    show(&planned)?;
    for _ in 0..ANEW {
        let error = match run(pipeline, &planned, wait, progress).await {
            Err(error) => error,
            ended => return ended,
        };
        let Some(PipelineError::Changed(_)) = error.downcast_ref() else {
            return Err(error);
        };
        progress.print(&format!("planned anew: {error}\n"));
        planned = pipeline.plan(planned.wish).await?;
        show(&planned)?;
    }
    run(pipeline, &planned, wait, progress).await
}

/// Runs what was planned. Ctrl-C stops cleanly, a second one at once.
async fn run(
    pipeline: &Pipeline,
    planned: &Planned,
    wait: Option<Duration>,
    progress: &Progress,
) -> anyhow::Result<(Run, Stop)> {
    let stop = Stop::new();
    let listening = tokio::spawn(listen(stop.clone(), progress.clone()));
    let run = once_free(pipeline, planned, wait, &stop, progress).await;
    listening.abort();
    Ok((run?, stop))
}

/// Runs once nobody else holds the lease, or `wait` has passed.
async fn once_free(
    pipeline: &Pipeline,
    planned: &Planned,
    wait: Option<Duration>,
    stop: &Stop,
    progress: &Progress,
) -> Result<Run, PipelineError> {
    let holder = context::holder();
    let until = tokio::time::Instant::now() + wait.unwrap_or_default();
    let mut told = None;
    loop {
        let holding = match pipeline.run(planned, &holder, stop).await {
            Err(PipelineError::Taken(holding)) => holding,
            ended => return ended,
        };
        if tokio::time::Instant::now() >= until || stop.is_asked() {
            return Err(PipelineError::Taken(holding));
        }
        if told != Some(holding.run) {
            progress.print(&format!("waiting: {holding}\n"));
            told = Some(holding.run);
        }
        tokio::select! {
            () = tokio::time::sleep(ASK_AGAIN) => {}
            () = stop.asked() => {}
        }
    }
}

async fn listen(stop: Stop, progress: Progress) {
    let Ok(mut term) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
    else {
        return;
    };
    for again in [false, true] {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = term.recv() => {}
        }
        if again {
            stop.now();
        } else {
            stop.soon();
            progress
                .print("stopping: nothing new starts, requests under way end (again: at once)\n");
        }
    }
}

/// Prints how a run ended badly; none when it ended well.
pub(crate) fn ended_badly(
    run: &Run,
    stop: &Stop,
    command: &str,
    environment: &str,
) -> Option<ExitCode> {
    for failure in &run.afterwards {
        tell!("warning: {failure}");
    }
    if run.report.is_done() {
        return None;
    }
    let failures = failure::show(run, command, environment);
    if !failures.is_empty() {
        tell!("{}", failures.trim_end());
    }
    let again = hint(&format!("{command} {environment}"));
    if stop.is_asked() {
        let left = run.report.steps.len() - run.report.done();
        tell!("stopped: {} steps done, {left} to go", run.report.done());
        tell!("go on:  {again}   (it goes on from here)");
        return Some(ExitCode::from(exit::STOPPED));
    }
    Some(ExitCode::from(exit::FAILED))
}

/// The result for machines.
#[derive(Debug, Serialize)]
pub(crate) struct Summary<'a> {
    run: Option<String>,
    plan: &'a Plan,
    steps: Vec<StepEnd<'a>>,
    seconds: f64,
    critical_path: Vec<&'a str>,
    kept: Vec<&'a Kept>,
    still: Vec<&'a str>,
    leaks: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct StepEnd<'a> {
    address: &'a str,
    verb: String,
    outcome: &'static str,
    failure: Option<String>,
    seconds: f64,
}

impl<'a> Summary<'a> {
    pub(crate) fn nothing(planned: &'a Planned) -> Self {
        Self {
            run: None,
            plan: &planned.plan,
            steps: vec![],
            seconds: 0.0,
            critical_path: vec![],
            kept: planned.plan.kept.iter().collect(),
            still: vec![],
            leaks: vec![],
        }
    }

    pub(crate) fn of(run: &'a Run) -> Self {
        let addresses = |i: &usize| run.plan.steps[*i].address.as_str();
        let left = run.left.as_ref();
        Self {
            run: Some(run.id.to_string()),
            plan: &run.plan,
            steps: run
                .plan
                .steps
                .iter()
                .zip(&run.report.steps)
                .map(step_end)
                .collect(),
            seconds: run.report.took.as_secs_f64(),
            critical_path: run
                .report
                .critical_path
                .steps
                .iter()
                .map(addresses)
                .collect(),
            kept: left.map_or_else(Vec::new, |left| left.kept.iter().collect()),
            still: left.map_or_else(Vec::new, |l| l.still.iter().map(|a| a.as_str()).collect()),
            leaks: left.map_or_else(Vec::new, |l| l.leaks.iter().map(String::as_str).collect()),
        }
    }
}

fn step_end<'a>(
    (step, end): (&'a trunkline_pipeline::Step, &'a trunkline_pipeline::Ended),
) -> StepEnd<'a> {
    let (outcome, failure) = match &end.outcome {
        Outcome::Done => ("done", None),
        Outcome::Failed(failure, _) => ("failed", Some(failure.to_string())),
        Outcome::Skipped(_) => ("skipped", None),
        Outcome::NotStarted => ("not_started", None),
    };
    StepEnd {
        address: step.address.as_str(),
        verb: step.verb.to_string(),
        outcome,
        failure,
        seconds: end.took.as_secs_f64(),
    }
}
