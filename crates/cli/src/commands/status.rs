//! `trunkline status`: one screen.

use std::process::ExitCode;

use jiff::Timestamp;
use trunkline_pipeline::RunOutcome;

use super::print_json;
use crate::{
    args::{Global, Target},
    context, exit,
    screen::{self, plan::Header, words},
};

pub(crate) async fn run(target: &Target, global: &Global) -> anyhow::Result<ExitCode> {
    let pipeline = context::pipeline_at_no_commit(target, global, screen::silent()).await?;
    let status = pipeline.status().await;
    if global.json {
        print_json(&status)?;
    } else {
        say!(
            "{}",
            Header::new(pipeline.connection().environment(), target, None)
        );
        for layer in &status.layers {
            say!("{}", layer_line(layer));
            for health in &layer.health {
                let sign = if health.well { '✓' } else { '!' };
                let name = words::pad(health.address.as_str(), 34);
                say!("  {sign} {name} {}", words::cut(&health.words, 40));
            }
            for (address, why) in &layer.unknown {
                say!("  ? {address}: {why}");
            }
        }
        say!("{}", ledger_line(&status));
    }
    let unknown = status.layers.iter().any(|layer| !layer.unknown.is_empty());
    Ok(ExitCode::from(if unknown {
        exit::UNKNOWN
    } else {
        exit::DONE
    }))
}

fn layer_line(layer: &trunkline_pipeline::LayerStatus) -> String {
    let absent = match layer.absent.len() {
        0 => String::new(),
        n if layer.present == 0 => format!(", none of {n}"),
        n => format!(", {n} missing"),
    };
    let unknown = match layer.unknown.len() {
        0 => String::new(),
        n => format!(", {n} unknown"),
    };
    format!(
        "{} {} there{absent}{unknown}",
        words::pad(&layer.layer, 12),
        layer.present
    )
}

fn ledger_line(status: &trunkline_pipeline::Status) -> String {
    if let Some(trouble) = &status.ledger {
        return format!("ledger: {trouble}");
    }
    let now = Timestamp::now();
    let last = match &status.last_run {
        None => "no run yet".to_owned(),
        Some(run) => {
            let outcome = match run.outcome {
                RunOutcome::Done => "done",
                RunOutcome::Failed => "failed",
                RunOutcome::Stopped => "stopped",
                RunOutcome::Running => "running",
                RunOutcome::Vanished => "vanished (killed, or its machine is gone)",
            };
            format!(
                "last {}: {outcome}, {} ago",
                run.command,
                words::ago(now, run.started)
            )
        }
    };
    match &status.holding {
        None => last,
        Some(holding) => format!("{last} · being {} by {}", holding.doing, holding.holder),
    }
}
