//! Runs a child in the foreground: its exit code becomes ours, and Ctrl-C is
//! left to it.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

/// From now on Ctrl-C does not end this process: the terminal sends it to the
/// child too, which stops cleanly and says how to go on, and we wait for that.
pub(crate) fn leave_interrupts_to_the_child() -> Result<()> {
    signal_hook::flag::register(
        signal_hook::consts::SIGINT,
        Arc::new(AtomicBool::new(false)),
    )
    .context("the handler of Ctrl-C cannot be set")?;
    Ok(())
}

/// Runs the command to its end.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .status()
        .with_context(|| format!("{program} cannot be started"))
}

/// The child's exit code, or 128 plus the signal that ended it, as shells have it.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
