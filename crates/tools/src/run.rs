//! Runs a child process for one tool: its output goes to a log, its progress to
//! the caller, and it is stopped when another tool has failed for good.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{Progress, Tool};

/// Between two lines that say that a long child still works.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A child was ended, or not begun, because its outcome is of no use any more.
#[derive(Debug)]
pub(crate) struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped")
    }
}

impl std::error::Error for Stopped {}

/// What the ways of making one tool share.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) tool: Tool,
    pub(crate) progress: &'a dyn Progress,
    /// Set when another tool cannot be had, so that no one waits in vain.
    pub(crate) failed: &'a AtomicBool,
    /// Where the children's output goes.
    pub(crate) log: &'a Path,
}

impl Job<'_> {
    /// Tells the caller something.
    pub(crate) fn line(&self, text: &str) {
        self.progress.line(self.tool, text);
    }

    /// Whether there is no use in going on.
    pub(crate) fn cancelled(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.progress.stopped()
    }

    /// Runs the command to its end. The error ends with the last lines that it
    /// wrote.
    pub(crate) fn run(&self, command: &mut Command, doing: &str) -> Result<()> {
        if self.cancelled() {
            return Err(Stopped.into());
        }
        if let Some(parent) = self.log.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let log = File::create(self.log)
            .with_context(|| format!("the log {} cannot be written", self.log.display()))?;
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{program} cannot be started"))?;
        let started = Instant::now();
        let mut told = started;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if self.cancelled() {
                child.kill().ok();
                child.wait().ok();
                return Err(Stopped.into());
            }
            if told.elapsed() >= HEARTBEAT {
                told = Instant::now();
                let seconds = started.elapsed().as_secs();
                self.line(&format!("{doing}, since {seconds} s{}", self.counted()));
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        if status.success() {
            return Ok(());
        }
        let name = Path::new(&program)
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        bail!("{name} failed ({status}):\n{}", self.last_lines(8))
    }

    /// How many packages Go has compiled: with `-v` it names each on a line.
    fn counted(&self) -> String {
        let Ok(log) = File::open(self.log) else {
            return String::new();
        };
        let lines = BufReader::new(log).lines().map_while(Result::ok);
        match lines
            .filter(|line| !line.is_empty() && !line.contains(' '))
            .count()
        {
            0 => String::new(),
            packages => format!(", {packages} packages"),
        }
    }

    fn last_lines(&self, number: usize) -> String {
        let text = std::fs::read(self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let last = &lines[lines.len().saturating_sub(number)..];
        last.iter()
            .map(|line| format!("  | {line}"))
            .collect::<Vec<_>>()
            .join("\n")
    }
}
