//! `cargo xtask test` with a script in the place of cargo.

// Clippy's exception for tests does not reach the helpers beside them.
#![allow(clippy::unwrap_used)]

mod support;

use std::process::Output;

use support::Machine;

/// A cargo whose test programs print what a test says, by phase.
fn run(arguments: &[&str], together: &str, alone: &str) -> Output {
    let machine = Machine::new();
    let cargo = format!(
        "case \"$*\" in\n*--no-run*|build*) exit 0 ;;\n*--workspace*) {together} ;;\n*) {alone} ;;\nesac"
    );
    machine.script("cargo", &cargo);
    machine.xtask(arguments).output().unwrap()
}

fn last_line(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    stdout.lines().last().unwrap_or_default().to_owned()
}

const PASSED: &str = "echo 'test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured'";

#[test]
fn the_last_line_counts_both_phases() {
    let skip = "echo 'SKIP deploys: there is no git'";
    let output = run(&["test"], &format!("{skip}; {PASSED}"), PASSED);
    assert!(output.status.success());
    assert_eq!(last_line(&output), "5 passed, 0 failed, 1 skipped");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        stdout.contains("SKIP deploys: there is no git\n"),
        "{stdout}"
    );
}

#[test]
fn a_failure_in_the_first_phase_is_the_exit_code() {
    let failed = "echo 'test result: FAILED. 2 passed; 1 failed; 0 ignored'; exit 101";
    let output = run(&["test", "--unit"], failed, PASSED);
    assert_eq!(output.status.code(), Some(101));
    assert_eq!(last_line(&output), "5 passed, 1 failed, 0 skipped");
}

#[test]
fn no_test_at_all_is_a_failure() {
    let output = run(&["test", "--unit"], "exit 0", "exit 0");
    assert!(!output.status.success());
    assert_eq!(last_line(&output), "0 passed, 0 failed, 0 skipped");
}
