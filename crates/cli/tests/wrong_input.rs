//! Wrong input: each a clear error with exit code 2, and nothing is asked of
//! AWS: the endpoint that these runs are pointed at would refuse.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::{fs, path::Path, process::Command};

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs the program in a folder with one environment, `sandbox`.
fn run(file: &str, args: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("environments")).unwrap();
    fs::write(folder.path().join("environments/sandbox.toml"), file).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args(args)
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", folder.path())
        // Nobody listens on port 1.
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .env(
            "AWS_SECRET_ACCESS_KEY",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        )
        .output()
        .unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn sandbox() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../environments/sandbox.toml");
    fs::read_to_string(file).unwrap()
}

fn refused(ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, Some(2), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.stdout, "", "stdout is for results");
    for word in words.iter().chain(&["nothing was changed"]) {
        assert!(
            ran.stderr.contains(word),
            "`{word}` is not in\n{}",
            ran.stderr
        );
    }
    let longest = ran.stderr.lines().map(|line| line.chars().count()).max();
    assert!(longest <= Some(100), "too wide:\n{}", ran.stderr);
}

#[test]
fn all_mistakes_of_a_file_come_at_once_with_line_field_and_fix() {
    let file = sandbox()
        .replace("10.20.0.0/16", "10.20.0.1/16")
        .replace("nat = ", "natt = ")
        .replace("\"euc1-az1\", \"euc1-az2\"", "\"euc1-az1\"");
    for command in [
        "plan",
        "deploy",
        "destroy",
        "status",
        "bootstrap",
        "kubeconfig",
        "history",
    ] {
        let words = [
            "sandbox.toml has 3 mistakes",
            "10.20.0.0/16",
            "did you mean nat?",
            "zones",
        ];
        refused(&run(&file, &[command, "sandbox"]), &words);
    }
}

#[test]
fn too_many_zones_are_refused() {
    let zones: Vec<String> = (1..=7).map(|n| format!("\"euc1-az{n}\"")).collect();
    let file = sandbox().replace("\"euc1-az1\", \"euc1-az2\"", &zones.join(", "));
    refused(&run(&file, &["plan", "sandbox"]), &["zones", "6"]);
}

#[test]
fn an_environment_that_is_not_there_names_those_that_are() {
    let ran = run(&sandbox(), &["plan", "sandbx"]);
    refused(&ran, &["environments/sandbx.toml", "there are: sandbox"]);
}

#[test]
fn no_helm_is_said_before_anything_is_asked() {
    let ran = run(
        &sandbox(),
        &["deploy", "sandbox", "--helm", "/nowhere/helm"],
    );
    refused(&ran, &["/nowhere/helm", "Helm 4"]);
}

#[test]
fn a_repository_that_does_not_answer_is_named() {
    let helm = trunkline_tools::lookup(trunkline_tools::Tool::Helm);
    let Some(helm) = helm else {
        println!(
            "SKIP a_repository_that_does_not_answer_is_named: no helm, see `cargo xtask tools`"
        );
        return;
    };
    let helm = helm.path.display().to_string();
    let args = [
        "plan",
        "sandbox",
        "--repository",
        "file:///nowhere/at/all",
        "--helm",
        &helm,
    ];
    refused(&run(&sandbox(), &args), &["file:///nowhere/at/all", "main"]);
}
