//! `cargo xtask tools` killed in the middle of a build leaves no broken entry.

// Clippy's exception for tests does not reach the helpers beside them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A Go that writes half a program, says so, and then takes its time.
const STUCK: &str = r#"#!/bin/sh
while [ $# -gt 1 ]; do
    if [ "$1" = -o ]; then out=$2; fi
    shift
done
printf '#!/bin/sh\necho Kuber' > "$out"
chmod +x "$out"
echo $$ > "$0.pid.new"
mv "$0.pid.new" "$0.pid"
exec sleep 600
"#;

/// A Go that writes the whole program.
const WORKING: &str = r#"#!/bin/sh
while [ $# -gt 1 ]; do
    if [ "$1" = -o ]; then out=$2; fi
    shift
done
printf '#!/bin/sh\necho Kubernetes v1.35.4\n' > "$out"
chmod +x "$out"
"#;

/// Ends the child however the test ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn xtask_tools(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command
        .args(["tools", "kube-scheduler"])
        .env("TRUNKLINE_CACHE", folder.join("cache"))
        .env("TRUNKLINE_DOWNLOADS", "off")
        .env(
            "PATH",
            format!("{}:/usr/bin:/bin", folder.join("bin").display()),
        );
    command
}

fn write_go(folder: &Path, text: &str) {
    let mut child = Command::new("sh")
        .args(["-c", "cat > \"$0\" && chmod +x \"$0\""])
        .arg(folder.join("bin/go"))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
}

/// The fake Go's pid, once it has written half of the program.
fn wait_for_pid(file: &Path) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match fs::read_to_string(file) {
            Ok(pid) => return pid.trim().to_owned(),
            Err(_) => assert!(Instant::now() < deadline, "the build did not begin"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("cache/tools")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names
        .filter(|name| !name.ends_with(".lock") && name != "logs")
        .collect();
    names.sort();
    names
}

#[test]
fn a_killed_run_leaves_no_broken_entry() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("bin")).unwrap();
    write_go(folder, STUCK);
    let mut run = Killed(xtask_tools(folder).stdout(Stdio::null()).spawn().unwrap());
    let builder = wait_for_pid(&folder.join("bin/go.pid"));

    run.0.kill().unwrap(); // SIGKILL
    run.0.wait().unwrap();
    // The builder outlives its parent; here it is ended later, so that the next
    // run has to get along with one that may still write.
    assert_eq!(
        entries(folder).len(),
        1,
        "the half-made folder, and it is hidden"
    );
    assert!(entries(folder)[0].starts_with(".kube-scheduler-1.35.4."));

    write_go(folder, WORKING);
    let output = xtask_tools(folder).output().unwrap();
    assert!(
        Command::new("kill")
            .arg(&builder)
            .status()
            .unwrap()
            .success()
    );
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let line = String::from_utf8(output.stdout).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words[..3], ["kube-scheduler", "1.35.4", "built"]);
    assert_eq!(entries(folder), ["kube-scheduler-1.35.4"]);
    let version = Command::new(words[3]).output().unwrap().stdout;
    assert_eq!(String::from_utf8(version).unwrap(), "Kubernetes v1.35.4\n");
}

#[test]
fn an_unknown_tool_is_named_with_those_there_are() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["tools", "hlem"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("no tool is called `hlem`") && stderr.contains("helm"),
        "{stderr}"
    );
}
