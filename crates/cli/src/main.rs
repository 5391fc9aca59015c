//! The command line `trunkline`: words, colours and exit codes around the
//! pipeline. stdout carries results, stderr progress.

#[macro_use]
mod output;

mod args;
mod commands;
mod context;
mod exit;
mod git;
mod screen;

use clap::Parser;

fn main() -> std::process::ExitCode {
    let args = args::Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("TRUNKLINE_LOG"))
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return exit::of(&anyhow::Error::from(error)),
    };
    match runtime.block_on(commands::run(args)) {
        Ok(code) => code,
        Err(error) => exit::of(&error),
    }
}
