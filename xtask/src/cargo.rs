//! Runs cargo, and knows where the checkout is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use trunkline_tools::{Found, Tool};

use crate::timing::Timing;
use crate::tools;

/// The root of the checkout that this program was built from.
pub(crate) fn checkout() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// The cargo that runs us, else the one on `PATH`.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(checkout());
    // `cargo run` sets these for us; they would tell a build script of another
    // package that it is xtask's, and so rebuild it.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    cargo
}

/// The packages whose programs make up Trunkline and its local stack.
pub(crate) const PROGRAMS: [&str; 2] = ["trunkline-cli", "trunkline-local"];

/// The programs of a build, by name.
pub(crate) type Programs = BTreeMap<String, PathBuf>;

/// Builds the packages; [`programs_in`] reads what it prints.
pub(crate) fn build(packages: &[&str]) -> Command {
    let mut command = cargo();
    command.args(["build", "--message-format=json-render-diagnostics"]);
    for package in packages {
        command.args(["--package", package]);
    }
    command
}

/// The programs that a build's messages name.
pub(crate) fn programs_in(messages: &str) -> Programs {
    let artifact = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        let path = message.get("executable")?.as_str()?;
        let name = message.get("target")?.get("name")?.as_str()?;
        Some((name.to_owned(), PathBuf::from(path)))
    };
    messages.lines().filter_map(artifact).collect()
}

/// Runs cargo commands one after the other, alongside with making the tools.
/// When one of both fails the other is stopped, so that the error comes early
/// and stands at the end. Gives what cargo printed and the tools.
pub(crate) fn alongside_tools(
    builds: Vec<Command>,
    wanted: &[Tool],
    timing: &mut Timing,
) -> Result<(String, Vec<Found>)> {
    let stop = AtomicBool::new(false);
    let (cargo, tools) = std::thread::scope(|scope| {
        let tools = scope.spawn(|| {
            let started = Instant::now();
            let result = tools::ensure(wanted, &stop);
            stop.fetch_or(result.is_err(), Ordering::Relaxed);
            (result, started.elapsed())
        });
        let started = Instant::now();
        let result: Result<Option<String>> = builds
            .into_iter()
            .map(|build| until(build, &stop))
            .collect();
        stop.fetch_or(result.is_err(), Ordering::Relaxed);
        ((result, started.elapsed()), tools.join())
    });
    let Ok(tools) = tools else {
        bail!("the thread of the tools panicked")
    };
    timing.add("build", cargo.1, "");
    if !wanted.is_empty() {
        timing.add("tools", tools.1, "alongside the build");
    }
    match (cargo.0, tools.0) {
        (Ok(Some(messages)), Ok(found)) => Ok((messages, found)),
        // Whichever was stopped is not the reason.
        (Ok(_), Err(error)) | (Err(error), _) => Err(error),
        (Ok(None), Ok(_)) => bail!("the build was stopped"),
    }
}

/// Runs the command to its end and gives its output, or stops it on the sign.
fn until(mut command: Command, stop: &AtomicBool) -> Result<Option<String>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo cannot be started")?;
    let stdout = child.stdout.take().context("cargo has no output")?;
    let reader = std::thread::spawn(move || std::io::read_to_string(stdout));
    loop {
        if let Some(status) = child.try_wait()? {
            if !status.success() {
                bail!("the build failed ({status})");
            }
            break;
        }
        if stop.load(Ordering::Relaxed) {
            child.kill().ok();
            child.wait().ok();
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let Ok(output) = reader.join() else {
        bail!("the reader of cargo's output panicked")
    };
    Ok(Some(output.context("cargo's output cannot be read")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_the_messages() {
        let messages = r#"
{"reason":"compiler-artifact","target":{"name":"serde"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"trunkline"},"executable":"/target/debug/trunkline"}
not json
{"reason":"build-finished","success":true}"#;
        let programs = programs_in(messages);
        assert_eq!(programs.len(), 1);
        assert_eq!(programs["trunkline"], Path::new("/target/debug/trunkline"));
    }
}
