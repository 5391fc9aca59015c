//! `trunkline destroy`: shows what goes and what stays, asks, proves what
//! remains.

use std::{
    io::{BufRead, IsTerminal, Write},
    process::ExitCode,
};

use trunkline_pipeline::{Kept, Left, Planned, Wish};

use super::{print_json, walking};
use crate::{
    args::{Destroy, Global},
    context::{self, hint},
    exit::{self, Wrong},
    screen::{self, plan::Header, words},
};

pub(crate) async fn run(args: &Destroy, global: &Global) -> anyhow::Result<ExitCode> {
    let progress = screen::progress(global.quiet);
    let listener = progress.listener();
    let pipeline = context::pipeline_at_no_commit(&args.target, global, listener).await?;
    let planned = pipeline
        .plan(Wish::Destroyed {
            with_data: args.delete_data,
        })
        .await?;
    let name = pipeline.connection().environment().name().to_string();
    let header = Header::new(pipeline.connection().environment(), &args.target, None);
    if planned.plan.is_empty() && planned.plan.unknown.is_empty() {
        if global.json {
            print_json(&walking::Summary::nothing(&planned))?;
        } else {
            say!("nothing of {name} is there{}", but(&planned.plan.kept));
        }
        return Ok(ExitCode::from(exit::DONE));
    }
    let colour = screen::colour(&std::io::stderr());
    let show = |planned: &Planned| {
        walking::refuse_losses(planned, args.delete_data)?;
        progress.print(&screen::plan::show(&header, planned, false, colour));
        // What would be refused anyway is not asked for.
        let runs = planned.plan.unknown.is_empty() || !planned.entering.is_empty();
        if runs && !args.yes {
            ask(&name)?;
        }
        Ok(())
    };
    let wait = args.wait.wait;
    let (run, stop) = walking::show_and_run(&pipeline, planned, wait, &progress, show).await?;
    progress.finish();
    if global.json {
        print_json(&walking::Summary::of(&run))?;
    }
    if let Some(code) = walking::ended_badly(&run, &stop, "destroy", &args.target.environment) {
        return Ok(code);
    }
    let left = run.left.clone().unwrap_or_default();
    if !global.json {
        say(&name, &left, &words::time(run.report.took));
    }
    let clean = left.still.is_empty() && left.leaks.is_empty() && left.unknown.is_empty();
    Ok(ExitCode::from(if clean {
        exit::DONE
    } else {
        exit::FAILED
    }))
}

/// The name must be typed: `y` is typed too easily.
fn ask(name: &str) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(Wrong("destroy asks, and there is no terminal: add --yes".to_owned()).into());
    }
    eprint!("type {name} to destroy it: ");
    std::io::stderr().flush()?;
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed)?;
    if typed.trim() == name {
        Ok(())
    } else {
        Err(Wrong(format!("that is not {name}")).into())
    }
}

fn but(kept: &[Kept]) -> String {
    if kept.is_empty() {
        return String::new();
    }
    let lines: Vec<String> = kept.iter().map(line).collect();
    format!(" but:\n{}", lines.join("\n"))
}

fn line(kept: &Kept) -> String {
    let command = kept
        .command
        .strip_prefix("trunkline ")
        .map_or_else(|| kept.command.clone(), hint);
    let what = screen::plan::kept_line('=', kept);
    let how = words::wrap(
        &format!("    removed by: {command}"),
        words::width(),
        "      ",
    );
    format!("{what}\n{how}")
}

fn say(name: &str, left: &Left, took: &str) {
    if left.still.is_empty() && left.leaks.is_empty() && left.unknown.is_empty() {
        say!("{took}: nothing of {name} is left{}", but(&left.kept));
        return;
    }
    say!(
        "{took}: {name} is not wholly gone; kept on purpose{}",
        but(&left.kept)
    );
    for address in &left.still {
        say!(
            "still there: {address}   run again: {}",
            hint(&format!("destroy {name}"))
        );
    }
    for leak in &left.leaks {
        say!("left by AWS: {leak}");
    }
    for unknown in &left.unknown {
        say!("could not be looked for: {unknown}");
    }
}
