//! The commands, one file each.

mod bootstrap;
mod deploy;
mod destroy;
mod history;
mod kubeconfig;
mod plan;
mod status;
mod walking;

use std::process::ExitCode;

use serde::Serialize;

use crate::args::{Args, Command};

/// Runs the command of the arguments.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let global = &args.global;
    match &args.command {
        Command::Bootstrap(target) => bootstrap::run(target, global).await,
        Command::Plan(plan) => plan::run(plan, global).await,
        Command::Deploy(deploy) => deploy::run(deploy, global).await,
        Command::Status(target) => status::run(target, global).await,
        Command::Destroy(destroy) => destroy::run(destroy, global).await,
        Command::Kubeconfig(target) => kubeconfig::run(target, global).await,
        Command::Token(target) => kubeconfig::token(target, global).await,
        Command::History(history) => history::run(history, global).await,
    }
}

/// Prints a result as JSON.
fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    say!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
