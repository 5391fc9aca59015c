//! `trunkline plan`.

use std::process::ExitCode;

use trunkline_pipeline::Wish;

use super::print_json;
use crate::{
    args::{Global, Plan},
    context, exit,
    screen::{self, plan::Header},
};

pub(crate) async fn run(args: &Plan, global: &Global) -> anyhow::Result<ExitCode> {
    let (pipeline, commit) = context::pipeline(&args.target, global, screen::silent()).await?;
    let wish = if args.destroy {
        Wish::Destroyed { with_data: false }
    } else {
        Wish::Deployed
    };
    let planned = pipeline.plan(wish).await?;
    if global.json {
        print_json(&planned.plan)?;
    } else {
        let header = Header::new(
            pipeline.connection().environment(),
            &args.target,
            Some(&commit),
        );
        let colour = screen::colour(&std::io::stdout());
        say!(
            "{}",
            screen::plan::show(&header, &planned, args.detail, colour).trim_end()
        );
    }
    if !args.destroy && !planned.plan.is_empty() {
        pipeline.preflight().await?;
    }
    let code = match () {
        () if !planned.plan.unknown.is_empty() => exit::UNKNOWN,
        () if args.detailed_exitcode && !planned.plan.is_empty() => exit::CHANGES,
        () => exit::DONE,
    };
    Ok(ExitCode::from(code))
}
