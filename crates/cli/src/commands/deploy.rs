//! `trunkline deploy`.

use std::process::ExitCode;

use trunkline_pipeline::{Pipeline, PipelineError, Planned, Run, Stop, Wish};

use super::{print_json, walking};
use crate::{
    args::{Deploy, Global},
    context::{self, hint},
    exit,
    screen::{self, Progress, plan::Header, words},
};

/// How often a plan is made anew because what was read for it has changed.
const ANEW: usize = 3;

pub(crate) async fn run(args: &Deploy, global: &Global) -> anyhow::Result<ExitCode> {
    let progress = screen::progress(global.quiet);
    let listener = progress.listener();
    let (pipeline, commit) = context::pipeline(&args.target, global, listener).await?;
    let planned = pipeline.plan(Wish::Deployed).await?;
    walking::refuse_losses(&planned, false)?;
    let header = Header::new(pipeline.connection().environment(), Some(&commit));
    if planned.plan.is_empty() && planned.plan.unknown.is_empty() {
        if global.json {
            print_json(&walking::Summary::nothing(&planned))?;
        } else {
            print!("{}", screen::plan::nothing(&header, &planned));
        }
        return Ok(ExitCode::from(exit::DONE));
    }
    progress.print(&screen::plan::summary(&header, &planned));
    let (run, stop) = walk(&pipeline, planned, args, &header, &progress).await?;
    progress.finish();
    if global.json {
        print_json(&walking::Summary::of(&run))?;
    }
    if let Some(code) = walking::ended_badly(&run, &stop, "deploy", &args.target.environment) {
        return Ok(code);
    }
    if !global.json {
        up(&args.target.environment, &pipeline, &run);
    }
    Ok(ExitCode::from(exit::DONE))
}

/// Walks. What another run did while this one waited for its lease, or what AWS
/// shows only now, makes another plan: it is shown, too, and done, since a
/// deploy asks nothing.
async fn walk(
    pipeline: &Pipeline,
    mut planned: Planned,
    args: &Deploy,
    header: &Header,
    progress: &Progress,
) -> anyhow::Result<(Run, Stop)> {
    for _ in 0..ANEW {
        let ended = walking::run(pipeline, &planned, args.wait.wait, progress).await;
        let error = match ended {
            Err(error) => error,
            ended => return ended,
        };
        let Some(PipelineError::Changed(_)) = error.downcast_ref() else {
            return Err(error);
        };
        planned = pipeline.plan(Wish::Deployed).await?;
        walking::refuse_losses(&planned, false)?;
        let summary = screen::plan::summary(header, &planned);
        progress.print(&format!("planned anew: {error}\n{summary}"));
    }
    walking::run(pipeline, &planned, args.wait.wait, progress).await
}

fn up(name: &str, pipeline: &trunkline_pipeline::Pipeline, run: &Run) {
    let took = words::time(run.report.took);
    let critical = words::time(run.report.critical_path.estimate);
    println!("{name} is up: {took} (critical path {critical})");
    let environment = pipeline.connection().environment();
    println!("  egress     s3://{}", environment.egress_bucket());
    println!("  cluster    {}", environment.cluster_name());
    println!(
        "  kubectl    {} > kubeconfig",
        hint(&format!("kubeconfig {name}"))
    );
    println!(
        "  not checked here: what pods do inside (see {})",
        hint(&format!("status {name}"))
    );
    println!("history: {}", hint(&format!("history {name} {}", run.id)));
    println!("next: {}", hint(&format!("status {name}")));
}
