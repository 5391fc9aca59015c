//! `cargo xtask ci`: runs what CI runs, from the same file.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{cargo, run};

/// Runs `.ci/run`.
pub(crate) fn run() -> Result<ExitCode> {
    let checkout = cargo::checkout();
    let status = run::status(Command::new("bash").arg(".ci/run").current_dir(checkout))?;
    Ok(run::exit_code(status))
}
