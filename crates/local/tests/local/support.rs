//! Stacks for tests: each under a name of its own, stopped and removed whatever
//! becomes of the test.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use trunkline_tools::Tool;

/// How long anything in these tests may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/local/aws.py");

/// Whether the tools are cached; a test must not build them for 20 minutes.
pub(crate) fn tools_are_here(test: &str) -> bool {
    let missing: Vec<&str> = Tool::ALL
        .into_iter()
        .filter(|tool| trunkline_tools::lookup(*tool).is_none())
        .map(Tool::name)
        .collect();
    if !missing.is_empty() {
        println!(
            "SKIP {test}: not cached: {}; run `cargo xtask tools`",
            missing.join(", ")
        );
    }
    missing.is_empty()
}

/// One stack.
pub(crate) struct Stack {
    name: String,
}

impl Stack {
    pub(crate) fn new(test: &str) -> Self {
        Self {
            name: format!("test-{}-{test}", std::process::id()),
        }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        trunkline_tools::cache_dir().join("local").join(&self.name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline-local"));
        command.args(args).args(["--name", &self.name]);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs what has to succeed; its stdout.
    pub(crate) fn done(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts what is going to be interrupted.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    pub(crate) fn status(&self) -> Value {
        serde_json::from_slice(&self.run(&["status", "--json"]).stdout).unwrap()
    }

    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        serde_json::from_str(&self.done(&["env", "--json"])).unwrap()
    }

    /// Speaks to the stack by boto3.
    pub(crate) fn aws(&self, args: &[&str]) -> Value {
        let moto = trunkline_tools::lookup(Tool::Moto).unwrap();
        let output = Command::new(moto.path.with_file_name("python"))
            .arg(CLIENT)
            .args(args)
            .envs(self.environment())
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Every process that the stack has, by the mark in its environment.
    pub(crate) fn processes(&self) -> BTreeMap<u32, String> {
        let mark = format!("TRUNKLINE_LOCAL_STACK={}", self.folder().display());
        let mut found = BTreeMap::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            if environment
                .split(|byte| *byte == 0)
                .any(|one| one == mark.as_bytes())
            {
                let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                found.insert(pid, String::from_utf8_lossy(&command).replace('\0', " "));
            }
        }
        found
    }

    /// Waits until none is left.
    pub(crate) fn wait_for_no_process(&self) {
        wait_until("no process is left", || self.processes().is_empty());
    }

    pub(crate) fn daemon(&self) -> u32 {
        self.status()["daemon"]["pid"]
            .as_u64()
            .unwrap()
            .try_into()
            .unwrap()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder().join("logs/daemon.log"));
            eprintln!("daemon of {}:\n{}", self.name, log.unwrap_or_default());
        }
        let _ = self.run(&["down"]);
        let _ = fs::remove_dir_all(self.folder());
    }
}

/// Polls a condition until it holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a signal by the command of that name, as a person would.
pub(crate) fn kill(signal: &str, pid: u32) {
    let status = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// A program of the test's own.
pub(crate) fn script(folder: &Path, name: &str, body: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

/// A `moto_server` whose interpreter does what the body says.
pub(crate) fn moto_that(folder: &Path, body: &str) -> String {
    let interpreter = script(folder, "interpreter", body);
    let server = folder.join("moto_server");
    fs::write(&server, format!("#!{interpreter}\n")).unwrap();
    format!("moto={}", server.display())
}

/// All that a command said.
pub(crate) fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&both).into_owned()
}
