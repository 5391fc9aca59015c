//! `trunkline deploy`.

use std::process::ExitCode;

use trunkline_pipeline::{Run, Wish};

use super::{print_json, walking};
use crate::{
    args::{Deploy, Global},
    context::{self, hint},
    exit,
    screen::{self, plan::Header, words},
};

pub(crate) async fn run(args: &Deploy, global: &Global) -> anyhow::Result<ExitCode> {
    let progress = screen::progress(global.quiet);
    let listener = progress.listener();
    let (pipeline, commit) = context::pipeline(&args.target, global, listener).await?;
    let planned = pipeline.plan(Wish::Deployed).await?;
    let header = Header::new(
        pipeline.connection().environment(),
        &args.target,
        Some(&commit),
    );
    if planned.plan.is_empty() && planned.plan.unknown.is_empty() {
        if global.json {
            print_json(&walking::Summary::nothing(&planned))?;
        } else {
            say!("{}", screen::plan::nothing(&header, &planned).trim_end());
        }
        return Ok(ExitCode::from(exit::DONE));
    }
    let show = |planned: &_| {
        walking::refuse_losses(planned, false)?;
        progress.print(&screen::plan::summary(&header, planned));
        Ok(())
    };
    let wait = args.wait.wait;
    let (run, stop) = walking::show_and_run(&pipeline, planned, wait, &progress, show).await?;
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

fn up(name: &str, pipeline: &trunkline_pipeline::Pipeline, run: &Run) {
    let took = words::time(run.report.took);
    let critical = words::time(run.report.critical_path.estimate);
    say!("{name} is up: {took} (critical path {critical})");
    let environment = pipeline.connection().environment();
    say!("  egress     s3://{}", environment.egress_bucket());
    say!("  cluster    {}", environment.cluster_name());
    say!(
        "  kubectl    {} > kubeconfig",
        hint(&format!("kubeconfig {name}"))
    );
    say!(
        "  not checked here: what pods do inside (see {})",
        hint(&format!("status {name}"))
    );
    say!("history: {}", hint(&format!("history {name} {}", run.id)));
    say!("next: {}", hint(&format!("status {name}")));
}
