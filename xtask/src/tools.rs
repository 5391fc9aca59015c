//! `cargo xtask tools`, and the progress of tools in the making.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use trunkline_tools::{Found, Progress, Tool};

/// Sees to it that the tools are there, with progress on stderr, until the sign
/// to stop.
pub(crate) fn ensure(tools: &[Tool], stop: &AtomicBool) -> Result<Vec<Found>> {
    trunkline_tools::ensure(tools, &Lines { stop })
}

struct Lines<'a> {
    stop: &'a AtomicBool,
}

impl Progress for Lines<'_> {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn line(&self, tool: Tool, text: &str) {
        eprintln!("{:>12} {tool}: {text}", "Tools");
    }
}

/// Lists each tool with its version, where it came from and where it is.
pub(crate) fn run(names: &[String]) -> Result<ExitCode> {
    let named = names
        .iter()
        .map(|name| name.parse())
        .collect::<Result<Vec<Tool>>>()?;
    let tools = if named.is_empty() {
        Tool::ALL.to_vec()
    } else {
        named
    };
    for Found {
        tool,
        version,
        origin,
        path,
    } in ensure(&tools, &AtomicBool::new(false))?
    {
        println!("{tool:24} {version:8} {origin:10} {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}
