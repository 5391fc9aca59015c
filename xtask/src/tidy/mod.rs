//! `cargo xtask tidy`: the rules that keep the workspace in shape, each with
//! its reason. What the compiler or clippy can check is left to them.

mod calls;
mod code;
mod edges;
mod headers;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::cargo;

/// A place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    /// `path` or `path:line`.
    place: String,
    what: String,
    /// Why there is such a rule.
    reason: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    {}", self.place, self.what, self.reason)
    }
}

/// A source file of the workspace.
pub(crate) struct Source {
    /// From the root of the checkout, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// The name of the crate that the file belongs to.
    fn crate_name(&self) -> &str {
        let path = self.path.strip_prefix("crates/").unwrap_or(&self.path);
        path.split('/').next().unwrap_or(path)
    }

    /// The path inside of its crate.
    fn inside(&self) -> &str {
        let path = self.path.strip_prefix("crates/").unwrap_or(&self.path);
        path.split_once('/').map_or(path, |(_, inside)| inside)
    }
}

/// Checks the whole workspace.
pub(crate) fn run() -> Result<ExitCode> {
    let root = cargo::checkout();
    let sources = sources(root)?;
    ensure!(
        !sources.is_empty(),
        "no source file was found under {}",
        root.display()
    );
    let mut problems: Vec<_> = sources
        .iter()
        .flat_map(|source| [headers::check(source), calls::check(source)])
        .flatten()
        .collect();
    problems.extend(edges::check(&edges::packages(&metadata()?)?));
    problems.sort();
    for problem in &problems {
        println!("{problem}");
    }
    if problems.is_empty() {
        println!("tidy: {} files follow the rules", sources.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!("\n{} places break a rule", problems.len());
    Ok(ExitCode::FAILURE)
}

fn metadata() -> Result<String> {
    let mut command: Command = cargo::cargo();
    command.args(["metadata", "--no-deps", "--format-version=1", "--offline"]);
    let output = command.output().context("cargo cannot be started")?;
    ensure!(
        output.status.success(),
        "cargo metadata failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).context("cargo metadata is not text")
}

/// Every Rust file of the crates and of xtask.
fn sources(root: &Path) -> Result<Vec<Source>> {
    let mut folders: Vec<PathBuf> = vec![root.join("crates"), root.join("xtask")];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder)
            .with_context(|| format!("{} cannot be read", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path)
                    .with_context(|| format!("{} cannot be read", path.display()))?;
                let path = path
                    .strip_prefix(root)
                    .unwrap_or(&path)
                    .to_string_lossy()
                    .into_owned();
                sources.push(Source { path, text });
            }
        }
    }
    Ok(sources)
}
