//! `cargo xtask test`: runs every test, counts them, and names each skip with
//! its reason.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use trunkline_tools::Tool;

use crate::timing::Timing;
use crate::{cargo, run};

/// The packages whose tests switch on features of dependencies that product
/// code does without. Tested with the others they would have everything above
/// these dependencies, the AWS SDKs too, compiled a second time. Tidy keeps the
/// list complete.
pub(crate) const ALONE: [&str; 1] = ["trunkline-engine"];

/// Runs the tests.
pub(crate) fn run(unit: bool, thorough: bool, rest: &[OsString]) -> Result<ExitCode> {
    let mut timing = Timing::start();
    let tools: &[Tool] = if unit { &[] } else { &Tool::ALL };
    let mut builds: Vec<_> = phases(unit)
        .map(|mut phase| {
            phase.arg("--no-run");
            phase
        })
        .into();
    if !unit {
        // Some tests run the programs of other packages.
        builds.insert(0, cargo::build(&cargo::PROGRAMS));
    }
    cargo::alongside_tools(builds, tools, &mut timing)?;

    let mut count = Count::default();
    let statuses = timing.part("tests", || {
        phases(unit)
            .into_iter()
            .map(|mut phase| {
                phase.args(rest);
                counted(&mut phase, thorough, &mut count)
            })
            .collect::<Result<Vec<_>>>()
    })?;
    timing.print();
    for (name, reason) in &count.skips {
        println!("SKIP {name}: {reason}");
    }
    println!(
        "{} passed, {} failed, {} skipped",
        count.passed(),
        count.failed,
        count.skips.len()
    );
    if let Some(failed) = statuses.into_iter().find(|status| !status.success()) {
        return Ok(run::exit_code(failed));
    }
    if count.passed() == 0 {
        bail!("no test ran");
    }
    Ok(ExitCode::SUCCESS)
}

/// The runs of cargo that make up the tests.
fn phases(unit: bool) -> [Command; 2] {
    let test = || {
        let mut command = cargo::cargo();
        command.args(["test", "--no-fail-fast"]);
        command.args(if unit { &["--lib", "--bins"][..] } else { &[] });
        command
    };
    let (mut together, mut alone) = (test(), test());
    together.arg("--workspace");
    for package in ALONE {
        together.args(["--exclude", package]);
        alone.args(["--package", package]);
    }
    [together, alone]
}

/// Runs one phase, showing what of its output a person should see.
fn counted(phase: &mut Command, thorough: bool, count: &mut Count) -> Result<ExitStatus> {
    // Output of tests that pass is kept back by default, and with it the
    // reasons of skips.
    phase.args(["--", "--show-output"]).stdout(Stdio::piped());
    if thorough {
        phase
            .env("TRUNKLINE_THOROUGH", "1")
            .env("PROPTEST_CASES", "4096");
    }
    let mut child = phase.spawn().context("cargo cannot be started")?;
    let stdout = child.stdout.take().context("cargo has no output")?;
    for line in BufReader::new(stdout).lines() {
        if let Some(shown) = count.read(&line?) {
            println!("{shown}");
        }
    }
    child.wait().context("cargo cannot be waited for")
}

/// What the test programs have printed so far.
#[derive(Default)]
struct Count {
    /// As the harness counts: a test that skips itself has passed.
    ok: usize,
    failed: usize,
    /// Tests that skipped themselves (`SKIP <test>: <reason>`), or were ignored.
    skips: BTreeSet<(String, String)>,
    skipped_itself: usize,
    /// Within the output of tests that passed, of which only skips are shown.
    kept_back: bool,
}

impl Count {
    /// Reads a line; gives what of it a person should see now.
    fn read<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        if let Some((name, reason)) = line.strip_prefix("SKIP ").and_then(|l| l.split_once(": ")) {
            let new = self.skips.insert((name.to_owned(), reason.to_owned()));
            self.skipped_itself += usize::from(new);
            return None;
        }
        if let Some(result) = line.strip_prefix("test result: ") {
            self.kept_back = false;
            self.ok += number_before(result, " passed");
            self.failed += number_before(result, " failed");
            return Some(line);
        }
        match line {
            "successes:" => self.kept_back = true,
            "failures:" => self.kept_back = false,
            _ => {}
        }
        if let Some((name, how)) = line
            .strip_prefix("test ")
            .and_then(|l| l.split_once(" ... "))
        {
            return self.one(line, name, how);
        }
        (!self.kept_back && !line.is_empty()).then_some(line)
    }

    /// A test's own line: only those that did not pass are shown.
    fn one<'a>(&mut self, line: &'a str, name: &str, how: &str) -> Option<&'a str> {
        if let Some(reason) = how.strip_prefix("ignored") {
            let reason = reason.trim_start_matches([',', ' ']);
            let reason = if reason.is_empty() { "ignored" } else { reason };
            self.skips.insert((name.to_owned(), reason.to_owned()));
            return None;
        }
        (how != "ok").then_some(line)
    }

    fn passed(&self) -> usize {
        self.ok.saturating_sub(self.skipped_itself)
    }
}

/// The number that stands before a word.
fn number_before(text: &str, word: &str) -> usize {
    let before = text.split(word).next().unwrap_or_default();
    before
        .rsplit(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap_or_default()
        .parse()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
running 4 tests
test a::passes ... ok
test a::skips ... ok
test a::waits ... ignored, takes an hour
test b::fails ... FAILED

successes:

---- a::passes stdout ----
chatter
failures: none so far

---- a::skips stdout ----
SKIP a::skips: there is no tool


successes:
    a::passes
    a::skips

failures:

---- b::fails stdout ----
thread 'b::fails' panicked at src/b.rs:1:1:
boom

failures:
    b::fails

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

running 12 tests
test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s
";

    #[test]
    fn tests_are_counted_over_all_programs() {
        let mut count = Count::default();
        let shown: Vec<_> = OUTPUT.lines().filter_map(|line| count.read(line)).collect();
        assert_eq!((count.passed(), count.failed), (13, 1));
        let skips: Vec<_> = count
            .skips
            .iter()
            .map(|(n, r)| format!("{n}: {r}"))
            .collect();
        assert_eq!(
            skips,
            ["a::skips: there is no tool", "a::waits: takes an hour"]
        );
        let shown = shown.join("\n");
        assert!(
            shown.contains("boom") && shown.contains("test b::fails ... FAILED"),
            "{shown}"
        );
        assert!(
            !shown.contains("chatter") && !shown.contains("a::passes"),
            "{shown}"
        );
    }
}
