//! Whole deployments for tests: a local stack of the test's own, environment
//! files that point at this checkout, the program as a person runs it, and
//! looks past it: at the front's record, at moto, at the API servers.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test program uses its part; a test that cannot go on ends"
)]

pub(crate) mod happened;
mod http;
pub(crate) mod stack;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
pub(crate) use stack::Stack;

/// How long anything in these tests may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// The account of the stacks and of the environment files.
pub(crate) const ACCOUNT: &str = "111122223333";

/// One deployment keeps two cores busy: the tests of a program come one after
/// the other. Held for as long as a test runs.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static RUNNING: Mutex<()> = Mutex::new(());
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How the program ended, and what it said.
pub(crate) struct Ended {
    /// Its arguments.
    pub(crate) args: String,
    /// Its exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    /// The result.
    pub(crate) stdout: String,
    /// The progress.
    pub(crate) stderr: String,
}

impl Ended {
    /// Of a program that has ended.
    pub(crate) fn new(args: &[&str], output: Output) -> Self {
        Self {
            args: args.join(" "),
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Demands an exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Demands words on either output.
    #[track_caller]
    pub(crate) fn says(self, words: &str) -> Self {
        assert!(
            self.stdout.contains(words) || self.stderr.contains(words),
            "it does not say `{words}`: {self}"
        );
        self
    }

    /// The result of a run with `--json`.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        match serde_json::from_str(&self.stdout) {
            Ok(json) => json,
            Err(error) => panic!("no JSON ({error}): {self}"),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            args,
            code,
            stdout,
            stderr,
        } = self;
        write!(
            f,
            "`trunkline {args}` ended with {code:?}\n{stdout}\n{stderr}"
        )
    }
}

/// Polls a condition until it gives something.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Sends a signal by the command of that name, as a person would.
pub(crate) fn kill(signal: &str, pid: u32) {
    let mut command = Command::new("kill");
    let status = command.args([signal, &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

/// Every file under a folder as text.
pub(crate) fn texts(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            found.extend(texts(&path));
        } else if kind.is_file() {
            // A log may go while it is looked for.
            let text = std::fs::read(&path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            found.push((path.display().to_string(), text));
        }
    }
    found
}

/// Demands that `found` holds all that `wanted` has: objects field by field,
/// everything else as it is.
#[track_caller]
pub(crate) fn holds(found: &Value, wanted: &Value) {
    let missing = lacks(found, wanted, "");
    assert!(missing.is_empty(), "{}\nin {found:#}", missing.join("\n"));
}

fn lacks(found: &Value, wanted: &Value, path: &str) -> Vec<String> {
    let Value::Object(fields) = wanted else {
        let line = || format!("{path}: {found}, wanted {wanted}");
        return (found != wanted).then(line).into_iter().collect();
    };
    let one =
        |(name, wanted): (&String, &Value)| lacks(&found[name], wanted, &format!("{path}/{name}"));
    fields.iter().flat_map(one).collect()
}

/// Demands that two dumps are the same; names what differs instead of showing
/// two times a thousand lines.
#[track_caller]
pub(crate) fn same(found: &Value, wanted: &Value) {
    let differences = differences(found, wanted, "");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn differences(found: &Value, wanted: &Value, path: &str) -> Vec<String> {
    match (found, wanted) {
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let one = |name| differences(&found[name], &wanted[name], &format!("{path}/{name}"));
            names.into_iter().flat_map(one).collect()
        }
        (Value::Array(a), Value::Array(b)) if a != b => {
            let only = |these: &[Value], those: &[Value], sign| {
                let only = these.iter().filter(|one| !those.contains(one));
                only.map(|one| format!("{sign} {path}: {one}"))
                    .collect::<Vec<_>>()
            };
            let lines = [only(a, b, '+'), only(b, a, '-')].concat();
            let order = || vec![format!("{path}: in another order, or not as often")];
            if lines.is_empty() { order() } else { lines }
        }
        _ if found != wanted => vec![format!("{path}: {found}, wanted {wanted}")],
        _ => Vec::new(),
    }
}
