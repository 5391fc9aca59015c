//! `cargo xtask test`: runs every test, counts them, and names each skip with
//! its reason.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use trunkline_tools::Tool;

use crate::timing::Timing;
use crate::{cargo, run};

/// Runs the tests.
pub(crate) fn run(unit: bool, thorough: bool, rest: &[OsString]) -> Result<ExitCode> {
    let mut timing = Timing::start();
    let scope = if unit { &["--lib", "--bins"][..] } else { &[] };
    let tools: &[Tool] = if unit { &[] } else { &Tool::ALL };
    let test = || {
        let mut command = cargo::cargo();
        command
            .args(["test", "--workspace", "--no-fail-fast"])
            .args(scope);
        command
    };
    let mut build = test();
    build.arg("--no-run");
    cargo::alongside_tools(build, tools, &mut timing)?;

    let mut command = test();
    // Output of tests that pass is kept back by default, and with it the
    // reasons of skips.
    command
        .args(rest)
        .args(["--", "--show-output"])
        .stdout(Stdio::piped());
    if thorough {
        command
            .env("TRUNKLINE_THOROUGH", "1")
            .env("PROPTEST_CASES", "4096");
    }
    let mut child = command.spawn().context("cargo cannot be started")?;
    let mut count = Count::default();
    let stdout = child.stdout.take().context("cargo has no output")?;
    let status = timing.part("tests", || {
        for line in BufReader::new(stdout).lines() {
            if let Some(shown) = count.read(&line?) {
                println!("{shown}");
            }
        }
        child.wait().context("cargo cannot be waited for")
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
    if status.success() && count.passed() == 0 {
        bail!("no test ran");
    }
    Ok(run::exit_code(status))
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
